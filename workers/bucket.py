"""Objects of one S3 bucket below one prefix: AWS, SeaweedFS, MinIO, Ceph."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import boto3
from boto3.exceptions import Boto3Error
from boto3.s3.transfer import TransferConfig
from botocore.config import Config as BotoConfig
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError

from recon.errors import DiskFull, ReconError
from workers.errors import StoreAway, StoreRefused

log = logging.getLogger(__name__)

PART_BYTES = 16 * 2**20
CHUNK_BYTES = 2**20
_ABSENT = {"404", "NoSuchKey", "NotFound", "NoSuchUpload"}
_REFUSED = {"403", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "NoSuchBucket", "ExpiredToken", "InvalidToken"}
_FULL = {"InsufficientStorage", "QuotaExceeded", "XMinioStorageFull", "507"}
_WRITTEN_BEFORE = {"412", "PreconditionFailed", "409", "ConditionalRequestConflict"}
_NO_CONDITIONS = {"501", "NotImplemented"}
_WITH_CHECKSUMS = "sha256:"
"""Begins the ids of uploads each part of which must come with its SHA-256: AWS wants to know before the first."""


@dataclass(frozen=True)
class Stored:
    """One object: its key below the prefix, its size, when it was written (seconds since 1970)."""

    key: str
    size: int
    modified_s: float
    etag: str = ""


@dataclass(frozen=True)
class Part:
    """A part of a multipart upload that has arrived."""

    number: int
    size: int
    etag: str
    sha256: str = ""
    """Base64; of an upload with checksums."""


@dataclass(frozen=True)
class Bucket:
    """Where a bucket is and how to reach it. The connection opens when first used, in each process its own.

    ``endpoint`` is empty for AWS. ``public_endpoint`` goes into presigned URLs, where clients reach the store under another
    name than workers do. All methods raise KeyError for an absent object, StoreAway where another try may help, StoreRefused
    where it can't, and DiskFull.
    """

    name: str
    prefix: str = ""
    endpoint: str = ""
    public_endpoint: str = ""
    region: str = ""
    access_key: str = ""
    secret_key: str = ""
    connect_timeout_s: float = 5.0
    read_timeout_s: float = 60.0
    tries: int = 5

    def below(self, prefix: str) -> Bucket:
        """The same bucket, seen from a longer prefix."""
        return replace(self, prefix=f"{self.prefix}{prefix.strip('/')}/")

    # -- whole objects

    def find(self, key: str) -> Stored | None:
        """The object's size and time; None if there is none."""
        try:
            with self._told(key):
                head = self._client.head_object(Bucket=self.name, Key=self.prefix + key)
        except KeyError:
            return None
        return Stored(key, head["ContentLength"], head["LastModified"].timestamp(), head["ETag"].strip('"'))

    def read(self, key: str) -> bytes:
        return b"".join(self.stream(key))

    def stream(self, key: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """The object's bytes from ``start`` up to and without ``end``, a MiB at a time. A broken connection is taken up again."""
        while True:
            before = start
            try:
                for chunk in self._body(key, start, end):
                    start += len(chunk)
                    yield chunk
                return
            except StoreAway as error:
                if start == before:
                    raise
                log.warning("%s; going on from byte %d of %s", error.message, start, key)

    def _body(self, key: str, start: int, end: int | None) -> Iterator[bytes]:
        if end is not None and start >= end:
            return
        bounds = {} if not start and end is None else {"Range": f"bytes={start}-{'' if end is None else end - 1}"}
        with self._told(key):
            body = self._client.get_object(Bucket=self.name, Key=self.prefix + key, **bounds)["Body"]
            with body:
                yield from body.iter_chunks(CHUNK_BYTES)

    def write(self, key: str, content: bytes, *, if_absent: bool = False) -> bool:
        """Write a small object. With ``if_absent`` False comes back, and nothing is written, where one exists."""
        place = {"Bucket": self.name, "Key": self.prefix + key, "Body": content}
        with self._told(key):
            try:
                self._client.put_object(**place, **({"IfNoneMatch": "*"} if if_absent else {}))
            except ClientError as error:
                if if_absent and _code(error) in _WRITTEN_BEFORE:
                    return False
                if not (if_absent and _code(error) in _NO_CONDITIONS):
                    raise
                if self.find(key) is not None:  # a store without conditional writes: nearly as good, and folders stay whole
                    return False
                self._client.put_object(**place)
        return True

    def upload(self, path: Path, key: str) -> None:
        """Send a file, in parts if it is large; each request carries a checksum that the store verifies."""
        with self._told(key):
            self._client.upload_file(str(path), self.name, self.prefix + key, Config=_TRANSFER)

    def listed(self, prefix: str = "") -> Iterator[Stored]:
        """All objects below ``prefix``, in order of their keys, however many pages that takes."""
        with self._told(prefix):
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=self.prefix + prefix)
            for page in pages:
                for row in page.get("Contents", ()):
                    key = row["Key"][len(self.prefix) :]
                    yield Stored(key, row["Size"], row["LastModified"].timestamp(), row["ETag"].strip('"'))

    def folders(self) -> Iterator[str]:
        """What objects' keys begin with, up to the first '/'."""
        with self._told(self.prefix):
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=self.prefix, Delimiter="/")
            for page in pages:
                for row in page.get("CommonPrefixes", ()):
                    yield row["Prefix"][len(self.prefix) :].rstrip("/")

    def delete(self, keys: Iterable[str]) -> None:
        """Remove objects; those that are gone already are no error."""
        waiting = [{"Key": self.prefix + key} for key in keys]
        for start in range(0, len(waiting), 1000):
            with self._told(waiting[start]["Key"]):
                answer = self._client.delete_objects(Bucket=self.name, Delete={"Objects": waiting[start : start + 1000], "Quiet": True})
            if failed := [row for row in answer.get("Errors", ()) if row.get("Code") not in _ABSENT]:
                raise StoreRefused(
                    f"bucket {self.name}: {len(failed)} objects could not be deleted, {failed[0]['Key']}: {failed[0]['Code']}"
                )

    # -- uploads in parts, by a client of ours or by whoever holds a presigned URL

    def start_upload(self, key: str, *, checksums: bool = False) -> str:
        """Begin a multipart upload; returns its id. With ``checksums`` every part must come with its SHA-256."""
        wanted = {"ChecksumAlgorithm": "SHA256"} if checksums else {}
        with self._told(key):
            id = self._client.create_multipart_upload(Bucket=self.name, Key=self.prefix + key, **wanted)["UploadId"]
        return f"{_WITH_CHECKSUMS if checksums else ''}{id}"

    def send_part(self, key: str, upload: str, number: int, content: bytes) -> Part:
        with self._told(key):
            answer = self._client.upload_part(**self._of(key, upload), PartNumber=number, Body=content)
        return Part(number, len(content), answer["ETag"].strip('"'))

    def parts(self, key: str, upload: str) -> list[Part]:
        """The parts that have arrived, by number."""
        with self._told(key):
            pages = self._client.get_paginator("list_parts").paginate(**self._of(key, upload))
            rows = [row for page in pages for row in page.get("Parts", ())]
        rows.sort(key=lambda row: (row["PartNumber"], row["LastModified"]))
        # SeaweedFS lists a part that was sent twice twice: the later one counts, as on AWS
        return list({row["PartNumber"]: _part(row) for row in rows}.values())

    def finish_upload(self, key: str, upload: str, parts: Iterable[Part]) -> None:
        """Join the parts into the object."""
        rows = [
            {"PartNumber": part.number, "ETag": part.etag, **({"ChecksumSHA256": part.sha256} if part.sha256 else {})}
            for part in sorted(parts, key=lambda part: part.number)
        ]
        with self._told(key):
            self._client.complete_multipart_upload(**self._of(key, upload), MultipartUpload={"Parts": rows})

    def drop_upload(self, key: str, upload: str) -> None:
        """Forget a multipart upload and its parts; one that is gone already is no error."""
        try:
            with self._told(key):
                self._client.abort_multipart_upload(**self._of(key, upload))
        except KeyError:
            return

    @staticmethod
    def has_checksums(upload: str) -> bool:
        return upload.startswith(_WITH_CHECKSUMS)

    def _of(self, key: str, upload: str) -> dict[str, Any]:
        return {"Bucket": self.name, "Key": self.prefix + key, "UploadId": upload.removeprefix(_WITH_CHECKSUMS)}

    def drop_uploads(self, but: Collection[str], older_s: float) -> int:
        """Forget the multipart uploads that are not among ``but``, if they began so long ago. Returns how many."""
        ids = {upload.removeprefix(_WITH_CHECKSUMS) for upload in but}
        with self._told(self.prefix):
            pages = self._client.get_paginator("list_multipart_uploads").paginate(Bucket=self.name, Prefix=self.prefix)
            rows = [row for page in pages for row in page.get("Uploads", ()) if row["UploadId"] not in ids]
        old = [row for row in rows if row["Initiated"].timestamp() <= time.time() - older_s]
        for row in old:
            self.drop_upload(row["Key"][len(self.prefix) :], row["UploadId"])
        return len(old)

    # -- URLs for clients

    def url_to_get(self, key: str, expires_s: int, file_name: str = "") -> str:
        """A URL that anybody can read the object from until it expires; ``file_name`` is what a browser saves it as."""
        wanted = {"ResponseContentDisposition": f'attachment; filename="{_header_safe(file_name)}"'} if file_name else {}
        return self._presigned("get_object", key, expires_s, wanted)

    def url_to_put(self, key: str, expires_s: int, sha256_base64: str = "") -> str:
        """A URL to PUT the object to. With a checksum the store refuses any other content (x-amz-checksum-sha256 must be sent)."""
        return self._presigned("put_object", key, expires_s, {"ChecksumSHA256": sha256_base64} if sha256_base64 else {})

    def url_to_put_part(self, key: str, upload: str, number: int, expires_s: int, size: int | None = None, sha256_base64: str = "") -> str:
        """A URL to PUT one part to: of that size and no other; with a checksum, of that content (x-amz-checksum-sha256 must be sent)."""
        wanted = {"PartNumber": number, **({} if size is None else {"ContentLength": size})}
        checked = {"ChecksumSHA256": sha256_base64} if sha256_base64 else {}
        return self._presigned("upload_part", key, expires_s, {"UploadId": self._of(key, upload)["UploadId"], **wanted, **checked})

    def _presigned(self, call: str, key: str, expires_s: int, more: Mapping[str, Any]) -> str:
        place = {"Bucket": self.name, "Key": self.prefix + key, **more}
        with self._told(key):
            return str(self._public_client.generate_presigned_url(call, Params=place, ExpiresIn=expires_s))

    # -- the connection

    @property
    def _client(self) -> Any:
        return self._connect(self.endpoint)

    @property
    def _public_client(self) -> Any:
        return self._connect(self.public_endpoint or self.endpoint)

    def _connect(self, endpoint: str) -> Any:
        waits = (self.connect_timeout_s, self.read_timeout_s, self.tries)
        return _client_of(os.getpid(), endpoint, self.region, self.access_key, self.secret_key, *waits)

    @contextmanager
    def _told(self, key: str) -> Iterator[None]:
        """boto3's errors, in our words."""
        try:
            yield
        except ClientError as error:
            raise self._in_words(error, key) from error
        except Boto3Error as error:  # what a transfer in parts raises, with the cause behind it
            if isinstance(error.__context__, ClientError):
                raise self._in_words(error.__context__, key) from error
            raise self._away(error) from error
        except (NoCredentialsError, PartialCredentialsError) as error:
            raise StoreRefused(
                f"no credentials for bucket {self.name}", "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the machine a role"
            ) from error
        except BotoCoreError as error:
            raise self._away(error) from error

    def _in_words(self, error: ClientError, key: str) -> ReconError | KeyError:
        code = _code(error)
        if code == "NoSuchBucket":
            return StoreRefused(f"{self._where} has no bucket {self.name}", "Create it, or correct RECON_STORE")
        if code in _ABSENT:
            return KeyError(key)
        if code in _REFUSED:
            return StoreRefused(f"{self._where} refused access to bucket {self.name}: {code}", "Check the credentials and what they may do")
        if code in _FULL:
            return DiskFull(f"{self._where} is full: {code}", "Give it more room, or delete old jobs")
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if 400 <= status < 500 and status not in (408, 429):
            return StoreRefused(f"{self._where} refused a request on {key}: {code}: {error.response.get('Error', {}).get('Message', '')}")
        return self._away(error)

    def _away(self, error: Exception) -> StoreAway:
        return StoreAway(
            f"{self._where} did not answer after {self.tries} tries: {error}", "Check that it runs and can be reached from here"
        )

    @property
    def _where(self) -> str:
        return f"the object store at {self.endpoint or 'AWS'}"


