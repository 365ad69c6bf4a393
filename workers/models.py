"""The tables. Every row has its owner; times are seconds since 1970, sizes bytes.

owner ─ key, webhook ─ delivery
      └ capture ─ file ─ part
                └ chore
                └ job ─ stage ─ shard
                      └ event, artifact, share, measurement
"""

from __future__ import annotations

import secrets
import time
from typing import Any

from sqlalchemy import JSON, BigInteger, ForeignKey, Index, Integer, MetaData, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

# named constraints: without names neither SQLite nor a later migration can change them
NAMES = {
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "pk": "pk_%(table_name)s",
}
_Number = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts up only a column that is called INTEGER


def new_id() -> str:
    """An id that can't be guessed."""
    return secrets.token_hex(10)


class Table(DeclarativeBase):
    metadata = MetaData(naming_convention=NAMES)
    type_annotation_map = {dict[str, Any]: JSON, list[str]: JSON, list[list[float]]: JSON, int: BigInteger}  # noqa: RUF012


class Owner(Table):
    __tablename__ = "owners"

    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    name: Mapped[str]
    created_s: Mapped[float] = mapped_column(default=time.time)
    max_storage_bytes: Mapped[int | None]
    max_upload_bytes: Mapped[int | None]
    max_jobs: Mapped[int | None]
    """Jobs at once, queued or running."""
    keep_captures_s: Mapped[float | None]
    keep_results_s: Mapped[float | None]
    """Retention; None: until deleted."""


def _owner() -> Mapped[str]:
    return mapped_column(ForeignKey("owners.id", ondelete="CASCADE"), index=True)


class Key(Table):
    """An API key. Only its hash is kept; ``hint`` is its beginning, to tell keys apart."""

    __tablename__ = "keys"

    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    owner_id: Mapped[str] = _owner()
    name: Mapped[str]
    hint: Mapped[str]
    sha256: Mapped[str] = mapped_column(unique=True)
    scopes: Mapped[list[str]] = mapped_column(default=list)
    created_s: Mapped[float] = mapped_column(default=time.time)
    used_s: Mapped[float | None]
    expires_s: Mapped[float | None]
    revoked_s: Mapped[float | None]


class Capture(Table):
    """Uploaded files that belong together. ``state``: open, ready, failed."""

    __tablename__ = "captures"

    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    owner_id: Mapped[str] = _owner()
    name: Mapped[str]
    state: Mapped[str] = mapped_column(default="open")
    inspection: Mapped[dict[str, Any] | None]
    error: Mapped[dict[str, Any] | None]
    """``code``, ``message``, ``remedy``."""
    created_s: Mapped[float] = mapped_column(default=time.time)
    expires_s: Mapped[float | None]
    deleted_s: Mapped[float | None]
    """Deleted by its owner: nobody finds it any more, and the next sweep removes it."""


class File(Table):
    """One file of a capture. ``state``: uploading, whole, damaged."""

    __tablename__ = "files"
    __table_args__ = (UniqueConstraint("capture_id", "name"),)

    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    owner_id: Mapped[str] = _owner()
    capture_id: Mapped[str] = mapped_column(ForeignKey("captures.id", ondelete="CASCADE"), index=True)
    name: Mapped[str]
    """As the user named it, '/' between folders."""
    size: Mapped[int]
    sha256: Mapped[str | None]
    state: Mapped[str] = mapped_column(default="uploading")
    object: Mapped[str]
    """Key of its bytes among the owner's objects."""
    upload: Mapped[str | None]
    """Id of the upload in parts, while there is one."""
    part_bytes: Mapped[int]
    created_s: Mapped[float] = mapped_column(default=time.time)


class Part(Table):
    """A part of a file that goes to S3 with a checksum, which S3 wants to hear again in the end. What has arrived, the store knows."""

    __tablename__ = "parts"
    __table_args__ = (UniqueConstraint("file_id", "number"),)

    id: Mapped[int] = mapped_column(_Number, primary_key=True)
    owner_id: Mapped[str] = _owner()
    file_id: Mapped[str] = mapped_column(ForeignKey("files.id", ondelete="CASCADE"))
    number: Mapped[int]
    size: Mapped[int]
    etag: Mapped[str]
    sha256: Mapped[str | None]


