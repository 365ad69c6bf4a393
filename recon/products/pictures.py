"""The preview picture and the turntable video."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import Colorspace
from numpy.typing import NDArray
from PIL import Image

from recon.products.render import MeshRenderer
from recon.products.viewpoint import Orbit
from recon.stage import Work
from recon.threads import in_order

PREVIEW_SIZE = (1600, 900)
TURNTABLE_SIZE = (960, 540)
TURNTABLE_FPS = 16
_AT_ONCE = 8
"""Frames that are drawn side by side at most: each takes some tens of megabytes."""


def write_preview(path: Path, renderer: MeshRenderer, orbit: Orbit, threads: int = 1) -> None:
    """A PNG of the mesh from the orbit's best viewpoint."""
    Image.fromarray(renderer.render(orbit.best(*PREVIEW_SIZE), threads)).save(path, optimize=False, compress_level=6)


def write_turntable(path: Path, renderer: MeshRenderer, orbit: Orbit, length_s: float, work: Work) -> None:
    """An H.264 video that loops; pixels as the preview's. Frames are drawn side by side, while those before are encoded."""
    views = orbit.turn(max(2, round(length_s * TURNTABLE_FPS)), *TURNTABLE_SIZE)
    returns = [orbit.returns_at(number, len(views)) for number in range(len(views))]
    first_seen = [number if other is None else min(number, other) for number, other in enumerate(returns)]

    def frames() -> Iterable[NDArray[np.uint8]]:
        drawn = in_order(renderer.render, [views[number] for number in sorted(set(first_seen))], min(work.threads, _AT_ONCE))
        kept: dict[int, NDArray[np.uint8]] = {}
        for number, first in enumerate(first_seen):
            work.tell(0.3 + 0.7 * number / len(views), "turntable")
            if first == number:
                kept[number] = next(drawn)
            yield kept[first] if first in first_seen[number + 1 :] else kept.pop(first)

    write_video(path, frames(), TURNTABLE_FPS)


def write_video(path: Path, frames: Iterable[NDArray[np.uint8]], fps: int) -> None:
    """Encode RGB frames, even in width and height, so that every browser plays them: H.264, 4:2:0, index first.

    One thread, since the encoder's output depends on how many there are, and no macroblock tree, since with it x264 gives
    other bytes from run to run.
    """
    flags = {"movflags": "+faststart", "fflags": "+bitexact"}
    with av.open(str(path), "w", format="mp4", options=flags) as container:
        options = {"crf": "21", "preset": "medium", "threads": "1", "x264-params": "mbtree=0"}
        stream = container.add_stream("libx264", rate=Fraction(fps), options=options)
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        stream.codec_context.colorspace = Colorspace.ITU709
        stream.codec_context.color_primaries = stream.codec_context.color_trc = 1  # BT.709
        for number, picture in enumerate(frames):
            if number == 0:
                stream.height, stream.width = picture.shape[:2]
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(
                format="yuv420p", src_colorspace=Colorspace.ITU709, dst_colorspace=Colorspace.ITU709
            )
            frame.pts = number
            frame.time_base = Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
