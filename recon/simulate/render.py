"""Ray casting: what a camera sees of a scene, exactly, with any of COLMAP's camera models, moving or still."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import open3d
import pycolmap
from numpy.typing import NDArray

from recon.simulate.cameras import Trajectory
from recon.simulate.scenes import SUN, Scene
from recon.simulate.sensors import to_srgb
from recon.simulate.textures import shade

STILL_SAMPLES, BLUR_SAMPLES = 4, 16


def render(
    scene: Scene, camera: pycolmap.Camera, cam_from_world: pycolmap.Rigid3d, samples: int = STILL_SAMPLES
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """A picture (h, w, 3) RGB and its depth (h, w) along z [m] through pixel centres, 0 where there is nothing."""
    return to_srgb(render_linear(scene, camera, cam_from_world, samples)), render_depth(scene, camera, cam_from_world)


def render_linear(
    scene: Scene, camera: pycolmap.Camera, cam_from_world: pycolmap.Rigid3d, samples: int = STILL_SAMPLES
) -> NDArray[np.float32]:
    """Linear light (h, w, 3) in 0..1, the mean over samples in each pixel; samples is a square number."""
    world_from_cam = cam_from_world.inverse()
    rotations, centers = world_from_cam.rotation.matrix()[None], world_from_cam.translation[None]
    total = np.zeros((camera.height, camera.width, 3), np.float32)
    for offset in pixel_offsets(samples):
        total += _trace(scene, camera, offset, rotations, centers)
    return np.asarray(total / samples, np.float32)


def render_moving(
    scene: Scene, camera: pycolmap.Camera, path: Trajectory, time_s: float, exposure_s: float = 0.0, readout_s: float = 0.0
) -> NDArray[np.float32]:
    """Linear light (h, w, 3) of a camera on the move; time_s is the middle of the exposure of the middle row.

    A row sees the scene during exposure_s around its own time; from the first row's time to the last one's passes readout_s
    (``row_times``).
    """
    if exposure_s == 0 and readout_s == 0:
        return render_linear(scene, camera, path.pose(time_s))
    samples = BLUR_SAMPLES if exposure_s > 0 else STILL_SAMPLES
    total = np.zeros((camera.height, camera.width, 3), np.float32)
    # bit-reversed instants, so that neighbours in time are not neighbours in the pixel
    instants = np.array([int(f"{i:0{samples.bit_length() - 1}b}"[::-1], 2) + 0.5 for i in range(samples)]) / samples - 0.5
    for offset, instant in zip(pixel_offsets(samples), instants, strict=True):
        rotations, centers = path.at(row_times(camera.height, time_s, readout_s) + instant * exposure_s)
        total += _trace(scene, camera, offset, rotations, centers)
    return np.asarray(total / samples, np.float32)


def row_times(height: int, time_s: float, readout_s: float) -> NDArray[np.float64]:
    """(h,) times of the middle of each row's exposure."""
    return time_s + readout_s * ((np.arange(height) + 0.5) / height - 0.5)


def render_depth(scene: Scene, camera: pycolmap.Camera, cam_from_world: pycolmap.Rigid3d) -> NDArray[np.float32]:
    """Depth (h, w) along z of the camera [m] through pixel centres, 0 where there is nothing; of a panorama the distance."""
    world_from_cam = cam_from_world.inverse()
    rays = _rays(camera, (0.5, 0.5), world_from_cam.rotation.matrix()[None], world_from_cam.translation[None])
    depth = scene.raycaster.cast_rays(open3d.core.Tensor(rays), nthreads=1)["t_hit"].numpy()
    return np.where(np.isfinite(depth), depth, 0).reshape(camera.height, camera.width).astype(np.float32)


def pixel_offsets(samples: int) -> list[tuple[float, float]]:
    """Places of the samples in a pixel, on a regular grid."""
    side = round(samples**0.5)
    return [((i + 0.5) / side, (j + 0.5) / side) for j in range(side) for i in range(side)]


