"""What this machine does: seconds a training step and seconds to translate, measured on made-up pictures."""

import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import torch

from sincut.config import Config
from sincut.devices import find_compute
from sincut.model import Model
from sincut.training import Training
from sincut.translate import Translator

WARM_UP = 1  # rounds that are not counted
ROUNDS = 5  # each of `losses.r1_every` steps, one of them with the gradient penalty
APPLY_SIDE = 1024  # px


def measure(config: Config, device: torch.device) -> dict[str, Any]:
    """Medians after warm-up; run it on an otherwise idle machine. Keys are stable, values plain numbers and texts."""
    compute = find_compute(device)
    generator = torch.Generator().manual_seed(0)
    pictures = [torch.rand(1, 3, 1024, 1024, generator=generator) * 2 - 1 for _ in range(2)]
    training = Training(pictures[0], pictures[1], config, compute)
    rate = config.optimisation.learning_rate
    cycle = config.losses.r1_every

    def steps() -> None:
        for _ in range(cycle):
            training.step(rate)

    step = _median(steps, WARM_UP, ROUNDS, device) / cycle
    translator = Translator(Model(training.average, training.colour, config), device)
    image = torch.rand(1, 3, APPLY_SIDE, APPLY_SIDE, generator=generator) * 2 - 1
    apply = _median(lambda: translator.translate(image), 1, 3, device)
    return {
        "device": str(device),
        "threads": torch.get_num_threads(),
        "precision": compute.precision,
        "step_seconds": round(step, 4),
        "crops_per_second": round(config.crops.count / step, 3),
        "apply_megapixels_per_second": round(APPLY_SIDE**2 / 1e6 / apply, 4),
        "peak_rss_mb": _peak_rss_mb(),
    }


def _median(work: Callable[[], object], warm_up: int, repeats: int, device: torch.device) -> float:
    seconds = []
    for _ in range(warm_up + repeats):
        began = time.perf_counter()
        work()
        if device.type != "cpu":
            torch.accelerator.synchronize(device)
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds[warm_up:])


def _peak_rss_mb() -> float:
    """The most memory this process ever held; 0 where the system does not tell."""
    try:
        import resource
    except ImportError:  # Windows
        return 0.0
    unit = 1 if sys.platform == "darwin" else 1024
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6, 1)
