"""The documentation site builds without a warning, holds every page, and fetches nothing from elsewhere when it is read."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_every_page_of_the_documentation_is_reachable(site: Path) -> None:
    start = (site / "index.html").read_text()
    for page in (ROOT / "docs").rglob("*.md"):
        name = page.relative_to(ROOT / "docs").with_suffix(".html").as_posix().replace("README.html", "index.html")
        assert (site / name).is_file(), name
        assert f'href="{name}"' in start, f"{name} is not in the navigation of mkdocs.yml"


def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    fetched = re.compile(r"<(?:script|img|iframe|source|link)\b[^>]*?\b(?:src|href)=[\"']?((?:https?:)?//[^\"' >]+)")
    pages = list(site.rglob("*.html"))
    assert len(pages) > 15
    assert {url for page in pages for url in fetched.findall(page.read_text())} == set()
    assert [sheet.name for sheet in site.rglob("*.css") if re.search(r"url\([\"']?(?:https?:)?//", sheet.read_text())] == []


def test_commands_and_figures_are_written_out(site: Path) -> None:
    commands = (site / "cli.html").read_text()
    assert all(f">recon {name}<" in commands for name in ("process", "serve", "worker", "backup", "keys create", "models pull"))
    assert "--preset" in commands
    figures = (site / "benchmarks.html").read_text()
    assert "brighton-beach" in figures
    assert figures.count("<tr>") > 300
    assert not any("<!-- all" in page.read_text() for page in site.rglob("*.html"))


def test_the_guides_pictures_are_those_that_the_script_makes(tmp_path: Path) -> None:
    make = runpy.run_path(str(ROOT / "docs" / "make_guide_pictures.py"))["make"]
    made = {path.name for path in make(tmp_path, width=96)}
    kept = {path.name: path.stat().st_size for path in (ROOT / "docs" / "guide").iterdir()}
    assert made == kept.keys()
    assert max(kept.values()) < 150_000
    shown = set(re.findall(r"\(guide/(\w+\.jpg)\)", (ROOT / "docs" / "guide.md").read_text()))
    assert shown == made
