"""Dense, mesh and texture on fountain-P11 with known intrinsics, preset by preset, beside OpenMVS' figures.

The cloud is scored by a program that the project does not hold: ``DENSE_EVAL`` in the environment is its path, called as
``DENSE_EVAL CLOUD.ply --sparse MODEL --truth DATA/fountain-P11``; it prints JSON with ``tau_0.01.f`` and ``tau_0.02.f``. Without
it the costs alone are measured. OpenMVS 2.3 was measured on 2 cores of such a machine, on the same sparse model.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.usage import Usage, recon

if TYPE_CHECKING:
    from bench.bars import Row

OPENMVS_F = {"0.01": 0.775, "0.02": 0.920}
OPENMVS_CPU_S = {"dense": 1147, "mesh": 253, "texture": 495}
F_WANTED = {
    "fast": {"0.02": 0.80},
    "default": {"0.01": 0.70, "0.02": 0.88},
    "high": {"0.01": 0.78, "0.02": 0.92},
}
CPU_S_WANTED = {"fast": 80, "default": 290, "high": 1147}
ALL_CPU_S_WANTED = 450
WALL_SHARE_WANTED = 0.55
CAMERA_MM_WANTED = 3.0


def dense(data: Path, work: Path) -> list[Row]:
    """Quality and cost of the cloud by preset; cost of mesh and texture at default. Stages that a run has already are made anew."""
    return [row for preset in F_WANTED for row in _preset(preset, data / "fountain-P11", work / f"dense-{preset}")]


def _preset(preset: str, data: Path, out: Path) -> list[Row]:
    from bench.bars import K_FOUNTAIN, Row, at_most

    name = f"fountain-P11, {preset}"
    options = ["--preset", preset, "--set", "camera.model=PINHOLE", "--set", f"camera.params=[{K_FOUNTAIN}]"]

    def until(stage: str) -> Usage:
        usage = recon("process", data / "images", "-o", out, "--until", stage, *options)
        if usage.code != 0 or not usage.last.get("ran"):
            raise RuntimeError(f"recon made no {stage}: {usage.last}; the benchmark wants an empty work folder")
        return usage

    until("undistort")
    preview, cloud = until("preview"), until("fuse")
    poses = recon("eval", _folder(out, "sfm") / "model", data / "gt_dense_cameras").last["poses"]
    rows = [
        at_most("dense", name, "mean camera error, mm", 1000 * poses["position"]["mean"], CAMERA_MM_WANTED),
        *_scores(preset, name, data, out),
        at_most("dense", name, f"CPU seconds of depth and fuse (OpenMVS {OPENMVS_CPU_S['dense']})", cloud.cpu_s, CPU_S_WANTED[preset]),
        at_most("dense", name, "wall over CPU seconds of depth and fuse", cloud.seconds / cloud.cpu_s, WALL_SHARE_WANTED),
        Row("dense", name, "CPU seconds of the early cloud", preview.cpu_s, "", True),
    ]
    if preset == "default":
        mesh, texture = until("mesh"), until("texture")
        rows += [
            Row("dense", name, f"CPU seconds of mesh (OpenMVS {OPENMVS_CPU_S['mesh']})", mesh.cpu_s, "", True),
            Row("dense", name, f"CPU seconds of texture (OpenMVS {OPENMVS_CPU_S['texture']})", texture.cpu_s, "", True),
            at_most(
                "dense", name, f"CPU seconds of depth to texture (OpenMVS {sum(OPENMVS_CPU_S.values())})",
                cloud.cpu_s + mesh.cpu_s + texture.cpu_s, ALL_CPU_S_WANTED,
            ),
        ]  # fmt: skip
    return rows


def _scores(preset: str, name: str, data: Path, out: Path) -> list[Row]:
    """F of the cloud at each distance; nothing where no scorer is named."""
    from bench.bars import Row, at_least

    scorer = os.environ.get("DENSE_EVAL")
    if not scorer:
        return []
    from recon.dense.view import Points
    from recon.products.pointcloud import write_ply

    cloud = out / "cloud.ply"
    parts = sorted(_folder(out, "fuse").parent.glob("0*/points.npz"))
    write_ply(cloud, Points.concatenate([Points.load(part) for part in parts]))
    found = _json([sys.executable, scorer, str(cloud), "--sparse", str(_folder(out, "georef") / "model"), "--truth", str(data)])
    rows = [Row("dense", name, "points", found["points"], "", True)]
    for tau, peer in OPENMVS_F.items():
        score = found[f"tau_{tau}"]
        figure = f"F at {float(tau) * 100:.0f} cm (OpenMVS {peer:.3f})"
        wanted = F_WANTED[preset].get(tau)
        rows.append(at_least("dense", name, figure, score["f"], wanted) if wanted else Row("dense", name, figure, score["f"], "", True))
        rows += [Row("dense", name, f"{side} at {float(tau) * 100:.0f} cm", score[side], "", True) for side in ("precision", "recall")]
    return rows


def _json(command: list[str]) -> dict[str, Any]:
    import subprocess

    return dict(json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout))


def _folder(out: Path, stage: str) -> Path:
    """The first shard's folder of the stage's newest result."""
    key = max((out / ".recon").glob(f"{stage}-*"), key=os.path.getmtime)
    return key / "0000"
