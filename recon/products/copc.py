"""Clouds as COPC (https://copc.io): a LAZ 1.4 file whose chunks are the nodes of an octree, so that a viewer fetches what it shows.

Each node holds a sample of its cube no denser than a grid of 128 cells a side, the points left over go to its children.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import laspy
import lazrs
import numpy as np
from laspy.vlrs.known import LasZipVlr
from numpy.typing import NDArray

_BITS = 21
"""Of a coordinate in a Morton code: three of them fill 63 bits."""
_GRID_BITS = 7
_MAX_LEVEL = _BITS - _GRID_BITS
_WHOLE = 25_000
"""A node with no more points than that keeps them all: a chunk of a few hundred kilobytes."""
_BATCH_POINTS = 1_000_000
_INFO_BYTES, _HEADER_BYTES, _VLR_BYTES, _EVLR_BYTES = 160, 375, 54, 60

Fill = Callable[[laspy.ScaleAwarePointRecord, NDArray[np.int64]], None]
"""Sets all fields of a record but the coordinates, of the points with these indices."""


@dataclass(frozen=True)
class Octree:
    """Where each point of a cloud lies: nodes in order of level and Morton code, their points after each other."""

    center: NDArray[np.float64]
    half_size: float
    keys: NDArray[np.int32]
    """(M, 4): level, x, y, z of each node"""
    counts: NDArray[np.int64]
    """(M,) points of each node"""
    order: NDArray[np.int64]
    """(N,) indices of the points, node by node"""

    @property
    def spacing(self) -> float:
        """Between points of the root."""
        return self.half_size / float(2 ** (_GRID_BITS - 1))


def octree_of(xyz: NDArray[np.float64]) -> Octree:
    """The octree of a cloud (N, 3). Of the points in a cell one is taken by a hash of its index, so equal clouds give equal trees."""
    low, high = (xyz.min(axis=0), xyz.max(axis=0)) if len(xyz) else (np.zeros(3), np.zeros(3))
    half_size = max(float((high - low).max()) / 2, 1e-6) * (1 + 1e-9)
    center = low + half_size  # the cube begins where the cloud does: some readers take that for granted
    code = _morton(xyz, center - half_size, 2 * half_size)
    order = np.argsort(code, kind="stable")
    code = code[order]
    left = np.arange(len(code))
    keys, counts, taken_of_levels = [], [], []
    for level in range(_MAX_LEVEL + 1):
        if not len(left):
            break
        taken = _taken(code[left], level)
        node = code[left[taken]] >> 3 * (_BITS - level)
        first = _starts(node)
        keys.append(np.column_stack([np.full(len(first), level), *_unmorton(node[first])]))
        counts.append(np.diff(np.append(first, len(node))))
        taken_of_levels.append(order[left[taken]])
        left = left[~taken]
    if not keys:
        return Octree(center, half_size, np.zeros((1, 4), np.int32), np.zeros(1, np.int64), np.zeros(0, np.int64))
    return Octree(center, half_size, np.concatenate(keys).astype(np.int32), np.concatenate(counts), np.concatenate(taken_of_levels))


def write_copc(path: Path, header: laspy.LasHeader, xyz: NDArray[np.float64], fill: Fill) -> None:
    """Write a cloud (N, 3). The header's version, point format, scales, offsets, CRS and extra dimensions are the caller's."""
    tree = octree_of(xyz)
    vlr = lazrs.LazVlr.new_for_compression(header.point_format.id, header.point_format.num_extra_bytes, use_variable_size_chunks=True)
    header.vlrs.insert(0, laspy.VLR("copc", 1, "COPC info VLR", b"\0" * _INFO_BYTES))  # filled in at the end
    header.vlrs.append(LasZipVlr(vlr.record_data()))
    header.are_points_compressed = True
    header.point_count = len(xyz)
    header.number_of_points_by_return[0] = len(xyz)
    steps = np.round((xyz - header.offsets) / header.scales) if len(xyz) else np.zeros((1, 3))
    header.mins, header.maxs = (end * header.scales + header.offsets for end in (steps.min(axis=0), steps.max(axis=0)))
    header.number_of_evlrs = 1
    header.global_encoding.wkt = True  # LAS 1.4 wants it of these point formats, CRS or not
    for extra in header.vlrs.get("ExtraBytesVlr"):
        for field in extra.extra_bytes_structs:
            field.options = 0  # laspy promises the least and the largest value, and leaves them at the ends of 64 bits
    with path.open("w+b") as stream:
        header.write_to(stream)
        start = stream.tell()
        _write_chunks(stream, vlr, header, tree, xyz, fill)
        stream.seek(start)
        sizes = [size for _, size in lazrs.read_chunk_table(stream, vlr)]
        page = _hierarchy(tree, sizes, start + 8)  # the first eight bytes say where the chunk table is
        header.start_of_first_evlr = stream.seek(0, 2)
        stream.write(struct.pack("<H16sHQ32s", 0, b"copc", 1000, len(page), b"EPT hierarchy") + page)
        stream.seek(0)
        header.write_to(stream, ensure_same_size=True)
        stream.seek(_HEADER_BYTES + _VLR_BYTES)
        at = header.start_of_first_evlr + _EVLR_BYTES
        stream.write(struct.pack("<5d2Q2d", *tree.center, tree.half_size, tree.spacing, at, len(page), 0.0, 0.0))


def _write_chunks(stream: object, vlr: lazrs.LazVlr, header: laspy.LasHeader, tree: Octree, xyz: NDArray[np.float64], fill: Fill) -> None:
    """Each node as one chunk; several are packed at once, each apart, so that threads change no byte."""
    packer = lazrs.ParLasZipCompressor(stream, vlr)
    packer.reserve_offset_to_chunk_table()
    ends = np.cumsum(tree.counts)
    node = 0
    while len(xyz) and node < len(ends):
        first = int(ends[node] - tree.counts[node])
        last = max(node + 1, int(np.searchsorted(ends, first + _BATCH_POINTS, side="right")))
        rows = tree.order[first : ends[last - 1]]
        record = laspy.ScaleAwarePointRecord.zeros(len(rows), header=header)
        record.x, record.y, record.z = xyz[rows].T
        fill(record, rows)
        parts = np.split(record.array, ends[node : last - 1] - first)
        packer.compress_chunks([np.frombuffer(part.tobytes(), np.uint8) for part in parts])
        node = last
    packer.done()


def _hierarchy(tree: Octree, sizes: list[int], start: int) -> bytes:
    """The one page: a row a node with its key, where its chunk lies, its bytes and its points."""
    rows = np.zeros(len(tree.keys), np.dtype([("key", "<i4", 4), ("offset", "<u8"), ("bytes", "<i4"), ("points", "<i4")]))
    rows["key"], rows["points"] = tree.keys, tree.counts
    if sizes:
        rows["offset"] = start + np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.uint64)
        rows["bytes"] = sizes
    return rows.tobytes()


def _taken(code: NDArray[np.int64], level: int) -> NDArray[np.bool_]:
    """Which of the points that are left, sorted by code, the nodes of a level keep."""
    node_first = _starts(code >> 3 * (_BITS - level))
    sizes = np.diff(np.append(node_first, len(code)))
    whole = sizes <= _WHOLE if level < _MAX_LEVEL else np.ones(len(sizes), bool)
    taken = np.repeat(whole, sizes)
    if not whole.all():
        places = np.arange(len(code))
        drawn = (places * 2654435761 & 0x7FFFFFFF) << 32 | places  # Knuth's multiplicative hash, then the place itself
        cell_first = _starts(code >> 3 * (_BITS - _GRID_BITS - level))
        taken[np.minimum.reduceat(drawn, cell_first) & 0xFFFFFFFF] = True
    return taken


def _starts(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where runs of equal values begin."""
    return np.concatenate([[0], np.flatnonzero(values[1:] != values[:-1]) + 1]) if len(values) else np.zeros(0, np.int64)


def _morton(xyz: NDArray[np.float64], low: NDArray[np.float64], size: float) -> NDArray[np.int64]:
    code = np.zeros(len(xyz), np.int64)
    for axis in range(3):
        cell = np.clip((xyz[:, axis] - low[axis]) * (2**_BITS / size), 0, 2**_BITS - 1).astype(np.int64)
        for shift, mask in _SPREAD:
            cell = (cell | cell << shift) & mask
        code |= cell << axis
    return code


def _unmorton(code: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    axes = []
    for axis in range(3):
        cell = code >> axis & _SPREAD[-1][1]
        for (shift, _), mask in zip(reversed(_SPREAD), [mask for _, mask in reversed(_SPREAD[:-1])] + [2**_BITS - 1], strict=True):
            cell = (cell | cell >> shift) & mask
        axes.append(cell)
    return axes


_SPREAD = (
    (32, 0x1F00000000FFFF),
    (16, 0x1F0000FF0000FF),
    (8, 0x100F00F00F00F00F),
    (4, 0x10C30C30C30C30C3),
    (2, 0x1249249249249249),
)
"""Shifts and masks that put two zero bits between the bits of a 21-bit number."""
