"""Measurements of a machine: training and translating, each as a fraction of the machine's measured peak.

`work.py` counts the *necessary* work from the shapes of layers, so that superfluous work lowers the utilisation and
never raises it. Every part runs in a process of its own, one after the other. All of them together end within
`SECONDS`, with any settings: a part that is slow is timed fewer times, and one that has no room is left out, by name.
"""

import json
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch

from sincut.bench import parts, starts
from sincut.bench.alone import OutOfTimeError, alone
from sincut.bench.load import Load, warnings
from sincut.bench.work import pixel_tflop, step_tflop
from sincut.config.sections import Config
from sincut.devices import find_compute
from sincut.errors import ConfigError, SincutError
from sincut.rivals.techniques import TECHNIQUES

MEGAPIXELS = (1.0, 4.0, 16.0, 64.0)
MOST_DRAWN = 16.0  # megapixels of the largest picture that is drawn
COUNTS = (10**4, 10**6, 10**8)  # pictures, for `hours`
SECONDS = 280.0  # that all parts take together, at most
TRAINING_SECONDS, FOLDER_SECONDS, START_SECONDS = 60.0, 45.0, 45.0  # that these parts take, about
LEAST_SECONDS = 8.0  # without which no part is begun
PROCESS_SECONDS = 4.0  # of a process that are not timed

T = TypeVar("T")
OnPart = Callable[[str], None]
Stop = Callable[[], bool]


class Measuring:
    """Parts measured one after the other in the time that all have together; what had no room is in `left_out`."""

    def __init__(self, config: Config, device: torch.device, on_part: OnPart, stop: Stop, seconds: float) -> None:
        if config.method.algorithm in TECHNIQUES:
            name = config.method.algorithm
            raise ConfigError(f"{name} has no training and no G to measure; apply tells what it takes")
        self.config, self.device, self.on_part, self.stop = config, device, on_part, stop
        self.until = time.monotonic() + seconds
        self.left_out = list[dict[str, str]]()
        self.load = Load()

    @property
    def left(self) -> float:
        """Seconds that are left for all further parts."""
        return self.until - time.monotonic()

    def part(self, name: str, work: Callable[[float], T], expected: float = 0.0, reserved: float = 0.0) -> T | None:
        """The result of `work`, a function of the seconds that it may take at most.

        None where `expected` seconds are not left beside those `reserved` for later parts, or it takes longer.
        """
        left = self.left - reserved
        if left < max(expected, LEAST_SECONDS):
            takes = f"would take about {expected:.0f} s" if expected > LEAST_SECONDS else "had no time"
            self._leave_out(name, f"{takes}, and {max(0.0, left):.0f} s were left")
            return None
        self.on_part(name)
        try:
            return work(left)
        except OutOfTimeError as error:
            self._leave_out(name, str(error))
            return None

    def figures(self, measured: dict[str, Any]) -> dict[str, Any]:
        """The figures of all parts with what was left out, the load of the machine, and warnings; rounded."""
        load = self.load.figures()
        return rounded({**measured, "left_out": self.left_out, "load": load, "warnings": warnings(load)})

    def alone(self, work: Callable[..., T], *rest: Any, limit: float, threads: int | None = None) -> T:
        """`work` of settings and device in a process of its own, see `alone.alone`."""
        return alone(work, self.config, self.device, *rest, limit=limit, threads=threads, stop=self.stop)

    def of_size(self, work: Callable[..., T], megapixels: float) -> Callable[[float], T]:
        """`work` of settings, device and a size, as `part` wants it."""
        return lambda left: self.alone(work, megapixels, limit=left)

    def _leave_out(self, name: str, why: str) -> None:
        self.left_out.append({"part": name, "why": why})


def measure(
    config: Config,
    device: torch.device,
    megapixels: Sequence[float] = MEGAPIXELS,
    on_part: OnPart = lambda part: None,
    stop: Stop = lambda: False,
    seconds: float = SECONDS,
) -> dict[str, Any]:
    """Measure training and translating pictures of these sizes; `on_part` hears what is measured next.

    Returns figures by name: texts, and numbers of four significant digits. Rates are megapixels or crops a second,
    memory is in MB of 10^6 bytes, work in TFLOP of 10^12 operations (a multiplication and an addition are two), peaks
    in TFLOP a second: of training `peak_tflops` (with the backward pass) and `peak_forward_tflops`, and of each size
    in `apply` and `synthesis` a `peak_tflops` that is forward only. `apply` is G alone, `synthesis` the drawing alone,
    of sizes up to `MOST_DRAWN`, and how many times G's work that is. `steps_timed`, `runs` and `turns` are the numbers
    of what was timed; what is in `left_out` has no figures. Ends within `seconds`, about.

    Raises `ConfigError` for an algorithm that has no G, `SincutError` if a part fails, and `Interrupted` once `stop` is
    true.
    """
    bench = Measuring(config, device, on_part, stop, seconds)
    precision = find_compute(device).precision
    figures: dict[str, Any] = {"device": str(device), "threads": torch.get_num_threads(), "precision": precision}
    figures |= _training(bench)
    figures["apply"] = _apply(bench, megapixels)
    figures["synthesis"] = _synthesis(bench, megapixels, figures["apply"])
    folder = _folder(bench, megapixels, figures["apply"])
    figures |= {"folder": folder} if folder else {}
    return bench.figures(figures)


