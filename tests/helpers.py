"""Helpers of the tests of several rooms: a scene, a small model, the real command in a process of its own."""

import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from click.testing import CliRunner
from PIL import Image
from torch import Tensor

from sincut.batch.plan import Plan
from sincut.cli import main
from sincut.config.resolve import load_preset, resolve
from sincut.config.sections import Config, overlay
from sincut.devices import Compute
from sincut.errors import Interrupted
from sincut.events import Checkpoint, Event, Listener
from sincut.method.loop import train
from sincut.method.sides import Pictures
from sincut.method.training import Training
from sincut.model.file import load_tensors, save_tensors
from sincut.model.kinds import Told, untold
from sincut.model.limits import Limits
from sincut.model.model import Model
from sincut.model.provenance import Provenance
from sincut.nets.architectures import make_generator
from sincut.nets.balance import Balance
from sincut.nets.colour import ColourMap
from sincut.nets.filters import ChromaGrain, Smoothing
from sincut.nets.generator import Generator
from sincut.nets.stylegan2 import StyleGenerator
from sincut.synthesis.synthesis import Dials
from sincut.translation.options import AS_LEARNED
from sincut.translation.translator import Translator

ROOT = Path(__file__).parent.parent
CPU = torch.device("cpu")
PLAIN = Compute(CPU, torch.float32, "test")

TINY: dict[str, dict[str, Any]] = {
    "crops": {"size": 32, "tile": 16, "count": 2, "low": 40.0, "high": 64.0},
    "networks": {"stem": 4, "middle": 6, "inner": 8, "blocks": 2, "discriminator": 0.05, "features": 8, "materials": 0},
    "losses": {"layers": [0, 2, 3], "identity": True, "same": 1.0, "guide": 0.0},
    "optimisation": {"learning_rate": 0.002},
    "schedule": {"steps": 4},
    "synthesis": {"exemplar": False},  # what it adds takes longer than a tiny training
    "output": {"log_every": 2, "previews": 2},
}

# The paper's variants of PatchNCE, presets of their own, and a memory bank that is soon full and soon differs from G.
VARIANTS = (
    *("no-identity", "last-layer", "last-layer-no-identity", "fifteen-negatives", "external", "internal-and-external"),
    *("separate-encoders", "nce-not-to-decoder"),
)
SMALL_BANK = {"losses": {"bank": 20, "bank_step": 12, "momentum": 0.5}}
# The networks for sets of pictures, as small.
RESNET: dict[str, dict[str, Any]] = {
    "networks": {
        "architecture": "resnet",
        "critic": "patchgan",
        "noise": "none",
        "materials": 0,
        "stem": 4,
        "inner": 8,
        "blocks": 3,
    },
    "crops": {"tile": 32},
    "losses": {"layers": [0, 2, 3, 4, 5], "gan": "lsgan", "r1": 0.0},
}

RECIPE = {"model": "abc", "strength": 1.0}  # of a manifest

# Random weights that clip few colours, which would ring in JPEG; widths around those of the pictures in the tests.
GENTLE = {
    "networks": {"stem": 4, "inner": 6, "blocks": 2, "residual": 0.6, "materials": 0},
    "losses": {"layers": [0, 2, 3]},
    "crops": {"low": 32.0, "high": 256.0},
}

# A model without filters, where they are not what is tested: on small pictures they take longer than G.
UNFILTERED: dict[str, dict[str, Any]] = {
    "colour": {"smooth": 0.0, "grain": False, "balance": False},
    "networks": {"smooth": 0.0},
}

XMP = b'<?xpacket begin=""?><x:xmpmeta xmlns:x="adobe:ns:meta/">museum</x:xmpmeta>'


