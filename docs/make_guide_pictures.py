"""``python docs/make_guide_pictures.py``: the pictures of the capture guide, good and bad side by side, from the simulator.

Photographs come in twos, neighbours of one capture; lines join points that are found again in the other one (SIFT, ratio test,
epipolar geometry), of which there must be many. Plans show from above where the camera stood and where it looked.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pycolmap
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from recon.simulate.cameras import look_at, orbit, pose, shaken
from recon.simulate.degenerate import PLAIN
from recon.simulate.render import render_linear, render_moving
from recon.simulate.scenes import object_scene, wall_scene
from recon.simulate.sensors import make_camera, to_srgb
from recon.simulate.textures import Material

Photos = tuple[NDArray[np.uint8], NDArray[np.uint8]]
GOOD, BAD, INK, PAPER = (26, 115, 70), (176, 42, 48), (40, 40, 40), (255, 255, 255)
TARGET = np.array([0.0, 0.0, 0.5])
PAINTED = Material((0.58, 0.50, 0.44), (0.44, 0.40, 0.46), 0.9, 8, 0.8, "bricks", 0.3)
LINES, GAP, RATIO = 60, 8, 0.8


@dataclass(frozen=True)
class Plan:
    """From above: outlines of what is there, and cameras as (x, y, direction in degrees; None: straight down, on ``ground``)."""

    outlines: Sequence[Sequence[tuple[float, float]]]
    cameras: Sequence[tuple[float, float, float | None]]
    half_m: float
    ground: Sequence[tuple[float, float]] = ()


Side = Photos | Plan


def pictures() -> dict[str, tuple[tuple[str, Callable[[int], Side]], tuple[str, Callable[[int], Side]]]]:
    """File name -> what to do and what not, each with its caption."""
    return {
        "overlap": (("Small steps: 8 degrees", _around(8)), ("Large steps: 45 degrees", _around(45))),
        "sharp": (("Hold still, or walk slowly", _around(8)), ("Quick, in little light: 1/10 s", _around(8, shutter_s=0.1))),
        "light": (("Even light", _around(8)), ("Dark: five stops too little", _around(8, exposure_ev=-5.0, noise=4.0))),
        "texture": (("Surfaces with detail", _wall(PAINTED)), ("A plain wall", _wall(PLAIN))),
        "walk": (("Walk around it, twice, at two heights", _ring), ("Stand and turn", _turn)),
        "room": (("Along the walls, looking across", _across), ("From the middle, turning", _middle)),
        "flight": (("Overlap 75 % along, 65 % across", _strips(0.25, 0.35)), ("Strips too far apart: 20 % across", _strips(0.25, 0.8))),
    }


# -- photographs


def _around(step_deg: float, shutter_s: float = 0.0, exposure_ev: float = 0.0, noise: float = 1.5) -> Callable[[int], Photos]:
    def photos(width: int) -> Photos:
        path = shaken(orbit(360.0, 1.65, 1.15, 360.0, TARGET), 0.02, 4.0 if shutter_s else 0.5, np.random.default_rng(3))
        camera, scene = make_camera((width, width * 3 // 4), 0.75), object_scene(0)
        frames = [render_moving(scene, camera, path, 170.0 + share * step_deg, shutter_s) for share in (0.0, 1.0)]
        return _developed(frames, exposure_ev, noise)

    return photos


def _wall(material: Material) -> Callable[[int], Photos]:
    def photos(width: int) -> Photos:
        camera, scene = make_camera((width, width * 3 // 4), 0.75), wall_scene(0, material)
        return _developed([render_linear(scene, camera, _before_wall(x)) for x in (-0.2, 0.2)], 0.0, 1.5)

    return photos


def _before_wall(x: float) -> pycolmap.Rigid3d:
    center = np.array([x, -2.0, 1.6])
    return pose(look_at(center, center + np.array([0.0, 2.0, 0.0])), center)


def _developed(frames: Sequence[NDArray[np.float32]], exposure_ev: float, noise: float) -> Photos:
    first, second = (to_srgb(frame, exposure_ev, noise, np.random.default_rng(n)) for n, frame in enumerate(frames))
    return first, second


def found_again(photos: Photos) -> NDArray[np.float64]:
    """(N, 4) x, y in the first and in the second photo of points that both show, as the geometry of two views confirms."""
    sift = cv2.SIFT_create(4000)
    (xy1, one), (xy2, two) = (
        (np.array([p.pt for p in points]), found) for points, found in (sift.detectAndCompute(p, None) for p in photos)
    )
    if one is None or two is None or min(len(one), len(two)) < 8:
        return np.zeros((0, 4))
    near = cv2.BFMatcher().knnMatch(one, two, 2)
    kept = np.array([(best.queryIdx, best.trainIdx) for best, other in near if best.distance < RATIO * other.distance], int).reshape(-1, 2)
    if len(kept) < 8:
        return np.zeros((0, 4))
    cv2.setRNGSeed(0)
    _, inside = cv2.findFundamentalMat(xy1[kept[:, 0]], xy2[kept[:, 1]], cv2.USAC_MAGSAC, 1.0, 0.999, 5000)
    chosen = kept[inside.ravel().astype(bool)] if inside is not None else kept[:0]
    return np.hstack([xy1[chosen[:, 0]], xy2[chosen[:, 1]]]) if len(chosen) >= 15 else np.zeros((0, 4))


# -- plans


def _ring(width: int) -> Plan:  # noqa: ARG001
    angles = [*np.arange(0, 360, 15.0)]
    cameras = [(r * np.cos(np.radians(a)), r * np.sin(np.radians(a)), a + 180) for r in (1.7, 2.3) for a in angles]
    return Plan([_box(0.6, 0.6)], cameras, 2.9)


def _turn(width: int) -> Plan:  # noqa: ARG001
    return Plan([_box(0.6, 0.6)], [(-1.7, 0.0, a) for a in np.arange(-75, 76, 12.5)], 2.9)


def _across(width: int) -> Plan:  # noqa: ARG001
    x, y = np.arange(-2.0, 2.01, 0.5), np.arange(-1.5, 1.51, 0.5)
    cameras = [(a, -1.6, 90.0) for a in x] + [(a, 1.6, -90.0) for a in x] + [(-2.1, b, 0.0) for b in y] + [(2.1, b, 180.0) for b in y]
    return Plan([_box(5.0, 4.0), _box(1.3, 0.8)], cameras, 2.9)


def _middle(width: int) -> Plan:  # noqa: ARG001
    return Plan([_box(5.0, 4.0), _box(1.3, 0.8)], [(-1.0, 0.9, a) for a in np.arange(0, 360, 20.0)], 2.9)


def _strips(along: float, across: float) -> Callable[[int], Plan]:
    def plan(width: int) -> Plan:  # noqa: ARG001
        """Of a flight that sees 40 x 30 m at once."""
        spots = [(x, y, None) for x in np.arange(-60, 61, 40 * across) for y in np.arange(-60, 61, 30 * along)]
        return Plan([], spots, 85.0, _box(40, 30))

    return plan


def _box(width: float, depth: float) -> list[tuple[float, float]]:
    return [(-width / 2, -depth / 2), (width / 2, -depth / 2), (width / 2, depth / 2), (-width / 2, depth / 2)]


# -- drawing


def _panel(caption: str, colour: tuple[int, int, int], side: Side, width: int) -> Image.Image:
    """One half of a picture: a caption, what it is about, and how many points are found again."""
    head = max(16, width // 9)
    body = _photo_pair(side, colour) if isinstance(side, tuple) else _plan(side, 2 * width + GAP, colour)
    panel = Image.new("RGB", (body.width, body.height + head + (head if isinstance(side, tuple) else 0)), PAPER)
    draw, font = ImageDraw.Draw(panel), ImageFont.load_default(head * 0.55)
    draw.rectangle((0, 0, body.width, head - 1), fill=colour)
    draw.text((head * 0.3, head / 2), caption, fill=PAPER, font=font, anchor="lm")
    panel.paste(body, (0, head))
    if isinstance(side, tuple):
        count = len(found_again(side))
        draw.text(
            (head * 0.3, head * 1.5 + body.height), f"{count:,} points found again" if count else "nothing found again", INK, font, "lm"
        )
    return panel


def _photo_pair(photos: Photos, colour: tuple[int, int, int]) -> Image.Image:
    height, width = photos[0].shape[:2]
    body = Image.new("RGB", (2 * width + GAP, height), PAPER)
    body.paste(Image.fromarray(photos[0]), (0, 0))
    body.paste(Image.fromarray(photos[1]), (width + GAP, 0))
    points, draw = found_again(photos), ImageDraw.Draw(body)
    for x1, y1, x2, y2 in np.random.default_rng(0).permutation(points)[:LINES]:
        draw.line((x1, y1, x2 + width + GAP, y2), fill=(120, 230, 160) if colour == GOOD else (255, 190, 120))
    return body


def _plan(plan: Plan, width: int, colour: tuple[int, int, int]) -> Image.Image:
    height = width * 5 // 8
    body, scale = Image.new("RGB", (width, height), (246, 246, 243)), height / (2 * plan.half_m)
    draw = ImageDraw.Draw(body)

    def at(x: float, y: float) -> tuple[float, float]:
        return width / 2 + x * scale, height / 2 - y * scale

    for outline in plan.outlines:
        draw.polygon([at(*corner) for corner in outline], outline=(150, 150, 150), width=2)
    dot, length = width / 130, 0.55 * plan.half_m
    for x, y, turn in plan.cameras:
        px, py = at(x, y)
        if turn is None:
            seen = [at(x + a, y + b) for a, b in plan.ground]
        else:
            wings = [np.radians(turn + side) for side in (-25, 25)]
            seen = [(px, py), *(at(x + length * np.cos(a), y + length * np.sin(a)) for a in wings)]
        shade = Image.new("L", body.size, 0)
        ImageDraw.Draw(shade).polygon(seen, fill=44 if turn is None else 24)
        body.paste(colour, mask=shade)  # what several cameras see is darker
    for x, y, _ in plan.cameras:
        px, py = at(x, y)
        draw.ellipse((px - dot, py - dot, px + dot, py + dot), fill=colour)
    return body


def make(folder: Path, width: int = 300) -> list[Path]:
    """Write all pictures; ``width``: of one photograph [px]."""
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for name, ((do, good), (avoid, bad)) in pictures().items():
        panels = [_panel(do, GOOD, good(width), width), _panel(avoid, BAD, bad(width), width)]
        both = Image.new("RGB", (2 * panels[0].width + 2 * GAP, panels[0].height), PAPER)
        both.paste(panels[0], (0, 0))
        both.paste(panels[1], (panels[0].width + 2 * GAP, 0))
        made.append(folder / f"{name}.jpg")
        both.save(made[-1], quality=82, optimize=True)
    return made


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Make the pictures of the capture guide.")
    parser.add_argument("folder", type=Path, nargs="?", default=Path(__file__).parent / "guide")
    make(parser.parse_args().folder)
