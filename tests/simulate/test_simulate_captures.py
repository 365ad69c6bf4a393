import json
from xml.etree import ElementTree

import av
import numpy as np
import pycolmap
import pytest
from PIL import ExifTags, Image
from pyproj import Transformer

from recon.errors import ConfigError, InputError, NotFound
from recon.simulate import KINDS, Options, Truth, simulate
from recon.simulate.kinds import ORIGIN, TABLET_RANGE_M
from recon.simulate.render import render_depth
from recon.simulate.write import add_gps, geographic, gimbal_xmp, photo_exif

SMALL = (96, 72)


def files(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def east_north_up(lat, lon, alt):
    """Metres about the origin, by way of earth-centred coordinates alone."""
    ecef = Transformer.from_crs("EPSG:4979", "EPSG:4978", always_xy=True)
    xyz, zero = (np.array(ecef.transform(*place)) for place in ((lon, lat, alt), (ORIGIN.lon_deg, ORIGIN.lat_deg, ORIGIN.alt_m)))
    p, q = np.radians([ORIGIN.lat_deg, ORIGIN.lon_deg])
    east = [-np.sin(q), np.cos(q), 0]
    north = [-np.sin(p) * np.cos(q), -np.sin(p) * np.sin(q), np.cos(p)]
    up = [np.cos(p) * np.cos(q), np.cos(p) * np.sin(q), np.sin(p)]
    return np.array([east, north, up]) @ (xyz - zero)


def ifd_of(path, ifd):
    with Image.open(path) as photo:
        return photo.getexif().get_ifd(ifd)


def gps_of(path):
    gps = ifd_of(path, ExifTags.IFD.GPSInfo)
    lat, lon = (
        float(np.dot([float(v) for v in gps[tag]], [1, 1 / 60, 1 / 3600])) for tag in (ExifTags.GPS.GPSLatitude, ExifTags.GPS.GPSLongitude)
    )
    assert gps[ExifTags.GPS.GPSLatitudeRef] == "N"
    return east_north_up(lat, lon, float(gps[ExifTags.GPS.GPSAltitude]))


@pytest.fixture(scope="module")
def flight(tmp_path_factory):
    out = tmp_path_factory.mktemp("flight")
    return out, simulate("drone", out, images=20, size=SMALL, gps_noise_m=1.0, gps_bias_m=(3.0, -2.0, 5.0), seed=4)


def test_drone_photos_carry_what_a_drone_writes(flight):
    out, truth = flight
    model = pycolmap.Reconstruction(out / "truth" / "cameras")
    assert truth.origin == ORIGIN
    photos = sorted((out / truth.capture).iterdir())
    assert [p.name for p in photos] == sorted(i.name for i in model.images.values())
    with Image.open(photos[0]) as photo:
        exif, xmp = photo.getexif(), photo.info["xmp"].decode()
        assert photo.size == SMALL
    details = exif.get_ifd(ExifTags.IFD.Exif)
    assert exif[ExifTags.Base.Model] == "simulated drone"
    focal_px = float(details[ExifTags.Base.FocalLengthIn35mmFilm]) / 43.267 * np.hypot(*SMALL)
    assert focal_px == pytest.approx(model.cameras[1].mean_focal_length(), rel=0.02)
    taken = [ifd_of(p, ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] for p in photos]
    assert taken == sorted(set(taken))
    description = ElementTree.fromstring(xmp)[0][0]
    fields = {name.partition("}")[2]: value for name, value in description.attrib.items()}
    assert -90 <= float(fields["GimbalPitchDegree"]) < -80
    assert float(fields["AbsoluteAltitude"]) - float(fields["RelativeAltitude"]) == pytest.approx(ORIGIN.alt_m, abs=0.1)


def test_gps_has_the_noise_and_bias_asked_for(flight):
    out, truth = flight
    model = pycolmap.Reconstruction(out / "truth" / "cameras")
    error = np.array([gps_of(out / truth.capture / i.name) - i.projection_center() for i in model.images.values()])
    np.testing.assert_allclose(error.mean(0), [3, -2, 5], atol=0.7)
    assert 0.7 < error.std(0).mean() < 1.3


def test_gps_rounds_to_millimetres(tmp_path):
    enu = np.array([[120.5, -80.25, 63.125]])
    ((lat, lon, alt),) = geographic(enu, ORIGIN)
    exif = Image.Exif()
    add_gps(exif, lat, lon, alt)
    Image.new("RGB", (8, 8)).save(tmp_path / "p.jpg", exif=exif)
    np.testing.assert_allclose(gps_of(tmp_path / "p.jpg"), enu[0], atol=2e-3)


def test_south_and_west_and_below_the_sea(tmp_path):
    exif = photo_exif(pycolmap.Camera(model="PINHOLE", width=8, height=6, params=[6, 6, 4, 3]), 1.25, 6.0, "a", "b")
    add_gps(exif, -33.5, -70.25, -12.0)
    Image.new("RGB", (8, 6)).save(tmp_path / "p.jpg", exif=exif)
    gps = ifd_of(tmp_path / "p.jpg", ExifTags.IFD.GPSInfo)
    assert (gps[ExifTags.GPS.GPSLatitudeRef], gps[ExifTags.GPS.GPSLongitudeRef]) == ("S", "W")
    assert gps[ExifTags.GPS.GPSAltitudeRef] == b"\x01"
    assert ifd_of(tmp_path / "p.jpg", ExifTags.IFD.Exif)[ExifTags.Base.SubsecTimeOriginal] == "250"
    assert 'GimbalYawDegree="-170.00"' in gimbal_xmp((190.0, -90.0, 0.0), 50.0, 480.0)


def test_stockpile_and_scene_are_stated(flight):
    out, truth = flight
    assert truth == Truth.read(out / "truth")
    assert truth.stockpile is not None
    assert truth.stockpile.volume_m3 == pytest.approx(np.pi * 6 / 3 * (121 + 33 + 9), rel=1e-4)
    assert 80 < truth.scene_size_m < 400
    assert truth.path_length_m > 19 * 10


@pytest.fixture(scope="module")
def walk(tmp_path_factory):
    out = tmp_path_factory.mktemp("walk")
    return out, simulate("object", out, images=9, size=SMALL, depth=True, distortion=(-0.1, 0.02, 0.0, 0.0), exposure_ev=0.2)


def test_video_reads_back_frame_by_frame(walk):
    out, truth = walk
    with av.open(str(out / truth.capture)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert float(stream.average_rate) == truth.fps
        frames = list(container.decode(stream))
    assert len(frames) == truth.images == 9
    assert [round(f.time * truth.fps) for f in frames] == list(range(9))
    names = sorted(i.name for i in pycolmap.Reconstruction(out / "truth" / "cameras").images.values())
    assert names == [f"walk.mp4/{n:06d}.jpg" for n in range(9)]
    grey = frames[0].to_ndarray(format="gray")
    assert grey.shape == SMALL[::-1]
    assert grey.std() > 20


def test_written_depth_is_that_of_the_pose_and_mesh(walk):
    out, _ = walk
    model = pycolmap.Reconstruction(out / "truth" / "cameras")
    assert model.cameras[1].model.name == "OPENCV"
    import open3d

    from recon.simulate.scenes import Scene, object_scene

    mesh = open3d.io.read_triangle_mesh(str(out / "truth" / "mesh.ply"))
    scene = object_scene(0)
    read = Scene(np.asarray(mesh.vertices, np.float32), np.asarray(mesh.triangles, np.int32), scene.material_of_face, scene.materials)
    image = model.images[5]
    depth = np.load(out / "truth" / "depth" / f"{image.name}.npz")["depth"]
    np.testing.assert_allclose(render_depth(read, model.cameras[1], image.cam_from_world()), depth, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_equal_options_give_equal_bytes_and_seeds_differ(kind, tmp_path):
    options = {"images": 2, "size": (96, 48) if kind == "panorama" else (48, 48), "exposure_ev": 0.1}
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        simulate(kind, tmp_path / name, seed=seed, **options)
    a, b, c = (files(tmp_path / name) for name in "abc")
    assert a.keys() == c.keys()
    for name in a:
        # PLY, JSON, pictures, video: all; COLMAP models keep no order of their own
        if not name.endswith(".bin"):
            assert a[name] == b[name], name
    pictures = [n for n in a if n.endswith((".mp4", ".jpg", ".JPG"))]
    assert pictures
    assert all(a[n] != c[n] for n in pictures)


def test_room_has_depth_and_poses_for_a_tablet(tmp_path):
    truth = simulate("room", tmp_path, images=3, size=(128, 96), depth=True)
    poses = json.loads((tmp_path / "poses.json").read_text())
    model = pycolmap.Reconstruction(tmp_path / "truth" / "cameras")
    by_name = {i.name: i for i in model.images.values()}
    assert len(poses["frames"]) == truth.images == 3
    for frame in poses["frames"]:
        name = frame["image"].removeprefix("images/")
        world_from_cam = np.array(frame["world_from_cam"])
        np.testing.assert_allclose(world_from_cam, by_name[name].cam_from_world().inverse().matrix(), atol=1e-12)
        with Image.open(tmp_path / frame["depth"]) as depth:
            assert depth.mode == "I;16"
            metres = np.asarray(depth) * poses["depth_unit_m"]
        assert metres.shape == (192, 256)
        assert 0.3 < metres[metres > 0].min() < metres.max() <= TABLET_RANGE_M
        full = np.load(tmp_path / "truth" / "depth" / f"{name}.npz")["depth"]
        again = np.asarray(Image.fromarray(full).resize((256, 192), Image.Resampling.NEAREST))
        both = (metres > 0) & (again > 0)
        assert 0 < np.median(np.abs(metres - again)[both]) < 0.02


def test_glasses_state_the_pose_of_every_row(tmp_path):
    truth = simulate("glasses", tmp_path, images=4, size=(48, 64))
    assert truth.readout_s > 0
    model = pycolmap.Reconstruction(tmp_path / "truth" / "cameras")
    assert model.cameras[1].model.name == "OPENCV_FISHEYE"
    rows = np.load(tmp_path / "truth" / "rows.npz")
    by_name = {i.name: i for i in model.images.values()}
    for name, quaternions, centers in zip(rows["names"], rows["world_from_cam_xyzw"], rows["centers"], strict=True):
        assert quaternions.shape == (64, 4)
        middle = by_name[str(name)].projection_center()
        np.testing.assert_allclose((centers[31] + centers[32]) / 2, middle, atol=1e-5)
        assert 1e-4 < np.linalg.norm(centers[-1] - centers[0]) < 0.1
        assert np.abs(quaternions[-1] - quaternions[0]).max() > 1e-4


def test_unfit_requests_are_refused_in_words(tmp_path):
    with pytest.raises(ConfigError, match="unknown kind"):
        simulate("submarine", tmp_path / "a")
    with pytest.raises(ConfigError, match="even"):
        simulate("object", tmp_path / "a", size=(99, 80))
    with pytest.raises(ConfigError, match="noise"):
        simulate("object", tmp_path / "a", noise=-1.0)
    with pytest.raises(ConfigError, match="frames"):
        simulate("object", tmp_path / "a", frames=3)
    with pytest.raises(ConfigError, match="photos, not a video"):
        simulate("room", tmp_path / "a", video=True)
    with pytest.raises(ConfigError, match="whole panorama"):
        simulate("panorama", tmp_path / "a", size=(100, 60))
    with pytest.raises(ConfigError, match="2 distortion"):
        simulate("object", tmp_path / "a", distortion=(0.1, 0.2))
    assert not (tmp_path / "a").exists()
    simulate("drone", tmp_path / "b", images=2, size=(32, 24))
    with pytest.raises(InputError, match="already"):
        simulate("drone", tmp_path / "b")
    with pytest.raises(NotFound, match=r"truth\.json"):
        Truth.read(tmp_path)


def test_options_survive_json():
    options = Options(images=3, size=(64, 48), distortion=(0.1,))
    assert Options.model_validate_json(options.model_dump_json()) == options
