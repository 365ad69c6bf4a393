"""A proxy that serves what lies elsewhere below a prefix, and takes the prefix off, as in the guide of operations."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

_OF_THE_HOP = ("connection", "transfer-encoding", "keep-alive", "date", "server")


@contextmanager
def proxied(url: str, prefix: str) -> Iterator[str]:
    """The address that leads to ``url``; all that is outside the prefix is another site's, and answers 418."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.0"  # each answer ends with its connection

        def forward(self) -> None:
            if not self.path.startswith(f"{prefix}/"):
                return self.send_error(418)
            target = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
            body = self.rfile.read(int(self.headers.get("Content-Length", 0))) or None
            target.request(self.command, self.path.removeprefix(prefix), body, dict(self.headers))
            answer = target.getresponse()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in _OF_THE_HOP:
                    self.send_header(name, value)
            self.end_headers()
            try:
                while piece := answer.read1(2**16):
                    self.wfile.write(piece)
            except (BrokenPipeError, ConnectionResetError):
                pass
            target.close()

        do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = forward

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}{prefix}"
    server.shutdown()
    server.server_close()