def _rays(
    camera: pycolmap.Camera, offset: tuple[float, float], rotations: NDArray[np.float64], centers: NDArray[np.float64]
) -> NDArray[np.float32]:
    """(h * w, 6) origins and directions as ``directions`` has them; one pose for all rows, or one a row."""
    ahead = _directions(camera.model.name, tuple(camera.params), camera.width, camera.height, offset)
    rays = np.empty((camera.height, camera.width, 6), np.float32)
    rays[..., :3] = centers[:, None, :]
    rays[..., 3:] = ahead @ rotations.astype(np.float32).transpose(0, 2, 1)
    return rays.reshape(-1, 6)


@lru_cache(maxsize=20)
def _directions(model: str, params: tuple[float, ...], width: int, height: int, offset: tuple[float, float]) -> NDArray[np.float32]:
    """(h, w, 3) directions in the camera."""
    camera = pycolmap.Camera(model=model, width=width, height=height, params=list(params))
    u, v = np.meshgrid(np.arange(width) + offset[0], np.arange(height) + offset[1])
    found = directions(camera, np.stack([u.ravel(), v.ravel()], 1)).reshape(height, width, 3).astype(np.float32)
    found.flags.writeable = False
    return found


def directions(camera: pycolmap.Camera, pixels: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, 3) directions in the camera of (N, 2) pixels: z = 1, or length 1 of a panorama, which looks behind itself too."""
    if camera.is_spherical():
        return np.asarray(camera.cam_ray_from_img(pixels))
    return np.column_stack([camera.cam_from_img(pixels), np.ones(len(pixels))])


def pixels_a_radian(camera: pycolmap.Camera) -> float:
    """In the middle of the image."""
    return float(camera.width / (2 * np.pi) if camera.is_spherical() else camera.mean_focal_length())


def _trace(
    scene: Scene, camera: pycolmap.Camera, offset: tuple[float, float], rotations: NDArray[np.float64], centers: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Linear light (h, w, 3) along one ray a pixel."""
    rays = _rays(camera, offset, rotations, centers)
    hits = scene.raycaster.cast_rays(open3d.core.Tensor(rays), nthreads=1)
    t = hits["t_hit"].numpy()
    hit = np.isfinite(t)
    colors = np.tile(np.asarray(scene.sky, np.float32), (len(rays), 1))
    rays, t = rays[hit], t[hit]
    normals = hits["primitive_normals"].numpy()[hit]
    away = np.einsum("ij,ij->i", normals, rays[:, 3:])
    normals = np.where(away[:, None] > 0, -normals, normals)
    length = np.linalg.norm(rays[:, 3:], axis=1)
    cosine = np.maximum(np.abs(away) / length, 0.05)
    # a pixel's footprint stretches by 1 / cosine one way only; the samples take care of half of that
    footprint = t * length / pixels_a_radian(camera) / np.sqrt(cosine)
    points = rays[:, :3] + t[:, None] * rays[:, 3:]
    materials = scene.material_of_face[hits["primitive_ids"].numpy()[hit].astype(np.int64)]
    colors[hit] = shade(points, normals, materials, footprint.astype(np.float32), scene.table, SUN, scene.seed)
    return colors.reshape(camera.height, camera.width, 3)


def sees(
    raycaster: open3d.t.geometry.RaycastingScene,
    camera: pycolmap.Camera,
    cam_from_world: pycolmap.Rigid3d,
    xyz: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Where the camera sees (N, 3) world points [px] (N, 2), and whether: in the image, and nothing in front of it."""
    in_cam = xyz @ cam_from_world.rotation.matrix().T + cam_from_world.translation
    uv = np.full((len(xyz), 2), np.nan)
    front = np.nonzero((in_cam[:, 2] > 1e-6) | camera.is_spherical())[0]
    uv[front] = camera.img_from_cam(in_cam[front])
    with np.errstate(invalid="ignore"):
        inside = (uv >= 0).all(1) & (uv < [camera.width, camera.height]).all(1)
    center = cam_from_world.inverse().translation
    index = np.nonzero(inside)[0]
    rays = np.concatenate([np.tile(center, (len(index), 1)), xyz[index] - center], 1).astype(np.float32)
    reach = raycaster.cast_rays(open3d.core.Tensor(rays), nthreads=1)["t_hit"].numpy()
    mask = np.zeros(len(xyz), bool)
    mask[index[reach > 1 - 1e-4]] = True
    return uv, mask
