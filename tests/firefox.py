"""A Firefox with WebGL on a screen of its own, where Firefox and Xvfb are installed: headless it draws nothing in 3D."""

from __future__ import annotations

import base64
import io
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from servers import wait_until

FIREFOX = shutil.which("firefox-esr") or shutil.which("firefox")
XVFB = shutil.which("Xvfb")
PREFERENCES = {
    "marionette.port": 0,
    "webgl.force-enabled": True,
    "webgl.forbid-software": False,
    "browser.shell.checkDefaultBrowser": False,
}
WAIT_S = 60


class Firefox:
    """One window, driven by Firefox's own protocol, Marionette: JSON behind its length and a colon."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), WAIT_S)
        self._stream = self._socket.makefile("rb")
        self._number = 0
        self._read()  # who it is
        self._ask("WebDriver:NewSession")
        self._ask("WebDriver:SetWindowRect", width=1280, height=900)

    def open(self, url: str) -> None:
        self._ask("WebDriver:Navigate", url=url)

    def run(self, script: str) -> Any:
        """What a function's body returns in the page."""
        return self._ask("WebDriver:ExecuteScript", script=script, args=[])

    def until(self, condition: str) -> None:
        end = time.monotonic() + WAIT_S
        while not self.run(f"return Boolean({condition})"):
            assert time.monotonic() < end, (condition, self.run("return document.body.innerText"))
            time.sleep(0.2)

    def close(self) -> None:
        self._stream.close()
        self._socket.close()

    def _ask(self, command: str, **parameters: Any) -> Any:
        self._number += 1
        message = json.dumps([0, self._number, command, parameters]).encode()
        self._socket.sendall(b"%d:%s" % (len(message), message))
        _, number, error, result = self._read()
        assert (number, error) == (self._number, None), (command, error)
        return result["value"] if isinstance(result, dict) and "value" in result else result

    def _read(self) -> Any:
        length = bytearray()
        while (letter := self._stream.read(1)) != b":":
            assert letter, "Firefox has ended"
            length += letter
        return json.loads(self._stream.read(int(length)))

    def picture(self) -> NDArray[np.uint8]:
        """(H, W, 3) of the window."""
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(self._ask("WebDriver:TakeScreenshot", full=False)))).convert("RGB"))


@contextmanager
def firefox(home: Path) -> Iterator[Firefox]:
    if FIREFOX is None or XVFB is None:
        pytest.skip("no Firefox or no Xvfb on this machine: Firefox is not tried")
    display, told = os.pipe()
    command = [XVFB, "-displayfd", str(told), "-screen", "0", "1400x1000x24", "+extension", "GLX"]
    screen = subprocess.Popen(command, pass_fds=(told,), stderr=subprocess.DEVNULL)
    os.close(told)
    with os.fdopen(display) as said:
        environment = {**os.environ, "DISPLAY": f":{said.readline().strip()}", "HOME": str(home)}
    profile, log = home / "profile", home / "firefox.log"
    profile.mkdir()
    (profile / "user.js").write_text("".join(f"user_pref({json.dumps(key)}, {json.dumps(value)});\n" for key, value in PREFERENCES.items()))
    with log.open("wb") as out:
        process = subprocess.Popen(
            [FIREFOX, "--marionette", "--no-remote", "--profile", str(profile)], stdout=out, stderr=out, env=environment
        )
    try:
        port = profile / "MarionetteActivePort"
        wait_until(lambda: port.is_file() and port.read_text().strip().isdigit(), WAIT_S, f"Firefox listens; {log}")
        found = Firefox(int(port.read_text()))
        yield found
        found.close()
    finally:
        for ended in (process, screen):
            ended.terminate()
            ended.wait(30)
