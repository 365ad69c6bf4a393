"""The world frame: which way is up, and how GPS scales the model."""

from __future__ import annotations

import numpy as np
import pycolmap
import pytest

from recon.capture.records import Gps, ImageRecord
from recon.geometry.geodesy import LocalFrame
from recon.sfm.georeference import Georeference, georeference, gps_fixes
from recon.sfm.upright import level_frame


def photo(name: str, at: np.ndarray, **gps: object) -> ImageRecord:
    """A record with a GPS position, metres east, north and up of HOME."""
    lat, lon, alt = HOME.to_geodetic(at[None])[0]
    fix = Gps(**{"lat_deg": lat, "lon_deg": lon, "alt_m": alt, "alt_datum": "sea_level", **gps})
    return ImageRecord(name=name, file="x", source="x", sha256="", width=640, height=480, camera="a", gps=fix, gimbal_deg=(0, -90, 0))


def model_of(centers: np.ndarray, rotations: np.ndarray) -> pycolmap.Reconstruction:
    """Cameras at (N, 3) centres with (N, 3, 3) cam_from_world."""
    model = pycolmap.Reconstruction()
    model.add_camera_with_trivial_rig(pycolmap.Camera.create_from_model_name(1, "PINHOLE", 500, 640, 480))
    for n, (center, rotation) in enumerate(zip(centers, rotations, strict=True)):
        image = pycolmap.Image(name=f"{n:02d}.jpg", camera_id=1, image_id=n + 1)
        image.points2D = pycolmap.Point2DList()
        model.add_image_with_trivial_frame(image, pycolmap.Rigid3d(pycolmap.Rotation3d(rotation), -rotation @ center))
    return model


HOME = LocalFrame.at(47.3, 8.5)
DOWN = np.diag([1.0, -1.0, -1.0])


