"""A survey flight over a ground of keypoints, without pictures: for pair choice at a scale that is too slow to render.

The ground is strewn with points that each have a descriptor of their own. A photo sees those in its view, some of them not
detected, the others with noise in place, size, direction and descriptor, among keypoints that nobody else has.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pycolmap
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from recon.capture.records import Gps, ImageRecord
from recon.features.sift import root_normalised
from recon.features.store import Features
from recon.simulate.cameras import gimbal_rotation, lawnmower
from recon.simulate.kinds import ORIGIN, SURVEY_ALTITUDE_M
from recon.simulate.sensors import make_camera
from recon.simulate.write import geographic

_A_PHOTO = 1000
"""Points of the ground in a photo's view."""
_DETECTED = 0.5
_OWN = 0.4
"""Keypoints that nobody else has, of those of the ground."""
_RELIEF_M = 2.0
_PIXELS, _TURN, _GROWTH, _GREY = 0.5, 0.1, 0.1, 10.0
"""Deviations: place [px], direction [rad], logarithm of size, descriptor before it is normalised (its own values are up to 90)."""
_GRID = 16


@dataclass(frozen=True)
class Survey:
    """Photos as ``select`` lists them, their features, and what they truly see."""

    records: list[ImageRecord]
    features: dict[str, Features]
    camera: pycolmap.Camera
    rotations: NDArray[np.float64]
    """(N, 3, 3) world_from_cam."""
    centers: NDArray[np.float64]
    """(N, 3) metres, east, north, up; the ground is at 0."""

    def overlapping(self, least: float) -> set[tuple[int, int]]:
        """Pairs (i < j) that both see at least this share of each other's ground."""
        size = np.array([self.camera.width, self.camera.height])
        edge = (np.arange(_GRID) + 0.5) / _GRID
        rays = self._rays(np.stack(np.meshgrid(edge, edge), -1).reshape(-1, 2) * size)
        reach = 2.2 * float(np.linalg.norm(size)) * SURVEY_ALTITUDE_M / self.camera.mean_focal_length() / 2
        pairs = cKDTree(self.centers[:, :2]).query_pairs(reach, output_type="ndarray")
        seen = []
        for one, other in (pairs.T, pairs[:, ::-1].T):
            directions = np.einsum("nij,kj->nki", self.rotations[one], rays)
            ground = self.centers[one][:, None] - directions * (self.centers[one][:, None, 2:] / directions[..., 2:])
            local = np.einsum("nji,nkj->nki", self.rotations[other], ground - self.centers[other][:, None])
            pixels = local[..., :2] / local[..., 2:] * self.camera.mean_focal_length() + size / 2
            seen.append(((pixels >= 0) & (pixels < size)).all(-1).mean(-1))
        both = np.minimum(*seen) >= least
        return {(int(min(pair)), int(max(pair))) for pair in pairs[both]}

    def _rays(self, pixels: NDArray[np.float64]) -> NDArray[np.float64]:
        middle = np.array([self.camera.width, self.camera.height]) / 2
        return np.column_stack([(pixels - middle) / self.camera.mean_focal_length(), np.ones(len(pixels))])


