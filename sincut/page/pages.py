"""What the server hands out beside its own page: reports of runs, comparisons, and models with their cards.

A run folder may come from a stranger, and its report may hold any script. It is served as a sandbox (Content Security
Policy, https://www.w3.org/TR/CSP3/#directive-sandbox): of an origin of its own, whose requests `guard.Guard` refuses.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from sincut.errors import RunError, SincutError
from sincut.files import read_whole

SANDBOX = {
    "Content-Security-Policy": "sandbox allow-scripts allow-modals allow-downloads",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


def routes(**pages: Callable[[str], Path | None]) -> list[Route]:
    """Routes such as /report/NAME, by the first word of their path: a function gives the HTML file of a name.

    Where it gives none, or raises `RunError`, the answer is status 404.
    """
    return [Route(f"/{word}/{{name:path}}", _answering(file_of), methods=["GET"]) for word, file_of in pages.items()]


class Download(NamedTuple):
    """A file to be downloaded: its name, and its bytes."""

    name: str
    content: bytes


def downloads(**files: Callable[[str], Download]) -> list[Route]:
    """Routes such as /model/NAME, by the first word of their path: a function gives the file of a name.

    Where it raises `SincutError`, the answer is status 404.
    """
    return [Route(f"/{word}/{{name:path}}", _sending(file_of), methods=["GET"]) for word, file_of in files.items()]


def _sending(file_of: Callable[[str], Download]) -> Callable[[Request], Response]:
    """The endpoint of a route that gives these files to be saved, and none to be shown."""

    def answer(request: Request) -> Response:
        try:
            file = file_of(request.path_params["name"])
        except SincutError:
            return PlainTextResponse("no such file", 404)
        headers = {
            "Content-Disposition": f"attachment; filename*=UTF-8''{quote(file.name, safe='')}",  # RFC 6266
            "X-Content-Type-Options": "nosniff",
            "Cache-Control": "no-store",
        }
        return Response(file.content, media_type="application/octet-stream", headers=headers)

    return answer


def _answering(file_of: Callable[[str], Path | None]) -> Callable[[Request], Response]:
    """The endpoint of a route whose pages are these files."""

    def answer(request: Request) -> Response:
        try:
            path = file_of(request.path_params["name"])
            page = read_whole(path, RunError) if path is not None else None
        except RunError:
            page = None
        if page is None:
            return PlainTextResponse("no such page", 404)
        return HTMLResponse(page, headers=SANDBOX)

    return answer
