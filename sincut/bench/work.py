"""Necessary work of training and translating, counted from the shapes of the layers that have weights."""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn

from sincut.config.networks import Networks
from sincut.config.sections import Config
from sincut.method.crops import tiles
from sincut.nets.architectures import make_discriminator, make_generator
from sincut.nets.blocks import EqualConv2d, EqualLinear, UpBlock


def settled(config: Config) -> Networks:
    """The networks of the settings; where two pictures would settle the noise, with all of it, which costs most."""
    networks = config.networks
    return replace(networks, noise="all") if networks.noise == "auto" else networks


def step_tflop(config: Config) -> float:
    """Necessary work of one training step in TFLOP, from the shapes of the layers.

    Multiplications and additions of convolutions and linear layers count; binomial filters, activations and optimisers
    do not. A backward pass costs two forward passes, one for the weights and one for the data. A step has: G on its
    crops and back; the encoder, up to the last layer of PatchNCE, on the translations and back (the keys are reused,
    but where a momentum encoder makes them); D on real and fake tiles and back; D on the fake tiles and back to the
    data only; and every `r1_every` steps the gradient at the real tiles (one pass) and its derivative (three). Other
    translations of a step, such as CycleGAN's, count as G's crops, and those that a D judges as its tiles.
    """
    losses, crops = config.losses, config.crops
    encoder, shallow, decoder, critic = forward_tflop(config)
    translated = crops.count * config.translated
    queries = crops.count * (1 + losses.identity) if losses.nce else 0
    each = (crops.size // crops.tile) ** 2  # tiles of a crop, and as many fake ones
    real = crops.count * each * config.judged
    keys = queries if losses.negatives != "internal" else 0  # encoded anew
    generator = 3 * (encoder + decoder) * translated + shallow * (3 * queries + keys)
    penalty = 4 / losses.r1_every if losses.r1 else 0
    discriminator = (3 * 2 + 2 + penalty) * critic * real
    return generator + discriminator


def pixel_tflop(config: Config) -> float:
    """Necessary work of translating one pixel in TFLOP."""
    encoder, _, decoder, _ = forward_tflop(config)
    return (encoder + decoder) / config.crops.size**2


def forward_tflop(config: Config) -> tuple[float, float, float, float]:
    """TFLOP of four forward passes: the encoder of one crop, the encoder up to the last layer of PatchNCE, the decoder,
    and D on one tile."""
    size, tile = config.crops.size, config.crops.tile
    with torch.device("meta"):
        networks = replace(settled(config), smooth=0.0)  # a filter, of whose autocast the device meta knows nothing
        generator, discriminator = make_generator(networks), make_discriminator(networks, tile)
        crop, noise = torch.empty(1, 3, size, size), torch.empty(1, 1, size, size)
        features = generator.encode(crop)
        return (
            _tflop(generator, lambda: generator.encode(crop)),
            _tflop(generator, lambda: generator.encode(crop, last=max(config.losses.layers))),
            _tflop(generator, lambda: generator.decode(features, noise)),
            _tflop(discriminator, lambda: discriminator(tiles(crop, tile)[:1])),
        )


def _tflop(network: nn.Module, work: Callable[[], object]) -> float:
    """TFLOP of those layers of the network that have weights, as often as `work` runs them: 2 x weights x places."""
    operations = 0

    def count(layer: nn.Module, inputs: tuple[Tensor, ...], out: Tensor) -> None:
        nonlocal operations
        places = inputs[0] if isinstance(layer, UpBlock) else out  # transposed: each input pixel meets each weight
        operations += 2 * layer.weight.numel() * places[:, 0].numel()  # type: ignore[union-attr,operator]

    counted = [
        m for m in network.modules() if isinstance(m, EqualConv2d | EqualLinear | UpBlock | nn.Conv2d | nn.Linear)
    ]
    hooks = [layer.register_forward_hook(count) for layer in counted]
    work()
    for hook in hooks:
        hook.remove()
    return operations / 1e12
