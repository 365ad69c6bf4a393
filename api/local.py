"""The service of this machine: where it answers, and the first key. What ``recon serve`` leaves for ``recon submit`` to find."""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workers.database import Database

OWNER = "local"
KEY_FILE = "key"
API_FILE = "api.json"


def home() -> Path:
    return Path(os.path.abspath(Path(os.environ.get("RECON_HOME") or "~/.recon").expanduser()))


def read_url(folder: Path) -> str | None:
    """Where the service of that home answers; None if none runs. After a kill somebody else may listen there, who must not see the key."""
    with suppress(OSError, ValueError, KeyError):
        told = json.loads((folder / API_FILE).read_text())
        with suppress(PermissionError):  # it runs, but is another user's
            os.kill(int(told["pid"]), 0)
        return str(told["url"])
    return None


def read_key(folder: Path) -> str | None:
    with suppress(OSError):
        return (folder / KEY_FILE).read_text().strip() or None
    return None


def announce(folder: Path, url: str) -> None:
    write_private(folder / API_FILE, json.dumps({"url": url, "pid": os.getpid()}) + "\n")


def withdraw(folder: Path) -> None:
    """Take back what this process announced."""
    with suppress(OSError, ValueError, KeyError):
        if json.loads((folder / API_FILE).read_text())["pid"] == os.getpid():
            (folder / API_FILE).unlink()


def first_key(database: Database, folder: Path, *, only_if_new: bool) -> Path | None:
    """The file with an admin key of the owner "local", who is made together with it. A key that no longer holds is replaced.

    ``only_if_new``: no key is made where the database has owners already; None if this home has none that holds.
    """
    from sqlalchemy import select
    from sqlalchemy.exc import IntegrityError

    from api.keys import hashed, make_key
    from workers.models import Key, Owner

    path, known = folder / KEY_FILE, read_key(folder)
    try:
        with database.writing() as session:
            row = session.scalar(select(Key).where(Key.sha256 == hashed(known))) if known else None
            if row is not None and row.revoked_s is None and (row.expires_s is None or row.expires_s > time.time()):
                return path
            if only_if_new and session.scalar(select(Owner.id).limit(1)) is not None:
                return None
            if session.get(Owner, OWNER) is None:
                session.add(Owner(id=OWNER, name=OWNER))
                session.flush()
            _, key = make_key(session, OWNER, "recon serve")
            write_private(path, key + "\n")
    except IntegrityError:  # another API process was first
        return None
    return path


def write_private(path: Path, text: str) -> None:
    """A file that only its owner may read, in one step."""
    os.replace(_beside(path, text), path)


def read_or_make(path: Path, make: Callable[[], str]) -> str:
    """A private file's text, made if there is none. Safe when many processes start at once."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not path.exists():
        beside = _beside(path, make() + "\n")
        with suppress(FileExistsError):  # another was first: theirs counts
            os.link(beside, path)
        beside.unlink()
    return path.read_text().strip()


def _beside(path: Path, text: str) -> Path:
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        stream.write(text)
    return beside
