"""Measurements of a machine: training and translating, each as a fraction of the machine's measured peak.

The peak is that of a 3x3 convolution as in G's residual blocks, channels-last and in the run's precision: its forward
pass for translating, forward and backward for training. Since the speed of machines varies, the peak is taken in short
bursts before, between and after the runs of the work it is compared with: the fastest convolution of each burst, and of
these the median, against the median of the work. `step_tflop` counts the *necessary* work from the shapes of layers, so
that superfluous work lowers the utilisation and never raises it. Every part runs in a process of its own, one after the
other, so that each has its own peak of memory; run it on an otherwise idle machine.
"""

import json
import math
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from sincut.batch import pipe
from sincut.batch.plan import make_plans
from sincut.config.networks import Networks
from sincut.config.sections import Config
from sincut.devices import Compute, find_compute, peak_memory, use_fast_kernels
from sincut.errors import ConfigError, SincutError
from sincut.files import make_folder, write_whole
from sincut.method.crops import tiles
from sincut.method.training import Training
from sincut.model.model import Model
from sincut.nets.architectures import make_discriminator, make_generator
from sincut.nets.blocks import EqualConv2d, EqualLinear, UpBlock
from sincut.pictures.picture import Picture
from sincut.pictures.reading import load
from sincut.pictures.resampling import resized
from sincut.pictures.writing import AS_IT_CAME, save
from sincut.rivals.techniques import TECHNIQUES
from sincut.runs import child
from sincut.synthesis.synthesis import SIDE as SYNTHESIS_SIDE
from sincut.synthesis.synthesis import Synthesis
from sincut.translation.options import PLAIN
from sincut.translation.tiles import tile_boxes
from sincut.translation.translator import Translator

MEGAPIXELS = (1.0, 4.0, 16.0, 64.0)
BURST_SECONDS = 0.3  # of convolutions, to find the peak
WARM_UP, CYCLES = 1, 5  # cycles of `losses.r1_every` steps, one of them with the gradient penalty
LEAST_STEPS = 10  # that are timed
SIDE = 1024  # px of the made-up training pictures
FOLDER_PICTURES, FOLDER_TURNS = 12, 3  # pictures in the folder, and how often it is translated
COUNTS = (10**4, 10**6, 10**8)  # pictures, for `hours`
LEAST_PICTURES = 3  # that are timed from file to file
GRAIN = 8  # px of the smallest forms in pictures that are timed from file to file, or drawn
MOST_DRAWN = 16.0  # megapixels of the largest picture that is drawn
EXEMPLAR_MEGAPIXELS = 1.2  # as a training at a width of 1024 px makes it
APPLY_SECONDS = 5.0  # that translations are timed for, at least

T = TypeVar("T")


def measure(
    config: Config,
    device: torch.device,
    megapixels: Sequence[float] = MEGAPIXELS,
    on_part: Callable[[str], None] = lambda part: None,
) -> dict[str, Any]:
    """Measure training and translating pictures of these sizes; `on_part` hears what is measured next.

    Returns figures by name: texts, and numbers of four significant digits. Rates are megapixels or crops a second,
    memory is in MB of 10^6 bytes, work in TFLOP of 10^12 operations (a multiplication and an addition are two), peaks
    in TFLOP a second: of training `peak_tflops` (with the backward pass) and `peak_forward_tflops`, and of each size
    in `apply` and `synthesis` a `peak_tflops` that is forward only. `apply` is G alone, `synthesis` the drawing alone,
    of sizes up to `MOST_DRAWN`, and how many times G's work that is.
    """
    _check(config)
    on_part("training")
    precision = find_compute(device).precision
    figures: dict[str, Any] = {"device": str(device), "threads": torch.get_num_threads(), "precision": precision}
    figures |= _alone(_training, config, device)
    on_part("first step")
    figures["first_step_seconds"] = _first_step_seconds(config, device)
    figures["step_tflop"] = step_tflop(config)
    figures["step_utilisation"] = figures["step_tflop"] / figures["step_seconds"] / figures["peak_tflops"]
    figures["apply"] = []
    for size in megapixels:
        on_part(f"applying to {size:g} megapixels")
        applied = _alone(_apply, config, device, size)
        work = pixel_tflop(config) * applied["megapixels"] * 1e6
        figures["apply"].append({**applied, "utilisation": work / applied["seconds"] / applied["peak_tflops"]})
    figures["synthesis"] = []
    for size, applied in zip(megapixels, figures["apply"], strict=True):
        if size <= MOST_DRAWN:
            on_part(f"drawing {size:g} megapixels")
            drawn = _alone(_synthesis, config, device, size)
            ratio = drawn["seconds"] * drawn["peak_tflops"] / (applied["seconds"] * applied["peak_tflops"])
            figures["synthesis"].append({**drawn, "times_translating": ratio})
    if megapixels:
        on_part(f"applying to a folder of {FOLDER_PICTURES}")
        figures["folder"] = _alone(_folder, config, device, min(megapixels))
    return _rounded(figures)


