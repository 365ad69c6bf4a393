"""Where one owner's folders and uploads lie. Nothing is shared between owners, so none can tell what another has."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from workers.bucket import Bucket
from workers.cache import FolderCache
from workers.objects import LocalObjects, Objects
from workers.s3 import S3Store
from workers.scratch import NodeStore
from workers.settings import Settings


class Place:
    """One owner's results (``store``) and uploaded files (``uploads``). Make one for each task: it holds what it pulls."""

    def __init__(self, settings: Settings, owner_id: str) -> None:
        if not owner_id.isalnum():
            raise ValueError(f"no owner's id: {owner_id!r}")
        self.settings = settings
        self.owner_id = owner_id
        self.cache = FolderCache(settings.folder / "cache", int(settings.cache_gb * 1e9))

    @cached_property
    def store(self) -> NodeStore:
        if self._bucket is None:
            return NodeStore(self._local / "results")
        return S3Store(self._bucket.below("results"), self._copies / "results", self.cache)

    @cached_property
    def uploads(self) -> Objects:
        return LocalObjects(self._local / "uploads") if self._bucket is None else self._bucket.below("uploads")

    def upload_path(self, key: str) -> Path:
        """A local path of an uploaded file, to be read only, that stays until ``release``. KeyError if there is none."""
        if isinstance(self.uploads, LocalObjects):
            path = self.uploads.path(key)
            if not path.is_file():
                raise KeyError(key)
            return path
        copies = NodeStore(self._copies / "uploads")

        def fetch() -> None:
            with copies.scratch() as folder:
                with (folder / "file").open("wb") as stream:
                    for chunk in self.uploads.stream(key):
                        stream.write(chunk)
                copies.push(folder, key, {})

        return self.cache.hold((copies.root / key).relative_to(self.cache.root).as_posix(), fetch) / "file"

    def release(self) -> None:
        """Let go of the local copies: they may be evicted from now on."""
        self.cache.release()

    @property
    def _local(self) -> Path:
        return self.settings.folder / "store" / "owners" / self.owner_id

    @property
    def _copies(self) -> Path:
        return self.cache.root / "owners" / self.owner_id

    @cached_property
    def _bucket(self) -> Bucket | None:
        if self.settings.bucket is None:
            return None
        return shared_bucket(self.settings).below(f"owners/{self.owner_id}")


def sweep(settings: Settings) -> None:
    """Remove what killed processes of this machine left in scratch folders, of all owners. Safe at any time."""
    for parent in (settings.folder / "store", settings.folder / "cache"):
        for root in parent.glob("owners/*/*"):
            NodeStore(root).sweep()


def shared_bucket(settings: Settings) -> Bucket:
    """The whole bucket of the service."""
    assert settings.bucket is not None
    name, prefix = settings.bucket
    return Bucket(name, prefix, settings.s3_endpoint, settings.s3_public_endpoint, settings.s3_region)
