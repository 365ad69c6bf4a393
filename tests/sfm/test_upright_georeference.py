"""The world frame: which way is up, and how GPS scales the model."""

from __future__ import annotations

import numpy as np
import pycolmap
import pytest

from recon.capture.records import Gps, ImageRecord
from recon.geometry.geodesy import LocalFrame
from recon.sfm.georeference import georeference
from recon.sfm.upright import level_frame


def flight(rng: np.random.Generator, gps_noise_m: float, outlier: bool = False, line: bool = False) -> tuple[pycolmap.Reconstruction, list]:
    """A nadir flight of a flat field in a model of unknown turn and scale, and its photos' records."""
    frame = LocalFrame.at(47.3, 8.5)
    model = pycolmap.Reconstruction()
    camera = pycolmap.Camera.create_from_model_name(1, "PINHOLE", 500, 640, 480)
    model.add_camera_with_trivial_rig(camera)
    down = np.diag([1.0, -1.0, -1.0])
    records = []
    for n in range(20):
        center = np.array([10.0 * n, 0, 480]) if line else np.array([12.0 * (n % 5), 15.0 * (n // 5), 480 + 2 * np.sin(n)])
        image = pycolmap.Image(name=f"{n:02d}.jpg", camera_id=1, image_id=n + 1)
        image.points2D = pycolmap.Point2DList()
        model.add_image_with_trivial_frame(image, pycolmap.Rigid3d(pycolmap.Rotation3d(down), -down @ center))
        noisy = center + rng.normal(0, gps_noise_m, 3) + (np.array([300.0, 0, 0]) if outlier and n == 3 else 0)
        lat, lon, alt = frame.to_geodetic(noisy[None])[0]
        gps = Gps(lat_deg=lat, lon_deg=lon, alt_m=alt, alt_datum="sea_level")
        records.append(
            ImageRecord(
                name=image.name, file="x", source="x", sha256="", width=640, height=480, camera="a", gps=gps, gimbal_deg=(0, -90, 0)
            )
        )
    for x, y in rng.uniform(-20, 80, (400, 2)):
        model.add_point3D(np.array([x, y, 430.0]), pycolmap.Track())
    turn = pycolmap.Rotation3d(np.array([0.3, -0.8, 0.4, 0.35]) / np.linalg.norm([0.3, -0.8, 0.4, 0.35]))
    model.transform(pycolmap.Sim3d(0.013, turn, np.array([5.0, -2.0, 9.0])))
    return model, records


@pytest.mark.parametrize(("noise_m", "low_m", "high_m"), [(0.0, 0.0, 1e-6), (0.5, 0.4, 1.3)])
def test_the_residual_is_the_noise_of_gps(rng: np.random.Generator, noise_m: float, low_m: float, high_m: float) -> None:
    model, records = flight(rng, noise_m)
    found = georeference(model, records, 15.0, rng)
    assert found is not None
    assert low_m <= found.rms_m <= high_m
    assert found.world_from_model.scale == pytest.approx(1 / 0.013, rel=0.03 if noise_m else 1e-9)
    assert found.frame.crs == "EPSG:32632"
    assert found.used.all()
    assert not found.on_a_line


def test_a_wild_position_is_rejected(rng: np.random.Generator) -> None:
    model, records = flight(rng, 0.3, outlier=True)
    found = georeference(model, records, 15.0, rng)
    assert found is not None
    assert np.flatnonzero(~found.used).tolist() == [3]
    assert found.rms_m < 1.0


def test_a_single_strip_does_not_roll_about_its_line(rng: np.random.Generator) -> None:
    model, records = flight(rng, 0.2, line=True)
    found = georeference(model, records, 15.0, rng)
    assert found is not None
    assert found.on_a_line
    model.transform(found.world_from_model)
    heights = np.array([point.xyz[2] for point in model.points3D.values()])
    assert np.std(heights) < 1.0
    assert np.median(heights) == pytest.approx(430, abs=2)


def test_too_few_positions_give_no_scale(rng: np.random.Generator) -> None:
    model, records = flight(rng, 0.1)
    assert georeference(model, records[:3], 15.0, rng) is None


def test_without_gps_the_field_is_level_and_at_a_handy_scale(rng: np.random.Generator) -> None:
    model, records = flight(rng, 0.0)
    model.transform(level_frame(model, records, rng))
    xyz = np.array([point.xyz for point in model.points3D.values()])
    centers = np.array([image.projection_center() for image in model.images.values()])
    assert np.std(xyz[:, 2]) < 1e-6
    assert centers[:, 2].min() > 1
    assert np.median(np.linalg.norm(centers - np.median(xyz, 0), axis=1)) == pytest.approx(10, rel=0.1)


def test_degrees_and_metres_undo_each_other(rng: np.random.Generator) -> None:
    frame = LocalFrame.at(-33.9, 151.2, 12.0)
    xyz = rng.uniform(-2000, 2000, (50, 3))
    np.testing.assert_allclose(frame.from_geodetic(frame.to_geodetic(xyz)), xyz, atol=1e-6)
    assert frame.crs == "EPSG:32756"
