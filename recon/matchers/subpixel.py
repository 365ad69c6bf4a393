"""Keypoints of a track moved onto the same surface point to a fraction of a pixel, by comparing the images around them.

A network finds keypoints a third of a pixel less exactly than SIFT. In each track the strongest keypoint stays; the patch around every
other one is warped onto the patch around that one and shifted until both agree best: the inverse compositional form of Lucas and Kanade's
alignment (Baker and Matthews, IJCV 2004), with brightness and contrast free. The warp is the affine map that the neighbouring matches
of the two images share. What does not agree well in the end, or would move far, stays where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from recon.capture.pixels import read_grey
from recon.capture.records import ImageSet
from recon.features.store import Features
from recon.matchers.store import PairMatches

_RADIUS = 7
"""Of a patch, in pixels of the image that is compared."""
_NEIGHBOURS = 8
"""Matches around a keypoint that its affine map is fitted to."""
_SIGMA_PX = 0.7
"""Of a little blur, which evens out how sharp the two images are."""
_PASSES = 2
_ITERATIONS = 12
_MOST_ROWS = 30_000
"""cv2.remap takes no more than 32,767."""
_STILL_PX = 0.01
_FURTHEST_PX = 3.0
_LEAST_AGREEMENT = 0.75
"""Correlation of the patches, below which a keypoint stays where it was."""

SIZE_PX = 1600
"""Longer side at which images are best compared: of 1024, 1600, 2048 and 3072 the error fell most at this one, or nearly."""
_IMAGES_KEPT = 64

Grey = Callable[[str], NDArray[np.uint8]]
"""The image of a name, (H, W), as large as keypoints are to be compared at."""
Node = tuple[str, int]
"""An image and the number of a keypoint in it."""


def aligned(
    features: Mapping[str, Features], pairs: Sequence[PairMatches], sizes: Mapping[str, tuple[int, int]], grey: Grey
) -> dict[str, Features]:
    """The features of all images that have matches, with their keypoints moved; ``sizes`` are the originals' (width, height)."""
    moved = {name: features[name].keypoints.copy() for pair in pairs for name in (pair.name1, pair.name2)}
    work: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for anchor, others in anchored(tracks(pairs)):
        for name, number in others:
            work.setdefault((anchor[0], name), []).append((anchor[1], number))
    image = lru_cache(_IMAGES_KEPT)(grey)
    for (name1, name2), numbers in sorted(work.items()):
        one, two = (cv2.GaussianBlur(image(name), (0, 0), _SIGMA_PX).astype(np.float32) for name in (name1, name2))
        scale1, scale2 = one.shape[1] / sizes[name1][0], two.shape[1] / sizes[name2][0]
        at = np.array(numbers)
        xy1 = features[name1].keypoints[at[:, 0], :2].astype(np.float64) * scale1 - 0.5
        xy2 = features[name2].keypoints[at[:, 1], :2].astype(np.float64) * scale2 - 0.5
        found = xy2
        for _ in range(_PASSES):  # the maps are as exact as the matches
            found, _ = align(one, two, xy1, xy2, affine_maps(xy1, found))
        moved[name2][at[:, 1], :2] = ((found + 0.5) / scale2).astype(np.float32)
    return {name: Features(table, features[name].descriptors, features[name].rgb) for name, table in moved.items()}


def aligned_in(images: ImageSet, features: Mapping[str, Features], pairs: Sequence[PairMatches]) -> dict[str, Features]:
    """As ``aligned``, with the images read as they are asked for."""
    records = {record.name: record for record in images.records}
    sizes = {name: (record.width, record.height) for name, record in records.items()}
    return aligned(features, pairs, sizes, lambda name: read_grey(images.path(records[name]), SIZE_PX))


def tracks(pairs: Sequence[PairMatches]) -> list[list[Node]]:
    """Keypoints that matches join, each track sorted; those with two keypoints in one image are left out."""
    parent: dict[Node, Node] = {}

    def root(node: Node) -> Node:
        parent.setdefault(node, node)
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    for pair in pairs:
        for a, b in pair.matches.tolist():
            one, two = root((pair.name1, a)), root((pair.name2, b))
            if one != two:
                parent[max(one, two)] = min(one, two)
    members: dict[Node, list[Node]] = {}
    for node in sorted(parent):
        members.setdefault(root(node), []).append(node)
    return [track for track in members.values() if len({name for name, _ in track}) == len(track) > 1]


def anchored(found: Sequence[list[Node]]) -> list[tuple[Node, list[Node]]]:
    """Each track's keypoint that stays, the one that its network ranked highest, and the others."""
    rows = []
    for track in found:
        anchor = min(track, key=lambda node: (node[1], node[0]))
        rows.append((anchor, [node for node in track if node != anchor]))
    return rows


