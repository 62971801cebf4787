"""The server of the web page: where it listens, and what happens to trainings when it ends."""

import os
import socket
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sincut.errors import RunError

# Switches off what Gradio and huggingface_hub would send home or fetch.
OFFLINE = {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
# Variables with which Gradio would hand out other files or make the page public; removed.
NOT_FROM_OUTSIDE = ("GRADIO_ALLOWED_PATHS", "GRADIO_SHARE", "GRADIO_ROOT_PATH", "GRADIO_MCP_SERVER", "GRADIO_VIBE_MODE")
LOCAL = ("127.0.0.1", "localhost", "::1")
UPLOADED_AT_ONCE = 10  # times --max-upload: the bytes of all files of one request
SECONDS_BETWEEN_LOOKS = 0.2


def serve(
    runs: Path,
    *,
    host: str,
    port: int | None,
    device: str,
    max_upload: int,
    max_pixels: int,
    open_: bool,
    stop: Callable[[], bool],
    say: Callable[[str], None],
) -> list[str]:
    """Serve the page until `stop` says so, then stop all trainings, which save. Returns the names of the saved runs.

    `max_upload` in bytes, `max_pixels` of one picture; `port` None: the first free one from 7860 on. Visitors may name
    paths below the current folder. Raises `RunError` if the extra is missing, the host is none of this machine's or the
    port is taken, and what `find_device` raises.
    """
    _check_host(host)
    _set_environment(host)
    ui = _imported_ui()
    from sincut.devices import find_device
    from sincut.page.desk import Desk
    from sincut.page.jobs import Trainings

    compute = find_device(device)
    with tempfile.TemporaryDirectory(prefix="sincut-ui-") as place:
        os.environ["GRADIO_TEMP_DIR"] = place
        desk = Desk(Path.cwd(), Path(place), Trainings(runs.absolute(), device), compute, max_pixels)
        page = ui.build(desk)
        url = _listen(ui, page, host, port, max_upload, open_, desk)
        try:
            say(f"sincut is at {url} (Ctrl-C stops it)")
            while not stop():
                time.sleep(SECONDS_BETWEEN_LOOKS)
        finally:
            desk.closing = True
            saved = desk.trainings.close()
            page.close(verbose=False)
    return saved


def _imported_ui() -> Any:
    """The module that builds the page. Raises `RunError` if the extra is not installed."""
    try:
        from sincut.page import ui
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("sincut"):
            raise
        raise RunError("the web page needs an extra: pip install 'sincut[ui]'") from None
    return ui


def _listen(ui: Any, page: Any, host: str, port: int | None, max_upload: int, open_: bool, desk: Any) -> str:
    """Serve a desk's page in a thread; returns its address. Raises `RunError` where nobody can listen or be reached."""
    from httpx import HTTPError, InvalidURL

    from sincut.page.guard import middleware
    from sincut.page.pages import downloads, routes

    before = middleware(LOCAL if host in LOCAL else None, UPLOADED_AT_ONCE * max_upload)
    pages = routes(report=desk.trainings.report, sheet=desk.sheets.get)
    files = downloads(model=desk.model_file, card=desk.card)
    app = {"middleware": before, "routes": [*pages, *files]}
    try:
        _, url, _ = ui.launch(page, host, port, max_upload, open_, app)
    except OSError:
        where = "ports 7860 to 7959" if port is None else f"port {port}"
        raise RunError(f"{host}: {where} cannot be listened on; give another one with --port") from None
    except (HTTPError, InvalidURL) as error:
        raise RunError(f"--host {host}: the page does not answer there ({error}); check the proxy settings") from None
    return str(url)


def _set_environment(host: str) -> None:
    """Settings that Gradio reads when it is imported: nothing is sent home, and nobody widens what the page may do."""
    os.environ.update(OFFLINE)
    _pass_proxies(host)
    for name in NOT_FROM_OUTSIDE:
        os.environ.pop(name, None)


def _check_host(host: str) -> None:
    """Raise `RunError` unless the host is an IPv4 address of this machine or a name of one."""
    if ":" in host:
        raise RunError(f"--host {host}: IPv6 is not supported; give an IPv4 address, as in 127.0.0.1")
    try:
        with socket.socket() as probe:
            probe.bind((host, 0))
    except (OSError, ValueError):  # of names that are too long, UnicodeError
        raise RunError(f"--host {host}: is no name or address of this machine; give 127.0.0.1 or 0.0.0.0") from None


def _pass_proxies(host: str) -> None:
    """Add this host to NO_PROXY: Gradio asks its own page once, which no proxy must answer.

    Both spellings are set, as Python prefers the lower-case one.
    """
    spellings = ("NO_PROXY", "no_proxy")
    given = [name.strip() for spelling in spellings for name in os.environ.get(spelling, "").split(",")]
    merged = ",".join(dict.fromkeys([*LOCAL, host, *filter(None, given)]))
    os.environ.update(dict.fromkeys(spellings, merged))
