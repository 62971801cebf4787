"""The web page on this machine: where it listens, and what happens to trainings when it ends."""

import os
import socket
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from sincut.errors import RunError
from sincut.page.guard import Guard

OFFLINE = {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
NOT_FROM_OUTSIDE = ("GRADIO_ALLOWED_PATHS", "GRADIO_SHARE", "GRADIO_ROOT_PATH", "GRADIO_MCP_SERVER", "GRADIO_VIBE_MODE")
LOCAL = ("127.0.0.1", "localhost", "::1")
UPLOADED_AT_ONCE = 10  # times the largest file: what one request may bring of several
SECONDS_BETWEEN_LOOKS = 0.2


def serve(
    runs: Path, *, host: str, port: int | None, device: str, max_upload: int, max_pixels: int, open_: bool,
    stop: Callable[[], bool], say: Callable[[str], None],
) -> list[str]:  # fmt: skip
    """Serve the page until `stop` says so; then stop trainings, which save. Returns the names of those.

    Paths that visitors may name lie below the current folder. Raises `RunError` where the extra is missing, the host is
    none of this machine's or the port is taken, and what `prepared_device` raises.
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
    from sincut.devices import prepared_device
    from sincut.page.desk import Desk
    from sincut.page.jobs import Trainings

    found = prepared_device(device)
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
