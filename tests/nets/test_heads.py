"""The projection heads."""

import torch

from sincut.config.sections import Networks
from sincut.nets.heads import Projector

SMALL = Networks(stem=4, inner=6, blocks=4, residual=0.0)


def test_projector_rows_have_unit_length() -> None:
    rows = Projector(SMALL, (0, 2))([torch.randn(5, 3), torch.randn(5, 6)])
    for row in rows:
        torch.testing.assert_close(row.norm(dim=1), torch.ones(5))
