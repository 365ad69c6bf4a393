"""Names that users give the files of a capture: relative, '/' between folders, and the same on every machine."""

from __future__ import annotations

import unicodedata

from recon.errors import InputError

MAX_PART_BYTES, MAX_NAME_BYTES = 250, 1000
"""What file systems take (255 a part), with a little room."""
MAX_FILES = 20_000
"""Of a capture."""
_SHOWN = 80


def checked_name(name: str) -> str:
    """The name as it was given. InputError for one that leads out of its capture, or that some machine could not hold."""
    if reason := _reason(name):
        raise InputError(f"{_shown(name)} is no name of a file within a capture: {reason}", "Rename it, with '/' between folders")
    return name


def _reason(name: str) -> str:
    if any(unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp") for letter in name):
        return "it has control characters"
    if "\\" in name:
        return "it has a backslash"
    if name.startswith("/") or (name[:1].isalpha() and name[1:2] == ":"):
        return "it is not relative"
    parts = name.split("/")  # of an empty name: one empty part
    if any(part in ("", ".", "..") for part in parts):
        return "it has a part that is empty, '.' or '..'"
    if any(len(part.encode()) > MAX_PART_BYTES for part in parts) or len(name.encode()) > MAX_NAME_BYTES:
        return f"it is longer than {MAX_PART_BYTES} bytes a part or {MAX_NAME_BYTES} in all"
    return ""


def _shown(name: str) -> str:
    return ascii(name if len(name) <= _SHOWN else f"{name[:_SHOWN]}...")
