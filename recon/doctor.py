"""``recon doctor``: what this installation can do, and what to install for the rest."""

from __future__ import annotations

import contextlib
import importlib
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

from recon.system import core_count

LEAST_MEMORY_GB = 4.0
LEAST_DISK_GB = 5.0


@dataclass(frozen=True)
class Part:
    """One thing that recon can use: whether it works here, and what to do if not."""

    name: str
    works: bool
    detail: str
    remedy: str = ""
    needed: bool = True

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def examine() -> list[Part]:
    """Try every part for real: import it, ask it what it can do."""
    return [
        Part("python", sys.version_info >= (3, 11), sys.version.split()[0], "Install Python 3.11 or newer"),
        _library("pycolmap", "pycolmap", _about_pycolmap),
        _library("open3d", "open3d", lambda _: "ray casting, Poisson meshing"),
        _library("opencv", "cv2", lambda module: f"{module.getNumberOfCPUs()} CPUs", "opencv-python-headless"),
        _library("video (ffmpeg libraries)", "av", _about_ffmpeg, "av"),
        _library("HEIC photos", "pillow_heif", lambda module: f"libheif {module.libheif_version()}", "pillow-heif"),
        _library("DNG photos", "rawpy", lambda _: "LibRaw", "rawpy", needed=False),
        _library("depth in EXR", "OpenEXR", lambda _: "Record3D, 3D Scanner App", "'recon[tablet]'", needed=False),
        _library("depth in .r3d", "lzfse", lambda _: "Record3D", "'recon[tablet]'", needed=False),
        _library("LAZ point clouds", "lazrs", lambda _: "", "lazrs"),
        _library("torch (learned matching)", "torch", _about_torch, "'recon[learned]'", needed=False),
        _library("kornia (learned matching)", "kornia", lambda _: "ALIKED, DISK, XFeat, LightGlue", "'recon[learned]'", needed=False),
        _weights(),
        _cuda(),
        _memory(),
        _disk(Path.cwd()),
        Part("cores", True, str(core_count())),
    ]


def _library(name: str, module: str, about: Callable[[Any], str], package: str = "", needed: bool = True) -> Part:
    package = package or name
    remedy = f"pip install {package}" + ("; sudo scripts/install-system-packages" if module == "open3d" else "")
    try:
        detail = about(importlib.import_module(module))
    except Exception as error:  # a library may fail to load in any way, and that is what is asked here
        return Part(name, False, f"{type(error).__name__}: {error}", remedy, needed)
    with contextlib.suppress(PackageNotFoundError):
        detail = f"{version(package)} {detail}".strip()
    return Part(name, True, detail, remedy, needed)


def _about_pycolmap(module: Any) -> str:
    return "with CUDA" if module.has_cuda else "CPU build"


def _about_ffmpeg(module: Any) -> str:
    wanted = [name for name in ("h264", "hevc", "vp9", "av1", "prores") if name in module.codecs_available]
    return f"reads {', '.join(wanted)}" + ("; writes H.264" if "libx264" in module.codecs_available else "")


def _about_torch(module: Any) -> str:
    return "CUDA" if module.cuda.is_available() else "CPU"


def _weights() -> Part:
    from recon.models.find import located
    from recon.models.manifest import MANIFEST

    missing = [weights.name for weights in MANIFEST if located(weights) is None]
    detail = f"{len(MANIFEST) - len(missing)} of {len(MANIFEST)}" + (f"; missing: {', '.join(missing)}" if missing else "")
    return Part("weights (learned matching)", not missing, detail, "recon models pull", needed=False)


def _cuda() -> Part:
    remedy = "With an NVIDIA GPU: install a pycolmap with CUDA (pip install pycolmap-cuda12). Not needed: the CPU path is used"
    try:
        import pycolmap

        count = pycolmap.get_num_cuda_devices() if pycolmap.has_cuda else 0
    except Exception as error:
        return Part("CUDA", False, f"{type(error).__name__}: {error}", remedy, needed=False)
    return Part("CUDA", count > 0, f"{count} device(s)", remedy, needed=False)


def _memory() -> Part:
    free_gb = psutil.virtual_memory().available / 2**30
    return Part(
        "memory",
        free_gb >= LEAST_MEMORY_GB,
        f"{free_gb:.1f} GB free",
        f"{LEAST_MEMORY_GB:.0f} GB are advised: use --preset fast",
        needed=False,
    )


def _disk(folder: Path) -> Part:
    free_gb = shutil.disk_usage(folder).free / 2**30
    return Part(
        "disk",
        free_gb >= LEAST_DISK_GB,
        f"{free_gb:.1f} GB free in {folder}",
        f"Free {LEAST_DISK_GB:.0f} GB, or use -o on another disk",
        needed=False,
    )
