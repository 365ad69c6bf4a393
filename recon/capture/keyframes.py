"""Chooses the keyframes of a video while it is decoded once: enough parallax, enough overlap, and sharp.

A frame becomes a candidate when the view moved about ``keyframe_parallax`` since the last keyframe; of the candidates the
sharpest is kept. A blurred one is passed over as long as the next frames still overlap with the last keyframe, and taken
rather than let the chain break. Nothing is kept of a stretch in which the view stands still.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recon.capture import quality
from recon.capture.tracks import Tracks
from recon.capture.video import Frame
from recon.config import Select

_EARLY, _LATE, _TOO_LATE = 0.75, 1.25, 2.5
"""Shares of keyframe_parallax: candidates from; the choice at; and at the latest, where all so far are blurred."""
_MOVED = 0.25
"""Share below which dying tracks mean a moving scene (water, people), not a moving camera."""
_STILL, _STILL_S = 0.1, 1.0
"""A stretch that moves less than this share for so long stands still."""
_START_FRAMES = 8
_MAX_PASSED = 10
_NEIGHBOURS = 31
"""Frames (about a second) that a frame's sharpness is compared with."""


@dataclass
class Candidate:
    """A frame with what was measured on it; ``parallax`` and ``overlap`` are towards the keyframe before it."""

    frame: Frame
    grey: NDArray[np.uint8]
    sharpness: float
    brightness: float
    parallax: float = 0.0
    overlap: float = 1.0

    def row(self, kept: bool, reason: str) -> dict[str, Any]:
        """A row of ``keyframes.json``, without its source."""
        return {
            "frame": self.frame.index,
            "timestamp_s": round(self.frame.timestamp_s, 6),
            "kept": kept,
            "reason": reason,
            "sharpness": self.sharpness,
            "parallax": round(self.parallax, 4),
            "overlap": round(self.overlap, 4),
        }


@dataclass
class Seen:
    """What the whole video showed."""

    frames: int = 0
    black: int = 0
    even: int = 0
    blurred: int = 0
    sharpest: float = 0.0
    breaks: int = 0
    """Cuts, turns too fast and empty frames: the keyframes on both sides may share nothing."""


