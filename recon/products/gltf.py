"""The textured mesh as a binary glTF 2.0 file (https://registry.khronos.org/glTF/specs/2.0/glTF-2.0.html)."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recon.geometry.frames import gltf_from_world
from recon.products.textured import TexturedMesh, split_at_seams

_FLOAT, _USHORT, _UINT = 5126, 5123, 5125
_ARRAY_BUFFER, _ELEMENT_BUFFER = 34962, 34963
_MIME_TYPES = {".jpg": "image/jpeg", ".png": "image/png"}
_LINEAR, _LINEAR_MIPMAP_LINEAR, _CLAMP = 9729, 9987, 33071


def write_glb(path: Path, mesh: TexturedMesh, extras: dict[str, Any]) -> None:
    """Write the mesh, y up as glTF wants it, one primitive a texture page, the pages' bytes, JPEG or PNG, inside as they are.

    Materials are unlit (KHR_materials_unlit): the photos hold the light already. extras go into the asset, for people and
    programs that ask for the unit and frame.
    """
    blob = _Blob()
    primitives: list[dict[str, Any]] = []
    split = split_at_seams(mesh)
    normals = np.ascontiguousarray(mesh.normals, np.float32)
    for page in range(len(mesh.pages)):
        faces = split.faces[split.page == page]
        if not len(faces):
            continue
        first, last = int(faces.min()), int(faces.max()) + 1
        vertex = split.vertex[first:last]
        uv = split.uv[first:last] * np.array([1, -1], np.float32) + np.array([0, 1], np.float32)  # glTF's origin is top left
        attributes = {
            "POSITION": blob.vectors(gltf_from_world(mesh.vertices[vertex].astype(np.float32)), bounds=True),
            "NORMAL": blob.vectors(gltf_from_world(_unit(normals[vertex]))),
            "TEXCOORD_0": blob.vectors(uv),
        }
        primitives.append({"attributes": attributes, "indices": blob.indices(faces - first, last - first), "material": page, "mode": 4})
    images = [{"bufferView": blob.view(page.read_bytes()), "mimeType": _MIME_TYPES[page.suffix]} for page in mesh.pages]
    gltf: dict[str, Any] = {
        "asset": {"version": "2.0", "generator": "recon", "extras": extras},
        "extensionsUsed": ["KHR_materials_unlit"],
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0, "name": "mesh"}],
        "meshes": [{"primitives": primitives, "name": "mesh"}],
        "materials": [
            {
                "name": f"page_{page}",
                "doubleSided": True,
                "pbrMetallicRoughness": {"baseColorTexture": {"index": page}, "metallicFactor": 0.0, "roughnessFactor": 1.0},
                "extensions": {"KHR_materials_unlit": {}},
            }
            for page in range(len(mesh.pages))
        ],
        "textures": [{"source": page, "sampler": 0} for page in range(len(mesh.pages))],
        "images": images,
        "samplers": [{"magFilter": _LINEAR, "minFilter": _LINEAR_MIPMAP_LINEAR, "wrapS": _CLAMP, "wrapT": _CLAMP}],
        "accessors": blob.accessors,
        "bufferViews": blob.views,
        "buffers": [{"byteLength": len(blob.bytes)}],
    }
    _write_chunks(path, json.dumps(gltf, separators=(",", ":")).encode(), bytes(blob.bytes))


class _Blob:
    """The binary chunk as it grows, with its views and accessors."""

    def __init__(self) -> None:
        self.bytes = bytearray()
        self.views: list[dict[str, Any]] = []
        self.accessors: list[dict[str, Any]] = []

    def view(self, content: bytes, target: int | None = None) -> int:
        self.bytes += b"\0" * (-len(self.bytes) % 4)
        row: dict[str, Any] = {"buffer": 0, "byteOffset": len(self.bytes), "byteLength": len(content)}
        self.views.append(row if target is None else {**row, "target": target})
        self.bytes += content
        return len(self.views) - 1

    def vectors(self, rows: NDArray[np.float32], bounds: bool = False) -> int:
        rows = np.ascontiguousarray(rows, "<f4")
        accessor = {"componentType": _FLOAT, "count": len(rows), "type": f"VEC{rows.shape[1]}"}
        if bounds:
            accessor |= {"min": rows.min(axis=0).tolist(), "max": rows.max(axis=0).tolist()}
        self.accessors.append({"bufferView": self.view(rows.tobytes(), _ARRAY_BUFFER), **accessor})
        return len(self.accessors) - 1

    def indices(self, faces: NDArray[np.int32], vertices: int) -> int:
        kind, component = ("<u2", _USHORT) if vertices < 65535 else ("<u4", _UINT)  # the largest index is reserved
        flat = faces.reshape(-1).astype(kind)
        view = self.view(flat.tobytes(), _ELEMENT_BUFFER)
        self.accessors.append({"bufferView": view, "componentType": component, "count": len(flat), "type": "SCALAR"})
        return len(self.accessors) - 1


def _unit(normals: NDArray[np.float32]) -> NDArray[np.float32]:
    """Normals of length one, as glTF demands; straight up where there is none."""
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    up = np.array([0, 0, 1], np.float32)
    return np.asarray(np.where(length > 1e-12, normals / np.maximum(length, 1e-12), up), np.float32)


def _write_chunks(path: Path, document: bytes, binary: bytes) -> None:
    document += b" " * (-len(document) % 4)
    binary += b"\0" * (-len(binary) % 4)
    total = 12 + 8 + len(document) + 8 + len(binary)
    with path.open("wb") as stream:
        stream.write(struct.pack("<4sII", b"glTF", 2, total))
        stream.write(struct.pack("<I4s", len(document), b"JSON") + document)
        stream.write(struct.pack("<I4s", len(binary), b"BIN\0") + binary)