def affine_maps(xy1: NDArray[np.float64], xy2: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, 2, 2) matrices that map steps in the first image to steps in the second, from each match's neighbours."""
    count = min(_NEIGHBOURS + 1, len(xy1))
    if count < 4:
        return np.tile(np.eye(2), (len(xy1), 1, 1))
    _, near = cKDTree(xy1).query(xy1, count)
    steps1, steps2 = xy1[near] - xy1[:, None], xy2[near] - xy2[:, None]
    weights = np.ones(steps1.shape[:2])
    A = np.tile(np.eye(2), (len(xy1), 1, 1))
    for _ in range(5):  # reweighted: a neighbour may lie on another surface
        normal = np.einsum("nk,nki,nkj->nij", weights, steps1, steps1) + 1e-3 * np.eye(2)
        A = np.einsum("nk,nki,nkj->nij", weights, steps2, steps1) @ np.linalg.inv(normal)
        left = np.linalg.norm(steps2 - np.einsum("nij,nkj->nki", A, steps1), axis=2)
        weights = 1 / (1 + (left / 3.0) ** 2)
    stretch = np.linalg.svd(A, compute_uv=False)
    sane = (stretch[:, 0] < 3) & (stretch[:, 1] > 1 / 3) & (np.linalg.det(A) > 0)
    A[~sane] = np.eye(2)
    return np.asarray(A, np.float64)


def align(
    one: NDArray[np.float32], two: NDArray[np.float32], xy1: NDArray[np.float64], xy2: NDArray[np.float64], A: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """(N, 2) places in the second image that show best what is at xy1 in the first, and which of them were moved.

    Pixels with their centres at whole numbers; ``A`` (N, 2, 2) maps steps in the first image to steps in the second.
    """
    side = np.arange(-_RADIUS, _RADIUS + 1, dtype=np.float64)
    grid = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    bell = np.exp(-(grid**2).sum(axis=1) / (2 * (0.6 * _RADIUS) ** 2))
    plain = _sampled(one, xy1[:, None] + grid)
    template = _normalised(plain, bell)
    half = np.eye(2) / 2
    ahead, behind = ([_sampled(one, xy1[:, None] + grid + sign * step) for step in half] for sign in (1, -1))
    gradient = np.stack(
        [_normalised(a, bell, like=plain) - _normalised(b, bell, like=plain) for a, b in zip(ahead, behind, strict=True)], axis=-1
    )
    normal = np.einsum("p,npi,npj->nij", bell, gradient, gradient)
    firm = np.linalg.eigvalsh(normal)[:, 0] > 1e-3 * bell.sum()
    solve = np.linalg.inv(normal + 1e-6 * np.eye(2))
    offsets = np.einsum("nij,pj->npi", A, grid)
    at, going = xy2.copy(), firm.copy()
    for _ in range(_ITERATIONS):
        if not going.any():
            break
        rows = np.flatnonzero(going)
        patch = _normalised(_sampled(two, at[rows, None] + offsets[rows]), bell)
        step1 = np.einsum("nij,p,npj,np->ni", solve[rows], bell, gradient[rows], template[rows] - patch)
        step2 = np.einsum("nij,nj->ni", A[rows], step1)
        at[rows] += np.clip(step2, -1, 1)
        going[rows] = (np.linalg.norm(step2, axis=1) > _STILL_PX) & (np.linalg.norm(at[rows] - xy2[rows], axis=1) < 2 * _FURTHEST_PX)
    agreement = np.einsum("p,np,np->n", bell, template, _normalised(_sampled(two, at[:, None] + offsets), bell)) / bell.sum()
    good = firm & (agreement > _LEAST_AGREEMENT) & (np.linalg.norm(at - xy2, axis=1) < _FURTHEST_PX)
    return np.where(good[:, None], at, xy2), good


def _sampled(image: NDArray[np.float32], xy: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, P) grey values at (N, P, 2), bilinear; beyond the border the last ones."""
    at = xy.astype(np.float32)
    found = np.empty(at.shape[:2], np.float64)
    for start in range(0, len(at), _MOST_ROWS):
        block = np.ascontiguousarray(at[start : start + _MOST_ROWS])
        found[start : start + _MOST_ROWS] = cv2.remap(image, block, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return found


def _normalised(patches: NDArray[np.float64], bell: NDArray[np.float64], like: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
    """Patches of mean 0 and variance 1 under the weights; ``like``: with the mean and variance of those."""
    of = patches if like is None else like
    mean = (of @ bell / bell.sum())[:, None]
    spread = np.sqrt(((of - mean) ** 2) @ bell / bell.sum())[:, None]
    return np.asarray((patches - mean) / np.maximum(spread, 1e-3), np.float64)
