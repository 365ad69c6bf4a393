"""The textured mesh as Wavefront OBJ with its material library and texture pages."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recon.products.textured import TexturedMesh, split_at_seams


def write_obj(folder: Path, mesh: TexturedMesh, comment: str) -> list[Path]:
    """Write ``mesh.obj`` (z up, world coordinates), ``mesh.mtl`` and ``mesh_N.jpg`` or ``.png``; returns their paths."""
    split = split_at_seams(mesh)
    obj, mtl = folder / "mesh.obj", folder / "mesh.mtl"
    pages = [folder / f"mesh_{number}{page.suffix}" for number, page in enumerate(mesh.pages)]
    for source, target in zip(mesh.pages, pages, strict=True):
        shutil.copyfile(source, target)
    with mtl.open("w", encoding="ascii", newline="\n") as stream:
        for number, page in enumerate(pages):
            stream.write(f"newmtl page_{number}\nKa 0 0 0\nKd 1 1 1\nKs 0 0 0\nd 1\nillum 1\nmap_Kd {page.name}\n\n")
    corners = mesh.faces[split.order].astype(np.int64)
    with obj.open("w", encoding="ascii", newline="\n") as stream:
        stream.write(f"# {comment}\nmtllib {mtl.name}\n")
        stream.writelines(_lines("v", mesh.vertices, "%.8g"))
        stream.writelines(_lines("vt", split.uv, "%.7g"))
        stream.writelines(_lines("vn", mesh.normals, "%.5f"))
        for number in range(len(pages)):
            of_page = split.page == number
            stream.write(f"usemtl page_{number}\n")
            rows = np.stack([corners[of_page], split.faces[of_page], corners[of_page]], axis=2) + 1  # OBJ counts from one
            stream.writelines(f"f {a}/{b}/{c} {d}/{e}/{f} {g}/{h}/{i}\n" for a, b, c, d, e, f, g, h, i in rows.reshape(-1, 9).tolist())
    return [obj, mtl, *pages]


def _lines(keyword: str, rows: NDArray[Any], number: str) -> Iterable[str]:
    pattern = " ".join([keyword] + [number] * rows.shape[1]) + "\n"
    return (pattern % tuple(row) for row in rows.tolist())
