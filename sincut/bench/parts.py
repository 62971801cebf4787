"""Parts of a measurement, each a function of settings and device that runs in a process of its own.

Each is given the seconds that it should take, and says how many runs it has timed.
"""

import math
import statistics
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sincut.batch import pipe
from sincut.batch.plan import make_plans
from sincut.bench.timing import Peaks, beside_the_peak, median_of, peaks, seconds_of
from sincut.bench.work import settled
from sincut.config.sections import Config
from sincut.devices import find_compute, peak_memory
from sincut.errors import SincutError
from sincut.files import make_folder
from sincut.method.replay import EAGER_STEPS
from sincut.method.term import Progress
from sincut.method.training import Training
from sincut.model.model import Model
from sincut.nets.architectures import make_generator
from sincut.pictures.picture import Picture
from sincut.pictures.reading import load
from sincut.pictures.resampling import resized
from sincut.pictures.writing import AS_IT_CAME, save
from sincut.synthesis.synthesis import SIDE as SYNTHESIS_SIDE
from sincut.synthesis.synthesis import Synthesis
from sincut.translation.options import PLAIN
from sincut.translation.tiles import tile_boxes
from sincut.translation.translator import Translator

CYCLE = 4  # most steps of a cycle, one of them with the gradient penalty; a cycle of `losses.r1_every` may be too long
CYCLES, LEAST_STEPS = 5, 10  # that are timed, if there is time
SIDE = 1024  # px of the made-up training pictures
FOLDER_PICTURES, FOLDER_TURNS = 12, 3  # pictures in the folder, and how often it is translated, if there is time
LEAST_FOLDER = 4  # pictures
LEAST_PICTURES = 3  # that are timed from file to file
GRAIN = 8  # px of the smallest forms in pictures that are timed from file to file, or drawn
EXEMPLAR_MEGAPIXELS = 1.2  # as a training at a width of 1024 px makes it
APPLY_SECONDS = 5.0  # that translations are timed for, at least


