"""What the server of the web page lets in; without Gradio."""

import asyncio
from typing import Any

import pytest

pytest.importorskip("starlette")

from starlette.requests import ClientDisconnect

from sincut.page.guard import LONGEST_BODY, Guard, middleware

FORM = "multipart/form-data; boundary=x"
HOSTS = ("localhost", "::1")
HTTP, WEBSOCKET = {"type": "http", "method": "GET"}, {"type": "websocket"}


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
    asyncio.run(Guard(app, limit)(scope, receive, send))
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


def test_a_visitor_who_leaves_during_an_upload_is_no_error() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise ClientDisconnect

    async def nothing(*message: Any) -> Any:
        raise AssertionError("nobody listens")

    headers = [(b"content-type", FORM.encode())]
    scope = {"type": "http", "method": "POST", "path": "/gradio_api/upload", "headers": headers}
    asyncio.run(Guard(app, 1000)(scope, nothing, nothing))


def answered(scope: dict[str, Any], headers: dict[str, str], hosts: tuple[str, ...] | None = HOSTS) -> list[Any]:
    """All messages with which the guards answer, or the page behind them, which only says that it was reached."""
    sent: list[Any] = []

    async def page(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "reached"})

    async def receive() -> Any:
        return {"type": "http.request" if scope["type"] == "http" else "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    app: Any = page
    for layer in reversed(middleware(hosts, 1000)):
        app = layer.cls(app, *layer.args, **layer.kwargs)
    told = [(name.encode(), value.encode()) for name, value in headers.items()]
    asyncio.run(app({"path": "/", "headers": told, **scope}, receive, send))
    return sent


@pytest.mark.parametrize("scope", [HTTP, WEBSOCKET])
def test_only_the_page_itself_is_let_in(scope: dict[str, Any]) -> None:
    def status(**headers: str) -> Any:
        return answered(scope, headers)[0].get("status", "reached")

    for host in ("localhost", "localhost:7860", "LOCALHOST:1", "[::1]:7860"):
        assert status(host=host) == status(host=host, origin=f"http://{host}") == "reached"
        for origin in ("http://evil.example", "null", "http://localhost:2", "http://[bad"):
            assert status(host=host, origin=origin) == 403
    for host in ("evil.example", "localhost.evil.example", "evil.example:7860", "localhost@evil.example", "[bad", ""):
        assert status(host=host) == status(host=host, origin=f"http://{host}") == 400
    assert status() == 400
    fetches = {**scope, "path": "/gradio_api/file=http://evil.example"}
    assert answered(fetches, {"host": "localhost"})[0]["status"] == 403


@pytest.mark.parametrize("scope", [HTTP, WEBSOCKET])
def test_a_page_for_everybody_has_any_name_and_one_origin(scope: dict[str, Any]) -> None:
    assert answered(scope, {"host": "anywhere"}, None) == [{"type": "reached"}]
    assert answered(scope, {"host": "anywhere", "origin": "http://evil.example"}, None)[0]["status"] == 403
    assert answered(scope, {"origin": "null"}, None)[0]["status"] == 403


def test_websockets_are_refused_in_their_own_messages() -> None:
    for headers in ({"host": "localhost", "origin": "http://evil.example"}, {"host": "evil.example"}):
        kinds = [message["type"] for message in answered(WEBSOCKET, headers)]
        assert kinds == ["websocket.http.response.start", "websocket.http.response.body"]
        kinds = [message["type"] for message in answered(HTTP, headers)]
        assert kinds == ["http.response.start", "http.response.body"]
