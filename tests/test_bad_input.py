"""What users hand in that can't work, through the whole command line: a clear error or warning, nothing lost, nothing hung."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from capture.media import png_bomb
from conftest import Told

from recon.simulate import degenerate

Recon = Callable[..., Told]
FAST = ("--preset", "fast")
SMALL = [
    word
    for option in ("undistort.max_size_px=320", "depth.max_size_px=320", "mesh.faces=3000", "texture.page_px=512", "products.turntable_s=0")
    for word in ("--set", option)
]
WALK = Path(__file__).parent.parent / "sample_data/walk/walk.mp4"


def checked(done: Told, exit_code: int, code: str, *words: str) -> str:
    """The error's text, once its kind and the given words in it are right."""
    assert done.code == exit_code, done.text
    assert done.last["event"] == "error"
    assert done.last["code"] == code
    text = f"{done.last['message']}. {done.last['remedy']}"
    for word in words:
        assert word.lower() in text.lower()
    assert done.last["remedy"], "every error says what to do"
    return text


def test_an_empty_folder(recon: Recon, tmp_path: Path) -> None:
    (tmp_path / "capture").mkdir()
    checked(recon("process", tmp_path / "capture", "-o", tmp_path / "out"), 3, "empty_capture")


def test_a_folder_without_images(recon: Recon, tmp_path: Path) -> None:
    (tmp_path / "capture").mkdir()
    (tmp_path / "capture" / "notes.txt").write_text("hello")
    checked(recon("process", tmp_path / "capture", "-o", tmp_path / "out"), 3, "empty_capture")


def test_texts_and_halves_named_jpg_leave_nothing_to_reconstruct(recon: Recon, tmp_path: Path) -> None:
    capture = tmp_path / "capture"
    photos = degenerate.textureless_wall(capture, 2)
    photos[0].write_text("this is a text")
    photos[1].write_bytes(photos[1].read_bytes()[:2000])
    checked(recon("process", capture, "-o", tmp_path / "out"), 3, "empty_capture", photos[0].name, photos[1].name)


def test_one_image(recon: Recon, tmp_path: Path) -> None:
    capture = tmp_path / "capture"
    for photo in degenerate.unrelated(capture, 1)[1:]:
        photo.unlink()
    checked(recon("process", capture, "-o", tmp_path / "out"), 3, "empty_capture", "1 ")


def test_two_unrelated_images(recon: Recon, tmp_path: Path) -> None:
    degenerate.unrelated(tmp_path / "capture", 1)
    checked(recon("process", tmp_path / "capture", "-o", tmp_path / "out", *FAST), 4, "no_overlap")


def test_all_black(recon: Recon, tmp_path: Path) -> None:
    degenerate.black(tmp_path / "capture")
    checked(recon("process", tmp_path / "capture", "-o", tmp_path / "out", *FAST), 3, "empty_capture", "6")


def test_all_blurred(recon: Recon, tmp_path: Path) -> None:
    degenerate.blurred(tmp_path / "capture")
    checked(recon("process", tmp_path / "capture", "-o", tmp_path / "out", *FAST), 3, "empty_capture", "all 8 photos are blurred", "focus")


def test_a_textureless_wall(recon: Recon, tmp_path: Path) -> None:
    degenerate.textureless_wall(tmp_path / "capture")
    done = recon("process", tmp_path / "capture", "-o", tmp_path / "out", *FAST)
    checked(done, 3, "empty_capture", "all 8 photos are black or of one colour", "texture")


def test_a_pure_rotation(recon: Recon, tmp_path: Path) -> None:
    degenerate.pure_rotation(tmp_path / "capture")
    checked(recon("process", tmp_path / "capture", "-o", tmp_path / "out", *FAST), 4, "no_parallax", "walk around")


@pytest.mark.slow
def test_a_capture_that_falls_in_two_and_holds_bad_files_is_built_from_the_larger_part_and_told(recon: Recon, tmp_path: Path) -> None:
    capture = tmp_path / "capture"
    degenerate.unrelated(capture, 8)
    for photo in sorted(capture.glob("room_*"))[5:]:
        photo.unlink()
    png_bomb(capture / "bomb.png", 50_000)
    (capture / "empty.jpg").touch()
    (capture / "dangling.jpg").symlink_to("nowhere")
    (capture / "more.zip").write_bytes(b"x")
    (capture / "notes.txt").write_text("a side file")
    done = recon("process", capture, "-o", tmp_path / "out", *FAST, *SMALL)
    assert done.code == 0, done.text
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert (report["images"]["given"], report["images"]["used"], report["images"]["registered"]) == (17, 13, 8)
    assert {row["registered"]: row["chosen"] for row in report["models"]} == {8: True, 5: False}
    said = {row["code"]: row for row in report["warnings"] if row["stage"] in ("sfm", "ingest")}
    texts = [row["message"] for row in report["warnings"] if row["stage"] == "sfm"]
    assert [text for text in texts if "2 models: 8 + 5 images, which do not connect; the largest was built" in text]
    lost = ["dangling.jpg", "empty.jpg", "more.zip", "bomb.png"]
    assert [row["source"] for row in report["skipped"]] == lost
    assert said["files_skipped"]["message"] == f"4 files were not used: {', '.join(lost)}"
    (folder,) = (tmp_path / "out" / ".recon").glob("sfm-*/0000")
    assert (folder / "other_models" / "0").is_dir()


