"""Which images see the same things, from where a device's own tracking has their cameras: points of one's view that lie in another's.

How far away things are is not known, so the points lie at several distances that rooms and hand-held walks have. Tracking drifts by a
per cent or two of the way: only the order of neighbours hangs on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from recon.capture.device import rigid
from recon.capture.records import ImageRecord

Floats = NDArray[np.float64]
_DEPTHS_M = (1.0, 2.0, 4.0)
_AHEAD_M = 2.0
"""Images are neighbours by the places so far ahead of them; what they see is compared of these alone."""
_ACROSS = (1 / 6, 1 / 2, 5 / 6)
"""Where points lie in an image, shares of its width and height."""
_LEAST = 0.1
"""Views that share less are no neighbours."""
_GUESSED_FOCAL = 1.2
"""Over the longer side, as where no focal length is known."""
_BLOCK = 256
"""Images that are compared at once: 256 with 80 others take some 50 MB."""


@dataclass(frozen=True)
class Frustums:
    """What N images see, in one device's frame, metres."""

    centers: Floats
    """(N, 3)"""
    rotations: Floats
    """(N, 3, 3) cam_from_device."""
    tangents: Floats
    """(N, 2) of half the angles of view, across and down."""

    @classmethod
    def of(cls, records: Sequence[ImageRecord]) -> Frustums:
        """Of images that all have a pose."""
        poses = [rigid(record.pose) for record in records if record.pose is not None]
        size = np.array([(record.width, record.height) for record in records], np.float64)
        focal = np.array([record.focal_px or _GUESSED_FOCAL * max(record.width, record.height) for record in records])
        centers = np.array([pose.inverse().translation for pose in poses])
        return cls(centers, np.array([pose.rotation.matrix() for pose in poses]), size / 2 / focal[:, None])

    def ahead(self) -> Floats:
        """(N, 3) places in the middle of the views."""
        return self.centers + _AHEAD_M * self.rotations[:, 2]

    def overlap(self, i: NDArray[np.int64], j: NDArray[np.int64]) -> Floats:
        """Share of what i sees that j sees too, 0..1, less where they see it from different sides. Index arrays of one shape (M,)."""
        across, down = np.meshgrid(2 * np.array(_ACROSS) - 1, 2 * np.array(_ACROSS) - 1)
        rays = np.stack([across.ravel(), down.ravel()], -1) * self.tangents[i][:, None]
        rays = np.concatenate([rays, np.ones((*rays.shape[:2], 1))], -1)  # (M, P, 3)
        in_cam = (np.array(_DEPTHS_M)[:, None, None] * rays[:, None]).reshape(len(i), -1, 3)
        from_i = np.einsum("mpk,mkl->mpl", in_cam, self.rotations[i])
        from_j = from_i + (self.centers[i] - self.centers[j])[:, None]
        seen = np.einsum("mpl,mkl->mpk", from_j, self.rotations[j])
        with np.errstate(divide="ignore", invalid="ignore"):
            inside = (seen[..., 2] > 0) & (np.abs(seen[..., :2] / seen[..., 2:]) < self.tangents[j][:, None]).all(-1)
        cosine = (from_i * from_j).sum(-1) / np.maximum(np.linalg.norm(from_i, axis=-1) * np.linalg.norm(from_j, axis=-1), 1e-12)
        return np.asarray((inside * np.clip(cosine, 0, 1)).mean(-1))


def nearest(records: Sequence[ImageRecord], near: int, far: int, apart: int) -> list[list[int]]:
    """Others that see what each of the records sees; all have a pose, those of several sessions share nothing.

    First the ``near`` of greatest overlap, then the ``far`` of greatest overlap among those that lie more than ``apart`` places away in
    the order of the records: a slow walk's nearest neighbours are all the same moment, and what ties it together are places seen again.
    """
    found: list[list[int]] = [[] for _ in records]
    sessions: dict[str, list[int]] = {}
    for k, record in enumerate(records):
        if record.pose is not None:
            sessions.setdefault(record.pose.session, []).append(k)
    for inside in sessions.values():
        for row, others in enumerate(_nearest(Frustums.of([records[k] for k in inside]), near, far, apart)):
            found[inside[row]] = [inside[other] for other in others]
    return found


def _nearest(views: Frustums, near: int, far: int, apart: int) -> list[list[int]]:
    count = len(views.centers)
    if count < 2:
        return [[]] * count
    ahead = views.ahead()
    tree = cKDTree(ahead)
    asked = min(count, 4 * (near + far) + 2 * min(apart, near + far) + 2)  # by place, a few times as many as are wanted
    found: list[list[int]] = []
    for start in range(0, count, _BLOCK):
        own = np.arange(start, min(start + _BLOCK, count))
        _, others = tree.query(ahead[own], k=asked)
        others = np.asarray(others, np.int64).reshape(len(own), asked)
        pairs = np.repeat(own, asked), others.ravel()
        overlap = ((views.overlap(*pairs) + views.overlap(*pairs[::-1])) / 2).reshape(others.shape)
        order = np.lexsort((others, -overlap), axis=1)
        for k, ranked, shares in zip(
            own.tolist(), np.take_along_axis(others, order, 1), np.take_along_axis(overlap, order, 1), strict=True
        ):
            kept = [int(other) for other, share in zip(ranked, shares, strict=True) if other != k and share >= _LEAST]
            again = [other for other in kept[near:] if abs(other - k) > apart]
            found.append(kept[:near] + again[:far])
    return found
