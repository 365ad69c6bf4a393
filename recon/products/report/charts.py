"""Pictures of the report as inline SVG. Whatever a file may be called, its name is escaped: see ``markupsafe.Markup.format``."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image

_MAP_CELLS = (48, 320)  # on the longer side of the coverage map, by the number of points
_WIDTH = 720.0
_MARGIN = 24.0
_MAX_EDGES = 1500
_LEAST_BARS, _MAX_BARS = 30, 400
_FEW, _MANY = np.array([232.0, 126.0, 58.0]), np.array([36.0, 110.0, 166.0])  # colours of points seen by few and by many images
_MIDDLE = np.array([238.0, 214.0, 148.0])
_ENOUGH_VIEWS = 6
_REASON_COLOURS = ("#8d99ae", "#d98c5f", "#b5838d", "#7f9c96", "#a3a380")


def coverage_map(xyz: NDArray[np.float32], views: NDArray[np.uint8], cameras: Sequence[Mapping[str, Any]], unit: str | None) -> Markup:
    """The cloud from above, coloured by how many images saw each place, with the cameras; north (world y) is up.

    cameras are rows of report.json's ``per_image`` with a position.
    """
    centers = np.array([row["position"] for row in cameras], np.float64).reshape(-1, 3)
    low, high = _map_bounds(xyz, centers)
    size = high - low
    cell = float(size.max()) / float(np.clip(math.sqrt(len(xyz) / 3), *_MAP_CELLS))
    scale = (_WIDTH - 2 * _MARGIN) / float(size[0])
    tall = float(size[1]) * scale
    if tall > 1.1 * _WIDTH:
        scale *= 1.1 * _WIDTH / tall
    wide, tall = float(size[0]) * scale, float(size[1]) * scale
    left = (_WIDTH - wide) / 2
    picture = _views_picture(xyz, views, low, size, cell)

    def at(point: NDArray[np.float64]) -> tuple[float, float]:
        return left + float(point[0] - low[0]) * scale, _MARGIN + tall - float(point[1] - low[1]) * scale

    marks = []
    for row, center in zip(cameras, centers, strict=True):
        x, y = at(center)
        marks.append(Markup('<circle cx="{:.1f}" cy="{:.1f}" r="4" class="camera"><title>{}</title></circle>').format(x, y, row["name"]))
    return Markup(
        '<svg viewBox="0 0 {:.0f} {:.0f}" role="img" aria-label="Map of the points and cameras from above">'
        '<image href="{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" preserveAspectRatio="none" class="pixels"/>{}{}</svg>'
    ).format(_WIDTH, tall + 2 * _MARGIN + 18, picture, left, _MARGIN, wide, tall, Markup("").join(marks), _scale_bar(scale, tall, unit))


def residual_bars(rows: Sequence[Mapping[str, Any]]) -> Markup:
    """A bar an image, as high as its mean reprojection error; images without a place stand out. At most 400, the worst of them."""
    values = [float(row["residual_px"]) for row in rows if row["residual_px"] is not None]
    highest = max([*values, 1e-9])
    limit = 2 * float(np.median(values)) if values else math.inf
    shown = list(rows)
    if len(shown) > _MAX_BARS:
        worst = sorted(range(len(shown)), key=lambda i: -_badness(shown[i]))[:_MAX_BARS]
        shown = [shown[i] for i in sorted(worst)]
    bars = []
    for number, row in enumerate(shown):
        residual = row["residual_px"]
        if residual is None:
            text = Markup("{}: not registered").format(row["name"])
            bars.append(_bar(number, 100.0, "bar lost", text))
        else:
            text = Markup("{}: {:.2f} px").format(row["name"], residual)
            bars.append(_bar(number, 100.0 * float(residual) / highest, "bar high" if residual > limit else "bar", text))
    return Markup(
        '<svg class="bars" viewBox="0 0 {} 100" preserveAspectRatio="none" role="img" aria-label="Mean reprojection error of each image">'
        "{}</svg>"
    ).format(max(_LEAST_BARS, len(shown)), Markup("").join(bars))


def matching_graph(rows: Sequence[Mapping[str, Any]], edges: Sequence[Sequence[Any]]) -> Markup:
    """Images as dots in the plane of their positions, lines between those that match, the thicker the more inliers.

    edges are (name, name, inliers), the strongest first; images without a place stand in a row below.
    """
    spots, height = _graph_layout(rows)
    strongest = max([edge[2] for edge in edges], default=1)
    lines = []
    for name1, name2, inliers in reversed(list(edges)[:_MAX_EDGES]):
        if name1 in spots and name2 in spots:
            share = math.sqrt(inliers / strongest)
            lines.append(
                Markup('<line x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}" stroke-width="{:.2f}" opacity="{:.2f}"/>').format(
                    *spots[name1], *spots[name2], 0.4 + 2.2 * share, 0.12 + 0.6 * share
                )
            )
    links: dict[str, int] = {}
    for name1, name2, _ in edges:
        links[name1], links[name2] = links.get(name1, 0) + 1, links.get(name2, 0) + 1
    dots = [
        Markup('<circle cx="{:.1f}" cy="{:.1f}" r="5" class="{}"><title>{}: {} neighbours</title></circle>').format(
            *spots[row["name"]], "node" if row["registered"] else "node lost", row["name"], links.get(row["name"], 0)
        )
        for row in rows
    ]
    return Markup('<svg viewBox="0 0 {:.0f} {:.0f}" role="img" aria-label="Which images match"><g class="edges">{}</g>{}</svg>').format(
        _WIDTH, height, Markup("").join(lines), Markup("").join(dots)
    )


def keyframe_strip(frames: Sequence[Sequence[Any]]) -> tuple[Markup, list[tuple[str, str, int]]]:
    """A video's candidates along its time: kept ones tall, refused ones short, coloured by reason; and colour, reason, count."""
    groups: dict[str, int] = {}
    for _, kept, reason in frames:
        key = "kept" if kept else _short(reason)
        groups[key] = groups.get(key, 0) + 1
    refused = sorted((key for key in groups if key != "kept"), key=lambda key: (-groups[key], key))
    colours = {"kept": "var(--good)"} | {key: _REASON_COLOURS[min(i, len(_REASON_COLOURS) - 1)] for i, key in enumerate(refused)}
    times = [float(time or 0.0) for time, _, _ in frames]
    start, length = min(times), max(max(times) - min(times), 1e-9)
    marks = []
    for time, (_, kept, reason) in zip(times, frames, strict=True):
        x = 4 + (_WIDTH - 8) * (time - start) / length
        top = 4 if kept else 26
        style = colours["kept" if kept else _short(reason)]
        marks.append(
            Markup(
                '<line x1="{0:.1f}" x2="{0:.1f}" y1="{1}" y2="44" style="stroke:{2}" stroke-width="2"><title>{3:.2f} s: {4}</title></line>'
            ).format(x, top, style, time, reason)
        )
    strip = Markup('<svg viewBox="0 0 {:.0f} 48" role="img" aria-label="Frames of the video that were kept">{}</svg>')
    legend = [(colours[key], key, groups[key]) for key in ["kept", *refused] if key in groups]
    return strip.format(_WIDTH, Markup("").join(marks)), legend


