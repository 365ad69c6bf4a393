"""Photos onto a mesh: choose, cut out, level, and lay on pages. After Waechter, Moehrle and Goesele 2014."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recon.config import Texture
from recon.stage import Work
from recon.surface.atlas import Atlas, pack
from recon.surface.blend import find_layers
from recon.surface.charts import Charts, corner_pixels, make_charts
from recon.surface.exposure import exposure_gains, inconsistent
from recon.surface.labels import choose_photos
from recon.surface.mesh import Edges, TriMesh, face_areas
from recon.surface.paint import Painter
from recon.surface.photos import Photo
from recon.surface.rasterise import FaceMap
from recon.surface.seams import Seams
from recon.surface.visibility import find_candidates
from recon.threads import both, in_order

log = logging.getLogger(__name__)

_FILL = 0.7  # share of a page that charts cover, for the first guess at a size that fits
_SHRINK = 0.9
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
    gains = exposure_gains(candidates, len(photos), work.threads)
    rejected = inconsistent(candidates, gains, pairs, work.threads)
    label = choose_photos(candidates, rejected, pairs, work.threads)
    work.tell(0.5)
    seams = _look_along_seams(mesh, photos, gains, label, edges, options, work)
    work.tell(0.6)
    offsets, (charts, atlas, size_px, texels) = both(
        lambda: seams.offsets(mesh, label), lambda: _lay_out(mesh, photos, label, pairs, options, work.threads), work.threads
    )
    layers = find_layers(mesh, label, candidates, rejected, offsets, charts)
    work.tell(0.7)
    painter = Painter(mesh, photos, gains, label, charts, atlas, texels, offsets, layers, size_px)
    pages = painter.pages(work.threads, lambda fraction: work.tell(0.7 + 0.3 * fraction))
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
        "warnings": _warnings(photos, seen_share, gains, size_px, len(atlas.sizes), options),
    }
    return Textured(atlas.uv(charts), atlas.page[charts.of_face], pages, summary)


def _lay_out(
    mesh: TriMesh, photos: list[Photo], label: NDArray[np.int32], pairs: NDArray[np.int64], options: Texture, threads: int
) -> tuple[Charts, Atlas, int, FaceMap]:
    """Charts, their places, the largest image size at which they fit on the pages allowed, and the faces at all texels."""
    size_px = options.max_size_px
    room = _FILL * options.max_pages * options.page_px**2
    while True:
        charts = make_charts(mesh, label, corner_pixels(mesh, photos, label, size_px), pairs, options.page_px)
        atlas = pack(charts.size, options.page_px)
        needed = float(charts.size.prod(axis=1).sum())
        log.info("%d charts, %.1f million texels at %d px: %d pages", len(charts.photo), needed / 1e6, size_px, len(atlas.sizes))
        if len(atlas.sizes) <= options.max_pages or size_px <= 64:
            return charts, atlas, size_px, FaceMap.of(charts, atlas, threads)
        size_px = max(64, int(size_px * min(_SHRINK, (room / needed) ** 0.5)))


def _look_along_seams(
    mesh: TriMesh, photos: list[Photo], gains: NDArray[np.float64], label: NDArray[np.int32], edges: Edges, options: Texture, work: Work
) -> Seams:
    """The seams, with the colours of the photos on either side."""
    seams = Seams.find(edges, label)
    glance_px = max(64, options.max_size_px // 2)

    def look(index: int) -> None:
        if (seams.labels == index).any():
            seams.look(index, photos[index], photos[index].glance(glance_px), gains[index], mesh, glance_px)

    for done, _ in enumerate(in_order(look, range(len(photos)), work.threads)):
        work.tell(0.5 + 0.1 * (done + 1) / len(photos))
    seams.look_plain(mesh)
    return seams


def _texel(charts: Charts, area: NDArray[np.float64], label: NDArray[np.int32]) -> float | None:
    """Typical edge of a texel on the surface that photos see, world units."""
    seen = label >= 0
    if not seen.any():
        return None
    a, b = charts.corners[seen, 1] - charts.corners[seen, 0], charts.corners[seen, 2] - charts.corners[seen, 0]
    texels = np.abs(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum() / 2
    return float((area[seen].sum() / max(texels, 1e-9)) ** 0.5)


def _warnings(photos: list[Photo], seen_share: float, gains: NDArray[np.float64], size_px: int, pages: int, options: Texture) -> list[str]:
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
    if pages > options.max_pages:
        warnings.append(f"the texture takes {pages} pages, {options.max_pages} were allowed: the mesh has too many faces for fewer")
    return warnings