def training(config: Config, device: torch.device, seconds: float) -> dict[str, Any]:
    """Seconds of a training step: the mean over a cycle, of the medians of steps with the penalty and without.

    The first cycle is not timed, on a GPU those until steps are replayed; nor more than one other that would go beyond
    `seconds`.
    """
    compute, began = find_compute(device), time.perf_counter()
    generator = torch.Generator().manual_seed(0)
    painting, photo = (torch.rand(1, 3, SIDE, SIDE, generator=generator) * 2 - 1 for _ in range(2))
    trained = Training(painting, photo, config, compute)
    every = config.losses.r1_every if config.losses.r1 else 1
    places = range(min(every, CYCLE))  # in the cycle; the first has the penalty
    shares = [1 / every, *[(1 - 1 / every) / (len(places) - 1)] * (len(places) - 1)] if every > 1 else [1.0]

    def step(place: int) -> None:
        trained.step(config.optimisation.learning_rate, Progress(step=place))

    def cycle() -> list[float]:
        return [seconds_of(partial(step, place), compute)[0] for place in places]

    for _ in range(1 if trained.cut.replayed is None else EAGER_STEPS + 1):
        last = sum(cycle())  # sets up what is set up once, and on a GPU records steps
    bursts, cycles = list[Peaks]([peaks(config, compute)]), list[list[float]]()
    wanted = max(CYCLES, -(-LEAST_STEPS // len(places)))
    while not cycles or (len(cycles) < wanted and time.perf_counter() - began + last < seconds):
        cycles.append(cycle())
        last = sum(cycles[-1])
        bursts.append(peaks(config, compute))
    plain = [each for timed in cycles for each in timed[1:]]
    medians = [statistics.median(timed[0] for timed in cycles)] + [statistics.median(plain or [0.0])] * len(places[1:])
    taken = sum(share * each for share, each in zip(shares, medians, strict=True))
    peak = median_of(bursts)
    return {
        "peak_tflops": peak["both"],
        "peak_forward_tflops": peak["forward"],
        "step_seconds": taken,
        "steps_timed": len(cycles) * len(places),
        "crops_per_second": config.crops.count / taken,
        "train_peak_rss_mb": _peak_rss_mb(),
    }


def apply(config: Config, device: torch.device, megapixels: float) -> dict[str, Any]:
    """Seconds and speed of translating a made-up 4:3 picture in memory, in tiles as `apply` chooses them."""
    compute, picture, translator = find_compute(device), _made_up(megapixels), untrained(config, device)
    side = 2 * translator.engine.limits.stride
    translator.apply_picture(Picture(picture.pixels[:side, :side]))  # sets up what is set up once
    runs, peak = beside_the_peak(lambda: translator.apply_picture(picture), config, compute, APPLY_SECONDS)
    size, seconds = math.prod(picture.size) / 1e6, statistics.median(runs)
    return {
        "megapixels": size,
        "seconds": seconds,
        "runs": len(runs),
        "megapixels_per_second": size / seconds,
        "peak_tflops": peak["forward"],
        "peak_rss_mb": _peak_rss_mb(),
    }


def synthesis(config: Config, device: torch.device, megapixels: float) -> dict[str, Any]:
    """Seconds of drawing a made-up 4:3 picture from a made-up exemplar, which is prepared before."""
    compute, exemplar = find_compute(device), _smooth(EXEMPLAR_MEGAPIXELS, seed=1)
    layout, brush = torch.from_numpy(_smooth(megapixels)), Synthesis(torch.from_numpy(exemplar), device=device)
    h, w = layout.shape[:2]

    def draw() -> None:
        drawing = brush.begin(lambda top, left, bottom, right: layout[top:bottom, left:right], (h, w))
        for box in tile_boxes(h, w, SYNTHESIS_SIDE):
            drawing.tile(box).cpu()

    runs, peak = beside_the_peak(draw, config, compute, APPLY_SECONDS)
    size, seconds = h * w / 1e6, statistics.median(runs)
    return {
        "megapixels": size,
        "seconds": seconds,
        "runs": len(runs),
        "seconds_per_megapixel": seconds / size,
        "peak_tflops": peak["forward"],
        "peak_rss_mb": _peak_rss_mb(),
    }


def folder(config: Config, device: torch.device, megapixels: float, seconds: float) -> dict[str, Any]:
    """Time of `apply` for a folder of made-up JPEG files, against that of only translating their pixels.

    `overlap_ratio`, the quotient, is 1 if decoding, encoding, writing and the manifest cost no time of their own. Both
    are timed in turns; it is the median of the turns' quotients. There are fewer pictures, and then fewer turns, where
    all would take longer than `seconds`.
    """
    compute, translator = find_compute(device), untrained(config, device)
    with tempfile.TemporaryDirectory() as made:
        source = Path(made, "in")
        make_folder(source, SincutError)
        first = _made_up(megapixels)
        translator.apply_picture(first)  # sets up what is set up once
        each = seconds_of(lambda: translator.apply_picture(first), compute)[0]
        count = min(FOLDER_PICTURES, max(LEAST_FOLDER, int(seconds / (3 * each))))
        turns = min(FOLDER_TURNS, max(1, int(seconds / (3 * each * count))))
        paths = [source / f"{number}.jpg" for number in range(count)]
        for number, path in enumerate(paths):
            save(_made_up(megapixels, number), path)
        pictures = [load(path) for path in paths]
        model = Path(made, "model.safetensors")
        translator.model.save(model)

        def bare() -> None:
            for picture in pictures:
                translator.apply_picture(picture)

        def command(number: int) -> None:
            ((_, plan),) = make_plans([model], [source], Path(made, f"out-{number}"), PLAIN, AS_IT_CAME)
            done, _ = pipe.run(plan, translator)
            if len(done) != count:
                raise SincutError("some made-up pictures could not be translated")

        ratios, taken = [], []
        for number in range(turns):
            turn = bare, partial(command, number), bare
            (before,), (between,), (after,) = (seconds_of(work, compute) for work in turn)
            ratios.append(between / ((before + after) / 2))
            taken.append(between)
    return {
        "pictures": count,
        "turns": turns,
        "megapixels": megapixels,
        "seconds_per_picture": statistics.median(taken) / count,
        "overlap_ratio": statistics.median(ratios),
    }


def from_file_to_file(config: Config, device: torch.device, megapixels: float, seconds: float) -> dict[str, float]:
    """Mean seconds for a made-up JPEG file that is read, translated and written, on the clock and of the processor.

    One is not timed. `LEAST_PICTURES` are, or fewer that `seconds` have room for, but one at least.
    """
    translator, pixels = untrained(config, device), _smooth(megapixels)  # noise makes longer files than photos are
    h, w = pixels.shape[:2]
    with tempfile.TemporaryDirectory() as made:
        source, target = Path(made, "source.jpg"), Path(made, "target.jpg")
        save(Picture(pixels), source)
        begun = time.perf_counter()
        translator.apply_file(source, target)  # sets up what is set up once
        each = time.perf_counter() - begun
        least = min(LEAST_PICTURES, max(1, int(seconds / each) - 1))
        began, used, count = time.perf_counter(), time.process_time(), 0
        while count < least or time.perf_counter() - began < APPLY_SECONDS:
            translator.apply_file(source, target)
            count += 1
        clock, processor = time.perf_counter() - began, time.process_time() - used
    return {
        "megapixels": h * w / 1e6,
        "runs": count,
        "clock_seconds": clock / count,
        "processor_seconds": processor / count,
    }


def untrained(config: Config, device: torch.device) -> Translator:
    """A translator with random weights."""
    with torch.random.fork_rng(devices=[]):
        generator = make_generator(settled(config)).eval().requires_grad_(False)
    return Translator(Model(generator, config), device)


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


def _peak_rss_mb() -> float:
    """Most main memory that this process has held, in MB of 10^6 bytes; 0 if the system does not tell."""
    return peak_memory(torch.device("cpu")) / 1e6
