from __future__ import annotations

import html.parser
import json
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from chromium import Launch
from fake_run import HOSTILE, make_run
from markupsafe import Markup

from recon.config import Config
from recon.products.report.charts import coverage_map, keyframe_strip, matching_graph, residual_bars
from recon.products.report.page import clock, sentence
from recon.stage import Work
from recon.stages.products import stage as products
from recon.stages.report import stage as report


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("run")
    inputs = make_run(root)
    config = Config.model_validate({"products": {"turntable_s": 0}, "report": {"max_points": 1500, "max_faces": 1500}})
    products.run(config, inputs, {}, inputs["products"][0], Work())
    out = root / "report"
    out.mkdir()
    report.run(config, inputs, {}, out, Work())
    return out / "report.html"


class Reader(html.parser.HTMLParser):
    """Every tag with its attributes, and the text outside scripts and styles."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if not {"script", "style"} & set(self._open[-1:]):
            self.text += data


@pytest.fixture(scope="module")
def read(page: Path) -> Reader:
    reader = Reader()
    reader.feed(page.read_text(encoding="utf-8"))
    return reader


def test_page_needs_nothing_from_elsewhere(read):
    for tag, attributes in read.tags:
        assert tag not in ("link", "iframe", "object", "embed")
        for name in ("src", "href"):
            assert (attributes.get(name) or "data:").startswith("data:")
    policy = next(attributes["content"] for tag, attributes in read.tags if attributes.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'")
    assert "http" not in policy


def test_names_of_files_do_not_become_markup(read, page):
    assert HOSTILE in read.text  # shown as it is
    assert "<b>notes</b>.jpg" in read.text
    for tag, attributes in read.tags:
        assert "onerror" not in attributes
        assert attributes.get("src") != "x"
        assert tag != "i" or "style" in attributes  # the page's own
    scene = re.search(r'id="scene">(.*?)</script>', page.read_text(encoding="utf-8"), re.DOTALL)
    assert scene
    assert "<" not in scene[1]
    assert HOSTILE in {row["name"] for row in json.loads(scene[1])["cameras"]}


def test_page_says_what_matters(read):
    said = ("12 of 13", "0.42 px", "metres", "A sound reconstruction", "hangs on one neighbour")
    for words in (*said, "walk.mp4", "SIMPLE_RADIAL", "EPSG:32630", "Seed 0"):
        assert words.lower() in read.text.lower()


def test_charts_escape_whatever_they_are_given():
    name = '"/><script>alert(1)</script>'
    row = {"name": name, "residual_px": 0.5, "registered": True, "position": [0.0, 0.0, 1.0]}
    lost = {"name": name + "2", "residual_px": None, "registered": False, "position": None}
    xyz, views = np.zeros((5, 3), np.float32), np.full(5, 3, np.uint8)
    strip, legend = keyframe_strip([(0.0, True, name), (1.0, False, name)])
    charts = [
        coverage_map(xyz, views, [row], "m"),
        residual_bars([row, lost]),
        matching_graph([row, lost], [(name, name + "2", 10)]),
        strip,
    ]
    for chart in charts:
        assert isinstance(chart, Markup)
        assert "<script>" not in chart
        assert "&lt;script&gt;" in chart
    assert all(not isinstance(text, Markup) for text in legend[0][:2])  # the template escapes them


def test_residual_bars_stand_in_proportion_and_show_the_worst():
    rows = [{"name": f"{n}", "residual_px": 0.5 + (n == 3) * 2.0} for n in range(6)]
    heights = [float(value) for value in re.findall(r'height="([\d.]+)" class', residual_bars(rows))]
    assert heights == pytest.approx([20, 20, 20, 100, 20, 20])
    assert residual_bars(rows).count('class="bar high"') == 1
    many = [{"name": f"n{n}", "residual_px": 0.5 if n else 9.0} for n in range(1000)]
    assert residual_bars(many).count("<rect") == 400
    assert "n0: 9.00" in residual_bars(many)


def test_keyframe_strip_counts_reasons():
    frames = [(0.0, True, "the first"), (0.1, False, "frame 7 is sharper"), (0.2, False, "frame 9 is sharper"), (0.3, False, "blurred")]
    strip, legend = keyframe_strip(frames)
    assert strip.count("<line") == 4
    assert [(text, count) for _, text, count in legend] == [("kept", 1), ("frame is sharper", 2), ("blurred", 1)]


def test_words():
    assert (clock(None), clock(3.21), clock(125), clock(3700)) == ("–", "3.2 s", "2 min 5 s", "1 h 1 min")
    assert sentence("a thing") == "A thing."
    assert sentence("walk.mp4: shaky") == "walk.mp4: shaky."


@dataclass(frozen=True)
class Seen:
    viewer: dict[str, str]
    """What the 3D view says of itself, once it does."""
    notice: bool
    complaints: list[str]


def browse(chromium: Launch, page: Path, *flags: str) -> Seen:
    complaints: list[str] = []
    with chromium(*flags) as browser:
        tab = browser.new_page(viewport={"width": 1200, "height": 1000})
        tab.on("console", lambda message: complaints.append(message.text))
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        tab.goto(page.as_uri())
        tab.wait_for_selector("#viewer[data-state]", state="attached", timeout=60_000)
        viewer = tab.evaluate("({...document.getElementById('viewer').dataset})")
        return Seen(viewer, tab.locator("#viewer-notice").is_visible(), complaints)


def test_browser_draws_the_mesh(page, chromium):
    seen = browse(chromium, page)
    assert seen.viewer["state"] == "drawn"
    assert "error" not in seen.viewer
    assert 1000 < int(seen.viewer["triangles"]) <= 1500
    assert not seen.notice
    assert [text for text in seen.complaints if "GPU stall" not in text and "WebGL" not in text] == []


def test_browser_draws_the_points(page, tmp_path, chromium):
    points = tmp_path / "points.html"
    text = page.read_text(encoding="utf-8").replace('data-show="textured" checked', 'data-show="textured"')
    points.write_text(text.replace('data-show="points">', 'data-show="points" checked>'), encoding="utf-8")
    seen = browse(chromium, points).viewer
    assert (seen["state"], seen["points"], seen["triangles"]) == ("drawn", "1500", "0")


def test_browser_without_webgl_says_so(page, chromium):
    seen = browse(chromium, page, "--disable-3d-apis")
    assert seen.viewer["state"] == "unavailable"
    assert seen.notice
