"""Colours onto the texels of the pages, photo by photo."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from recon.surface.atlas import Atlas
from recon.surface.blend import Layers
from recon.surface.charts import PADDING, Charts
from recon.surface.exposure import WHITE, evened, white_point
from recon.surface.mesh import TriMesh
from recon.surface.photos import Photo
from recon.surface.rasterise import BARE, FaceMap, Texels, barycentric, bounds, fill_gutters
from recon.surface.seams import Offsets
from recon.surface.visibility import sample
from recon.threads import in_order

_CURVED_PX = 0.1  # a face whose photo differs by more from its affine image is sampled through its plane
_CHUNK = 2_000_000
_EXTRAPOLATION = 4.0  # weight of a corner beyond which a sliver's padding takes the colour of its edge

Layer = tuple[NDArray[np.int64], NDArray[np.float32]]
"""Faces, and what a photo adds to their texels, face by face in the order of `FaceMap.texels`: (T, 3)."""


@dataclass(frozen=True)
class Painter:
    """All that decides the colour of a texel."""

    mesh: TriMesh
    photos: list[Photo]
    gains: NDArray[np.float64]
    label: NDArray[np.int32]
    charts: Charts
    atlas: Atlas
    texels: FaceMap
    offsets: Offsets
    layers: Layers
    size_px: int

    def pages(self, threads: int, tell: Callable[[float], None]) -> list[NDArray[np.uint8]]:
        """(H, W, 3) RGB of each page. As many photos as threads are held at a time."""
        pages = [np.zeros((*owner.shape, 3), np.uint8) for owner in self.texels.pages]
        of_face = np.where(self.layers.blended, self.texels.counts, 0)
        first = np.concatenate([[0], np.cumsum(of_face)])
        blend = np.zeros((int(first[-1]), 3), np.float32)
        for done, layer in enumerate(in_order(lambda photo: self._paint(photo, pages), range(-1, len(self.photos)), threads)):
            _merge(blend, first, *layer)
            tell(0.9 * (done + 1) / (len(self.photos) + 1))
        page_of = self.atlas.page[self.charts.of_face]

        def finish(number: int) -> None:
            blended = np.flatnonzero(self.layers.blended & (page_of == number))
            _settle(pages[number], self.texels.pages[number], self.texels.corners, blended, first, blend)
            fill_gutters(pages[number], self.texels.pages[number] != BARE)

        for _ in in_order(finish, range(len(pages)), threads):
            pass
        return pages

    def _paint(self, index: int, pages: list[NDArray[np.uint8]]) -> Layer:
        """Paint the faces that are this photo's alone (-1: no photo's), and return its part in those that it shares."""
        rows = self.layers.of(index)
        shared = self.layers.face[rows]
        own = np.flatnonzero((self.label == index) & ~self.layers.blended)
        if not len(own) and not len(shared):
            return shared, np.zeros((0, 3), np.float32)
        photo = self.photos[index] if index >= 0 else None
        image = np.zeros((1, 1, 3), np.uint8) if photo is None else photo.pixels(self.size_px)
        gain = np.ones(3) if photo is None else self.gains[index]
        page_of = self.atlas.page[self.charts.of_face]
        curved = np.zeros(len(own), bool) if photo is None else self._curved(photo, own)
        nothing = np.zeros((0, 3), np.float32)
        for number, page in enumerate(pages):
            mine = own[~curved & (page_of[own] == number)]
            added = self.offsets.values[self.offsets.of_corner[mine]]
            if photo is None:
                added = added + self.mesh.rgb[self.mesh.faces[mine]]
            weight, reach = np.ones((len(mine), 3), np.float32), np.ones((len(mine), 3), np.float32)
            at = self.charts.corners[mine]
            self._lend(number, mine, at, weight, reach, added, image, gain, page, nothing)
            if photo is not None and curved.any():
                self._paint_curved(photo, image, gain, number, own[curved & (page_of[own] == number)], page)
        return shared, self._layer(index, rows, image, gain) if photo is not None else nothing

    def _layer(self, index: int, rows: slice, image: NDArray[np.uint8], gain: NDArray[np.float64]) -> NDArray[np.float32]:
        shared, weight = self.layers.face[rows], self.layers.weight[rows]
        corner = self.mesh.faces[shared]
        used, of_corner = np.unique(corner, return_inverse=True)
        at = self.photos[index].project(self.mesh.vertices[used], self.size_px)[of_corner.reshape(-1, 3)]
        added = self.offsets.at(corner, index)
        # at corners that the photo's charts do not touch it has no offset: there, its mean at the others
        known = np.isfinite(added)
        mean = np.where(known, added, 0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
        added = np.where(known, added, mean[:, None])
        page_of = self.atlas.page[self.charts.of_face[shared]]
        out = np.zeros((int(self.texels.counts[shared].sum()), 3), np.float32)
        first = np.concatenate([[0], np.cumsum(self.texels.counts[shared])])
        for number in np.unique(page_of):
            mine = np.flatnonzero(page_of == number)
            part = np.zeros((int(self.texels.counts[shared[mine]].sum()), 3), np.float32)
            self._lend(
                int(number),
                shared[mine],
                at[mine],
                weight[mine],
                self.layers.reach[corner[mine]],
                added[mine],
                image,
                gain,
                np.zeros((0, 0, 3), np.uint8),
                part,
            )
            _scatter(out, first, mine, self.texels.counts[shared[mine]], part)
        return out

    def _lend(
        self,
        page: int,
        faces: NDArray[np.int64],
        at: NDArray[np.float64],
        weight: NDArray[np.float32],
        reach: NDArray[np.float32],
        added: NDArray[np.float32],
        image: NDArray[np.uint8],
        gain: NDArray[np.float64],
        into: NDArray[np.uint8],
        layer: NDArray[np.float32],
    ) -> None:
        owner, corners = self.texels.pages[page], self.texels.corners
        at_white, start = white_point(gain)
        _lend(owner, corners, faces, at, weight, reach, added.astype(np.float32), image, gain, at_white, start, into, layer)

    def _curved(self, photo: Photo, faces: NDArray[np.int64]) -> NDArray[np.bool_]:
        """(N,) which of the faces deviate from their affine image in the photo, judged at the middles of their edges."""
        corners = self.mesh.vertices[self.mesh.faces[faces]].astype(np.float64)
        middles = (corners + np.roll(corners, -1, axis=1)) / 2
        flat = self.charts.corners[faces]
        flat = (flat + np.roll(flat, -1, axis=1)) / 2
        at = photo.project(middles.reshape(-1, 3), self.size_px).reshape(-1, 3, 2)
        return np.asarray((np.linalg.norm(at - flat, axis=2) > _CURVED_PX).any(axis=1))

    def _paint_curved(
        self,
        photo: Photo,
        image: NDArray[np.uint8],
        gain: NDArray[np.float64],
        page: int,
        faces: NDArray[np.int64],
        into: NDArray[np.uint8],
    ) -> None:
        """Faces large enough, and seen at such a slant or through such a lens, that their picture is not affine.

        A viewer spreads a face's texture by affine interpolation: each texel is projected from where it will be shown.
        """
        texels = self.texels.texels(page, faces)
        for start in range(0, len(texels.index), _CHUNK):
            part = slice(start, start + _CHUNK)
            chunk = Texels(texels.index[part], texels.face[part], texels.inside[part])
            centres = chunk.centres(into.shape[1])
            chart = self.charts.of_face[chunk.face]
            places = ((centres - self.atlas.shift(self.charts)[chart]) / self.charts.scale[chart, None]).astype(np.float32)
            weight = _weights(self.texels.corners[chunk.face], centres)
            inside = np.flatnonzero(chunk.inside)
            xyz = np.einsum("tk,tkc->tc", weight[inside], self.mesh.vertices[self.mesh.faces[chunk.face[inside]]].astype(np.float64))
            at = photo.project(xyz, self.size_px)
            seen = np.isfinite(at).all(axis=1)
            places[inside[seen]] = at[seen]
            weight = np.maximum(weight, 0) / np.maximum(weight, 0).sum(axis=1, keepdims=True)
            added = np.einsum("tk,tkc->tc", weight, self.offsets.values[self.offsets.of_corner[chunk.face]])
            colour = evened(sample(image, places), gain) + added
            into.reshape(-1, 3)[chunk.index] = np.clip(colour + 0.5, 0, 255).astype(np.uint8)


def _weights(corners: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.float64]:
    """(T, 3) barycentric weights of (T, 2) points in (T, 3, 2) triangles."""
    a, b, p = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0], points - corners[:, 0]
    twice = a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
    twice = np.where(np.abs(twice) < 1e-9, 1e-9, twice)
    second = (p[:, 0] * b[:, 1] - p[:, 1] * b[:, 0]) / twice
    third = (a[:, 0] * p[:, 1] - a[:, 1] * p[:, 0]) / twice
    return np.stack([1 - second - third, second, third], axis=1)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _lend(owner, corners, faces, at, weight, reach, added, image, gain, at_white, start, page, layer):  # type: ignore[no-untyped-def]
    """Colours of the faces' texels from a photo: straight into the page, or if there is none, weighted into a layer."""
    count = 0
    high, wide = image.shape[0], image.shape[1]
    for m in range(len(faces)):
        f = faces[m]
        x0, x1, y0, y1 = bounds(corners[f], PADDING, owner.shape[1], owner.shape[0])
        for y in range(y0, y1 + 1):
            for x in range(x0, x1 + 1):
                if owner[y, x] != f and owner[y, x] != -2 - f:
                    continue
                a, b, c = barycentric(corners[f], x + 0.5, y + 0.5)
                # the padding lies outside its face; there the photo goes on, but extrapolated shares could be anything
                d, e, g = max(a, 0.0), max(b, 0.0), max(c, 0.0)
                d, e, g = d / (d + e + g), e / (d + e + g), g / (d + e + g)
                if max(abs(a), abs(b), abs(c)) > _EXTRAPOLATION:
                    a, b, c = d, e, g
                u = a * at[m, 0, 0] + b * at[m, 1, 0] + c * at[m, 2, 0] - 0.5
                v = a * at[m, 0, 1] + b * at[m, 1, 1] + c * at[m, 2, 1] - 0.5
                u, v = min(max(u, 0.0), wide - 1.0), min(max(v, 0.0), high - 1.0)
                i, j = int(u), int(v)
                s, t = u - i, v - j
                k, n = min(i + 1, wide - 1), min(j + 1, high - 1)
                p, q, r, w = (1 - s) * (1 - t), s * (1 - t), (1 - s) * t, s * t
                red = p * image[j, i, 0] + q * image[j, k, 0] + r * image[n, i, 0] + w * image[n, k, 0]
                green = p * image[j, i, 1] + q * image[j, k, 1] + r * image[n, i, 1] + w * image[n, k, 1]
                blue = p * image[j, i, 2] + q * image[j, k, 2] + r * image[n, i, 2] + w * image[n, k, 2]
                white = min(max((max(red, green, blue) - start) / (WHITE - start), 0.0), 1.0)
                red *= gain[0] + (at_white - gain[0]) * white
                green *= gain[1] + (at_white - gain[1]) * white
                blue *= gain[2] + (at_white - gain[2]) * white
                red += d * added[m, 0, 0] + e * added[m, 1, 0] + g * added[m, 2, 0]
                green += d * added[m, 0, 1] + e * added[m, 1, 1] + g * added[m, 2, 1]
                blue += d * added[m, 0, 2] + e * added[m, 1, 2] + g * added[m, 2, 2]
                if page.size:
                    page[y, x, 0] = np.uint8(min(max(red + 0.5, 0.0), 255.0))
                    page[y, x, 1] = np.uint8(min(max(green + 0.5, 0.0), 255.0))
                    page[y, x, 2] = np.uint8(min(max(blue + 0.5, 0.0), 255.0))
                else:
                    d, e, g = d * reach[m, 0], e * reach[m, 1], g * reach[m, 2]
                    part = (d * weight[m, 0] + e * weight[m, 1] + g * weight[m, 2]) / (d + e + g)
                    layer[count, 0], layer[count, 1], layer[count, 2] = part * red, part * green, part * blue
                    count += 1


