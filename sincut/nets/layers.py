"""StyleGAN2 building blocks without a style code (Karras et al. 2020, https://arxiv.org/abs/1912.04958).

Equalised learning rate everywhere: weights are drawn from N(0, 1) and multiplied by 1/sqrt(fan_in) at use. The
activation is a leaky ReLU of slope 0.2 after a bias, times sqrt(2). Resampling goes through the binomial filter
[1, 3, 3, 1], so that neither direction aliases.

Tensors are (N, C, H, W). This file knows no training and no picture; it does know how far each layer sees: `reach`
maps an interval of output positions to the interval of input positions it depends on, along one axis, from which
`networks.Generator` computes the halo that makes tiles exact.
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from kornia.color import rgb_to_grayscale
from kornia.filters import gaussian_blur2d, guided_blur
from torch import Tensor, nn

Interval = tuple[int, int]  # inclusive positions along one axis

BINOMIAL = (1.0, 3.0, 3.0, 1.0)
SLOPE = 0.2  # of the leaky ReLU
SMOOTH_WINDOW = 11  # px
SMOOTH_REACH = 2 * (SMOOTH_WINDOW // 2)  # px
CHROMA_WINDOW = 9  # px
CHROMA_REACH = 2 * (CHROMA_WINDOW // 2)  # px
CHROMA_VARIANCE = 0.004  # of lightness: where it varies less than that, colour has no edge to follow
BAND = 4_000_000  # pixels filtered at once

# oneDNN's convolution that ends in an activation, as torch.compile uses it: one pass over the feature map less than the
# two calls it replaces. None where this torch has no such thing.
ONEDNN = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
FUSED = getattr(torch.ops.mkldnn, "_convolution_pointwise", None) if ONEDNN else None


def _plain_inference(x: Tensor) -> bool:
    """Whether no gradient is wanted, and the numbers are float32 on a CPU and stay so."""
    plain = x.device.type == "cpu" and x.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
    return plain and not torch.is_grad_enabled()


def without_border(x: Tensor, places: int) -> Tensor:
    """(N, C, H, W) without the outer places on every side, as a view."""
    h, w = x.shape[2:]
    return x[:, :, places : h - places, places : w - places]


def blurred(x: Tensor, sigma: float) -> Tensor:
    """(N, C, H, W) by a Gaussian of `sigma` px; borders are continued by their last pixel."""
    size = 2 * math.ceil(3 * sigma) + 1
    return gaussian_blur2d(x, (size, size), (sigma, sigma), border_type="replicate")


def calm_variance(x: Tensor) -> float:
    """The lower quartile of the variance around the pixels of (1, C, H, W): the texture of a picture's even parts."""

    def spread(x: Tensor) -> Tensor:
        mean, square = _window_means(x, x.square())
        return (square - mean.square()).clamp(min=0).mean(1, keepdim=True)

    return float(sampled_quantiles(in_bands(spread, x.float(), SMOOTH_REACH), (0.25,)))


