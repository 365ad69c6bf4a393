"""Dense, mesh and texture on fountain-P11 with known intrinsics, preset by preset, beside OpenMVS' figures.

Cloud and mesh are scored by a program that the project does not hold: ``DENSE_EVAL`` in the environment is its path, called as
``DENSE_EVAL CLOUD.ply --sparse MODEL --truth DATA/fountain-P11``; it prints JSON with ``tau_0.01.f`` and ``tau_0.02.f``. Without
it these rows say that they were not measured. OpenMVS 2.3 is not run here: its figures are those of 2 cores of the same kind of
machine, on the same sparse model.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.usage import Usage, recon

if TYPE_CHECKING:
    from bench.bars import Row

PEER = "OpenMVS on such a machine"
OPENMVS_F = {"0.01": 0.775, "0.02": 0.920}
OPENMVS_MESH_F = {"0.01": 0.699, "0.02": 0.862}
OPENMVS_CPU_S = {"dense": 1147, "mesh": 253, "texture": 495}
F_WANTED = {
    "fast": {"0.02": 0.80},
    "default": {"0.01": 0.70, "0.02": 0.88},
    "high": {"0.01": 0.78, "0.02": 0.92},
}
MESH_F_WANTED = {"0.02": 0.90}
MESH_LOSS = 0.02
"""What the mesh may lose of the cloud's F."""
MESH_SAMPLES = 4_000_000
CPU_S_WANTED = {"fast": 80, "default": 290, "high": 1147}
ALL_CPU_S_WANTED = 450
WALL_SHARE_WANTED = 0.55
CAMERA_MM_WANTED = 3.0
A_TENTH = 0.1


@dataclass(frozen=True)
class Score:
    """What the scorer says of one PLY: F, precision and recall at each distance, and the number of points."""

    points: int
    at: dict[str, dict[str, float]]


def dense(data: Path, work: Path) -> list[Row]:
    """Quality and cost of the cloud by preset; of mesh and texture at default. Stages that a run has already are made anew."""
    from bench.bars import at_most

    rows, costs = [], {}
    for preset in F_WANTED:
        found, costs[preset] = _preset(preset, data / "fountain-P11", work / f"dense-{preset}")
        rows += found
    share = costs["fast"].cpu_s / costs["high"].cpu_s
    return [*rows, at_most("dense", "fountain-P11, fast", "CPU seconds of depth and fuse over those of high", share, A_TENTH)]


def _preset(preset: str, data: Path, out: Path) -> tuple[list[Row], Usage]:
    """The rows of a preset, and what its depth and fuse took."""
    from bench.bars import K_FOUNTAIN, Row, at_most

    name = f"fountain-P11, {preset}"
    options = ["--preset", preset, "--set", "camera.model=PINHOLE", "--set", f"camera.params=[{K_FOUNTAIN}]"]

    def until(stage: str, out: Path = out) -> Usage:
        usage = recon("process", data / "images", "-o", out, "--until", stage, *options).checked()
        if not usage.last.get("ran"):
            raise RuntimeError(f"recon made no {stage}: {usage.last}; the benchmark wants an empty work folder")
        return usage

    until("undistort")
    preview = until("preview")
    beside = out.with_name(f"{out.name}-in-one")
    if preset == "default":
        shutil.copytree(out, beside, symlinks=True)
    cloud = until("fuse")
    poses = recon("eval", folder(out, "sfm") / "model", data / "gt_dense_cameras").last["poses"]
    scored = score(cloud_ply(out), out, data)
    rows = [
        at_most("dense", name, "mean camera error, mm", 1000 * poses["position"]["mean"], CAMERA_MM_WANTED),
        *score_rows(name, "", scored, F_WANTED[preset], OPENMVS_F),
        at_most("dense", name, f"CPU seconds of depth and fuse ({PEER}: {OPENMVS_CPU_S['dense']})", cloud.cpu_s, CPU_S_WANTED[preset]),
        at_most("dense", name, "wall over CPU seconds of depth and fuse", cloud.seconds / cloud.cpu_s, WALL_SHARE_WANTED),
        Row("dense", name, "CPU seconds of the early cloud", preview.cpu_s, "", True),
    ]
    if preset == "high":
        rows.append(at_most("dense", name, "early cloud: CPU seconds over those of depth and fuse", preview.cpu_s / cloud.cpu_s, A_TENTH))
    if preset == "default":
        mesh, texture = until("mesh"), until("texture")
        rows += [*_mesh_rows(name, scored, data, out), *_cost_rows(name, mesh, texture, until("texture", beside))]
    return rows, cloud


