"""What an owner's store holds and no row names any more: left by jobs and captures that were removed, or by processes that were killed."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterable
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from recon.config import parse
from recon.errors import ConfigError
from recon.pipeline import Run, stages_until
from recon.storage import DONE
from workers.errors import StoreDamaged
from workers.jobs import LIVE, SOURCE
from workers.models import Artifact, File, Job, StageRow
from workers.node import Node
from workers.places import Place
from workers.s3 import S3Store
from workers.scratch import NodeStore

log = logging.getLogger(__name__)

HOUR_S = 3600.0
_FOLDER = re.compile(r"[a-z_]+-[0-9a-f]{16}")
"""A stage's folders, or those that list captures. Nothing else is touched."""


def sweep_folders(node: Node, place: Place, older_s: float = HOUR_S) -> int:
    """Remove the folders of stages that no job of the owner names or may name. Returns how many."""
    removed = 0
    for folder in _orphans(place, _named(node, place)):
        if _written_s(place.store, folder) > time.time() - older_s:
            continue
        named = _named(node, place)  # a job may have begun since
        if named is None or folder in named:
            continue
        _remove(place.store, folder)
        removed += 1
    if removed:
        log.info("removed the folders of %d stages that no job of owner %s needs", removed, place.owner_id)
    return removed


def sweep_uploads(node: Node, place: Place, older_s: float = HOUR_S) -> int:
    """Remove uploaded objects, and uploads in parts, that belong to no file; on S3 also what killed workers left of a folder."""
    with node.database.reading() as session:
        files = session.execute(select(File.object, File.upload).where(File.owner_id == place.owner_id)).all()
    objects, uploads = {key for key, _ in files}, {upload for _, upload in files if upload}
    before_s = time.time() - older_s
    old = [stored.key for stored in place.uploads.listed() if stored.key not in objects and stored.modified_s <= before_s]
    place.uploads.delete(old)
    dropped = place.uploads.drop_uploads(uploads, older_s)
    if isinstance(place.store, S3Store):
        place.store.sweep_bucket()
    if old or dropped:
        log.info("removed %d uploads and %d unfinished ones of owner %s that belong to no file", len(old), dropped, place.owner_id)
    return len(old) + dropped


def _orphans(place: Place, named: set[str] | None) -> list[str]:
    if named is None:
        return []
    store = place.store
    found: Iterable[str] = store.bucket.folders() if isinstance(store, S3Store) else (path.name for path in store.root.glob("*"))
    return [folder for folder in found if _FOLDER.fullmatch(folder) and folder not in named]


def _named(node: Node, place: Place) -> set[str] | None:
    """Folders that the owner's jobs have, or will ask for; None while that can't be told."""
    with node.database.reading() as session:
        jobs = list(session.scalars(select(Job).where(Job.owner_id == place.owner_id)))
        named = _noted(session, place.owner_id)
        unnoted = _unnoted(session, place.owner_id)
    for job in jobs:
        if job.source is not None:
            named.add(job.source.partition("/")[0])
        if job.state in LIVE or job.id in unnoted:
            asked = _asked(place, job)
            if asked is None and job.state in LIVE:
                return None
            named |= asked or set()
    return named


def _noted(session: Session, owner_id: str) -> set[str]:
    keys = set(session.scalars(select(StageRow.key).where(StageRow.owner_id == owner_id, StageRow.key.is_not(None)).distinct()))
    keys |= set(session.scalars(select(Artifact.folder).where(Artifact.owner_id == owner_id).distinct()))
    return {key.partition("/")[0] for key in keys if key is not None}


def _unnoted(session: Session, owner_id: str) -> set[str]:
    """Jobs with a stage that has begun, but whose folders no row names."""
    begun = (StageRow.key.is_(None), StageRow.state != "waiting", StageRow.name != SOURCE)
    return set(session.scalars(select(StageRow.job_id).where(StageRow.owner_id == owner_id, *begun)))


def _asked(place: Place, job: Job) -> set[str] | None:
    """All folders of a job's recipe, made or not: it takes over what lies there. None while its files are not listed."""
    if job.source is None:
        return None
    try:
        listed = place.store.pull(job.source)
        return set(Run(listed, parse(job.config), place.store, stages_until(job.until)).keys.values())
    except (KeyError, ConfigError, StoreDamaged):  # gone, or of a version with other options
        return None


def _written_s(store: NodeStore, folder: str) -> float:
    """When something was last written below it; 0 if nothing is left."""
    if isinstance(store, S3Store):
        return max((stored.modified_s for stored in store.bucket.listed(f"{folder}/")), default=0.0)
    shards = list((store.root / folder).glob("*"))
    paths = (store.root / folder, *shards, *(shard / DONE for shard in shards))
    return max((path.stat().st_mtime for path in paths if path.exists()), default=0.0)


def _remove(store: NodeStore, folder: str) -> None:
    """All shards of a stage. Each is gone at once for whoever looks; its files follow."""
    if isinstance(store, S3Store):
        keys = [stored.key for stored in store.bucket.listed(f"{folder}/")]
        store.bucket.delete(key for key in keys if Path(key).name == DONE and key.count("/") == 2)
        store.bucket.delete(keys)
        return
    with store.scratch() as trash:  # whoever is killed here leaves it to the sweep of scratch folders
        (store.root / folder).rename(trash / "folder")
