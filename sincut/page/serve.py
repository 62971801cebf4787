"""The web page on this machine: who may ask it what, and what happens to trainings when it ends.

Only this machine is listened to, unless told otherwise. Requests that another site's page sends are refused (as are
host names that only pretend to be this one), and so is everything that would make the server fetch an address.
"""

import json
import os
import re
import socket
import tempfile
import time
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sincut.errors import RunError

OFFLINE = {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
NOT_FROM_OUTSIDE = ("GRADIO_ALLOWED_PATHS", "GRADIO_SHARE", "GRADIO_ROOT_PATH", "GRADIO_MCP_SERVER", "GRADIO_VIBE_MODE")
LOCAL = ("127.0.0.1", "localhost", "::1")
FETCHES = re.compile(r"(file|proxy)=\s*\w+:/", re.IGNORECASE)  # paths of Gradio's that name an address
UPLOAD, UPLOAD_PATH = "multipart/form-data", "/gradio_api/upload"
UPLOADED_AT_ONCE = 10  # times the largest file: what one request may bring of several
LONGEST_BODY = 10 * 2**20  # bytes of a request that is no upload
SECONDS_BETWEEN_LOOKS = 0.2

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


def serve(
    runs: Path, *, host: str, port: int | None, device: str, max_upload: int, max_pixels: int, open_: bool,
    stop: Callable[[], bool], say: Callable[[str], None],
) -> list[str]:  # fmt: skip
    """Serve the page until `stop` says so; then stop trainings, which save. Returns the names of those.

    Paths that visitors may name lie below the current folder. Raises `RunError` where the extra is missing, the host is
    none of this machine's or the port is taken, and what `find_device` raises.
    """
    _check_host(host)
    os.environ.update(OFFLINE)
    _pass_proxies(host)
    for name in NOT_FROM_OUTSIDE:
        os.environ.pop(name, None)
    try:
        from httpx import HTTPError, InvalidURL
        from starlette.middleware import Middleware

        from sincut.page import ui
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("sincut"):
            raise
        raise RunError("the web page needs an extra: pip install 'sincut[ui]'") from None
    from sincut.devices import find_device, use_fast_kernels
    from sincut.page.desk import Desk
    from sincut.page.jobs import Trainings

    found = find_device(device)
    use_fast_kernels(found)
    trainings = Trainings(runs.absolute(), device)
    with tempfile.TemporaryDirectory(prefix="sincut-ui-") as place:
        os.environ["GRADIO_TEMP_DIR"] = place
        desk = Desk(Path.cwd(), Path(place), trainings, found, max_pixels)
        page = ui.build(desk)
        guard = Middleware(Guard, hosts=(*LOCAL, host) if host in LOCAL else None, limit=UPLOADED_AT_ONCE * max_upload)
        try:
            _, url, _ = ui.launch(page, host, port, max_upload, open_, {"middleware": [guard]})
        except OSError:
            where = "ports 7860 to 7959" if port is None else f"port {port}"
            raise RunError(f"{host}: {where} cannot be listened on; give another one with --port") from None
        except (HTTPError, InvalidURL) as error:
            raise RunError(
                f"--host {host}: the page does not answer there ({error}); check the proxy settings"
            ) from None
        try:
            say(f"sincut is at {url} (Ctrl-C stops it)")
            while not stop():
                time.sleep(SECONDS_BETWEEN_LOOKS)
        finally:
            desk.closing = True
            left = trainings.close()
            page.close(verbose=False)
    return left


def _check_host(host: str) -> None:
    """Raise `RunError` for what is no IPv4 address of this machine, nor a name of one."""
    if ":" in host:
        raise RunError(f"--host {host}: IPv6 is not supported; give an IPv4 address, as in 127.0.0.1")
    try:
        with socket.socket() as probe:
            probe.bind((host, 0))
    except (OSError, ValueError):  # of names that are too long, UnicodeError
        raise RunError(f"--host {host}: is no name or address of this machine; give 127.0.0.1 or 0.0.0.0") from None


def _pass_proxies(host: str) -> None:
    """Gradio asks itself once, which no proxy must answer; of the two spellings Python prefers the lower-case one."""
    spellings = ("NO_PROXY", "no_proxy")
    given = [name.strip() for spelling in spellings for name in os.environ.get(spelling, "").split(",")]
    merged = ",".join(dict.fromkeys([*LOCAL, host, *filter(None, given)]))
    os.environ.update(dict.fromkeys(spellings, merged))
