"""The balance, a filter after G: its output's light and colour, fine, middle and coarse, get the photo's strength.

In few steps a discriminator carves rock and water deeper than any photo shows them, and leaves large forms too faint.
How strong a band of a picture is (bands as of a Laplacian pyramid that keeps its size; Burt and Adelson 1983, "The
Laplacian pyramid as a compact image code") is measured at each level of lightness, since what is dark in a photo has
less of it than what is bright, and apart from them along outlines, which a brush leaves soft. The gains that take the
output there are all that is kept.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

import torch
import torch.nn.functional as F
from kornia.color import rgb_to_grayscale
from kornia.geometry.transform import resize
from torch import Tensor

from sincut.nets.filters import register
from sincut.nets.local import blurred, in_bands, precisely, sampled_quantiles

SIGMAS = (3.0, 12.0)  # px: what the first blur takes is fine, what the second takes besides is middle, the rest coarse
REACH = round(3 * SIGMAS[1]) + 2  # px; one more for a slope, and even as G's stride
LEVELS = 6  # of lightness
OUTLINE = (0.12, 0.24)  # rise of the coarse luma over its sigma at which an outline begins, and is nothing else
DARK, BRIGHT = 0.05, 0.95  # the lowest and highest level, as quantiles of the photo's coarse luma
RARE = 0.005  # a level with less of a picture than this says nothing
LEAST, MOST = 0.5, 1.25  # of a gain; what is fine is never made stronger, for that is grain too
MOST_AT_OUTLINES = 1.5  # there, fine and middle
PASSES = 3  # gains are measured again on what they give, since a part leaks into its neighbours


@register
@dataclass(frozen=True, eq=False)
class Balance:
    """Gains for a picture's luma and for its chroma, the colours less luma (the first axis of both tensors of gains).

    Gains are factors of 0.5 to 1.5, offset and levels are lightness and colour in [-1, 1].
    """

    kind: ClassVar[str] = "balance"
    reach: ClassVar[int] = REACH
    coarse: Tensor  # (2,)
    offset: Tensor  # (3,), of what is coarse, after its gains
    levels: Tensor  # (2,): the lowest and the highest level, of the luma of what is coarse, gains and offset applied
    gains: Tensor  # (2, 2, LEVELS + 1): of what is fine and middle, by level, last at outlines (not in early models)

    def __post_init__(self) -> None:
        shapes = [tuple(t.shape) for t in (self.coarse, self.offset, self.levels, self.gains)]
        if shapes not in ([(2,), (3,), (2,), (2, 2, levels)] for levels in (LEVELS, LEVELS + 1)):
            raise ValueError("the balance has a wrong shape")

    def tensors(self) -> dict[str, Tensor]:
        return {f"balance.{name}": value for name, value in vars(self).items()}

    @classmethod
    def of_tensors(cls, tensors: Mapping[str, Tensor]) -> Self:
        prefix = "balance."
        return cls(**{name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)})

    def __call__(self, image: Tensor) -> Tensor:
        """(N, 3, H, W) -> the same in float32 at least; the receptive radius is `REACH` px."""
        return precisely(self._balanced, image, REACH)

    def _balanced(self, image: Tensor) -> Tensor:
        *parts, coarse = _parts(image)
        gains = self.gains.to(image)
        coarse = _scaled(coarse, *self.coarse.to(image)) + self.offset.to(image)[:, None, None]
        shares = _shares(rgb_to_grayscale(coarse), self.levels.to(image), outlines=gains.shape[2] > LEVELS)
        for band, part in enumerate(parts):
            luma, chroma = (
                sum(share * gains[kind, band, place] for place, share in enumerate(shares)) for kind in range(2)
            )
            coarse = coarse + _scaled(part, luma, chroma)
        return coarse


def balance(output: Tensor, photo: Tensor) -> Balance:
    """The balance that gives the output the photo's strengths, within `LEAST` and `MOST`, and its mean colour.

    Pictures are (1, 3, H, W) in [-1, 1].
    """
    output, photo = output.float(), no_wider(photo.float(), output)
    means = [picture.mean((2, 3), keepdim=True) for picture in (output, photo)]
    large = [in_bands(lambda x: _parts(x)[2], picture, REACH) for picture in (output, photo)]
    own, wanted = (
        torch.stack([part.abs().mean() for part in _split(picture - mean)])
        for picture, mean in zip(large, means, strict=True)
    )
    coarse = (wanted / own.clamp(min=1e-6)).clamp(LEAST, MOST)
    offset = (means[1] - _scaled(means[0], *coarse)).flatten()
    levels = sampled_quantiles(rgb_to_grayscale(large[1]), (DARK, BRIGHT))
    levels[1] = torch.maximum(levels[1], levels[0] + 1e-3)
    wanted, here = strengths(photo, levels)
    most = torch.tensor([[1.0], [MOST]], device=wanted.device).repeat(1, LEVELS + 1)  # fine, middle
    most[:, -1] = MOST_AT_OUTLINES
    gains = torch.ones_like(wanted)
    for _ in range(PASSES):
        own, there = strengths(Balance(coarse, offset, levels, gains)(output), levels)
        known = (there > RARE) & (here > RARE)
        overall = [(s * mass).sum(2, keepdim=True) for s, mass in ((own, there), (wanted, here))]
        short = torch.where(known, wanted / own.clamp(min=1e-6), overall[1] / overall[0].clamp(min=1e-6))
        gains = torch.minimum((gains * short).clamp(min=LEAST), most)
    return Balance(coarse.cpu(), offset.cpu(), levels.cpu(), gains.cpu())


def strengths(picture: Tensor, levels: Tensor) -> tuple[Tensor, Tensor]:
    """Mean magnitudes (2, 2, LEVELS + 1) of fine and middle luma and chroma of (1, 3, H, W), as `Balance.gains`; and
    the shares (LEVELS + 1,) of the picture that have each label."""

    def by_row(x: Tensor) -> Tensor:
        *parts, large = _parts(x)
        shares = _shares(rgb_to_grayscale(large), levels)
        magnitudes = [strong.abs().mean(1, keepdim=True) for part in parts for strong in _split(part)]
        maps = [*shares, *(share * strong for strong in magnitudes for share in shares)]
        return torch.cat([each.mean(3, keepdim=True) for each in maps], dim=1)  # (1, n, H, 1)

    means = in_bands(by_row, picture, REACH).mean((0, 2, 3))
    there, rest = means[: LEVELS + 1], means[LEVELS + 1 :]
    by_band = rest.view(2, 2, LEVELS + 1)  # fine and middle, luma and chroma
    return by_band.transpose(0, 1) / there.clamp(min=1e-6), there


def no_wider(photo: Tensor, painting: Tensor) -> Tensor:
    """The photo at the painting's width where it is wider, since a large photo is soft pixel by pixel; else itself."""
    scale = painting.shape[3] / photo.shape[3]
    if scale >= 1:
        return photo
    h, w = (max(1, round(side * scale)) for side in photo.shape[2:])
    return resize(photo, (h, w), interpolation="bilinear", antialias=True)


