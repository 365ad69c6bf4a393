from __future__ import annotations

import gzip
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from recon.pipeline import stages_until

ROOT = Path(__file__).resolve().parents[2]
STATIC = ROOT / "api/static"
OFFLINE = re.compile(r"ENOTFOUND|ECONNREFUSED|EAI_AGAIN|ETIMEDOUT|ENETUNREACH")


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_what_is_committed_is_what_the_sources_give(tmp_path):
    source, out = tmp_path / "viewer", tmp_path / "static"
    shutil.copytree(ROOT / "api/viewer", source, ignore=shutil.ignore_patterns("node_modules"))
    build = [str(ROOT / "scripts/build-viewer"), str(source), str(out)]
    done = subprocess.run(build, env={**os.environ, "PYTHON": sys.executable}, capture_output=True, text=True, timeout=300)
    if done.returncode and OFFLINE.search(done.stderr):
        pytest.skip("no npm registry can be reached: the bundle is not rebuilt")
    assert done.returncode == 0, done.stdout + done.stderr
    built, committed = contents(out), contents(STATIC)
    assert sorted(built) == sorted(committed), "run `make viewer` and commit api/static"
    assert [name for name in built if built[name] != committed[name]] == [], "run `make viewer` and commit api/static"


def test_page_asks_for_nothing_but_its_own_files():
    page = (STATIC / "index.html").read_text()
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\bon\w+=|style=", page)  # the policy forbids what is inline
    for where in re.findall(r'(?:src|href)="([^"]*)"', page):
        assert (STATIC / where).is_file(), where  # relative: it works below any path


def test_first_load_is_small():
    """What is fetched before a job is opened: 400 kB at most; chunks of the viewer come later."""
    first = sum(len(gzip.compress(path.read_bytes())) for path in STATIC.iterdir() if path.name in ("index.html", "app.js", "app.css"))
    assert 100 < first < 400_000


def test_every_stage_has_words_of_its_own():
    """What the page has no words for it would show as the program calls it."""
    words = (ROOT / "api/viewer/src/app/words.ts").read_text()
    assert [stage.name for stage in stages_until(None) if f"\n  {stage.name}: " not in words] == []


def test_licences_of_what_is_inside_are_told():
    told = (STATIC / "THIRD_PARTY.txt").read_text()
    for name in ("three", "copc", "laz-perf"):
        assert re.search(rf"^{name} \d", told, re.MULTILINE), name
    assert not re.search(r"GNU (AFFERO|GENERAL)", told, re.IGNORECASE)
