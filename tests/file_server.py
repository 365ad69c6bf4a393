"""A small web server that does as it is told: ranges, broken connections, redirects, and it remembers what it was asked."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Asked:
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Answer:
    content: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    """An empty one is not sent."""
    breaks_after: list[int] = field(default_factory=list)
    """Bytes after which the connection breaks, one for each request; later requests are answered whole."""
    ranges: bool = True
    pause: Callable[[], None] | None = None
    """Called when the connection would break, or the answer would end."""


class FileServer:
    """``url`` of a server on a free port of this machine; ``answers`` by path."""

    def __init__(self, trusted: ssl.SSLContext | None = None) -> None:
        self.answers: dict[str, Answer] = {}
        self.asked: list[Asked] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]  # clients may go when they like
        if trusted is not None:
            self._server.socket = trusted.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@contextmanager
def serving(trusted: ssl.SSLContext | None = None) -> Iterator[FileServer]:
    server = FileServer(trusted)
    try:
        yield server
    finally:
        server.close()


def _handler(server: FileServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            server.asked.append(Asked(self.path, dict(self.headers), body))
            answer = server.answers.get(self.path, Answer(status=404))
            start, end, status = 0, len(answer.content), answer.status
            asked_for = self.headers.get("Range", "")
            may_go_on = self.headers.get("If-Range") in (None, answer.headers.get("ETag"))
            if asked_for and answer.ranges and may_go_on and status == 200:
                first, _, last = asked_for.removeprefix("bytes=").partition("-")
                start, end, status = int(first), min(int(last) + 1, end) if last else end, 206
            content = answer.content[start:end]
            self.send_response(status)
            if status == 206:
                self.send_header("Content-Range", f"bytes {start}-{end - 1}/{len(answer.content)}")
            headers = {"Content-Length": str(len(content)), **answer.headers}
            for name, value in headers.items():
                if value:
                    self.send_header(name, value)
            self.end_headers()
            cut = answer.breaks_after.pop(0) if answer.breaks_after else None
            try:
                self.wfile.write(content[:cut])
                if answer.pause is not None:
                    self.wfile.flush()
                    answer.pause()
            except ConnectionError:
                cut = 0
            if cut is not None or not headers["Content-Length"]:
                self.close_connection = True

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            pass

    return Handler
