"""How the API listens, what it lets in and how much of it; where the service's parts are is in ``workers.settings``."""

from __future__ import annotations

import secrets

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from api.local import read_or_make
from recon.errors import ConfigError
from workers.settings import Settings, secrets_folder

MB, GB = 2**20, 2**30


class ApiSettings(BaseSettings):
    """``RECON_API_PORT=8000`` and so on."""

    model_config = SettingsConfigDict(env_prefix="RECON_API_", frozen=True, extra="ignore")

    host: str = Field("127.0.0.1", description="address to listen on; 0.0.0.0 for all")
    port: int = Field(8000, ge=0, le=65535, description="0: any free one")
    public_url: str = Field("", description="where clients reach the API: goes into URLs that it hands out. Empty: as the request came")
    root_path: str = Field("", pattern="^(/[^/?#]+)*/?$", description="prefix of all paths, if a proxy serves it below one: '/recon'")
    secret: str = Field("", description="signs URLs; the same on all API processes. Empty: made once, kept in RECON_HOME")
    origins: tuple[str, ...] = Field((), description="origins of pages of other hosts that may call the API")
    url_s: int = Field(3600, ge=1, le=7 * 24 * 3600, description="how long signed URLs hold")
    part_bytes: int = Field(16 * MB, ge=5 * MB, le=512 * MB, description="of an upload, unless the file needs larger ones")
    max_body_bytes: int = Field(2 * MB, ge=1024, description="of a request, but for parts of uploads")
    max_upload_bytes: int = Field(200 * GB, ge=1, description="of one file, where its owner has no limit of their own")
    max_storage_bytes: int = Field(2000 * GB, ge=1, description="of an owner's uploads and results, likewise")
    max_jobs: int = Field(50, ge=1, description="jobs of an owner queued or running at once, likewise")
    rate: str = Field("300/second", description="requests of one key")
    rate_unknown: str = Field("30/minute", description="requests with a wrong key, from one address")
    keep_captures_s: float | None = Field(None, gt=0, description="uploads are removed so long after; empty: never")
    keep_results_s: float | None = Field(None, gt=0, description="results of jobs likewise")
    price_hour: float = Field(0.0, ge=0, description="of one hour of computing, for the cost of jobs")


def load_api_settings() -> ApiSettings:
    """The environment's settings; ConfigError in words."""
    try:
        return ApiSettings(_secrets_dir=secrets_folder())
    except ValidationError as error:
        first = error.errors()[0]
        name = "_".join(str(part) for part in first["loc"]).upper()
        raise ConfigError(f"RECON_API_{name} is {first['input']!r}: {first['msg'].lower()}") from None


def signing_secret(api: ApiSettings, settings: Settings) -> bytes:
    """The secret of signed URLs: given, or made once for this home."""
    if api.secret:
        return api.secret.encode()
    return read_or_make(settings.folder / "secret", lambda: secrets.token_hex(32)).encode()
