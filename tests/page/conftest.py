"""A whole ``recon serve`` with the real pipeline, a small capture, and a browser in which nothing may go wrong."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import axe_playwright_python
import httpx
import psutil
import pytest
from chromium import Launch
from playwright.sync_api import Browser, BrowserContext, Page

from recon.simulate import simulate

AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
SIZES = {"desk": (1280, 860), "phone": (390, 844)}
OPTIONS = {"products": {"turntable_s": 0}, "mesh": {"depth": 6, "faces": 2000}, "texture": {"page_px": 512}}
"""What makes the real pipeline quick."""


@dataclass(frozen=True)
class Served:
    url: str
    key: str
    pid: int
    database: Path

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, headers={"Authorization": f"Bearer {self.key}"}, timeout=30)

    @contextmanager
    def work_stopped(self) -> Iterator[None]:
        """Within it what is asked for waits: the workers hand nothing on. What their processes are at comes to its end."""
        workers = [child for child in psutil.Process(self.pid).children() if "worker" in child.cmdline()]
        assert workers
        try:
            for worker in workers:
                worker.suspend()
            while self._is_locked():  # stopped amid a transaction: others would wait for it
                for worker in workers:
                    worker.resume()
                time.sleep(0.1)
                for worker in workers:
                    worker.suspend()
            yield
        finally:
            for worker in workers:
                worker.resume()

    def _is_locked(self) -> bool:
        """Whether somebody holds the database's lock for longer than transactions last."""
        with closing(sqlite3.connect(self.database, timeout=2)) as connection:
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                return True
            connection.rollback()
        return False


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home = tmp_path_factory.mktemp("home")
    environment = {**os.environ, "RECON_HOME": str(home), "RECON_CORES": "2", "RECON_MEMORY_MB": "6000", "RECON_STOP_S": "0.5"}
    command = [sys.executable, "-m", "recon", "serve", "--port", "0", "--json"]
    log = (home.parent / "serve.log").open("wb")
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment)
    assert process.stdout is not None
    told = json.loads(process.stdout.readline() or "{}")
    assert told.get("event") == "serving", (home.parent / "serve.log").read_text()
    yield Served(told["url"], Path(told["key_file"]).read_text().strip(), process.pid, home / "recon.db")
    process.send_signal(signal.SIGINT)
    process.wait(30)
    process.stdout.close()
    log.close()


@dataclass(frozen=True)
class Flight:
    photos: list[Path]
    truth: Path


@pytest.fixture(scope="session")
def flight(tmp_path_factory: pytest.TempPathFactory) -> Flight:
    """The photos of a small survey of known truth, whose GPS is exact: its scale is known as well."""
    folder = tmp_path_factory.mktemp("flight")
    truth = simulate("drone", folder, images=9, size=(320, 240), gps_noise_m=0.0)
    return Flight(sorted((folder / truth.capture).glob("*.JPG")), folder / "truth")


@pytest.fixture(scope="session")
def browser(chromium: Launch) -> Iterator[Browser]:
    found = chromium()
    yield found
    found.close()


Open = Callable[..., Page]


@pytest.fixture
def open_at(browser: Browser) -> Iterator[Open]:
    """Open the page of a service at a route, with a key or without. At the end: nothing was asked of others, nothing complained."""
    contexts: list[BrowserContext] = []
    complaints: list[str] = []
    outside: list[str] = []

    def open_page(at: str, route: str, key: str | None, size: str = "desk", store: str = "blob:", **options: Any) -> Page:
        width, height = SIZES[size]
        context = browser.new_context(viewport={"width": width, "height": height}, **{"reduced_motion": "reduce", **options})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda asked: None if asked.url.startswith((at, store, "blob:", "data:")) else outside.append(asked.url))
        if key is not None:
            # not in frames: the report's has no storage
            page.add_init_script(
                f"if (self === top) sessionStorage.getItem('recon.key') ?? sessionStorage.setItem('recon.key', {json.dumps(key)})"
            )
        page.goto(f"{at}/#{route}")
        return page

    open_page.complaints = complaints  # type: ignore[attr-defined]
    yield open_page
    for context in contexts:
        context.close()
    assert outside == []
    assert [text for text in complaints if "GPU stall" not in text] == []


@pytest.fixture
def open_page(open_at: Open, served: Served) -> Open:
    """The page of the module's service, signed in unless said otherwise."""

    def open_it(route: str = "/", key: str | None = served.key, at: str = served.url, **options: Any) -> Page:
        return open_at(at, route, key, **options)

    open_it.complaints = open_at.complaints  # type: ignore[attr-defined]
    return open_it


@pytest.fixture(scope="session")
def look() -> Callable[[Page, str], None]:
    """No fault that axe finds, in either theme; with RECON_SHOTS=folder a picture of each is left there, as on a phone."""
    shots = os.environ.get("RECON_SHOTS")

    def look_at(page: Page, name: str) -> None:
        page.evaluate(AXE)
        faults = []
        for theme in ("light", "dark"):
            page.evaluate("theme => { document.documentElement.dataset.theme = theme }", theme)
            found = page.evaluate(
                "axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice'], iframes: false})"
            )
            for row in found["violations"]:
                faults += [(name, theme, row["id"], node["html"][:200], node["failureSummary"][:300]) for node in row["nodes"]]
            if shots:
                page.screenshot(path=f"{shots}/{name}-{theme}.png")
        if shots:
            size = page.viewport_size
            page.set_viewport_size({"width": SIZES["phone"][0], "height": SIZES["phone"][1]})
            page.wait_for_timeout(300)
            page.screenshot(path=f"{shots}/{name}-phone.png")
            wide = page.evaluate("document.documentElement.scrollWidth")
            if wide > SIZES["phone"][0]:
                faults.append((name, "phone", f"{wide} pixels wide"))
            page.set_viewport_size(size)  # type: ignore[arg-type]
        page.evaluate("delete document.documentElement.dataset.theme")
        assert faults == []

    return look_at
