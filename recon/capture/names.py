"""Names of files: natural order, a form that can be shown, and a form that is safe as a path anywhere."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence

MAX_PART = 100
"""Characters of one safe name: stages append suffixes, and a file system ends at 255 bytes."""
MAX_NAME = 200
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")
_HARMLESS = re.compile(r"[\x20-\x7e]*")
_LAST_NUMBER = re.compile(r"(\d+)\D*$")
_DIGITS = re.compile(r"(\d+)")


def natural_key(name: str) -> tuple[tuple[tuple[int, int, str], ...], str]:
    """Sort key by which ``IMG_2`` comes before ``IMG_10``; total, so that the order never depends on the file system."""
    parts = [(0, int(part), "") if part.isdecimal() and part.isascii() else (1, 0, part.casefold()) for part in _DIGITS.split(name) if part]
    return tuple(parts), name


def last_number(name: str) -> str:
    """The last number in a name, without leading zeros; empty without one."""
    found = _LAST_NUMBER.search(name)
    return str(int(found[1])) if found else ""


def shown(name: str) -> str:
    """The name as it can be printed and stored: bytes that are no UTF-8 become ``\\xNN``, control characters ``\\uNNNN``."""
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def listed(names: Sequence[str], at_most: int = 5) -> str:
    """The first names, and how many more there are."""
    more = len(names) - at_most
    return ", ".join(names[:at_most]) + (f" and {more} more" if more > 0 else "")


def safe_names(relatives: Sequence[str]) -> list[str]:
    """Unique names of plain ASCII for relative paths ('/' between folders), equal where they are safe already.

    A name that loses letters, is too long, or would meet another one (letter case aside, or once a converted photo's
    ``.jpg`` or ``.png`` is appended) gets a hash of the original path, so it depends on no other file's order.
    """
    plain = [_safe(relative) for relative in relatives]
    count = Counter(name.casefold() for name in plain)
    taken = {f"{name.casefold()}{suffix}" for name in plain for suffix in (".jpg", ".png")}
    return [
        _hashed(name, relative) if count[name.casefold()] > 1 or name.casefold() in taken else name
        for name, relative in zip(plain, relatives, strict=True)
    ]


def _safe(relative: str) -> str:
    name = "/".join(_safe_part(part) for part in relative.split("/"))
    if len(name) > MAX_NAME:
        name = _hashed(name.rpartition("/")[2], relative)
    return name


def _safe_part(part: str) -> str:
    safe = _UNSAFE.sub("_", part)
    if safe.startswith("."):
        safe = "_" + safe[1:]
    if not _HARMLESS.fullmatch(part) or len(safe) > MAX_PART:
        return _hashed(safe, part)
    return safe


def _hashed(name: str, original: str) -> str:
    """``name`` with eight hexadecimal digits of the original's hash before its suffix."""
    folder, slash, last = name.rpartition("/")
    stem, dot, suffix = last.rpartition(".")
    if not dot or len(suffix) > 8:
        stem, dot, suffix = last, "", ""
    digest = hashlib.sha256(original.encode("utf-8", "surrogateescape")).hexdigest()[:8]
    return f"{folder}{slash}{stem[: MAX_PART - 20]}-{digest}{dot}{suffix}"