def _parts(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The fine, middle and coarse band of (N, C, H, W); they add up to it."""
    fine, coarse = (blurred(x, sigma) for sigma in SIGMAS)
    return x - fine, fine - coarse, coarse


def _split(x: Tensor) -> tuple[Tensor, Tensor]:
    """Luma (N, 1, H, W), and the colours less luma."""
    luma = rgb_to_grayscale(x)
    return luma, x - luma


def _scaled(x: Tensor, luma: Tensor | float, chroma: Tensor | float) -> Tensor:
    return chroma * x + (luma - chroma) * rgb_to_grayscale(x)


def _shares(luma: Tensor, levels: Tensor, outlines: bool = True) -> list[Tensor]:
    """Soft labels of each pixel of coarse luma (N, 1, H, W): a map for each of LEVELS lightness levels, then outlines.

    Weights are >= 0 and sum to 1: lightness is interpolated linearly between levels, and the weight w of an outline
    scales those of the levels by 1 - w.
    """
    place = ((luma - levels[0]) / (levels[1] - levels[0])).clamp(0, 1) * (LEVELS - 1)
    shares = [(1 - (place - level).abs()).clamp(min=0) for level in range(LEVELS)]
    if not outlines:
        return shares
    begins, whole = OUTLINE
    outline = ((_slope(luma) * SIGMAS[1] - begins) / (whole - begins)).clamp(0, 1)
    return [*(share * (1 - outline) for share in shares), outline]


def _slope(x: Tensor) -> Tensor:
    """Magnitude of the gradient of (N, 1, H, W) per px, by central differences."""
    x = F.pad(x, (1, 1, 1, 1), mode="replicate")
    across, down = x[:, :, 1:-1, 2:] - x[:, :, 1:-1, :-2], x[:, :, 2:, 1:-1] - x[:, :, :-2, 1:-1]
    return 0.5 * (across.square() + down.square()).sqrt()
