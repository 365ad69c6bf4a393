"""A simulated drone video and the subtitles beside it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pycolmap
import pytest

from recon.capture.srt import read_srt
from recon.capture.telemetry import cleaned
from recon.geometry.geodesy import LocalFrame
from recon.simulate import simulate
from recon.simulate.flight import eight, write_subtitles


def test_a_drone_video_has_subtitles_whose_clock_and_noise_are_as_asked(tmp_path: Path) -> None:
    truth = simulate("drone", tmp_path, video=True, images=30, size=(64, 48), gps_noise_m=0.0, gps_offset_s=0.5)
    assert (truth.capture, truth.fps) == ("walk.mp4", 10)
    track = cleaned(read_srt((tmp_path / "walk.SRT").read_bytes(), "walk.SRT"), 3.0)
    assert (len(track), track.warnings) == (30, ())
    assert truth.origin is not None
    frame = LocalFrame.at(truth.origin.lat_deg, truth.origin.lon_deg, truth.origin.alt_m)
    model = pycolmap.Reconstruction(tmp_path / "truth" / "cameras")
    centers = {image.name: image.projection_center() for image in model.images.values()}
    for number in (0, 10, 24):
        written = frame.from_geodetic(track.lat_lon_alt[[number + 5]])[0]
        assert written == pytest.approx(centers[f"walk.mp4/{number:06d}.jpg"], abs=0.02), "half a second later on the telemetry's clock"
    noisy = eight(40.0)
    write_subtitles(tmp_path / "noisy.SRT", noisy, 400, truth.origin, 2.0, (0.0, 0.0, 0.0), 0.0, np.random.default_rng(1))
    measured = frame.from_geodetic(cleaned(read_srt((tmp_path / "noisy.SRT").read_bytes(), "noisy.SRT")).lat_lon_alt)
    assert np.std(measured - noisy.at(np.arange(400) / 10)[1], axis=0) == pytest.approx([2.0] * 3, rel=0.12)
