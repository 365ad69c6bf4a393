"""How browsers are to take a file: its type, its name, and what it may do."""

from __future__ import annotations

from pathlib import PurePosixPath
from urllib.parse import quote

HTML = "text/html; charset=utf-8"
UNKNOWN = "application/octet-stream"
TYPES = {
    ".bin": UNKNOWN,
    ".csv": "text/csv; charset=utf-8",
    ".geojson": "application/geo+json",
    ".glb": "model/gltf-binary",
    ".gltf": "model/gltf+json",
    ".html": HTML,
    ".jpeg": "image/jpeg",
    ".jpg": "image/jpeg",
    ".json": "application/json",
    ".las": "application/vnd.las",
    ".laz": "application/vnd.laszip",
    ".mp4": "video/mp4",
    ".mtl": "model/mtl",
    ".obj": "model/obj",
    ".ply": "application/ply",
    ".png": "image/png",
    ".stl": "model/stl",
    ".tif": "image/tiff",
    ".txt": "text/plain; charset=utf-8",
    ".webp": "image/webp",
    ".zip": "application/zip",
}
_SHOWN = (HTML, "image/jpeg", "image/png", "image/webp", "video/mp4")
_COMPRESSED = {".glb", ".jpeg", ".jpg", ".laz", ".mp4", ".png", ".webp", ".zip"}


def media_type(name: str) -> str:
    return TYPES.get(_suffix(name), UNKNOWN)


def is_compressed(name: str) -> bool:
    """Whether to compress it again would be in vain."""
    return _suffix(name) in _COMPRESSED


def headers(name: str, sha256: str) -> dict[str, str]:
    """Headers of an artifact, whoever wrote it: a report is made from what users upload, and is served from the API's own origin."""
    kind = media_type(name)
    return {
        "Content-Type": kind,
        "Content-Disposition": disposition(name, "inline" if kind in _SHOWN else "attachment"),
        # without allow-same-origin a page has an origin of its own: its scripts run, but are nobody to this API
        "Content-Security-Policy": "sandbox allow-scripts" if kind == HTML else "sandbox",
        "X-Content-Type-Options": "nosniff",
        "ETag": etag(sha256),
        "Cache-Control": "private, no-cache",
        "Accept-Ranges": "bytes",
    }


def etag(sha256: str) -> str:
    return f'"{sha256}"'


def disposition(name: str, how: str = "attachment") -> str:
    """RFC 6266: a plain name for old clients, the true one for others; neither can end its header or its quotes."""
    last = PurePosixPath(name).name or "file"
    plain = "".join(letter if letter.isascii() and letter.isprintable() and letter not in '"\\%;/' else "_" for letter in last)
    return f"{how}; filename=\"{plain}\"; filename*=UTF-8''{quote(last, safe='')}"


def _suffix(name: str) -> str:
    return PurePosixPath(name).suffix.lower()
