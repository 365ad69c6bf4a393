"""Project Aria: the calibration of the upright frame, and what is said where nothing can be read."""

import sys

import numpy as np
import pycolmap
import pytest

from recon.capture.aria import MODEL, UPRIGHT_FROM_STORED, Recording, upright_lens
from recon.dense.undistort import Undistorter
from recon.errors import InputError, MissingPart, NotFound

PARAMS = np.array(
    [611.0, 715.1, 716.7, 0.406, -0.49, 0.1746, 1.133, -1.7016, 0.6512, 6.2e-4, 1.9e-5, -1.5e-5, 2.6e-4, -6.6e-4, 3.8e-5], np.float64
)
"""FISHEYE624, of a size as real ones."""
SIZE = 1408


def upright_camera(scale=1.0):
    lens = upright_lens(PARAMS, 707.5, round(scale * SIZE), scale)
    size = round(scale * SIZE)
    return pycolmap.Camera(camera_id=1, model=MODEL, width=size, height=size, params=list(lens.params))


def rays(rng, count=500, most_deg=54.0):
    theta, phi = np.radians(rng.uniform(0, most_deg, count)), rng.uniform(0, 2 * np.pi, count)
    return np.column_stack([np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)])


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_the_upright_lens_sees_what_arias_own_projection_says(rng, scale):
    calibration = pytest.importorskip("projectaria_tools.core.calibration")
    sophus = pytest.importorskip("projectaria_tools.core.sophus")
    theirs = calibration.CameraCalibration(
        "camera-rgb", calibration.CameraModelType.FISHEYE624, PARAMS, sophus.SE3(), SIZE, SIZE, 707.5, np.pi, "serial"
    )
    camera = upright_camera(scale)
    for ray in rays(rng):
        stored = np.array(theirs.project_no_checks(ray)) + 0.5  # their first pixel's centre is (0, 0)
        turned = np.array([SIZE - stored[1], stored[0]]) * scale
        np.testing.assert_allclose(camera.img_from_cam(UPRIGHT_FROM_STORED[:3, :3] @ ray), turned, atol=1e-8)


def test_the_upright_lens_is_the_stored_one_turned(rng):
    f, u, v, *rest = PARAMS
    stored = pycolmap.Camera(model=MODEL, width=SIZE, height=SIZE, params=[f, f, u + 0.5, v + 0.5, *rest])
    at = stored.img_from_cam(rays := globals()["rays"](rng))
    turned = np.column_stack([SIZE - at[:, 1], at[:, 0]])
    np.testing.assert_allclose(upright_camera().img_from_cam(rays @ UPRIGHT_FROM_STORED[:3, :3].T), turned, atol=1e-9)
    assert np.abs(turned - at).max() > 100


def test_views_of_the_glasses_cover_both_sides_of_the_axis():
    view = Undistorter(upright_camera(), 500).camera
    assert 0.4 < view.principal_point_x / view.width < 0.6  # a false inverse in the dark corners once cut half of it away
    assert view.width == pytest.approx(view.height, rel=0.05)
    mask = upright_lens(PARAMS, 707.5, SIZE).mask(SIZE, SIZE)
    assert mask[5, 5] == 0
    assert (mask[SIZE // 2 - 300 : SIZE // 2 + 300] == 255).mean() > 0.96


def test_without_the_package_the_remedy_is_told(tmp_path, monkeypatch):
    (tmp_path / "a.vrs").write_bytes(b"x")
    monkeypatch.setitem(sys.modules, "projectaria_tools.core", None)
    with pytest.raises(MissingPart, match=r"recon\[aria\]"):
        Recording(tmp_path / "a.vrs")


def test_what_is_no_recording_is_refused(tmp_path, capfd):
    pytest.importorskip("projectaria_tools.core.data_provider")
    (tmp_path / "a.vrs").write_bytes(bytes(range(256)) * 20)
    with pytest.raises(InputError, match="no VRS recording"):
        Recording(tmp_path / "a.vrs")
    with pytest.raises(NotFound, match="can't be read"):
        Recording(tmp_path / "b.vrs")
    assert capfd.readouterr() == ("", "")  # the library's log is not the user's
