import json
import shutil

import numpy as np
import open3d
import pycolmap
import pytest
import trimesh
from scipy.spatial.transform import Rotation

from recon.errors import InputError, NotFound
from recon.evaluate import evaluate
from recon.evaluate.strecha import read_strecha
from recon.geometry.frames import gltf_from_world
from recon.simulate import simulate

TRUTH_FROM_RESULT = pycolmap.Sim3d(2.5, pycolmap.Rotation3d(Rotation.random(rng=3).as_matrix()), np.array([1.0, 2.0, -1.0]))


@pytest.fixture(scope="module")
def flight(tmp_path_factory):
    """A simulated flight, and a perfect result of it in a frame of its own."""
    out = tmp_path_factory.mktemp("flight")
    pile = simulate("drone", out, images=12, size=(160, 120), seed=1).stockpile
    result = tmp_path_factory.mktemp("result")
    (result / "cameras").mkdir()
    model = pycolmap.Reconstruction(out / "truth" / "cameras")
    model.transform(TRUTH_FROM_RESULT.inverse())
    model.write(result / "cameras")
    mesh = trimesh.load_mesh(out / "truth" / "mesh.ply", process=False)
    points, _ = trimesh.sample.sample_surface(mesh, 400_000, seed=0)
    buried = (np.linalg.norm(points[:, :2] - pile.center[:2], axis=1) < pile.radius_m) & (points[:, 2] < pile.center[2] + 1e-3)
    cloud = open3d.geometry.PointCloud(open3d.utility.Vector3dVector(TRUTH_FROM_RESULT.inverse() * np.asarray(points[~buried])))
    open3d.io.write_point_cloud(str(result / "points.ply"), cloud)
    own = trimesh.Trimesh(TRUTH_FROM_RESULT.inverse() * np.asarray(mesh.vertices), mesh.faces, process=False)
    own.export(result / "mesh.obj")
    trimesh.Trimesh(gltf_from_world(np.asarray(own.vertices)), mesh.faces, process=False).export(result / "mesh.glb")
    return result, out


def test_a_perfect_result_scores_perfectly(flight):
    result, out = flight
    scores = json.loads(json.dumps(evaluate(result, out / "truth")))
    assert scores["poses"]["images"] == 12
    assert scores["poses"]["position"]["max"] < 1e-6
    assert scores["poses"]["scale"] == pytest.approx(2.5)
    for part in ("cloud", "mesh"):
        row = scores[part]["thresholds"][1]
        assert row["share"] == pytest.approx(0.002)
        assert row["accuracy"] > 0.999
        assert row["completeness"] > (0.9 if part == "mesh" else 0.5)  # 400,000 points over 2 ha are 30 cm apart
    assert abs(scores["stockpile"]["relative_error"]) < 0.02
    assert scores["stockpile"]["relative_error"] != 0


def test_the_simulated_folder_itself_and_the_obj_serve_too(flight, tmp_path):
    result, out = flight
    glb = evaluate(result, out)["mesh"]
    shutil.copytree(result / "cameras", tmp_path / "cameras")
    shutil.copy(result / "mesh.obj", tmp_path)
    scores = evaluate(tmp_path, out)
    assert scores.keys() == {"poses", "mesh"}
    assert scores["mesh"]["accuracy_90"]["distance"] == pytest.approx(glb["accuracy_90"]["distance"], abs=1e-3)


def test_a_bare_model_has_poses_only(flight):
    result, out = flight
    assert evaluate(result / "cameras", out).keys() == {"poses"}
    assert evaluate(result, out / "truth" / "cameras").keys() == {"poses"}


@pytest.fixture
def strecha(tmp_path):
    rng = np.random.default_rng(0)
    for n in range(5):
        rotation = Rotation.random(rng=rng).as_matrix()
        rows = [
            [2759.5, 0, 1520.7],
            [0, 2764.2, 1006.8],
            [0, 0, 1],
            [0, 0, 0],
            *rotation.tolist(),
            rng.normal(size=3).tolist(),
            [3072, 2048],
        ]
        text = "\n".join(" ".join(map(str, row)) for row in rows)
        (tmp_path / f"{n:04d}.jpg.camera").write_text(text + "\n")
    return tmp_path


def test_strecha_cameras_are_read(strecha, tmp_path_factory):
    model = read_strecha(strecha)
    image = next(i for i in model.images.values() if i.name == "0003.jpg")
    values = np.array((strecha / "0003.jpg.camera").read_text().split(), float)
    np.testing.assert_allclose(image.projection_center(), values[21:24], atol=1e-12)
    np.testing.assert_allclose(image.cam_from_world().rotation.matrix().T.ravel(), values[12:21], atol=1e-9)
    camera = model.cameras[image.camera_id]
    assert (camera.width, camera.height, *camera.params) == (3072, 2048, 2759.5, 2764.2, 1520.7, 1006.8)
    result = tmp_path_factory.mktemp("m")
    model.transform(TRUTH_FROM_RESULT)
    model.write(result)
    assert evaluate(result, strecha)["poses"]["position"]["max"] < 1e-9


def test_missing_and_broken_files_are_said_in_words(flight, strecha, tmp_path):
    result, out = flight
    with pytest.raises(NotFound, match="no COLMAP model"):
        evaluate(tmp_path, out)
    with pytest.raises(NotFound, match="no folder"):
        evaluate(result, tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotFound, match="no truth"):
        evaluate(result, tmp_path / "empty")
    with pytest.raises(InputError, match="0 of the model's 12"):
        evaluate(result, strecha)
    (strecha / "0001.jpg.camera").write_text("1 2 3")
    with pytest.raises(InputError, match="3 numbers instead of 26"):
        read_strecha(strecha)
    (strecha / "0001.jpg.camera").write_text("a b")
    with pytest.raises(InputError, match="no Strecha camera file"):
        read_strecha(strecha)
    broken = tmp_path / "broken"
    shutil.copytree(result / "cameras", broken)
    (broken / "images.bin").write_bytes(b"\x05")
    with pytest.raises(InputError, match="can't be read"):
        evaluate(broken, out)
