"""The cameras of a run before any geometry: from the config, else from EXIF, else a guess."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import numpy as np
import pycolmap

from recon.capture.names import listed
from recon.capture.records import ImageRecord
from recon.config import Camera
from recon.errors import ConfigError

_AUTO_MODEL = "SIMPLE_RADIAL"
_GUESSED_FOCAL = 1.2
"""Focal length over the longer side where nothing is known, as in COLMAP: a field of view of 45 degrees."""


def cameras_of(records: Iterable[ImageRecord], options: Camera) -> dict[str, pycolmap.Camera]:
    """One camera a key, ``camera_id`` counted from 1 in order of appearance; ``has_prior_focal_length`` where it is known.

    ConfigError if the given parameters do not fit the model or the image size.
    """
    grouped: dict[str, list[ImageRecord]] = {}
    for record in records:
        grouped.setdefault(record.camera, []).append(record)
    return {key: _camera(number, group, options) for number, (key, group) in enumerate(grouped.items(), start=1)}


def is_fixed(options: Camera, records: Iterable[ImageRecord] = ()) -> bool:
    """Whether bundle adjustment must leave the intrinsics as they are: those that were given, or that devices state for all images."""
    stated = [record.lens is not None or record.projection == "equirectangular" for record in records]
    given = bool(options.params) or (options.model == "auto" and bool(stated) and all(stated))
    return options.refine is False or (options.refine is None and given)


def shared_params(cameras: Collection[str], options: Camera) -> list[str]:
    """A warning where parameters that were given hold for several cameras at once."""
    if not options.params or len(cameras) < 2:
        return []
    return [
        f"camera.params are used for all {len(cameras)} cameras of the capture ({listed(list(cameras), 3)}): "
        "if they differ in lens, zoom or size, reconstruct them apart"
    ]


def _camera(number: int, records: list[ImageRecord], options: Camera) -> pycolmap.Camera:
    width, height = records[0].width, records[0].height
    if records[0].projection == "equirectangular":  # whatever model is asked for others
        sphere = pycolmap.Camera(camera_id=number, model="EQUIRECTANGULAR", width=width, height=height, params=[width, height])
        sphere.has_prior_focal_length = True
        return sphere
    if (lens := records[0].lens) and options.model == "auto":
        stated = pycolmap.Camera(camera_id=number, model=lens.model, width=width, height=height, params=list(lens.params))
        stated.has_prior_focal_length = True
        return stated
    model = _AUTO_MODEL if options.model == "auto" else options.model
    known = [record.focal_px for record in records if record.focal_px]
    focal = float(np.median(known)) if known else _GUESSED_FOCAL * max(width, height)
    camera = pycolmap.Camera.create_from_model_name(number, model, focal, width, height)
    camera.has_prior_focal_length = bool(known or options.params)
    middles = [record.principal_px for record in records if record.principal_px]
    if middles:
        camera.principal_point_x, camera.principal_point_y = np.median(middles, axis=0).tolist()
    if options.params:
        if options.model == "auto":
            raise ConfigError("camera.params are given without camera.model", "Set camera.model, for example to PINHOLE")
        if len(options.params) != len(camera.params):
            raise ConfigError(
                f"camera.params has {len(options.params)} numbers, {model} takes {len(camera.params)}", f"In order: {camera.params_info}"
            )
        camera.params = list(options.params)
        if not (0 < camera.principal_point_x < width and 0 < camera.principal_point_y < height) or camera.has_bogus_params(0.1, 10.0, 10.0):
            raise ConfigError(
                f"camera.params {list(options.params)} do not fit an image of {width}x{height}",
                f"In order: {camera.params_info}, in pixels of the original image",
            )
    return camera