def scene(height: int, width: int, seed: int) -> np.ndarray:
    """(H, W, 3) uint8: a sky, a sea and a rock, with grain."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    colours = rng.integers(40, 215, (3, 3))
    horizon = height / max(height, width) * rng.uniform(0.3, 0.6)
    image = np.where((y < horizon)[..., None], colours[0], colours[1]).astype(float)
    rock = (x - 0.6) ** 2 + (y - 0.5) ** 2 < 0.04
    image[rock] = colours[2]
    image += rng.normal(0, 12, image.shape) + 20 * np.sin(40 * y)[..., None]
    pixels: np.ndarray = image.clip(0, 255).astype(np.uint8)
    return pixels


def gradient_of(tensor: Tensor) -> Tensor:
    """The gradient that a tensor has got."""
    assert tensor.grad is not None
    return tensor.grad


def make_model(config: Config, seed: int = 0) -> Model:
    """A translator with random weights, its noise switched on."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        noise = "all" if config.networks.noise == "auto" else config.networks.noise
        generator = make_generator(replace(config.networks, noise=noise)).eval().requires_grad_(False)
        if isinstance(generator, StyleGenerator):
            for block in (generator.up, *(generator.higher if noise == "all" else ())):
                block.get_parameter("noise_gain").fill_(0.3)
            for layer in generator.noise:
                torch.nn.init.normal_(layer.get_parameter("weight"), 0, 0.3)
        if generator.materials is not None:
            generator.materials.patches.normal_(0, 0.2)
            generator.materials.colours.uniform_(-1, 1)
            torch.nn.init.normal_(generator.mixture.get_parameter("weight"))  # type: ignore[union-attr]
        generator.set_base_smoothing(0.02 if config.networks.smooth else 0.0)
        colour = ColourMap(torch.eye(3) * 0.9 + 0.05, torch.tensor([0.1, 0.0, -0.1]))
    texture, grain = 0.02 if config.colour.smooth else 0.0, 0.3 if config.colour.grain else 1.0
    gains = torch.linspace(0.5, 1.2, 28).view(2, 2, 7)  # six levels of lightness, outlines
    balance = Balance(torch.tensor([1.2, 0.9]), torch.tensor([0.0, 0.1, -0.05]), torch.tensor([-0.5, 0.6]), gains)
    before = Smoothing(texture), colour, ChromaGrain(grain)
    return Model(generator, config, Provenance(steps=1), before, (balance,) if config.colour.balance else ())


def save_telling(model: Model, path: Path, **told: object) -> None:
    """Write a model file whose provenance says this in place of the model's own, as that of a stranger may."""
    model.save(path)
    tensors, metadata = load_tensors(path, lambda name: True)
    provenance = {**model.provenance.to_dict(), **told}
    save_tensors(path, tensors, {**metadata, "provenance": json.dumps(provenance)})


def make_translator(settings: dict[str, Any]) -> Translator:
    """A small translator with random weights, in float32."""
    return Translator(make_model(overlay(resolve(), settings)), precision="float32")


def wide_gamut_profile() -> bytes:
    """The ICC profile of a wider gamut than sRGB's, Display P3."""
    import pyvips

    grey = pyvips.Image.black(8, 8, bands=3).copy(interpretation="srgb")
    profile: bytes = grey.icc_transform("p3", input_profile="srgb").get("icc-profile-data")
    return profile


def photo_exif() -> Image.Exif:
    """A description, an orientation (turned by 90 degrees) and, in a sub-directory, a date."""
    exif = Image.Exif()
    exif[0x010E], exif[0x0112] = "a description", 6
    exif.get_ifd(0x8769)[0x9003] = "2024:01:02 03:04:05"
    return exif


def vgg_weights(widths: tuple[int, ...] = (4, 6, 8, 8, 8), seed: int = 0) -> dict[str, Tensor]:
    """Random weights with the names of torchvision's VGG-19, with so many channels in each of its five blocks."""
    random, weights, place, inputs = torch.Generator().manual_seed(seed), dict[str, Tensor](), 0, 3
    for width, count in zip(widths, (2, 2, 4, 4, 4), strict=True):
        for _ in range(count):
            weights[f"features.{place}.weight"] = torch.randn(width, inputs, 3, 3, generator=random) / (
                3 * (inputs / 2) ** 0.5
            )
            weights[f"features.{place}.bias"] = torch.randn(width, generator=random) / 10
            place, inputs = place + 2, width  # a ReLU behind each
        place += 1  # a pooling
    return weights