class Job(Table):
    """One reconstruction. ``state``: queued, running, done, failed, cancelled. Workers drop what belongs to one that ended."""

    __tablename__ = "jobs"
    __table_args__ = (Index("ix_jobs_state_created", "state", "created_s"),)

    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    owner_id: Mapped[str] = _owner()
    capture_id: Mapped[str] = mapped_column(ForeignKey("captures.id", ondelete="CASCADE"), index=True)
    state: Mapped[str] = mapped_column(default="queued")
    priority: Mapped[int] = mapped_column(default=4)
    """0 to 9, higher first: among one owner's jobs, and between owners who have equally much running."""
    preset: Mapped[str] = mapped_column(default="default")
    config: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """A whole ``recon.config.Config``."""
    until: Mapped[str | None]
    source: Mapped[str | None]
    """Key of the folder that lists the capture's files as they were when the job began: a capture may grow later."""
    stage: Mapped[str | None]
    error: Mapped[dict[str, Any] | None]
    """``code``, ``message``, ``remedy``, ``stage``."""
    expected_s: Mapped[float | None]
    """Seconds of the whole job on the machine that inspected the capture, as ``recon.cost`` sees it."""
    traceparent: Mapped[str | None]
    """Span of the request that made it, as W3C trace context: its shards' spans go below."""
    created_s: Mapped[float] = mapped_column(default=time.time)
    advanced_s: Mapped[float] = mapped_column(default=0.0)
    """When ``advance`` last looked at it, by the database's clock."""
    started_s: Mapped[float | None]
    ended_s: Mapped[float | None]
    expires_s: Mapped[float | None]
    deleted_s: Mapped[float | None]
    """Deleted by its owner: nobody finds it any more, and the next sweep removes it."""


class StageRow(Table):
    """One stage of a job. ``state``: waiting, running, done, cached, failed, cancelled."""

    __tablename__ = "stages"
    __table_args__ = (UniqueConstraint("job_id", "name"),)

    id: Mapped[int] = mapped_column(_Number, primary_key=True)
    owner_id: Mapped[str] = _owner()
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    name: Mapped[str]
    position: Mapped[int]
    key: Mapped[str | None]
    """Key of its folders in the store, once it has begun. What no row names belongs to no job any more."""
    state: Mapped[str] = mapped_column(default="waiting")
    shards: Mapped[int] = mapped_column(default=0)
    shards_done: Mapped[int] = mapped_column(default=0)
    message: Mapped[str] = mapped_column(default="")
    started_s: Mapped[float | None]
    ended_s: Mapped[float | None]


class ShardRow(Table):
    """One piece of work that is not in the store yet. ``state``: pending, running, done, failed, cancelled."""

    __tablename__ = "shards"
    __table_args__ = (
        UniqueConstraint("stage_id", "number"),
        Index("ix_shards_queue_state", "queue", "state"),
        Index("ix_shards_state_owner", "state", "owner_id"),
    )

    id: Mapped[int] = mapped_column(_Number, primary_key=True)
    owner_id: Mapped[str] = _owner()
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), index=True)
    stage_id: Mapped[int] = mapped_column(ForeignKey("stages.id", ondelete="CASCADE"))
    number: Mapped[int]
    """Index in the stage's plan; -1: the planning itself."""
    queue: Mapped[str]
    state: Mapped[str] = mapped_column(default="pending")
    attempts: Mapped[int] = mapped_column(default=0)
    """Times it was begun and neither ended nor given back."""
    worker: Mapped[str | None] = mapped_column(index=True)
    pid: Mapped[int | None]
    seen_s: Mapped[float | None]
    """When its worker last said that it lives, by the database's clock."""
    not_before_s: Mapped[float] = mapped_column(default=0.0)
    """Pending, but not to be begun before."""
    fraction: Mapped[float] = mapped_column(default=0.0)
    started_s: Mapped[float | None]
    ended_s: Mapped[float | None]


class Event(Table):
    """What a job told that must outlive the stream: its states and those of its stages. No progress."""

    __tablename__ = "events"

    id: Mapped[int] = mapped_column(_Number, primary_key=True)
    owner_id: Mapped[str] = _owner()
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), index=True)
    at_s: Mapped[float] = mapped_column(default=time.time)
    kind: Mapped[str]
    told: Mapped[dict[str, Any]]


