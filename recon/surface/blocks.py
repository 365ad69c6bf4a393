"""Poisson reconstruction of a large scene by blocks, side by side, and the joining of their surfaces.

All blocks lie in the octree of one cube, and are cut along its planes: as a face lies within a leaf, the faces of a block
end where those of the next begin. The vertices there differ by what far samples say, some hundredths of a cell
(measured), and are drawn together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from recon.surface.mesh import Edges, components, used_only
from recon.surface.poisson import Cube, Surface, reconstruct
from recon.surface.thin import Samples, voxel_keys

MOST_SAMPLES = 900_000
"""A block with more is cut in two. A small one costs as much as a large one for the cube around it: 2 s, 7 s for this many."""
_MARGIN_CELLS = 16
_STEP_CELLS = 8
"""Cuts lie on planes that no leaf of the octree spans but those larger than this, far from all samples."""
_ON_PLANE = 1e-3
_REACH_CELLS = 1.0
_LONGEST_SLIT = 12


@dataclass(frozen=True)
class Block:
    """A box of the cube, in cells of the octree."""

    low: tuple[int, int, int]
    high: tuple[int, int, int]

    @classmethod
    def whole(cls, cube: Cube) -> Block:
        return cls((0, 0, 0), (2**cube.depth,) * 3)

    def is_whole(self, cube: Cube) -> bool:
        return self == Block.whole(cube)

    def holds(self, cells: NDArray[np.float64], margin: int = 0) -> NDArray[np.bool_]:
        """(N,) whether places, in cells from the cube's corner, lie in the block or so near to it."""
        inside = np.ones(len(cells), bool)
        for axis in range(3):  # one at a time: quicker by far
            inside &= (cells[:, axis] >= self.low[axis] - margin) & (cells[:, axis] < self.high[axis] + margin)
        return inside


def split(samples: Samples, cube: Cube, most: int = MOST_SAMPLES) -> list[Block]:
    """Blocks of at most ``most`` samples each, as far as they stay much thicker than their margins; the fullest first."""
    done: list[tuple[int, Block]] = []
    waiting = [(Block.whole(cube), cube.cells(samples.xyz))]
    while waiting:
        block, inside = waiting.pop()
        halves = _halves(block, inside) if len(inside) > most else None
        if halves is None:
            done.append((len(inside), block))
        else:
            waiting += [(half, inside[half.holds(inside)]) for half in reversed(halves)]
    return [block for _, block in sorted(done, key=lambda one: -one[0])]


def _halves(block: Block, cells: NDArray[np.float64]) -> tuple[Block, Block] | None:
    """Two blocks of about as much work, cut across the longest extent of the middle nine tenths of the samples."""
    low, high = np.quantile(cells, (0.05, 0.95), axis=0)
    axis = int(np.argmax(high - low))
    cut = round(_middle_of_work(cells, axis) / _STEP_CELLS) * _STEP_CELLS
    if min(cut - low[axis], high[axis] - cut) < 2 * _MARGIN_CELLS:
        return None
    below, above = list(block.high), list(block.low)
    below[axis] = above[axis] = cut
    return Block(block.low, (below[0], below[1], below[2])), Block((above[0], above[1], above[2]), block.high)


