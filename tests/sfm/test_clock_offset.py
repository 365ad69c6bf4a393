"""Telemetry against the camera's own motion: the offset of the clocks, and the scale that all positions of a track give."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pycolmap
import pytest

from recon.capture.records import Gps, ImageRecord
from recon.capture.srt import read_srt
from recon.capture.telemetry import Track, cleaned
from recon.geometry.geodesy import LocalFrame
from recon.sfm.clockoffset import clock_offset
from recon.sfm.fixes import Flight
from recon.sfm.georeference import Georeference, flights_of, georeference
from recon.simulate.cameras import Trajectory
from recon.simulate.flight import FLIGHT_FPS, eight, write_subtitles
from recon.simulate.kinds import ORIGIN

MODEL_FROM_WORLD = pycolmap.Sim3d(
    0.013, pycolmap.Rotation3d(np.array([0.3, -0.8, 0.4, 0.35]) / np.linalg.norm([0.3, -0.8, 0.4, 0.35])), np.array([5.0, -2.0, 9.0])
)


def filmed(path: Trajectory, times_s: np.ndarray, rng: np.random.Generator) -> tuple[pycolmap.Reconstruction, list[ImageRecord]]:
    """A model of keyframes at these times, each 2 cm off, in a frame of its own; and their records."""
    model = pycolmap.Reconstruction()
    model.add_camera_with_trivial_rig(pycolmap.Camera.create_from_model_name(1, "PINHOLE", 500, 640, 480))
    records = []
    for n, (rotation, center) in enumerate(zip(*path.at(times_s), strict=True)):
        image = pycolmap.Image(name=f"{n:03d}.jpg", camera_id=1, image_id=n + 1)
        image.points2D = pycolmap.Point2DList()
        moved = center + rng.normal(0, 0.02, 3)
        model.add_image_with_trivial_frame(image, pycolmap.Rigid3d(pycolmap.Rotation3d(rotation.T), -rotation.T @ moved))
        common = {"file": "x", "source": "x", "sha256": "", "width": 640, "height": 480, "camera": "a"}
        records.append(ImageRecord(name=image.name, sequence="walk.mp4", timestamp_s=float(times_s[n]), **common))
    model.transform(MODEL_FROM_WORLD)
    return model, records


def telemetry(folder: Path, path: Trajectory, frames: int, noise_m: float, offset_s: float, rng: np.random.Generator) -> Track:
    write_subtitles(folder / "walk.SRT", path, frames, ORIGIN, noise_m, (0.0, 0.0, 0.0), offset_s, rng)
    return cleaned(read_srt((folder / "walk.SRT").read_bytes(), "walk.SRT"), frames / FLIGHT_FPS)


def images_of(model: pycolmap.Reconstruction) -> dict[str, pycolmap.Image]:
    return {image.name: image for image in model.images.values()}


@pytest.mark.parametrize("offset_s", [0.4, -1.1, 0.0])
def test_noisy_telemetry_tells_scale_and_offset(tmp_path: Path, rng: np.random.Generator, offset_s: float) -> None:
    frames = 400
    path = eight(frames / FLIGHT_FPS)
    model, records = filmed(path, np.arange(0, 40, 0.45), rng)
    track = telemetry(tmp_path, path, frames, 2.0, offset_s, rng)
    flights = flights_of(model, records, {"walk.mp4": track}, [])
    found = georeference(model, [], 15.0, rng, flights)
    assert isinstance(found, Georeference)
    assert found.world_from_model.scale * 0.013 == pytest.approx(1.0, abs=0.005)
    (offset,) = found.clock_offsets
    assert offset.offset_s == pytest.approx(offset_s, abs=0.05)
    assert abs(offset.offset_s - offset_s) < 4 * offset.sigma_s
    assert 0.003 < offset.sigma_s < 0.03
    assert 3.1 < found.rms_m < 3.8, "noise of 2 m on each of three axes"
    assert 0.0005 < found.sigma_scale < 0.004
    assert not offset.at_the_end


def test_offsets_are_as_wrong_as_they_say(tmp_path: Path) -> None:
    path, wrong = eight(40.0), []
    for seed in range(12):
        rng = np.random.default_rng([7, seed])
        model, records = filmed(path, np.arange(0, 40, 0.9), rng)
        flight = Flight.of("walk.mp4", telemetry(tmp_path, path, 400, 4.0, 0.4, rng), records, images_of(model))
        assert flight is not None
        offset = clock_offset(flight, LocalFrame.at(ORIGIN.lat_deg, ORIGIN.lon_deg))
        wrong.append((offset.offset_s - 0.4) / offset.sigma_s)
    assert 0.5 < np.sqrt(np.mean(np.square(wrong))) < 1.8


def test_without_noise_the_offset_is_exact(tmp_path: Path, rng: np.random.Generator) -> None:
    path = eight(40.0)
    model, records = filmed(path, np.arange(0, 40, 0.3), rng)
    flight = Flight.of("walk.mp4", telemetry(tmp_path, path, 400, 0.0, 0.73, rng), records, images_of(model))
    assert flight is not None
    assert clock_offset(flight, LocalFrame.at(ORIGIN.lat_deg, ORIGIN.lon_deg)).offset_s == pytest.approx(0.73, abs=0.003)


def test_an_even_circle_says_nothing_of_the_clocks(tmp_path: Path, rng: np.random.Generator) -> None:
    times = np.arange(-3, 43.2, 0.2)
    turn = 2 * np.pi * times / 60
    centers = np.stack([60 * np.cos(turn), 60 * np.sin(turn), np.full(len(turn), 50.0)], 1)
    path = Trajectory(times, np.tile(np.diag([1.0, -1.0, -1.0]), (len(times), 1, 1)), centers)
    model, records = filmed(path, np.arange(0, 40, 0.45), rng)
    flight = Flight.of("walk.mp4", telemetry(tmp_path, path, 400, 2.0, 0.4, rng), records, images_of(model))
    assert flight is not None
    offset = clock_offset(flight, LocalFrame.at(ORIGIN.lat_deg, ORIGIN.lon_deg))
    assert offset.sigma_s > 0.15
    assert abs(offset.offset_s) < 3 * offset.sigma_s + 0.4


def test_telemetry_of_another_place_and_motion_is_refused(tmp_path: Path, rng: np.random.Generator) -> None:
    model, records = filmed(eight(40.0), np.arange(0, 40, 0.45), rng)
    times = np.arange(-3, 43.2, 0.2)
    elsewhere = Trajectory(times, np.tile(np.eye(3), (len(times), 1, 1)), np.stack([20 * times, 0 * times, 0 * times], 1))
    track = telemetry(tmp_path, elsewhere, 400, 1.0, 0.0, rng)
    found = georeference(model, [], 15.0, rng, flights_of(model, records, {"walk.mp4": track}, []))
    assert isinstance(found, str), "a straight flight is not an eight"
    assert "GPS positions" in found


def test_positions_at_one_point_give_no_scale(tmp_path: Path, rng: np.random.Generator) -> None:
    model, records = filmed(eight(40.0), np.arange(0, 40, 0.45), rng)
    times = np.array([-3.0, 43.0])
    still = Trajectory(times, np.tile(np.eye(3), (2, 1, 1)), np.zeros((2, 3)))
    for noise_m in (0.1, 2.0):
        track = telemetry(tmp_path, still, 400, noise_m, 0.0, rng)
        found = georeference(model, [], 15.0, rng, flights_of(model, records, {"walk.mp4": track}, []))
        assert isinstance(found, str)


def test_photos_and_a_flight_count_together(tmp_path: Path, rng: np.random.Generator) -> None:
    path = eight(40.0)
    model, records = filmed(path, np.arange(0, 40, 0.45), rng)
    track = telemetry(tmp_path, path, 400, 2.0, 0.4, rng)
    frame = LocalFrame.at(ORIGIN.lat_deg, ORIGIN.lon_deg, ORIGIN.alt_m)
    photos = []
    for record in records[::8]:
        lat, lon, alt = frame.to_geodetic(path.at(np.array([record.timestamp_s]))[1])[0]
        gps = Gps(lat_deg=lat, lon_deg=lon, alt_m=alt, alt_datum="unknown", sigma_m=(0.02, 0.03))
        photos.append(record.model_copy(update={"sequence": None, "gps": gps}))
    found = georeference(model, photos, 15.0, rng, flights_of(model, records, {"walk.mp4": track}, photos))
    assert isinstance(found, Georeference)
    assert np.linalg.norm(found.residuals_m[: len(photos)], axis=1).max() < 0.2, "fixes of 2 cm count more than those of 2 m"
    assert found.world_from_model.scale * 0.013 == pytest.approx(1.0, abs=0.0006)


def test_flights_of_another_datum_than_the_photos_are_left_out(tmp_path: Path, rng: np.random.Generator) -> None:
    path = eight(40.0)
    model, records = filmed(path, np.arange(0, 40, 0.45), rng)
    track = telemetry(tmp_path, path, 400, 2.0, 0.4, rng)
    other = {"gps": Gps(lat_deg=1, lon_deg=1, alt_m=1, alt_datum="ellipsoid")}
    photos = [record.model_copy(update=other) for record in records[:4]]
    assert flights_of(model, records, {"walk.mp4": track}, photos) == []
    assert len(flights_of(model, records, {"walk.mp4": track}, photos[:3])) == 1, "three photos give no scale themselves"
    assert flights_of(model, records[:3], {"walk.mp4": track}, []) == []
