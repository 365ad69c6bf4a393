"""Masks of photos and frames: read, checked, upright, of their image's size; 0 hides a pixel, 255 shows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import ImageOps

from recon.capture.depthimage import turn_of
from recon.capture.masks import frame_number
from recon.capture.photos import Header, opened, orientation
from recon.capture.source import Source, SourceFile
from recon.errors import InputError

Mask = NDArray[np.uint8]
_TURN_OF_ROTATION = {90: 8, 180: 3, 270: 6}
"""EXIF's orientation of a counter-clockwise turn."""


def read_mask(path: Path, turn: int, size: tuple[int, int], max_pixels: int) -> Mask:
    """(height, width) of the upright image, 0 where it must not be used, else 255.

    Dark hides: below half of white, of an image of zeros and ones the zeros; of one with transparency what is transparent. ``turn`` is
    EXIF's orientation of the photo, which turns what does not stand yet. Raises InputError with the reason where the shape is not the
    image's, where all is hidden, and for damage.
    """
    shows, turned = _shows(path, max_pixels)
    upright = turn_of(shows.shape, 1 if turned else turn, size)(shows)
    if not upright.any():
        raise InputError("it hides all of its image: 0 hides, 255 shows")
    small = upright.astype(np.uint8) * np.uint8(255)
    if small.shape == size[::-1]:
        return small
    # the rim of what is hidden stays hidden
    return np.where(cv2.resize(small, size, interpolation=cv2.INTER_LINEAR) == 255, np.uint8(255), np.uint8(0))


def check_mask(path: Path, turn: int, size: tuple[int, int], max_pixels: int) -> None:
    """Raises InputError where a mask's header says that it does not fit: ``read_mask`` without the pixels."""
    with opened(path, max_pixels) as image:
        turn_of((image.height, image.width), turn, size)


def _shows(path: Path, max_pixels: int) -> tuple[NDArray[np.bool_], bool]:
    """What a mask shows as it lies, and whether it was turned upright by its own EXIF."""
    with opened(path, max_pixels) as image:
        upright = ImageOps.exif_transpose(image)
        if upright.has_transparency_data:
            alpha = np.asarray(upright.convert("RGBA").getchannel("A"))
            if alpha.min() < 255:
                return alpha >= 128, upright.size != image.size
        grey = np.asarray(upright if upright.mode.startswith("I") else upright.convert("L"))
        return grey > 0 if grey.max() <= 1 else grey >= (32768 if grey.max() > 255 else 128), upright.size != image.size


class FrameMasks:
    """Masks of a video's frames, by the row of ``videos.json`` that its ``masks`` stand in; ``folder`` is that of ``ingest``."""

    def __init__(self, video: Mapping[str, Any], folder: Path) -> None:
        stated = video.get("masks") or {}
        self._frames = {int(frame): folder / file for frame, file in stated.get("frames", {}).items()}
        self._all = folder / stated["all"] if stated.get("all") else None
        # what the lens doesn't see, or the operator below a panorama: written by ingest, and the same in all frames
        self._always = folder / str(video["mask"]).split("/", 2)[2] if video.get("mask") else None
        self._turn = _TURN_OF_ROTATION.get(int(video.get("rotation_deg") or 0), 1)
        self.used = self.without = 0
        self.faults: dict[str, str] = {}
        """Reason why a mask is not used, by its file's name."""

    def __bool__(self) -> bool:
        return bool(self._frames or self._all)

    def of(self, frame: int, size: tuple[int, int]) -> Mask | None:
        """The mask of a frame of (width, height), the whole video's included, and with it what is hidden in all frames anyway.

        None where no mask is the frame's own.
        """
        masks = [mask for path in (self._all, self._frames.get(frame)) if path for mask in self._read(path, size)]
        self.used, self.without = self.used + bool(masks), self.without + (not masks)
        if masks and self._always is not None:
            masks += self._read(self._always, size, turn=1)
        return np.minimum.reduce(masks) if masks else None

    def _read(self, path: Path, size: tuple[int, int], turn: int | None = None) -> list[Mask]:
        try:
            return [read_mask(path, self._turn if turn is None else turn, size, size[0] * size[1] * 4)]
        except InputError as error:
            self.faults[path.name] = str(error)
            return []

    @property
    def warnings(self) -> list[str]:
        """What a user should know, in sentences."""
        found = [f"mask {name} is not used: {reason}" for name, reason in list(self.faults.items())[:3]]
        if more := len(self.faults) - 3:
            found += [f"{more} more masks are not used"] if more > 0 else []
        if self and self.without:
            found.append(f"{self.without} of {self.used + self.without} keyframes have no mask: they are used whole")
        return found


def frame_of_masks(names: Mapping[str, str]) -> dict[int, str]:
    """Frame (from 0) of each mask of a video, by the number in its name (names are keys): counted from 1 where no mask bears a 0."""
    numbered = {frame_number(name): file for name, file in names.items()}
    first = 1 if numbered and min(numbered) == 1 else 0
    return {number - first: file for number, file in numbered.items()}


def masks_found(
    source: Source, headers: Sequence[tuple[SourceFile, Header]], videos: Sequence[SourceFile], max_pixels: int
) -> tuple[int, list[tuple[str, str]]]:
    """How many photos and frames have a mask, by headers alone, and (file, reason) of those that do not fit."""
    masks, unfit = source.masks, []
    count = sum(len(masks.get(video.name, ())) for video in videos)
    for photo, header in headers:
        for file in masks.get(photo.name, ()):
            try:
                check_mask(Path(file.path), orientation(Path(photo.path), max_pixels), (header.width, header.height), max_pixels)
                count += 1
            except InputError as error:
                unfit.append((file.relative, str(error)))
    return count, unfit
