"""Where the files of artifacts lie: one interface to a local store and to S3."""

from __future__ import annotations

from collections.abc import Iterator

from api.errors import Absent
from recon.errors import ReconError
from workers.models import Artifact
from workers.objects import LocalObjects, Objects
from workers.places import Place
from workers.s3 import S3Store


class Kept:
    """Files of artifacts in one owner's store. Absent for one that is gone from it."""

    def __init__(self, place: Place) -> None:
        self._store = place.store
        self._pushes: dict[str, str] = {}
        self.objects: Objects = self._store.bucket if isinstance(self._store, S3Store) else LocalObjects(self._store.root)

    def key(self, artifact: Artifact) -> str:
        """Its key among ``objects``. On S3 that is looked up, once a folder; whether the file is there too is not."""
        name = artifact.path or artifact.name
        if not isinstance(self._store, S3Store):
            return f"{artifact.folder}/{name}"
        if artifact.folder not in self._pushes:
            try:
                self._pushes[artifact.folder] = self._store.manifest(artifact.folder)["push"]
            except KeyError:
                raise _gone(artifact) from None
        return f"{artifact.folder}/{self._pushes[artifact.folder]}/{name}"

    def checked_key(self, artifact: Artifact) -> str:
        """The same, of a file that is there."""
        key = self.key(artifact)
        if self.objects.find(key) is None:
            raise _gone(artifact)
        return key

    def url(self, artifact: Artifact, expires_s: int) -> str | None:
        """Where S3 gives it away itself; None on a local store."""
        if not isinstance(self._store, S3Store):
            return None
        return self._store.bucket.url_to_get(self.key(artifact), expires_s, artifact.name.rsplit("/", 1)[-1])

    def stream(self, artifact: Artifact) -> Iterator[bytes]:
        return self.objects.stream(self.key(artifact))


def _gone(artifact: Artifact) -> ReconError:
    return Absent(f"{artifact.name!r} is no longer in the store", "Run the job again: POST /v1/jobs/{id}/rerun")
