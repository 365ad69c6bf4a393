"""Positions of photos as priors of a last adjustment."""

from __future__ import annotations

import numpy as np
import pycolmap
import pytest

from recon.capture.records import Gps, ImageRecord
from recon.geometry.geodesy import LocalFrame
from recon.sfm.georeference import Georeference, georeference
from recon.sfm.priors import held_by_fixes
from recon.sfm.refine import Adjustment
from recon.simulate.kinds import ORIGIN, plan_capture
from recon.simulate.options import Options
from recon.simulate.views import exact_model

ADJUSTMENT = Adjustment(2.0, 1.5, fixed_intrinsics=False, seed=0, threads=1)


@pytest.fixture(scope="module")
def flight() -> tuple[pycolmap.Reconstruction, list[str]]:
    """Twelve nadir photos with keypoints of 0.5 px noise, in metres."""
    plan = plan_capture("drone", Options(images=12, size=(320, 240)))
    poses = [plan.path.pose(float(time)) for time in plan.times_s]
    model = exact_model(plan, plan.names, poses, 1500, 0)
    rng = np.random.default_rng(5)
    for image in model.images.values():
        for point in image.points2D:
            point.xy = point.xy + rng.normal(0, 0.5, 2)
    return model, plan.names


def photos(model: pycolmap.Reconstruction, names: list[str], noise_m: float, **gps: object) -> list[ImageRecord]:
    frame, rng = LocalFrame.at(ORIGIN.lat_deg, ORIGIN.lon_deg, ORIGIN.alt_m), np.random.default_rng(2)
    centers = {image.name: image.projection_center() for image in model.images.values()}
    records = []
    for name in names:
        lat, lon, alt = frame.to_geodetic((centers[name] + rng.normal(0, noise_m, 3))[None])[0]
        fix = Gps(**{"lat_deg": lat, "lon_deg": lon, "alt_m": alt, "alt_datum": "unknown", **gps})
        records.append(ImageRecord(name=name, file="x", source="x", sha256="", width=320, height=240, camera="a", gps=fix))
    return records


def bent(model: pycolmap.Reconstruction, height_m: float) -> pycolmap.Reconstruction:
    """The model as a wrong lens bends it: everything sinks by the square of its way from the middle, by height_m at the cameras' rim."""
    made = pycolmap.Reconstruction(model)
    rim = max(np.linalg.norm(image.projection_center()[:2]) for image in made.images.values())

    def sunk(xyz: np.ndarray) -> np.ndarray:
        return np.array([*xyz[:2], xyz[2] - height_m * (xyz[0] ** 2 + xyz[1] ** 2) / rim**2])

    for image in made.images.values():
        pose = image.cam_from_world()
        image.frame.set_cam_from_world(image.camera_id, pycolmap.Rigid3d(pose.rotation, -(pose.rotation * sunk(image.projection_center()))))
    for point in made.points3D.values():
        point.xyz = sunk(point.xyz)
    return made


def heights_off(model: pycolmap.Reconstruction, truth: pycolmap.Reconstruction, found: Georeference) -> float:
    """Standard deviation [m] of the cameras' heights against the truth."""
    true = {image.name: image.projection_center()[2] for image in truth.images.values()}
    return float(np.std([(found.world_from_model * image.projection_center())[2] - true[image.name] for image in model.images.values()]))


def test_a_bowl_is_straightened_within_the_images_error(flight: tuple[pycolmap.Reconstruction, list[str]]) -> None:
    truth, names = flight
    model = bent(truth, 3.0)
    model.transform(pycolmap.Sim3d(0.1, pycolmap.Rotation3d(), np.array([1.0, 2.0, 3.0])))
    records = photos(truth, names, 0.02, sigma_m=(0.02, 0.03))
    found = georeference(model, records, 15.0, np.random.default_rng(0))
    assert isinstance(found, Georeference)
    before = heights_off(model, truth, found)
    held = held_by_fixes(model, records, found, ADJUSTMENT)
    assert held is not None
    again = georeference(held, records, 15.0, np.random.default_rng(0))
    assert isinstance(again, Georeference)
    assert before > 0.3
    assert heights_off(held, truth, again) < 0.05
    assert again.world_from_model.scale == pytest.approx(found.world_from_model.scale, rel=0.02), "the model stays in its own frame"


def test_nothing_is_adjusted_where_deviations_are_unknown_or_photos_few(flight: tuple[pycolmap.Reconstruction, list[str]]) -> None:
    truth, names = flight
    rng = np.random.default_rng(0)
    for count, gps in ((12, {"alt_datum": "sea_level"}), (12, {"alt_m": None}), (7, {})):
        records = photos(truth, names[:count], 0.3, **gps)
        found = georeference(truth, records, 15.0, rng)
        assert isinstance(found, Georeference)
        assert held_by_fixes(truth, records, found, ADJUSTMENT) is None


def test_positions_that_images_contradict_are_hardly_followed(flight: tuple[pycolmap.Reconstruction, list[str]]) -> None:
    truth, names = flight
    records = photos(truth, names, 3.0, sigma_m=(0.001, 0.001))
    found = georeference(truth, records, 15.0, np.random.default_rng(0))
    assert isinstance(found, Georeference)
    held = held_by_fixes(truth, records, found, ADJUSTMENT)
    if held is not None:
        truth_error_px, held_error_px = (_error_px(model) for model in (truth, held))
        assert held_error_px <= 1.02 * truth_error_px + 1e-6
        assert heights_off(held, truth, found) < 1.5, "half the noise that the fixes claim not to have"


def _error_px(model: pycolmap.Reconstruction) -> float:
    model.update_point_3d_errors()
    return float(model.compute_mean_reprojection_error())
