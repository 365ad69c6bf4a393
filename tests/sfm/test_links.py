"""Thin links: what holds two halves of a model together."""

from __future__ import annotations

import numpy as np
import pycolmap

from recon.sfm.links import thinnest_link

CAMERA = pycolmap.Camera(camera_id=1, model="PINHOLE", width=640, height=480, params=[500, 500, 320, 240])


def model(tracks: list[tuple[int, ...]], images: int) -> pycolmap.Reconstruction:
    """Images 0, 1, ... and a point a track."""
    seen: list[list[int]] = [[] for _ in range(images)]
    found = pycolmap.Reconstruction()
    found.add_camera_with_trivial_rig(CAMERA)
    elements = []
    for track in tracks:
        elements.append([(image + 1, len(seen[image])) for image in track])
        for image in track:
            seen[image].append(0)
    for number, points in enumerate(seen):
        image = pycolmap.Image(name=f"{number:02d}", camera_id=1, image_id=number + 1, keypoints=np.full((len(points), 2), 100.0))
        found.add_image_with_trivial_frame(image, pycolmap.Rigid3d())
    for rows in elements:
        track = pycolmap.Track()
        for image_id, index in rows:
            track.add_element(image_id, index)
        found.add_point3D(np.zeros(3), track, np.zeros(3, np.uint8))
    return found


def two_groups(bridge: int) -> list[tuple[int, ...]]:
    """Images 0..4 share 100 points, 5..8 share 100, and one pair across shares ``bridge``."""
    return [(0, 1, 2, 3, 4)] * 100 + [(5, 6, 7, 8)] * 100 + [(4, 5)] * bridge


def test_the_smaller_side_and_the_points_across_are_found() -> None:
    link = thinnest_link(model(two_groups(12), 9), 40)
    assert link is not None
    assert (link.points, link.images) == (12, ("05", "06", "07", "08"))


def test_enough_points_are_no_thin_link() -> None:
    assert thinnest_link(model(two_groups(40), 9), 40) is None
    assert thinnest_link(model(two_groups(39), 9), 40) is not None


def test_points_over_several_pairs_add_up() -> None:
    tracks = two_groups(20) + [(3, 6)] * 25
    assert thinnest_link(model(tracks, 9), 40) is None


def test_groups_that_share_nothing_are_told_too() -> None:
    link = thinnest_link(model(two_groups(0), 9), 40)
    assert link is not None
    assert link.points == 0


def test_an_image_or_two_at_the_rim_are_no_half() -> None:
    tracks = [tuple(range(6))] * 100 + [(5, 6)] * 10 + [(6, 7)] * 100
    assert thinnest_link(model(tracks, 8), 40) is None
    assert thinnest_link(model([(0, 1)] * 5, 2), 40) is None
