"""The kinds of capture: what each looks at, how its camera moves, and what its device stores."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pycolmap
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter1d
from scipy.spatial.transform import Rotation

from recon.capture.records import write_json
from recon.errors import ConfigError, InputError
from recon.simulate.cameras import Trajectory, gimbal_rotation, lawnmower, orbit, path_length, room_walk, shaken
from recon.simulate.flight import FLIGHT_FPS, eight, write_subtitles
from recon.simulate.options import KINDS, Options, Origin, StockpileTruth, Truth
from recon.simulate.panorama import EYE_M, PANORAMA_FPS, pano_xmp, panorama_camera, spherical, with_operator
from recon.simulate.render import directions, render_depth, render_moving, row_times
from recon.simulate.scenes import Scene, Stockpile, object_scene, room_scene, terrain_scene
from recon.simulate.sensors import make_camera, to_srgb
from recon.simulate.write import add_gps, geographic, gimbal_xmp, photo_exif, write_mesh, write_model, write_photo, write_video

VIDEO_NAME, FPS = "walk.mp4", 25
ORIGIN = Origin(lat_deg=47.3, lon_deg=8.5, alt_m=430.0, alt_datum="sea_level")
SURVEY_ALTITUDE_M = 60.0
TABLET_DEPTH_SIZE, TABLET_RANGE_M = (256, 192), 5.0
SHAKE, EXPOSURE, NOISE, FLIGHT, GPS, DEPTH, DRIFT = range(7)
"""Streams of random numbers: one option's draws do not change another's."""


@dataclass(frozen=True)
class Plan:
    """A capture before it is taken."""

    scene: Scene
    camera: pycolmap.Camera
    path: Trajectory
    times_s: NDArray[np.float64]
    names: list[str]
    video: bool = False
    readout_s: float = 0.0
    gimbal_deg: tuple[tuple[float, float, float], ...] = ()
    stockpile: Stockpile | None = None
    fps: int = FPS
    """Of a video."""


def capture(kind: str, out: Path, options: Options) -> Truth:
    """See ``recon.simulate.simulate``."""
    if (out / "truth").exists():
        raise InputError(f"{out} holds a simulated capture already", "remove it or choose another folder")
    plan = plan_capture(kind, options)
    out.mkdir(parents=True, exist_ok=True)
    write_capture(kind, plan, options, out)
    return _write_truth(kind, plan, options, out)


def plan_capture(kind: str, options: Options) -> Plan:
    """Scene, camera and path of a capture, without a picture taken. Raises ConfigError for options that do not fit."""
    if kind not in KINDS:
        raise ConfigError(f"unknown kind of capture: {kind}", f"choose one of {', '.join(KINDS)}")
    if options.format and len(options.distortion):
        raise ConfigError("tablets state no distortion", "leave distortion or format out")
    if options.video and kind == "room":
        raise ConfigError(f"{kind} takes photos, not a video", "leave video out")
    if options.format and kind != "room":
        raise ConfigError(f"format {options.format} is one of the room's", "leave format out, or simulate room")
    if options.plain_wall and kind != "room":
        raise ConfigError("a plain wall is one of the room's", "leave plain_wall out, or simulate room")
    allowed = {"glasses": (0, 4), "panorama": (0,)}.get(kind, (0, 1, 4))
    if len(options.distortion) not in allowed:
        raise ConfigError(f"{len(options.distortion)} distortion parameters", f"{kind} takes {' or '.join(map(str, allowed))}")
    plan = {"drone": _drone, "object": _object, "room": _room, "glasses": _glasses, "panorama": _panorama}[kind](options)
    if plan.video and (plan.camera.width % 2 or plan.camera.height % 2):
        raise ConfigError(f"{plan.camera.width} x {plan.camera.height} is no size for H.264", "choose an even width and height")
    return plan


def pictures(plan: Plan, options: Options) -> Iterator[NDArray[np.uint8]]:
    """The images (h, w, 3) RGB of a plan, one by one, as its sensor gives them."""
    exposure_ev = options.exposure_ev * stream(options, EXPOSURE).standard_normal(len(plan.times_s))
    if plan.video:
        # automatic exposure drifts; a Gaussian of deviation s leaves white noise 1 / sqrt(2 s sqrt(pi)) of its deviation
        exposure_ev = gaussian_filter1d(exposure_ev, FPS / 2) * np.sqrt(FPS * np.sqrt(np.pi))
    rng = stream(options, NOISE)
    for time_s, stops in zip(plan.times_s, exposure_ev, strict=True):
        linear = render_moving(plan.scene, plan.camera, plan.path, float(time_s), options.shutter_s, plan.readout_s)
        if plan.camera.is_spherical():
            linear = with_operator(linear)
        yield to_srgb(linear, float(stops), options.noise, rng)


def stream(options: Options, number: int) -> np.random.Generator:
    return np.random.default_rng([options.seed, number])


def _object(options: Options) -> Plan:
    video = options.video if options.video is not None else True
    images = options.images or (160 if video else 24)
    duration_s = images / FPS if video else 20.0
    # the object stands still: a longer video walks slower, up to a full round
    path = shaken(orbit(duration_s, 1.65, 1.15, min(220.0, 34.0 * duration_s), np.array([0, 0, 0.5])), 0.015, 1.0, stream(options, SHAKE))
    times = np.arange(images) / FPS if video else np.linspace(0, duration_s, images)
    camera = make_camera(options.size or ((640, 480) if video else (1200, 900)), 0.75, options.distortion)
    return Plan(object_scene(options.seed), camera, path, times, _names(images, video), video)


def _drone(options: Options) -> Plan:
    if options.video:
        return _drone_video(options)
    images = options.images or 24
    camera = make_camera(options.size or (1600, 1200), 0.8, options.distortion)
    footprint = np.array([camera.height, camera.width]) * SURVEY_ALTITUDE_M / camera.mean_focal_length()
    stops = lawnmower(images, (0.25 * footprint[0], 0.35 * footprint[1]), SURVEY_ALTITUDE_M, stream(options, FLIGHT))
    centers = np.array([center for center, _ in stops])
    gimbal = tuple(angles for _, angles in stops)
    path = Trajectory(2.0 * np.arange(images, dtype=np.float64), np.array([gimbal_rotation(*angles) for angles in gimbal]), centers)
    half = np.abs(centers[:, :2]).max(0) + footprint[::-1] / 2 + 25
    scene, pile = terrain_scene((float(half[0]), float(half[1])), options.seed)
    names = [f"DJI_{n + 1:04d}.JPG" for n in range(images)]
    return Plan(scene, camera, path, path.times_s, names, gimbal_deg=gimbal, stockpile=pile)


def _drone_video(options: Options) -> Plan:
    images = options.images or 400
    times = np.arange(images) / FLIGHT_FPS
    camera = make_camera(options.size or (640, 480), 0.8, options.distortion)
    scene, pile = terrain_scene((180.0, 160.0), options.seed)
    return Plan(scene, camera, eight(images / FLIGHT_FPS), times, _names(images, True), True, stockpile=pile, fps=FLIGHT_FPS)


def _room(options: Options) -> Plan:
    video = options.format == "stray"
    images = options.images or (300 if video else 60)
    duration_s = images / FPS if video else 30.0
    path = shaken(room_walk(duration_s, loops=min(1.0, duration_s / 12) if video else 1.0), 0.02, 1.5, stream(options, SHAKE))
    camera = make_camera(options.size or ((640, 480) if options.format else (960, 720)), 0.8, options.distortion)
    times = np.arange(images) / FPS if video else np.linspace(0.0, duration_s, images)
    names = _names(images, False)
    if options.format:
        from recon.simulate.tablet import names_of  # which needs the libraries of the extra

        names = names_of(options.format, times)
    return Plan(room_scene(options.seed, options.plain_wall), camera, path, times, names, video)


def _glasses(options: Options) -> Plan:
    video = options.video if options.video is not None else True
    images = options.images or 150
    duration_s = images / FPS if video else 30.0
    path = shaken(room_walk(duration_s, 1.65, min(1.0, duration_s / 12)), 0.03, 4.0, stream(options, SHAKE))
    times = np.arange(images) / FPS if video else np.linspace(0, duration_s, images)
    # the lens of head-worn recorders is wide: 0.40 of the longer side is about 100 degrees upright
    camera = make_camera(options.size or (480, 640), 0.40, options.distortion or (0.03, -0.012, 0.004, -0.001), fisheye=True)
    return Plan(room_scene(options.seed), camera, path, times, _names(images, video), video, readout_s=0.016)


def _panorama(options: Options) -> Plan:
    images = options.images or (90 if options.video else 30)
    fps = PANORAMA_FPS if options.video else FPS
    duration_s = images / fps if options.video else 30.0
    path = shaken(room_walk(duration_s, EYE_M), 0.02, 1.5, stream(options, SHAKE))
    times = np.arange(images) / fps if options.video else np.linspace(0, duration_s, images)
    camera = panorama_camera(options.size or (1280, 640))
    return Plan(room_scene(options.seed), camera, path, times, _names(images, bool(options.video)), bool(options.video), fps=fps)


def _names(images: int, video: bool) -> list[str]:
    return [f"{VIDEO_NAME}/{n:06d}.jpg" if video else f"{n:04d}.jpg" for n in range(images)]


def write_capture(kind: str, plan: Plan, options: Options, out: Path) -> None:
    """The photos or the video of a plan, as its device stores them."""
    if options.format:
        from recon.simulate.tablet import write_scan

        write_scan(plan, options, options.format, out)
        return
    if plan.video:
        write_video(out / VIDEO_NAME, pictures(plan, options), (plan.camera.width, plan.camera.height), plan.fps)
        if kind == "drone":
            noise = options.gps_noise_m, options.gps_bias_m, options.gps_offset_s, stream(options, GPS)
            write_subtitles((out / VIDEO_NAME).with_suffix(".SRT"), plan.path, len(plan.times_s), ORIGIN, *noise)
        if kind == "panorama":
            spherical(out / VIDEO_NAME)
        return
    tags = _tags(kind, plan, options)
    for name, rgb, (exif, xmp) in zip(plan.names, pictures(plan, options), tags, strict=True):
        write_photo(out / "images" / name, rgb, exif, xmp)
    if kind == "room":
        _write_tablet(plan, options, out)


def _tags(kind: str, plan: Plan, options: Options) -> list[tuple[Image.Exif, str]]:
    """EXIF and XMP of each photo."""
    if kind == "drone":
        return _drone_tags(plan, options)
    if kind == "panorama":
        return [(Image.Exif(), pano_xmp(plan.camera))] * len(plan.times_s)
    return [(_plain_exif(plan, time_s), "") for time_s in plan.times_s]


def _plain_exif(plan: Plan, time_s: float) -> Image.Exif:
    return photo_exif(plan.camera, time_s, 6.2, "recon", "simulated camera")


def _drone_tags(plan: Plan, options: Options) -> list[tuple[Image.Exif, str]]:
    """EXIF and XMP of each photo of a flight."""
    _, centers = plan.path.at(plan.times_s)
    measured = centers + options.gps_bias_m + options.gps_noise_m * stream(options, GPS).standard_normal(centers.shape)
    tags = []
    for time_s, fix, enu, gimbal in zip(plan.times_s, geographic(measured, ORIGIN), measured, plan.gimbal_deg, strict=True):
        exif = photo_exif(plan.camera, time_s, 6.3, "recon", "simulated drone")
        add_gps(exif, *fix)
        # the drone took off from the world's origin
        tags.append((exif, gimbal_xmp(gimbal, enu[2], fix[2])))
    return tags


def _write_tablet(plan: Plan, options: Options, out: Path) -> None:
    """Depth as 16-bit PNG in millimetres, 0 beyond the sensor's range, and ``poses.json``."""
    rng, frames = stream(options, DEPTH), []
    for name, time_s in zip(plan.names, plan.times_s, strict=True):
        cam_from_world = plan.path.pose(float(time_s))
        write_depth(out / "depth" / f"{Path(name).stem}.png", plan.scene, plan.camera, cam_from_world, options.depth_noise, rng)
        frames.append(
            {
                "image": f"images/{name}",
                "depth": f"depth/{Path(name).stem}.png",
                "timestamp_s": float(time_s),
                "world_from_cam": cam_from_world.inverse().matrix().tolist(),
            }
        )
    camera = plan.camera
    intrinsics = {"model": camera.model.name, "width": camera.width, "height": camera.height, "params": camera.params.tolist()}
    write_json(out / "poses.json", {"camera": intrinsics, "depth_unit_m": 0.001, "frames": frames})


