"""API keys: 256 random bits, of which the database holds a hash only."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from typing import Literal, get_args

from sqlalchemy.orm import Session

from workers.models import Key

Scope = Literal["read", "write", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
PREFIX = "rk_"
_HINT = 8


def hashed(key: str) -> str:
    # as random as a hash itself: a slow one would protect nothing
    return hashlib.sha256(key.encode()).hexdigest()


def make_key(
    session: Session, owner_id: str, name: str, scopes: Iterable[Scope] = SCOPES, expires_s: float | None = None
) -> tuple[Key, str]:
    """A new row, and the key itself, which is never seen again."""
    key = PREFIX + secrets.token_urlsafe(32)
    row = Key(owner_id=owner_id, name=name, hint=key[:_HINT], sha256=hashed(key), scopes=list(scopes), expires_s=expires_s)
    session.add(row)
    session.flush()
    return row, key
