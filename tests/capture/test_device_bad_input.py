"""Scans with something wrong in them: what can be used is used, the rest is named, and the photos stay."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import lzfse
import numpy as np
import OpenEXR
import pytest
from capture.media import exif, pan, save, texture, write_video
from capture.taken import Taken
from PIL import Image

from recon.capture import depthpixels
from recon.capture.device import read_beginning, rigid
from recon.capture.devicetrack import DeviceTrack, TrackRow
from recon.capture.source import open_source
from recon.errors import InputError
from recon.inspect import inspect

SIZE, SMALL = (128, 96), (32, 24)
RAMP = np.linspace(1.0, 3.0, SMALL[0] * SMALL[1]).reshape(SMALL[1], SMALL[0])
LEVEL = [[1.0, 0, 0, 0], [0, 1, 0, 1.5], [0, 0, 1, 0], [0, 0, 0, 1]]
"""ARKit's transform of a tablet in landscape, 1.5 m above its origin, that looks along -z, our north."""
COUNT = 4


def photo(path: Path, seed: int, turn: int = 1) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    save(path, cv2.GaussianBlur(texture(SIZE[1], SIZE[0], seed), (0, 0), 1.0), exif=exif({0x0112: turn}))


def millimetres(path: Path, metres: np.ndarray = RAMP) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.round(1000 * metres).astype(np.uint16)).save(path)


def steps(path: Path, size: tuple[int, int] = SMALL) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full(size[::-1], 2, np.uint8)).save(path)


def at(x: float) -> list[list[float]]:
    return [[*row[:3], x if i == 0 else row[3]] for i, row in enumerate(LEVEL)]


def polycam(folder: Path, turn: int = 1) -> Path:
    for number in range(COUNT):
        photo(folder / f"keyframes/images/{number}.jpg", number, turn)
        millimetres(folder / f"keyframes/depth/{number}.png")
        camera = {"fx": 100, "fy": 100, "cx": 60, "cy": 50, "width": SIZE[0], "height": SIZE[1], "blur_score": 100}
        camera |= {f"t_{r}{c}": at(number)[r][c] for r in range(3) for c in range(4)}
        path = folder / f"keyframes/cameras/{number}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(camera))
    return folder


def record3d(folder: Path, **changes: Any) -> Path:
    for number in range(COUNT):
        photo(folder / f"rgbd/{number}.jpg", 50 + number)
        (folder / f"rgbd/{number}.depth").write_bytes(lzfse.compress(RAMP.astype("<f4").tobytes()))
        (folder / f"rgbd/{number}.conf").write_bytes(lzfse.compress(np.full(RAMP.shape, 2, np.uint8).tobytes()))
    metadata = {"w": SIZE[0], "h": SIZE[1], "dw": SMALL[0], "dh": SMALL[1], "K": [100, 0, 0, 0, 100, 0, 60, 50, 1]}
    metadata |= {"poses": [[0, 0, 0, 1, 0.1 * number, 0, 0] for number in range(COUNT)], **changes}
    (folder / "metadata").write_text(json.dumps(metadata))
    return folder


def stray(folder: Path, rotation: int = 0) -> Path:
    folder.mkdir(parents=True)
    write_video(folder / "rgb.mp4", pan(texture(96, 400, 1, 5), range(0, 240, 12), 96, 128), rotation=rotation)
    rows = ["timestamp, frame, x, y, z, qx, qy, qz, qw"]
    for number in range(20):
        millimetres(folder / f"depth/{number:06d}.png", RAMP + 0.01 * number)
        steps(folder / f"confidence/{number:06d}.png")
        rows.append(f"{100 + number / 30:.6f}, {number:06d}, {0.05 * number:.3f}, 1.5, 0.0, 1.0, 0.0, 0.0, 0.0")
    (folder / "odometry.csv").write_text("\n".join(rows) + "\n")
    (folder / "camera_matrix.csv").write_text("100.0, 0.0, 60.0\n0.0, 100.0, 50.0\n0.0, 0.0, 1.0\n")
    return folder


def rewritten(path: Path, change: Callable[[list[str]], list[str]]) -> None:
    path.write_text("\n".join(change(path.read_text().splitlines())) + "\n")


def warnings_of(taken: Taken, stage: str) -> list[str]:
    name = {"ingest": "depth.json", "select": "keyframes.json"}[stage]
    return [text for folder in taken.inputs[stage] for text in json.loads((folder / name).read_text())["warnings"]]


