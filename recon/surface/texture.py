"""Photos onto a mesh: choose, cut out, level, and lay on pages. After Waechter, Moehrle and Goesele 2014."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recon.config import Texture
from recon.stage import Work
from recon.surface.atlas import Atlas, pack
from recon.surface.charts import Charts, corner_pixels, make_charts
from recon.surface.exposure import evened, exposure_gains, inconsistent
from recon.surface.labels import choose_photos
from recon.surface.mesh import Edges, TriMesh, face_areas
from recon.surface.photos import Photo
from recon.surface.rasterise import Rasteriser, Texels, fill_gutters
from recon.surface.seams import Seams
from recon.surface.visibility import find_candidates, sample

log = logging.getLogger(__name__)

_FILL = 0.7  # share of a page that charts cover, for the first guess at a size that fits
_SHRINK = 0.9
_CURVED_PX = 0.1  # a face whose photo differs by more from its affine image is sampled through its plane
_CHUNK = 2_000_000
_MUCH_UNSEEN = 0.2
_STRONG_GAIN = 1.5


@dataclass(frozen=True)
class Textured:
    """Texture coordinates and pages of a mesh."""

    uv: NDArray[np.float32]
    """(F, 3, 2) a corner, 0..1, origin at the page's bottom left."""
    page: NDArray[np.int32]
    """(F,) index of pages."""
    pages: list[NDArray[np.uint8]]
    """(H, W, 3) RGB."""
    summary: dict[str, Any]
    """What ``texture.json`` says of it."""


def texture_mesh(mesh: TriMesh, photos: list[Photo], options: Texture, work: Work) -> Textured:
    """The mesh with colours from the photos, and from its vertices where no photo sees it."""
    edges = Edges.of(mesh.faces)
    pairs, _ = edges.face_pairs()
    candidates = find_candidates(mesh, photos, options.max_size_px, work.threads, lambda fraction: work.tell(0.4 * fraction))
    gains = exposure_gains(candidates, len(photos))
    rejected = inconsistent(candidates, gains, pairs)
    label = choose_photos(candidates, rejected, pairs)
    work.tell(0.5)
    charts, atlas, size_px = _lay_out(mesh, photos, label, pairs, options)
    work.tell(0.55)
    pages = _paint(mesh, photos, gains, label, edges, charts, atlas, size_px, lambda fraction: work.tell(0.55 + 0.45 * fraction))
    area = face_areas(mesh.vertices, mesh.faces)
    seen_share = float(area[label >= 0].sum() / area.sum())
    summary = {
        "faces": len(mesh.faces),
        "vertices": len(mesh.vertices),
        "area": float(area.sum()),
        "seen_share": seen_share,
        "rejected_share": float(rejected.sum() / max(1, (candidates.photo >= 0).sum())),
        "charts": len(charts.photo),
        "pages": [list(size) for size in atlas.sizes],
        "image_size_px": size_px,
        "texel": _texel(charts, area, label),
        "photos": {
            photo.name: {"faces": int((label == index).sum()), "gain": [round(float(g), 4) for g in gains[index]]}
            for index, photo in enumerate(photos)
        },
        "warnings": _warnings(photos, seen_share, gains, size_px, options),
    }
    return Textured(atlas.uv(charts), atlas.page[charts.of_face], pages, summary)


def _lay_out(
    mesh: TriMesh, photos: list[Photo], label: NDArray[np.int32], pairs: NDArray[np.int64], options: Texture
) -> tuple[Charts, Atlas, int]:
    """Charts, their places, and the largest image size at which they fit on the pages allowed."""
    size_px = options.max_size_px
    room = _FILL * options.max_pages * options.page_px**2
    while True:
        charts = make_charts(mesh, label, corner_pixels(mesh, photos, label, size_px), pairs, options.page_px)
        atlas = pack(charts.size, options.page_px)
        needed = float(charts.size.prod(axis=1).sum())
        log.info("%d charts, %.1f million texels at %d px: %d pages", len(charts.photo), needed / 1e6, size_px, len(atlas.sizes))
        if len(atlas.sizes) <= options.max_pages or size_px <= 64:
            return charts, atlas, size_px
        size_px = max(64, int(size_px * min(_SHRINK, (room / needed) ** 0.5)))


