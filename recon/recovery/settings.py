"""Rung 4: other settings of the mapper, looser ones first, then stricter, global and incremental."""

from __future__ import annotations

from collections.abc import Iterator

from recon.recovery.material import Material
from recon.recovery.standing import Standing, connected
from recon.recovery.tried import Settings, Tried
from recon.sfm.refine import Limits

LOOSER = Limits(init_angle_deg=4.0, init_inliers=50, pose_inliers=15, pose_inlier_share=0.12)
STRICTER = Limits(init_angle_deg=12.0, init_inliers=100, pose_inliers=40, pose_inlier_share=0.35)
_STRICT_INLIERS = 30
"""Matches of a pair from which on it is hardly a chance one."""


def other_settings(material: Material, now: Standing) -> Iterator[Tried]:
    """Map the same matches again: one image at a time and asking less of each, then leaving out pairs that may be wrong."""
    if not material.pairs:
        yield Tried("there is no pair of images to start from")
        return
    if now.registered and now.is_whole:
        yield Tried("all images are in one model: no setting of the mapper adds points to a thin link")
        return
    if now.thin is None and now.registered and not _can_grow(material, now):
        yield Tried("the models share no matches, so that no setting of the mapper can connect them")
        return
    looser = f"from {LOOSER.pose_inliers} common points on, and {LOOSER.init_angle_deg:g} degrees between the first two"
    yield Tried(f"placed the images one by one, asking less of each ({looser})", material, Settings("incremental", LOOSER))
    sure = sum(len(pair.matches) >= _STRICT_INLIERS for pair in material.pairs.values())
    if sure in (0, len(material.pairs)):
        yield Tried("placed the images one by one, asking more of each", material, Settings("incremental", STRICTER))
        return
    left = f"without the {len(material.pairs) - sure} pairs of fewer than {_STRICT_INLIERS} matches"
    yield Tried(f"placed all images at once, {left}", material, Settings("auto", LOOSER, _STRICT_INLIERS))
    yield Tried(f"placed the images one by one, {left}, asking more of each", material, Settings("incremental", STRICTER, _STRICT_INLIERS))


def _can_grow(material: Material, now: Standing) -> bool:
    """Whether matches lead from any model to images that it lacks."""
    groups = connected(material)
    inside = [next((group for group in groups if group & part), frozenset[str]()) for part in now.parts]
    return any(group - part for group, part in zip(inside, now.parts, strict=True))