def test_axes_by_hand(tmp_path: Path) -> None:
    """The camera's right is east, it looks north, z is up: in numbers, not by the simulator that shares the reader's code."""
    for number, scan in enumerate((polycam(tmp_path / "p"), stray(tmp_path / "s"))):
        record = Taken(scan, tmp_path / f"o{number}").kept()[0]
        assert record.pose is not None
        cam = rigid(record.pose)
        np.testing.assert_allclose(cam.inverse().translation, [0, 0, 1.5], atol=1e-9)
        np.testing.assert_allclose(cam.rotation.matrix(), [[1, 0, 0], [0, 0, -1], [0, 1, 0]], atol=1e-9)
        assert record.principal_px == (60, 50)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda rows: rows[:3] + rows[6:], "3 frames have no row in odometry.csv: they have no pose"),
        (lambda rows: [row.replace("0.100, 1.5", "nan, 1.5") for row in rows], "odometry.csv: 1 rows: its pose is not a number"),
        (
            lambda rows: [row.replace("1.0, 0.0, 0.0, 0.0", "0.0, 0.0, 0.0, 0.0") for row in rows],
            "odometry.csv: 20 rows: its quaternion is zero",
        ),
        (lambda rows: [row.replace("1.0, 0.0, 0.0, 0.0", "2.0, 0.0, 0.0, 0.0") for row in rows], "another length than 1 and was scaled"),
        (lambda rows: [*rows[:8], rows[8][:20]], "odometry.csv: 1 rows: its pose is not a number"),
        (lambda rows: [row.replace("frame", "nothing") for row in rows], "no columns frame"),
    ],
    ids=["gap", "nan", "zero", "length", "cut", "header"],
)
def test_rows_that_can_not_be_used_are_named(change: Callable[[list[str]], list[str]], told: str, tmp_path: Path) -> None:
    rewritten(stray(tmp_path / "c") / "odometry.csv", change)
    taken = Taken(tmp_path / "c", tmp_path / "o")
    assert any(told in warning for warning in warnings_of(taken, "select"))
    found = inspect(open_source(tmp_path / "c", tmp_path / "w", hashed=False), preflight=False)
    assert any(told in warning for warning in found.warnings)
    kept = taken.kept()
    assert len(kept) >= 3
    assert all(record.depth for record in kept)
    posed = [record for record in kept if record.pose]
    assert len(posed) > 0 or "zero" in told or "columns" in told
    for record in posed:
        assert rigid(record.pose).inverse().translation[0] == pytest.approx(0.05 * (record.frame or 0))  # type: ignore[arg-type]


def test_frames_of_a_scan_without_confidence_or_depth(tmp_path: Path) -> None:
    scan = stray(tmp_path / "c")
    shutil.rmtree(scan / "confidence")
    for number in range(10):
        (scan / f"depth/{number:06d}.png").unlink()
    millimetres(scan / "depth/000019.png", np.ones((30, 30)))
    taken = Taken(scan, tmp_path / "o")
    for record in taken.kept():
        assert (record.depth is not None) is (10 <= (record.frame or 0) < 19)
        if record.depth:
            assert (taken.depth(record).confidence == 255).all()
            np.testing.assert_allclose(taken.depth(record).depth_m, RAMP + 0.01 * (record.frame or 0), atol=0.00051)


def test_a_scan_shown_upright_turns_its_depth_and_poses_along(tmp_path: Path) -> None:
    """The app stores lying frames and asks for a quarter turn: what was up in the room is up in the picture."""
    scan = stray(tmp_path / "c", rotation=-90)
    taken = Taken(scan, tmp_path / "o")
    record = taken.kept()[0]
    assert (record.width, record.height) == SIZE[::-1]
    found = taken.depth(record).depth_m
    assert found.shape == SMALL  # (h, w) of a portrait
    np.testing.assert_allclose(found, np.rot90(RAMP, -1), atol=0.00051)
    assert record.principal_px == (SIZE[1] - 50, 60)
    assert record.pose is not None
    right, down, _ = rigid(record.pose).rotation.matrix()
    np.testing.assert_allclose([right, down], [[0, 0, 1], [1, 0, 0]], atol=1e-9)  # to the picture's right lies what was above


def test_photos_shown_upright_turn_their_poses_along(tmp_path: Path) -> None:
    taken = Taken(polycam(tmp_path / "c", turn=6), tmp_path / "o")
    record = taken.kept()[0]
    assert (record.width, record.height) == SIZE[::-1]
    assert record.pose is not None
    np.testing.assert_allclose(rigid(record.pose).rotation.matrix()[:2], [[0, 0, 1], [1, 0, 0]], atol=1e-9)
    np.testing.assert_allclose(taken.depth(record).depth_m, np.rot90(RAMP, -1), atol=0.00051)


