from __future__ import annotations

import os
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from capture.media import Rgb, pan, texture, write_video

from recon.capture.video import Frames, probe, sample
from recon.errors import InputError, NotFound, TooLarge

H, W = 96, 160
LIMIT = 400_000_000


@pytest.fixture(scope="module")
def views() -> list[Rgb]:
    scene = cv2.GaussianBlur(texture(H, W + 100), (0, 0), 2.0)
    return pan(scene, range(0, 60, 2), H, W)


def rgbs(path: Path) -> list[Rgb]:
    return [frame.rgb() for frame in Frames(path)]


def error(frames: list[Rgb], truth: list[Rgb]) -> float:
    return float(np.mean([np.abs(a.astype(int) - b).mean() for a, b in zip(frames, truth, strict=True)]))


@pytest.mark.parametrize(
    ("codec", "pix_fmt"),
    [("libx264", "yuv420p"), ("libx264", "yuv444p"), ("libx265", "yuv420p"), ("libx265", "yuv420p10le"), ("mpeg4", "yuv420p")],
)
def test_frames_of_each_codec(tmp_path: Path, views: list[Rgb], codec: str, pix_fmt: str) -> None:
    options = {"b": "8000000"} if codec == "mpeg4" else None
    path = write_video(tmp_path / "a.mp4", views, codec=codec, pix_fmt=pix_fmt, options=options)
    frames = list(Frames(path))
    assert [frame.index for frame in frames] == list(range(30))
    assert [frame.timestamp_s for frame in frames] == pytest.approx(np.arange(30) / 30, abs=1e-3)
    assert 0 < error([frame.rgb() for frame in frames], views) < 5
    luma = [cv2.cvtColor(view, cv2.COLOR_RGB2GRAY) for view in views]
    assert error([frame.grey(1000) for frame in frames], luma) < 5
    assert frames[0].grey(80).shape == (48, 80)
    info = probe(path, LIMIT)
    assert (info.width, info.height, info.rotation_deg, info.frames) == (W, H, 0, 30)
    assert info.codec == {"libx264": "h264", "libx265": "hevc", "mpeg4": "mpeg4"}[codec]
    assert info.duration_s == pytest.approx(1.0, abs=0.05)


def test_frames_with_b_pyramids_come_in_presentation_order(tmp_path: Path, views: list[Rgb]) -> None:
    path = write_video(tmp_path / "a.mp4", views, options={"crf": "10", "bf": "6", "b-pyramid": "normal", "g": "30"})
    with av.open(str(path)) as container:
        order = [packet.pts for packet in container.demux(video=0) if packet.pts is not None]
    assert order != sorted(order), "else this test shows nothing"
    assert error(rgbs(path), views) < 5


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_rotation_metadata_makes_frames_upright(tmp_path: Path, views: list[Rgb], rotation: int) -> None:
    """Stored turned clockwise by the angle that the display matrix turns back."""
    stored = [np.rot90(view, -rotation // 90) for view in views]
    path = write_video(tmp_path / "a.mp4", stored, rotation=rotation)
    assert error(rgbs(path), views) < 5
    first = next(iter(Frames(path)))
    assert first.grey(1000).shape == (H, W)
    info = probe(path, LIMIT)
    assert (info.width, info.height, info.rotation_deg) == (W, H, rotation)


def test_variable_frame_rate_keeps_its_clock(tmp_path: Path, views: list[Rgb]) -> None:
    times_ms = [0, 40, 50, 90, 400, 410, 2000, 2033, 2066, 2500]
    path = write_video(tmp_path / "a.mp4", views[:10], times_ms=times_ms)
    frames = list(Frames(path))
    assert [frame.timestamp_s for frame in frames] == pytest.approx(np.array(times_ms) / 1000, abs=2e-3)
    assert error([frame.rgb() for frame in frames], views[:10]) < 5


def test_a_stream_that_starts_late_starts_at_zero(tmp_path: Path, views: list[Rgb]) -> None:
    path = write_video(tmp_path / "a.mkv", views[:5], times_ms=[5000, 5033, 5066, 5100, 5133])
    assert [frame.timestamp_s for frame in Frames(path)] == pytest.approx([0, 0.033, 0.066, 0.1, 0.133], abs=2e-3)


def test_no_duration_in_the_container(tmp_path: Path, views: list[Rgb]) -> None:
    raw = write_video(tmp_path / "a.h264", views)
    raw.rename(tmp_path / "a.mp4")
    info = probe(tmp_path / "a.mp4", LIMIT)
    assert (info.width, info.height, info.duration_s, info.frames) == (W, H, None, None)
    assert error(rgbs(tmp_path / "a.mp4"), views) < 5


def test_a_broken_tail_gives_what_decodes(tmp_path: Path, views: list[Rgb]) -> None:
    path = write_video(tmp_path / "a.mp4", views, container_options={"movflags": "faststart"}, options={"crf": "10", "g": "5"})
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * 0.6)])
    frames = Frames(path)
    seen = [frame.rgb() for frame in frames]
    assert 10 <= len(seen) < 25
    assert error(seen[:10], views[:10]) < 5
    assert probe(path, LIMIT).frames == 30


