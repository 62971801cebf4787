"""The networks that settings choose."""

from dataclasses import replace

import pytest
import torch

from sincut.config.resolve import presets, resolve
from sincut.nets.architectures import make_discriminator, make_generator
from sincut.nets.heads import Projector


@pytest.mark.parametrize("preset", [preset.name for preset in presets()])
def test_every_preset_builds_its_networks(preset: str) -> None:
    config = resolve(preset)
    networks = replace(config.networks, noise="all" if config.networks.noise == "auto" else config.networks.noise)
    size, tile, layers = config.crops.size, config.crops.tile, config.losses.layers
    with torch.device("meta"):
        crops, noise = torch.empty(2, 3, size, size), torch.empty(2, 1, size, size)
        generator = make_generator(replace(networks, smooth=0.0))
        assert generator(crops, noise).shape == crops.shape
        assert make_discriminator(networks, tile)(crops[:, :, :tile, :tile]).shape[:2] == (2, 1)
        features = generator.encode(crops, max(layers))
        rows = [features[layer].flatten(2).mT.flatten(0, 1) for layer in layers]
        assert [p.shape[1] for p in Projector(networks, layers)(rows)] == [networks.features] * len(layers)
