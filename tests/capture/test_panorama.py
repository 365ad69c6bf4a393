"""Panoramas are recognised by what files say and by what they show; what is no whole one is refused in words."""

import numpy as np
import pytest
from media import texture
from PIL import Image

from recon.capture.intake import take_photo, take_video
from recon.capture.panorama import closes, nadir_mask, projection_of_photo, projection_of_video
from recon.capture.pixels import read_grey
from recon.capture.source import open_source
from recon.capture.video import probe
from recon.config import Ingest
from recon.errors import EmptyCapture, InputError
from recon.inspect import inspect
from recon.simulate import simulate
from recon.simulate.panorama import SPHERICAL_UUID

PIXELS = 10**8


@pytest.fixture(scope="module")
def capture(tmp_path_factory):
    out = tmp_path_factory.mktemp("pano")
    simulate("panorama", out, images=2, size=(192, 96))
    simulate("panorama", out / "video", images=3, size=(192, 96), video=True)
    return out


def taken(path, out, config=None):
    source = open_source(path, out / "w")
    return take_photo(source.photos[0], 0, out, config or Ingest())[0]


def test_a_panorama_is_recognised_and_masked_below(capture, tmp_path):
    record = taken(capture / "images" / "0000.jpg", tmp_path)
    assert record.projection == "equirectangular"
    assert record.camera.endswith("192x96 360")
    assert record.mask is not None
    mask = read_grey(tmp_path / record.mask.split("/", 2)[2])
    assert mask.shape == (96, 192)
    assert (mask[:80] == 255).all()
    assert (mask[80:] == 0).all()  # 30 of 180 degrees
    assert taken(capture / "images" / "0000.jpg", tmp_path / "all", Ingest(nadir_mask_deg=0)).mask is None


def test_without_metadata_the_seam_tells(capture, tmp_path):
    with Image.open(capture / "images" / "0000.jpg") as photo:
        pixels = photo.convert("RGB")
    pixels.save(tmp_path / "bare.png")
    assert taken(tmp_path / "bare.png", tmp_path / "a").projection == "equirectangular"
    pixels.crop((0, 10, 160, 90)).save(tmp_path / "half.png")
    assert taken(tmp_path / "half.png", tmp_path / "b").projection == "perspective"
    turned = np.roll(np.asarray(pixels), 50, axis=1)
    assert closes(turned[..., 1])
    assert not closes(turned[:48, :96, 1])


def test_inspect_says_what_is_a_panorama(capture, tmp_path):
    with Image.open(capture / "images" / "0000.jpg") as photo:
        photo.save(tmp_path / "bare.png")
    for path in (capture / "images", tmp_path / "bare.png"):
        found = inspect(open_source(path, tmp_path / "w", hashed=False), preflight=False)
        assert [camera.projection for camera in found.cameras] == ["equirectangular"]
        assert not any("focal length" in warning for warning in found.warnings)
    found = inspect(open_source(capture / "video" / "walk.mp4", tmp_path / "w", hashed=False), preflight=False)
    assert found.videos[0].projection == "equirectangular"


@pytest.mark.parametrize("seed", range(4))
def test_a_wide_photo_is_no_panorama(seed):
    assert not closes(texture(200, 400, seed)[..., 1])
    ramp = np.tile(np.linspace(40, 200, 400), (200, 1)) + np.linspace(0, 30, 200)[:, None]
    assert not closes(ramp.astype(np.uint8))


@pytest.mark.parametrize(
    ("said", "match"),
    [
        ('GPano:ProjectionType="cylindrical"', "cylindrical"),
        (
            'GPano:ProjectionType="equirectangular" GPano:FullPanoWidthPixels="4000" GPano:FullPanoHeightPixels="2000" '
            'GPano:CroppedAreaImageWidthPixels="4000" GPano:CroppedAreaImageHeightPixels="900"',
            "a part of a panorama: 4000 x 900 pixels of 4000 x 2000",
        ),
        ("<GPano:ProjectionType>equirectangular</GPano:ProjectionType>", "twice as wide"),
    ],
)
def test_what_is_no_whole_panorama_is_refused(said, match):
    with pytest.raises(InputError, match=match):
        projection_of_photo(said.encode(), 4000, 900)


def test_other_xmp_says_nothing():
    assert projection_of_photo(b'drone-dji:GimbalPitchDegree="-90"', 4000, 2000) is None
    assert projection_of_photo(b"", 4000, 2000) is None


def test_a_360_video_is_recognised_by_its_boxes_and_by_its_seam(capture, tmp_path):
    video = capture / "video" / "walk.mp4"
    assert projection_of_video(video, 192, 96) == "equirectangular"
    assert probe(video, PIXELS).projection == "equirectangular"
    bare = tmp_path / "bare.mp4"
    bare.write_bytes(video.read_bytes().replace(SPHERICAL_UUID, bytes(16)))
    assert projection_of_video(bare, 192, 96) is None
    assert probe(bare, PIXELS).projection == "equirectangular"
    row = take_video(open_source(bare, tmp_path / "w").videos[0], 3, tmp_path / "shard", Ingest())
    assert row["mask"] == "ingest/3/masks/bare.mp4.png"
    assert (read_grey(tmp_path / "shard" / "masks" / "bare.mp4.png") == nadir_mask(192, 96, 30)).all()


@pytest.mark.parametrize(
    ("box", "match"),
    [
        (SPHERICAL_UUID + b"<GSpherical:Spherical>true</GSpherical:Spherical><GSpherical:StereoMode>top-bottom</x>", "two eyes"),
        (b"\0\0\0\x0dst3d\0\0\0\0\x01\0\0\0\x40sv3d....proj....equi", "two eyes"),
        (b"\0\0\0\x40sv3d....proj....cbmp", "cbmp"),
    ],
)
def test_other_360_videos_are_refused_with_what_to_do(tmp_path, box, match):
    path = tmp_path / "a.mp4"
    path.write_bytes(b"\0\0\0\x08free" + (8 + len(box)).to_bytes(4, "big") + b"moov" + box)
    with pytest.raises(InputError, match=match):
        projection_of_video(path, 200, 100)


def test_pictures_that_are_not_stitched_are_told_how_to_export(tmp_path):
    (tmp_path / "VID_1.insv").write_bytes(b"x")
    with pytest.raises(InputError, match="export it as equirectangular"):
        open_source(tmp_path / "VID_1.insv", tmp_path / "w")
    with pytest.raises(EmptyCapture, match="not stitched"):
        open_source(tmp_path, tmp_path / "w")