def survey(count: int, seed: int = 0, gps_noise_m: float = 0.5, spacing: tuple[float, float] = (0.25, 0.35), gps: bool = True) -> Survey:
    """A flight in strips, every other one back, as ``recon simulate drone`` flies it; spacing (along, across) in footprints."""
    rng = np.random.default_rng([seed, 11])
    camera = make_camera((1600, 1200), 0.8)
    footprint = np.array([camera.height, camera.width]) * SURVEY_ALTITUDE_M / camera.mean_focal_length()
    stops = lawnmower(count, (spacing[0] * footprint[0], spacing[1] * footprint[1]), SURVEY_ALTITUDE_M, rng)
    centers = np.array([center for center, _ in stops])
    rotations = np.array([gimbal_rotation(*angles) for _, angles in stops])
    fixes = geographic(centers + gps_noise_m * rng.standard_normal(centers.shape), ORIGIN)
    records = [
        ImageRecord(
            name=f"{n:05d}.jpg",
            file=f"ingest/0/{n:05d}.jpg",
            source=f"{n:05d}.jpg",
            sha256="",
            width=camera.width,
            height=camera.height,
            camera="drone",
            focal_px=camera.mean_focal_length(),
            focal_source="exif",
            gps=Gps(lat_deg=fix[0], lon_deg=fix[1], alt_m=fix[2], alt_datum="sea_level") if gps else None,
            gimbal_deg=angles if gps else None,
        )
        for n, (fix, (_, angles)) in enumerate(zip(fixes, stops, strict=True))
    ]
    flight = Survey(records, {}, camera, rotations, centers)
    ground = _Ground.strewn(centers, footprint, rng)
    flight.features.update({record.name: ground.seen(flight, n, rng) for n, record in enumerate(records)})
    return flight


@dataclass(frozen=True)
class _Ground:
    xyz: NDArray[np.float64]
    angles: NDArray[np.float64]
    sizes_m: NDArray[np.float64]
    descriptors: NDArray[np.float32]
    tree: cKDTree

    @classmethod
    def strewn(cls, centers: NDArray[np.float64], footprint: NDArray[np.float64], rng: np.random.Generator) -> _Ground:
        low, high = centers[:, :2].min(0) - footprint.max(), centers[:, :2].max(0) + footprint.max()
        count = int(_A_PHOTO * np.prod(high - low) / np.prod(footprint))
        xyz = np.column_stack([rng.uniform(low, high, (count, 2)), rng.normal(0, _RELIEF_M, count)])
        descriptors = rng.exponential(20, (count, 128)).astype(np.float32)
        return cls(xyz, rng.uniform(0, 2 * np.pi, count), rng.exponential(0.25, count) + 0.08, descriptors, cKDTree(xyz[:, :2]))

    def seen(self, flight: Survey, n: int, rng: np.random.Generator) -> Features:
        """Keypoints of photo n, coarsest first."""
        focal, size = flight.camera.mean_focal_length(), np.array([flight.camera.width, flight.camera.height])
        near = np.sort(self.tree.query_ball_point(flight.centers[n, :2], 0.8 * np.linalg.norm(size) * SURVEY_ALTITUDE_M / focal))
        local = (self.xyz[near] - flight.centers[n]) @ flight.rotations[n]
        pixels = local[:, :2] / local[:, 2:] * focal + size / 2
        detected = ((pixels >= 0) & (pixels < size)).all(1) & (rng.uniform(size=len(near)) < _DETECTED)
        at, own = near[detected], int(_OWN * detected.sum())
        # north as the photo shows it: its y axis points down
        north = flight.rotations[n].T @ np.array([0.0, 1.0, 0.0])
        angle = np.arctan2(north[1], north[0]) - self.angles[at] + rng.normal(0, _TURN, len(at))
        grown = self.sizes_m[at] * focal / SURVEY_ALTITUDE_M * np.exp(rng.normal(0, _GROWTH, len(at)))
        placed = np.column_stack([pixels[detected] + rng.normal(0, _PIXELS, (len(at), 2)), grown, np.mod(angle, 2 * np.pi)])
        alone = np.column_stack([rng.uniform(0, size, (own, 2)), rng.permutation(grown)[:own], rng.uniform(0, 2 * np.pi, own)])
        noisy = np.abs(self.descriptors[at] + rng.normal(0, _GREY, (len(at), 128)).astype(np.float32))
        descriptors = np.concatenate([noisy, rng.exponential(20, (own, 128)).astype(np.float32)])
        table = np.concatenate([placed, alone]).astype(np.float32)
        order = np.argsort(-table[:, 2], kind="stable")
        return Features(table[order], root_normalised(descriptors[order]), np.zeros((len(order), 3), np.uint8))
