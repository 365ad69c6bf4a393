"""A binary glTF against the rules of glTF 2.0 that a viewer relies on (the numbers are sections of the specification)."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import cv2
import numpy as np

COMPONENTS = {5120: "i1", 5121: "u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}
MAGIC = {"image/jpeg": b"\xff\xd8\xff", "image/png": b"\x89PNG\r\n\x1a\n"}


def broken_rules(path: Path) -> list[str]:
    """What the file does against the specification; empty for a valid one."""
    content = path.read_bytes()
    magic, version, length = struct.unpack_from("<4sII", content)
    broken = []
    if (magic, version, length) != (b"glTF", 2, len(content)):
        broken.append("4.4.1 header")
    size, kind = struct.unpack_from("<I4s", content, 12)
    if kind != b"JSON" or size % 4:
        broken.append("4.4.3.2 JSON chunk")
    document = json.loads(content[20 : 20 + size])
    binary_size, kind = struct.unpack_from("<I4s", content, 20 + size)
    binary = content[28 + size :]
    if kind != b"BIN\0" or binary_size % 4 or binary_size != len(binary):
        broken.append("4.4.3.3 BIN chunk")
    if not 0 <= binary_size - document["buffers"][0]["byteLength"] <= 3 or "uri" in document["buffers"][0]:
        broken.append("3.6.1.1 length of the buffer")
    return broken + _structure(document) + _views(document) + _geometry(document, binary) + _images(document, binary)


def _structure(document: dict[str, Any]) -> list[str]:
    broken = [f"{key} is empty (schema: minItems 1)" for key, value in document.items() if isinstance(value, list) and not value]
    if document["asset"]["version"] != "2.0":
        broken.append("3.2 version")
    used = {name for material in document["materials"] for name in material.get("extensions", {})}
    if used != set(document.get("extensionsUsed", ())):
        broken.append("3.12 extensionsUsed")
    reached = {primitive["material"] for mesh in document["meshes"] for primitive in mesh["primitives"]}
    if not reached <= set(range(len(document["materials"]))):
        broken.append("3.7.2.1 material")
    links = [(texture["source"], texture["sampler"]) for texture in document.get("textures", ())]
    if any(image >= len(document["images"]) or sampler >= len(document["samplers"]) for image, sampler in links):
        broken.append("3.8.1 texture")
    for sampler in document.get("samplers", ()):
        if sampler["magFilter"] not in (9728, 9729) or sampler["minFilter"] not in (9728, 9729, 9984, 9985, 9986, 9987):
            broken.append("5.26 filters")
        if {sampler["wrapS"], sampler["wrapT"]} - {33071, 33648, 10497}:
            broken.append("5.26 wrapping")
    return broken


def _views(document: dict[str, Any]) -> list[str]:
    total = document["buffers"][0]["byteLength"]
    ends = [(view["byteLength"], view.get("byteOffset", 0) + view["byteLength"]) for view in document["bufferViews"]]
    broken = ["3.6.1.2 view outside its buffer" for length, end in ends if length < 1 or end > total]
    for accessor in document["accessors"]:
        view, item = document["bufferViews"][accessor["bufferView"]], np.dtype(COMPONENTS[accessor["componentType"]]).itemsize
        if view.get("byteOffset", 0) % item:
            broken.append("3.6.2.4 alignment")
        if accessor["count"] < 1 or accessor["count"] * item * WIDTHS[accessor["type"]] > view["byteLength"]:
            broken.append("3.6.2.4 accessor outside its view")
    return broken


def _geometry(document: dict[str, Any], binary: bytes) -> list[str]:
    broken = []
    for primitive in (primitive for mesh in document["meshes"] for primitive in mesh["primitives"]):
        arrays = {name: _array(document, binary, index) for name, index in primitive["attributes"].items()}
        position = document["accessors"][primitive["attributes"]["POSITION"]]
        if position["min"] != arrays["POSITION"].min(axis=0).tolist() or position["max"] != arrays["POSITION"].max(axis=0).tolist():
            broken.append("3.6.2.5 bounds of POSITION")
        if len({len(array) for array in arrays.values()}) != 1:
            broken.append("3.7.2.1 attributes of unequal length")
        if not all(np.isfinite(array).all() for array in arrays.values()):
            broken.append("3.6.2.2 not finite")
        if np.abs(np.linalg.norm(arrays["NORMAL"], axis=1) - 1).max() > 1e-3:
            broken.append("3.7.2.1 NORMAL not of unit length")
        if arrays["TEXCOORD_0"].min() < 0 or arrays["TEXCOORD_0"].max() > 1:
            broken.append("TEXCOORD_0 outside its page")
        accessor = document["accessors"][primitive["indices"]]
        indices = _array(document, binary, primitive["indices"]).ravel()
        largest = {5121: 255, 5123: 65535, 5125: 2**32 - 1}[accessor["componentType"]]
        if indices.max() >= len(arrays["POSITION"]) or indices.max() == largest or len(indices) % 3:
            broken.append("3.7.2.1 indices")
        for name, target in [("indices", 34963), *((name, 34962) for name in arrays)]:
            index = primitive["indices"] if name == "indices" else primitive["attributes"][name]
            if document["bufferViews"][document["accessors"][index]["bufferView"]].get("target") != target:
                broken.append("3.6.1.2 target of a view")
    return broken


def _images(document: dict[str, Any], binary: bytes) -> list[str]:
    broken = []
    for image in document.get("images", ()):
        view = document["bufferViews"][image["bufferView"]]
        content = binary[view["byteOffset"] : view["byteOffset"] + view["byteLength"]]
        if not content.startswith(MAGIC.get(image["mimeType"], b"?")) or "target" in view:
            broken.append("3.8.2 image")
        elif cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR) is None:
            broken.append("3.8.2 image cannot be decoded")
    return broken


def _array(document: dict[str, Any], binary: bytes, index: int) -> np.ndarray:
    accessor = document["accessors"][index]
    view, width = document["bufferViews"][accessor["bufferView"]], WIDTHS[accessor["type"]]
    kind = np.dtype(COMPONENTS[accessor["componentType"]])
    return np.frombuffer(binary, kind, accessor["count"] * width, view.get("byteOffset", 0)).reshape(-1, width)
