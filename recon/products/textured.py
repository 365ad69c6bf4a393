"""The textured mesh as ``texture`` writes it, and its form with one texture coordinate a vertex."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

TEXTURED_FILE = "textured.npz"


@dataclass(frozen=True)
class TexturedMesh:
    """Triangles with a texture coordinate at each corner."""

    vertices: NDArray[np.float32]
    """(V, 3) world."""
    normals: NDArray[np.float32]
    """(V, 3) unit, outwards."""
    faces: NDArray[np.int32]
    """(F, 3) indices of vertices, counter-clockwise from outside."""
    uv: NDArray[np.float32]
    """(F, 3, 2) a corner, 0..1, origin at the page's bottom left."""
    page: NDArray[np.int32]
    """(F,) index of pages."""
    pages: tuple[Path, ...]
    """JPEG or PNG files."""

    @classmethod
    def load(cls, folder: Path) -> TexturedMesh:
        """From a folder of ``texture``: ``textured.npz`` and ``page_N.jpg`` or ``.png``."""
        with np.load(folder / TEXTURED_FILE) as arrays:
            page = arrays["page"]
            count = int(page.max(initial=-1)) + 1
            jpegs, pngs = ([folder / f"page_{n}{suffix}" for n in range(count)] for suffix in (".jpg", ".png"))
            pages = tuple(png if png.is_file() else jpeg for jpeg, png in zip(jpegs, pngs, strict=True))
            return cls(arrays["vertices"], arrays["normals"], arrays["faces"], arrays["uv"], page, pages)


@dataclass(frozen=True)
class SeamSplit:
    """A textured mesh whose vertices are doubled where texture coordinates part; sorted by page."""

    vertex: NDArray[np.int64]
    """(N,) the mesh's vertex behind each split vertex."""
    uv: NDArray[np.float32]
    """(N, 2) origin bottom left."""
    faces: NDArray[np.int32]
    """(F, 3) indices of split vertices; faces ordered by page."""
    order: NDArray[np.int64]
    """(F,) the mesh's face behind each."""
    page: NDArray[np.int32]
    """(F,) of each face, ascending."""


def split_at_seams(mesh: TexturedMesh) -> SeamSplit:
    """Give each different (page, vertex, u, v) a vertex of its own, those of a page one after the other."""
    order = np.argsort(mesh.page, kind="stable")
    vertex = mesh.faces[order].reshape(-1).astype(np.int64)
    uv = np.ascontiguousarray(mesh.uv[order].reshape(-1, 2), dtype=np.float32)
    page = np.repeat(mesh.page[order], 3)
    bits = uv.view(np.uint32)
    sort = np.lexsort((bits[:, 1], bits[:, 0], vertex, page))
    key = np.stack([page, vertex, bits[:, 0], bits[:, 1]], axis=1)[sort]
    first = np.ones(len(sort), bool)
    first[1:] = (key[1:] != key[:-1]).any(axis=1)
    corner = np.empty(len(sort), np.int32)
    corner[sort] = np.cumsum(first) - 1
    kept = sort[first]
    return SeamSplit(vertex[kept], uv[kept], corner.reshape(-1, 3), order, mesh.page[order].astype(np.int32))