def test_damage_in_the_middle_is_passed_over(tmp_path: Path, views: list[Rgb]) -> None:
    path = write_video(tmp_path / "a.mp4", views, container_options={"movflags": "faststart"}, options={"crf": "10", "g": "5"})
    raw = bytearray(path.read_bytes())
    middle = len(raw) // 2
    raw[middle : middle + 3000] = bytes(3000)
    path.write_bytes(raw)
    seen = [(frame.index, frame.rgb()) for frame in Frames(path)]
    assert 20 <= len(seen) <= 30
    last_five = [(rgb, view) for (_, rgb), view in zip(seen[-5:], views[-5:], strict=True)]
    assert error([rgb for rgb, _ in last_five], [view for _, view in last_five]) < 5


def test_threads_change_nothing(tmp_path: Path, views: list[Rgb]) -> None:
    path = write_video(tmp_path / "a.mp4", views)
    one, four = ([frame.rgb() for frame in Frames(path, threads)] for threads in (1, 4))
    assert np.array_equal(one, four)


def test_frames_larger_than_the_limit_are_refused(tmp_path: Path, views: list[Rgb]) -> None:
    path = write_video(tmp_path / "a.mp4", views[:3])
    with pytest.raises(TooLarge, match=r"160 x 96 pixels are more than the limit of 15,000 \(ingest\.max_pixels\)"):
        probe(path, 15_000)
    assert probe(path, H * W).width == W


@pytest.mark.parametrize(("count", "rate"), [(30, 30), (700, 30)])
def test_a_sample_is_spread_over_the_video(tmp_path: Path, views: list[Rgb], count: int, rate: int) -> None:
    path = write_video(tmp_path / "a.mp4", (views * 24)[:count], rate=rate, options={"crf": "16", "preset": "ultrafast", "g": "10"})
    found = list(sample(path, probe(path, LIMIT), 10))
    times_s = np.array([frame.timestamp_s for frame in found])
    assert 8 <= len(found) <= 10
    assert (np.diff(times_s) > 0).all()
    assert times_s[0] <= 0.1 * count / rate
    assert times_s[-1] >= 0.8 * count / rate
    for frame in found:
        assert error([frame.rgb()], [views[round(frame.timestamp_s * rate) % 30]]) < 5


def test_a_sample_of_a_damaged_video_is_what_decodes(tmp_path: Path, views: list[Rgb]) -> None:
    path = write_video(
        tmp_path / "a.mp4", views * 20, container_options={"movflags": "faststart"}, options={"crf": "16", "preset": "ultrafast", "g": "10"}
    )
    info = probe(path, LIMIT)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert 4 <= len(list(sample(path, info, 20))) <= 12


def test_a_video_without_its_index(tmp_path: Path, views: list[Rgb]) -> None:
    path = write_video(tmp_path / "a.mp4", views)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(InputError, match=r"a\.mp4 is no video that can be read"):
        probe(path, LIMIT)


def test_a_sound_recording_has_no_video_stream(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=48000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 48000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(InputError, match="no video stream, only audio"):
        probe(path, LIMIT)


def test_files_that_are_no_video(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_text("hello")
    with pytest.raises(InputError, match="no video"):
        probe(tmp_path / "a.mp4", LIMIT)
    with pytest.raises(NotFound):
        probe(tmp_path / "gone.mp4", LIMIT)


def test_a_name_that_is_no_utf8(tmp_path: Path, views: list[Rgb]) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9.mp4")
    write_video(tmp_path / "a.mp4", views[:5]).rename(path)
    assert len(rgbs(path)) == 5
