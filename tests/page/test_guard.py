"""What the server of the web page lets in; without Gradio."""

import asyncio
from typing import Any

from sincut.page.guard import LONGEST_BODY, Guard

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
