"""A Chromium, a server of the bundle and of a job's files, and a page that holds the viewer."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chromium import Launch
from file_server import Answer, FileServer, serving
from playwright.sync_api import Browser, Page
from viewing import describe, put

from api.page import content_policy
from recon.config import Config
from recon.dense.view import Points
from recon.products.pointcloud import write_laz, write_ply
from recon.stage import Work
from recon.stages.products import stage as products

sys.path.insert(0, str(Path(__file__).parents[1] / "products"))
from fake_run import make_run

ROOT = Path(__file__).parents[2]
STATIC = ROOT / "api/static"
TYPES = {".js": "text/javascript", ".css": "text/css", ".html": "text/html", ".wasm": "application/wasm"}
PAGE = """<!doctype html><html lang="en"><head><title>viewer</title><meta name="viewport" content="width=device-width">
<link rel="stylesheet" href="app.css"><link rel="stylesheet" href="harness.css"></head>
<body><main id="root"></main><script type="module" src="harness.js"></script></body></html>"""
STYLE = """:root { color-scheme: light dark } :root[data-theme="light"] { color-scheme: light }
html, body { margin: 0; height: 100% } #root { height: 100% }"""

Open = Callable[..., Page]


@pytest.fixture(scope="session")
def run_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What a small finished run gives: a ball on hilly ground, and a photo whose name is markup."""
    root = tmp_path_factory.mktemp("run")
    inputs = make_run(root)
    config = Config.model_validate({"products": {"turntable_s": 0}})
    products.run(config, inputs, {}, inputs["products"][0], Work())
    folder = inputs["products"][0]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="session")
def marks(tmp_path_factory: pytest.TempPathFactory) -> Points:
    """Four small balls of points, the corners of a square of 5 units, 1 unit of height between two and two; nothing else."""
    rng = np.random.default_rng(0)
    direction = rng.normal(size=(4, 400, 3))
    direction /= np.linalg.norm(direction, axis=2, keepdims=True)
    centers = np.array([[0, 0, 0], [5, 0, 0], [5, 5, 1], [0, 5, 1]], float)
    xyz = (centers[:, None] + 0.005 * direction).reshape(-1, 3).astype(np.float32)
    ones = np.ones(len(xyz), np.float32)
    rgb = np.tile(np.uint8([220, 40, 40]), (len(xyz), 1))
    return Points(xyz, direction.reshape(-1, 3).astype(np.float32), rgb, ones, ones.astype(np.uint8), ones / 100)


@pytest.fixture(scope="session")
def cloud_files(marks: Points, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Points], dict[str, bytes]]:
    """A cloud as a result and as a preview."""

    def files(points: Points) -> dict[str, bytes]:
        folder = tmp_path_factory.mktemp("cloud")
        write_laz(folder / "points.laz", points, None)
        if len(points.xyz):
            write_ply(folder / "dense.ply", points)
        return {path.name: path.read_bytes() for path in folder.iterdir()}

    return files


@pytest.fixture(scope="session")
def browser(chromium: Launch) -> Iterator[Browser]:
    found = chromium()
    yield found
    found.close()


@pytest.fixture(scope="session")
def server() -> Iterator[FileServer]:
    with serving() as found:
        policy = {"Content-Security-Policy": content_policy(None)}
        for path in STATIC.iterdir():
            found.answers[f"/{path.name}"] = Answer(path.read_bytes(), headers={"Content-Type": TYPES.get(path.suffix, ""), **policy})
        for query in ("", "?wait"):
            found.answers[f"/harness.html{query}"] = Answer(PAGE.encode(), headers={"Content-Type": "text/html", **policy})
        found.answers["/harness.js"] = Answer(
            (Path(__file__).parent / "harness.js").read_bytes(), headers={"Content-Type": "text/javascript"}
        )
        found.answers["/harness.css"] = Answer(STYLE.encode(), headers={"Content-Type": "text/css"})
        yield found


@pytest.fixture
def open_viewer(browser: Browser, server: FileServer) -> Iterator[Open]:
    """Open the viewer on files, and after the test say what the browser complained about."""
    complaints: list[str] = []
    contexts = []

    def open_page(
        files: dict[str, bytes],
        previews: dict[str, bytes] | None = None,
        measurements: list[dict[str, Any]] | None = None,
        wait: str | None = "ready",
        query: str = "",
        init: str = "",
        writable: bool = True,
        **options: Any,
    ) -> Page:
        rows = describe(files, "result") + describe(previews or {}, "preview")
        chunk = next(STATIC.glob("mount-*.js")).name
        job = {"chunk": f"./{chunk}", "artifacts": rows, "measurements": measurements or [], "writable": writable}
        server.answers["/job.json"] = Answer(json.dumps(job).encode(), headers={"Content-Type": "application/json"})
        put(server, {**files, **(previews or {})})
        context = browser.new_context(**{"viewport": {"width": 1000, "height": 700}, **options})
        contexts.append(context)
        page = context.new_page()
        page.add_init_script(init)
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(f"{server.url}/harness.html{query}")
        if wait:
            page.wait_for_selector(f"#root[data-state={wait}]", timeout=20_000)
        return page

    open_page.complaints = complaints  # type: ignore[attr-defined]
    yield open_page
    for context in contexts:
        context.close()
    for path in [path for path in server.answers if path.startswith("/files/")]:
        del server.answers[path]
    unexpected = [text for text in complaints if "GPU stall" not in text and "Failed to load resource" not in text]
    assert unexpected == []
