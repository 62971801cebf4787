"""StyleGAN2's building blocks without a style code (Karras et al. 2020, https://arxiv.org/abs/1912.04958).

Equalised learning rate everywhere: weights are drawn from N(0, 1) and multiplied by 1/sqrt(fan_in) at use. The
activation is a leaky ReLU of slope 0.2 after a bias, times sqrt(2). Resampling goes through the binomial filter
[1, 3, 3, 1], which keeps aliasing small in both directions.

Tensors are (N, C, H, W). Each layer knows its receptive field: `reach` maps an interval of output positions to the
interval of input positions that they depend on, along one axis. From these `Generator` computes its halo.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sincut.nets.local import without_border

Interval = tuple[int, int]  # inclusive positions along one axis

BINOMIAL = (1.0, 3.0, 3.0, 1.0)
SLOPE = 0.2  # of the leaky ReLU

# oneDNN's convolution that ends in an activation, as torch.compile uses it: one pass over the feature map less than
# by two calls. None if this torch has no such thing.
ONEDNN = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
FUSED = getattr(torch.ops.mkldnn, "_convolution_pointwise", None) if ONEDNN else None


def _plain_inference(x: Tensor) -> bool:
    """True for float32 on a CPU outside autocast, where no gradient is wanted."""
    plain = x.device.type == "cpu" and x.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
    return plain and not torch.is_grad_enabled()


def drawn(*shape: int) -> Tensor:
    """Weights of this shape, drawn from N(0, 1).

    On the device `meta`, which has shapes alone, nothing is drawn: for that torch loads its compiler, which takes a
    second. So it does for arithmetic there, see `binomial`.
    """
    weight = torch.empty(shape)
    return weight if weight.is_meta else weight.normal_()


def binomial(taps: tuple[float, ...], gain: float = 1.0) -> Tensor:
    """The square filter (n, n) of these n taps in both directions, of sum `gain`."""
    factor = gain / sum(taps) ** 2
    return torch.tensor([[a * b * factor for b in taps] for a in taps])


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
        self.weight = nn.Parameter(drawn(c_out, c_in, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(c_out)) if activation else None
        self.scale = scale * math.sqrt(2) if activation else scale
        self.gain = self.scale / math.sqrt(c_in * kernel**2)
        self.kernel, self.stride = kernel, stride
        self.padding = kernel // 2 if padding is None else padding

    def forward(self, x: Tensor, padded: bool = True) -> Tensor:
        """The layer applied to (N, C_in, H, W), on demand without its padding, which makes the result smaller."""
        weight, padding = self.weight * self.gain, self.padding if padded else 0
        if self.bias is None:
            # On one thread torch picks another 1x1 kernel with other rounding. A dilation of 2 changes nothing for 1x1
            # and avoids it, so that results do not depend on the number of threads.
            dilation = 2 if self.kernel == 1 and _plain_inference(x) else 1
            return F.conv2d(x, weight, stride=self.stride, padding=padding, dilation=dilation)
        bias = self.bias * self.scale
        if FUSED is not None and _plain_inference(x):
            ones, strides, paddings = [1, 1], [self.stride] * 2, [padding] * 2
            out: Tensor = FUSED(x, weight, bias, paddings, strides, ones, 1, "leaky_relu", [SLOPE], "")
            return out
        return F.leaky_relu_(F.conv2d(x, weight, bias, stride=self.stride, padding=padding), SLOPE)

    def reach(self, out: Interval) -> Interval:
        """Input positions that the output positions `out` depend on, along one axis."""
        lo, hi = out
        return lo * self.stride - self.padding, hi * self.stride - self.padding + self.kernel - 1


class EqualLinear(nn.Module):
    """(N, F_in) -> (N, F_out): a linear layer with equalised learning rate and a bias that starts at 0."""

    def __init__(self, f_in: int, f_out: int, *, activation: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(drawn(f_out, f_in))
        self.bias = nn.Parameter(torch.zeros(f_out))
        self.scale = math.sqrt(2) if activation else 1.0
        self.gain = self.scale / math.sqrt(f_in)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        """The layer applied to (N, F_in); with `activation` a leaky ReLU and sqrt(2) at the end."""
        out = F.linear(x, self.weight * self.gain, self.bias * self.scale)
        return F.leaky_relu_(out, SLOPE) if self.activation else out


class Blur(nn.Module):
    """The binomial filter [1, 3, 3, 1] x [1, 3, 3, 1], of sum `gain`, as a depthwise convolution of (N, C, H, W).

    With a stride of 2 only the kept places are computed. [1, 3, 3, 1] is [1, 2, 1] followed by a mean of two, so that
    can also be done by a filter without stride and a pooling: in bfloat16 on a CPU, where oneDNN has no fast gradient
    of a depthwise convolution with stride, that takes a fifth of the time.
    """

    kernel: Tensor  # (C, 1, 4, 4)
    small: Tensor  # (C, 1, 3, 3): [1, 2, 1] x [1, 2, 1]

    def __init__(self, channels: int, padding: int, stride: int = 1, gain: float = 1.0) -> None:
        super().__init__()
        for name, taps in (("kernel", BINOMIAL), ("small", (1.0, 2.0, 1.0))):
            square = binomial(taps, gain)
            self.register_buffer(name, square.expand(channels, 1, -1, -1).contiguous(), persistent=False)
        self.channels, self.padding, self.stride = channels, padding, stride

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, (H + 2 padding - 4) // stride + 1, ...)."""
        if self.stride == 2 and x.dtype == torch.bfloat16 and x.device.type == "cpu" and torch.is_grad_enabled():
            even = F.conv2d(x, self.small.to(x.dtype), padding=self.padding, groups=self.channels)
            return F.avg_pool2d(even, 2)
        kernel = self.kernel.to(x.dtype)
        return F.conv2d(x, kernel, stride=self.stride, padding=self.padding, groups=self.channels)

    def reach(self, out: Interval) -> Interval:
        """Input positions that the output positions `out` depend on, along one axis."""
        lo, hi = out
        return lo * self.stride - self.padding, hi * self.stride - self.padding + len(BINOMIAL) - 1


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with activations, plus a skip path, divided by sqrt(2).

    (N, C_in, H, W) -> (N, C_out, H, W), or with `down`, for even H and W, -> (N, C_out, H/2, W/2): blur then stride 2,
    on both paths. The skip path is the identity if the shape stays, else a 1x1 convolution without activation.

    Without `down` a block can leave its padding out: the result is then `TRIM` places smaller on every side, and
    nothing is computed that a tile would throw away.
    """

    TRIM = 2  # places on every side, one for each 3x3 convolution

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
        """The block applied to (N, C_in, H, W); only a block without `down` can do without padding."""
        y = self.conv1(x, padded)
        y = self.conv2(y if self.blur is None else self.blur(y), padded)
        skip = x if self.skip_blur is None else self.skip_blur(x)
        skip = skip if padded else without_border(skip, self.TRIM)
        if self.skip is None:
            return torch.add(y, skip, alpha=math.sqrt(0.5), out=None if torch.is_grad_enabled() else y)
        out: Tensor = y + self.skip(skip)
        return out

    def reach(self, out: Interval) -> Interval:
        """Input positions that the output positions `out` depend on, along one axis and by either path."""
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
        self.weight = nn.Parameter(drawn(c_in, c_out, 3, 3))
        self.blur = Blur(c_out, padding=1, gain=4.0)  # a quarter of the pixels of a stride-2 grid are filled
        self.noise_gain = nn.Parameter(torch.zeros(1))
        self.bias = nn.Parameter(torch.zeros(c_out))

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        """The block applied to (N, C_in, H, W) and standard normal noise (N, 1, 2H, 2W)."""
        norm = torch.rsqrt(self.weight.square().sum((0, 2, 3), keepdim=True) + 1e-8)
        weight = self.weight * (norm * math.sqrt(2))  # the activation's sqrt(2) is in weights, noise and bias
        y = self.blur(F.conv_transpose2d(x, weight, stride=2))  # (N, C_out, 2H+1, 2W+1) -> (N, C_out, 2H, 2W)
        for shift in (self.noise_gain * noise, self.bias[:, None, None]):  # in place: feature maps are large here
            y = y.add_((math.sqrt(2) * shift).to(y.dtype))
        return F.leaky_relu_(y, SLOPE)

    def reach(self, out: Interval) -> Interval:
        """Input positions that the output positions `out` depend on, along one axis."""
        lo, hi = self.blur.reach(out)
        return -((2 - lo) // 2), hi // 2  # output o takes input i where o = 2i + t, t in 0..2