def _short(reason: str) -> str:
    """A reason without its figures, so that equal ones count together."""
    words = reason.split(":")[0].split(",")[0].split()
    return " ".join(word for word in words if not any(letter.isdigit() for letter in word)) or reason


def _badness(row: Mapping[str, Any]) -> float:
    return math.inf if row["residual_px"] is None else float(row["residual_px"])


def _bar(number: int, height: float, kind: str, text: Markup) -> Markup:
    return Markup('<rect x="{:.2f}" y="{:.2f}" width="0.84" height="{:.2f}" class="{}"><title>{}</title></rect>').format(
        number + 0.08, 100 - height, height, kind, text
    )


def _map_bounds(xyz: NDArray[np.float32], centers: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lowest and highest x and y of the picture: the cloud but for strays, and cameras no further off than its own size."""
    low, high = np.quantile(xyz[:, :2], [0.005, 0.995], axis=0)
    reach = max(float((high - low).max()), 1e-9)
    near = centers[((centers[:, :2] > low - reach) & (centers[:, :2] < high + reach)).all(axis=1), :2]
    if len(near):
        low, high = np.minimum(low, near.min(axis=0)), np.maximum(high, near.max(axis=0))
    return np.asarray(low - 0.03 * reach), np.asarray(high + 0.03 * reach)


def _views_picture(
    xyz: NDArray[np.float32], views: NDArray[np.uint8], low: NDArray[np.float64], size: NDArray[np.float64], cell: float
) -> str:
    """PNG data URI: the mean number of images of each cell's points, transparent where there is none."""
    columns, rows = (max(1, math.ceil(float(length) / cell)) for length in size)
    index = np.floor((xyz[:, :2] - low) / cell).astype(np.int64)
    inside = ((index >= 0) & (index < (columns, rows))).all(axis=1)
    flat = (rows - 1 - index[inside, 1]) * columns + index[inside, 0]
    count = np.bincount(flat, minlength=rows * columns)
    mean = np.bincount(flat, weights=views[inside], minlength=rows * columns) / np.maximum(count, 1)
    share = np.clip((mean - 2) / (_ENOUGH_VIEWS - 2), 0, 1)[:, None]
    colour = np.where(share < 0.5, _FEW + (_MIDDLE - _FEW) * 2 * share, _MIDDLE + (_MANY - _MIDDLE) * (2 * share - 1))
    rgba = np.concatenate([colour, np.where(count > 0, 255, 0)[:, None]], axis=1).reshape(rows, columns, 4).astype(np.uint8)
    packed = io.BytesIO()
    Image.fromarray(rgba).save(packed, "PNG")
    return "data:image/png;base64," + base64.b64encode(packed.getvalue()).decode("ascii")


def _scale_bar(scale: float, tall: float, unit: str | None) -> Markup:
    """A bar of a round length, where lengths mean something."""
    if unit != "m":
        return Markup('<text x="{:.0f}" y="{:.0f}">arbitrary unit</text>').format(_MARGIN, tall + _MARGIN + 30)
    length = 10 ** math.floor(math.log10(0.3 * _WIDTH / scale))
    length *= max(step for step in (1, 2, 5) if step * length * scale <= 0.3 * _WIDTH)
    y = tall + _MARGIN + 24
    return Markup('<path class="ruler" d="M{0:.1f} {1:.1f}v6h{2:.1f}v-6"/><text x="{3:.1f}" y="{4:.1f}">{5:g} m</text>').format(
        _MARGIN, y, length * scale, _MARGIN + length * scale + 8, y + 7, length
    )


def _graph_layout(rows: Iterable[Mapping[str, Any]]) -> tuple[dict[str, tuple[float, float]], float]:
    """Where each image's dot stands, and the picture's height."""
    rows = list(rows)
    placed = [row for row in rows if row["position"] is not None]
    spots: dict[str, tuple[float, float]] = {}
    bottom = 2 * _MARGIN
    if placed:
        centers = np.array([row["position"] for row in placed], np.float64)
        flat = _main_plane(centers)
        size = np.maximum(np.ptp(flat, axis=0), 1e-9)
        scale = min((_WIDTH - 2 * _MARGIN) / size[0], 0.6 * _WIDTH / size[1])
        flat = (flat - flat.min(axis=0)) * scale
        offset = (_WIDTH - size[0] * scale) / 2
        spots = {row["name"]: (offset + float(x), _MARGIN + float(y)) for row, (x, y) in zip(placed, flat, strict=True)}
        bottom = max(float(size[1] * scale), 40.0) + 2 * _MARGIN
    lost = [row["name"] for row in rows if row["position"] is None]
    a_row = int((_WIDTH - 2 * _MARGIN) // 14)
    for number, name in enumerate(lost):
        spots[name] = (_MARGIN + 14 * (number % a_row), bottom + 14 * (number // a_row))
    return spots, bottom + 14 * math.ceil(len(lost) / a_row) + 4


def _main_plane(centers: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, 2) positions seen from above, or from the side where the cameras rise more than they spread."""
    spread = np.ptp(centers, axis=0)
    if spread[2] > min(spread[0], spread[1]):
        first = int(np.argmax(spread[:2]))
        return centers[:, [first, 2]] * [1, -1]
    return centers[:, :2] * [1, -1]