@cache  # making a client takes tenths of a second; it is safe among threads, and each process needs its own
def _client_of(
    process: int,  # noqa: ARG001
    endpoint: str,
    region: str,
    access_key: str,
    secret_key: str,
    connect_timeout_s: float,
    read_timeout_s: float,
    tries: int,
) -> Any:
    config = BotoConfig(
        connect_timeout=connect_timeout_s,
        read_timeout=read_timeout_s,
        retries={"mode": "standard", "total_max_attempts": tries},  # waits 1, 2, 4 ... s, each with jitter
        s3={"addressing_style": "path" if endpoint else "auto"},
        signature_version="s3v4",
        max_pool_connections=32,
    )
    return boto3.session.Session().client(
        "s3",
        endpoint_url=endpoint or None,
        region_name=region or None,
        aws_access_key_id=access_key or None,
        aws_secret_access_key=secret_key or None,
        config=config,
    )


_TRANSFER = TransferConfig(multipart_threshold=2 * PART_BYTES, multipart_chunksize=PART_BYTES, max_concurrency=4)


def _part(row: Mapping[str, Any]) -> Part:
    return Part(row["PartNumber"], row["Size"], row["ETag"].strip('"'), row.get("ChecksumSHA256", ""))


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _header_safe(name: str) -> str:
    """A file name that can't end its header or its quotes."""
    return "".join(letter if letter.isascii() and letter.isprintable() and letter not in '"\\' else "_" for letter in name)
