"""Between degrees, a local east-north-up frame and projected coordinates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyproj
from numpy.typing import NDArray

_WGS84 = "EPSG:4979"


@dataclass(frozen=True)
class LocalFrame:
    """An east-north-up frame in metres about an origin on WGS84, and the projected CRS to hand coordinates out in.

    Heights keep the origin's datum: an origin above sea level gives heights above sea level, exact to the change of the geoid
    over the scene.
    """

    lat_deg: float
    lon_deg: float
    alt_m: float
    crs: str

    @classmethod
    def at(cls, lat_deg: float, lon_deg: float, alt_m: float = 0.0) -> LocalFrame:
        """The frame with its origin there, handing coordinates out in the UTM zone of that place."""
        return cls(lat_deg, lon_deg, alt_m, utm_crs(lat_deg, lon_deg))

    @classmethod
    def from_georef(cls, georef: Mapping[str, Any]) -> LocalFrame | None:
        """The frame that ``georef.json`` states; None where there is no origin or CRS."""
        origin, crs = georef.get("origin"), georef.get("crs")
        if not origin or not crs:
            return None
        return cls(origin["lat_deg"], origin["lon_deg"], origin["alt_m"], crs)

    @cached_property
    def _to_geodetic(self) -> pyproj.Transformer:
        return pyproj.Transformer.from_pipeline(
            "+proj=pipeline"
            f" +step +inv +proj=topocentric +ellps=WGS84 +lat_0={self.lat_deg!r} +lon_0={self.lon_deg!r} +h_0={self.alt_m!r}"
            " +step +inv +proj=cart +ellps=WGS84 +step +proj=unitconvert +xy_in=rad +xy_out=deg"
        )

    def from_geodetic(self, lat_lon_alt: NDArray[Any]) -> NDArray[np.float64]:
        """(N, 3) east, north, up in metres, of latitude and longitude in degrees and altitude in metres."""
        lat, lon, alt = np.asarray(lat_lon_alt, np.float64).T
        east, north, up = self._to_geodetic.transform(lon, lat, alt, direction="INVERSE")
        return np.stack([east, north, up], axis=1)

    def to_geodetic(self, xyz_in_world: NDArray[Any]) -> NDArray[np.float64]:
        """(N, 3) latitude and longitude in degrees, altitude in metres."""
        east, north, up = np.asarray(xyz_in_world, np.float64).T
        lon, lat, alt = self._to_geodetic.transform(east, north, up)
        return np.stack([lat, lon, alt], axis=1)

    def to_projected(self, xyz_in_world: NDArray[Any]) -> NDArray[np.float64]:
        """(N, 3) easting, northing and height in the projected CRS, metres."""
        lat, lon, alt = self.to_geodetic(xyz_in_world).T
        project = pyproj.Transformer.from_crs(_WGS84, self.crs, always_xy=True)
        east, north = project.transform(lon, lat)
        return np.stack([east, north, alt], axis=1)


def utm_crs(lat_deg: float, lon_deg: float) -> str:
    """EPSG name of the WGS84 UTM zone of a place, with the exceptions of Norway and Svalbard; UPS beyond 84 N and 80 S."""
    if lat_deg >= 84 or lat_deg < -80:
        return "EPSG:5041" if lat_deg > 0 else "EPSG:5042"
    zone = int((lon_deg + 180) // 6) % 60 + 1
    if 56 <= lat_deg < 64 and 3 <= lon_deg < 12:
        zone = 32
    if lat_deg >= 72 and 0 <= lon_deg < 42:
        zone = 31 + 2 * int((lon_deg + 3) // 12)
    return f"EPSG:{(32600 if lat_deg >= 0 else 32700) + zone}"