def measure_pictures(config: Config, device: torch.device, megapixels: float) -> dict[str, Any]:
    """Measure what pictures of this size cost one worker from file to file: one core, or one device.

    On a CPU the unit is processor time, so that other programs on the machine count for little; on a device it is time
    on the clock. `hours` are those of one worker for 10^4, 10^6 and 10^8 pictures; n workers take an n-th of them, as
    long as storage keeps up.
    """
    _check(config)
    on_cpu = device.type == "cpu"
    costs = _alone(_from_file_to_file, config, device, megapixels, threads=1 if on_cpu else None)
    seconds = costs["processor_seconds" if on_cpu else "clock_seconds"]
    return _rounded({
        "worker": "one core" if on_cpu else f"one {device.type}",
        "precision": find_compute(device).precision,
        **costs,
        "pictures_per_second": 1 / seconds,
        "hours": {str(count): count * seconds / 3600 for count in COUNTS},
    })  # fmt: skip


def _check(config: Config) -> None:
    """Raise `ConfigError` for an algorithm that has no G."""
    if config.method.algorithm in TECHNIQUES:
        raise ConfigError(f"{config.method.algorithm} has no training and no G to measure; apply tells what it takes")


def step_tflop(config: Config) -> float:
    """Necessary work of one training step in TFLOP, from the shapes of the layers.

    Multiplications and additions of convolutions and linear layers count; binomial filters, activations and optimisers
    do not. A backward pass costs two forward passes, one for the weights and one for the data. A step has: G on its
    crops and back; the encoder, up to the last layer of PatchNCE, on the translations and back (the keys are reused,
    but where a momentum encoder makes them); D on real and fake tiles and back; D on the fake tiles and back to the
    data only; and every `r1_every` steps the gradient at the real tiles (one pass) and its derivative (three). A second
    discriminator adds a tile for each crop; other translations of a step, such as CycleGAN's, count as G's crops, and
    those that a D judges as its tiles.
    """
    losses, crops = config.losses, config.crops
    encoder, shallow, decoder, critic = _forward_tflop(config)
    translated = crops.count * config.translated
    queries = crops.count * (1 + losses.identity) if losses.nce else 0
    each = (crops.size // crops.tile) ** 2 + config.has_large_critic  # tiles of a crop, and as many fake ones
    real = crops.count * each * config.judged
    keys = queries if losses.negatives != "internal" else 0  # encoded anew
    generator = 3 * (encoder + decoder) * translated + shallow * (3 * queries + keys)
    penalty = 4 / losses.r1_every if losses.r1 else 0
    discriminator = (3 * 2 + 2 + penalty) * critic * real
    return generator + discriminator


def pixel_tflop(config: Config) -> float:
    """Necessary work of translating one pixel in TFLOP."""
    encoder, _, decoder, _ = _forward_tflop(config)
    return (encoder + decoder) / config.crops.size**2


def _forward_tflop(config: Config) -> tuple[float, float, float, float]:
    """TFLOP of four forward passes: the encoder of one crop, the encoder up to the last layer of PatchNCE, the decoder,
    and D on one tile."""
    size, tile = config.crops.size, config.crops.tile
    with torch.device("meta"):
        networks = replace(_settled(config), smooth=0.0)  # a filter, of whose autocast the device meta knows nothing
        generator, discriminator = make_generator(networks), make_discriminator(networks, tile)
        crop, noise = torch.empty(1, 3, size, size), torch.empty(1, 1, size, size)
        features = generator.encode(crop)
        return (
            _tflop(generator, lambda: generator.encode(crop)),
            _tflop(generator, lambda: generator.encode(crop, last=max(config.losses.layers))),
            _tflop(generator, lambda: generator.decode(features, noise)),
            _tflop(discriminator, lambda: discriminator(tiles(crop, tile)[:1])),
        )


def _tflop(network: nn.Module, work: Callable[[], object]) -> float:
    """TFLOP of those layers of the network that have weights, as often as `work` runs them: 2 x weights x places."""
    operations = 0

    def count(layer: nn.Module, inputs: tuple[Tensor, ...], out: Tensor) -> None:
        nonlocal operations
        places = inputs[0] if isinstance(layer, UpBlock) else out  # transposed: each input pixel meets each weight
        operations += 2 * layer.weight.numel() * places[:, 0].numel()  # type: ignore[union-attr,operator]

    counted = [
        m for m in network.modules() if isinstance(m, EqualConv2d | EqualLinear | UpBlock | nn.Conv2d | nn.Linear)
    ]
    hooks = [layer.register_forward_hook(count) for layer in counted]
    work()
    for hook in hooks:
        hook.remove()
    return operations / 1e12


def _alone(work: Callable[..., T], config: Config, device: torch.device, *rest: Any, threads: int | None = None) -> T:
    """The result of `work` in a new process, with as many threads as this one unless `threads` says otherwise."""
    given = threads or torch.get_num_threads(), device
    with ProcessPoolExecutor(1, get_context("spawn"), initializer=_set_up, initargs=given) as pool:
        return pool.submit(work, config, device, *rest).result()


def _set_up(threads: int, device: torch.device) -> None:
    torch.set_num_threads(threads)
    use_fast_kernels(device)


def _training(config: Config, device: torch.device) -> dict[str, Any]:
    """Seconds of a training step: the median over cycles of `losses.r1_every` steps, one of them with the penalty."""
    compute = find_compute(device)
    generator = torch.Generator().manual_seed(0)
    painting, photo = (torch.rand(1, 3, SIDE, SIDE, generator=generator) * 2 - 1 for _ in range(2))
    training = Training(painting, photo, config, compute)
    cycle = config.losses.r1_every

    def steps() -> None:
        for _ in range(cycle):
            training.step(config.optimisation.learning_rate)

    _seconds(steps, compute, repeats=WARM_UP)
    seconds, peaks = _beside_the_peak(steps, config, compute, repeats=max(CYCLES, -(-LEAST_STEPS // cycle)))
    step = seconds / cycle
    return {
        "peak_tflops": peaks["both"],
        "peak_forward_tflops": peaks["forward"],
        "step_seconds": step,
        "crops_per_second": config.crops.count / step,
        "train_peak_rss_mb": _peak_rss_mb(),
    }


def _first_step_seconds(config: Config, device: torch.device) -> float:
    """Seconds from the start of the command `train` to its first finished step."""
    pixels = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    seconds: list[float] = []
    with tempfile.TemporaryDirectory() as made:
        preset, picture = Path(made, "measured.toml"), Path(made, "made-up.png")
        write_whole(preset, config.to_toml().encode(), SincutError)
        save(Picture(pixels), picture)
        words = child.command(picture, picture, "-o", Path(made, "run"), "--json", "--preset", preset)
        words += ["--device", str(device), "--set", "output.log_every=1", "--steps", "100"]
        began = time.perf_counter()

        def hear(line: str) -> None:
            if line.startswith("{") and json.loads(line).get("event") == "Progress":
                seconds.append(time.perf_counter() - began)

        ended = child.attend(words, hear, lambda: bool(seconds))
    if not seconds:
        raise SincutError(f"train ended before its first step: {ended.last_line.strip()}")
    return seconds[0]


def _apply(config: Config, device: torch.device, megapixels: float) -> dict[str, Any]:
    """Seconds and speed of translating a made-up 4:3 picture in memory, in tiles as `apply` chooses them."""
    compute, picture, translator = find_compute(device), _made_up(megapixels), _untrained(config, device)
    side = 2 * translator.engine.limits.stride
    translator.apply_picture(Picture(picture.pixels[:side, :side]))  # sets up what is set up once
    seconds, peaks = _beside_the_peak(lambda: translator.apply_picture(picture), config, compute, APPLY_SECONDS)
    size = math.prod(picture.size) / 1e6
    return {
        "megapixels": size,
        "seconds": seconds,
        "megapixels_per_second": size / seconds,
        "peak_tflops": peaks["forward"],
        "peak_rss_mb": _peak_rss_mb(),
    }


def _synthesis(config: Config, device: torch.device, megapixels: float) -> dict[str, Any]:
    """Seconds of drawing a made-up 4:3 picture from a made-up exemplar, which is prepared before."""
    compute, exemplar = find_compute(device), _smooth(EXEMPLAR_MEGAPIXELS, seed=1)
    layout, synthesis = torch.from_numpy(_smooth(megapixels)), Synthesis(torch.from_numpy(exemplar), device=device)
    h, w = layout.shape[:2]

    def draw() -> None:
        drawing = synthesis.begin(lambda top, left, bottom, right: layout[top:bottom, left:right], (h, w))
        for box in tile_boxes(h, w, SYNTHESIS_SIDE):
            drawing.tile(box).cpu()

    seconds, peaks = _beside_the_peak(draw, config, compute, APPLY_SECONDS)
    size = h * w / 1e6
    return {
        "megapixels": size,
        "seconds": seconds,
        "seconds_per_megapixel": seconds / size,
        "peak_tflops": peaks["forward"],
        "peak_rss_mb": _peak_rss_mb(),
    }


def _smooth(megapixels: float, seed: int = 0) -> NDArray[np.uint8]:
    """The pixels (H, W, 3) of a made-up 4:3 picture with forms of `GRAIN` px; bare noise is like no picture."""
    noise = _made_up(megapixels, seed)
    h, w = noise.size
    smooth = resized(noise.pixels[: max(1, h // GRAIN), : max(1, w // GRAIN)], (h, w))
    pixels: NDArray[np.uint8] = smooth.clip(0, 255).astype(np.uint8)
    return pixels


def _made_up(megapixels: float, seed: int = 0) -> Picture:
    """A 4:3 picture of noise."""
    h = max(1, round((megapixels * 1e6 * 3 / 4) ** 0.5))
    w = max(1, round(megapixels * 1e6 / h))
    return Picture(np.random.default_rng(seed).integers(0, 256, (h, w, 3), np.uint8))


def _untrained(config: Config, device: torch.device) -> Translator:
    with torch.random.fork_rng(devices=[]):
        generator = make_generator(_settled(config)).eval().requires_grad_(False)
    return Translator(Model(generator, config), device)


def _settled(config: Config) -> Networks:
    """The networks of the settings; where two pictures would settle the noise, with all of it, which costs most."""
    networks = config.networks
    return replace(networks, noise="all") if networks.noise == "auto" else networks


def _folder(config: Config, device: torch.device, megapixels: float) -> dict[str, Any]:
    """Time of `apply` for a folder of made-up JPEG files, against that of only translating their pixels.

    `overlap_ratio`, the quotient, is 1 if decoding, encoding, writing and the manifest cost no time of their own. Both
    are timed in turns; it is the median of the turns' quotients.
    """
    compute, translator = find_compute(device), _untrained(config, device)
    with tempfile.TemporaryDirectory() as made:
        source = Path(made, "in")
        paths = [source / f"{number}.jpg" for number in range(FOLDER_PICTURES)]
        make_folder(source, SincutError)
        for number, path in enumerate(paths):
            save(_made_up(megapixels, number), path)
        pictures = [load(path) for path in paths]
        model = Path(made, "model.safetensors")
        translator.model.save(model)
        translator.apply_picture(pictures[0])  # sets up what is set up once

        def bare() -> None:
            for picture in pictures:
                translator.apply_picture(picture)

        def command(number: int) -> None:
            ((_, plan),) = make_plans([model], [source], Path(made, f"out-{number}"), PLAIN, AS_IT_CAME)
            done, _ = pipe.run(plan, translator)
            if len(done) != FOLDER_PICTURES:
                raise SincutError("some made-up pictures could not be translated")

        ratios, seconds = [], []
        for number in range(FOLDER_TURNS):
            turn = bare, partial(command, number), bare
            (before,), (taken,), (after,) = (_seconds(work, compute, repeats=1) for work in turn)
            ratios.append(taken / ((before + after) / 2))
            seconds.append(taken)
    return {
        "pictures": FOLDER_PICTURES,
        "megapixels": megapixels,
        "seconds_per_picture": statistics.median(seconds) / FOLDER_PICTURES,
        "overlap_ratio": statistics.median(ratios),
    }


def _from_file_to_file(config: Config, device: torch.device, megapixels: float) -> dict[str, float]:
    """Mean seconds for a made-up JPEG file that is read, translated and written, on the clock and of the processor."""
    translator, pixels = _untrained(config, device), _smooth(megapixels)  # noise makes longer files than photos are
    h, w = pixels.shape[:2]
    with tempfile.TemporaryDirectory() as made:
        source, target = Path(made, "source.jpg"), Path(made, "target.jpg")
        save(Picture(pixels), source)
        translator.apply_file(source, target)  # sets up what is set up once
        began, used, count = time.perf_counter(), time.process_time(), 0
        while count < LEAST_PICTURES or time.perf_counter() - began < APPLY_SECONDS:
            translator.apply_file(source, target)
            count += 1
        clock, processor = time.perf_counter() - began, time.process_time() - used
    return {"megapixels": h * w / 1e6, "clock_seconds": clock / count, "processor_seconds": processor / count}


def _beside_the_peak(
    work: Callable[[], object], config: Config, compute: Compute, budget: float = 0.0, repeats: int = 1
) -> tuple[float, dict[str, float]]:
    """Median seconds of a run of `work`, and median peaks in TFLOP/s of the bursts before, between and after the runs.

    There are at least `repeats` runs, and more until they have taken `budget` seconds.
    """
    bursts, seconds = [_peaks(config, compute)], list[float]()
    while len(seconds) < repeats or sum(seconds) < budget:
        seconds += _seconds(work, compute, budget / 3)
        bursts.append(_peaks(config, compute))
    return statistics.median(seconds), {key: statistics.median(b[key] for b in bursts) for key in bursts[0]}


def _peaks(config: Config, compute: Compute) -> dict[str, float]:
    """TFLOP/s of the fastest of many runs of one convolution: `forward` alone, and `both` with its backward pass."""
    c, n, side = config.networks.inner, config.crops.count, config.crops.size
    shapes = (n, c, side, side), (c, c, 3, 3)
    made = [torch.randn(shape, device=compute.device, dtype=compute.dtype) for shape in shapes]
    x, weight = (t.contiguous(memory_format=torch.channels_last) for t in made)
    slope = torch.randn_like(x)

    def forward() -> None:
        with torch.inference_mode():
            F.conv2d(x, weight, padding=1)

    def both() -> None:
        inputs = [t.detach().requires_grad_() for t in (x, weight)]
        torch.autograd.grad(F.conv2d(inputs[0], inputs[1], padding=1), inputs, slope)

    operations = 2 * weight.numel() * n * side**2 / 1e12
    return {
        "forward": operations / min(_seconds(forward, compute, BURST_SECONDS)),
        "both": 3 * operations / min(_seconds(both, compute, BURST_SECONDS)),
    }


def _seconds(work: Callable[[], object], compute: Compute, budget: float = 0.0, repeats: int = 1) -> list[float]:
    """Seconds of each run of `work`; there are at least `repeats`, and more until they have taken `budget` seconds."""
    seconds: list[float] = []
    while len(seconds) < repeats or sum(seconds) < budget:
        began = time.perf_counter()
        work()
        compute.synchronise()
        seconds.append(time.perf_counter() - began)
    return seconds


def _peak_rss_mb() -> float:
    """Most main memory that this process has held, in MB of 10^6 bytes; 0 if the system does not tell."""
    return peak_memory(torch.device("cpu")) / 1e6


def _rounded(figures: dict[str, Any]) -> dict[str, Any]:
    """The same figures with every float, also in lists and dictionaries within, to four significant digits."""
    rounded: dict[str, Any] = json.loads(json.dumps(figures), parse_float=lambda text: float(f"{float(text):.4g}"))
    return rounded
