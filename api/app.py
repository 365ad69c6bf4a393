"""The FastAPI app: routes under ``/v1``, problems as documents, and what surrounds every request."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from api.artifacts.routes import router as artifacts
from api.body import BodyLimit
from api.captures.imports import router as imports
from api.captures.parts import router as parts
from api.captures.routes import router as captures
from api.events import router as events
from api.health import router as health
from api.jobs.options import router as options
from api.jobs.routes import router as jobs
from api.keeper import Keeper
from api.measurements.routes import router as measurements
from api.observe import observe
from api.owners.routes import router as owners
from api.page import add_page
from api.prefix import Prefixed
from api.problems import Problem, add_handlers, responses
from api.service import Service
from api.settings import ApiSettings
from api.shares.routes import router as shares
from api.webhooks.routes import router as webhooks
from recon import __version__
from workers.settings import Settings

ABOUT = """Photos and video in, a measured 3D model out.

1. `POST /v1/captures`, then `POST /v1/captures/{id}/files` with names and sizes. The answer names URLs to PUT the parts of each file to.
2. `POST /v1/files/{id}/complete` for each, then `POST /v1/captures/{id}/complete`.
3. `POST /v1/jobs`, watch `GET /v1/jobs/{id}/events`, take `GET /v1/jobs/{id}/artifacts`.

Times are seconds since 1970, sizes bytes. Errors are RFC 9457 problem documents:
`code` does not change, `remedy` says what to do.
"""
EXPOSED = ("Accept-Ranges", "Content-Range", "ETag", "Retry-After", "X-Request-Id")
"""Headers that pages of other hosts may read."""
EVERYWHERE = (400, 413, 429, 503)
"""Statuses of problems that any route may answer with: a body that can't be read, too much of it, too often, something is away."""
ROUTERS = (captures, parts, imports, options, jobs, events, artifacts, measurements, shares, webhooks, owners, health)


def make_api(settings: Settings, api: ApiSettings, *, keeps: bool = True) -> FastAPI:
    """The app. ``keeps``: it also delivers webhooks and sweeps what was deleted or has expired, as every API process may."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        service: Service = app.state.service
        service.node.database.upgrade()
        keeper = Keeper(service) if keeps else None
        if keeper:
            keeper.start()
        yield
        if keeper:
            keeper.close()
        service.close()

    app = FastAPI(
        title="recon",
        version=__version__,
        description=ABOUT,
        lifespan=lifespan,
        openapi_url="/v1/openapi.json",
        docs_url=None,  # its page loads scripts from elsewhere
        redoc_url=None,
        generate_unique_id_function=lambda route: route.name,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
    )
    app.state.service = Service(settings, api)
    add_handlers(app)
    for router in ROUTERS:
        app.include_router(router)
    add_page(app, settings)
    app.add_middleware(BodyLimit, max_bytes=api.max_body_bytes)
    if api.origins:
        app.add_middleware(
            CORSMiddleware, allow_origins=list(api.origins), allow_methods=["*"], allow_headers=["*"], expose_headers=EXPOSED
        )
    observe(app)
    if api.root_path:
        app.add_middleware(Prefixed, prefix=api.root_path)
    _describe_problems(app)
    return app


def _describe_problems(app: FastAPI) -> None:
    """Put the schema of problems into the OpenAPI document: routes refer to it by name."""
    generate = app.openapi

    def described() -> dict[str, Any]:
        document = generate()
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        schemas.setdefault("Problem", Problem.model_json_schema(ref_template="#/components/schemas/{model}"))
        for path, operations in document["paths"].items():
            for operation in operations.values():
                stated = operation["responses"]
                if "422" in stated:  # FastAPI describes its own form of it
                    stated |= {str(status): told for status, told in responses(422).items()}
                for status, told in responses(*EVERYWHERE).items() if path.startswith("/v1/") else ():
                    stated.setdefault(str(status), told)
        return document

    app.openapi = described  # type: ignore[method-assign]