def sampled_quantiles(x: Tensor, at: tuple[float, ...]) -> Tensor:
    """Quantiles (len(at),) of all of x, or of at most a million evenly spread values of it."""
    values = x.flatten()
    return torch.quantile(values[:: 1 + len(values) // 1_000_000], torch.tensor(at, device=x.device))


def smoothed(x: Tensor, variance: Tensor | float) -> Tensor:
    """(N, C, H, W) -> the same in float32 at least, each channel smoothed where its local variance is below `variance`.

    The guided filter with the channel as its own guide (He, Sun, Tang 2010, "Guided image filtering"): brush strokes
    and grain go, edges stay. A pixel sees `SMOOTH_REACH` pixels to any side; borders are continued by their last pixel.
    """

    def smooth(x: Tensor) -> Tensor:
        mean, square = _window_means(x, x.square())
        spread = (square - mean.square()).clamp(min=0)
        keep = spread / (spread + variance + 1e-8)
        slope, offset = _window_means(keep, mean * (1 - keep))
        return torch.addcmul(offset, slope, x)

    return precisely(smooth, x, SMOOTH_REACH)


def chroma_grain(x: Tensor) -> float:
    """The mean square of what `without_chroma_grain` can take from (1, 3, H, W): fine colour that the luma lacks."""
    return float((x - without_chroma_grain(x, 0.0)).square().mean())


def without_chroma_grain(x: Tensor, kept: float) -> Tensor:
    """(N, 3, H, W) -> the same in float32 at least, with only `kept`, in 0..1, of its chroma grain.

    That is what the guided filter takes from R - Y, G - Y and B - Y with the luma Y as their guide (He, Sun, Tang 2010,
    section 3): edges of colour stay where lightness has one, and Y stays as it is. A pixel sees `CHROMA_REACH` pixels
    to any side; borders are continued by their last pixel.
    """

    def take(x: Tensor) -> Tensor:
        luma = rgb_to_grayscale(x)
        chroma = x - luma
        size = (CHROMA_WINDOW, CHROMA_WINDOW)
        edges = guided_blur(luma, chroma, size, CHROMA_VARIANCE, border_type="replicate")
        return luma + torch.lerp(edges, chroma, kept)

    return precisely(take, x, CHROMA_REACH)


def precisely(local: Callable[[Tensor], Tensor], x: Tensor, reach: int) -> Tensor:
    """A filter in float32 at least: a variance is a small difference of large numbers."""
    with torch.autocast(x.device.type, enabled=False):
        return in_bands(local, x.to(torch.promote_types(x.dtype, torch.float32)), reach)


def in_bands(local: Callable[[Tensor], Tensor], x: Tensor, reach: int) -> Tensor:
    """A filter that sees `reach` pixels, band by band of a large (N, C, H, W), so that its own memory is bounded."""
    h, w = x.shape[2:]
    rows = max(4 * reach, BAND // w)
    if torch.compiler.is_compiling() or h <= rows:
        return local(x)
    bands = []
    for top in range(0, h, rows):
        first, bottom = max(0, top - reach), min(h, top + rows)
        bands.append(local(x[:, :, first : bottom + reach])[:, :, top - first : bottom - first])
    return torch.cat(bands, dim=2)


def _window_means(*maps: Tensor) -> tuple[Tensor, ...]:
    """Of each (N, C, H, W) the mean of the square of `SMOOTH_WINDOW` around each pixel."""
    x = F.pad(torch.cat(maps, dim=1), (SMOOTH_WINDOW // 2,) * 4, mode="replicate")
    x = x.contiguous(memory_format=torch.channels_last)  # a depthwise convolution is fastest so
    row = x.new_full((x.shape[1], 1, 1, SMOOTH_WINDOW), 1 / SMOOTH_WINDOW)
    x = F.conv2d(F.conv2d(x, row, groups=len(row)), row.transpose(2, 3), groups=len(row))
    return x.chunk(len(maps), dim=1)


class EqualConv2d(nn.Module):
    """(N, C_in, H, W) -> (N, C_out, H', W'): a convolution with equalised learning rate.

    With `activation` it has a bias b and ends in `leaky_relu(conv(x) + b, 0.2) * sqrt(2)`. A leaky ReLU commutes with
    positive factors, so the sqrt(2) and the caller's `scale` go into the weights and the bias: the same numbers, and
    two passes over the feature maps less.
    """

    def __init__(
        self,
        c_in: int,
        c_out: int,
        kernel: int,
        *,
        stride: int = 1,
        padding: int | None = None,
        activation: bool = False,
        scale: float = 1.0,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(c_out, c_in, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(c_out)) if activation else None
        self.scale = scale * math.sqrt(2) if activation else scale
        self.gain = self.scale / math.sqrt(c_in * kernel**2)
        self.kernel, self.stride = kernel, stride
        self.padding = kernel // 2 if padding is None else padding

    def forward(self, x: Tensor, padded: bool = True) -> Tensor:
        weight, padding = self.weight * self.gain, self.padding if padded else 0
        if self.bias is None:
            # With one thread torch has another kernel for 1x1, which rounds differently, but not if it is dilated.
            dilation = 2 if self.kernel == 1 and _plain_inference(x) else 1
            return F.conv2d(x, weight, stride=self.stride, padding=padding, dilation=dilation)
        bias = self.bias * self.scale
        if FUSED is not None and _plain_inference(x):
            ones, strides, paddings = [1, 1], [self.stride] * 2, [padding] * 2
            out: Tensor = FUSED(x, weight, bias, paddings, strides, ones, 1, "leaky_relu", [SLOPE], "")
            return out
        return F.leaky_relu_(F.conv2d(x, weight, bias, stride=self.stride, padding=padding), SLOPE)

    def reach(self, out: Interval) -> Interval:
        lo, hi = out
        return lo * self.stride - self.padding, hi * self.stride - self.padding + self.kernel - 1


class EqualLinear(nn.Module):
    """(N, F_in) -> (N, F_out): a linear layer with equalised learning rate and a bias that starts at 0."""

    def __init__(self, f_in: int, f_out: int, *, activation: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(f_out, f_in))
        self.bias = nn.Parameter(torch.zeros(f_out))
        self.scale = math.sqrt(2) if activation else 1.0
        self.gain = self.scale / math.sqrt(f_in)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        out = F.linear(x, self.weight * self.gain, self.bias * self.scale)
        return F.leaky_relu_(out, SLOPE) if self.activation else out


class Blur(nn.Module):
    """The [1, 3, 3, 1] x [1, 3, 3, 1] filter as a depthwise convolution; `stride` computes only the kept pixels.

    [1, 3, 3, 1] is [1, 2, 1] and then the mean of two, so with stride 2 it is also a filter without stride and a
    pooling. In bfloat16, where oneDNN has no fast gradient of a depthwise convolution with stride, that takes a fifth
    of the time.
    """

    kernel: Tensor
    small: Tensor

    def __init__(self, channels: int, padding: int, stride: int = 1, gain: float = 1.0) -> None:
        super().__init__()
        for name, taps in (("kernel", BINOMIAL), ("small", (1.0, 2.0, 1.0))):
            square = torch.outer(torch.tensor(taps), torch.tensor(taps))
            square = square * (gain / square.sum())
            self.register_buffer(name, square.expand(channels, 1, -1, -1).contiguous(), persistent=False)
        self.channels, self.padding, self.stride = channels, padding, stride

    def forward(self, x: Tensor) -> Tensor:
        if self.stride == 2 and x.dtype == torch.bfloat16 and x.device.type == "cpu" and torch.is_grad_enabled():
            even = F.conv2d(x, self.small.to(x.dtype), padding=self.padding, groups=self.channels)
            return F.avg_pool2d(even, 2)
        kernel = self.kernel.to(x.dtype)
        return F.conv2d(x, kernel, stride=self.stride, padding=self.padding, groups=self.channels)

    def reach(self, out: Interval) -> Interval:
        lo, hi = out
        return lo * self.stride - self.padding, hi * self.stride - self.padding + len(BINOMIAL) - 1


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with activations, plus the skip path, divided by sqrt(2).

    With `down`, (N, C_in, H, W) -> (N, C_out, H/2, W/2) for even H, W: blur then stride 2, on both paths. The skip
    path is the identity where the shape stays, else a 1x1 convolution without activation.

    Without `down` a block can leave its padding out: the result then lacks the outer `TRIM` places on every side, and
    nothing is computed for what a tile throws away.
    """

    TRIM = 2  # places, one for each 3x3 convolution

    def __init__(self, c_in: int, c_out: int, down: bool = False) -> None:
        super().__init__()
        half = math.sqrt(0.5)
        self.conv1 = EqualConv2d(c_in, c_in, 3, activation=True)
        self.blur: Blur | None = Blur(c_in, padding=2) if down else None
        stride, padding = (2, 0) if down else (1, 1)
        self.conv2 = EqualConv2d(c_in, c_out, 3, stride=stride, padding=padding, activation=True, scale=half)
        self.skip_blur: Blur | None = Blur(c_in, padding=1, stride=2) if down else None
        self.skip: EqualConv2d | None = EqualConv2d(c_in, c_out, 1, scale=half) if down or c_in != c_out else None

    def forward(self, x: Tensor, padded: bool = True) -> Tensor:
        y = self.conv1(x, padded)
        y = self.conv2(y if self.blur is None else self.blur(y), padded)
        skip = x if self.skip_blur is None else self.skip_blur(x)
        skip = skip if padded else without_border(skip, self.TRIM)
        if self.skip is None:
            return torch.add(y, skip, alpha=math.sqrt(0.5), out=None if torch.is_grad_enabled() else y)
        out: Tensor = y + self.skip(skip)
        return out

    def reach(self, out: Interval) -> Interval:
        lo, hi = self.conv2.reach(out)
        lo, hi = (lo, hi) if self.blur is None else self.blur.reach((lo, hi))
        lo, hi = self.conv1.reach((lo, hi))
        skip = out if self.skip_blur is None else self.skip_blur.reach(out)
        return min(lo, skip[0]), max(hi, skip[1])


class UpBlock(nn.Module):
    """(N, C_in, H, W) -> (N, C_out, 2H, 2W): demodulated transposed 3x3 of stride 2, blur, noise, activation.

    Demodulation scales each output channel's weights to unit L2 norm. The noise is one standard normal number per
    pixel, times a learned scalar that starts at 0; the caller draws it, so that tiles can draw it by position.
    """

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(c_in, c_out, 3, 3))
        self.blur = Blur(c_out, padding=1, gain=4.0)  # a quarter of the pixels of a stride-2 grid are filled
        self.noise_gain = nn.Parameter(torch.zeros(1))
        self.bias = nn.Parameter(torch.zeros(c_out))

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        norm = torch.rsqrt(self.weight.square().sum((0, 2, 3), keepdim=True) + 1e-8)
        weight = self.weight * (norm * math.sqrt(2))  # the activation's sqrt(2) is in weights, noise and bias
        y = self.blur(F.conv_transpose2d(x, weight, stride=2))  # (N, C_out, 2H+1, 2W+1) -> (N, C_out, 2H, 2W)
        for shift in (self.noise_gain * noise, self.bias[:, None, None]):  # in place: feature maps are large here
            y = y.add_((math.sqrt(2) * shift).to(y.dtype))
        return F.leaky_relu_(y, SLOPE)

    def reach(self, out: Interval) -> Interval:
        lo, hi = self.blur.reach(out)
        return -((2 - lo) // 2), hi // 2  # output o takes input i where o = 2i + t, t in 0..2
