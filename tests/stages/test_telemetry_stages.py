"""Telemetry from the file beside or inside a video to its keyframes' records, and what ``inspect`` says of it."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import pytest
from capture.media import pan, texture, write_video
from capture.telemetry_files import HOME, METRE, entry, flight_srt, write_captioned
from stages.test_ingest import Ingested
from stages.test_select import Selected

from recon.capture.records import read_json
from recon.capture.source import open_source
from recon.capture.telemetry import TRACK_FILE, Track
from recon.errors import InputError
from recon.inspect import inspect

H, W, STEP = 240, 426, 6


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of a camera that moves."""
    views = pan(texture(H, W + 60 * STEP + 10), [STEP * i for i in range(60)], H, W)
    return write_video(tmp_path_factory.mktemp("clip") / "clip.mp4", views, options={"crf": "16", "g": "12"})


@pytest.fixture
def capture(tmp_path: Path, clip: Path) -> Path:
    made = tmp_path / "c"
    made.mkdir()
    shutil.copy(clip, made / "DJI_0001.MP4")
    return made


def climb(seconds: int = 3) -> str:
    return flight_srt([10.0 * n for n in range(seconds)])


def test_keyframes_take_their_positions_from_the_subtitles_beside_the_video(capture: Path, tmp_path: Path) -> None:
    (capture / "DJI_0001.SRT").write_text(climb())
    found = Selected(capture, tmp_path)
    assert len(found.names) > 5
    for record in found.images.records:
        assert record.gps is not None
        assert record.timestamp_s is not None
        assert (record.gps.lat_deg - HOME[0]) / METRE == pytest.approx(10 * record.timestamp_s, abs=0.2)
        assert record.gps.alt_datum == "unknown"
    row = read_json(found.folders[0] / TRACK_FILE)
    assert row["sequence"] == "DJI_0001.MP4"
    assert len(Track.from_json(row["track"])) == 3


def test_a_video_passed_alone_finds_its_subtitles(capture: Path, tmp_path: Path) -> None:
    (capture / "dji_0001.srt").write_text(climb())
    source = open_source(capture / "DJI_0001.MP4", tmp_path / "w")
    assert {file.relative: file.kind for file in source.files} == {"dji_0001.srt": "telemetry", "DJI_0001.MP4": "video"}
    assert source.telemetry["DJI_0001.MP4"].relative == "dji_0001.srt"
    with pytest.raises(InputError, match="no photo, video or zip"):
        open_source(capture / "dji_0001.srt", tmp_path / "w")


def test_other_subtitles_make_another_capture(capture: Path, tmp_path: Path) -> None:
    before = open_source(capture, tmp_path / "w").key
    (capture / "DJI_0001.SRT").write_text(climb())
    with_subtitles = open_source(capture, tmp_path / "w").key
    (capture / "DJI_0001.SRT").write_text(climb(4))
    assert len({before, with_subtitles, open_source(capture, tmp_path / "w").key}) == 3


def test_a_flight_over_clips_and_folders_and_a_zip_is_one_capture(capture: Path, tmp_path: Path) -> None:
    (capture / "battery 2").mkdir()
    shutil.copy(capture / "DJI_0001.MP4", capture / "battery 2" / "DJI_0001.MP4")
    with (capture / "battery 2" / "DJI_0001.MP4").open("ab") as stream:
        stream.write(b"\0")  # not the same content
    (capture / "DJI_0001.SRT").write_text(climb())
    (capture / "battery 2" / "DJI_0001.SRT").write_text(climb(4))
    packed = tmp_path / "flight.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        for path in sorted(capture.rglob("*.*")):
            archive.write(path, path.relative_to(capture))
    for given, place in ((capture, "folder"), (packed, "zip")):
        ingested = Ingested(given, tmp_path / place)
        entries = {row["source"]: row["telemetry"]["entries"] for row in ingested.videos}
        assert entries == {"DJI_0001.MP4": 3, "battery 2/DJI_0001.MP4": 4}
        assert ingested.skipped == {}


def test_telemetry_elsewhere_than_its_video_is_named(capture: Path, tmp_path: Path) -> None:
    (capture / "other").mkdir()
    (capture / "other" / "DJI_0001.SRT").write_text(climb())
    ingested = Ingested(capture, tmp_path / "i")
    assert ingested.skipped == {"other/DJI_0001.SRT": "subtitles or telemetry of a video that is not here: they must bear the video's name"}
    assert ingested.videos[0]["telemetry"] is None
    found = inspect(open_source(capture, tmp_path / "w", hashed=False), preflight=False)
    assert [row.source for row in found.ignored] == ["other/DJI_0001.SRT"]
    assert found.videos[0].telemetry is None


def test_what_can_not_be_read_is_told_and_the_video_is_used(capture: Path, tmp_path: Path) -> None:
    for content, said in (
        (climb()[:-40].encode(), "1 entries can't be read (line 9"),
        (entry(1, 0, "Where are we going?").encode(), "holds no telemetry that is known"),
        (climb().replace("iso", "caf\u00e9 iso").encode("latin-1"), "not UTF-8"),
    ):
        place = tmp_path / said[:6].replace(" ", "-")
        (capture / "DJI_0001.SRT").write_bytes(content)
        found = Selected(capture, place)
        assert len(found.names) > 5
        assert any(said in warning for warning in found.warnings), found.warnings
    (capture / "DJI_0001.SRT").write_bytes(b"")
    empty = Ingested(capture, tmp_path / "empty")
    assert empty.videos[0]["telemetry"] is None


def test_inspect_names_dialect_extent_and_datum(capture: Path, tmp_path: Path) -> None:
    (capture / "DJI_0001.SRT").write_text(climb())
    found = inspect(open_source(capture, tmp_path / "w", hashed=False), preflight=False)
    told = found.videos[0].telemetry
    assert told is not None
    assert (told.format, told.entries, told.positions) == ("DJI subtitles (brackets)", 3, 3)
    assert (told.start_s, told.end_s, told.extent_m, told.alt_datum, told.gimbal) == (0.0, 2.0, 20.0, "unknown", False)
    assert told.sigma_m == pytest.approx((2.0, 3.0), abs=0.01)
    assert found.ignored == ()


def test_subtitles_inside_the_video_are_read(tmp_path: Path) -> None:
    texts = [f"F/2.8, SS 30.15, ISO 260, EV -1.7, GPS (8.5000{n}, 47.3000, 17), D 2.0m, H {n}.00m, H.S n/a" for n in range(6)]
    write_captioned(tmp_path / "DJI_0002.MP4", texts)
    (told,) = inspect(open_source(tmp_path / "DJI_0002.MP4", tmp_path / "w", hashed=False), preflight=False).videos
    assert told.telemetry is not None
    assert (told.telemetry.format, told.telemetry.positions, told.telemetry.alt_datum) == ("DJI subtitles (flight text)", 6, "takeoff")
    assert told.telemetry.end_s == pytest.approx(5.0)
