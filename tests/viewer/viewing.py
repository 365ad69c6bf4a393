"""What the tests of the viewer do and look at."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from file_server import Answer, FileServer
from PIL import Image
from playwright.sync_api import Page


def describe(files: dict[str, bytes], kind: str) -> list[dict[str, Any]]:
    return [{"name": name, "kind": kind, "size": len(content)} for name, content in files.items()]


def put(server: FileServer, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        quoted = name.replace("/", "%2F")
        kind = {"Content-Type": "image/png"} if name.endswith(".png") else {}
        server.answers[f"/files/{quoted}"] = Answer(content, headers=kind)
        server.answers[f"/files/{quoted}?renewed"] = Answer(content, headers=kind)


def picture(page: Page) -> np.ndarray:
    """What the middle of the canvas shows: (h, w, 3)."""
    page.wait_for_timeout(350)  # it rests, and is drawn with all there is
    box = {"x": 70, "y": 70, "width": 620, "height": 560}
    with Image.open(io.BytesIO(page.screenshot(clip=box))) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def ground_share(shown: np.ndarray) -> float:
    """Share of the picture that is nothing but background."""
    return float((np.abs(shown - shown[0, 0]).sum(axis=2) < 6).mean())


def until(page: Page, condition: str) -> None:
    """Wait for a condition in the page; playwright's own way is forbidden by the page's policy, and rightly so."""
    for _ in range(200):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(25)
    raise AssertionError(f"never came true: {condition}")
