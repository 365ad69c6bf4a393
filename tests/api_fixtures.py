"""A whole service with its API on a real port. ``api``: the toy pipeline, embedded and as a fleet; ``real_api``: the real one."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import toy_pipeline
import uvicorn
from servers import wait_until
from service_fixtures import Service, made

from api.app import make_api
from api.keys import SCOPES, Scope, make_key
from api.settings import ApiSettings
from workers.models import Owner


@dataclass
class Api:
    """An API process's app, served in a thread; ``client`` holds the key of the owner called "owner"."""

    service: Service
    values: dict[str, Any]
    clients: list[httpx.Client] = field(default_factory=list)

    def start(self) -> None:
        self.app = make_api(self.service.settings, ApiSettings(**self.values))
        self.server = uvicorn.Server(uvicorn.Config(self.app, "127.0.0.1", self.values.get("port", 0), log_level="warning"))
        self.thread = threading.Thread(target=self.server.run)
        self.thread.start()
        wait_until(lambda: self.server.started or not self.thread.is_alive(), 20, "the API starts")
        (port,) = [socket.getsockname()[1] for server in self.server.servers for socket in server.sockets]
        self.values["port"] = port  # the same after a restart
        self.url = f"http://127.0.0.1:{port}"
        self.client = self.client_of("owner")

    def stop(self) -> None:
        for client in self.clients:
            client.close()
        self.clients.clear()
        self.server.should_exit = True
        self.thread.join(20)

    def client_of(self, owner: str, scopes: tuple[Scope, ...] = SCOPES, **options: Any) -> httpx.Client:
        """A client with a new key of that owner, who is made if there is none."""
        with self.service.node.database.writing() as session:
            if session.get(Owner, owner) is None:
                session.add(Owner(id=owner, name=owner))
                session.flush()
            _, key = make_key(session, owner, "test", scopes)
        client = httpx.Client(base_url=self.url, headers={"Authorization": f"Bearer {key}"}, timeout=30, **options)
        self.clients.append(client)
        return client

    def add_capture(self, files: dict[str, bytes], client: httpx.Client | None = None) -> str:
        """A capture made of whole uploads through the API, complete."""
        client = client or self.client
        capture = _ok(client.post("/v1/captures", json={"name": "capture"}))["id"]
        for name, content in files.items():
            self.upload(capture, name, content, client)
        _ok(client.post(f"/v1/captures/{capture}/complete"))
        return str(capture)

    def upload(self, capture: str, name: str, content: bytes, client: httpx.Client | None = None) -> dict[str, Any]:
        client = client or self.client
        wanted = {"files": [{"name": name, "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}]}
        (file,) = _ok(client.post(f"/v1/captures/{capture}/files", json=wanted))["files"]
        numbers = list(range(1, file["parts_total"] + 1))
        for part in _ok(client.post(f"/v1/files/{file['id']}/parts", json={"numbers": numbers}))["parts"]:
            start = (part["number"] - 1) * file["part_bytes"]
            sent = httpx.put(part["url"], content=content[start : start + part["size"]], headers=part["headers"], timeout=30)
            assert sent.status_code == 200, sent.text
        return dict(_ok(client.post(f"/v1/files/{file['id']}/complete")))


def _ok(answer: httpx.Response) -> dict[str, Any]:
    assert answer.is_success, f"{answer.request.method} {answer.request.url}: {answer.status_code} {answer.text}"
    return dict(answer.json())


def _served(service: Service, **values: Any) -> Iterator[Api]:
    served = Api(service, {"port": 0, **values})
    served.start()
    yield served
    served.stop()


@pytest.fixture(params=["embedded", "fleet"])
def api(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    """SQLite and a local store, or PostgreSQL and S3; a real broker; the toy pipeline; no worker yet: ``api.service.start_worker()``."""
    monkeypatch.setattr("recon.pipeline.PIPELINE", toy_pipeline.STAGES)
    for service in made(request, tmp_path, monkeypatch):
        yield from _served(service, **getattr(request.node.get_closest_marker("api_settings"), "kwargs", {}))


@pytest.fixture(params=["embedded", "fleet"])
def real_api(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    """The same with the real pipeline."""
    for service in made(request, tmp_path, monkeypatch):
        yield from _served(service)