def measure_pictures(
    config: Config,
    device: torch.device,
    megapixels: float,
    stop: Stop = lambda: False,
    seconds: float = SECONDS,
) -> dict[str, Any]:
    """Measure what pictures of this size cost one worker from file to file: one core, or one device.

    On a CPU the unit is processor time, so that other programs on the machine count for little; on a device it is time
    on the clock. `hours` are those of one worker for 10^4, 10^6 and 10^8 pictures; n workers take an n-th of them, as
    long as storage keeps up. Raises as `measure`, and `OutOfTimeError` if a picture takes too long to be timed.
    """
    bench = Measuring(config, device, lambda part: None, stop, seconds)
    on_cpu = device.type == "cpu"
    given, threads = bench.left - PROCESS_SECONDS, 1 if on_cpu else None
    try:
        costs = bench.alone(parts.from_file_to_file, megapixels, given / 2, limit=bench.left, threads=threads)
    except OutOfTimeError as error:
        raise SincutError(f"pictures of {megapixels:g} megapixels: {error}; measure smaller ones") from None
    each = costs["processor_seconds" if on_cpu else "clock_seconds"]
    return bench.figures({
        "worker": "one core" if on_cpu else f"one {device.type}",
        "precision": find_compute(device).precision,
        **costs,
        "pictures_per_second": 1 / each,
        "hours": {str(count): count * each / 3600 for count in COUNTS},
    })  # fmt: skip


def _training(bench: Measuring) -> dict[str, Any]:
    """Figures of a training step, and of the first one and the first tile of the commands."""
    config, device, stop = bench.config, bench.device, bench.stop

    def steps(left: float) -> dict[str, Any]:
        return bench.alone(parts.training, min(TRAINING_SECONDS, left), limit=min(3 * TRAINING_SECONDS, left))

    def first_step(left: float) -> float:
        return starts.first_step_seconds(config, device, min(START_SECONDS, left), stop)

    def first_tile(left: float) -> float:
        return starts.first_tile_seconds(config, device, min(START_SECONDS, left), stop)

    figures = bench.part("training", steps) or {}
    for name, part, work in (
        ("first_step_seconds", "first step", first_step),
        ("first_tile_seconds", "first tile", first_tile),
    ):
        seconds = bench.part(part, work)
        figures |= {name: seconds} if seconds is not None else {}
    figures["step_tflop"] = step_tflop(config)
    if "step_seconds" in figures:
        figures["step_utilisation"] = figures["step_tflop"] / figures["step_seconds"] / figures["peak_tflops"]
    return figures


def _apply(bench: Measuring, megapixels: Sequence[float]) -> list[dict[str, Any]]:
    """Figures of translating pictures of each size that there is time for."""
    measured = list[dict[str, Any]]()
    for size in megapixels:
        expected = _expected(measured, size)
        applied = bench.part(f"applying to {size:g} megapixels", bench.of_size(parts.apply, size), expected)
        if applied:
            work = pixel_tflop(bench.config) * applied["megapixels"] * 1e6
            measured.append({**applied, "utilisation": work / applied["seconds"] / applied["peak_tflops"]})
    return measured


def _synthesis(
    bench: Measuring, megapixels: Sequence[float], applied: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Figures of drawing pictures of each size up to `MOST_DRAWN` that there is time for."""
    measured, folder = list[dict[str, Any]](), _least_folder(applied)
    for size in (size for size in megapixels if size <= MOST_DRAWN):
        drawn = bench.part(
            f"drawing {size:g} megapixels",
            bench.of_size(parts.synthesis, size),
            _expected(measured, size),
            folder if folder <= bench.left else 0.0,  # nothing is kept free for a folder that has no room anyway
        )
        if drawn:
            same = next((each for each in applied if each["megapixels"] == drawn["megapixels"]), None)
            if same:
                ratio = drawn["seconds"] * drawn["peak_tflops"] / (same["seconds"] * same["peak_tflops"])
                drawn["times_translating"] = ratio
            measured.append(drawn)
    return measured


def _folder(bench: Measuring, megapixels: Sequence[float], applied: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """Figures of translating a folder of pictures of the smallest size, if any was translated."""
    if not applied:
        return None
    size = min(megapixels)

    def folder(left: float) -> dict[str, Any]:
        return bench.alone(parts.folder, size, min(FOLDER_SECONDS, left - PROCESS_SECONDS), limit=left)

    return bench.part("applying to a folder", folder, _least_folder(applied))


def _least_folder(applied: Sequence[dict[str, Any]]) -> float:
    """Seconds that the smallest folder takes: its pictures in three turns, one before."""
    each = min(applied, key=lambda figures: figures["megapixels"], default={"seconds": 0.0})["seconds"]
    return float(PROCESS_SECONDS + (3 * parts.LEAST_FOLDER + 2) * each)


def _expected(measured: Sequence[dict[str, Any]], megapixels: float) -> float:
    """Seconds that a part with a picture of this size takes, as the last one did; 0: not known."""
    if not measured:
        return 0.0
    seconds = measured[-1]["seconds"] * megapixels / measured[-1]["megapixels"]
    return float(PROCESS_SECONDS + max(parts.APPLY_SECONDS, seconds))


def rounded(figures: dict[str, Any]) -> dict[str, Any]:
    """The same figures with every float, also in lists and dictionaries within, to four significant digits."""
    short: dict[str, Any] = json.loads(json.dumps(figures), parse_float=lambda text: float(f"{float(text):.4g}"))
    return short
