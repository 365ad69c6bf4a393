"""The viewer of the page on 20 million points, in Chromium without a graphics card: frames, memory, first picture; the bundle's size."""

from __future__ import annotations

import gzip
import json
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil

from bench.bars import Row, at_least, at_most
from recon.dense.view import Points
from recon.products.pointcloud import write_laz

if TYPE_CHECKING:
    from playwright.sync_api import Page

STATIC = Path(__file__).parents[1] / "api/static"
FIRST = ("index.html", "app.js", "app.css")
POINTS = 20_000_000
SETTLE_S, MEASURE_S = 8.0, 8.0
FLAGS = ("--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")
TYPES = {".js": "text/javascript", ".css": "text/css", ".html": "text/html", ".wasm": "application/wasm"}
SCRIPT = """
const { mountViewer } = await import("./CHUNK");
const none = async () => undefined;
const job = {
  jobId: "bench", artifacts: () => [{ name: "points.laz", kind: "result", size: SIZE }], onArtifacts: () => () => undefined,
  artifactUrl: async (name) => new URL(name, location.href).href,
  measurements: { writable: false, list: async () => [], save: none, rename: none, remove: none, download: none },
};
window.frames_drawn = 0;
const count = () => { window.frames_drawn++; requestAnimationFrame(count); };
requestAnimationFrame(count);
mountViewer(document.getElementById("root"), job);
"""
PAGE = """<!doctype html><link rel="stylesheet" href="app.css"><style>html, body, #root { margin: 0; height: 100% }</style>
<div id="root"></div><script type="module" src="bench.js"></script>"""


def viewer(_data: Path, work: Path) -> list[Row]:
    """Issue 7, bar 2."""
    rows = [at_most("viewer", "bundle", "kB before lazy parts, gzipped", _bytes(FIRST) / 1000, 400)]
    rows.append(Row("viewer", "bundle", "kB of the viewer, gzipped", _bytes([path.name for path in STATIC.iterdir()]) / 1000, "", True))
    cloud = work / "points.laz"
    start = time.perf_counter()
    write_laz(cloud, _town(POINTS), None)
    rows.append(Row("viewer", "20 M points", "seconds to write the COPC", time.perf_counter() - start, "", True))
    with _serving(cloud) as url:
        seen = _explore(url)
    return [
        *rows,
        at_most("viewer", "20 M points", "seconds to the first picture", seen["first_s"], 1),
        at_least("viewer", "20 M points", "frames a second while orbiting, software", seen["frames"] / MEASURE_S, 10),
        Row("viewer", "20 M points", "points drawn meanwhile", seen["points"], "", True),
        Row("viewer", "20 M points", "points drawn at rest", seen["points_at_rest"], "", True),
        at_most("viewer", "20 M points", "MB of the tab at most", seen["tab_mb"], 1000),
        Row("viewer", "20 M points", "MB of the process that draws, at most", seen["gpu_mb"], "", True),
    ]


def _bytes(names: Any) -> int:
    return sum(len(gzip.compress((STATIC / name).read_bytes(), 9)) for name in names if name != "THIRD_PARTY.txt")


def _town(count: int) -> Points:
    """A rolling ground of 200 by 200 units with a grid of towers: upright and level surfaces, and empty air between."""
    rng = np.random.default_rng(1)
    xyz = rng.uniform((-100, -100, 0), (100, 100, 0), (count, 3)).astype(np.float32)
    on_tower = (np.abs(xyz[:, 0] % 20 - 10) < 3) & (np.abs(xyz[:, 1] % 20 - 10) < 3)
    xyz[:, 2] = 2 * np.sin(xyz[:, 0] / 30) + np.where(on_tower, rng.uniform(0, 15, count), 0)
    shade = (xyz[:, 2] * 9 + 110).clip(0, 255).astype(np.uint8)
    rgb = np.stack([shade, shade // 2 + 60, 200 - shade // 2], axis=1)
    ones = np.ones(count, np.float32)
    normal = np.broadcast_to(np.array([0, 0, 1], np.float32), (count, 3))
    return Points(xyz, normal, rgb, ones, np.full(count, 5, np.uint8), ones * np.float32(0.01))


def _explore(url: str) -> dict[str, float]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=list(FLAGS))
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        start = time.perf_counter()
        page.goto(url)
        _until(page, "Number(document.getElementById('root').dataset.points) > 0")
        first_s = time.perf_counter() - start
        page.wait_for_timeout(3000)
        _drag(page, SETTLE_S)
        before = page.evaluate("frames_drawn")
        _drag(page, MEASURE_S)
        frames = page.evaluate("frames_drawn") - before
        points = page.evaluate("Number(document.getElementById('root').dataset.points)")
        for _ in range(6):  # nearer and nearer, so that all levels are fetched
            page.mouse.move(640, 420)
            page.mouse.wheel(0, -400)
            page.wait_for_timeout(2500)
        found = {"first_s": first_s, "frames": float(frames), "points": points}
        found["points_at_rest"] = page.evaluate("Number(document.getElementById('root').dataset.points)")
        found["tab_mb"], found["gpu_mb"] = _peak_mb("--type=renderer"), _peak_mb("--type=gpu-process")
        browser.close()
    return found


def _drag(page: Page, seconds: float) -> None:
    """Orbit to and fro with the left button held."""
    page.mouse.move(640, 400)
    page.mouse.down()
    end = time.perf_counter() + seconds
    step = 0
    while time.perf_counter() < end:
        step += 1
        page.mouse.move(640 + 200 * np.sin(step / 40), 400 + 40 * np.sin(step / 25))
        page.wait_for_timeout(8)
    page.mouse.up()


def _until(page: Page, condition: str, seconds: float = 60) -> None:
    end = time.perf_counter() + seconds
    while not page.evaluate(condition):
        if time.perf_counter() > end:
            raise TimeoutError(condition)
        page.wait_for_timeout(20)


def _peak_mb(kind: str) -> float:
    """The high-water mark of resident memory of the largest of our browser's processes of a kind."""
    peaks = []
    for process in psutil.Process().children(recursive=True):
        if kind in process.cmdline():
            status = Path(f"/proc/{process.pid}/status").read_text()
            peaks.append(next(int(line.split()[1]) / 1000 for line in status.splitlines() if line.startswith("VmHWM")))
    return max(peaks)


@contextmanager
def _serving(cloud: Path) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, cloud))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/bench.html"
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    """The bundle, the page, and ranges of the cloud."""

    protocol_version = "HTTP/1.1"

    def __init__(self, cloud: Path, *rest: Any) -> None:
        self.cloud = cloud
        super().__init__(*rest)

    def do_GET(self) -> None:
        name = self.path.removeprefix("/")
        if name == "bench.html":
            return self._send(PAGE.encode(), ".html")
        if name == "bench.js":
            chunk = next(STATIC.glob("mount-*.js")).name
            script = SCRIPT.replace("CHUNK", chunk).replace("SIZE", json.dumps(self.cloud.stat().st_size))
            return self._send(script.encode(), ".js")
        if name == self.cloud.name:
            first, last = (int(part) for part in self.headers["Range"].removeprefix("bytes=").split("-"))
            with self.cloud.open("rb") as stream:
                stream.seek(first)
                content = stream.read(last + 1 - first)
            return self._send(content, ".laz", 206)
        if name in {path.name for path in STATIC.iterdir()}:
            return self._send((STATIC / name).read_bytes(), Path(name).suffix)
        return self._send(b"", "", 404)

    def _send(self, content: bytes, suffix: str, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Type", TYPES.get(suffix, "application/octet-stream"))
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass
