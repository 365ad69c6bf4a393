"""Draws euler.png: a gimbal that swings 2 degrees through straight down, interpolated by its angles and along the geodesic."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from recon.geometry.frames import cam_from_gimbal
from recon.geometry.rotations import angle_between, geodesic

SIZE, SCALE = (1000, 420), 3
START, END = (0.0, -89.0, 0.0), (180.0, -89.0, 180.0)
RED, BLUE, GREY = (200, 60, 40), (30, 90, 180), (110, 110, 110)


def main() -> None:
    share = np.linspace(0, 1, 401)
    world_from_cam = np.swapaxes(cam_from_gimbal(np.array([START, END])), 1, 2)
    by_angles = np.swapaxes(cam_from_gimbal(np.outer(1 - share, START) + np.outer(share, END)), 1, 2)
    along = geodesic(np.broadcast_to(world_from_cam[0], (401, 3, 3)), np.broadcast_to(world_from_cam[1], (401, 3, 3)), share)
    image = Image.new("RGB", (SIZE[0] * SCALE, SIZE[1] * SCALE), "white")
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(15 * SCALE)
    for left, title, values in (
        (60, "turned so far, degrees", (np.cumsum(_steps(by_angles)), np.cumsum(_steps(along)))),
        (560, "away from the straight way, degrees", (np.degrees(angle_between(along, by_angles)), np.zeros(401))),
    ):
        _plot(draw, font, left, title, share, values)
    _text(draw, font, (70, 388), "by yaw, pitch, roll", RED)
    _text(draw, font, (250, 388), "along the geodesic", BLUE)
    image.resize(SIZE, Image.Resampling.LANCZOS).save(Path(__file__).with_name("euler.png"), optimize=True)


def _steps(turns: np.ndarray) -> np.ndarray:
    return np.concatenate([[0.0], np.degrees(angle_between(turns[:-1], turns[1:]))])


def _plot(
    draw: ImageDraw.ImageDraw, font: ImageFont.FreeTypeFont, left: int, title: str, share: np.ndarray, values: tuple[np.ndarray, ...]
) -> None:
    top, width, height = 50, 400, 300
    most = 360.0 if values[0].max() > 200 else 180.0
    _text(draw, font, (left, 15), title, (0, 0, 0))
    for tick in np.linspace(0, most, 5):
        y = top + height * (1 - tick / most)
        draw.line([(left * SCALE, y * SCALE), ((left + width) * SCALE, y * SCALE)], (225, 225, 225), SCALE)
        _text(draw, font, (left - 40, y - 9), f"{tick:.0f}", GREY)
    _text(draw, font, (left, top + height + 5), "start", GREY)
    _text(draw, font, (left + width - 28, top + height + 5), "end", GREY)
    for row, colour in zip(values, (RED, BLUE), strict=True):
        points = [((left + width * s) * SCALE, (top + height * (1 - v / most)) * SCALE) for s, v in zip(share, row, strict=True)]
        draw.line(points, colour, 3 * SCALE, joint="curve")


def _text(
    draw: ImageDraw.ImageDraw, font: ImageFont.FreeTypeFont, at: tuple[float, float], text: str, colour: tuple[int, int, int]
) -> None:
    draw.text((at[0] * SCALE, at[1] * SCALE), text, colour, font)


if __name__ == "__main__":
    main()
