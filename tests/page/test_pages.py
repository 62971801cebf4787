"""What the server hands out: pages of runs alone, as a sandbox, and files to be saved."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette")

from starlette.applications import Starlette

from sincut.errors import RunError
from sincut.page.pages import Download, downloads, routes


def answer(app: Any, path: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of a GET."""
    messages: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request"}

    async def send(message: Any) -> None:
        messages.append(message)

    scope = {"type": "http", "method": "GET", "path": path, "headers": [], "query_string": b""}
    asyncio.run(app(scope, receive, send))
    headers = {name.decode(): value.decode() for name, value in messages[0]["headers"]}
    return messages[0]["status"], headers, b"".join(message.get("body", b"") for message in messages[1:])


def test_reports_are_of_an_origin_of_their_own(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("<p>of a run</p>")

    def report(name: str) -> Path | None:
        if name == "other":
            raise RunError("no such run")
        return page if name == "group/sea" else None

    app = Starlette(routes=routes(report=report))
    status, headers, body = answer(app, "/report/group/sea")
    assert (status, body) == (200, b"<p>of a run</p>") and headers["content-type"].startswith("text/html")
    policy = headers["content-security-policy"].split()
    assert policy[0] == "sandbox" and "allow-scripts" in policy and "allow-same-origin" not in policy
    for name in ("none", "other"):
        assert answer(app, f"/report/{name}")[0] == 404


def test_models_are_saved_by_their_names(tmp_path: Path) -> None:
    def model(name: str) -> Download:
        if name != "group/sea":
            raise RunError("no such model")
        return Download("Wärme; \n.safetensors", b"<b>")

    app = Starlette(routes=downloads(model=model))
    status, headers, body = answer(app, "/model/group/sea")
    assert (status, body, headers["content-type"]) == (200, b"<b>", "application/octet-stream")
    assert headers["content-disposition"] == "attachment; filename*=UTF-8''W%C3%A4rme%3B%20%0A.safetensors"
    assert answer(app, "/model/other")[0] == 404