def _paint(
    mesh: TriMesh,
    photos: list[Photo],
    gains: NDArray[np.float64],
    label: NDArray[np.int32],
    edges: Edges,
    charts: Charts,
    atlas: Atlas,
    size_px: int,
    tell: Callable[[float], None],
) -> list[NDArray[np.uint8]]:
    raster = Rasteriser(charts, atlas)
    pages = [np.zeros((height, width, 3), np.uint8) for width, height in atlas.sizes]
    painted = [np.zeros((height, width), bool) for width, height in atlas.sizes]
    seams = Seams.find(edges, label)
    for index, photo in enumerate(photos):
        if (label == index).any():
            image = photo.pixels(size_px)
            seams.look(index, photo, image, gains[index], mesh, size_px)
            for texels in raster.texels(index):
                places = _places(mesh, photo, charts, atlas, raster, texels, size_px)
                colour = evened(sample(image, places), gains[index])
                pages[texels.page].reshape(-1, 3)[texels.index] = np.clip(colour + 0.5, 0, 255).astype(np.uint8)
        tell(0.6 * (index + 1) / len(photos))
    seams.look_plain(mesh)
    offsets = seams.offsets(mesh, label)
    offsets[label < 0] += mesh.rgb[mesh.faces[label < 0]]
    tell(0.8)
    for index in range(-1, len(photos)):
        for texels in raster.texels(index):
            raster.add(pages[texels.page], texels, offsets)
            painted[texels.page].reshape(-1)[texels.index] = True
    for page, known in zip(pages, painted, strict=True):
        fill_gutters(page, known)
    return pages


def _places(
    mesh: TriMesh, photo: Photo, charts: Charts, atlas: Atlas, raster: Rasteriser, texels: Texels, size_px: int
) -> NDArray[np.float32]:
    """(T, 2) where in the photo each texel lies [px].

    Charts are cut from the photo as they lie in it, so a texel is a pixel. But a viewer spreads a face's texture by affine
    interpolation, and a large face seen at a slant, or through a bent lens, is not affine to its picture: its texels are
    projected from where on the face they will be shown.
    """
    chart = charts.of_face[texels.face]
    centres = texels.centres(atlas.sizes[texels.page][0])
    places = ((centres - atlas.shift(charts)[chart]) / charts.scale[chart, None]).astype(np.float32)
    curved = _curved(mesh, photo, charts, np.unique(texels.face), size_px)
    chosen = np.flatnonzero(texels.inside & curved[texels.face])
    for start in range(0, len(chosen), _CHUNK):
        part = chosen[start : start + _CHUNK]
        face = texels.face[part]
        weight = _weights(raster.corners[face], centres[part])
        xyz = np.einsum("tk,tkc->tc", weight, mesh.vertices[mesh.faces[face]].astype(np.float64))
        at = photo.project(xyz, size_px)
        seen = np.isfinite(at).all(axis=1)
        places[part[seen]] = at[seen]
    return places


def _curved(mesh: TriMesh, photo: Photo, charts: Charts, faces: NDArray[np.int32], size_px: int) -> NDArray[np.bool_]:
    """(F,) which of the faces deviate from their affine image in the photo, judged at the middles of their edges."""
    curved = np.zeros(len(mesh.faces), bool)
    corners = mesh.vertices[mesh.faces[faces]].astype(np.float64)
    middles = (corners + np.roll(corners, -1, axis=1)) / 2
    flat = charts.corners[faces]
    flat = (flat + np.roll(flat, -1, axis=1)) / 2
    at = photo.project(middles.reshape(-1, 3), size_px).reshape(-1, 3, 2)
    curved[faces] = (np.linalg.norm(at - flat, axis=2) > _CURVED_PX).any(axis=1)
    return curved


def _weights(corners: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.float64]:
    """(T, 3) barycentric weights of (T, 2) points in (T, 3, 2) triangles."""
    a, b, p = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0], points - corners[:, 0]
    twice = a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
    twice = np.where(np.abs(twice) < 1e-9, 1e-9, twice)
    second = (p[:, 0] * b[:, 1] - p[:, 1] * b[:, 0]) / twice
    third = (a[:, 0] * p[:, 1] - a[:, 1] * p[:, 0]) / twice
    return np.stack([1 - second - third, second, third], axis=1)


def _texel(charts: Charts, area: NDArray[np.float64], label: NDArray[np.int32]) -> float | None:
    """Typical edge of a texel on the surface that photos see, world units."""
    seen = label >= 0
    if not seen.any():
        return None
    a, b = charts.corners[seen, 1] - charts.corners[seen, 0], charts.corners[seen, 2] - charts.corners[seen, 0]
    texels = np.abs(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum() / 2
    return float((area[seen].sum() / max(texels, 1e-9)) ** 0.5)


def _warnings(photos: list[Photo], seen_share: float, gains: NDArray[np.float64], size_px: int, options: Texture) -> list[str]:
    warnings = []
    if 1 - seen_share > _MUCH_UNSEEN:
        warnings.append(f"no photo sees {1 - seen_share:.0%} of the surface: it has the point cloud's colours only")
    strong = [photo.name for photo, gain in zip(photos, gains, strict=True) if np.abs(np.log(gain)).max() > np.log(_STRONG_GAIN)]
    if strong:
        warnings.append(
            f"{len(strong)} photos differ from the others by more than {_STRONG_GAIN} in exposure, and were evened out: "
            + ", ".join(strong[:5])
        )
    if size_px < options.max_size_px:
        warnings.append(
            f"the texture was made at {size_px} px of {options.max_size_px}, to fit {options.max_pages} pages of {options.page_px} px: "
            "raise texture.max_pages for more detail"
        )
    return warnings
