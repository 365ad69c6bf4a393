"""What ``recon inspect`` calls a capture: every simulated kind, and what real devices write into their files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from capture.media import exif, pan, save, texture, write_video

from recon.capture.kinds import VideoSeen, kind_of_capture
from recon.capture.photos import Header
from recon.capture.source import open_source
from recon.capture.video import VideoInfo, probe
from recon.inspect import inspect
from recon.simulate import simulate

HEADER = Header("JPEG", 400, 300, True, "", None, "none", None, None, None)
INFO = VideoInfo(640, 480, "h264", 0, 30.0, 1.0, 30, None, "")


def kind_of(capture: Path, workspace: Path) -> str:
    return inspect(open_source(capture, workspace, hashed=False), preflight=False).kind


@pytest.mark.parametrize(
    ("kind", "video", "wanted"),
    [
        ("drone", False, "drone photos (recon simulated drone)"),
        ("drone", True, "drone video with subtitles"),
        ("object", False, "photos (recon simulated camera)"),
        ("object", True, "video"),
        ("glasses", True, "video"),
        ("room", None, "RGB-D folder (recon simulated camera)"),
    ],
)
def test_simulated_captures(kind: str, video: bool | None, wanted: str, tmp_path: Path) -> None:
    truth = simulate(kind, tmp_path / "c", images=4, size=(128, 96), video=video)
    assert kind_of(tmp_path / "c" / truth.capture, tmp_path / "w") == wanted


@pytest.mark.parametrize(("name", "app"), [("stray", "Stray Scanner"), ("polycam", "Polycam"), ("arkitscenes", "ARKitScenes")])
def test_scans_are_called_by_their_app(name: str, app: str, tmp_path: Path) -> None:
    simulate("room", tmp_path / "c", images=4, size=(128, 96), format=name)
    assert kind_of(tmp_path / "c", tmp_path / "w") == f"{app} scan"


@pytest.mark.parametrize("video", [False, True])
def test_panoramas(video: bool, tmp_path: Path) -> None:
    truth = simulate("panorama", tmp_path / "c", images=4, size=(256, 128), video=video)
    assert kind_of(tmp_path / "c" / truth.capture, tmp_path / "w") == ("360 video" if video else "360 photos")


@pytest.mark.parametrize(
    ("make", "model", "wanted"),
    [
        ("DJI", "FC300S", "drone photos (DJI FC300S)"),
        ("Autel Robotics", "XT705", "drone photos (Autel Robotics XT705)"),
        ("Skydio", "Skydio X10", "drone photos (Skydio X10)"),
        ("GoPro", "HERO9 Black", "action camera photos (GoPro HERO9 Black)"),
        ("DJI", "Osmo Action 4", "action camera photos (DJI Osmo Action 4)"),
        ("Apple", "iPhone 15 Pro", "phone photos (Apple iPhone 15 Pro)"),
        ("Apple", "iPad Pro (11-inch)", "tablet photos (Apple iPad Pro (11-inch))"),
        ("samsung", "SM-S918B", "phone photos (samsung SM-S918B)"),
        ("samsung", "SM-X710", "tablet photos (samsung SM-X710)"),
        ("Google", "Pixel 8", "phone photos (Google Pixel 8)"),
        ("NIKON CORPORATION", "NIKON D60", "photos (NIKON D60)"),
        ("SONY", "ILCE-7M3", "photos (SONY ILCE-7M3)"),
        ("", "", "photos"),
    ],
)
def test_photos_are_called_by_their_device(make: str, model: str, wanted: str, tmp_path: Path) -> None:
    for index in range(2):
        save(tmp_path / f"{index}.jpg", texture(70, 90, index), exif=exif({0x010F: make, 0x0110: model} if make else {}))
    assert kind_of(tmp_path, tmp_path / "w") == wanted


@pytest.mark.parametrize(
    ("camera", "telemetry", "beside", "wanted"),
    [
        ("", "DJI subtitles (brackets)", True, "drone video with subtitles"),
        ("DJI", "DJI subtitles (brackets)", False, "drone video with subtitles inside (DJI)"),
        ("GoPro", "GoPro GPMF (Camera, GoPro Karma v1.0) GLPI", False, "GoPro video (GoPro Karma v1.0)"),
        ("GoPro", "", False, "GoPro video (GoPro)"),
        ("Apple iPhone 12 mini", "", False, "phone video (Apple iPhone 12 mini)"),
        ("Android", "", False, "phone video (Android)"),
        ("Apple iPad", "", False, "tablet video (Apple iPad)"),
        ("", "", False, "video"),
    ],
)
def test_videos_are_called_by_their_telemetry_and_device(camera: str, telemetry: str, beside: bool, wanted: str) -> None:
    assert kind_of_capture([], [VideoSeen(replace(INFO, camera=camera), telemetry, beside)], 0) == wanted


def test_a_mixed_capture_names_each_kind_and_counts_many_devices() -> None:
    phones = [replace(HEADER, device=f"Apple iPhone {n}") for n in range(4)]
    drone = replace(HEADER, device="DJI FC300S", gimbal_deg=(0, -90, 0))
    videos = [VideoSeen(replace(INFO, camera="GoPro"), "", False)]
    assert kind_of_capture([*phones, drone], videos, 0) == "phone photos (4 cameras), drone photos (DJI FC300S), GoPro video (GoPro)"
    assert kind_of_capture([], [], 0) == ""


def test_the_device_of_a_video_is_read_from_its_container(tmp_path: Path) -> None:
    frames = pan(texture(80, 160), range(4), 64, 96)
    path = write_video(tmp_path / "a.mov", frames, metadata={"com.apple.quicktime.make": "Apple", "com.apple.quicktime.model": "iPhone 15"})
    assert probe(path, 10**9).camera == "Apple iPhone 15"
    path = write_video(tmp_path / "b.mp4", frames, metadata={"com.android.version": "14"})
    assert probe(path, 10**9).camera == "Android"
    assert probe(write_video(tmp_path / "c.mp4", frames), 10**9).camera == ""