def _cost_rows(name: str, mesh: Usage, texture: Usage, in_one: Usage) -> list[Row]:
    """``in_one`` went from the early cloud to the texture by one command, as a run does."""
    from bench.bars import Row, at_most

    whole = sum(OPENMVS_CPU_S.values())
    return [
        Row("dense", name, f"CPU seconds of mesh ({PEER}: {OPENMVS_CPU_S['mesh']})", mesh.cpu_s, "", True),
        Row("dense", name, f"CPU seconds of texture ({PEER}: {OPENMVS_CPU_S['texture']})", texture.cpu_s, "", True),
        at_most("dense", name, f"CPU seconds of depth to texture ({PEER}: {whole})", in_one.cpu_s, ALL_CPU_S_WANTED),
        Row("dense", name, "seconds of depth to texture on two cores", in_one.seconds, "", True),
        at_most("dense", name, "wall over CPU seconds of depth to texture", in_one.seconds / in_one.cpu_s, WALL_SHARE_WANTED),
    ]


def _mesh_rows(name: str, cloud: Score | None, data: Path, out: Path) -> list[Row]:
    from bench.bars import at_least

    scored = score(_mesh_ply(out), out, data)
    lost = scored.at["0.02"]["f"] - cloud.at["0.02"]["f"] if scored and cloud else None
    return [
        *score_rows(name, "mesh: ", scored, MESH_F_WANTED, OPENMVS_MESH_F),
        at_least("dense", name, "mesh: F at 2 cm less the cloud's", lost, -MESH_LOSS),
    ]


def score_rows(name: str, what: str, scored: Score | None, wanted: dict[str, float], peer: dict[str, float]) -> list[Row]:
    """F at each distance, with precision and recall; without a scorer the bars stand there as not measured."""
    from bench.bars import Row, at_least

    rows = [] if scored is None else [Row("dense", name, f"{what}points", scored.points, "", True)]
    for tau, theirs in peer.items():
        at, distance = scored.at[tau] if scored else {}, f"at {float(tau) * 100:.0f} cm"
        figure = f"{what}F {distance} ({PEER}: {theirs:.3f})"
        if tau in wanted:
            rows.append(at_least("dense", name, figure, at.get("f"), wanted[tau]))
        elif scored:
            rows.append(Row("dense", name, figure, at["f"], "", True))
        if scored:
            rows += [Row("dense", name, f"{what}{side} {distance}", at[side], "", True) for side in ("precision", "recall")]
    return rows


def score(ply: Path, out: Path, data: Path) -> Score | None:
    """What the scorer says of a cloud of the run ``out``; None where none is named."""
    scorer = os.environ.get("DENSE_EVAL")
    if not scorer:
        return None
    command = [sys.executable, scorer, str(ply), "--sparse", str(folder(out, "georef") / "model"), "--truth", str(data)]
    found: dict[str, Any] = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return Score(found["points"], {tau: found[f"tau_{tau}"] for tau in OPENMVS_F})


def cloud_ply(out: Path) -> Path:
    """The dense cloud of the run as one file."""
    from recon.dense.view import Points
    from recon.products.pointcloud import write_ply

    parts = sorted(folder(out, "fuse").parent.glob("0*/points.npz"))
    write_ply(out / "cloud.ply", Points.concatenate([Points.load(part) for part in parts]))
    return out / "cloud.ply"


def _mesh_ply(out: Path) -> Path:
    """Points spread evenly over the mesh of the run, the same each time."""
    import open3d as o3d

    from recon.evaluate.clouds import sample_mesh
    from recon.surface.mesh import MESH_FILE, TriMesh

    mesh = TriMesh.load(folder(out, "mesh") / MESH_FILE)
    xyz, _ = sample_mesh(mesh.vertices, mesh.faces, MESH_SAMPLES)
    o3d.io.write_point_cloud(str(out / "mesh.ply"), o3d.geometry.PointCloud(o3d.utility.Vector3dVector(xyz)))
    return out / "mesh.ply"


def folder(out: Path, stage: str) -> Path:
    """The first shard's folder of the stage's newest result."""
    key = max((out / ".recon").glob(f"{stage}-*"), key=os.path.getmtime)
    return key / "0000"
