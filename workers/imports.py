"""The chore that brings files of a URL, or of a bucket, into a capture: streamed into the owner's uploads in bounded memory."""

from __future__ import annotations

import logging
import mimetypes
import time
from collections.abc import Iterator
from email.message import Message
from http import HTTPStatus
from unicodedata import normalize
from urllib.parse import unquote, urlsplit

import httpx

from recon.errors import InputError, ReconError
from workers.bucket import Bucket, Stored
from workers.chores import Errand, finish, leave
from workers.fetch import Fetcher, Unreachable, shown
from workers.intake import Intake, drop_unfinished, kept_intake
from workers.names import MAX_FILES, checked_name
from workers.node import Node
from workers.places import Place
from workers.settings import Settings
from workers.shards import insist

log = logging.getLogger(__name__)

TRIES = 6
"""In a row that bring nothing more; they wait 1, 2, 4 ... s."""
IMPORT_S = 24 * 3600.0
SLOW_S, SLOW_BYTES = 60.0, 10_000
"""After a minute, a server that sends less than this a second is left."""
_BUSY = (408, 425, 429, 500, 502, 503, 504)
_PAGES = ("text/html", "application/xhtml+xml")


def import_files(node: Node, place: Place, errand: Errand) -> None:
    """Fetch what the import's URL names. Raises why that can't be."""
    url = str(errand.what["url"])
    if url.startswith("s3://"):
        _copy_bucket(node, place, errand, url)
    else:
        fetcher = Fetcher(node.settings.allow_private)
        try:
            _Download(node, place, errand, fetcher).run()
        finally:
            fetcher.close()
    insist(lambda: end_import(node, errand, None))


def end_import(node: Node, errand: Errand, error: ReconError | None) -> None:
    """Note how it ended; the half of a file that a failed one leaves is dropped."""
    with node.database.writing() as session:
        chore = finish(session, errand, error)
        if chore is None:
            leave(session, errand)
    if error is not None and chore is not None:
        drop_unfinished(node, chore)


class _Download:
    """One file of a web server. A broken connection is taken up where it broke, if the server still has the same file."""

    def __init__(self, node: Node, place: Place, errand: Errand, fetcher: Fetcher) -> None:
        self.node, self.place, self.errand, self.fetcher = node, place, errand, fetcher
        self.url = str(errand.what["url"])
        self.intake = kept_intake(node, place, errand)

    def run(self) -> None:
        if self.intake is not None and self.intake.is_whole:
            return
        end_s = time.monotonic() + IMPORT_S
        failures = furthest = 0
        while True:
            try:
                return self._fetch(end_s - time.monotonic())
            except Unreachable as error:
                size = self.intake.size if self.intake else 0
                failures, furthest = (1, size) if size > furthest else (failures + 1, furthest)
                if failures >= TRIES or time.monotonic() > end_s:
                    raise
                log.warning("import %s: %s; trying again", self.errand.chore_id, error.message)
                time.sleep(2 ** (failures - 1))

    def _fetch(self, within_s: float) -> None:
        with self.fetcher.get(self.url, self._wanted(), within_s) as response:
            self._check(response)
            if self.intake is None or not self._goes_on(response):
                self._begin(response)
            assert self.intake is not None
            began_s, began = time.monotonic(), self.intake.size
            for chunk in response.iter_raw():
                if self.intake.size == 0 and chunk[:200].lstrip().lower().startswith((b"<!doctype html", b"<html")):
                    raise _a_page(self.url)
                self.intake.add(chunk)
                passed_s = time.monotonic() - began_s
                if passed_s > SLOW_S and self.intake.size - began < SLOW_BYTES * passed_s:
                    raise InputError(f"{shown(self.url)} sends less than {SLOW_BYTES // 1000} kB a second", "Use another server")
        if self.intake.size == 0:
            raise InputError(f"{shown(self.url)} is an empty file", "Give the URL of the file itself")
        self.intake.finish()

    def _wanted(self) -> dict[str, str]:
        if self.intake is None or not self.intake.size or not self.intake.tag:
            return {}
        return {"Range": f"bytes={self.intake.size}-", "If-Range": self.intake.tag}

    def _check(self, response: httpx.Response) -> None:
        """Raises unless the answer is a file."""
        status = response.status_code
        if status in _BUSY:
            raise Unreachable(f"{shown(self.url)} answers {status} {_phrase(status)}", "Try again later")
        if status == 416 and self.intake is not None:
            self._forget()
            raise Unreachable(f"{shown(self.url)} has become shorter", "Import again")
        if status not in (200, 206):
            raise InputError(f"{shown(self.url)} answers {status} {_phrase(status)}", "Check the URL, and that it needs no login")
        if _media_type(response) in _PAGES:
            raise _a_page(self.url)
        if response.headers.get("Content-Encoding", "identity").lower() not in ("identity", ""):
            raise InputError(f"{shown(self.url)} is sent compressed, though that was not asked for", "Give the URL of the file itself")

    def _goes_on(self, response: httpx.Response) -> bool:
        """Whether the answer begins where the file broke off."""
        assert self.intake is not None
        bounds = response.headers.get("Content-Range", "")
        return response.status_code == 206 and bounds.startswith(f"bytes {self.intake.size}-") and self.intake.size > 0

    def _begin(self, response: httpx.Response) -> None:
        self._forget()
        if response.status_code == 206:
            raise Unreachable(f"{shown(self.url)} answers with a piece of the file that nobody asked for", "Use another server")
        length = response.headers.get("Content-Length", "")
        size = int(length) if length.isdecimal() and len(length) < 20 else None
        self.intake = Intake(self.node, self.place, self.errand, _name(response, self.url), size, _tag(response))

    def _forget(self) -> None:
        """What came so far is of no use."""
        if self.intake is not None:
            self.intake.drop()
            self.intake = None


