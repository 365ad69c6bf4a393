"""A 360 camera on a stick: an equirectangular picture, its operator below, and the metadata that say what it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pycolmap
from numpy.typing import NDArray

from recon.errors import ConfigError

PANORAMA_FPS = 5
"""A walk of a few frames a second: a 360 camera misses nothing between them."""
EYE_M = 1.7
OPERATOR_DEG = 24.0
"""From straight down: so much of the picture the operator's head and shoulders fill, whichever way the camera goes."""
SPHERICAL_UUID = bytes.fromhex("ffcc8263f8554a938814587a02521fdd")
_GPANO = """<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:GPano="http://ns.google.com/photos/1.0/panorama/"
 GPano:ProjectionType="equirectangular" GPano:UsePanoramaViewer="True"
 GPano:FullPanoWidthPixels="{width}" GPano:FullPanoHeightPixels="{height}"
 GPano:CroppedAreaImageWidthPixels="{width}" GPano:CroppedAreaImageHeightPixels="{height}"
 GPano:CroppedAreaLeftPixels="0" GPano:CroppedAreaTopPixels="0"/>
</rdf:RDF></x:xmpmeta>"""
_GSPHERICAL = """<?xml version="1.0"?><rdf:SphericalVideo xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"
 xmlns:GSpherical="http://ns.google.com/videos/1.0/spherical/"><GSpherical:Spherical>true</GSpherical:Spherical>
<GSpherical:Stitched>true</GSpherical:Stitched><GSpherical:StitchingSoftware>recon</GSpherical:StitchingSoftware>
<GSpherical:ProjectionType>equirectangular</GSpherical:ProjectionType></rdf:SphericalVideo>"""


def panorama_camera(size: tuple[int, int]) -> pycolmap.Camera:
    """Raises ConfigError for a size that is not twice as wide as high."""
    width, height = size
    if width != 2 * height:
        raise ConfigError(f"{width} x {height} is no size of a whole panorama", "choose a width of twice the height")
    return pycolmap.Camera(camera_id=1, model="EQUIRECTANGULAR", width=width, height=height, params=[width, height])


def with_operator(linear: NDArray[np.float32]) -> NDArray[np.float32]:
    """The light (h, w, 3) of a panorama with what never leaves it: a spotted figure straight below, the same in every picture."""
    height, width = linear.shape[:2]
    rows = int(np.ceil(height * OPERATOR_DEG / 180))
    down_deg = (np.arange(height - rows, height) + 0.5) * 180 / height - 90
    away, turn = np.meshgrid((90 - down_deg) / OPERATOR_DEG, 2 * np.pi * (np.arange(width) + 0.5) / width, indexing="ij")
    x, y = away * np.sin(turn), away * np.cos(turn)
    spots = 0.5 + 0.25 * np.sin(23 * x + 5 * y) * np.sin(19 * y - 3 * x) + 0.25 * np.sin(41 * x) * np.sin(37 * y)
    figure = np.stack([0.25 * spots, 0.10 * spots, 0.06 + 0.3 * spots], -1)
    below = linear.copy()
    below[height - rows :] = np.where(away[..., None] < 1, figure, below[height - rows :])
    return below


def pano_xmp(camera: pycolmap.Camera) -> str:
    """XMP as 360 cameras and Street View write it."""
    return _GPANO.format(width=camera.width, height=camera.height)


def spherical(path: Path) -> None:
    """State in an mp4 whose index comes first that it is a sphere: a box of Google's Spherical Video V1 in its video track."""
    content = bytearray(path.read_bytes())
    xml = _GSPHERICAL.encode()
    box = (24 + len(xml)).to_bytes(4, "big") + b"uuid" + SPHERICAL_UUID + xml
    moov = content.index(b"moov") - 4
    trak = content.index(b"trak", moov) - 4
    end = trak + int.from_bytes(content[trak : trak + 4], "big")
    table = content.index(b"stco", trak)
    for number in range(int.from_bytes(content[table + 8 : table + 12], "big")):
        at = table + 12 + 4 * number  # what follows the index moves behind the new box
        content[at : at + 4] = (int.from_bytes(content[at : at + 4], "big") + len(box)).to_bytes(4, "big")
    for start in (moov, trak):
        content[start : start + 4] = (int.from_bytes(content[start : start + 4], "big") + len(box)).to_bytes(4, "big")
    content[end:end] = box
    path.write_bytes(content)
