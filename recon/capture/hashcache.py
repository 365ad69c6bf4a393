"""Hashes of files, remembered between runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from recon.storage import sha256_of


class HashCache:
    """sha256 of files by path, size and time of change, in ``workspace/hashes.json``."""

    def __init__(self, workspace: Path) -> None:
        self._path = workspace / "hashes.json"
        self._changed = False
        self._rows: dict[str, Any] = {}
        try:
            self._rows = dict(json.loads(self._path.read_text(encoding="ascii")))
        except (OSError, ValueError, TypeError):
            self._rows = {}  # a cache: without it we only read the files again

    def sha256(self, path: Path) -> str:
        """Hexadecimal digest of the content; OSError where it can't be read."""
        found = path.stat()
        row = self._rows.get(str(path))
        if isinstance(row, list) and row[:2] == [found.st_size, found.st_mtime_ns]:
            return str(row[2])
        digest = sha256_of(path)
        self._rows[str(path)] = [found.st_size, found.st_mtime_ns, digest]
        self._changed = True
        return digest

    def save(self) -> None:
        if self._changed:
            beside = self._path.with_suffix(".partial")
            beside.write_text(json.dumps(self._rows), encoding="ascii")
            beside.replace(self._path)