def test_cameras_that_can_not_be_used_are_named(tmp_path: Path) -> None:
    cameras = polycam(tmp_path / "c") / "keyframes/cameras"
    broken = json.loads((cameras / "1.json").read_text())
    (cameras / "1.json").write_text(json.dumps(broken | {"t_00": 0.0, "t_11": 0.0}))
    (cameras / "2.json").write_text(json.dumps(broken | {"t_03": float("nan")}))
    (cameras / "3.json").write_text("{")
    taken = Taken(tmp_path / "c", tmp_path / "o")
    assert [record.pose is not None for record in taken.records.values()] == [True, False, False, False]
    assert all(record.depth for record in taken.records.values())
    assert warnings_of(taken, "ingest") == [
        "the device's pose: keyframes/images/1.jpg: the matrix of its pose holds no rotation",
        "the device's pose: keyframes/images/2.jpg: its pose is not a number",
        "poses: keyframes/cameras/3.json: no JSON",
    ]


def test_depth_of_a_wrong_size_or_cut_is_named_and_the_photo_stays(tmp_path: Path) -> None:
    scan = record3d(tmp_path / "c", dw=SMALL[0] + 1)
    taken = Taken(scan, tmp_path / "o")
    assert [record.depth for record in taken.records.values()] == [None] * COUNT
    assert all(record.pose for record in taken.records.values())
    assert warnings_of(taken, "ingest") == ["not used as depth: rgbd/0.depth and 3 more: 3072 bytes of depth are not 33 x 24 of float32"]
    other = record3d(tmp_path / "d")
    (other / "rgbd/1.depth").write_bytes((other / "rgbd/1.depth").read_bytes()[:50])
    (other / "rgbd/2.conf").unlink()
    taken = Taken(other, tmp_path / "p")
    assert [record.depth is not None for record in taken.records.values()] == [True, False, True, True]
    assert warnings_of(taken, "ingest") == ["not used as depth: rgbd/1.depth: damaged: no LZFSE stream"]


def test_metadata_that_is_short_or_broken(tmp_path: Path) -> None:
    taken = Taken(record3d(tmp_path / "c", poses=[[0, 0, 0, 3, 0, 0, 0], [0, 0, 0, 1, float("nan"), 0, 0]]), tmp_path / "o")
    assert [record.pose is not None for record in taken.records.values()] == [True, False, False, False]
    assert warnings_of(taken, "ingest") == [
        "the device's pose: rgbd/0.jpg: its quaternion had another length than 1 and was scaled",
        "the device's pose: rgbd/1.jpg: its pose is not a number",
        "the device's pose: rgbd/2.jpg and 1 more: the device states no pose of it",
    ]
    (tmp_path / "c/metadata").write_text("[]")
    taken = Taken(tmp_path / "c", tmp_path / "p")
    assert not any(record.pose for record in taken.records.values())
    assert "poses: metadata: no JSON object" in warnings_of(taken, "ingest")


def test_without_the_library_the_photos_are_used_and_the_remedy_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(depthpixels, "lzfse", None)
    taken = Taken(record3d(tmp_path / "c"), tmp_path / "o")
    assert len(taken.kept()) == COUNT
    (warning,) = warnings_of(taken, "ingest")
    assert "pip install 'recon[tablet]'" in warning


def test_several_scans_and_photos_in_one_folder(tmp_path: Path) -> None:
    stray(tmp_path / "c/one")
    polycam(tmp_path / "c/two")
    record3d(tmp_path / "c/three/more")
    photo(tmp_path / "c/photos/a.jpg", 77)
    found = inspect(open_source(tmp_path / "c", tmp_path / "w", hashed=False), preflight=False)
    assert {row.app for row in found.devices} == {"Stray Scanner", "Polycam", "Record3D"}
    assert (found.photos, len(found.videos)) == (2 * COUNT + 1, 1)
    assert found.metric_by == ("depth", "poses")
    taken = Taken(tmp_path / "c", tmp_path / "o")
    sessions = {record.pose.session for record in taken.kept() if record.pose}
    assert len(sessions) == 3
    assert [record.source for record in taken.kept() if not record.pose] == ["photos/a.jpg"]


@pytest.mark.parametrize("make", [stray, polycam, record3d])
def test_a_zip_with_one_more_folder_inside(make: Callable[[Path], Path], tmp_path: Path) -> None:
    scan = make(tmp_path / "c")
    with zipfile.ZipFile(tmp_path / "c.zip", "w") as archive:
        for file in sorted(path for path in scan.rglob("*") if path.is_file()):
            archive.write(file, Path("export 1") / file.relative_to(scan))
    plain, packed = Taken(scan, tmp_path / "o"), Taken(tmp_path / "c.zip", tmp_path / "p")
    assert len(plain.kept()) == len(packed.kept()) >= 3
    for one, two in zip(plain.kept(), packed.kept(), strict=True):
        assert one.pose is not None
        assert two.pose is not None
        assert one.pose.model_copy(update={"session": ""}) == two.pose.model_copy(update={"session": ""})
        np.testing.assert_array_equal(plain.depth(one).depth_m, packed.depth(two).depth_m)


