"""Depth images beside photos: recognised by folder and pixels, matched with their photos, refused with a reason."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from capture.media import exif, save, texture
from capture.taken import Taken
from PIL import Image

from recon.capture.calibration import read_calibration
from recon.capture.depthimage import BASE_SIGMA_M
from recon.capture.source import Source, open_source
from recon.config import parse
from recon.errors import EmptyCapture, InputError
from recon.inspect import inspect

SIZE, SMALL = (120, 90), (40, 30)
RAMP = np.linspace(1.0, 3.0, SMALL[0] * SMALL[1]).reshape(SMALL[1], SMALL[0])
"""Metres; no two pixels alike, so that any turn shows."""


def photo(path: Path, seed: int = 0, turn: int = 1, size: tuple[int, int] = SIZE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    save(path, cv2.GaussianBlur(texture(size[1], size[0], seed), (0, 0), 1.0), exif=exif({0x0112: turn}))


def depth(path: Path, metres: np.ndarray = RAMP, unit_m: float = 0.001) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.round(metres / unit_m).astype(np.uint16)).save(path)


def confidence(path: Path, steps: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(steps.astype(np.uint8)).save(path)


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    """Three photos with depth images of the same names."""
    folder = tmp_path / "c"
    for number in range(3):
        photo(folder / "rgb" / f"{number}.jpg", number)
        depth(folder / "depth" / f"{number}.png", RAMP + 0.001 * number)
    return folder


def opened(capture: Path, tmp_path: Path) -> Source:
    return open_source(capture, tmp_path / "w")


def test_depth_is_no_photo_and_belongs_to_the_photo_of_its_name(capture: Path, tmp_path: Path) -> None:
    depth(capture / "depth" / "9.png")
    source = opened(capture, tmp_path)
    assert [file.relative for file in source.photos] == ["rgb/0.jpg", "rgb/1.jpg", "rgb/2.jpg"]
    assert {name: files.depth.relative for name, files in source.depth.items()} == {f"rgb/{n}.jpg": f"depth/{n}.png" for n in range(3)}
    assert [(file.relative, file.reason) for file in source.lost] == [("depth/9.png", "a depth image without a photo: none has its name")]


def test_the_key_follows_depth_confidence_and_calibration(capture: Path, tmp_path: Path) -> None:
    keys = [opened(capture, tmp_path).key]
    depth(capture / "depth" / "1.png", RAMP + 0.5)
    keys.append(opened(capture, tmp_path).key)
    confidence(capture / "confidence" / "1.png", np.full(SMALL[::-1], 2))
    keys.append(opened(capture, tmp_path).key)
    (capture / "intrinsics.json").write_text('{"fx": 90, "w": 120}')
    keys.append(opened(capture, tmp_path).key)
    assert len(set(keys)) == 4


@pytest.mark.parametrize(
    ("colour", "depths"),
    [
        (["frame_007.jpg", "frame_010.jpg"], ["depth_00007.png", "depth_00010.png"]),
        (["a.jpg", "b.jpg"], ["x.png", "y.png"]),
    ],
    ids=["number", "order"],
)
def test_other_names_match_by_number_or_by_order(colour: list[str], depths: list[str], tmp_path: Path) -> None:
    for number, name in enumerate(colour):
        photo(tmp_path / "c" / "color" / name, number)
    for name in depths:
        depth(tmp_path / "c" / "depth" / name)
    found = opened(tmp_path / "c", tmp_path).depth
    assert [found[f"color/{name}"].depth.name for name in colour] == [f"depth/{name}" for name in depths]


def test_names_without_anything_in_common_are_not_guessed(tmp_path: Path) -> None:
    for number, name in enumerate("ab"):
        photo(tmp_path / "c" / "images" / f"{name}.jpg", number)
    for name in "xyz":
        depth(tmp_path / "c" / "depth" / f"{name}.png")
    source = opened(tmp_path / "c", tmp_path)
    assert not source.depth
    reason = "3 depth images and 2 photos in images have no names in common: which belong together can't be told"
    assert [file.reason for file in source.lost] == [reason] * 3


def test_a_folder_of_pictures_called_depth_stays_one_of_photos(tmp_path: Path) -> None:
    for number in range(2):
        photo(tmp_path / "c" / "images" / f"{number}.jpg", number)
        photo(tmp_path / "c" / "depth" / f"{number}.png", 5 + number)
    source = opened(tmp_path / "c", tmp_path)
    assert len(source.photos) == 4
    assert not source.depth


def test_depth_alone_is_no_capture(tmp_path: Path) -> None:
    depth(tmp_path / "c" / "depth" / "0.png")
    with pytest.raises(EmptyCapture, match="a depth image without photos"):
        opened(tmp_path / "c", tmp_path)


def test_a_zip_with_one_more_folder_inside_is_the_same_capture(capture: Path, tmp_path: Path) -> None:
    (capture / "intrinsics.json").write_text('{"fx": 90, "w": 120}')
    with zipfile.ZipFile(tmp_path / "c.zip", "w") as archive:
        for file in sorted(capture.rglob("*.*")):
            archive.write(file, Path("scan") / file.relative_to(capture))
    source = opened(tmp_path / "c.zip", tmp_path)
    assert len(source.depth) == len(source.photos) == 3
    assert all([file.relative for file in files] == ["scan/intrinsics.json"] for files in source.calibration.values())
    assert len(source.calibration) == 3


def test_depth_in_metres_reaches_the_record(capture: Path, tmp_path: Path) -> None:
    taken = Taken(capture, tmp_path / "o")
    for number in range(3):
        found = taken.depth(taken.records[f"rgb/{number}.jpg"])
        np.testing.assert_allclose(found.depth_m, RAMP + 0.001 * number, atol=0.00051)
        assert (found.confidence == 255).all()
    assert taken.told["images"] == 3
    assert taken.told["ignored"] == []
    assert taken.told["range_m"] == pytest.approx([1.0, 3.002], abs=1e-3)


@pytest.mark.parametrize("turn", range(1, 9))
def test_depth_stands_as_its_photo_does(turn: int, tmp_path: Path) -> None:
    photo(tmp_path / "c" / "rgb" / "0.jpg", turn=turn)
    photo(tmp_path / "c" / "rgb" / "1.jpg", 1)
    depth(tmp_path / "c" / "depth" / "0.png")
    taken = Taken(tmp_path / "c", tmp_path / "o")
    record = taken.records["rgb/0.jpg"]
    from PIL import ImageOps

    raw = Image.fromarray(np.round(RAMP * 1000).astype(np.int32))
    raw.getexif()[0x0112] = turn
    expected = np.asarray(ImageOps.exif_transpose(raw)) / 1000
    found = taken.depth(record).depth_m
    assert found.shape == (record.height // 3, record.width // 3)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_depth_that_stands_already_is_not_turned(tmp_path: Path) -> None:
    photo(tmp_path / "c" / "rgb" / "0.jpg", turn=6)
    photo(tmp_path / "c" / "rgb" / "1.jpg", 1)
    depth(tmp_path / "c" / "depth" / "0.png", RAMP.T)
    taken = Taken(tmp_path / "c", tmp_path / "o")
    np.testing.assert_allclose(taken.depth(taken.records["rgb/0.jpg"]).depth_m, RAMP.T, atol=0.00051)


@pytest.mark.parametrize(
    ("metres", "reason"),
    [
        (np.ones((40, 40)), "40 x 40 pixels are of another shape than its photo's 120 x 90"),
        (np.zeros((30, 40)), "none of its 1200 pixels has a depth"),
        (np.full((30, 40), 65.535), "none of its 1200 pixels has a depth"),
    ],
    ids=["shape", "zero", "mark"],
)
def test_what_is_no_depth_is_named_and_the_photo_stays(metres: np.ndarray, reason: str, capture: Path, tmp_path: Path) -> None:
    depth(capture / "depth" / "1.png", metres)
    taken = Taken(capture, tmp_path / "o")
    assert [record.depth is not None for record in taken.records.values()] == [True, False, True]
    assert taken.told["ignored"] == [{"source": "depth/1.png", "reason": reason}]
    assert taken.told["warnings"] == [f"not used as depth: depth/1.png: {reason}"]
    shown = inspect(open_source(capture, tmp_path / "w", hashed=False), preflight=False)
    assert (shown.depth.images, shown.depth.range_m) == (2, (1.0, 3.002))  # type: ignore[union-attr]
    assert [(row.source, row.reason) for row in shown.ignored] == [("depth/1.png", f"not used as depth: {reason}")]


def test_a_broken_depth_image_is_named(capture: Path, tmp_path: Path) -> None:
    whole = (capture / "depth" / "1.png").read_bytes()
    (capture / "depth" / "1.png").write_bytes(whole[: len(whole) // 2])
    taken = Taken(capture, tmp_path / "o")
    assert taken.records["rgb/1.jpg"].depth is None
    assert "damaged" in taken.told["ignored"][0]["reason"]


def test_floats_are_metres_and_nan_and_infinity_are_no_depth(capture: Path, tmp_path: Path) -> None:
    metres = RAMP.astype(np.float32)
    metres[0, :4] = np.nan, np.inf, -np.inf, -1.0
    for number in range(3):
        (capture / "depth" / f"{number}.png").unlink()
        Image.fromarray(metres).save(capture / "depth" / f"{number}.tiff")
    found = Taken(capture, tmp_path / "o")
    measured = found.depth(found.records["rgb/0.jpg"])
    assert not measured.depth_m[0, :4].any()
    assert not measured.confidence[0, :4].any()
    np.testing.assert_allclose(measured.depth_m[1:], RAMP[1:], rtol=1e-6)


@pytest.mark.parametrize("steps", [(0, 1, 2), (0, 127, 255)], ids=["0..2", "0..255"])
def test_confidence_of_either_kind(steps: tuple[int, int, int], capture: Path, tmp_path: Path) -> None:
    image = np.repeat(np.array(steps), SMALL[0] * SMALL[1] // 3).reshape(SMALL[1], SMALL[0])
    confidence(capture / "confidence" / "0.png", image)
    taken = Taken(capture, tmp_path / "o")
    found = taken.depth(taken.records["rgb/0.jpg"])
    unsure, half, sure = (image == step for step in steps)
    assert not found.depth_m[unsure].any()
    assert set(found.confidence[half]) <= {127, 128}
    assert set(found.confidence[sure]) == {255}
    sigma = found.sigma_m
    assert sigma[sure].min() >= BASE_SIGMA_M
    assert sigma[half].min() > 1.9 * BASE_SIGMA_M
    assert not sigma[unsure].any()
    assert (taken.depth(taken.records["rgb/1.jpg"]).confidence == 255).all()  # it has none


def test_confidence_of_another_size_is_left_out(capture: Path, tmp_path: Path) -> None:
    confidence(capture / "confidence" / "0.png", np.zeros((60, 80)))
    taken = Taken(capture, tmp_path / "o")
    assert (taken.depth(taken.records["rgb/0.jpg"]).confidence == 255).all()
    assert taken.told["ignored"][0]["source"] == "confidence/0.png"


def test_a_stated_unit_holds_and_an_option_overrules_it(capture: Path, tmp_path: Path) -> None:
    (capture / "intrinsics.json").write_text(json.dumps({"width": 240, "fx": 200.0, "depth_scale": 5000}))
    stated = Taken(capture, tmp_path / "a")
    record = stated.records["rgb/0.jpg"]
    np.testing.assert_allclose(stated.depth(record).depth_m, RAMP / 5, atol=2e-4)
    assert (record.focal_px, record.focal_source) == (100.0, "device")
    asked = Taken(capture, tmp_path / "b", parse({"ingest": {"depth_unit_m": 0.0001}}))
    np.testing.assert_allclose(asked.depth(asked.records["rgb/0.jpg"]).depth_m, RAMP / 10, atol=1e-4)
    off = Taken(capture, tmp_path / "d", parse({"ingest": {"use_depth": False}}))
    assert not off.told
    assert all(record.depth is None for record in off.records.values())


@pytest.mark.parametrize(
    ("name", "text", "unit_m", "focal"),
    [
        ("poses.json", '{"camera": {"width": 60, "params": [45, 46, 30, 22]}, "depth_unit_m": 0.001}', 0.001, 90.0),
        ("transforms.json", '{"fl_x": 180, "w": 240, "integer_depth_scale": 0.0002}', 0.0002, 90.0),
        ("intrinsics.json", '{"width": 120, "intrinsic_matrix": [90, 0, 0, 0, 91, 0, 60, 45, 1]}', None, 90.0),
        ("camera_matrix.csv", "90.0, 0.0, 60.0\n0.0, 90.0, 45.0\n0.0, 0.0, 1.0\n", None, 90.0),
        ("camera.json", "[1, 2]", None, None),
    ],
)
def test_calibration_of_common_programs(name: str, text: str, unit_m: float | None, focal: float | None, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    found = read_calibration(tmp_path / name)
    assert (found.unit_m, found.focal_of(120)) == (unit_m, focal)


@pytest.mark.parametrize("text", ["{", '{"depth_scale": 0.001}', '{"depth_unit_m": 1e-9}'])
def test_calibration_that_can_not_be_true(text: str, tmp_path: Path) -> None:
    (tmp_path / "camera.json").write_text(text)
    with pytest.raises(InputError):
        read_calibration(tmp_path / "camera.json")


def test_inspect_says_what_depth_there_is(capture: Path, tmp_path: Path) -> None:
    confidence(capture / "confidence" / "0.png", np.full(SMALL[::-1], 2))
    found = inspect(open_source(capture, tmp_path / "w", hashed=False), preflight=False)
    assert found.depth is not None
    assert (found.depth.images, found.depth.with_confidence, found.depth.width, found.depth.height) == (3, 1, *SMALL)
    assert found.depth.range_m == (1.0, 3.002)
    assert not any("no metric scale" in warning for warning in found.warnings)
    assert not found.ignored
