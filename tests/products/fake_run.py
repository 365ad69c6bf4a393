"""The folders of a small finished run in the documented formats: a coloured ball on hilly ground, seen by a ring of cameras."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pycolmap

from recon.capture.records import Gps, ImageRecord, write_json, write_records
from recon.dense.view import Points, ViewRecord, write_views

HOSTILE = "b/<img src=x onerror=alert(1)> & \"q\" 'r'.jpg"
STAGES = (
    "ingest",
    "select",
    "features",
    "pairs",
    "matches",
    "sfm",
    "recover",
    "georef",
    "undistort",
    "depth",
    "fuse",
    "sample",
    "surface",
    "mesh",
    "texture",
    "products",
)
ORIGIN = {"lat_deg": 50.8225, "lon_deg": -0.1372, "alt_m": 40.0, "alt_datum": "ellipsoid"}
SIZE = (640, 480)
FOCAL_PX = 520.0


def grid_mesh(cells: int = 24, half: float = 6.0) -> tuple[np.ndarray, np.ndarray]:
    """A hilly square in world units, z up: (V, 3) vertices and (F, 3) faces."""
    axis = np.linspace(-half, half, cells + 1)
    x, y = np.meshgrid(axis, axis)
    z = 0.3 * np.sin(x) * np.cos(0.7 * y) - 1.0
    vertices = np.stack([x, y, z], axis=-1).reshape(-1, 3)
    corner = (np.arange(cells)[:, None] * (cells + 1) + np.arange(cells)).reshape(-1)
    faces = np.concatenate(
        [
            np.stack([corner, corner + 1, corner + cells + 2], axis=1),
            np.stack([corner, corner + cells + 2, corner + cells + 1], axis=1),
        ]
    )
    return vertices, faces


def ball_mesh(rows: int = 16, columns: int = 32, radius: float = 1.5) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A ball by longitude and latitude: vertices, faces, and the corners' texture coordinates."""
    latitude, longitude = np.meshgrid(np.linspace(-np.pi / 2, np.pi / 2, rows + 1), np.linspace(0, 2 * np.pi, columns + 1), indexing="ij")
    xyz = radius * np.stack([np.cos(latitude) * np.cos(longitude), np.cos(latitude) * np.sin(longitude), np.sin(latitude)], axis=-1)
    seam = np.arange((rows + 1) * (columns + 1)).reshape(rows + 1, columns + 1)
    weld = seam.copy()
    weld[:, -1] = weld[:, 0]  # the last meridian is the first one: same vertices, other texture coordinates
    uv = np.stack([longitude / (2 * np.pi), latitude / np.pi + 0.5], axis=-1).reshape(-1, 2)
    a, b, c, d = (grid.reshape(-1) for grid in (seam[:-1, :-1], seam[:-1, 1:], seam[1:, 1:], seam[1:, :-1]))
    corners = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
    return xyz.reshape(-1, 3), weld.reshape(-1)[corners], uv[corners]


def textured_arrays() -> dict[str, np.ndarray]:
    """The arrays of ``textured.npz``: page 0 the ground, page 1 the ball."""
    ground, ground_faces = grid_mesh()
    ball, ball_faces, ball_uv = ball_mesh()
    vertices = np.concatenate([ground, ball]).astype(np.float32)
    faces = np.concatenate([ground_faces, ball_faces + len(ground)]).astype(np.int32)
    ground_uv = (ground[:, :2] / 12 + 0.5)[ground_faces]
    cross = np.cross(vertices[faces[:, 1]] - vertices[faces[:, 0]], vertices[faces[:, 2]] - vertices[faces[:, 0]])
    normals = np.zeros_like(vertices)
    for corner in range(3):
        np.add.at(normals, faces[:, corner], cross)
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    return {
        "vertices": vertices,
        "normals": normals,
        "faces": faces,
        "uv": np.concatenate([ground_uv, ball_uv]).astype(np.float32),
        "page": np.repeat(np.array([0, 1], np.int32), [len(ground_faces), len(ball_faces)]),
    }


