"""The projection heads."""

import pytest
import torch

from sincut.config.networks import Networks
from sincut.nets.blocks import EqualLinear
from sincut.nets.heads import Projector

SMALL = Networks(stem=4, inner=6, blocks=4, residual=0.0)


def test_projector_rows_have_unit_length() -> None:
    rows = Projector(SMALL, (0, 2))([torch.randn(5, 3), torch.randn(5, 6)])
    for row in rows:
        torch.testing.assert_close(row.norm(dim=1), torch.ones(5))


@pytest.mark.parametrize(("layer", "channels"), [(0, 3), (1, 4), (2, 6), (4, 6)])
def test_a_head_is_the_formula(layer: int, channels: int) -> None:
    features = torch.randn(7, channels)
    projector = Projector(SMALL, (layer,))
    first, second = (part for part in projector.modules() if isinstance(part, EqualLinear))
    for part in (first, second):
        torch.nn.init.normal_(part.bias)
    hidden = (features @ first.weight.T / channels**0.5 + first.bias).clamp(min=0)
    wanted = hidden @ second.weight.T / SMALL.features**0.5 + second.bias
    (got,) = projector([features])
    torch.testing.assert_close(got, wanted / wanted.norm(dim=1, keepdim=True))
