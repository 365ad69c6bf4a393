"""The viewer in another browser: Firefox draws the same."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from conftest import STATIC
from file_server import Answer, FileServer
from firefox import firefox
from viewing import describe, put


def test_firefox_shows_points_and_mesh(server: FileServer, run_files: dict[str, bytes], tmp_path: Path) -> None:
    job = {
        "chunk": f"./{next(STATIC.glob('mount-*.js')).name}",
        "artifacts": describe(run_files, "result"),
        "measurements": [],
        "writable": True,
    }
    server.answers["/job.json"] = Answer(json.dumps(job).encode(), headers={"Content-Type": "application/json"})
    put(server, run_files)
    with firefox(tmp_path) as browser:
        browser.open(f"{server.url}/harness.html")
        browser.until("document.getElementById('root').dataset.state === 'ready'")
        browser.until("Number(document.getElementById('root').dataset.points) === 4000")
        points = browser.picture()
        browser.run("document.querySelector('input[value=mesh]').click()")
        browser.until("document.getElementById('root').dataset.layer === 'mesh'")
        browser.run("return new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        mesh = browser.picture()
    for shown in (points, mesh):
        colours = shown.reshape(-1, 3).astype(int)
        assert (np.abs(colours - [90, 150, 80]).sum(axis=1) < 60).sum() > 5000  # the ground, as it is coloured in the file
        assert ((colours[:, 0] - colours[:, 1] > 60) & (colours[:, 0] > 150)).sum() > 200  # the ball
