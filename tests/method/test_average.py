"""The average of the weights."""

import torch
from helpers import PLAIN, average_of, style

from sincut.config.sections import Config
from sincut.method.training import Training


def test_average_is_the_formula(tiny: Config, pictures: tuple[torch.Tensor, torch.Tensor]) -> None:
    training = Training(*pictures, tiny, PLAIN)
    average = average_of(training).stem.weight.clone()
    for step in range(3):
        training.step(0.002)
        decay = min(tiny.optimisation.ema, (1 + step) / (10 + step))
        average = decay * average + (1 - decay) * style(training.cut.generator).stem.weight
    torch.testing.assert_close(average_of(training).stem.weight, average.detach())
