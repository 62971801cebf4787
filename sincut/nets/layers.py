"""Layers of the networks for sets of pictures: plain convolutions, instance normalisation, anti-aliased resampling.

Weights begin as Xavier's (Glorot and Bengio 2010, "Understanding the difficulty of training deep feedforward neural
networks") times `GAIN`, biases as 0, as in the published code of Park et al. 2020
(https://github.com/taesungp/contrastive-unpaired-translation, options `init_type` and `init_gain`). Resampling goes
through binomial filters (Zhang 2019, "Making Convolutional Networks Shift-Invariant Again",
https://arxiv.org/abs/1904.11486).

Tensors are (N, C, H, W).
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sincut.nets.blocks import binomial

GAIN = 0.02  # of the initial weights
EPSILON = 1e-5  # added to a variance before it divides
SHORT = (1.0, 2.0, 1.0)  # the binomial filter before every second place is taken


def _initialise(layer: nn.Conv2d | nn.Linear) -> None:
    if layer.weight.is_meta:  # shapes alone, as in `blocks.drawn`
        return
    nn.init.xavier_normal_(layer.weight, gain=GAIN)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


class Conv2d(nn.Conv2d):
    """A convolution (N, C_in, H, W) -> (N, C_out, H', W') with a bias and these initial weights."""

    def reset_parameters(self) -> None:
        """Draw new weights."""
        _initialise(self)


class Linear(nn.Linear):
    """A linear layer (R, F_in) -> (R, F_out) with a bias and these initial weights."""

    def reset_parameters(self) -> None:
        """Draw new weights."""
        _initialise(self)


class BlurPool(nn.Module):
    """(N, C, H, W) -> (N, C, ceil(H / 2), ceil(W / 2)): the filter [1, 2, 1] x [1, 2, 1], then every second place."""

    kernel: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("kernel", binomial(SHORT)[None, None], persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """The layer applied to (N, C, H, W); borders are continued by reflection."""
        kernel = self.kernel.to(x.dtype).expand(x.shape[1], -1, -1, -1)
        return F.conv2d(reflected(x, 1), kernel, stride=2, groups=x.shape[1])


def enlarged(x: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, C, 2H, 2W) through the filter [1, 3, 3, 1] x [1, 3, 3, 1]; borders are repeated.

    As a transposed convolution of stride 2 this filter is bilinear interpolation, which is quicker.
    """
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def normalised(x: Tensor) -> Tensor:
    """Instance normalisation (Ulyanov et al. 2016, https://arxiv.org/abs/1607.08022), without weights of its own.

    Each channel of each picture gets the mean 0 and the variance 1 over its places; one that does not vary becomes 0.
    A picture at a time, batch normalisation is the same, and keeps the memory format, which `F.instance_norm` does not.
    """
    if torch.compiler.is_compiling():  # as an ONNX file wants it
        variance, mean = torch.var_mean(x, (2, 3), correction=0, keepdim=True)
        return (x - mean) * torch.rsqrt(variance + EPSILON)
    settings: Any = (None, None, None, None, True, 0.0, EPSILON, False)  # no weights, no running mean
    pictures = [torch.batch_norm(picture, *settings) for picture in x.split(1)]
    return pictures[0] if len(pictures) == 1 else torch.cat(pictures)


def reflected(x: Tensor, places: int) -> Tensor:
    """(N, C, H, W) continued by reflection, by this many places on every side; the places of a border stand once.

    A side of no more than `places` is reflected more than once.
    """
    if not torch.compiler.is_compiling() and min(x.shape[2:]) > places:
        return F.pad(x, (places,) * 4, mode="reflect")
    rows, columns = (_reflected_at(torch.arange(-places, side + places), side) for side in x.shape[2:])
    return x.index_select(2, rows.to(x.device)).index_select(3, columns.to(x.device))


def _reflected_at(positions: Tensor, length: int) -> Tensor:
    """Positions on a line -> 0..length-1, reflected at the ends as often as it takes."""
    last = torch.arange(length)[-1:]  # as a tensor: for an ONNX file the length is known only when the graph runs
    period = (2 * last).clamp(min=1)
    folded = positions % period
    return torch.minimum(folded, period - folded) % (last + 1)
