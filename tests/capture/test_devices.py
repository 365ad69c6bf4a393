"""Scans of tablets, each app's layout simulated with exact poses: recognised, and every image gets its pose, its camera and its depth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pycolmap
import pytest
from capture.taken import Taken

from recon.capture.device import rigid
from recon.capture.source import Source, open_source
from recon.inspect import LEAST_POSES, inspect
from recon.simulate import Options, simulate
from recon.simulate.cameras import path_length
from recon.simulate.kinds import TABLET_RANGE_M, plan_capture
from recon.simulate.options import FORMATS, Format
from recon.simulate.render import render_depth

SIZE, IMAGES = (160, 120), 4
NAMES = {
    "stray": "Stray Scanner",
    "record3d": "Record3D",
    "r3d": "Record3D",
    "polycam": "Polycam",
    "scanner3d": "3D Scanner App",
    "nerfcapture": "NeRFCapture",
    "arkitscenes": "ARKitScenes",
}
LEVEL = ("stray", "polycam", "scanner3d", "nerfcapture", "arkitscenes")
"""Apps that say what is up."""
OPTIONS = {"images": IMAGES, "size": SIZE, "drift": 0.0, "depth_noise_m": 0.0, "seed": 3}


@pytest.fixture(scope="module", params=FORMATS)
def form(request: pytest.FixtureRequest) -> Format:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def scan(form: Format, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp(form)
    truth = simulate("room", folder / "c", format=form, **OPTIONS)
    (folder / "c" / "truth").rename(folder / "truth")
    return folder / "c" / truth.capture


@pytest.fixture(scope="module")
def source(scan: Path, tmp_path_factory: pytest.TempPathFactory) -> Source:
    return open_source(scan, tmp_path_factory.mktemp("w"))


@pytest.fixture(scope="module")
def taken(scan: Path, tmp_path_factory: pytest.TempPathFactory) -> Taken:
    return Taken(scan, tmp_path_factory.mktemp("o"))


def test_the_app_is_recognised_and_nothing_is_lost(form: Format, source: Source) -> None:
    assert {file.device for file in source.files if file.kind in ("photo", "video", "depth", "poses", "confidence")} == {NAMES[form]}
    assert not source.lost
    images = source.videos if form == "stray" else source.photos
    assert len(images) == (1 if form == "stray" else IMAGES)
    assert set(source.poses) == {file.name for file in images}
    pairs = source.frames["rgb.mp4"] if form == "stray" else list(source.depth.values())
    assert len(pairs) == IMAGES
    assert all(pair.confidence for pair in pairs) is (form not in ("record3d", "nerfcapture"))


def test_poses_camera_and_depth_are_the_truth(form: Format, taken: Taken, scan: Path) -> None:
    plan = plan_capture("room", Options.of(format=form, **OPTIONS))
    small = pycolmap.Camera(plan.camera.todict())
    small.rescale(256, 192)
    kept = sorted(taken.kept(), key=lambda record: plan.names.index(record.name))
    assert len(kept) >= (1 if form == "stray" else IMAGES)  # a video's keyframes
    first = None
    for record in kept:
        true = plan.path.pose(float(plan.times_s[plan.names.index(record.name)]))
        assert record.pose is not None
        assert record.pose.upright is (form in LEVEL)
        cam_from_device = rigid(record.pose)
        first = first or cam_from_device.inverse() * true
        np.testing.assert_allclose((cam_from_device * first).matrix(), true.matrix(), atol=1e-6)
        if form in LEVEL:
            np.testing.assert_allclose(cam_from_device.rotation.matrix()[:, 2], true.rotation.matrix()[:, 2], atol=1e-6)
        assert record.focal_px == pytest.approx(plan.camera.mean_focal_length(), abs=1e-3)
        assert record.focal_source == "device"
        assert record.principal_px == pytest.approx((plan.camera.principal_point_x, plan.camera.principal_point_y), abs=1e-3)
        measured = taken.depth(record)
        depth = render_depth(plan.scene, small, true)
        depth = np.where(depth <= TABLET_RANGE_M, depth, 0)
        if form == "nerfcapture":  # its depth images are enlarged by repeating pixels, which pixels is Pillow's to choose
            measured_m = measured.depth_m
            assert measured_m.shape == (SIZE[1], SIZE[0])
            assert np.median(measured_m[measured_m > 0]) == pytest.approx(np.median(depth[depth > 0]), rel=0.01)
            continue
        tolerance = 1e-6 if form in ("record3d", "r3d") else 0.00051
        np.testing.assert_allclose(measured.depth_m, depth, atol=tolerance)
        assert set(np.unique(measured.confidence)) <= {0, 127, 128, 255}


def test_half_sure_depth_counts_less(form: Format, taken: Taken) -> None:
    if form in ("record3d", "nerfcapture"):
        pytest.skip("it states no confidence")
    found = [taken.depth(record) for record in taken.kept()]
    far = [image.confidence[image.depth_m > 4.01] for image in found]
    near = [image.confidence[(image.depth_m > 0) & (image.depth_m < 3.99)] for image in found]
    assert np.concatenate(near).min() == 255
    assert set(np.concatenate(far)) <= {127, 128}


def test_inspect_names_the_app_and_what_tells_metres(form: Format, scan: Path, tmp_path: Path) -> None:
    found = inspect(open_source(scan, tmp_path / "w", hashed=False), preflight=False)
    (device,) = found.devices
    assert (device.app, device.images, device.poses, device.upright) == (NAMES[form], IMAGES, IMAGES, form in LEVEL)
    plan = plan_capture("room", Options.of(format=form, **OPTIONS))
    assert device.way_m == pytest.approx(path_length([plan.path.pose(float(t)) for t in plan.times_s]), abs=0.01)
    assert found.metric_by == (("depth", "poses") if device.poses >= LEAST_POSES else ("depth",))
    assert found.depth is not None
    assert (found.depth.images, found.depth.with_confidence) == (IMAGES, 0 if form in ("record3d", "nerfcapture") else IMAGES)
    assert not [warning for warning in found.warnings if "focal length" in warning or "metric" in warning]
    assert not [row for row in found.ignored if "depth" in row.reason]