def _copy_bucket(node: Node, place: Place, errand: Errand, url: str) -> None:
    """Every object at or below the prefix, under its name below the prefix's folder. Those that an earlier try copied stay."""
    bucket, prefix = source_bucket(node.settings, url)
    base = prefix[: prefix.rstrip("/").rfind("/") + 1] if not prefix.endswith("/") else prefix
    found = list(_below(bucket, prefix, url))
    if not found:
        raise InputError(f"there is nothing at {shown(url)}", "Check the prefix")
    names = [checked_name(normalize("NFC", stored.key[len(base) :])) for stored in found]
    kept = kept_intake(node, place, errand)
    if kept is not None and not kept.is_whole:
        kept.drop()
    copied = 0
    for count, (stored, name) in enumerate(zip(found, names, strict=True)):
        intake = Intake(node, place, errand, name, stored.size, stored.etag, done=(count, copied), may_exist=True)
        if not intake.is_whole:
            _copy(bucket, stored, name, intake)
        copied += stored.size


def _copy(bucket: Bucket, stored: Stored, name: str, intake: Intake) -> None:
    try:
        for chunk in bucket.stream(stored.key):
            intake.add(chunk)
    except KeyError:
        raise InputError(f"{name!r} went away while it was copied", "Import again") from None
    intake.finish()


def source_bucket(settings: Settings, url: str) -> tuple[Bucket, str]:
    """The bucket that an s3:// URL names, and the prefix in it. InputError unless those who run the service offer it to all.

    It is read with the service's own credentials: without a list, anybody could read whatever these may.
    """
    name, _, prefix = url.removeprefix("s3://").partition("/")
    own = settings.bucket[0] if settings.bucket else None
    if name not in settings.importable or name == own or not prefix.isprintable():
        raise InputError(
            f"this service does not import from the bucket {name[:80]!a}", "Use presigned https:// URLs, or ask who runs the service"
        )
    return Bucket(name, "", settings.s3_endpoint, region=settings.s3_region), prefix


def _below(bucket: Bucket, prefix: str, url: str) -> Iterator[Stored]:
    folder = f"{prefix.rstrip('/')}/" if prefix else ""
    count = 0
    for stored in bucket.listed(prefix):
        if stored.size == 0 or not (stored.key == prefix or stored.key.startswith(folder)):
            continue  # what a console shows as a folder, or a name that only begins alike
        count += 1
        if count > MAX_FILES:
            raise InputError(f"there are more than {MAX_FILES} files at {shown(url)}", "Import a longer prefix")
        yield stored


def _name(response: httpx.Response, url: str) -> str:
    """What the server calls the file, else what the URLs do; with a suffix if its type tells one."""
    header = Message()
    header["Content-Disposition"] = response.headers.get("Content-Disposition", "").replace("\r", "").replace("\n", "")
    told = header.get_filename() or ""
    paths = [unquote(urlsplit(str(address)).path) for address in (response.url, url)]
    for candidate in (told, *paths):
        last = candidate.replace("\\", "/").rpartition("/")[2].strip()
        try:
            name = checked_name(normalize("NFC", last))
        except InputError:
            continue
        return name if "." in name.strip(".") else name + (mimetypes.guess_extension(_media_type(response)) or "")
    return "download" + (mimetypes.guess_extension(_media_type(response)) or "")


def _media_type(response: httpx.Response) -> str:
    return str(response.headers.get("Content-Type", "")).partition(";")[0].strip().lower()


def _tag(response: httpx.Response) -> str:
    """By what the server tells whether the file is still the same: a strong ETag, else the time of change; empty: nothing."""
    etag = str(response.headers.get("ETag", ""))
    return etag if etag.startswith('"') else str(response.headers.get("Last-Modified", ""))


def _a_page(url: str) -> InputError:
    return InputError(f"{shown(url)} is a web page, not a file", "Give the URL of the file itself, which needs no login")


def _phrase(status: int) -> str:
    return HTTPStatus(status).phrase if status in HTTPStatus.__members__.values() else ""
