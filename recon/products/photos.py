"""Small undistorted photos with their cameras, for whoever shows them over the model: ``photos.zip`` and ``photos.json``."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from recon.capture.pixels import read_rgb
from recon.capture.records import write_json
from recon.dense.view import View

ARCHIVE, INDEX = "photos.zip", "photos.json"
SIZE_PX = 640
MANY = 400
"""Beyond so many photos each is half as large, so that all of them stay some tens of megabytes."""
QUALITY = 78
THUMBNAIL_PX = 480
_HEADER_BYTES = 30
_DATE = (1980, 1, 1, 0, 0, 0)  # the same bytes from run to run


def write_photos(out: Path, views: Sequence[View], place: Mapping[str, Any]) -> None:
    """One JPEG a view, stored (not deflated), so that each can be fetched alone by its byte range; the index says where it lies.

    The index has a row a view: ``name``, ``file`` in the archive, ``offset`` and ``bytes`` of its JPEG, ``width``, ``height``,
    ``k`` (fx, fy, cx, cy in its pixels, first pixel's centre at 0.5, 0.5), ``cam_from_world`` (3x4).
    """
    size_px = SIZE_PX if len(views) <= MANY else SIZE_PX // 2
    rows: list[dict[str, Any]] = []
    with zipfile.ZipFile(out / ARCHIVE, "w", zipfile.ZIP_STORED) as archive:
        for number, view in enumerate(views):
            width, height, k = view.scaled(size_px)
            jpeg = _jpeg(read_rgb(view.path, size_px))
            member = zipfile.ZipInfo(f"{number:05d}.jpg", _DATE)
            archive.writestr(member, jpeg)
            rows.append(
                {
                    "name": view.name,
                    "file": member.filename,
                    "offset": member.header_offset + _HEADER_BYTES + len(member.filename),
                    "bytes": len(jpeg),
                    "width": width,
                    "height": height,
                    "k": [k[0, 0], k[1, 1], k[0, 2], k[1, 2]],
                    "cam_from_world": np.column_stack([view.R, view.t]).tolist(),
                }
            )
    write_json(out / INDEX, {"frame": place.get("frame"), "unit": place.get("unit"), "photos": rows})


def write_thumbnail(preview: Path, path: Path) -> None:
    """The preview picture, small, for lists of jobs."""
    with Image.open(preview) as picture:
        small = picture.convert("RGB")
        small.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX))
        small.save(path, quality=QUALITY)


def _jpeg(rgb: np.ndarray[Any, np.dtype[np.uint8]]) -> bytes:
    encoded = io.BytesIO()
    Image.fromarray(rgb).save(encoded, "JPEG", quality=QUALITY)
    return encoded.getvalue()
