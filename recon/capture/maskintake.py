"""Takes masks beside photos and videos into a shard of ``ingest``."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from recon.capture import pixels
from recon.capture.intake import copy
from recon.capture.maskimage import frame_of_masks, read_mask
from recon.capture.masks import is_of_whole
from recon.capture.photos import orientation
from recon.capture.records import ImageRecord, write_json
from recon.capture.source import SourceFile
from recon.config import Ingest
from recon.errors import InputError

MASKS_FILE = "masks.json"
_SHOWN = 3
_log = logging.getLogger(__name__)


@dataclass
class MaskIntake:
    """What came of a shard's masks; ``files`` are those of the source by name."""

    files: Mapping[str, SourceFile]
    shard: int
    out: Path
    config: Ingest
    used: int = 0
    ignored: list[dict[str, str]] = field(default_factory=list)

    def add(self, record: ImageRecord, photo: SourceFile, masks: Sequence[str]) -> ImageRecord:
        """The record with its mask (its file's name), upright and of its size, where transparency hides more with that, too.

        A mask that can't be used is named in ``ignored``; the photo is used whole.
        """
        where = f"masks/{record.name}.png"
        for name in masks:
            file = self.files[name]
            try:
                turn = orientation(Path(photo.path), self.config.max_pixels)
                mask = read_mask(Path(file.path), turn, (record.width, record.height), self.config.max_pixels)
            except InputError as error:
                _log.warning("%s is not used: %s", file.relative, error)
                self.ignored.append({"source": file.relative, "reason": str(error)})
                continue
            if record.mask is not None:
                mask = np.minimum(mask, pixels.read_grey(self.out / where))
            self.used += 1
            if not mask.all():
                pixels.write_png(self.out / where, mask)
                record = record.model_copy(update={"mask": f"ingest/{self.shard}/{where}"})
        return record

    def add_frames(self, row: dict[str, Any], masks: Sequence[str]) -> dict[str, Any]:
        """The row of ``videos.json`` with ``masks``: files by frame, and the one of all frames. They are read with their frames."""
        stored, whole = {}, None
        for name in masks:
            file = self.files[name]
            where = f"masks/{name}"
            copy(Path(file.path), self.out / where)
            self.used += 1
            if is_of_whole(file.relative, row["source"]):
                whole = where
            else:
                stored[file.relative] = where
        frames = {str(frame): where for frame, where in sorted(frame_of_masks(stored).items())}
        return {**row, "masks": {"frames": frames, "all": whole}}

    def write(self) -> None:
        """``masks.json``."""
        warnings = []
        if self.ignored:
            told = "; ".join(f"{row['source']}: {row['reason']}" for row in self.ignored[:_SHOWN])
            more = f" and {len(self.ignored) - _SHOWN} more" if len(self.ignored) > _SHOWN else ""
            warnings.append(f"masks that are not used, their photos are used whole: {told}{more}")
        write_json(self.out / MASKS_FILE, {"used": self.used, "ignored": self.ignored, "warnings": warnings})