class Chooser:
    """Feed frames in presentation order with ``add``, then call ``finish``; ``keep`` is called for each keyframe, in order.

    Holds three decoded frames at most: the best candidate, the frame before, and the current one. ``rows`` says for each
    keyframe, refused candidate and still stretch what was decided and why.
    """

    def __init__(self, config: Select, keep: Callable[[Candidate], None]) -> None:
        self.rows: list[dict[str, Any]] = []
        self.seen = Seen()
        self._keep = keep
        self._goal = config.keyframe_parallax
        self._min_overlap = config.min_overlap
        self._min_sharpness = config.min_sharpness
        self._recent: deque[float] = deque(maxlen=_NEIGHBOURS)
        self._begin()

    def _begin(self) -> None:
        self._tracks: Tracks | None = None
        """From the last keyframe, or from the first frame of a stretch that has no keyframe yet."""
        self._starting = 0
        """Number of frames of a stretch that has no keyframe yet."""
        self._passed = 0
        """Blurred frames that were passed over since the last one that was followed."""
        self._best: Candidate | None = None
        self._refused: list[dict[str, Any]] = []
        self._last: Candidate | None = None
        """The frame before, measured towards the last keyframe; None where it is one."""
        self._still: list[dict[str, Any]] = []
        """First and last row of a stretch without motion."""

    def add(self, frame: Frame) -> None:
        """Look at the next frame."""
        grey = frame.grey(quality.ANALYSIS_PX)
        measured = quality.measure(grey)
        empty = quality.emptiness(measured.thumb)
        self.seen.frames += 1
        self.seen.black += empty == "black"
        self.seen.even += empty == "even"
        if empty:
            self._end("the last before the view is lost")
            return
        self.seen.blurred += measured.sharpness < quality.BLURRED_CODED
        self.seen.sharpest = max(self.seen.sharpest, measured.sharpness)
        self._recent.append(measured.sharpness)
        current = Candidate(frame, grey, measured.sharpness, measured.brightness)
        if self._tracks is None:
            self._start(current)
            return
        if self._pass_over(self._tracks, current):
            return
        self._measure(current)
        if self._starting:
            self._look_for_first(current)
        else:
            self._note_stillness(current)
            self._advance(current)

    def finish(self) -> None:
        """The video is over: its last stretch gets a keyframe."""
        self._end("the last of the video")

    def _start(self, current: Candidate) -> None:
        """A new stretch: at the first frame, after a cut, after black."""
        self.seen.breaks += bool(self.rows)
        self._begin()
        self._tracks = Tracks(current.grey)
        self._starting = 1
        self._best = current

    def _pass_over(self, tracks: Tracks, current: Candidate) -> bool:
        """Follow the tracks into the current frame; or leave them where they are if it is blurred and the next ones may do.

        Blur makes tracks die that the next sharp frame would find again, so it must not count as overlap lost.
        """
        trial = tracks.copy()
        trial.follow(current.grey)
        near = not trial.lost and trial.motion < _TOO_LATE * self._goal
        if self._is_blurred(current) and near and self._passed < _MAX_PASSED and not self._starting:
            self._passed += 1
            current.parallax, current.overlap = trial.motion, trial.overlap
            if current.parallax >= _EARLY * self._goal:
                self._refused.append(current.row(False, self._blur_in_words(current)))
            return True
        self._tracks, self._passed = trial, 0
        return False

    def _look_for_first(self, current: Candidate) -> None:
        """The first keyframe of a stretch is the sharpest of its first few frames, as long as they show the same."""
        self._starting += 1
        if self._is_lost() or current.parallax > self._goal / 2 or self._starting > _START_FRAMES:
            self._choose(self._best or current, "the first", current)
            self._advance(current)
        elif self._best is None or current.sharpness > 1.02 * self._best.sharpness:
            self._best = current

    def _advance(self, current: Candidate) -> None:
        """Choose a keyframe if the current frame is too far from the last one, until it no longer is."""
        while reason := self._due(current):
            pick = self._best or self._last_that_moved()
            if pick is None and self._is_lost():
                self._start(current)
                return
            pick = pick or current
            if self._is_blurred(pick):
                reason = "blurred, but a later frame would share too little with the one before"
            self._choose(pick, reason, current)
            if pick is current:
                return
        self._last = current

    def _due(self, current: Candidate) -> str:
        """Why a keyframe must be chosen now, or ""; the current frame becomes a candidate where it may be one."""
        if self._is_lost():
            return "the last before the view is lost"
        if current.overlap < self._min_overlap and current.parallax >= _MOVED * self._goal:
            return "overlap"
        if current.parallax >= _EARLY * self._goal and self._best is not current:
            self._consider(current)
        if current.parallax < _LATE * self._goal:
            return ""
        waiting = self._best is not None and self._is_blurred(self._best) and current.parallax < _TOO_LATE * self._goal
        return "" if waiting else "parallax"

    def _consider(self, current: Candidate) -> None:
        worse = current
        if self._best is None or self._score(current) > self._score(self._best):
            worse, self._best = self._best or current, current
        if worse is not self._best:
            self._refused.append(worse.row(False, self._blur_in_words(worse)))

    def _score(self, candidate: Candidate) -> float:
        """Sharpness, less where the parallax is not what was asked for."""
        return candidate.sharpness * (1 - 0.5 * min(1.0, abs(candidate.parallax / self._goal - 1)))

    def _choose(self, pick: Candidate, reason: str, current: Candidate) -> None:
        """Keep pick; from now on the current frame is measured towards it."""
        self._flush_stillness()
        for row in self._refused:
            row["reason"] = row["reason"] or f"frame {pick.frame.index} is sharper or nearer to the parallax asked for"
        # those after the pick are not decided yet
        self.rows += [*(row for row in self._refused if row["frame"] < pick.frame.index), pick.row(True, reason)]
        self._refused, self._best, self._last, self._starting = [], None, None, 0
        self._keep(pick)
        self._tracks = Tracks(pick.grey)
        if pick is not current:
            self._tracks.follow(current.grey)
            self._measure(current)

    def _end(self, reason: str) -> None:
        """Close a stretch: what moved since its last keyframe gets another."""
        pick = self._best or self._last_that_moved()
        if pick is not None:
            self._choose(pick, "the first" if self._starting else reason, pick)
        self._flush_stillness()
        self._begin()

    def _last_that_moved(self) -> Candidate | None:
        return self._last if self._last is not None and self._last.parallax >= _MOVED * self._goal else None

    def _is_lost(self) -> bool:
        return self._tracks is None or self._tracks.lost

    def _measure(self, candidate: Candidate) -> None:
        if self._tracks is not None:
            candidate.parallax, candidate.overlap = self._tracks.motion, self._tracks.overlap

    def _is_blurred(self, candidate: Candidate) -> bool:
        return candidate.sharpness < self._min_sharpness * self._usual()

    def _usual(self) -> float:
        """Sharpness that frames around here can have: of the better quarter, as half of them may be blurred by steps."""
        return float(np.percentile(self._recent, 75))

    def _blur_in_words(self, candidate: Candidate) -> str:
        if not self._is_blurred(candidate):
            return ""
        return f"blurred: sharpness {candidate.sharpness:.2f}, that of its neighbours {self._usual():.2f}"

    def _note_stillness(self, current: Candidate) -> None:
        row = current.row(False, "")
        if self._still and abs(row["parallax"] - self._still[0]["parallax"]) < _STILL * self._goal:
            self._still = [self._still[0], row]
        else:
            self._flush_stillness()
            self._still = [row]

    def _flush_stillness(self) -> None:
        if len(self._still) == 2:
            first, last = self._still
            still_s = last["timestamp_s"] - first["timestamp_s"]
            if still_s >= _STILL_S:
                self.rows.append({**first, "reason": f"nothing moves up to frame {last['frame']}, for {still_s:.1f} s"})
        self._still = []
