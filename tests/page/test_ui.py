"""The web page as a visitor meets it: what it refuses, tabs that do not disturb each other, a browser that uses it."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, Request, build_opener

import pytest
from helpers import ROOT, TINY, chromium, make_model, scene
from PIL import Image

from sincut.config.resolve import resolve
from sincut.config.sections import overlay
from sincut.errors import RunError
from sincut.page.serve import NOT_FROM_OUTSIDE, OFFLINE
from sincut.translation.translator import load

pytest.importorskip("gradio")
pytestmark = pytest.mark.slow

SETTINGS = [f"{s}.{k}={json.dumps(v)}" for s, values in TINY.items() for k, v in values.items() if k != "steps"]
WAIT = 120


@dataclass
class Server:
    """`sincut ui` in a folder of its own."""

    url: str
    folder: Path
    process: "subprocess.Popen[str]"

    def ask(self, path: str, data: Any = None, **headers: str) -> tuple[int, str]:
        """Status and body of a request; with data, a POST of JSON, or of bytes as they are."""
        body = data if isinstance(data, bytes | None) else json.dumps(data).encode()
        request = Request(self.url + path, body, {"Content-Type": "application/json", **headers})
        try:
            with build_opener(ProxyHandler({})).open(request, timeout=WAIT) as answer:
                return answer.status, answer.read().decode(errors="replace")
        except HTTPError as error:
            return error.code, error.read().decode(errors="replace")

    def config(self) -> dict[str, Any]:
        """The parts of the page and its events, as its own scripts read them."""
        return dict(json.loads(self.ask("/config")[1]))

    def join(self, name: str, session: str, *data: Any) -> int:
        """Put an event of the page into the queue, as its own scripts do; the status of that request."""
        event = next(e["id"] for e in self.config()["dependencies"] if e["api_name"] == name)
        return self.ask("/gradio_api/queue/join", {"data": data, "fn_index": event, "session_hash": session})[0]

    def answers(self, session: str) -> list[dict[str, Any]]:
        """The last messages of all events that a session has put into the queue, once all of them are done."""
        told = self.ask(f"/gradio_api/queue/data?session_hash={session}")[1]
        lines = [json.loads(line.removeprefix("data: ")) for line in told.splitlines() if line.startswith("data: ")]
        return [line for line in lines if line["msg"] == "process_completed"]

    def call(self, name: str, session: str, *data: Any) -> dict[str, Any]:
        """What an event of the page gives; the last message of its process."""
        status = self.join(name, session, *data)
        return self.answers(session)[0] if status == 200 else {"refused": status}

    def clicked(self, button: str) -> list[str]:
        """The names of the events that a click on a button sets off, each after the one before it."""
        config = self.config()
        target = next([c["id"], "click"] for c in config["components"] if c["props"].get("elem_id") == button)
        chain = [next(e for e in config["dependencies"] if target in e["targets"])]
        while later := [e for e in config["dependencies"] if e["trigger_after"] == chain[-1]["id"]]:
            chain += later
        return [str(e["api_name"]) for e in chain]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("page")
    (folder / "secret.txt").write_text("very hush hush")
    for number, name in enumerate(("painting.png", "photo.png", "other.png"), 1):
        Image.fromarray(scene(72, 90, number)).save(folder / name)
    (folder / "runs" / "ready").mkdir(parents=True)
    make_model(overlay(resolve(), TINY)).save(folder / "runs" / "ready" / "model.safetensors")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "sincut", "ui", "--no-open", "--port", str(port), "--device", "cpu"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "GRADIO_ALLOWED_PATHS": "/", "GRADIO_SHARE": "True"}
    process = subprocess.Popen([*command, "--max-upload", "1MB"], cwd=folder, env=environment, stderr=subprocess.PIPE,
                               text=True)  # fmt: skip
    assert process.stderr is not None and "sincut is at" in process.stderr.readline()
    yield Server(f"http://127.0.0.1:{port}", folder, process)
    if process.poll() is None:
        process.kill()
        process.wait()


def test_only_this_machine_is_listened_to(server: Server) -> None:
    assert server.ask("/config")[0] == 200
    names = socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)
    port = urlsplit(server.url).port or 0
    for address in {str(info[4][0]) for info in names} - {"127.0.0.1"}:
        with pytest.raises(OSError), socket.create_connection((address, port), timeout=5):
            pass


def test_requests_of_other_sites_are_refused(server: Server) -> None:
    assert server.ask("/config", Host="evil.example")[0] == 400
    assert server.ask("/config", Host="evil.example:80", Origin="http://evil.example:80")[0] == 400
    for origin in ("http://evil.example", "null", "http://127.0.0.1:1", "http://[bad"):
        assert server.ask("/config", Origin=origin)[0] == 403
        assert (
            server.ask("/gradio_api/upload", b"x", Origin=origin, **{"Content-Type": "multipart/form-data"})[0] == 403
        )
    assert server.ask("/config", Origin=server.url)[0] == 200


def test_files_of_the_machine_are_not_handed_out(server: Server) -> None:
    for path in ("/etc/passwd", server.folder / "secret.txt", server.folder / "runs" / "ready" / "model.safetensors"):
        status, body = server.ask(f"/gradio_api/file={path}")
        assert status == 403 and "hush" not in body, path
    for path in (
        "file=http://127.0.0.1:1/x",
        "file=https://example.org/",
        "proxy=http://example.org/",
        "file=ftp://a/",
    ):
        assert server.ask(f"/gradio_api/{path}")[0] == 403, path


def hostile(path: object) -> dict[str, Any]:
    """A file as a page names it that has been uploaded, but was not."""
    return {"path": str(path), "orig_name": "a.png", "meta": {"_type": "gradio.FileData"}}


def test_addresses_and_foreign_files_are_no_pictures(server: Server) -> None:
    for address in ("http://127.0.0.1:1/a.png", "https://example.org/a.png"):
        for data in (hostile(address), [hostile(address)], {"nested": [{"path": address}]}):
            assert server.call("look", "a", data, "") == {"refused": 403}
    for path in (server.folder / "painting.png", "/etc/passwd", "a.png"):
        answer = server.call("look", "b", hostile(path), "")
        assert not answer["success"], path


def test_named_paths_stay_below_the_folder(server: Server) -> None:
    assert server.call("look", "c", None, "painting.png")["success"]
    for text in ("../x.png", "/etc/passwd", "runs/../../../x.png"):
        answer = server.call("look", "c", None, text)
        assert not answer["success"] and "does not lie in" in answer["output"]["error"], answer
    answer = server.call("look", "c", None, "secret.txt")
    assert "not a picture" in answer["output"]["error"] and "Traceback" not in json.dumps(answer)


def test_larger_uploads_are_refused(server: Server) -> None:
    def form(size: int) -> bytes:
        head = b'--x\r\nContent-Disposition: form-data; name="files"; filename="../../a.png"\r\n\r\n'
        return head + b"0" * size + b"\r\n--x--\r\n"

    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    assert server.ask("/gradio_api/upload", form(2_000_000), **kind)[0] == 413
    status, body = server.ask("/gradio_api/upload", form(1000), **kind)
    assert status == 200 and ".." not in json.loads(body)[0]


def test_visitors_have_their_own_choices_and_results(server: Server) -> None:
    options = ["everything from the translation", "1", False, 1, 0.5, False, None, "as it came", None, False, False]
    fields: dict[str, list[Any]] = {}
    for session, name, strength in (("one", "painting.png", 1), ("two", "other.png", 0)):
        fields[session] = ["ignored: the model of a tab is kept by the server", None, name, f"styled-{session}", False,
                           strength, *options]  # fmt: skip
    answer = server.call("run", "one", *fields["one"])
    assert answer["output"]["data"][0].startswith("**Not styled:** no model yet"), answer
    assert server.call("refresh", "one", "", "")["success"]
    answer = server.call("run", "one", *fields["one"])
    assert "1 styled" in answer["output"]["data"][0], answer
    answer = server.call("run", "two", *fields["two"])
    assert answer["output"]["data"][0].startswith("**Not styled:** no model yet"), answer
    assert server.call("refresh", "two", "", "")["success"]
    answer = server.call("run", "two", *fields["two"])
    assert "1 styled" in answer["output"]["data"][0], answer
    with Image.open(server.folder / "styled-two" / "other.png") as out, Image.open(server.folder / "other.png") as own:
        assert out.tobytes() == own.tobytes()
    assert [path.name for path in (server.folder / "styled-one").glob("*.png")] == ["painting.png"]


def test_every_field_of_the_look_and_every_stroke_of_the_brush_change_the_proof(server: Server) -> None:
    config = server.config()
    events = [event for event in config["dependencies"] if event["api_name"].partition("_")[0] in ("make", "mix")]
    targets = [tuple(target) for event in events for target in event["targets"]]
    wanted = {
        "Strength": "change",
        "Take": "change",
        "Size of strokes": "change",
        "Fidelity": "change",
        "Fast": "change",
    }
    wanted |= {"Scale": "change", "Mask": "input"}
    for label, kind in wanted.items():
        (field,) = (each["id"] for each in config["components"] if each["props"].get("label") == label)
        assert (field, kind) in targets, label


def test_numbers_may_be_left_to_the_preset_and_to_the_picture(server: Server) -> None:
    numbers = {
        each["props"]["label"]: each["props"] for each in server.config()["components"] if each["type"] == "number"
    }
    for label in ("Minutes", "Quality"):  # an empty one would come back from the browser as 0
        assert numbers[label]["minimum"] == 0 and numbers[label]["value"] is not None


def test_stop_counts_for_styling_that_waits_for_its_turn(server: Server) -> None:
    (server.folder / "many").mkdir()
    for number in range(100):
        shutil.copy(server.folder / "painting.png", server.folder / "many" / f"{number}.png")
    looks = [1, "everything from the translation", "1", False, 1, 0.5, False, None]
    options = [False, *looks, "as it came", None, False, False]
    for session in ("busy", "patient"):  # one styles, the other waits until it is done
        assert server.call("refresh", session, "", "")["success"]
        *first, last = server.clicked("style")
        for name in first:
            assert server.call(name, session)["success"]
        assert last == "run" and server.join(last, session, "", None, "many", f"styled-{session}", *options) == 200
    for session in ("patient", "busy"):
        for name in server.clicked("stop-styling"):
            server.join(name, session)
    said = [json.dumps(answer["output"]["data"]) for answer in server.answers("patient")]
    assert any("0 styled, 100 not reached: stopped" in text for text in said), said
    server.answers("busy")
    assert "100 styled" in json.dumps(server.call("run", "patient", "", None, "many", "styled-patient", *options))


def eventually(condition: Callable[[], Any], seconds: float = WAIT) -> Any:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if met := condition():
            return met
        time.sleep(0.2)
    raise AssertionError(f"in vain: {condition}")


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Any]:
    with chromium("--window-size=1280,2400", **{"download.default_directory": str(tmp_path)}) as chrome:
        yield chrome


@dataclass
class Visitor:
    """Uses the page by what is written on it."""

    browser: Any

    def all(self, selector: str) -> list[Any]:
        return list(self.browser.find_elements("css selector", selector))

    def one(self, selector: str) -> Any:
        return eventually(lambda: self.all(selector))[0]

    def click(self, selector: str, text: str = "") -> None:
        elements = eventually(lambda: [e for e in self.all(selector) if text in e.text and e.is_enabled()])
        self.browser.execute_script("arguments[0].click()", elements[0])

    def give(self, selector: str, *files: Path) -> None:
        self.one(f"{selector} input[type=file]").send_keys("\n".join(map(str, files)))
        for file in files:
            self.read(selector, file.stem)

    def read(self, selector: str, text: str) -> str:
        return str(eventually(lambda: next((e.text for e in self.all(selector) if text in e.text), "")))

    def stored(self) -> dict[str, str]:
        """What the browser keeps for the page, encrypted."""
        return dict(self.browser.execute_script("return {...localStorage}"))

    def train(self, name: str, *settings: str) -> None:
        """Start a training with these settings."""
        for label, text in ((f"#name {TEXT}", name), (f"#settings {TEXT}", "\n".join([*SETTINGS, *settings]))):
            self.one(label).clear()
            self.one(label).send_keys(text)
        time.sleep(1)  # until the page has told the server what was typed
        self.click("#start")

    def requested(self) -> set[str]:
        """The hosts that the page has asked for something."""
        events = [json.loads(entry["message"])["message"] for entry in self.browser.get_log("performance")]
        urls = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
        return {urlsplit(url).netloc for url in urls if urlsplit(url).scheme in ("http", "https", "ws", "wss")}


TEXT = ":is(input, textarea)"


def test_a_visitor_trains_styles_compares_and_downloads(server: Server, browser: Any, tmp_path: Path) -> None:
    from selenium.webdriver import ActionChains, Keys

    visitor, folder = Visitor(browser), server.folder
    browser.get(server.url)
    visitor.give("#drop-painting", folder / "painting.png")
    visitor.give("#drop-photo", folder / "photo.png")
    visitor.click("button.label-wrap", "More settings")
    visitor.train("first", "crops.sise=3")
    visitor.read("body", "did you mean crops.size?")  # a toast, and nothing is begun
    assert visitor.one("#start:enabled")
    assert not (folder / "runs" / "first").exists()
    visitor.train("first", "schedule.steps=4")
    visitor.read("#status", "first: finished, step 4 of 4")
    eventually(lambda: visitor.all("img[src*='000004.jpg']"))

    browser.refresh()
    visitor.click("button[role=tab]", "Apply")
    eventually(lambda: len(visitor.all("#choose-model button.thumbnail-item")) >= 2)
    visitor.read("body", "Chosen: first, which takes paintings")
    visitor.give("#drop-pictures", folder / "other.png", folder / "photo.png")
    visitor.click("#style")
    visitor.read("#styled", "2 styled.")
    visitor.read("#shown", "other-first.png, 90×72. Download it below.")
    assert len(visitor.all("#shown img")) == 2 and not visitor.all("#shown :is(a, button)")
    figure, handle = visitor.one("#shown figure"), visitor.one("#shown input[type=range]")
    handle.send_keys(Keys.ARROW_RIGHT * 10)
    assert eventually(lambda: "60%" in figure.get_attribute("style"))
    ActionChains(browser).drag_and_drop_by_offset(handle, -20, 0).perform()
    assert eventually(lambda: "60%" not in figure.get_attribute("style"))
    browser.execute_script("arguments[0].style.maxWidth = '50px'", figure)
    assert visitor.one("#shown img.after").size["width"] == 50
    visitor.click("#shown figure input[type=checkbox]")
    assert eventually(lambda: visitor.one("#shown img.after").size["width"] == 90)
    assert visitor.one("#shown .frame").size["width"] == 50
    visitor.click("#zip")
    archive = eventually(lambda: list(tmp_path.glob("*.zip")))[0]
    with zipfile.ZipFile(archive) as packed:
        assert packed.namelist() == ["other-first.png", "photo-first.png"] and packed.testzip() is None
    load(folder / "runs" / "first").apply_file(folder / "other.png", tmp_path / "o.png")
    with zipfile.ZipFile(archive) as packed:
        assert packed.read("other-first.png") == (tmp_path / "o.png").read_bytes()
    assert visitor.requested() == {urlsplit(server.url).netloc}


def test_the_example_is_one_click_away_and_last_choices_come_back(server: Server, browser: Any) -> None:
    visitor = Visitor(browser)
    browser.get(server.url)
    visitor.click("#example", "Try it with our example")
    visitor.read("#shown figcaption", "photo.jpg with example.safetensors, not made yet.")
    visitor.read("body", "Chosen: example.safetensors, which takes photos")
    assert (server.folder / "runs" / "example.safetensors").is_file()
    eventually(lambda: not visitor.all("#example"))
    before = visitor.stored()
    visitor.click("#choose-model button.thumbnail-item", "ready")
    visitor.read("body", "Chosen: ready")
    visitor.click("#keep label", "keep my colours")
    eventually(lambda: all(visitor.stored()[name] != before[name] for name in ("sincut-apply", "sincut-model")))
    browser.refresh()
    visitor.click("button[role=tab]", "Apply")
    visitor.read("#keep label.selected", "keep my colours")
    visitor.read("body", "Chosen: ready")

    visitor.click("button[role=tab]", "Models")
    visitor.click("#models button.thumbnail-item", "example")
    visitor.read("#about", "photo → painting")
    visitor.click("button.label-wrap", "Rename, make smaller, delete")
    eventually(lambda: visitor.one(f"#model-name {TEXT}").get_attribute("value") == "example")
    visitor.one(f"#model-name {TEXT}").send_keys("-2\n")
    visitor.read("#models", "example-2.safetensors")
    assert (server.folder / "runs" / "example-2.safetensors").is_file()
    status, body = server.ask("/model/example-2.safetensors")
    assert status == 200 and len(body) > 1_000_000 and server.ask("/card/none")[0] == 404


@pytest.mark.skipif("SINCUT_AXE" not in os.environ, reason="needs axe-core: SINCUT_AXE=/path/to/axe.min.js")
def test_nothing_serious_stands_in_anybodys_way(server: Server, browser: Any) -> None:
    axe = Path(os.environ["SINCUT_AXE"]).read_text(encoding="utf-8")
    visitor, run = Visitor(browser), "axe.run().then((result) => arguments[0](result.violations))"
    for scheme, width in (("light", 1280), ("dark", 1280), ("light", 390), ("dark", 390)):
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        browser.get(server.url)
        for name in ("Train", "Apply", "Models", "Similarity"):
            visitor.click("button[role=tab]", name)
            if name == "Apply":
                visitor.give("#drop-pictures", server.folder / "other.png")
                visitor.read("#shown figcaption", "other.png")
            for label in visitor.all("button.label-wrap:not(.open)"):
                browser.execute_script("arguments[0].click()", label)
            time.sleep(2)
            browser.execute_script(axe)
            violations = browser.execute_async_script(run)
            serious = [each for each in violations if each["impact"] in ("serious", "critical")]
            told = [(each["id"], node["html"][:200]) for each in serious for node in each["nodes"]]
            assert not told, (scheme, width, name, told)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no POSIX signals")
def test_ctrl_c_saves_a_training_that_a_closed_tab_has_left(server: Server) -> None:
    paths = None, None, "painting.png", "photo.png"
    settings = "\n".join([*SETTINGS, "schedule.steps=100000", "output.log_every=1"])
    begun = server.call("try_to", "gone", *paths, "photo", "quick", 3, "long", 0, settings, True)
    assert begun["success"], begun
    run = server.folder / "runs" / "long"
    eventually(lambda: (run / "metrics.jsonl").exists())
    assert "long: running" in json.dumps(server.call("watch", "another", None, None)).replace("</strong>", "")
    server.process.send_signal(signal.SIGINT)
    _, said = server.process.communicate(timeout=WAIT)
    assert server.process.returncode == 130
    assert said.splitlines()[-1] == "sincut: stopped; long can be resumed"
    assert (run / "checkpoint.safetensors").is_file() and (run / "inputs" / "photo" / "photo.png").is_file()


def test_the_extra_is_named_where_it_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sincut.page.serve import serve

    for name in ("ui", "desk", "train_tab", "models_tab", "apply_tab", "similar_tab"):
        monkeypatch.delitem(sys.modules, f"sincut.page.{name}", raising=False)
        monkeypatch.delattr(f"sincut.page.{name}", raising=False)
    monkeypatch.setitem(sys.modules, "gradio", None)
    for name in (*OFFLINE, *NOT_FROM_OUTSIDE, "NO_PROXY"):
        monkeypatch.setenv(name, os.environ.get(name, ""))
    with pytest.raises(RunError, match=r"sincut\[ui\]"):
        serve(
            tmp_path, host="127.0.0.1", port=None, device="cpu", max_upload=1, max_pixels=1, open_=False,
            stop=lambda: True, say=print,
        )  # fmt: skip
