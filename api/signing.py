"""URLs that carry their own permission, for a store in a local folder: what presigned URLs are on S3."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from typing import Any

from api.errors import Forbidden


class Signer:
    """Tokens that say what their holder may do until when: ``base64(JSON).base64(HMAC-SHA256)``."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def sign(self, may: str, holds_s: float, **what: Any) -> str:
        body = json.dumps({"may": may, "until": int(time.time() + holds_s), **what}, separators=(",", ":"), sort_keys=True)
        text = _text(body.encode())
        return f"{text}.{_text(self._mac(text))}"

    def check(self, token: str, may: str) -> dict[str, Any]:
        """What the token was signed with. Forbidden if it was changed, has expired or is for something else."""
        text, dot, mac = token.partition(".")
        try:
            is_ours = bool(dot) and hmac.compare_digest(_bytes(mac), self._mac(text))
            told = dict(json.loads(_bytes(text))) if is_ours else {}
        except ValueError:
            is_ours, told = False, {}
        if not is_ours or told.get("may") != may:
            raise Forbidden("the URL is not one that we signed, or was changed", "Ask for a new one")
        if told["until"] < time.time():
            raise Forbidden("the URL has expired", "Ask for a new one")
        return told

    def _mac(self, text: str) -> bytes:
        return hmac.digest(self._secret, text.encode(), hashlib.sha256)


def _text(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    return base64.b64decode(text.encode() + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