@numba.njit(cache=True, nogil=True)
def _scatter(
    out: NDArray[np.float32], first: NDArray[np.int64], rows: NDArray[np.int64], counts: NDArray[np.int64], part: NDArray[np.float32]
) -> None:
    """Put parts of layers in their places."""
    done = 0
    for n in range(len(rows)):
        out[first[rows[n]] : first[rows[n]] + counts[n]] = part[done : done + counts[n]]
        done += counts[n]


@numba.njit(cache=True, nogil=True)
def _merge(blend: NDArray[np.float32], first: NDArray[np.int64], faces: NDArray[np.int64], layer: NDArray[np.float32]) -> None:
    """Add a photo's part to the texels of its shared faces."""
    done = 0
    for f in faces:
        for n in range(first[f], first[f + 1]):
            for c in range(3):
                blend[n, c] += layer[done, c]
            done += 1


@numba.njit(cache=True, nogil=True)
def _settle(
    page: NDArray[np.uint8],
    owner: NDArray[np.int32],
    corners: NDArray[np.float64],
    faces: NDArray[np.int64],
    first: NDArray[np.int64],
    blend: NDArray[np.float32],
) -> None:
    """Write the blended faces onto their page."""
    for f in faces:
        n = first[f]
        x0, x1, y0, y1 = bounds(corners[f], PADDING, owner.shape[1], owner.shape[0])
        for y in range(y0, y1 + 1):
            for x in range(x0, x1 + 1):
                if owner[y, x] == f or owner[y, x] == -2 - f:
                    for c in range(3):
                        page[y, x, c] = np.uint8(min(max(blend[n, c] + 0.5, 0.0), 255.0))
                    n += 1
