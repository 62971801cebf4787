"""The balance, a filter after G (ours): gains that give light and colour of the output the target's strength, by band.

In few steps G learns to carve rock and water deeper than any photo shows them, and to leave large forms too faint. So
pictures are divided into a fine, a middle and a coarse band (a Laplacian pyramid that keeps its size; Burt and Adelson
1983, "The Laplacian pyramid as a compact image code"), and in each band the mean magnitudes of luma and of chroma (RGB
less luma) are compared. Those of the fine and the middle band are measured at each level of lightness, because dark
parts of a photo have less detail than bright ones, and apart from these along outlines, which a brush leaves soft. The
balance is the gains, target over output, that this gives.

Pictures are (N, 3, H, W), about [-1, 1].
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import ClassVar, Self

import torch
import torch.nn.functional as F
from kornia.color import rgb_to_grayscale
from kornia.geometry.transform import resize
from torch import Tensor

from sincut.nets.filters import register
from sincut.nets.local import blurred, in_bands, precisely
from sincut.nets.pooled import Pool

SIGMAS = (3.0, 12.0)  # px of two blurs b1, b2 of x: fine is x - b1, middle b1 - b2, coarse b2
REACH = round(3 * SIGMAS[1]) + 2  # px: the second blur, one more for `_slope`, rounded up to G's stride
LEVELS = 6  # levels of lightness
OUTLINE = (0.12, 0.24)  # rise of coarse luma over one sigma of it at which the weight of outlines is 0 and 1
DARK, BRIGHT = 0.05, 0.95  # quantiles of the target's coarse luma that are the lowest and the highest level
RARE = 0.005  # a level that is a smaller share of either picture gets the gain of all levels together
LEAST, MOST = 0.5, 1.25  # limits of gains; the fine band is never amplified (limit 1), because that amplifies grain
MOST_AT_OUTLINES = 1.5  # limit of gains at outlines, fine and middle
PASSES = 3  # of measuring and correcting the gains: a gain of one band or level changes its neighbours too


@register
@dataclass(frozen=True, eq=False)
class Balance:
    """Gains of the bands of a picture, for luma and for chroma (the first axis of `coarse` and `gains`).

    Gains are in `LEAST`..`MOST_AT_OUTLINES`; `offset` and `levels` are in the picture's units. Raises ValueError for
    tensors of other shapes.
    """

    kind: ClassVar[str] = "balance"
    reach: ClassVar[int] = REACH
    coarse: Tensor  # (2,): gains of the coarse band
    offset: Tensor  # (3,): RGB, added to the coarse band after its gains
    levels: Tensor  # (2,): the lowest and the highest level, in luma of the coarse band after gains and offset
    gains: Tensor  # (2, 2, LEVELS + 1): of the fine and the middle band, by level, last outlines (early models: none)

    def __post_init__(self) -> None:
        shapes = [tuple(t.shape) for t in (self.coarse, self.offset, self.levels, self.gains)]
        if shapes not in ([(2,), (3,), (2,), (2, 2, levels)] for levels in (LEVELS, LEVELS + 1)):
            raise ValueError("the balance has a wrong shape")

    def tensors(self) -> dict[str, Tensor]:
        """The four tensors as `balance.coarse` and so on."""
        return {f"balance.{name}": value for name, value in vars(self).items()}

    @classmethod
    def of_tensors(cls, tensors: Mapping[str, Tensor]) -> Self:
        """The balance of the tensors `balance.*`. Raises KeyError for missing ones, ValueError for other shapes."""
        return cls(*(tensors[f"balance.{each.name}"] for each in fields(cls)))

    def __call__(self, image: Tensor) -> Tensor:
        """(N, 3, H, W) -> the same with balanced bands, in float32 at least and not clipped."""
        return precisely(self._balanced, image, REACH)

    def _balanced(self, image: Tensor) -> Tensor:
        *fine_and_middle, coarse = _bands(image)
        gains = self.gains.to(image)
        out = _scaled(coarse, *self.coarse.to(image)) + self.offset.to(image)[:, None, None]
        labels = _labels(rgb_to_grayscale(out), self.levels.to(image), outlines=gains.shape[2] > LEVELS)
        for index, band in enumerate(fine_and_middle):
            luma, chroma = (
                sum(weight * gains[kind, index, place] for place, weight in enumerate(labels)) for kind in range(2)
            )
            out = out + _scaled(band, luma, chroma)
        return out


def balance(output: Tensor | Pool, target: Tensor | Pool) -> Balance:
    """The balance that takes the output's strengths and mean colour to the target's, with gains within the limits.

    Pictures are (1, 3, H, W) in [-1, 1], of any sizes, or sets of such.
    """
    output = Pool.of(output).map(Tensor.float)
    target = Pool.of(target).map(lambda picture: no_wider(picture.float(), output))
    output_mean, target_mean = (side.mean(lambda x: x.mean((2, 3), keepdim=True)) for side in (output, target))
    output_coarse, target_coarse = (side.map(lambda x: in_bands(_coarse, x, REACH)) for side in (output, target))
    own, wanted = _magnitudes(output_coarse, output_mean), _magnitudes(target_coarse, target_mean)
    coarse = (wanted / own.clamp(min=1e-6)).clamp(LEAST, MOST)
    offset = (target_mean - _scaled(output_mean, *coarse)).flatten()
    levels = target_coarse.map(rgb_to_grayscale).quantiles((DARK, BRIGHT))
    levels[1] = torch.maximum(levels[1], levels[0] + 1e-3)
    gains = _gains(coarse, offset, levels, output, target)
    return Balance(coarse.cpu(), offset.cpu(), levels.cpu(), gains.cpu())


def _magnitudes(coarse: Pool, mean: Tensor) -> Tensor:
    """Mean magnitudes (2,) of luma and chroma of the coarse band without its mean (1, 3, 1, 1)."""
    return coarse.mean(lambda x: torch.stack([part.abs().mean() for part in _split(x - mean)]))


def _gains(coarse: Tensor, offset: Tensor, levels: Tensor, output: Pool, target: Pool) -> Tensor:
    """Gains (2, 2, LEVELS + 1) of the fine and the middle band, corrected `PASSES` times by what they give."""
    wanted, target_shares = strengths(target, levels)
    most = torch.tensor([[1.0], [MOST]], device=wanted.device).repeat(1, LEVELS + 1)  # fine, middle
    most[:, -1] = MOST_AT_OUTLINES
    gains = torch.ones_like(wanted)
    for _ in range(PASSES):
        own, output_shares = strengths(output.map(Balance(coarse, offset, levels, gains)), levels)
        in_both = (output_shares > RARE) & (target_shares > RARE)
        own_overall = (own * output_shares).sum(2, keepdim=True)
        wanted_overall = (wanted * target_shares).sum(2, keepdim=True)
        missing = torch.where(in_both, wanted / own.clamp(min=1e-6), wanted_overall / own_overall.clamp(min=1e-6))
        gains = torch.minimum((gains * missing).clamp(min=LEAST), most)
    return gains


def strengths(picture: Tensor | Pool, levels: Tensor) -> tuple[Tensor, Tensor]:
    """Strengths (2, 2, LEVELS + 1) of (1, 3, H, W) or a set, and the share of it (LEVELS + 1,) that each label has.

    A strength is the mean magnitude of luma or chroma (first axis) in the fine or middle band (second axis) at a level
    of lightness or at outlines (third axis), as in `Balance.gains`. `levels` (2,) are the lowest and the highest level.
    """

    def row_means(x: Tensor) -> Tensor:
        *fine_and_middle, coarse = _bands(x)
        labels = _labels(rgb_to_grayscale(coarse), levels)
        magnitudes = [part.abs().mean(1, keepdim=True) for band in fine_and_middle for part in _split(band)]
        maps = [*labels, *(label * magnitude for magnitude in magnitudes for label in labels)]
        return torch.cat([each.mean(3, keepdim=True) for each in maps], dim=1)  # (1, 5 (LEVELS + 1), H, 1)

    means = Pool.of(picture).mean(lambda x: in_bands(row_means, x, REACH).mean((0, 2, 3)))
    shares, sums = means[: LEVELS + 1], means[LEVELS + 1 :]
    by_band = sums.view(2, 2, LEVELS + 1)  # fine and middle, luma and chroma
    return by_band.transpose(0, 1) / shares.clamp(min=1e-6), shares


def no_wider(target: Tensor, source: Tensor | Pool) -> Tensor:
    """The target (1, 3, H, W), reduced to the source's (mean) width if it is wider, aspect kept.

    A photo of many pixels is soft pixel by pixel; at a like width fine detail can be compared.
    """
    scale = Pool.of(source).width() / target.shape[3]
    if scale >= 1:
        return target
    h, w = (max(1, round(side * scale)) for side in target.shape[2:])
    return resize(target, (h, w), interpolation="bilinear", antialias=True)


def _bands(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The fine, middle and coarse band of (N, C, H, W), each of its shape; their sum is x."""
    fine, coarse = (blurred(x, sigma) for sigma in SIGMAS)
    return x - fine, fine - coarse, coarse