@contextmanager
def chromium(*flags: str, **preferences: object) -> Iterator[Any]:
    """Chromium without a window, by its driver; a test is skipped where these or selenium are not installed.

    It starts as root (`--no-sandbox`) and with a small /dev/shm. A proxy of the environment is not asked for the
    driver, which listens on this machine. The profile lies below /tmp: the path of a socket in it, which Chromium makes
    below TMPDIR, must be shorter than 108 characters, and test folders are longer.
    """
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    binary, driver = next(filter(None, map(shutil.which, names)), None), shutil.which("chromedriver")
    if binary is None or driver is None:
        pytest.skip("needs Chromium and its chromedriver on this machine")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for flag in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", *flags):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    options.add_experimental_option("prefs", dict(preferences))
    short = "/tmp" if os.path.isdir("/tmp") else None
    with tempfile.TemporaryDirectory(prefix="sincut-", dir=short, ignore_cleanup_errors=True) as place:
        environment = {**os.environ, "TMPDIR": place, "HOME": place}
        with pytest.MonkeyPatch.context() as patch:
            for name in ("NO_PROXY", "no_proxy"):
                patch.setenv(name, "localhost,127.0.0.1")
            chrome = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver, env=environment))
        try:
            yield chrome
        finally:
            chrome.quit()


class StandIn:
    """A translator of pictures whose limits are given; all else is that of a model.

    With a halo it blurs over 2 * halo + 1 px and takes the mean of each stride x stride block away. Without one, it
    takes the mean of the whole picture away. `seen` collects the sizes (H, W) of what it was given.
    """

    noise_reach = 0

    def __init__(self, model: Model, limits: Limits) -> None:
        self.model, self.limits, self.seen = model, limits, list[tuple[int, int]]()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)

    def translate_middle(self, window: Tensor, noise: Tensor, told: Told = untold) -> Tensor:
        h, w = window.shape[2:]
        self.seen.append((h, w))
        if self.limits.halo is None:
            return window - window.double().mean((2, 3), keepdim=True).to(window.dtype)
        width = 2 * self.limits.halo + 1
        out = F.avg_pool2d(F.avg_pool2d(window.double(), (width, 1), stride=1), (1, width), stride=1)
        blocks = F.avg_pool2d(out, self.limits.stride)
        blocks = blocks.repeat_interleave(self.limits.stride, 2).repeat_interleave(self.limits.stride, 3)
        return (out - blocks).to(window.dtype)


class Brush:
    """A stand-in for `Synthesis` that takes no time: exact in any tiles, with a reach of 3 px.

    It draws the largest values around a pixel, a pixel of the exemplar by its place, and the mean of the whole layout.
    """

    def __init__(
        self, exemplar: Tensor | Sequence[Tensor], dials: Dials = AS_LEARNED, device: torch.device | str = "cpu"
    ) -> None:
        first = exemplar if isinstance(exemplar, Tensor) else exemplar[0]
        self.exemplar, self.dials = first.double() / 127.5 - 1, dials

    def begin(
        self, read: Callable[..., Tensor], size: tuple[int, int], on_share: Callable[[float], None] = lambda share: None
    ) -> "Brushed":
        h, w = size
        sums = torch.zeros(3, dtype=torch.int64)
        for top in range(0, h, 16):
            part = read(top, 0, min(top + 16, h), w)
            assert part.dtype == torch.uint8 and part.shape == (min(top + 16, h) - top, w, 3)
            sums += part.long().sum((0, 1))
            on_share(min(1.0, (top + 16) / h))
        return Brushed(self, read, size, sums / (h * w) / 127.5 - 1)

    def picture_bytes(self, size: tuple[int, int]) -> int:
        return 8 * min(size[0] * size[1], 16_000_000)

    def begin_bytes(self, size: tuple[int, int]) -> int:
        return 40 * min(size[0] * size[1], 4_000_000)

    def tile_bytes(self, side: int) -> int:
        return 400 * (side + 64) ** 2

    def work(self, size: tuple[int, int], side: int) -> tuple[int, int]:
        return min(size[0] * size[1], 1_000_000), size[0] * size[1]