def write_depth(
    path: Path, scene: Scene, camera: pycolmap.Camera, cam_from_world: pycolmap.Rigid3d, noise_m: float, rng: np.random.Generator
) -> None:
    """What ``sensor_depth`` gives, in millimetres of 16 bits."""
    depth = sensor_depth(scene, camera, cam_from_world, noise_m, rng)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.round(depth * 1000).astype(np.uint16)).save(path)


def sensor_depth(
    scene: Scene, camera: pycolmap.Camera, cam_from_world: pycolmap.Rigid3d, noise_m: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """A sensor's depth image beside a photo [m]: smaller, 0 beyond ``TABLET_RANGE_M``, Gaussian noise in each pixel."""
    small = pycolmap.Camera(camera.todict())
    small.rescale(*TABLET_DEPTH_SIZE)
    depth = render_depth(scene, small, cam_from_world)
    known = (depth > 0) & (depth <= TABLET_RANGE_M)
    if noise_m > 0:
        depth = depth + np.float32(noise_m) * rng.standard_normal(depth.shape, np.float32)
    return np.where(known, depth, np.float32(0))


def _write_truth(kind: str, plan: Plan, options: Options, out: Path) -> Truth:
    folder = out / "truth"
    folder.mkdir()
    poses = [plan.path.pose(float(t)) for t in plan.times_s]
    write_model(folder / "cameras", plan.camera, plan.names, poses)
    write_mesh(folder / "mesh.ply", plan.scene)
    if options.depth:
        for name, cam_from_world in zip(plan.names, poses, strict=True):
            path = folder / "depth" / f"{name}.npz"
            path.parent.mkdir(parents=True, exist_ok=True)
            np.savez_compressed(path, depth=render_depth(plan.scene, plan.camera, cam_from_world))
    if plan.readout_s:
        _write_rows(folder / "rows.npz", plan)
    pile = plan.stockpile
    truth = Truth(
        kind=kind,
        options=options,
        capture=_where(kind, plan, options),
        images=len(plan.names),
        scene_size_m=seen_size(plan.scene, plan.camera, poses),
        path_length_m=path_length(poses),
        origin=ORIGIN if kind == "drone" else None,
        stockpile=StockpileTruth(
            volume_m3=pile.volume_m3, center=(*pile.center, pile.base_m), radius_m=pile.bottom_m, height_m=pile.height_m
        )
        if pile
        else None,
        fps=plan.fps if plan.video else None,
        readout_s=plan.readout_s,
    )
    truth.write(folder)
    return truth


def _where(kind: str, plan: Plan, options: Options) -> str:
    """What to reconstruct, relative to the simulated folder."""
    if kind == "room":
        return "scan.r3d" if options.format == "r3d" else "."
    return VIDEO_NAME if plan.video else "images"


def _write_rows(path: Path, plan: Plan) -> None:
    """The pose of every row: quaternions x, y, z, w of world_from_cam (N, h, 4) and centres (N, h, 3)."""
    rows = [plan.path.at(row_times(plan.camera.height, float(t), plan.readout_s)) for t in plan.times_s]
    quaternions = np.array([Rotation.from_matrix(rotations).as_quat() for rotations, _ in rows])
    centers = np.array([centers for _, centers in rows])
    np.savez_compressed(path, names=np.array(plan.names), world_from_cam_xyzw=quaternions, centers=centers)


def seen_size(scene: Scene, camera: pycolmap.Camera, poses: list[pycolmap.Rigid3d]) -> float:
    """Diagonal [m] of the bounding box of what the cameras see: of at most 40 of them, at a quarter of their size."""
    small = pycolmap.Camera(camera.todict())
    small.rescale(0.25)
    low, high = np.full(3, np.inf), np.full(3, -np.inf)
    for index in np.unique(np.linspace(0, len(poses) - 1, 40).round().astype(int)):
        xyz = unproject(small, poses[index], render_depth(scene, small, poses[index]))
        low, high = np.minimum(low, xyz.min(0, initial=np.inf)), np.maximum(high, xyz.max(0, initial=-np.inf))
    return float(np.linalg.norm(high - low))


def unproject(camera: pycolmap.Camera, cam_from_world: pycolmap.Rigid3d, depth: NDArray[np.float32]) -> NDArray[np.float64]:
    """(N, 3) world points of a depth map's (h, w) known pixels."""
    v, u = np.nonzero(depth)
    xyz_in_cam = directions(camera, np.stack([u + 0.5, v + 0.5], 1).astype(np.float64)) * depth[v, u, None]
    world_from_cam = cam_from_world.inverse()
    return np.asarray(xyz_in_cam @ world_from_cam.rotation.matrix().T + world_from_cam.translation)
