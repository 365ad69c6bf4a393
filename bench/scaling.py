"""Bar 7: time and memory of the dense stages by the number of images and of pixels, with exact cameras."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pycolmap
from numpy.typing import NDArray

from bench.flights import plan, write_flight
from recon.config import Config, parse
from recon.simulate.kinds import Plan, plan_capture
from recon.simulate.options import Options
from recon.simulate.render import render_linear
from recon.simulate.sensors import to_srgb
from recon.stage import Inputs, Shard, Work
from recon.stages import depth, fuse, undistort

if TYPE_CHECKING:
    from bench.bars import Row

COUNTS = (25, 50, 100)
SMALL = (640, 480)
PIXEL_IMAGES = 5
RENDERED = (2320, 1740)
"""Four megapixels; pictures of one and of sixteen are resized from these and get their own noise."""
SIZES = {1: (1160, 870), 4: RENDERED, 16: (4640, 3480)}
LARGE, LARGE_IMAGES = (8192, 6144), 3
"""Fifty megapixels, through a lens that bends: three images, since the memory is that of one and its neighbours."""
BENT = (-0.08, 0.02, 0.0005, -0.0005)
NOISE = 1.5
STAGES = {"undistort": undistort.stage, "depth": depth.stage, "fuse": fuse.stage}
TIMED = ("depth", "fuse")
MAX_GROWTH = 1.25
"""Cost an image or a pixel of the largest run over that of the smallest."""
MAX_MB = 4096


@dataclass(frozen=True)
class Taken:
    """By the shards of the dense stages, each in a process of its own as in a run."""

    cpu_s: float
    """Of depth and fuse."""
    peak_mb: dict[str, float]
    """The largest of a stage's shards."""

    @property
    def dense_mb(self) -> float:
        """Of depth and fuse."""
        return max(self.peak_mb[name] for name in TIMED)


def linear(data: Path, work: Path) -> list[Row]:
    """CPU seconds an image and a megapixel, peak memory a worker, and how they grow."""
    from bench.bars import Row, at_most

    rows, costs, peaks = [], {}, {}
    for count in COUNTS:
        made = plan("drone", count, SMALL)
        taken = _measured(write_flight(_fresh(work / f"linear-{count}"), made, _resized(_rendered(made), SMALL)), max(SMALL))
        costs[count], peaks[count] = taken.cpu_s / count, taken.dense_mb
        rows.append(Row("7", f"flight, {count} images", "depth + fuse: CPU seconds an image", costs[count], "", True))
        rows.append(at_most("7", f"flight, {count} images", "depth + fuse: peak MB a worker", peaks[count], MAX_MB))
    rows.append(at_most("7", "flights", "cost an image, 100 images over 25", costs[100] / costs[25], MAX_GROWTH))
    rows.append(at_most("7", "flights", "peak MB, 100 images over 25", peaks[100] / peaks[25], 1.15))
    by_pixels, rendered = {}, list(_rendered(plan("drone", PIXEL_IMAGES, RENDERED)))
    for megapixels, size in SIZES.items():
        made = plan("drone", PIXEL_IMAGES, size)
        taken = _measured(write_flight(_fresh(work / f"linear-{megapixels}-mp"), made, _resized(rendered, size)), max(size))
        by_pixels[megapixels] = taken.cpu_s / PIXEL_IMAGES / (size[0] * size[1] / 1e6)
        rows.append(Row("7", f"flight, {megapixels} MP", "depth + fuse: CPU seconds a megapixel", by_pixels[megapixels], "", True))
        rows.append(at_most("7", f"flight, {megapixels} MP", "depth + fuse: peak MB a worker", taken.dense_mb, MAX_MB))
    rows.append(at_most("7", "flights", "cost a pixel, 16 MP over 1", by_pixels[16] / by_pixels[1], MAX_GROWTH))
    return [*rows, *_large(work)]


def _large(work: Path) -> list[Row]:
    """Peak memory of each stage where an image has fifty megapixels and must be straightened."""
    from bench.bars import at_most

    small, made = (plan_capture("drone", Options(images=LARGE_IMAGES, size=size, distortion=BENT)) for size in (RENDERED, LARGE))
    taken = _measured(write_flight(_fresh(work / "linear-50-mp"), made, _resized(_rendered(small), LARGE)), max(LARGE))
    megapixels = LARGE[0] * LARGE[1] // 10**6
    return [
        at_most("7", f"flight, {megapixels} MP, OPENCV camera", f"{stage}: peak MB a worker", peak_mb, MAX_MB)
        for stage, peak_mb in taken.peak_mb.items()
    ]


def _rendered(made: Plan) -> Iterator[NDArray[np.uint8]]:
    """Pictures without noise, one ray a pixel: what they look like between the pixels is no matter here."""
    for time_s in made.times_s:
        yield to_srgb(render_linear(made.scene, made.camera, made.path.pose(float(time_s)), samples=1))


def _resized(pictures: Iterable[NDArray[np.uint8]], size: tuple[int, int]) -> Iterator[NDArray[np.uint8]]:
    """With noise at the size they come to."""
    rng = np.random.default_rng(0)
    for rgb in pictures:
        way = cv2.INTER_AREA if size < RENDERED else cv2.INTER_CUBIC
        picture = cv2.resize(rgb, size, interpolation=way) + NOISE * rng.standard_normal((size[1], size[0], 3), np.float32)
        yield np.clip(np.rint(picture), 0, 255).astype(np.uint8)


def _fresh(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    return folder


def _measured(inputs: Inputs, longer_px: int) -> Taken:
    root = inputs["georef"][0].parent
    config = parse({"undistort": {"max_size_px": longer_px}, "depth": {"max_size_px": longer_px}})
    seconds, peaks = 0.0, {}
    for name, stage in STAGES.items():
        folders, peaks[name] = [], 0.0
        for number, shard in enumerate(stage.split(config, inputs)):
            folders.append(root / name / f"{number:04d}")
            folders[-1].mkdir(parents=True)
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
                cpu_s, peak_mb = pool.submit(_worker, name, config, inputs, shard, folders[-1]).result()
            seconds += cpu_s if name in TIMED else 0.0
            peaks[name] = max(peaks[name], peak_mb)
        inputs = {**inputs, name: tuple(folders)}
    return Taken(seconds, peaks)


def _worker(name: str, config: Config, inputs: Inputs, shard: Shard, out: Path) -> tuple[float, float]:
    """CPU seconds and peak memory [MB] of one shard; the libraries are loaded before the clock starts."""
    import recon.dense.fusion
    import recon.dense.stereo  # noqa: F401

    pycolmap.Reconstruction(inputs["georef"][0] / "model")
    started_s = time.process_time()
    STAGES[name].run(config, inputs, shard, out, Work())
    # not getrusage: its peak is that of the process that this one was forked from, if that was larger
    peak_kb = next(int(line.split()[1]) for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return time.process_time() - started_s, peak_kb / 1024