def _middle_of_work(cells: NDArray[np.float64], axis: int) -> float:
    """Where half of the work lies on either side along an axis.

    A reconstruction takes as long as cells of twice the finest edge hold samples, be they few or many (measured: on
    fountain-P11 blocks of as many samples, but an eighth more such cells, took an eighth longer).
    """
    keys = voxel_keys(cells, 2.0)
    order = np.argsort(keys)
    a_cell = order[np.append(True, np.diff(keys[order]) > 0)]
    slices = np.sort(np.floor(cells[a_cell, axis] / 2))
    return 2.0 * float(slices[len(slices) // 2]) + 1


def block_surface(samples: Samples, cube: Cube, block: Block) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """Vertices (V, 3) in world and faces (F, 3) of the surface within a block. Raises NoSurface where the whole has none."""
    if block.is_whole(cube):
        return reconstruct(samples.xyz, samples.normal, cube, whole=True)
    near = block.holds(cube.cells(samples.xyz), _MARGIN_CELLS)
    vertices, faces = reconstruct(samples.xyz[near], samples.normal[near], cube, whole=False)
    return used_only(vertices, faces[block.holds(cube.cells(vertices[faces].mean(axis=1)))])


def join(parts: Sequence[tuple[NDArray[np.float64], NDArray[np.int32]]], blocks: Sequence[Block], cube: Cube) -> Surface:
    """The surfaces of all blocks as one, its vertices at the cuts drawn together and the slits between them closed."""
    first = np.concatenate([[0], np.cumsum([len(vertices) for vertices, _ in parts])])
    vertices = np.concatenate([vertices for vertices, _ in parts])
    faces = np.concatenate([faces + start for (_, faces), start in zip(parts, first, strict=False)]).astype(np.int32)
    if len(parts) == 1:
        return Surface(vertices, faces, cube.depth, cube.cell)
    seam = _on_cuts(cube.cells(vertices), blocks, cube) & _at_border(faces, len(vertices))
    owner = np.repeat(np.arange(len(parts)), np.diff(first))
    pairs = _partners(vertices, np.flatnonzero(seam), owner, _REACH_CELLS * cube.cell)
    vertices, faces, seam = _drawn_together(vertices, faces, seam, pairs)
    faces = np.concatenate([faces, _slits(faces, seam)])
    return Surface(*used_only(vertices, faces), cube.depth, cube.cell)


def _on_cuts(cells: NDArray[np.float64], blocks: Sequence[Block], cube: Cube) -> NDArray[np.bool_]:
    found = np.zeros(len(cells), bool)
    for axis in range(3):
        cuts = {side[axis] for block in blocks for side in (block.low, block.high)} - {0, 2**cube.depth}
        for cut in sorted(cuts):
            found |= np.abs(cells[:, axis] - cut) < _ON_PLANE
    return found


def _at_border(faces: NDArray[np.int32], count: int) -> NDArray[np.bool_]:
    edges = Edges.of(faces)
    border = np.zeros(count, bool)
    border[edges.vertices[edges.faces == 1]] = True
    return border


def _partners(vertices: NDArray[np.float64], seam: NDArray[np.int64], owner: NDArray[np.int64], reach: float) -> NDArray[np.int64]:
    """(P, 2) vertices of different blocks that are each other's nearest within reach."""
    pairs = [np.zeros((0, 2), np.int64)]
    groups = [seam[owner[seam] == part] for part in range(int(owner.max()) + 1)]
    trees = [cKDTree(vertices[group]) if len(group) else None for group in groups]
    for a, (one, tree_one) in enumerate(zip(groups, trees, strict=True)):
        for other, tree_other in zip(groups[a + 1 :], trees[a + 1 :], strict=True):
            if tree_one is None or tree_other is None:
                continue
            distance, there = tree_other.query(vertices[one], distance_upper_bound=reach)
            found = np.flatnonzero(np.isfinite(distance))
            back = tree_one.query(vertices[other[there[found]]])[1]
            found = found[back == found]
            pairs.append(np.column_stack([one[found], other[there[found]]]))
    return np.concatenate(pairs)


def _drawn_together(
    vertices: NDArray[np.float64], faces: NDArray[np.int32], seam: NDArray[np.bool_], pairs: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.int32], NDArray[np.bool_]]:
    """Vertices where partners are one, at their mean; faces on them, and which vertices are on a seam."""
    group = components(pairs, len(vertices))
    count = np.bincount(group)
    merged = np.stack([np.bincount(group, vertices[:, axis]) / count for axis in range(3)], axis=1)
    faces = group[faces].astype(np.int32)
    whole = (faces != np.roll(faces, -1, axis=1)).all(axis=1)
    return merged, faces[whole], np.bincount(group, seam) > 0


def _slits(faces: NDArray[np.int32], seam: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Faces that fill the short border loops along the seams, each a fan from its first vertex."""
    edges = Edges.of(faces)
    face, corner = np.nonzero(edges.faces[edges.of_face] == 1)
    start, end = faces[face, corner], faces[face, (corner + 1) % 3]
    following: dict[int, list[int]] = {}
    for along in np.flatnonzero(seam[start] & seam[end]):  # a filling runs the other way
        following.setdefault(int(end[along]), []).append(int(start[along]))
    loops = [loop for loop in _loops(following) if 3 <= len(loop) <= _LONGEST_SLIT]
    return np.array([[loop[0], loop[k], loop[k + 1]] for loop in loops for k in range(1, len(loop) - 1)], np.int32).reshape(-1, 3)


def _loops(following: dict[int, list[int]]) -> list[list[int]]:
    """The loops of directed edges, none of which passes a vertex twice; uses up ``following``. Slits may touch at a vertex."""
    loops = []
    for start in sorted(following):
        path = [start]
        while path and following.get(path[-1]):
            after = following[path[-1]].pop()
            if after in path:
                loops.append(path[path.index(after) :])
                del path[path.index(after) + 1 :]
            else:
                path.append(after)
    return loops