def flight(rng: np.random.Generator, gps_noise_m: float, outlier: bool = False, line: bool = False) -> tuple[pycolmap.Reconstruction, list]:
    """A nadir flight of a flat field in a model of unknown turn and scale, and its photos' records."""
    n = np.arange(20)
    centers = np.column_stack([10.0 * n, 0 * n, 480 + 0 * n] if line else [12.0 * (n % 5), 15.0 * (n // 5), 480 + 2 * np.sin(n)])
    model = model_of(centers, np.array([DOWN] * 20))
    noisy = centers + rng.normal(0, gps_noise_m, (20, 3))
    noisy[3] += np.array([300.0, 0, 0]) if outlier else 0
    records = [photo(f"{i:02d}.jpg", at) for i, at in enumerate(noisy)]
    for x, y in rng.uniform(-20, 80, (400, 2)):
        model.add_point3D(np.array([x, y, 430.0]), pycolmap.Track())
    turn = pycolmap.Rotation3d(np.array([0.3, -0.8, 0.4, 0.35]) / np.linalg.norm([0.3, -0.8, 0.4, 0.35]))
    model.transform(pycolmap.Sim3d(0.013, turn, np.array([5.0, -2.0, 9.0])))
    return model, records


@pytest.mark.parametrize(("noise_m", "low_m", "high_m"), [(0.0, 0.0, 1e-6), (0.5, 0.4, 1.3)])
def test_the_residual_is_the_noise_of_gps(rng: np.random.Generator, noise_m: float, low_m: float, high_m: float) -> None:
    model, records = flight(rng, noise_m)
    found = georeference(model, records, 15.0, rng)
    assert isinstance(found, Georeference)
    assert low_m <= found.rms_m <= high_m
    assert found.world_from_model.scale == pytest.approx(1 / 0.013, rel=0.03 if noise_m else 1e-9)
    assert found.frame.crs == "EPSG:32632"
    assert found.used.all()
    assert not found.on_a_line


def test_a_wild_position_is_rejected(rng: np.random.Generator) -> None:
    model, records = flight(rng, 0.3, outlier=True)
    found = georeference(model, records, 15.0, rng)
    assert isinstance(found, Georeference)
    assert np.flatnonzero(~found.used).tolist() == [3]
    assert found.rms_m < 1.0


def test_a_single_strip_does_not_roll_about_its_line(rng: np.random.Generator) -> None:
    model, records = flight(rng, 0.2, line=True)
    found = georeference(model, records, 15.0, rng)
    assert isinstance(found, Georeference)
    assert found.on_a_line
    model.transform(found.world_from_model)
    heights = np.array([point.xyz[2] for point in model.points3D.values()])
    assert np.std(heights) < 1.0
    assert np.median(heights) == pytest.approx(430, abs=2)


def test_too_few_positions_give_no_scale(rng: np.random.Generator) -> None:
    model, records = flight(rng, 0.1)
    assert georeference(model, records[:3], 15.0, rng) == "3 GPS positions are too few to scale the model: 4 are needed"


def around(count: int, radius_m: float) -> tuple[np.ndarray, pycolmap.Reconstruction]:
    """Photos around a small object: (N, 3) centres in metres, and a model of another scale."""
    angles = np.linspace(0, 2 * np.pi, count, endpoint=False)
    centers = np.column_stack([radius_m * np.cos(angles), radius_m * np.sin(angles), 1.5 + 0.2 * np.sin(3 * angles)])
    forward = -centers * [1, 1, 0] / radius_m
    down = np.broadcast_to([0.0, 0, -1], centers.shape)
    rotations = np.stack([np.cross(down, forward), down, forward], axis=1)
    model = model_of(centers, rotations)
    model.transform(pycolmap.Sim3d(0.4, pycolmap.Rotation3d(np.array([0.1, 0.7, 0.1, 0.7]) / 1.0), np.array([1.0, 2, 3])))
    return centers, model


@pytest.mark.parametrize("count", [4, 12, 60, 400])
def test_noise_of_phones_around_a_small_object_is_no_scale(count: int) -> None:
    for seed in range(10):
        rng = np.random.default_rng([count, seed])
        centers, model = around(count, 2.0)
        records = [photo(f"{n:02d}.jpg", at) for n, at in enumerate(centers + rng.normal(0, 5.0, centers.shape))]
        found = georeference(model, records, 15.0, rng)
        assert isinstance(found, str)
        if count == 60:
            assert "GPS positions spread over" in found
            assert "m noise can't scale the model" in found


def test_the_scale_of_a_flight_is_as_certain_as_stated() -> None:
    """40 m of spread and 1 m of noise stay metric, and the stated sigma is that of the scales that come out."""
    scales, stated = [], []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        n = np.arange(18)
        centers = np.column_stack([8.0 * (n % 6), 14.0 * (n // 6), 40 + np.sin(n)])
        model = model_of(centers, np.array([DOWN] * 18))
        records = [photo(f"{i:02d}.jpg", at) for i, at in enumerate(centers + rng.normal(0, 1.0, (18, 3)))]
        found = georeference(model, records, 15.0, rng)
        assert isinstance(found, Georeference)
        scales.append(found.world_from_model.scale)
        stated.append(found.sigma_scale)
    assert 0.6 < np.std(scales) / np.mean(stated) < 1.6
    assert np.mean(stated) < 0.03


def test_positions_above_each_other_give_no_frame(rng: np.random.Generator) -> None:
    centers = np.column_stack([np.zeros(10), np.zeros(10), 3.0 * np.arange(10)])
    records = [photo(f"{n:02d}.jpg", at) for n, at in enumerate(centers)]
    found = georeference(model_of(centers, np.array([DOWN] * 10)), records, 15.0, rng)
    assert found == "the GPS positions lie straight above each other: where north is stays open"


def test_altitudes_count_only_where_all_have_one_of_one_datum(rng: np.random.Generator) -> None:
    model, records = flight(rng, 0.0)
    assert len(gps_fixes(records, {record.name: 1 for record in records})) == 20
    without = [record.model_copy(update={"gps": record.gps.model_copy(update={"alt_m": None})}) for record in records]
    for n_with in (0, 3):
        fixes = gps_fixes(records[:n_with] + without[n_with:], {record.name: 1 for record in records})
        assert len(fixes) == 20
        found = georeference(model, fixes, 15.0, rng)
        assert isinstance(found, Georeference)
        assert found.datum == "unknown"
        assert np.abs(found.centers_m[:, 2]).max() < 5
    fixes = gps_fixes(records[:5] + without[5:], {record.name: 1 for record in records})
    assert [record.name for record in fixes] == [record.name for record in records[:5]]


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
