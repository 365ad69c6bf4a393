"""The chooser on frames of a flat scene that the camera pans along by known steps."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from capture.media import texture
from numpy.typing import NDArray

from recon.capture.keyframes import Candidate, Chooser
from recon.capture.tracks import Tracks
from recon.config import Select

H, W = 360, 640
DIAGONAL = float(np.hypot(H, W))
SCENE = cv2.cvtColor(texture(H, 3200), cv2.COLOR_RGB2GRAY)
CONFIG = Select(keyframe_parallax=0.05, min_overlap=0.7)
STEP = 6
"""Pixels a frame: 0.05 of the diagonal takes six frames."""


class Shown:
    """A frame as the chooser asks for it."""

    def __init__(self, index: int, image: NDArray[np.uint8]) -> None:
        self.index = index
        self.timestamp_s = index / 30
        self._image = image

    def grey(self, max_size_px: int) -> NDArray[np.uint8]:  # noqa: ARG002
        return self._image


def view(x: float, blur_px: int = 0) -> NDArray[np.uint8]:
    moved = cv2.warpAffine(SCENE, np.array([[1.0, 0, -x], [0, 1, 0]]), (W, H))
    return np.asarray(cv2.blur(moved, (blur_px, 1)) if blur_px else moved, dtype=np.uint8)


def choose(images: list[NDArray[np.uint8]], config: Select = CONFIG) -> tuple[list[int], list[dict[str, Any]], Chooser]:
    kept: list[Candidate] = []
    chooser = Chooser(config, kept.append)
    for index, image in enumerate(images):
        chooser.add(Shown(index, image))  # type: ignore[arg-type]
    chooser.finish()
    frames = [keyframe.frame.index for keyframe in kept]
    assert frames == sorted(set(frames))
    assert frames == [row["frame"] for row in chooser.rows if row["kept"]]
    assert not set(frames) & {row["frame"] for row in chooser.rows if not row["kept"] and "nothing moves" not in row["reason"]}
    return frames, chooser.rows, chooser


def gaps(frames: list[int]) -> NDArray[np.int64]:
    return np.diff(frames)


def test_tracks_measure_motion_and_overlap() -> None:
    tracks = Tracks(view(0))
    for x in range(STEP, 20 * STEP + 1, STEP):
        tracks.follow(view(x))
    assert tracks.motion == pytest.approx(20 * STEP / DIAGONAL, rel=0.02)
    assert tracks.overlap == pytest.approx(1 - 20 * STEP / W, abs=0.05)
    assert not tracks.lost
    tracks.follow(np.asarray(SCENE[::-1, 2000 : 2000 + W]))
    assert tracks.lost


def test_tracks_go_on_beyond_their_first_view() -> None:
    """All first corners leave the image; what replaced them still knows the way."""
    tracks = Tracks(view(0))
    for x in range(10, 901, 10):
        tracks.follow(view(x))
    assert tracks.overlap == 0
    assert tracks.motion == pytest.approx(900 / DIAGONAL, rel=0.05)


def test_keyframes_follow_the_motion_asked_for() -> None:
    frames, rows, _ = choose([view(STEP * i) for i in range(120)])
    steps = gaps(frames)[1:-1] * STEP / DIAGONAL
    assert steps.min() > 0.035
    assert steps.max() < 0.07
    assert all(row["overlap"] >= CONFIG.min_overlap for row in rows if row["kept"])
    assert len(choose([view(STEP * i) for i in range(120)], CONFIG.model_copy(update={"keyframe_parallax": 0.1}))[0]) < 0.7 * len(frames)


def test_faster_motion_gives_keyframes_at_the_same_distance() -> None:
    slow = [STEP * i for i in range(60)]
    fast = [slow[-1] + 4 * STEP * i for i in range(1, 61)]
    frames, _, _ = choose([view(x) for x in slow + fast])
    early, late = gaps([f for f in frames if 8 < f < 58]), gaps([f for f in frames if f > 62][:-1])
    assert np.mean(early) >= 3 * np.mean(late)


def test_overlap_ends_before_parallax_does() -> None:
    config = Select(keyframe_parallax=0.5, min_overlap=0.7)
    frames, rows, _ = choose([view(STEP * i) for i in range(150)], config)
    assert {row["reason"] for row in rows if row["kept"]} >= {"overlap"}
    assert all(row["overlap"] >= 0.68 for row in rows if row["kept"])
    assert gaps(frames)[1:-1].mean() * STEP / W == pytest.approx(0.3, abs=0.06)


def test_a_still_stretch_gives_one_keyframe_and_says_so() -> None:
    moving = [view(STEP * i) for i in range(40)]
    frames, rows, _ = choose([*moving, *[moving[-1]] * 60, *[view(STEP * i) for i in range(40, 80)]])
    assert sum(42 < frame < 98 for frame in frames) <= 1
    assert gaps(frames).max() < 75
    assert any(not row["kept"] and "nothing moves up to frame" in row["reason"] for row in rows)


def test_a_camera_that_never_moves_gives_one_frame() -> None:
    frames, rows, _ = choose([view(100)] * 60)
    assert len(frames) == 1
    assert [row["reason"] for row in rows] == ["the first", "nothing moves up to frame 59, for 1.7 s"]


def test_blurred_frames_are_refused_where_others_serve() -> None:
    images = [view(STEP * i, 15 if i % 6 in (4, 5, 0) and i > 8 else 0) for i in range(120)]
    frames, rows, _ = choose(images)
    assert not [frame for frame in frames if frame % 6 in (4, 5, 0) and frame > 8]
    refused = [row for row in rows if row["reason"].startswith("blurred")]
    assert refused
    assert not any(row["kept"] for row in refused)
    assert gaps(frames).max() * STEP / DIAGONAL < 0.13


def test_a_blurred_frame_is_better_than_a_broken_chain() -> None:
    """Blur for much longer than the view overlaps: the chain goes on through it."""
    images = [view(STEP * i, 17 if 40 <= i < 66 else 0) for i in range(110)]
    frames, rows, chooser = choose(images)
    inside = [row for row in rows if row["kept"] and 40 <= row["frame"] < 66]
    assert inside
    assert any("blurred, but" in row["reason"] for row in inside)
    assert gaps(frames).max() * STEP / W < 1 - 0.6
    assert chooser.seen.breaks == 0


def test_a_cut_starts_a_new_chain() -> None:
    images = [view(STEP * i) for i in range(40)] + [view(2000 + STEP * i)[::-1].copy() for i in range(40)]
    frames, _, chooser = choose(images)
    assert chooser.seen.breaks == 1
    assert any(34 <= frame < 40 for frame in frames), "the end of the first scene"
    assert any(40 <= frame < 49 for frame in frames), "the beginning of the second"


def test_a_covered_lens_is_not_kept() -> None:
    black = np.zeros((H, W), np.uint8)
    images = [view(STEP * i) for i in range(40)] + [black] * 20 + [view(STEP * i) for i in range(45, 80)]
    frames, _, chooser = choose(images)
    assert not [frame for frame in frames if 40 <= frame < 60]
    assert (chooser.seen.black, chooser.seen.breaks) == (20, 1)
    assert any(frame >= 60 for frame in frames)


def test_a_moving_scene_before_a_camera_that_stands_gives_no_stream_of_keyframes() -> None:
    """Water: most of the corners die within a second, but what stands still says that nothing was gained."""
    rng = np.random.default_rng(0)
    images = []
    for _ in range(90):
        image = view(0)
        image[H // 3 :] = cv2.GaussianBlur(rng.integers(0, 255, (H - H // 3, W), dtype=np.uint8), (0, 0), 2)
        images.append(image)
    frames, _, _ = choose(images)
    assert len(frames) <= 2


def test_the_first_keyframe_is_the_sharpest_of_the_first_frames() -> None:
    frames, _, _ = choose([view(i, 15 if i < 5 else 0) for i in range(60)])
    assert 5 <= frames[0] <= 8
