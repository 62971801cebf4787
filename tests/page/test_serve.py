"""What the server of the web page lets in, where it listens, and how a closed terminal ends it; without Gradio."""

import asyncio
import os
import signal
from typing import Any

import pytest

from sincut import cli
from sincut.errors import RunError
from sincut.page.serve import LONGEST_BODY, Guard, _check_host, _pass_proxies

FORM = "multipart/form-data; boundary=x"


def answer(path: str, chunks: list[bytes], limit: int = 1000, **headers: str) -> tuple[int, int]:
    """Status of a POST through the guard, and how many bytes came through."""
    came, statuses = 0, []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal came
        more = True
        while more:
            message = await receive()
            came += len(message["body"])
            more = message["more_body"]
        await send({"type": "http.response.start", "status": 200, "headers": []})

    left = [{"type": "http.request", "body": c, "more_body": i < len(chunks)} for i, c in enumerate(chunks, 1)]

    async def receive() -> Any:
        return left.pop(0)

    async def send(message: Any) -> None:
        statuses.append(message.get("status"))

    told = [(k.replace("_", "-").encode(), v.encode()) for k, v in {"host": "localhost", **headers}.items()]
    scope = {"type": "http", "method": "POST", "path": path, "headers": told}
    asyncio.run(Guard(app, ("localhost",), limit)(scope, receive, send))
    return statuses[0], came


def test_uploads_are_bounded_and_have_one_place() -> None:
    upload = "/gradio_api/upload"
    assert answer(upload, [b"x" * 400] * 2, content_type=FORM) == (200, 800)
    assert answer(upload, [b"x"], content_type=FORM, content_length="1001") == (413, 0)
    assert answer(upload, [b"x"], content_type=FORM, content_length="-1") == (413, 0)
    status, came = answer(upload, [b"x" * 400] * 50, content_type=FORM)  # nothing declared: counted
    assert status == 413 and came <= 1000
    other = "/gradio_api/queue/join"
    assert answer(other, [b"x" * 2**20] * (LONGEST_BODY // 2**20 + 2), content_type=FORM) == (403, 0)
    assert answer(other, [b"{}"], content_type="application/json") == (200, 2)


def test_hosts_that_are_not_of_this_machine_are_named() -> None:
    _check_host("127.0.0.1")
    with pytest.raises(RunError, match=r"--host ::1: IPv6 is not supported"):
        _check_host("::1")
    for host in ("no.such.host.invalid", "203.0.113.7", "x" * 300):
        with pytest.raises(RunError, match=f"--host {host}: is no name or address of this machine"):
            _check_host(host)


def test_no_proxy_is_asked_for_the_page_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "one.example, localhost")
    monkeypatch.setenv("no_proxy", "two.example")
    _pass_proxies("127.0.0.1")
    assert os.environ["no_proxy"] == os.environ["NO_PROXY"] == "127.0.0.1,localhost,::1,one.example,two.example"


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="no terminals that hang up")
def test_a_closed_terminal_asks_to_stop_unless_it_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "_leave_terminal", lambda: None)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with cli._stoppable() as stop:  # as under nohup
            signal.raise_signal(signal.SIGHUP)
            assert not stop()
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        with cli._stoppable() as stop:
            signal.raise_signal(signal.SIGHUP)
            assert stop()
    finally:
        signal.signal(signal.SIGHUP, before)