def test_a_transforms_file_of_another_program_gives_no_poses(tmp_path: Path) -> None:
    """nerfstudio's world has any scale."""
    for number in range(3):
        photo(tmp_path / f"c/images/{number}.jpg", number)
    frames = [{"file_path": f"images/{number}.jpg", "transform_matrix": at(number)} for number in range(3)]
    (tmp_path / "c/transforms.json").write_text(json.dumps({"fl_x": 100, "w": 128, "frames": frames}))
    assert not any(file.device for file in open_source(tmp_path / "c", tmp_path / "w").files)
    assert not any(record.pose for record in Taken(tmp_path / "c", tmp_path / "o").kept())


def test_a_video_that_dropped_frames_is_followed_by_time() -> None:
    rows = tuple(TrackRow(number, 50 + number / 30, None, None) for number in range(60))
    track = DeviceTrack("d", rows)

    def found(of: DeviceTrack, times_s: list[float], step: int = 1) -> list[int | None]:
        rows = [of.row_at(step * n, time_s) for n, time_s in enumerate(times_s)]
        return [row.number if row else None for row in rows]

    # every other frame was dropped; after the last row there is none
    assert found(track, [10 * n / 30 for n in range(8)], 5) == [0, 10, 20, 30, 40, 50, None, None]
    assert found(track, [n / 30 + 0.004 for n in range(3)]) == [0, 1, 2]
    untimed = DeviceTrack("d", tuple(TrackRow(number, None, None, None) for number in (0, 1, 3)))
    assert found(untimed, [9.0] * 4) == [0, 1, None, 3]


def test_a_stream_that_unpacks_to_more_in_a_later_block_is_refused_before(tmp_path: Path) -> None:
    file = tmp_path / "0.depth"
    wanted = RAMP.astype("<f4").tobytes()
    file.write_bytes(lzfse.compress(wanted)[:-4] + lzfse.compress(bytes(50_000_000)))
    with pytest.raises(InputError, match=f"unpacks to more than the {len(wanted)} bytes"):
        depthpixels.read_pixels(file, "f4", 10**6, RAMP.shape[::-1])
    file.write_bytes(lzfse.compress(wanted) + bytes(2 * len(wanted) + 70_000))  # not even read
    with pytest.raises(InputError, match="no compressed depth of 32 x 24"):
        depthpixels.read_pixels(file, "f4", 10**6, RAMP.shape[::-1])
    file.write_bytes(b"bvx2" + bytes(92))  # a block whose header says that it has no length: it would be read for ever
    with pytest.raises(InputError, match="no LZFSE stream"):
        depthpixels.read_pixels(file, "f4", 10**6, RAMP.shape[::-1])
    file.write_bytes(lzfse.compress(wanted)[:40])
    with pytest.raises(InputError, match="no LZFSE stream"):
        depthpixels.read_pixels(file, "f4", 10**6, RAMP.shape[::-1])


def test_an_exr_file_is_refused_before_more_than_one_image_is_decoded(tmp_path: Path) -> None:
    file = tmp_path / "0.exr"
    flat = {"type": OpenEXR.scanlineimage, "compression": OpenEXR.ZIPS_COMPRESSION}
    OpenEXR.File({**flat}, {f"c{number}": np.zeros((4, 4), np.float32) for number in range(9)}).write(str(file))
    with pytest.raises(InputError, match="9 channels"):
        depthpixels.read_pixels(file, "f4", 16)
    window = {"displayWindow": (np.zeros(2, np.int32), np.full(2, 3, np.int32))}
    parts = [OpenEXR.Part({**flat, **window}, {"Z": np.ones((side, side), np.float32)}, str(side)) for side in (4, 64)]
    OpenEXR.File(parts).write(str(file))
    with pytest.raises(InputError, match="2 images"):
        depthpixels.read_pixels(file, "f4", 16)


def test_of_a_text_file_without_end_only_the_beginning_is_read(tmp_path: Path) -> None:
    file = tmp_path / "camera_matrix.csv"
    file.write_text("1,2,3")
    with file.open("r+b") as stream:
        stream.truncate(1 << 40)  # a hole: it takes no disk
    assert read_beginning(file, 5) == "1,2,3"
