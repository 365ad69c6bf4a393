"""Conditions and ranges of a request for a file (RFC 9110, sections 13 and 14)."""

from __future__ import annotations

import re

_RANGE = re.compile(r"\s*bytes\s*=\s*(\d{0,18})\s*-\s*(\d{0,18})\s*", re.ASCII | re.IGNORECASE)


class OutOfRange(Exception):
    """The file has no byte of the range that was asked for."""


def is_known(if_none_match: str | None, etag: str) -> bool:
    """Whether the client has the file already."""
    tags = [tag.strip().removeprefix("W/") for tag in (if_none_match or "").split(",")]
    return "*" in tags or etag in tags


def wanted(asked: str | None, if_range: str | None, etag: str, size: int) -> tuple[int, int] | None:
    """First byte and end of the one range that is to be sent; None: the whole file.

    Whole where none is asked for, where the client's part is of another file, and for several ranges or what is no range, as the
    RFC allows and demands.
    """
    match = _RANGE.fullmatch(asked or "")
    if match is None or (if_range is not None and if_range.strip() != etag):
        return None
    first, last = match.groups()
    if not first and not last:
        return None
    if not first:  # the last so many bytes
        start, end = max(0, size - int(last)), size
    else:
        start, end = int(first), min(int(last) + 1, size) if last else size
        if last and int(last) < start:
            return None
    if start >= size:
        raise OutOfRange
    return start, end