def _coarse(x: Tensor) -> Tensor:
    return _bands(x)[2]


def _split(x: Tensor) -> tuple[Tensor, Tensor]:
    """Luma (N, 1, H, W) and chroma (N, 3, H, W), RGB less luma, of (N, 3, H, W)."""
    luma = rgb_to_grayscale(x)
    return luma, x - luma


def _scaled(x: Tensor, luma: Tensor | float, chroma: Tensor | float) -> Tensor:
    """(N, 3, H, W) with its luma and its chroma multiplied by these factors."""
    return chroma * x + (luma - chroma) * rgb_to_grayscale(x)


def _labels(luma: Tensor, levels: Tensor, outlines: bool = True) -> list[Tensor]:
    """Soft labels of each pixel of coarse luma (N, 1, H, W): a map for each of LEVELS lightness levels, then outlines.

    Weights are >= 0 and sum to 1: lightness is interpolated linearly between levels, and the weight w of an outline
    scales those of the levels by 1 - w.
    """
    place = ((luma - levels[0]) / (levels[1] - levels[0])).clamp(0, 1) * (LEVELS - 1)
    labels = [(1 - (place - level).abs()).clamp(min=0) for level in range(LEVELS)]
    if not outlines:
        return labels
    begins, whole = OUTLINE
    outline = ((_slope(luma) * SIGMAS[1] - begins) / (whole - begins)).clamp(0, 1)
    return [*(label * (1 - outline) for label in labels), outline]


def _slope(x: Tensor) -> Tensor:
    """Magnitude of the gradient of (N, 1, H, W) per px, by central differences."""
    x = F.pad(x, (1, 1, 1, 1), mode="replicate")
    across, down = x[:, :, 1:-1, 2:] - x[:, :, 1:-1, :-2], x[:, :, 2:, 1:-1] - x[:, :, :-2, 1:-1]
    return 0.5 * (across.square() + down.square()).sqrt()