class Brushed:
    """A picture that a `Brush` draws; `boxes` collects its tiles."""

    def __init__(self, brush: Brush, read: Callable[..., Tensor], size: tuple[int, int], mean: Tensor) -> None:
        self.brush, self.read, self.size, self.mean = brush, read, size, mean

    def tile(self, box: tuple[int, int, int, int]) -> Tensor:
        top, left, bottom, right = box
        first, last = (max(0, top - 3), max(0, left - 3)), (min(self.size[0], bottom + 3), min(self.size[1], right + 3))
        layout = self.read(*first, *last).permute(2, 0, 1)[None].double() / 127.5 - 1
        largest = F.max_pool2d(layout, 7, 1, 3)[:, :, top - first[0] :, left - first[1] :]
        rows, columns = torch.arange(top, bottom) + self.brush.dials.by_height, torch.arange(left, right)
        exemplar = self.brush.exemplar[rows % self.brush.exemplar.shape[0]][:, columns % self.brush.exemplar.shape[1]]
        fidelity = self.brush.dials.fidelity
        layout = fidelity * largest[:, :, : bottom - top, : right - left] + 0.1 * self.mean[None, :, None, None]
        return (layout + (1 - fidelity) * exemplar.permute(2, 0, 1)[None]).float()


@contextmanager
def brushes() -> Iterator[None]:
    """A block in which pictures are drawn with a `Brush`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sincut.translation.drawing.Synthesis", Brush)
        yield


def with_exemplar(model: Model) -> Model:
    """The model with an exemplar of its own."""
    return replace(model, exemplar=torch.from_numpy(scene(40, 50, 7)))


def sincut(*arguments: object, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the real command in a process of its own."""
    command = [sys.executable, "-m", "sincut", *map(str, arguments)]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200", **environment}
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=env, timeout=300)


