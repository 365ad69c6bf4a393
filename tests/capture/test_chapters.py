"""A recording in several files, a flight over several folders: one capture, in which what follows in time is matched."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from capture.media import pan, save, texture, write_video

from recon.capture.chapters import chapters
from recon.capture.records import ImageRecord, read_json, read_records
from recon.capture.source import SourceFile, open_source, write_source
from recon.config import Config, Pairs
from recon.matchers.pairing import choose_pairs
from recon.stage import Inputs, Work
from recon.stages import ingest, select

FULL = 3_900_000_000


def video(relative: str, size: int = 1000) -> SourceFile:
    return SourceFile("", relative, relative, "video", size)


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        (["GX010034.MP4", "GX010035.MP4", "GX020034.MP4", "GX030034.MP4"], [["GX010034.MP4", "GX020034.MP4", "GX030034.MP4"]]),
        (["GOPR0034.MP4", "GP010034.MP4", "GP020034.MP4", "GOPR0035.MP4"], [["GOPR0034.MP4", "GP010034.MP4", "GP020034.MP4"]]),
        (["GH010034.MP4", "GX020034.MP4", "a/GX010001.MP4", "b/GX020001.MP4", "walk.mp4"], []),
    ],
)
def test_gopros_chapters(names: list[str], wanted: list[list[str]]) -> None:
    assert chapters([video(name) for name in names]) == {name: (parts[0], n) for parts in wanted for n, name in enumerate(parts)}


@pytest.mark.parametrize("form", ["DJI_{:04d}.MP4", "DJI_2024051709{:04d}_{:04d}_D.MP4", "100MEDIA/dji_{:04d}.mov"])
def test_djis_parts_of_four_gigabytes(form: str) -> None:
    sizes = [FULL, FULL, 1000, 2000, FULL]
    files = [video(form.format(n, n), size) for n, size in enumerate(sizes, 1)]
    first, second, third, *_ = (file.name for file in files)
    assert chapters(files) == {first: (first, 0), second: (first, 1), third: (first, 2)}
    assert chapters([files[0], files[2]]) == {}  # the second is missing: nobody knows


def record(name: str, frame: int, chapter: tuple[str, int] | None) -> ImageRecord:
    own = {"name": f"{name}/{frame:06d}.jpg", "file": "", "source": name, "sha256": "", "width": 640, "height": 480, "camera": "c"}
    return ImageRecord.model_validate({**own, "sequence": name, "frame": frame, "chapter": chapter})


def test_the_last_frame_of_a_chapter_and_the_first_of_the_next_are_neighbours() -> None:
    records = [record("GX010034.MP4", n, ("GX010034.MP4", 0)) for n in range(12)]
    records += [record("GX010035.MP4", n, None) for n in range(12)]  # as the names sort
    records += [record("GX020034.MP4", n, ("GX010034.MP4", 1)) for n in range(12)]
    options = Pairs(sequence_window=3, loop_neighbours=0)
    pairs, rules = choose_pairs(records, options, lambda *_: {}, lambda asked: [0] * len(asked))
    assert {(11, 24), (10, 24), (11, 26)} <= set(pairs)
    assert not {(i, j) for i, j in pairs if (12 <= i < 24) != (12 <= j < 24)}
    assert rules == {"sequence": len(pairs)}


def taken(capture: Path, place: Path) -> tuple[Inputs, list[ImageRecord]]:
    (place / "source").mkdir(parents=True)
    write_source(open_source(capture, place / "w"), place / "source")
    inputs: dict[str, tuple[Path, ...]] = {"source": (place / "source",)}
    for stage in (ingest.stage, select.stage):
        folders = []
        for number, shard in enumerate(stage.split(Config(), inputs)):
            folder = place / stage.name / str(number)
            folder.mkdir(parents=True)
            stage.run(Config(), inputs, shard, folder, Work())
            folders.append(folder)
        inputs[stage.name] = tuple(folders)
    return inputs, [record for folder in inputs["select"] for record in read_records(folder)]


def test_chapters_share_a_camera_and_know_their_order(tmp_path: Path) -> None:
    (tmp_path / "c").mkdir()
    scene = texture(96, 700)
    for number, name in enumerate(("GX010034.MP4", "GX020034.MP4", "GX010035.MP4")):
        write_video(tmp_path / "c" / name, pan(scene, np.arange(0, 120, 12) + 120 * number, 96, 128))
    inputs, records = taken(tmp_path / "c", tmp_path / "t")
    by_sequence = {record.sequence: record for record in records}
    assert by_sequence["GX010034.MP4"].chapter == ("GX010034.MP4", 0)
    assert by_sequence["GX020034.MP4"].chapter == ("GX010034.MP4", 1)
    assert by_sequence["GX010035.MP4"].chapter is None
    cameras = {sequence: row.camera for sequence, row in by_sequence.items()}
    assert cameras["GX010034.MP4"] == cameras["GX020034.MP4"] != cameras["GX010035.MP4"]
    assert [row["videos"][0]["chapter"] for row in map(read_json, (folder / "videos.json" for folder in inputs["ingest"]))] == [
        ["GX010034.MP4", 0], None, ["GX010034.MP4", 1],
    ]  # fmt: skip


def test_files_of_one_name_in_several_folders_are_one_capture(tmp_path: Path) -> None:
    for number, folder in enumerate(("battery 1", "battery 2", "battery 2/later")):
        (tmp_path / "c" / folder).mkdir(parents=True)
        save(tmp_path / "c" / folder / "DJI_0001.JPG", texture(90, 120, number))
        write_video(tmp_path / "c" / folder / "DJI_0002.MP4", pan(texture(96, 400, number), range(0, 120, 12), 96, 128))
    _, records = taken(tmp_path / "c", tmp_path / "t")
    assert len({record.name for record in records}) == len(records)
    assert {record.source for record in records if record.sequence is None} == {
        f"{folder}/DJI_0001.JPG" for folder in ("battery 1", "battery 2", "battery 2/later")
    }
    assert len({record.sequence for record in records}) == 4
