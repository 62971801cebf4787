"""Where the server of the web page listens; without Gradio."""

import os

import pytest

from sincut.errors import RunError
from sincut.page.serve import _check_host, _pass_proxies


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
