"""The page of a run: what is in it, that names do nothing and no network is asked, and how it behaves in a browser."""

import base64
import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import chromium, make_model, scene, stop_after
from PIL import Image

import sincut
from sincut.config.resolve import closest, resolve
from sincut.config.sections import Config, overlay
from sincut.errors import ImageError, Interrupted, ModelError, RunError
from sincut.events import Event, Saved, Warned
from sincut.model.provenance import PictureIdentity, Provenance
from sincut.pictures import resampling
from sincut.pictures.picture import Picture
from sincut.report import history, run_page

HOSTILE = "</script><img src=x onerror=window.broken=1>&\u2028'\"山.jpg"


def put_run(run: Path, config: Config, name: str = "painting.png", size: tuple[int, int] = (240, 320)) -> Path:
    """A run folder without any training: a model, three previews, metrics."""
    previews = run / "previews"
    previews.mkdir(parents=True)
    for step in (10, 50, 100):
        Image.fromarray(scene(*size, step)).save(previews / f"{step:06d}.jpg")
    Image.fromarray(scene(*size, 1)).save(previews / "painting.jpeg")
    Image.fromarray(scene(*size, 2)).save(previews / "photo.jpeg")
    model = make_model(config)
    painting, photo = (PictureIdentity(each, size[1], size[0], "ab" * 32) for each in (name, "photo.png"))
    origin = Provenance(painting, photo, "painting -> photo", seed=7)
    model.provenance = replace(origin, steps=100, planned_steps=100, crops=2, seconds=64.0)
    model.save(run / "model.safetensors")
    session = {"device": "cpu", "precision": "float32", "threads": 2, "time": "2026-01-02T03:04:05+00:00"}
    history.append(run, {"step": 0, "session": {**session, "painting": f"in put/{name}", "photo": "photo.png"}})
    for step in range(10, 101, 10):
        history.append(run, {"step": step, "losses": {"D": 1 / step, "NCE": 2 / step}, "step_seconds": 0.5})
    for step in (10, 50, 100):
        figures = {"colour": step / 200, "texture": 0.5, "structure": 0.8, "tone": 0.9, "sharpness": 1.1}
        history.append(run, {"step": step, "figures": figures})
    return run