class Artifact(Table):
    """A file that a job gives to its user. ``kind``: result, or preview while it runs."""

    __tablename__ = "artifacts"
    __table_args__ = (UniqueConstraint("job_id", "name"),)

    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    owner_id: Mapped[str] = _owner()
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    name: Mapped[str]
    kind: Mapped[str] = mapped_column(default="result", server_default="result")
    folder: Mapped[str]
    """Key of the store's folder that it lies in."""
    path: Mapped[str | None]
    """Its name in that folder, where that is another."""
    size: Mapped[int]
    sha256: Mapped[str]
    created_s: Mapped[float] = mapped_column(default=time.time)


class Share(Table):
    """A link that shows one job to whoever has it. Only the hash of its secret is kept."""

    __tablename__ = "shares"

    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    owner_id: Mapped[str] = _owner()
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), index=True)
    name: Mapped[str]
    sha256: Mapped[str]
    created_s: Mapped[float] = mapped_column(default=time.time)
    expires_s: Mapped[float]
    used_s: Mapped[float | None]
    revoked_s: Mapped[float | None]


class Measurement(Table):
    """Something that was measured in a job's model. ``kind``: distance, height, area, profile."""

    __tablename__ = "measurements"

    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    owner_id: Mapped[str] = _owner()
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), index=True)
    kind: Mapped[str]
    name: Mapped[str]
    points: Mapped[list[list[float]]]
    """In the model's world frame, z up."""
    value: Mapped[float]
    unit: Mapped[str]
    metric: Mapped[bool]
    """False: the model's unit is arbitrary, and so is the value's."""
    created_s: Mapped[float] = mapped_column(default=time.time)


class Chore(Table):
    """Work on a capture that some worker does apart from jobs. ``kind``: inspect, import.

    ``state``: pending, running, done, failed, cancelled.
    """

    __tablename__ = "chores"
    __table_args__ = (Index("ix_chores_state_next", "state", "not_before_s"),)

    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    owner_id: Mapped[str] = _owner()
    capture_id: Mapped[str] = mapped_column(ForeignKey("captures.id", ondelete="CASCADE"), index=True)
    kind: Mapped[str]
    what: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """Of an import: ``url``, what its owner may still store, and how far it is: ``files``, ``bytes``."""
    state: Mapped[str] = mapped_column(default="pending")
    attempts: Mapped[int] = mapped_column(default=0)
    """Times it was begun and neither ended nor given back."""
    worker: Mapped[str | None] = mapped_column(index=True)
    pid: Mapped[int | None]
    seen_s: Mapped[float | None]
    """When its worker last said that it lives, by the database's clock."""
    not_before_s: Mapped[float] = mapped_column(default=0.0)
    error: Mapped[dict[str, Any] | None]
    created_s: Mapped[float] = mapped_column(default=time.time)
    ended_s: Mapped[float | None]


class Webhook(Table):
    __tablename__ = "webhooks"

    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    owner_id: Mapped[str] = _owner()
    url: Mapped[str]
    secret: Mapped[str]
    kinds: Mapped[list[str]] = mapped_column(default=list)
    """Kinds of events that it is told; empty: all."""
    active: Mapped[bool] = mapped_column(default=True)
    created_s: Mapped[float] = mapped_column(default=time.time)


class Delivery(Table):
    """One event for one webhook. ``state``: waiting, delivered, failed."""

    __tablename__ = "deliveries"
    __table_args__ = (Index("ix_deliveries_state_next", "state", "next_s"),)

    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    owner_id: Mapped[str] = _owner()
    webhook_id: Mapped[str] = mapped_column(ForeignKey("webhooks.id", ondelete="CASCADE"), index=True)
    kind: Mapped[str]
    told: Mapped[dict[str, Any]]
    state: Mapped[str] = mapped_column(default="waiting")
    attempts: Mapped[int] = mapped_column(default=0)
    next_s: Mapped[float] = mapped_column(default=time.time)
    status: Mapped[int | None]
    """HTTP status of the last answer; None: there was none."""
    created_s: Mapped[float] = mapped_column(default=time.time)


class Answer(Table):
    """What a request with an Idempotency-Key was answered, so that its repetition is answered the same."""

    __tablename__ = "answers"
    __table_args__ = (UniqueConstraint("owner_id", "key"),)

    id: Mapped[int] = mapped_column(_Number, primary_key=True)
    owner_id: Mapped[str] = _owner()
    key: Mapped[str]
    request_sha256: Mapped[str]
    status: Mapped[int | None]
    body: Mapped[dict[str, Any] | None]
    created_s: Mapped[float] = mapped_column(default=time.time)
