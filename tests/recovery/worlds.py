"""Synthetic photos without pictures: keypoints of points with descriptors of their own, so that matching is the real one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pycolmap

from recon.capture.records import Gps, ImageRecord
from recon.config import Config
from recon.features.sift import root_normalised
from recon.features.store import Features
from recon.geometry.geodesy import LocalFrame
from recon.recovery.material import Material, Names, Place, match_pairs, ordered
from recon.simulate.cameras import look_at, pose
from recon.stage import Work

pycolmap.logging.minloglevel = pycolmap.logging.FATAL.value
SIZE = (640, 480)
CAMERA = pycolmap.Camera.create_from_model_name(1, "SIMPLE_RADIAL", 600.0, *SIZE)
HOME = LocalFrame.at(47.3, 8.5, 400.0)
NOISE_PX = 0.3


class World:
    """Points about the origin and the images that see them."""

    def __init__(self, points: int = 700, seed: int = 3) -> None:
        self.rng = np.random.default_rng(seed)
        self.xyz = self.rng.uniform(-1.2, 1.2, (points, 3))
        self.descriptors = root_normalised(self.rng.exponential(1.0, (points, 128)).astype(np.float32))
        self.records: list[ImageRecord] = []
        self.features: dict[str, Features] = {}

    def see(self, name: str, at: pycolmap.Rigid3d, only: Sequence[int] | None = None, gps: bool = False) -> None:
        """An image from there, of all points in view or of some of them."""
        in_cam = at * self.xyz
        pixels = CAMERA.img_from_cam(in_cam)
        inside = (in_cam[:, 2] > 0.1) & (pixels > 0).all(1) & (pixels < SIZE).all(1)
        seen = np.flatnonzero(inside) if only is None else np.array([k for k in only if inside[k]])
        noisy = pixels[seen] + self.rng.normal(0, NOISE_PX, (len(seen), 2))
        keypoints = np.column_stack([noisy, np.full(len(seen), 3.0), np.zeros(len(seen))]).astype(np.float32)
        self.features[name] = Features(keypoints, self.descriptors[seen], np.zeros((len(seen), 3), np.uint8))
        center = at.inverse().translation
        lat, lon, alt = HOME.to_geodetic(10 * center[None])[0]  # a unit is ten metres
        fix = Gps(lat_deg=lat, lon_deg=lon, alt_m=alt, alt_datum="ellipsoid") if gps else None
        common = {"file": "x", "source": name, "sha256": name, "width": SIZE[0], "height": SIZE[1], "camera": "a"}
        self.records.append(ImageRecord(name=name, **common, focal_px=600.0, focal_source="exif", gps=fix))

    def material(self, place: Place, matched: Iterable[Names]) -> Material:
        """With these pairs tried, and no other."""
        names = frozenset(record.name for record in self.records)
        bare = Material(tuple(self.records), self.features, {}, {}, names)
        return bare.with_matches(match_pairs(bare, sorted({ordered(*pair) for pair in matched}), place))


def orbit(count: int, arc_deg: float = 120.0, start_deg: float = 0.0) -> list[pycolmap.Rigid3d]:
    angles = np.radians(start_deg + np.linspace(0, arc_deg, count))
    centers = [np.array([5 * np.cos(a), 5 * np.sin(a), 1.0 + 0.3 * np.sin(5 * a)]) for a in angles]
    return [pose(look_at(center, np.zeros(3)), center) for center in centers]


def place(out: Path, config: Config | None = None, **inputs: Path) -> Place:
    return Place(config or Config(), {"ingest": (), **{name: (folder,) for name, folder in inputs.items()}}, out, Work())


def all_pairs(names: Sequence[str]) -> list[Names]:
    return [(one, two) for k, one in enumerate(names) for two in names[k + 1 :]]
