"""No request body but a part of an upload may be large, whatever its headers say.

FastAPI's own limit answers in plain text, not with a problem document.
"""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import problem

UNLIMITED = "/v1/parts/"
"""Parts of uploads: their own size is known, and checked while they arrive."""


class BodyLimit:
    """Answers 413 as soon as more than ``max_bytes`` have come."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self.app = app
        self.max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].removeprefix(scope.get("root_path", "")).startswith(UNLIMITED):
            await self.app(scope, receive, send)
            return
        stated = dict(scope["headers"]).get(b"content-length", b"0")
        body, more = bytearray(), True
        if stated.isdigit() and int(stated) <= self.max_bytes:
            while more and len(body) <= self.max_bytes:
                message = await receive()
                if message["type"] != "http.request":
                    return
                body += message.get("body", b"")  # in place: a copy for each of many small pieces would take minutes
                more = message.get("more_body", False)
        if more or len(body) > self.max_bytes:
            answer = problem(
                413, "too_large", f"the request's body is larger than {self.max_bytes} bytes", "Send files as uploads in parts"
            )
            await answer(scope, receive, send)
            return
        await self.app(scope, _replay(bytes(body), receive), send)


def _replay(body: bytes, receive: Receive) -> Receive:
    is_sent = False

    async def again() -> Message:
        nonlocal is_sent
        if is_sent:
            return await receive()  # for whoever waits for the client to leave
        is_sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again