def test_a_truncated_video_gives_what_is_left_of_it(recon: Recon, tmp_path: Path) -> None:
    whole = WALK.read_bytes()
    assert whole.find(b"moov") < whole.find(b"mdat"), "its index is in front"
    (tmp_path / "broken.mp4").write_bytes(whole[: len(whole) // 2])
    done = recon("process", tmp_path / "broken.mp4", "-o", tmp_path / "out", *FAST, "--until", "select")
    assert done.code == 0, done.text
    (folder,) = (tmp_path / "out" / ".recon").glob("select-*/0000")
    (warning,) = json.loads((folder / "keyframes.json").read_text())["warnings"]
    told = re.fullmatch(r"broken\.mp4: damaged; (\d+) frames were decoded, (\d+) are lost", warning)
    assert told
    decoded, lost = map(int, told.groups())
    assert 60 < decoded < 90
    assert decoded + lost == 160


def test_a_truncated_video_whose_index_was_at_its_end_can_not_be_read(recon: Recon, tmp_path: Path) -> None:
    path = tmp_path / "broken.mp4"
    with av.open(str(WALK)) as whole, av.open(str(path), "w") as copy:
        stream = copy.add_stream_from_template(whole.streams.video[0])
        for packet in whole.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                copy.mux(packet)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    checked(recon("process", path, "-o", tmp_path / "out", *FAST), 3, "empty_capture", "broken.mp4 is no video that can be read", "repair")


def test_a_text_named_mp4(recon: Recon, tmp_path: Path) -> None:
    (tmp_path / "film.mp4").write_text("no film")
    checked(recon("process", tmp_path / "film.mp4", "-o", tmp_path / "out"), 3, "empty_capture", "film.mp4")


def test_odd_names_reach_the_end(recon: Recon, tmp_path: Path) -> None:
    capture = tmp_path / "capture"
    photos = degenerate.unrelated(capture, 3)
    os.rename(photos[0], os.path.join(os.fsencode(capture), b"\xff\xfe odd.jpg"))
    photos[1].rename(capture / ("x" * 251 + ".jpg"))
    photos[2].rename(capture / "<b>&'\"; rm -rf.jpg")
    done = recon("process", capture, "-o", tmp_path / "out", *FAST, "--until", "features")
    assert done.code == 0, done.text


@pytest.fixture
def read_only(tmp_path: Path) -> Path:
    """A folder that nobody may write to, root included."""
    folder = tmp_path / "read only"
    folder.mkdir()
    if os.geteuid() != 0:
        folder.chmod(0o500)
        yield folder  # type: ignore[misc]
        folder.chmod(0o700)
        return
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(folder)], capture_output=True).returncode:
        pytest.skip("permissions don't bind root, and it may not mount here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_folder_that_can_not_be_written(recon: Recon, tmp_path: Path, read_only: Path) -> None:
    degenerate.unrelated(tmp_path / "capture", 1)
    for out in (read_only / "out", Path("/proc/recon-out")):
        checked(recon("process", tmp_path / "capture", "-o", out), 3, "input", f"can't write to {out}", "-o")


def test_a_file_in_place_of_the_folder_for_results(recon: Recon, tmp_path: Path) -> None:
    degenerate.unrelated(tmp_path / "capture", 1)
    (tmp_path / "out").write_text("a file")
    checked(recon("process", tmp_path / "capture", "-o", tmp_path / "out"), 3, "input", "can't write to", "-o")


def test_a_cache_from_another_version(recon: Recon, tmp_path: Path) -> None:
    degenerate.unrelated(tmp_path / "capture", 1)
    (tmp_path / "out" / ".recon").mkdir(parents=True)
    (tmp_path / "out" / ".recon" / "format.json").write_text('{"format": 99}')
    checked(recon("process", tmp_path / "capture", "-o", tmp_path / "out"), 3, "input", "format 99", "delete")


def test_two_runs_can_not_share_a_folder(recon: Recon, tmp_path: Path) -> None:
    from recon.process import workspace

    degenerate.unrelated(tmp_path / "capture", 1)
    with workspace(tmp_path / "out"):
        checked(recon("process", tmp_path / "capture", "-o", tmp_path / "out"), 7, "busy")


@pytest.fixture
def small_disk(tmp_path: Path) -> Path:
    """A real file system of 80 MB, where this user may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    if mount is None or subprocess.run([mount, "-t", "tmpfs", "-o", "size=80m", "tmpfs", str(folder)], capture_output=True).returncode:
        pytest.skip("only root may mount the small disk that this test fills")
    yield folder  # type: ignore[misc]
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_loses_nothing_and_the_run_goes_on(recon: Recon, tmp_path: Path, small_disk: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (3000, 3000, 3), np.uint8)
    capture = tmp_path / "capture"
    capture.mkdir()
    for n in range(4):
        cv2.imwrite(str(capture / f"{n}.png"), np.roll(noise, 500 * n, 1))  # about 27 MB each
    done = recon("process", capture, "-o", small_disk / "out", *FAST, "--until", "select")
    checked(done, 5, "disk_full", "free some space")
    for n in range(2, 4):
        (capture / f"{n}.png").unlink()
    subprocess.run(["mount", "-o", "remount,size=300m", str(small_disk)], check=True)
    assert recon("process", capture, "-o", small_disk / "out", *FAST, "--until", "select").code == 0
