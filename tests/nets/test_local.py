"""Local operations in bands: how many pixels are worked on at once."""

import threading

import torch

from sincut.nets.local import bands_of, in_bands


def test_bands_have_as_many_pixels_as_the_block_says_in_its_own_thread() -> None:
    x = torch.rand(1, 3, 400, 10, generator=torch.Generator().manual_seed(0))
    heights: list[int] = []

    def look(part: torch.Tensor) -> torch.Tensor:
        heights.append(part.shape[2])
        return part * 2

    def done() -> list[int]:
        heights.clear()
        assert torch.equal(in_bands(look, x, 2), x * 2)
        return list(heights)

    elsewhere: list[list[int]] = []
    with bands_of(1000):
        assert done() == [102, 104, 104, 102]
        thread = threading.Thread(target=lambda: elsewhere.append(done()))
        thread.start()
        thread.join()
    assert elsewhere == [done()] == [[400]]