def write_texture(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "textured.npz", **textured_arrays())
    y, x = np.mgrid[:256, :256]
    ground = np.stack([90 + 30 * np.sin(x / 9), 150 + 40 * np.sin(y / 7), 80 + 0 * x], axis=-1)
    ball = np.stack([np.where((x // 32 + y // 32) % 2, 230, 200), np.where(y < 128, 60, 140), 40 + 0 * x], axis=-1)  # north: redder
    for number, page in enumerate((ground, ball)):
        cv2.imwrite(
            str(folder / f"page_{number}.jpg"),
            np.ascontiguousarray(page[..., ::-1].clip(0, 255).astype(np.uint8)),
            [cv2.IMWRITE_JPEG_QUALITY, 95],
        )
    write_json(folder / "texture.json", {"faces": 2176, "seen_share": 0.97, "pages": [[256, 256], [256, 256]], "warnings": []})


def sample_points(count: int = 4000, seed: int = 0) -> Points:
    """Points on the surface of the sample mesh."""
    rng = np.random.default_rng(seed)
    mesh = textured_arrays()
    corners = mesh["vertices"][mesh["faces"]]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    face = rng.choice(len(area), count, p=area / area.sum())
    weight = rng.dirichlet([1, 1, 1], count)
    xyz = (corners[face] * weight[:, :, None]).sum(1)
    normal = (mesh["normals"][mesh["faces"][face]] * weight[:, :, None]).sum(1)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    rgb = np.where(mesh["page"][face][:, None] == 0, [90, 150, 80], [210, 100, 40])
    return Points(
        xyz.astype(np.float32),
        normal.astype(np.float32),
        rgb.astype(np.uint8),
        rng.uniform(0.3, 1, count).astype(np.float32),
        rng.integers(3, 9, count).astype(np.uint8),
        rng.uniform(0.001, 0.01, count).astype(np.float32),
    )


def look_at(eye: np.ndarray, target: np.ndarray) -> pycolmap.Rigid3d:
    forward = (target - eye) / np.linalg.norm(target - eye)
    right = np.cross(forward, [0, 0, 1.0])
    right /= np.linalg.norm(right)
    rotation = np.stack([right, np.cross(forward, right), forward])
    return pycolmap.Rigid3d(pycolmap.Rotation3d(rotation), -rotation @ eye)


def make_model(count: int = 12, model: str = "SIMPLE_RADIAL", names: list[str] | None = None) -> pycolmap.Reconstruction:
    """A ring of cameras around the ball, with the points that they see."""
    reconstruction = pycolmap.Reconstruction()
    camera = pycolmap.Camera.create_from_model_name(1, model, FOCAL_PX, *SIZE)
    params = np.array(camera.params)
    extra = list(camera.extra_params_idxs())
    params[extra] = 0.01 * np.arange(1, len(extra) + 1)
    camera.params = params
    reconstruction.add_camera_with_trivial_rig(camera)
    xyz = sample_points(300, seed=5).xyz.astype(np.float64)
    names = names or [f"a/{n:03d}.jpg" for n in range(count - 1)] + [HOSTILE]
    seen: list[list[tuple[int, int]]] = [[] for _ in xyz]
    for number, name in enumerate(names):
        angle = 2 * np.pi * number / count
        pose = look_at(np.array([9 * np.cos(angle), 9 * np.sin(angle), 4.0]), np.zeros(3))
        cam = pose * xyz
        pixel = camera.img_from_cam(cam)
        inside = np.flatnonzero((cam[:, 2] > 0.1) & (pixel > 0).all(1) & (pixel < SIZE).all(1))
        image = pycolmap.Image(name=name, camera_id=1, image_id=number + 1, keypoints=pixel[inside] + 0.3)
        reconstruction.add_image_with_trivial_frame(image, pose)
        for index, point in enumerate(inside):
            seen[point].append((number + 1, index))
    for point, observations in enumerate(seen):
        if len(observations) > 2:
            track = pycolmap.Track()
            for image_id, index in observations:
                track.add_element(image_id, index)
            reconstruction.add_point3D(xyz[point], track, np.array([200, 150, 100], np.uint8))
    reconstruction.update_point_3d_errors()
    return reconstruction


def make_run(root: Path, metric: bool = True, count: int = 12) -> dict[str, tuple[Path, ...]]:
    """Write a whole run below root/.recon; returns inputs of all stages up to texture, and of products (empty, for report)."""
    inputs = {stage: ((root / ".recon" / f"{stage}-0123456789abcdef" / "all"),) for stage in STAGES}
    for folders in inputs.values():
        folders[0].mkdir(parents=True)
    model = make_model(count)
    names = [image.name for image in sorted(model.images.values(), key=lambda image: image.image_id)]
    _write_images(inputs, [*names, "a/left_out.jpg"], metric)
    _write_matches(inputs, names)
    for stage in ("sfm", "recover", "georef"):
        (inputs[stage][0] / "model").mkdir()
        model.write(inputs[stage][0] / "model")
    _write_sfm(inputs, model)
    _write_views(inputs, model)
    georef = {
        "frame": "enu" if metric else "plane",
        "metric": metric,
        "source": "gps" if metric else "none",
        "unit": "m" if metric else "arbitrary",
        "crs": "EPSG:32630" if metric else None,
        "origin": ORIGIN if metric else None,
        "scale": 1.0,
        "rms_m": 0.4 if metric else None,
        "sigma_scale": 0.01 if metric else None,
        "gps_used": count if metric else 0,
        "gps_rejected": 0,
        "warnings": [],
    }
    write_json(inputs["georef"][0] / "georef.json", georef)
    sample_points().save(inputs["fuse"][0] / "points.npz")
    write_json(inputs["fuse"][0] / "fuse.json", {"points": 4000, "warnings": []})
    views = [{"name": name, "coverage": 0.6, "usable": 0.8} for name in names]
    write_json(inputs["depth"][0] / "depth.json", {"views": views})
    write_json(inputs["mesh"][0] / "mesh.json", {"vertices": 1186, "faces": 2176, "warnings": []})
    write_texture(inputs["texture"][0])
    start_s = 1_700_000_000.0
    for number, folders in enumerate(inputs.values()):
        done = {"start_s": start_s + 10 * number, "end_s": start_s + 10 * number + 7.5, "peak_mb": 100.0 + number}
        (folders[0] / "DONE").write_text(json.dumps(done))
    return inputs


def _write_images(inputs: dict[str, tuple[Path, ...]], names: list[str], metric: bool) -> None:
    records = []
    for number, name in enumerate(names):
        file = inputs["ingest"][0] / "images" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        cv2.imencode(".jpg", np.full((SIZE[1], SIZE[0], 3), 128, np.uint8))[1].tofile(file)
        gps = Gps(lat_deg=50.8, lon_deg=-0.1, alt_m=44.0, alt_datum="ellipsoid") if metric else None
        records.append(
            ImageRecord(
                name=name,
                file=f"ingest/0/images/{name}",
                source=name,
                sha256="0" * 64,
                width=SIZE[0],
                height=SIZE[1],
                camera="cam0",
                focal_px=500.0,
                focal_source="exif",
                gps=gps,
                sharpness=10.0 + number,
            )
        )
    video = {"source": "walk.mp4", "name": "walk", "file": "videos/walk.mp4", "frames": 150, "duration_s": 5.0}
    write_json(inputs["ingest"][0] / "videos.json", {"videos": [video]})
    for stage in ("ingest", "select", "recover"):
        write_records(inputs[stage][0], records)
    write_json(inputs["ingest"][0] / "skipped.json", {"skipped": [{"source": "<b>notes</b>.jpg", "reason": "not an image"}]})
    keyframes = [
        {"source": "walk.mp4", "frame": 5 * n, "timestamp_s": n / 6, "kept": n % 3 == 0, "reason": "kept" if n % 3 == 0 else "static"}
        for n in range(30)
    ]
    write_json(inputs["select"][0] / "keyframes.json", {"frames": keyframes, "warnings": ["walk.mp4: shaky"]})


def _write_views(inputs: dict[str, tuple[Path, ...]], model: pycolmap.Reconstruction) -> None:
    folder = inputs["undistort"][0]
    grey = cv2.imencode(".png", np.full((SIZE[1], SIZE[0], 3), 128, np.uint8))[1]
    rows = []
    for number, image in enumerate(sorted(model.images.values(), key=lambda image: image.image_id)):
        grey.tofile(folder / f"{number}.png")
        k = (FOCAL_PX, FOCAL_PX, SIZE[0] / 2, SIZE[1] / 2)
        pose = tuple(tuple(row) for row in image.cam_from_world().matrix().tolist())
        rows.append(ViewRecord(name=image.name, file=f"{number}.png", width=SIZE[0], height=SIZE[1], k=k, cam_from_world=pose))
    write_views(folder, rows)


def _write_matches(inputs: dict[str, tuple[Path, ...]], names: list[str]) -> None:
    pairs = [[a, b] for i, a in enumerate(names) for b in names[i + 1 :]]
    write_json(inputs["pairs"][0] / "pairs.json", {"pairs": pairs, "sources": {"exhaustive": len(pairs)}})
    rows = [
        {"name1": pair[0], "name2": pair[1], "raw": 200, "inliers": max(0, 150 - 20 * k % 170), "geometry": "calibrated"}
        for k, pair in enumerate(pairs)
    ]
    write_json(inputs["matches"][0] / "matches.json", {"pairs": rows})


def _write_sfm(inputs: dict[str, tuple[Path, ...]], model: pycolmap.Reconstruction) -> None:
    per_image = {
        image.name: {"registered": True, "observations": image.num_points3D, "residual_px": 0.4 + 0.02 * image.image_id}
        for image in model.images.values()
    }
    per_image["a/left_out.jpg"] = {"registered": False, "observations": 0, "residual_px": None}
    sfm = {
        "mapper": "incremental",
        "images": len(per_image),
        "registered": model.num_reg_images(),
        "points": model.num_points3D(),
        "reprojection_error_px": 0.424,
        "mean_track_length": model.compute_mean_track_length(),
        "models": [{"mapper": "incremental", "registered": model.num_reg_images(), "points": model.num_points3D(), "chosen": True}],
        "cameras": [{"camera_id": 1, "camera": "cam0", "model": "SIMPLE_RADIAL", "prior_focal_px": 500.0}],
        "per_image": per_image,
        "warnings": [{"code": "weak_link", "message": "image <i>a/003.jpg</i> hangs on one neighbour", "remedy": "take more photos there"}],
    }
    for stage in ("sfm", "recover"):
        write_json(inputs[stage][0] / "sfm.json", sfm)
    write_json(inputs["recover"][0] / "recovery.json", {"needed": False, "steps": [], "warnings": []})