def in_process(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the command in this process, which takes no new torch to load; an exception that is a bug is raised."""
    words = [str(argument) for argument in arguments]
    result = CliRunner(env={"COLUMNS": "200"}).invoke(main, words, prog_name="sincut")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return subprocess.CompletedProcess(words, result.exit_code, result.stdout, result.stderr)


def without_extras(patch: pytest.MonkeyPatch) -> None:
    """Put the extras that read pictures out of reach, as where they are not installed."""
    for extra in ("pyvips", "pillow_heif"):
        patch.setitem(sys.modules, extra, None)


def assert_clear_error(result: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    """The exit code, one last line that holds all words, no traceback, nothing on stdout."""
    assert result.returncode == code, result.stderr
    assert "Traceback" not in result.stderr
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("sincut: ")
    for word in words:
        assert word in last, f"{word!r} is not in {last!r}"
    assert result.stdout == ""


def stop_after(steps: int) -> Callable[[], bool]:
    """A `stop` that is true after so many steps of a training that asks it before each."""
    asked = itertools.count()
    return lambda: next(asked) >= steps


def logged_steps(run: Path) -> list[int]:
    """Steps of the lines of a run's metrics that hold losses; every line must be whole."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [line["step"] for line in lines if "losses" in line]


def targets(plan: Plan, output: Path) -> list[str]:
    """Where a plan's jobs go, below the output folder."""
    return [job.target.relative_to(output).as_posix() for job in plan.jobs]


def lines_of(folder: Path) -> list[dict[str, object]]:
    """The entries of a folder's manifest, without those that only say that something is begun."""
    lines = (folder / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    return [entry for entry in map(json.loads, lines) if entry["status"] != "begun"]


def until_stopped(folder: Path) -> list[str]:
    """A command that stands for a training: it leaves `begun` in the folder, and `saved` once SIGTERM has stopped it.

    Between the two it says more than a pipe holds; `saved` holds the number of signals. Exits with 130.
    """
    return [sys.executable, "-c", _UNTIL_STOPPED, str(folder)]


_UNTIL_STOPPED = """
import pathlib, signal, sys, time
asked = []
signal.signal(signal.SIGTERM, lambda *_: asked.append(1))
print("begun", file=sys.stderr, flush=True)
pathlib.Path(sys.argv[1], "begun").touch()
until = time.monotonic() + 60
while not asked and time.monotonic() < until:
    time.sleep(0.01)
for number in range(5000):
    print(f"a line that fills the pipe, {number}", file=sys.stderr)
pathlib.Path(sys.argv[1], "saved").write_text(str(len(asked)))
sys.exit(130)
"""


def tensors_of(events: list[Event]) -> dict[str, torch.Tensor]:
    return next(event.state for event in reversed(events) if isinstance(event, Checkpoint))


def snapshot(events: list[Event]) -> Listener:
    """A listener that keeps events, with the checkpoint's tensors copied: they go on changing."""

    def listen(event: Event) -> None:
        if isinstance(event, Checkpoint):
            event = replace(event, state={k: v.clone() for k, v in event.state.items()})
        events.append(event)

    return listen


def shrunk(preset: str) -> Config:
    """The method of a preset at a size that takes milliseconds."""
    config = load_preset(preset).config
    tile = 16 if config.crops.tile < config.crops.size else 32
    widths = {"low": 40.0, "high": 64.0} if config.crops.in_pixels else {"low": 0.8, "high": 1.0}
    layers = tuple(layer for layer in config.losses.layers if layer < 4) or (3,)
    networks = {"stem": 4, "middle": 6, "inner": 8, "blocks": 2, "discriminator": 0.05, "features": 8}
    if config.networks.materials:
        networks["materials"] = 2
    if config.networks.architecture == "resnet":  # of fewer channels normalisation makes much of their rounding
        networks |= {"stem": 8, "inner": 32, "discriminator": 0.1, "features": 16}
    return overlay(
        config,
        {
            "crops": {"size": 32, "tile": tile, "count": 2, **widths},
            "networks": networks,
            "losses": {"layers": layers},
        },
    )


def check_that_resumed_equals_uninterrupted(
    config: Config, pictures: tuple[Pictures, Pictures], steps: int, precision: str = "float32"
) -> list[Event]:
    """All events of a run that was stopped after so many steps and went on; its last state is that of a whole run."""
    whole: list[Event] = []
    train(*pictures, config, device=CPU, precision=precision, on_event=snapshot(whole))
    parts: list[Event] = []
    stop = stop_after(steps)
    with pytest.raises(Interrupted):
        train(*pictures, config, device=CPU, precision=precision, on_event=snapshot(parts), stop=stop)
    state = tensors_of(parts)
    assert int(state["steps_done"]) == steps
    train(*pictures, config, device=CPU, precision=precision, on_event=snapshot(parts), state=state)
    want, got = tensors_of(whole), tensors_of(parts)
    assert int(want["steps_done"]) > steps and set(want) == set(got)
    for name in want:
        if name != "plan":  # holds the seconds
            assert torch.equal(want[name], got[name]), name
    return parts


def style(generator: Generator) -> StyleGenerator:
    """A generator whose layers are those of StyleGAN2."""
    assert isinstance(generator, StyleGenerator)
    return generator


def average_of(training: Training) -> StyleGenerator:
    """The averaged generator of the phase that goes on."""
    average = training.cut.averages.copies["generator"]
    assert isinstance(average, StyleGenerator)
    return average
