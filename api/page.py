"""The page for people, at ``/``: the files of ``api/static``, which hold all of it. They need no key; what they ask the API for does."""

from __future__ import annotations

import gzip
import hashlib
import logging
import mimetypes
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from fastapi import FastAPI, Request
from fastapi.responses import Response

from api.artifacts.ranges import is_known
from recon.errors import ReconError
from workers.places import shared_bucket
from workers.settings import Settings

log = logging.getLogger(__name__)

FOLDER = Path(__file__).parent / "static"
INDEX = "index.html"
_HASHED = re.compile(r"-[0-9A-Z]{8}\.[a-z.]+$")
"""How the bundler names files whose content never changes."""
_LONG = "public, max-age=31536000, immutable"
_TEXT = ("text/", "application/json", "application/javascript")
_TYPES = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".html": "text/html; charset=utf-8"}


@dataclass(frozen=True)
class Asset:
    """One file of the page, as it is sent."""

    content: bytes
    packed: bytes | None
    """The same, gzipped, where that pays."""
    headers: dict[str, str]
    etag: str

    def answer(self, request: Request) -> Response:
        if is_known(request.headers.get("if-none-match"), self.etag):
            return Response(status_code=304, headers=self.headers)
        if self.packed is not None and "gzip" in request.headers.get("accept-encoding", ""):
            return Response(self.packed, headers={**self.headers, "Content-Encoding": "gzip"})
        return Response(self.content, headers=self.headers)


def add_page(app: FastAPI, settings: Settings) -> None:
    """Routes for the page's files, one each: no other path leads to the disk."""
    policy = content_policy(_store_origin(settings))
    for path in sorted(FOLDER.glob("*")):
        asset = _asset(path, policy)
        app.add_api_route(f"/{path.name}", _sender(asset), methods=["GET"], include_in_schema=False)
        if path.name == INDEX:
            app.add_api_route("/", _sender(asset), methods=["GET"], include_in_schema=False)


def content_policy(store: str | None) -> str:
    """What the page may load: its own files, nothing inline, nothing from elsewhere but parts of uploads to the object store."""
    stores = "" if store is None else f" {store}"
    return "; ".join(
        (
            "default-src 'none'",
            "script-src 'self' 'wasm-unsafe-eval'",  # the decoder of LAZ
            "worker-src 'self'",
            "style-src 'self'",
            "img-src 'self' blob: data:",
            "media-src 'self' blob:",
            f"connect-src 'self' blob:{stores}",
            "frame-src 'self'",  # the report, which has an origin of its own
            "manifest-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )


def _asset(path: Path, policy: str) -> Asset:
    content = path.read_bytes()
    kind = _TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    packed = gzip.compress(content, 9, mtime=0) if kind.startswith(_TEXT) or path.suffix == ".wasm" else None
    etag = f'"{hashlib.sha256(content).hexdigest()}"'
    headers = {
        "Content-Type": kind,
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cache-Control": _LONG if _HASHED.search(path.name) else "no-cache",
        "ETag": etag,
        "Vary": "Accept-Encoding",
    }
    return Asset(content, packed if packed is not None and len(packed) < len(content) else None, headers, etag)


def _sender(asset: Asset) -> Callable[[Request], Response]:
    def send(request: Request) -> Response:
        return asset.answer(request)

    return send


def _store_origin(settings: Settings) -> str | None:
    """Where clients send parts of uploads to, if not to us."""
    if settings.bucket is None:
        return None
    try:
        url = urlsplit(shared_bucket(settings).url_to_get("x", 60))
    except ReconError as error:
        log.warning("the page can't upload: the store's address is not known: %s", error)
        return None
    return f"{url.scheme}://{url.netloc}"
