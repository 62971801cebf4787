"""The web page on this machine: who may ask it what, and what happens to trainings when it ends.

Only this machine is listened to, unless told otherwise. Requests that another site's page sends are refused (as are
host names that only pretend to be this one), and so is everything that would make the server fetch an address.
"""

import json
import os
import re
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
UPLOAD = "multipart/form-data"
LONGEST_BODY = 10 * 2**20  # bytes of a request that is no upload
SECONDS_BETWEEN_LOOKS = 0.2

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
Receive = Callable[[], Awaitable[Message]]


class Guard:
    """ASGI middleware that answers 403 to what the page itself never asks. `hosts` None: any host name will do."""

    def __init__(self, app: Callable[[Message, Receive, Send], Awaitable[None]], hosts: tuple[str, ...] | None) -> None:
        self.app, self.hosts = app, hosts

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        allowed = self._is_ours(headers) and not FETCHES.search(scope["path"])
        if allowed and scope.get("method") == "POST" and not headers.get("content-type", "").startswith(UPLOAD):
            body = await _whole(receive)
            allowed = body is not None and not _names_an_address(body)
            receive = _again(body or b"", receive)
        if not allowed:
            start = {"type": "http.response.start", "status": 403, "headers": [(b"content-type", b"text/plain")]}
            await send(start)
            await send({"type": "http.response.body", "body": b"refused"})
            return
        await self.app(scope, receive, send)

    def _is_ours(self, headers: dict[str, str]) -> bool:
        """Whether a request is for this host, and comes from its own page, or from no page at all."""
        host, origin = headers.get("host", ""), headers.get("origin")
        try:
            name, page = urlsplit(f"//{host}").hostname, host if origin is None else urlsplit(origin).netloc
        except ValueError:
            return False
        return (self.hosts is None or name in self.hosts) and page == host


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

    Paths that visitors may name lie below the current folder. Raises `RunError` where the extra is missing or the port
    is taken, and what `find_device` raises.
    """
    os.environ.update(OFFLINE)
    os.environ["NO_PROXY"] = ",".join([*LOCAL, *filter(None, [os.environ.get("NO_PROXY")])])  # Gradio asks itself once
    for name in NOT_FROM_OUTSIDE:
        os.environ.pop(name, None)
    try:
        from starlette.middleware import Middleware

        from sincut import ui
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("sincut"):
            raise
        raise RunError("the web page needs an extra: pip install 'sincut[ui]'") from None
    from sincut.desk import Desk
    from sincut.devices import find_device, use_fast_kernels
    from sincut.jobs import Trainings

    found = find_device(device)
    use_fast_kernels(found)
    trainings = Trainings(runs.absolute(), device)
    with tempfile.TemporaryDirectory(prefix="sincut-ui-") as place:
        os.environ["GRADIO_TEMP_DIR"] = place
        desk = Desk(Path.cwd(), Path(place), trainings, found, max_pixels)
        page = ui.build(desk)
        guard = Middleware(Guard, hosts=(*LOCAL, host) if host in LOCAL else None)
        try:
            _, url, _ = ui.launch(page, host, port, max_upload, open_, {"middleware": [guard]})
        except OSError:
            where = "ports 7860 to 7959" if port is None else f"port {port}"
            raise RunError(f"{host}: {where} cannot be listened on; give another one with --port") from None
        try:
            say(f"sincut is at {url} (Ctrl-C stops it)")
            while not stop():
                time.sleep(SECONDS_BETWEEN_LOOKS)
        finally:
            desk.closing = True
            left = trainings.close()
            page.close(verbose=False)
    return left
