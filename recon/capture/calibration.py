"""What a device's own files say of its camera and of the unit of its depth images, in the forms that common programs write."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recon.errors import InputError

_UNIT_KEYS = ("depth_unit_m", "depth_unit_scale_factor", "integer_depth_scale")
"""Metres a unit: of recon's simulator, nerfstudio, NeRFCapture."""
_PER_METRE_KEYS = ("depth_scale",)
"""Units a metre: Open3D, Redwood."""
_UNITS_M = (1e-6, 1.0)
_MAX_BYTES, _MAX_TEXT = 64 << 20, 1 << 16
_TEXT = (".csv", ".txt")


@dataclass(frozen=True)
class Calibration:
    """What is stated; None where nothing is."""

    unit_m: float | None = None
    """Metres a unit of an integer depth image."""
    focal_share: float | None = None
    """Focal length over the width of the image it holds for."""
    focal_px: float | None = None
    """... or in pixels of the photos, where no width is stated."""

    def otherwise(self, other: Calibration) -> Calibration:
        """With what the other states where this one states nothing."""
        named = self if self.focal_share or self.focal_px else other
        return Calibration(self.unit_m or other.unit_m, named.focal_share, named.focal_px)

    def focal_of(self, width: int) -> float | None:
        """Focal length in pixels of a photo of that width, as it came from the sensor."""
        return self.focal_share * width if self.focal_share else self.focal_px


def read_calibration(path: Path) -> Calibration:
    """What one file states. Raises InputError where it is broken."""
    values = _matrix(path) if path.suffix.lower() in _TEXT else _object(path)
    focal, width = _focal(values)
    return Calibration(_unit(values), focal / width if focal and width else None, focal if not width else None)


def _object(path: Path) -> Mapping[str, Any]:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise InputError(f"{path.stat().st_size >> 20} MB of JSON are more than the limit of {_MAX_BYTES >> 20} MB")
        found = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise InputError(f"no JSON: {error}") from None
    except OSError as error:
        raise InputError(f"can't be read: {error.strerror}") from None
    return found if isinstance(found, dict) else {}


def _matrix(path: Path) -> Mapping[str, Any]:
    """A 3 x 3 matrix of numbers, separated by commas or blanks."""
    try:
        with path.open(encoding="utf-8", errors="replace") as stream:
            lines = stream.read(_MAX_TEXT).splitlines()
        rows = [[float(value) for value in line.replace(",", " ").split()] for line in lines]
    except ValueError as error:
        raise InputError(f"no matrix: {error}") from None
    except OSError as error:
        raise InputError(f"can't be read: {error.strerror}") from None
    return {"K": [row for row in rows if row]}


def _unit(values: Mapping[str, Any]) -> float | None:
    for key in (*_UNIT_KEYS, *_PER_METRE_KEYS):
        value = _number(values.get(key))
        if value is not None:
            value = 1 / value if key in _PER_METRE_KEYS else value
            if not _UNITS_M[0] <= value <= _UNITS_M[1]:
                raise InputError(f"{key} is {values[key]}: a unit of {value:g} m is none of a depth image")
            return value
    return None


def _focal(values: Mapping[str, Any]) -> tuple[float | None, float | None]:
    """Focal length and the image's width, in pixels."""
    camera = values.get("camera")
    if isinstance(camera, dict):  # of recon's simulator: a COLMAP camera, whose first parameter is the focal length along x
        values = {**values, **camera}
        params = camera.get("params")
        focal = _number(params[0]) if isinstance(params, list) and params else None
    else:
        focal = next((value for key in ("fl_x", "fx") if (value := _number(values.get(key)))), None)
    focal = focal or _of_matrix(values.get("intrinsic_matrix") or values.get("K"))
    width = next((value for key in ("width", "w") if (value := _number(values.get(key)))), None)
    return focal, width


def _of_matrix(matrix: Any) -> float | None:
    """The first entry: of nine in a row, or three times three."""
    if not isinstance(matrix, list) or not matrix:
        return None
    return _number(matrix[0][0] if isinstance(matrix[0], list) and matrix[0] else matrix[0])


def _number(value: Any) -> float | None:
    """A positive finite number."""
    good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value > 0
    return float(value) if good else None
