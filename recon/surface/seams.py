"""Global seam levelling: colour offsets that let neighbouring charts meet (Lempitsky and Ivanov 2007)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix

from recon.surface.exposure import evened
from recon.surface.linear import solve
from recon.surface.mesh import Edges, TriMesh
from recon.surface.photos import Photo
from recon.surface.visibility import sample

_SAMPLES = 8  # along a seam's edge
_SMOOTHNESS = 0.3  # of a difference between neighbours in a chart, where a step at a seam costs 1
_RIDGE = 1e-4  # of any offset at all
_MAX_OFFSET = 64.0
_TOLERANCE = 3e-4  # offsets are right to a quarter of a grey level by then, and to one at the worst (measured on fountain-P11)


@dataclass(frozen=True)
class Offsets:
    """Colour offsets, one a node: a vertex together with one of the photos around it."""

    span: int
    nodes: NDArray[np.int64]
    """(N,) ascending: vertex times span plus photo plus one."""
    of_corner: NDArray[np.int64]
    """(F, 3) the node of each face's corner and photo."""
    values: NDArray[np.float32]
    """(N, 3) by channel."""

    def at(self, vertices: NDArray[np.integer], photo: int) -> NDArray[np.float32]:
        """(..., 3) the photo's offsets at vertices (...), NaN where it lends no colour."""
        wanted = vertices.astype(np.int64) * self.span + photo + 1
        place = np.minimum(np.searchsorted(self.nodes, wanted), len(self.nodes) - 1)
        return np.where((self.nodes[place] == wanted)[..., None], self.values[place], np.float32(np.nan))


@dataclass(frozen=True)
class Seams:
    """Edges between faces that take their colours from different photos."""

    ends: NDArray[np.int64]
    """(S, 2) vertices."""
    labels: NDArray[np.int32]
    """(S, 2) the photo on either side, -1 for none."""
    colours: NDArray[np.float32]
    """(S, 2, 2, 3) by side and end: the side's mean colour along the edge, weighted towards that end; filled photo by photo."""

    @classmethod
    def find(cls, edges: Edges, label: NDArray[np.int32]) -> Seams:
        pairs, edge = edges.face_pairs()
        seam = label[pairs[:, 0]] != label[pairs[:, 1]]
        ends = edges.vertices[edge[seam]]
        return cls(ends, label[pairs[seam]], np.zeros((len(ends), 2, 2, 3), np.float32))

    def look(self, index: int, photo: Photo, image: NDArray[np.uint8], gain: NDArray[np.float64], mesh: TriMesh, max_size_px: int) -> None:
        """Take the colours of all sides that are a photo's from its pixels."""
        row, side = np.nonzero(self.labels == index)
        if not len(row):
            return
        xyz = mesh.vertices[self.ends[row]].astype(np.float64)
        along = (np.arange(_SAMPLES) + 0.5) / _SAMPLES
        places = xyz[:, None, 0] * (1 - along[:, None]) + xyz[:, None, 1] * along[:, None]
        at = photo.project(places.reshape(-1, 3), max_size_px).reshape(len(row), _SAMPLES, 2)
        # an edge on the photo's very border may leave it in the middle, where the lens bends it out
        ends = photo.project(xyz.reshape(-1, 3), max_size_px).reshape(len(row), 2, 1, 2)
        at = np.where(np.isfinite(at), at, ends[:, 0] * (1 - along[:, None]) + ends[:, 1] * along[:, None])
        seen = evened(sample(image, at), gain)
        for end, weight in enumerate((1 - along, along)):
            self.colours[row, side, end] = np.einsum("rkc,k->rc", seen, weight / weight.sum())

    def look_plain(self, mesh: TriMesh) -> None:
        """Take the colours of all sides without a photo from the vertices."""
        row, side = np.nonzero(self.labels < 0)
        self.colours[row, side] = mesh.rgb[self.ends[row]]

    def offsets(self, mesh: TriMesh, label: NDArray[np.int32]) -> Offsets:
        """What to add to the colours that each photo lends at each vertex, by channel.

        Least squares: colours plus offsets agree across seams, offsets vary little within a chart and stay near zero.
        """
        span = int(label.max(initial=-1)) + 2
        nodes, of_corner = np.unique(mesh.faces.astype(np.int64) * span + label[:, None] + 1, return_inverse=True)
        of_corner = of_corner.reshape(-1, 3)
        if not len(self.ends):
            return Offsets(span, nodes, of_corner, np.zeros((len(nodes), 3), np.float32))
        across = np.searchsorted(nodes, self.ends[:, None, :] * span + self.labels[:, :, None] + 1)
        step = self.colours[:, 1] - self.colours[:, 0]
        within = np.stack([of_corner, np.roll(of_corner, -1, axis=1)], axis=2).reshape(-1, 2)
        # an edge inside a chart is met from both of its faces
        smooth = np.full(len(within), _SMOOTHNESS / 2)
        links = np.concatenate([across.transpose(0, 2, 1).reshape(-1, 2), within])
        weight = np.concatenate([np.ones(2 * len(self.ends)), smooth])
        matrix = _laplacian(links, weight, len(nodes))
        right = np.zeros((len(nodes), 3))
        for c in range(3):
            right[:, c] += np.bincount(across[:, 0].ravel(), step[..., c].ravel(), minlength=len(nodes))
            right[:, c] -= np.bincount(across[:, 1].ravel(), step[..., c].ravel(), minlength=len(nodes))
        offset = solve(matrix, right, tolerance=_TOLERANCE)
        return Offsets(span, nodes, of_corner, np.clip(offset, -_MAX_OFFSET, _MAX_OFFSET).astype(np.float32))


def _laplacian(links: NDArray[np.int64], weight: NDArray[np.float64], count: int) -> coo_matrix:
    a, b = links[:, 0], links[:, 1]
    diagonal = np.arange(count)
    rows = np.concatenate([a, b, a, b, diagonal])
    columns = np.concatenate([a, b, b, a, diagonal])
    values = np.concatenate([weight, weight, -weight, -weight, np.full(count, _RIDGE)])
    return coo_matrix((values, (rows, columns)), shape=(count, count)).tocsr()
