"""The colour map."""

import torch

from sincut.method.crops import Outlines
from sincut.nets.balance import balance
from sincut.nets.colour import colour_transport

CPU = torch.device("cpu")


def test_colour_transport_gives_the_photo_s_mean_and_covariance(pictures: tuple[torch.Tensor, torch.Tensor]) -> None:
    painting, photo = pictures
    mapped = colour_transport(painting, photo)(painting)
    a, b = mapped[0].flatten(1), photo[0].flatten(1)
    torch.testing.assert_close(a.mean(1), b.mean(1), atol=1e-4, rtol=0)
    torch.testing.assert_close(torch.cov(a), torch.cov(b), atol=3e-3, rtol=0.05)


def test_colour_transport_of_a_picture_to_itself_changes_nothing(pictures: tuple[torch.Tensor, torch.Tensor]) -> None:
    mapped = colour_transport(pictures[0], pictures[0])(pictures[0])
    torch.testing.assert_close(mapped, pictures[0], atol=1e-5, rtol=0)


def test_colour_transport_keeps_greys_tame(pictures: tuple[torch.Tensor, torch.Tensor]) -> None:
    grey = pictures[0].mean(1, keepdim=True).expand(1, 3, -1, -1)
    for first, second in ((grey, pictures[1]), (torch.zeros_like(grey), pictures[1]), (pictures[1], grey)):
        mapping = colour_transport(first, second)
        assert mapping.matrix.abs().max() < 20
        assert mapping(first).isfinite().all()


def test_objects_that_hold_tensors_can_be_compared_and_counted(pictures: tuple[torch.Tensor, torch.Tensor]) -> None:
    """As any objects are: by what they are, not by a comparison of tensors that has no single answer."""
    balances = [balance(*(picture[..., :70, :80] for picture in pictures)) for _ in range(2)]
    maps = [colour_transport(*pictures) for _ in range(2)]
    outlines = [Outlines.of(pictures[0]) for _ in range(2)]
    for one, other in (balances, maps, outlines):
        assert one == one and one != other and len({one, other, one}) == 2
