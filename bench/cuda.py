"""Bar 8: depth on a CUDA device beside the CPU's, on fountain-P11 at 1536 px. Without a device it says so and measures nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pycolmap

from bench.dense import OPENMVS_F, cloud_ply, folder, score, score_rows
from bench.usage import recon

if TYPE_CHECKING:
    from bench.bars import Row

SIZE_PX = 1536


def cuda(data: Path, work: Path) -> list[Row]:
    """F of the cloud and seconds of depth, each way."""
    from bench.bars import Row

    if not (pycolmap.has_cuda and pycolmap.get_num_cuda_devices()):
        return [Row("8", f"fountain-P11, {SIZE_PX} px", "skipped: no CUDA device is at hand", None, "", True)]
    return [row for method in ("cuda", "sgm") for row in _method(method, data / "fountain-P11", work / f"depth-by-{method}")]


def _method(method: str, data: Path, out: Path) -> list[Row]:
    from bench.bars import K_FOUNTAIN, Row

    sizes = [word for stage in ("undistort", "depth") for word in ("--set", f"{stage}.max_size_px={SIZE_PX}")]
    camera = ["--set", "camera.model=PINHOLE", "--set", f"camera.params=[{K_FOUNTAIN}]"]
    recon("process", data / "images", "-o", out, "--until", "fuse", "--set", f"depth.method={method}", *sizes, *camera).checked()
    spans = [json.loads(done.read_text()) for done in folder(out, "depth").parent.glob("0*/DONE")]
    seconds = max(span["end_s"] for span in spans) - min(span["start_s"] for span in spans)
    name = f"fountain-P11, {SIZE_PX} px, {method}"
    return [
        *score_rows(name, "", score(cloud_ply(out), out, data), {}, OPENMVS_F),
        Row("8", name, "seconds of depth", seconds, "", True),
    ]
