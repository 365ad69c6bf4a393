"""A Chromium that draws in 3D without a graphics card, where one is installed; a test that asks for it is skipped where none is."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ("--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")

Launch = Callable[..., Browser]


@pytest.fixture(scope="session")
def chromium() -> Iterator[Launch]:
    """Starts browsers, with more flags or without; there is one driver in a process, and this holds it."""
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine: what is drawn in a browser is not tried")
    with sync_playwright() as playwright:
        yield lambda *flags: playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, *flags])
