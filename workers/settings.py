"""Where the service's parts are, from the environment. ``recon/`` never sees these."""

from __future__ import annotations

import os
import platform
from functools import cached_property
from pathlib import Path
from urllib.parse import urlsplit

import psutil
from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from recon.errors import ConfigError

MAX_SOCKET_PATH = 100
"""A unix socket's path may be 107 bytes long on Linux, 103 on macOS."""


class Settings(BaseSettings):
    """``RECON_HOME=/srv/recon``, ``RECON_STORE=s3://bucket/prefix`` and so on. Left out, all is embedded below ``home``."""

    model_config = SettingsConfigDict(env_prefix="RECON_", frozen=True, extra="ignore")

    home: Path = Field(Path("~/.recon"), description="folder of all that is embedded, and of local copies")
    broker: str = Field("", description="redis://host:6379/0, rediss://... or redis+socket:///path; empty: one of our own")
    store: str = Field("", description="s3://bucket/prefix; empty: a local folder")
    database: str = Field("", description="postgresql://user:password@host/name; empty: SQLite")
    s3_endpoint: str = Field("", description="http://host:8333 for SeaweedFS, MinIO, Ceph; empty: AWS")
    s3_public_endpoint: str = Field("", description="the same server as clients reach it, in presigned URLs")
    s3_region: str = ""
    cache_gb: float = Field(50.0, gt=0, description="local copies of the store's folders, besides those in use")
    cores: int = Field(0, ge=0, description="cores that a worker may use; 0: all")
    memory_mb: int = Field(0, ge=0, description="memory that a worker may use; 0: nine tenths of what is free when it starts")
    attempts: int = Field(3, ge=1, description="a shard that ended its worker process so many times fails its job")
    lease_s: float = Field(60.0, ge=3, description="a worker not heard of for so long is taken for dead, and its shards run elsewhere")
    stop_s: float = Field(5.0, ge=0, description="how long a worker that is told to stop waits for its shards before it gives them back")
    inspect_s: float = Field(600.0, gt=0, description="looking at a capture's files may take so long")
    allow_private: bool = Field(False, description="imports and webhooks may reach private addresses: for tests and closed networks only")
    json_logs: bool = Field(False, description="logs as JSON, a line each")
    import_buckets: str = Field("", description="comma-separated buckets that every owner may import from, with the workers' credentials")

    @property
    def folder(self) -> Path:
        return Path(os.path.abspath(self.home.expanduser()))

    @property
    def broker_url(self) -> str:
        return self.broker or f"redis+socket://{self.broker_socket}"

    @cached_property
    def broker_socket(self) -> Path:
        """The embedded broker's socket: in ``home``, or under a short name in the temporary folder if that path is too long."""
        path = self.folder / "broker.sock"
        if len(str(path)) <= MAX_SOCKET_PATH:
            return path
        import hashlib
        import tempfile

        return Path(tempfile.gettempdir()) / f"recon-{hashlib.sha256(str(self.folder).encode()).hexdigest()[:16]}.sock"

    @property
    def database_url(self) -> str:
        url = self.database or f"sqlite:///{self.folder / 'recon.db'}"
        return url.replace("postgresql://", "postgresql+psycopg://", 1).replace("postgres://", "postgresql+psycopg://", 1)

    @property
    def bucket(self) -> tuple[str, str] | None:
        """The bucket's name and the prefix in it; None for a local store."""
        if not self.store:
            return None
        parts = urlsplit(self.store)
        if parts.scheme != "s3" or not parts.netloc:
            raise ConfigError(
                f"RECON_STORE is '{self.store}'", "Write s3://bucket or s3://bucket/prefix, or leave it out for a local folder"
            )
        prefix = parts.path.strip("/")
        return parts.netloc, f"{prefix}/" if prefix else ""

    @property
    def importable(self) -> frozenset[str]:
        """Names of the buckets that anybody may import from."""
        return frozenset(name.strip() for name in self.import_buckets.split(",") if name.strip())

    @cached_property
    def usable_cores(self) -> int:
        return self.cores or (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)

    @cached_property
    def usable_memory_mb(self) -> int:
        return self.memory_mb or int(psutil.virtual_memory().available * 0.9 / 2**20)

    @property
    def node(self) -> str:
        """This machine's name."""
        return platform.node() or "node"


def secrets_folder() -> Path | None:
    """``RECON_SECRETS``, a folder of files that stand for variables: ``recon_database`` for ``RECON_DATABASE``. The variable wins."""
    named = os.environ.get("RECON_SECRETS")
    if named and not Path(named).is_dir():
        raise ConfigError(f"RECON_SECRETS is '{named}', which is no folder", "Mount the secrets there, or leave it out")
    return Path(named) if named else None


def load_settings() -> Settings:
    """The environment's settings; ConfigError in words."""
    try:
        return Settings(_secrets_dir=secrets_folder())
    except ValidationError as error:
        first = error.errors()[0]
        name = "_".join(str(part) for part in first["loc"]).upper()
        raise ConfigError(f"RECON_{name} is {first['input']!r}: {first['msg'].lower()}") from None
