"""Who may ask the web page what.

Requests that another site's page sends are refused (as are host names that only pretend to be this one), and so is
everything that would make the server fetch an address.
"""

import json
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

FETCHES = re.compile(r"(file|proxy)=\s*\w+:/", re.IGNORECASE)  # paths of Gradio's that name an address
UPLOAD, UPLOAD_PATH = "multipart/form-data", "/gradio_api/upload"
LONGEST_BODY = 10 * 2**20  # bytes of a request that is no upload

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
Receive = Callable[[], Awaitable[Message]]


class _TooLongError(Exception):
    """More has come than a request may bring."""


class Guard:
    """ASGI middleware that answers 403 to what the page itself never asks, 413 to uploads of more than `limit` bytes.

    `hosts` None: any host name will do.
    """

    def __init__(
        self, app: Callable[[Message, Receive, Send], Awaitable[None]], hosts: tuple[str, ...] | None, limit: int
    ) -> None:
        self.app, self.hosts, self.limit = app, hosts, limit

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        allowed = self._is_ours(headers) and not FETCHES.search(scope["path"])
        kind = headers.get("content-type", "").lower()
        if allowed and scope["path"] == UPLOAD_PATH and kind.startswith(UPLOAD):
            await self._upload(headers, scope, receive, send)
            return
        if allowed and scope.get("method") not in (None, "GET", "HEAD"):
            body = await _whole(receive)
            allowed = body is not None and not _names_an_address(body)
            receive = _again(body or b"", receive)
        if not allowed:
            await _refuse(send, 403)
            return
        await self.app(scope, receive, send)

    async def _upload(self, headers: dict[str, str], scope: Message, receive: Receive, send: Send) -> None:
        """Let files through, as far as they are not too much: what is declared is believed, what comes is counted."""
        declared, came = headers.get("content-length", "0"), 0

        async def counted() -> Message:
            nonlocal came
            message = await receive()
            came += len(message.get("body", b""))
            if came > self.limit:
                raise _TooLongError
            return message

        try:
            if not declared.isdecimal() or int(declared[:20]) > self.limit:
                raise _TooLongError
            await self.app(scope, counted, send)
        except _TooLongError:
            await _refuse(send, 413)

    def _is_ours(self, headers: dict[str, str]) -> bool:
        """Whether a request is for this host, and comes from its own page, or from no page at all."""
        host, origin = headers.get("host", ""), headers.get("origin")
        try:
            name, page = urlsplit(f"//{host}").hostname, host if origin is None else urlsplit(origin).netloc
        except ValueError:
            return False
        return (self.hosts is None or name in self.hosts) and page == host


async def _refuse(send: Send, status: int) -> None:
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"refused"})


async def _whole(receive: Receive) -> bytes | None:
    """The body of a request; None where it is longer than any of the page's."""
    body, more = b"", True
    while more and len(body) <= LONGEST_BODY:
        message = await receive()
        body += message.get("body", b"")
        more = message["type"] == "http.request" and message.get("more_body", False)
    return None if more else body


def _again(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives the body a second time, then what follows it."""
    told = False

    async def first() -> Message:
        nonlocal told
        if told:
            return await receive()
        told = True
        return {"type": "http.request", "body": body, "more_body": False}

    return first


def _names_an_address(body: bytes) -> bool:
    """Whether a file stands in this JSON that the server would have to fetch first."""
    try:
        left: list[Any] = [json.loads(body)]
    except (ValueError, RecursionError):
        return b"://" in body
    while left:
        value = left.pop()
        if isinstance(value, dict):
            if "://" in str(value.get("path", "")):
                return True
            left += value.values()
        elif isinstance(value, list):
            left += value
    return False
