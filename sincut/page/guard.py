"""The middleware that decides which requests reach the web page.

`TrustedHost` refuses host names that only pretend to be this machine's (DNS rebinding). `Guard` refuses what another
site's page sends, everything that would make the server fetch an address, and bodies that are too long.
"""

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

FETCHES = re.compile(r"(file|proxy)=\s*\w+:/", re.IGNORECASE)  # paths of Gradio's that name an address
UPLOAD, UPLOAD_PATH = "multipart/form-data", "/gradio_api/upload"
LONGEST_BODY = 10 * 2**20  # bytes of a request that is no upload


class _TooLongError(Exception):
    """More bytes have come than a request may bring."""


def middleware(hosts: tuple[str, ...] | None, limit: int) -> list[Middleware]:
    """The middleware for a page that has these host names (None: any) and takes uploads of `limit` bytes.

    Requests for other host names are answered with status 400, those that `Guard` refuses with 403 or 413.
    """
    guard = Middleware(Guard, limit=limit)
    if hosts is None:
        return [guard]
    names = [f"[{name}]" if ":" in name else name for name in hosts]  # as an IPv6 address stands in the Host header
    return [Middleware(TrustedHostMiddleware, allowed_hosts=names, www_redirect=False), guard]


class Guard:
    """ASGI middleware: status 403 for requests the page itself never sends, 413 for uploads of more than `limit` bytes.

    It holds for HTTP and for websockets alike.
    """

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self.app, self.limit = app, limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        allowed = _is_same_origin(headers) and not FETCHES.search(scope["path"])
        kind = headers.get("content-type", "").lower()
        if allowed and scope["path"] == UPLOAD_PATH and kind.startswith(UPLOAD):
            await self._upload(headers, scope, receive, send)
            return
        if allowed and scope["type"] == "http" and scope["method"] not in ("GET", "HEAD"):
            body = await _read_body(receive)
            allowed = body is not None and not _names_an_address(body)
            receive = _replayed(body or b"", receive)
        await (self.app if allowed else _refusal(403))(scope, receive, send)

    async def _upload(self, headers: Mapping[str, str], scope: Scope, receive: Receive, send: Send) -> None:
        """Pass files on unless they are too long: a declared length is checked first, then the bytes are counted."""
        declared, came = headers.get("content-length", "0"), 0

        async def counted() -> Message:
            """The next message of the request, with its bytes counted. Raises `_TooLongError`."""
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
            await _refusal(413)(scope, receive, send)
        except ClientDisconnect:
            pass  # the visitor has left before the end of the file; nobody waits for an answer


def _refusal(status: int) -> ASGIApp:
    """An answer without content, in the messages of the protocol that was asked in."""
    return PlainTextResponse("refused", status)


def _is_same_origin(headers: Mapping[str, str]) -> bool:
    """True for requests of the page itself, and for those that no page has sent (they name no origin)."""
    origin = headers.get("origin")
    try:
        return origin is None or urlsplit(origin).netloc == headers.get("host")
    except ValueError:
        return False


async def _read_body(receive: Receive) -> bytes | None:
    """The whole body of a request; None if it is longer than `LONGEST_BODY`."""
    body, more = b"", True
    while more and len(body) <= LONGEST_BODY:
        message = await receive()
        body += message.get("body", b"")
        more = message["type"] == "http.request" and message.get("more_body", False)
    return None if more else body


def _replayed(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives a body that was read already, then what follows it."""
    told = False

    async def once_more() -> Message:
        nonlocal told
        if told:
            return await receive()
        told = True
        return {"type": "http.request", "body": body, "more_body": False}

    return once_more


def _names_an_address(body: bytes) -> bool:
    """True if this JSON holds a file that the server would have to fetch from an address first."""
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