class Tags(HTMLParser):
    """Collects elements with their attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, list[tuple[str, str | None]]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, attrs))


def data_of(page: str) -> dict[str, Any]:
    blocks = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert len(blocks) == 1
    found: dict[str, Any] = json.loads(blocks[0])
    return found


def test_page_tells_the_whole_run(tiny: Config, tmp_path: Path) -> None:
    data = data_of(run_page.page(put_run(tmp_path / "run", tiny)))
    assert [frame["step"] for frame in data["timeline"]] == [10, 50, 100]
    assert data["timeline"][1]["figures"]["colour"] == 0.25
    assert data["losses"]["steps"] == list(range(10, 101, 10))
    assert {curve["name"]: curve["values"][-1] for curve in data["losses"]["curves"]} == {"D": 0.01, "NCE": 0.02}
    changed = {f"{row['section']}.{row['key']}": row["value"] for row in data["settings"] if row["changed"]}
    assert data["preset"] == closest(tiny).name
    assert changed["crops.size"] == "32" and "losses.r1" not in changed and len(data["settings"]) > 35
    assert data["state"] == {"kind": "finished", "step": 100, "steps": 100, "seconds": 64.0, "left": 0}
    commands = {row["label"]: row["text"] for row in data["commands"]}
    run = str(tmp_path / "run")
    assert (
        commands["Go on with the training"]
        == f"sincut train 'in put/painting.png' photo.png -o {run} --device cpu --more 5"
    )
    assert commands["Translate a picture"] == f"sincut apply {run} 'in put/painting.png' -o out.png"
    assert data["inputs"][0]["sha256"] == "ab" * 32 and ["Seed", "7"] in data["origin"]
    assert ["Crops a step", "2"] in data["machine"]


def test_what_differs_is_told_of_any_run_since_none_records_its_preset(tmp_path: Path) -> None:
    """Against the preset that is closest; the defaults of the settings are the plain method, which few runs use."""
    for name, flag, changed in (("a", "crops.count=16", {}), ("b", "crops.count=3", {"crops.count": ("3", "16")})):
        model = make_model(resolve("standard", ["networks.stem=4", "networks.inner=8", flag]))
        (tmp_path / name).mkdir()
        model.save(tmp_path / name / "model.safetensors")
        data = data_of(run_page.page(tmp_path / name))
        rows = [row for row in data["settings"] if row["changed"]]
        own = {f"{row['section']}.{row['key']}": (row["value"], row["preset"]) for row in rows}
        assert data["preset"] == "standard"
        assert own == {"networks.stem": ("4", "16"), "networks.inner": ("8", "128"), **changed}


def test_page_is_self_contained_and_hostile_names_are_text(tiny: Config, tmp_path: Path) -> None:
    page = run_page.page(put_run(tmp_path / "run", tiny, HOSTILE))
    assert data_of(page)["names"]["painting"] == HOSTILE
    assert "<img src=x" not in page and page.count("</script>") == 3
    tags = Tags()
    tags.feed(page)
    assert {"img", "script", "link", "a"} <= {tag for tag, _ in tags.found}
    loaded = [dict(a).get(n) or "" for _, a in tags.found for n in ("src", "href", "srcset", "action", "data", "style")]
    assert all(url in ("", "data:,", "#result") for url in loaded)
    assert not any(name.startswith("on") for _, attributes in tags.found for name, _ in attributes)
    assert not re.search(r"url\(|@import|fetch\(|XMLHttpRequest|WebSocket|innerHTML|insertAdjacent", page)
    assert "default-src 'none'" in page and "unsafe" not in page.split("</head>")[0]
    assert "Permission is hereby granted" in page and "v1.6.32" in page


def test_a_drawn_result_has_what_g_alone_gives_below_it(tiny: Config, tmp_path: Path) -> None:
    run = put_run(tmp_path / "run", tiny)
    assert "fast" not in data_of(run_page.page(run))["pictures"]
    plain = data_of(run_page.page(run))
    for name in ("000050-fast.jpg", "000100-fast.jpg"):
        Image.fromarray(scene(240, 320, 77)).save(run / "previews" / name)
    data = data_of(run_page.page(run))
    pictures = data["pictures"]
    assert pictures["result"] == plain["pictures"]["result"] and pictures["fast"]["width"] == 320
    assert pictures["fast"]["src"] not in (pictures["result"]["src"], pictures["source"]["src"])
    frames, before = ([frame["src"] for frame in each["timeline"]] for each in (data, plain))
    assert frames[0] == before[0] and frames[1] == frames[2] and frames[2] != before[2]  # how G came about
    Image.fromarray(scene(240, 320, 5)).save(run / "previews" / "000200.jpg")  # a later one, which is not drawn
    assert "fast" not in data_of(run_page.page(run))["pictures"]


def test_page_stays_below_its_bound(tiny: Config, tmp_path: Path) -> None:
    run = put_run(tmp_path / "run", tiny, size=(60, 80))
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (900, 1000, 3), dtype=np.uint8))
    noise.save(run / "previews" / "000100.jpg", quality=95)
    names = ("painting.jpeg", "photo.jpeg", "000225-fast.jpg")
    for name in (*names, *(f"{step:06d}.jpg" for step in range(200, 226))):
        shutil.copy(run / "previews" / "000100.jpg", run / "previews" / name)
    with (run / "metrics.jsonl").open("a") as file:
        for step in range(200, 9000):
            file.write(json.dumps({"step": step, "losses": {f"loss{i}": step / 7 for i in range(9)}}) + "\n")
    page = run_page.page(run)
    assert 500_000 < len(page.encode()) < run_page.MAX_BYTES
    data = data_of(page)
    assert len(data["timeline"]) <= run_page.FRAMES and data["timeline"][-1]["step"] == 225
    assert len(data["losses"]["steps"]) <= run_page.POINTS


def test_damaged_metrics_and_previews_are_left_out(tiny: Config, tmp_path: Path) -> None:
    run = put_run(tmp_path / "run", tiny)
    bad = [b'{"step": 60, "los', b"\xff\xfe\x00", b"[]", b"null", b'{"step": "x", "losses": {"D": 1}}', b"[" * 5000]
    bad += [b'{"step": 1e999, "losses": {"D": 1}}', b'{"step": 30, "losses": {"D": NaN, "E": "x", "F": 1e999}}']
    bad += [b'{"step": 3, "losses": {"D": ' + b"9" * 400 + b"}}", b'{"step": 4, "session": 5, "figures": []}']
    (run / "metrics.jsonl").write_bytes((run / "metrics.jsonl").read_bytes() + b"\n".join(bad))
    (run / "previews" / "000050.jpg").write_bytes(b"no picture")
    data = data_of(run_page.page(run))
    assert data["losses"]["steps"] == list(range(10, 101, 10))
    assert [frame["step"] for frame in data["timeline"]] == [10, 100]


def test_figures_are_complained_about_once_the_training_is_far_enough(tiny: Config, tmp_path: Path) -> None:
    """So the page says no more than the training did."""
    run = put_run(tmp_path / "run", tiny)
    for step, warnings in ((20, 0), (60, 2)):
        history.forget_after(run, step - 1)
        history.append(run, {"step": step, "figures": {"colour": 3.0, "texture": 0.5, "structure": 0.9, "tone": -0.5}})
        assert len(data_of(run_page.page(run))["warnings"]) == warnings


def test_the_result_is_the_last_preview_that_can_be_read_or_the_models_thumbnail(tiny: Config, tmp_path: Path) -> None:
    run = put_run(tmp_path / "run", tiny)
    assert data_of(run_page.page(run))["pictures"]["result"]["step"] == 100
    (run / "previews" / "000100.jpg").write_bytes(b"no picture")
    assert data_of(run_page.page(run))["pictures"]["result"]["step"] == 50
    for path in (run / "previews").iterdir():
        path.unlink()
    assert data_of(run_page.page(run))["pictures"] == {"source": None, "target": None, "result": None}
    model = make_model(tiny)
    small = base64.b64encode(resampling.thumbnail(Picture(scene(20, 30, 1)))).decode()
    model.provenance = Provenance(thumbnails={"source": small, "target": "<script>", "output": small})
    model.save(run / "model.safetensors")
    shown = data_of(run_page.page(run))["pictures"]
    assert shown["target"] is None
    assert shown["result"]["width"] == shown["source"]["width"] == 30 and shown["source"]["thumbnail"]


def test_training_goes_on_after_damaged_metrics_and_the_report_has_all(
    tiny: Config, painting: Path, photo: Path, tmp_path: Path
) -> None:
    run, config = tmp_path / "run", overlay(tiny, {"schedule": {"steps": 6}})
    with pytest.raises(Interrupted):
        sincut.train(painting, photo, run, config=config, stop=stop_after(3))
    stopped = data_of((run / "report.html").read_text(encoding="utf-8"))
    assert stopped["state"]["kind"] == "stopped" and stopped["state"]["step"] == 3
    with (run / "metrics.jsonl").open("ab") as file:
        file.write(b'\xff\xfe\n{"step": 1e999}\n{"step": 2, "los')
    events: list[Event] = []
    sincut.train(painting, photo, run, resume=True, on_event=events.append)
    data = data_of((run / "report.html").read_text(encoding="utf-8"))
    assert data["state"]["kind"] == "finished" and data["losses"]["steps"] == [2, 4, 6]
    assert [session["step"] for session in data["sessions"]] == ["0", "3"]
    assert [event.path for event in events if isinstance(event, Saved) and event.kind == "report"] == [
        run / "report.html"
    ]
    assert data["pictures"]["source"]["width"] == 90 and data["inputs"][0]["name"] == "painting.png"


def test_a_report_that_cannot_be_written_is_told_and_stops_nothing(
    tiny: Config, painting: Path, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RunError("report.html: cannot be written")

    monkeypatch.setattr(run_page, "write_whole", fail)
    events: list[Event] = []
    sincut.train(painting, photo, tmp_path / "run", config=tiny, on_event=events.append)
    assert sincut.load(tmp_path / "run").model.provenance.steps == 4
    assert any(isinstance(event, Warned) and "report" in event.message for event in events)


def test_a_report_is_written_whole(tiny: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = put_run(tmp_path / "run", tiny)
    path = run_page.write(run)
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("sincut.files.os.fsync", full)
    with pytest.raises(RunError, match="No space left"):
        run_page.write(run)
    assert path.read_bytes() == before and not list(run.glob(".report*"))


def test_runs_without_copies_take_the_files_they_are_given(tiny: Config, painting: Path, tmp_path: Path) -> None:
    run = put_run(tmp_path / "run", tiny)
    (run / "previews" / "painting.jpeg").unlink()
    assert data_of(run_page.page(run))["pictures"]["source"] is None
    with pytest.raises(RunError, match="is not the painting of this run"):
        run_page.page(run, painting=painting)
    with pytest.raises(ImageError):
        run_page.page(run, painting=tmp_path / "none.png")
    with pytest.raises(ModelError, match="no model there"):
        run_page.page(tmp_path / "nowhere")


# ---- in a browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium("--hide-scrollbars", "--window-size=1200,1000") as chrome:
        yield chrome


def opened(browser: Any, run: Path, width: int = 1200, scheme: str = "light") -> None:
    size = {"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    browser.get_log("browser"), browser.get_log("performance")
    browser.get((run / "report.html").as_uri())


def clip(browser: Any) -> float:
    """How many px of the translation are uncovered, at the right."""
    found: str = browser.execute_script("return document.getElementById('before').style.clipPath")
    return float(re.findall(r"inset\(0(?:px)? ([\d.]+)px", found)[0])


@pytest.mark.slow
def test_browser_slides_zooms_and_scrubs(browser: Any, tiny: Config, tmp_path: Path) -> None:
    from selenium.webdriver import ActionChains, Keys

    run = put_run(tmp_path / "run", tiny)
    run_page.write(run)
    opened(browser, run)
    find = browser.find_element
    middle, split = clip(browser), find("id", "split")
    split.send_keys(Keys.ARROW_RIGHT * 10)
    by_keys = clip(browser)
    assert by_keys < middle and split.get_attribute("aria-valuetext").startswith("painting 60 %")
    handle = find("css selector", "#divider span")
    ActionChains(browser).drag_and_drop_by_offset(handle, -200, 0).perform()
    assert clip(browser) == pytest.approx(by_keys + 200, abs=8)
    find("css selector", "input[name=zoom][value='2']").click()
    assert find("id", "sheet").size["width"] == 640
    find("css selector", "input[name=zoom][value='fit']").click()

    picture, scrub = find("id", "frame-picture"), find("id", "scrub")
    last = picture.get_attribute("src")
    scrub.send_keys(Keys.HOME)
    assert picture.get_attribute("src") != last and find("id", "frame-step").text == "Step 10"
    assert "0.05" in find("id", "frame-figures").text

    plot = browser.find_elements("css selector", ".u-over")[1]
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", plot)
    left = -plot.size["width"] // 2 + 4
    ActionChains(browser).move_to_element_with_offset(plot, left, 0).perform()
    legend = browser.find_elements("css selector", ".u-legend")[1]
    assert re.findall(r"[\d.]+", legend.text)[:2] == ["10", "0.05"]
    host = browser.find_elements("css selector", ".plot")[1]
    assert not browser.find_elements("css selector", ".plot [tabindex]") and legend.find_elements(
        "css selector", "[tabindex]"
    )
    host.send_keys(Keys.END)
    assert host.get_attribute("aria-valuetext").startswith("step 100: colour 0.5")


@pytest.mark.slow
def test_browser_asks_the_network_for_nothing_and_runs_no_names(browser: Any, tiny: Config, tmp_path: Path) -> None:
    run = put_run(tmp_path / "run", tiny, HOSTILE)
    run_page.write(run)
    opened(browser, run)
    assert browser.find_element("id", "title").text.startswith("</script><img src=x onerror")
    assert browser.execute_script("return window.broken === undefined")
    told = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    urls = [m["params"]["request"]["url"] for m in told if m["method"] == "Network.requestWillBeSent"]
    assert [url for url in urls if not url.startswith("data:")] == [(run / "report.html").as_uri()]
    assert browser.get_log("browser") == []


@pytest.mark.slow
@pytest.mark.parametrize("width", [320, 390, 1600])
def test_browser_is_light_and_dark_and_as_wide_as_it_may_be(
    browser: Any, tiny: Config, tmp_path: Path, width: int
) -> None:
    run = put_run(tmp_path / "run", tiny, "a_very_long_name_without_any_place_to_break_it_" * 4 + ".jpg")
    run_page.write(run)
    colour = "return getComputedStyle(document.body).backgroundColor"
    seen = {}
    for scheme in ("light", "dark"):
        opened(browser, run, width, scheme)
        seen[scheme] = browser.execute_script(colour)
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    assert seen["light"] != seen["dark"]
    button = browser.find_element("id", "theme")
    button.click()
    assert button.text == "Theme: light" and browser.execute_script(colour) == seen["light"]
    for _ in range(2):
        button.click()
    assert button.text == "Theme: auto"
    images = browser.execute_script("return [...document.images].filter(i => i.offsetParent && !i.alt).length")
    assert images == 0 and browser.get_log("browser") == []


def test_no_error_of_a_report_ends_a_training(tiny: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: Any, **kwargs: Any) -> str:
        raise ZeroDivisionError("nothing")

    heard: list[Event] = []
    page = run_page.Report(tmp_path)
    monkeypatch.setattr(page, "page", broken)
    assert not page.write_live(make_model(tiny), heard.append)
    assert isinstance(heard[0], Warned) and "left as it was: nothing" in heard[0].message
