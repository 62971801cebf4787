"""The discriminator."""

import pytest
import torch

from sincut.config.networks import Networks
from sincut.nets.discriminator import StyleDiscriminator


@pytest.mark.parametrize("tile", [16, 32, 64, 128])
def test_discriminator_gives_each_tile_a_logit_of_its_own(tile: int) -> None:
    discriminator, tiles = StyleDiscriminator(Networks(discriminator=0.05), tile), torch.randn(3, 3, tile, tile)
    logits = discriminator(tiles)
    assert logits.shape == (3, 1) and len(set(logits.flatten().tolist())) == 3
    alone = torch.cat([discriminator(part) for part in tiles.split(1)])  # there is no minibatch deviation
    torch.testing.assert_close(logits, alone, rtol=1e-4, atol=1e-5)


def test_discriminator_sees_tiles_relative_to_the_photo_and_their_detail_brought_out() -> None:
    torch.manual_seed(0)
    tiles, photo = torch.rand(2, 3, 32, 32), torch.rand(1, 3, 40, 50)
    plain, relative, sharp = (StyleDiscriminator(Networks(discriminator=0.05), 32) for _ in range(3))
    for network, detail in ((relative, 1.0), (sharp, 3.0)):
        network.load_state_dict(plain.state_dict())
        network.normalise_by(photo, detail)
    mean, deviation = photo.mean((0, 2, 3))[:, None, None], photo.std((0, 2, 3))[:, None, None]
    torch.testing.assert_close(relative(tiles), plain((tiles - mean) / deviation))
    seen = sharp(tiles)
    sharp.normalise_by(photo * 0.2 - 0.7, 3.0)
    torch.testing.assert_close(sharp(tiles * 0.2 - 0.7), seen, atol=1e-4, rtol=1e-4)  # dark and soft: the same to D

    checks = 0.5 - torch.arange(32 * 32).view(1, 1, 32, 32).remainder(2).expand(1, 3, 32, 32)  # columns of +-0.5
    sharp.normalise_by(torch.cat([checks, -checks]) * 2, 3.0)  # of deviation 1 and mean 0
    inner = torch.zeros_like(checks)
    inner[..., 5:-5, 5:-5] = 1
    given: list[torch.Tensor] = []
    sharp.convolutions.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0]))
    sharp(checks)
    torch.testing.assert_close(given[0] * inner, 3 * checks * inner, atol=0.15, rtol=0)  # 9 columns are not quite even
    sharp(torch.ones(1, 3, 32, 32))
    torch.testing.assert_close(given[1], torch.ones(1, 3, 32, 32), atol=0.01, rtol=0)  # what is large stays
