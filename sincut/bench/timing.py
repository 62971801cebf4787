"""Timing of work, and of the peak that it is compared with.

The peak is that of a 3x3 convolution as in G's residual blocks, channels-last and in the run's precision: its forward
pass for translating, forward and backward for training. Since the speed of machines varies, it is taken in short bursts
before, between and after the runs of the work: the fastest convolution of each burst, and of these the median, against
the median of the work.
"""

import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F

from sincut.config.sections import Config
from sincut.devices import Compute

BURST_SECONDS = 0.3  # of convolutions, to find the peak

Peaks = dict[str, float]  # TFLOP/s of one convolution: `forward` alone, and `both` with its backward pass


def beside_the_peak(
    work: Callable[[], object], config: Config, compute: Compute, budget: float = 0.0
) -> tuple[list[float], Peaks]:
    """Seconds of each run of `work`, and the median peaks of the bursts before, between and after the runs.

    There is at least one run, and there are more until they have taken `budget` seconds.
    """
    bursts, seconds = [peaks(config, compute)], list[float]()
    while not seconds or sum(seconds) < budget:
        seconds += seconds_of(work, compute, budget / 3)
        bursts.append(peaks(config, compute))
    return seconds, median_of(bursts)


def median_of(bursts: list[Peaks]) -> Peaks:
    """The median of each peak."""
    return {key: statistics.median(burst[key] for burst in bursts) for key in bursts[0]}


def peaks(config: Config, compute: Compute) -> Peaks:
    """The peaks of one burst: those of the fastest of many runs of one convolution."""
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
        "forward": operations / min(seconds_of(forward, compute, BURST_SECONDS)),
        "both": 3 * operations / min(seconds_of(both, compute, BURST_SECONDS)),
    }


def seconds_of(work: Callable[[], object], compute: Compute, budget: float = 0.0) -> list[float]:
    """Seconds of each run of `work`: of one at least, and of more until they have taken `budget` seconds."""
    seconds: list[float] = []
    while not seconds or sum(seconds) < budget:
        began = time.perf_counter()
        work()
        compute.synchronise()
        seconds.append(time.perf_counter() - began)
    return seconds
