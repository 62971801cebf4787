"""Figures for a translation, computed from the pictures alone; nothing is downloaded.

How far the look is from the photo's: sliced Wasserstein distances (Rabin et al. 2011, "Wasserstein barycenter and its
application to texture mixing") of colours, and of small patches at several scales (as in Karras et al. 2018,
https://arxiv.org/abs/1710.10196, section 5), both as a fraction of the untouched painting's distance: 1 is still the
painting, 0 the photo itself. How much of the painting is kept: the correlation of edges (`structure`) and of coarse
light and dark (`tone`, below 0 for a negative). Where the truth is known, PSNR and SSIM (Wang et al. 2004) against it,
for the output and for the untouched painting. Where torchvision's Inception weights lie on the machine already, the
single-image Frechet distance too (Rott Shaham et al. 2019, "SinGAN", https://arxiv.org/abs/1905.01164, section 3).
"""

import functools
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from kornia.color import rgb_to_grayscale
from kornia.filters import gaussian_blur2d, spatial_gradient
from kornia.geometry.transform import pyrdown, resize
from kornia.metrics import psnr, ssim
from torch import Tensor

from sincut.errors import ImageError
from sincut.nets.local import symmetric_power
from sincut.nets.weights import hub_file, read_weights
from sincut.pictures.picture import Picture, to_pixels, to_tensor
from sincut.pictures.visible import Mask, cut_to, mirrored_into, visible_part, visible_places

T = TypeVar("T")
SCALES = 3  # each half the size of the one before
PATCH = 7  # px
DIRECTIONS = 128  # of the sliced Wasserstein distance
SMALLEST = PATCH * 2**SCALES  # px
SSIM_WINDOW = 11  # px, as in Wang et al.
PSNR_OF_EQUALS = 99.0  # dB; the formula gives infinity, which JSON does not have
INCEPTION_FILE = "inception_v3_google-0cc3c7bd.pth"  # as torchvision names it
SAMPLES = 16_384  # pixels or patches compared

WORST_LOOK, LEAST_STRUCTURE, LEAST_TONE = 1.0, 0.25, 0.0  # beyond these a translation has gone wrong
SETTLED = 0.5  # share of a training's steps that are done before figures can be a cause for alarm


@dataclass(frozen=True)
class Figure:
    """The meaning of a figure, in words, and which values are better."""

    meaning: str
    better: int  # 1: higher ones, -1: lower ones, 0: those nearer to 1

    def merit(self, value: float) -> float:
        """A number that is higher for better values."""
        return self.better * value if self.better else -abs(value - 1)


FIGURES = {  # in the order in which they are shown
    "colour": Figure("Distance to the photo’s colours; 1: as the untouched painting, 0: none", -1),
    "texture": Figure("Distance to the photo’s texture; 1: as the untouched painting, 0: none", -1),
    "structure": Figure("Shapes kept; 1: all of them", 1),
    "tone": Figure("Light and dark kept; 1: all of it, below 0: a negative", 1),
    "sharpness": Figure("Edges at pixel scale; 1: as strong as the photo’s", 0),
    "sifid": Figure("Single-image Fréchet distance to the photo; 0: alike", -1),
    "psnr_output": Figure("PSNR to the truth in dB; higher is nearer", 1),
    "ssim_output": Figure("SSIM to the truth; 1: equal", 1),
    "psnr_painting": Figure("PSNR of the untouched painting to the truth, dB", 1),
    "ssim_painting": Figure("SSIM of the untouched painting to the truth", 1),
}


def meaning(name: str, source: str = "picture", target: str = "look") -> str:
    """The meaning of a figure, "" if there is none of that name.

    `source` and `target` are the words for what is translated and for that whose look is learned.
    """
    return _in_words(FIGURES[name].meaning if name in FIGURES else "", source, target)


def _in_words(text: str, source: str, target: str) -> str:
    """A text on a painting that becomes a photo, with these words for the two."""
    words = {"painting": source, "photo": target}
    return re.sub("|".join(words), lambda word: words[word[0]], text)


def best(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The best value of each of `FIGURES` in which rows differ, of those that have it."""
    chosen = {}
    for name in FIGURES:
        values = [row[name] for row in rows if name in row]
        if len(set(values)) > 1:
            chosen[name] = max(values, key=FIGURES[name].merit)
    return chosen


def measure(
    painting: Picture, photo: Picture | Sequence[Picture], output: Picture, truth: Picture | None = None
) -> dict[str, float]:
    """The figures by name, as `FIGURES` explains them, rounded to 4 places.

    Where several photos are given, the look is what they have together: samples of all of them, as many of each.
    `psnr` and `ssim` only with a `truth`, `sifid` only if its weights are on the machine. Raises `ImageError` if
    `truth` has another size than the output, or of a picture less than `SMALLEST` can be seen.
    """
    photos = _each(photo)
    painting, photos, output, truth = _as_seen(painting, photos, output, truth)
    x, out, *looks = (_unit(picture) for picture in (painting, output, *photos))
    for name, picture in (("painting", x), *(("photo", y) for y in looks), ("output", out)):
        if min(picture.shape[2:]) < SMALLEST:
            raise ImageError(f"the {name} is smaller than {SMALLEST} px; figures need larger pictures")
    x = x if x.shape == out.shape else resize(x, (out.shape[2], out.shape[3]), antialias=True)
    colours = _pooled([*map(_colours, looks)])
    figures = {
        "colour": _ratio(_distance(_colours(out), colours), _distance(_colours(x), colours)),
        "texture": _ratio(_texture(out, looks), _texture(x, looks)),
        "structure": _edge_correlation(x, out),
        "tone": _tone_correlation(x, out),
        "sharpness": _ratio(_sharpness(out), sum(map(_sharpness, looks)) / len(looks)),
    }
    if inception_weights().is_file():
        figures["sifid"] = single_image_fid(photos, output)
    if truth is not None:
        true = _unit(truth)
        for name, picture in (("output", out), ("painting", x)):
            figures[f"psnr_{name}"] = min(float(psnr(picture, true, 1.0)), PSNR_OF_EQUALS)
            figures[f"ssim_{name}"] = float(ssim(picture, true, SSIM_WINDOW).mean())
    return {name: round(value, 4) for name, value in figures.items()}


def measured(
    painting: Picture, photo: Picture | Sequence[Picture], output: Picture, truth: Picture | None = None
) -> dict[str, float]:
    """`measure`, and no figures if one of the pictures is too small for them. Raises `ImageError` for the `truth`."""
    photos = _each(photo)
    if min(side for picture in (painting, *photos, output) for side in picture.size) < SMALLEST:
        return {}
    painting, photos, output, truth = _as_seen(painting, photos, output, truth)
    smallest = min(side for picture in (*photos, output) for side in picture.size)  # of what can be seen
    return measure(painting, photos, output, truth) if smallest >= SMALLEST else {}


def _as_seen(
    painting: Picture, photos: tuple[Picture, ...], output: Picture, truth: Picture | None
) -> tuple[Picture, tuple[Picture, ...], Picture, Picture | None]:
    """The pictures as trainings read them, without what is hidden; they are the same where nothing is transparent.

    Painting, output and truth are compared place by place: what is hidden in one counts in none of them. Raises
    `ImageError` for a truth of another size than the output, and where nothing can be seen.
    """
    if truth is not None:
        check_truth(truth, output)
    if all(picture is None or picture.alpha is None for picture in (painting, *photos, output, truth)):
        return painting, photos, output, truth
    seen: Mask = np.ones(output.size, bool)
    like = _of_size(painting, output.size)
    for name, picture in (("painting", like), ("output", output), ("truth", truth)):
        if picture is not None and (places := _named(name, visible_places, picture)) is not None:
            seen &= places
    if not seen.any():
        raise ImageError("nothing can be seen in painting and output at the same place: there is nothing to measure")
    like, output = (replace(cut_to(picture, seen), alpha=None) for picture in (like, output))
    truth = truth and replace(cut_to(truth, seen), alpha=None)
    looks = tuple(replace(_named("photo", visible_part, photo), alpha=None) for photo in photos)
    return like, looks, output, truth


def _named(name: str, function: Callable[[Picture], T], picture: Picture) -> T:
    """The function of a picture, whose errors begin with its name."""
    try:
        return function(picture)
    except ImageError as error:
        raise ImageError(f"the {name} {error}") from None


def _of_size(picture: Picture, size: tuple[int, int]) -> Picture:
    """The picture at another size (H, W), nothing hidden mixed into its pixels."""
    if picture.size == size:
        return picture
    seen = _named("painting", visible_places, picture)
    pixels = picture.pixels if seen is None else mirrored_into(picture.pixels, seen)
    pixels = to_pixels(resize(to_tensor(pixels), size, antialias=True), pixels.dtype)
    alpha = picture.alpha
    if alpha is not None:
        rows, columns = (np.arange(new) * old // new for new, old in zip(size, picture.size, strict=True))
        alpha = alpha[rows][:, columns]
    return replace(picture, pixels=pixels, alpha=alpha)


def _each(photo: Picture | Sequence[Picture]) -> tuple[Picture, ...]:
    """The photos, of one or several."""
    return (photo,) if isinstance(photo, Picture) else tuple(photo)


def check_truth(truth: Picture, output: Picture) -> None:
    """Raise `ImageError` unless the two can be compared pixel by pixel."""
    if truth.size != output.size:
        (h, w), (oh, ow) = truth.size, output.size
        raise ImageError(f"the truth has {w}x{h} pixels, the output {ow}x{oh}; give pictures of one size")


def single_image_fid(photo: Picture | Sequence[Picture], output: Picture) -> float:
    """SIFID: the Frechet distance between the two pictures' features, each place of a picture being a sample.

    Of several photos the places of all are samples.

    Features are the 192 channels before the second pooling of torchvision's Inception v3, as in the paper, at the
    pictures' own sizes; the distance is |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)) of their means and covariances.
    Raises `ImageError`, which says what fetches the weights, if they are not there; nothing is downloaded.
    """
    photos = _each(photo)
    (mean_a, cov_a), (mean_b, cov_b) = (_inception_statistics(pictures) for pictures in (photos, (output,)))
    root = symmetric_power(cov_a, 0.5)
    overlap = symmetric_power(root @ cov_b @ root, 0.5)
    return float((mean_a - mean_b).square().sum() + torch.trace(cov_a + cov_b - 2 * overlap))


def inception_weights() -> Path:
    """The file in which torchvision keeps its Inception weights on this machine; it need not be there."""
    return hub_file(INCEPTION_FILE)


def missing_inception() -> str:
    """A line for people that says which file SIFID needs, and what fetches it."""
    fetch = "torchvision.models.Inception_V3_Weights.IMAGENET1K_V1.get_state_dict()"
    return f"needs torchvision's Inception weights in {inception_weights()}; this fetches them in Python: {fetch}"


def complaints(figures: Mapping[str, float], source: str = "painting", target: str = "photo") -> list[str]:
    """One line for each of these figures that tells of a failed translation, its name first; none for a usable one.

    `source` and `target` as for `meaning`.
    """
    lines = []
    for key in ("colour", "texture"):
        if figures.get(key, 0.0) > WORST_LOOK:
            lines.append(f"{key} {figures[key]:.2f}: further from the photo's than the untouched painting's")
    if figures.get("structure", 1.0) < LEAST_STRUCTURE:
        lines.append(f"structure {figures['structure']:.2f}: the painting's shapes are getting lost")
    if figures.get("tone", 1.0) < LEAST_TONE:
        lines.append(f"tone {figures['tone']:.2f}: light and dark no longer follow the painting's")
    return [_in_words(line, source, target) for line in lines]


def _inception_statistics(pictures: Sequence[Picture]) -> tuple[Tensor, Tensor]:
    """Mean (192,) and covariance (192, 192) over the places of pictures."""
    network = _inception()
    with torch.no_grad():
        each = [network(to_tensor(picture.pixels))[0].flatten(1).double() for picture in pictures]
    features = torch.cat(each, 1)
    return features.mean(1), torch.cov(features)


@functools.cache
def _inception() -> torch.nn.Module:
    """Inception v3 up to its second pooling: (1, 3, H, W) in [-1, 1] -> (1, 192, H', W'), about a quarter as large."""
    if not inception_weights().is_file():
        raise ImageError(missing_inception())
    from torchvision.models.inception import BasicConv2d  # seconds to import

    weights = read_weights(inception_weights())
    stem = torch.nn.Sequential()
    for name, c_in, c_out, options in (
        ("Conv2d_1a_3x3", 3, 32, {"kernel_size": 3, "stride": 2}),
        ("Conv2d_2a_3x3", 32, 32, {"kernel_size": 3}),
        ("Conv2d_2b_3x3", 32, 64, {"kernel_size": 3, "padding": 1}),
        ("Conv2d_3b_1x1", 64, 80, {"kernel_size": 1}),
        ("Conv2d_4a_3x3", 80, 192, {"kernel_size": 3}),
    ):
        layer = BasicConv2d(c_in, c_out, **options)
        layer.load_state_dict({k.removeprefix(f"{name}."): v for k, v in weights.items() if k.startswith(f"{name}.")})
        stem.append(layer)
    stem.insert(3, torch.nn.MaxPool2d(3, 2))  # the first pooling
    return stem.eval()


def _ratio(part: float, whole: float) -> float:
    """`part / whole`; for a `whole` of 0 it is 0 if the part is 0 too, else 1."""
    return part / whole if whole > 0 else float(part > 0)


def _unit(picture: Picture) -> Tensor:
    """(1, 3, H, W) in [0, 1]."""
    return (to_tensor(picture.pixels) + 1) / 2


def _colours(image: Tensor) -> Tensor:
    """(1, 3, H, W) -> (pixels, 3)."""
    return image[0].flatten(1).T


def _texture(image: Tensor, looks: Sequence[Tensor]) -> float:
    """Sliced Wasserstein distance of an image's band-pass patches to those of others, mean over `SCALES`.

    Images are (1, 3, H, W); the patches of all others are pooled.
    """
    total, images = 0.0, [image, *looks]
    for _ in range(SCALES):
        own, *others = (_patches(x - gaussian_blur2d(x, (7, 7), (1.5, 1.5))) for x in images)
        total += _distance(own, _pooled(others))
        images = [pyrdown(x) for x in images]
    return total / SCALES


def _pooled(points: Sequence[Tensor]) -> Tensor:
    """All points (P, F) of one picture; of several pictures as many points of each, evenly spread."""
    if len(points) == 1:
        return points[0]
    count = min(map(len, points))
    return torch.cat([each[torch.arange(count) * len(each) // count] for each in points])


def _patches(image: Tensor) -> Tensor:
    """(1, 3, H, W) -> (P, 3 * PATCH^2): at most `SAMPLES` patches, their places drawn with a fixed seed."""
    h, w = (side - PATCH + 1 for side in image.shape[2:])
    chosen = torch.randperm(h * w, generator=torch.Generator().manual_seed(0))[:SAMPLES]
    rows, columns = chosen // w, chosen % w
    inner = torch.arange(PATCH)
    return (
        image[0][:, (rows[:, None] + inner)[:, :, None], (columns[:, None] + inner)[:, None, :]]
        .transpose(0, 1)
        .flatten(1)
    )


def _distance(a: Tensor, b: Tensor) -> float:
    """Sliced Wasserstein-2 distance of two sets of points (P, F), mean over `DIRECTIONS` with a fixed seed."""
    generator = torch.Generator().manual_seed(0)
    directions = F.normalize(torch.randn(a.shape[1], DIRECTIONS, generator=generator), dim=0)
    count = min(SAMPLES, len(a), len(b))
    picked = [points[torch.randperm(len(points), generator=generator)[:count]] for points in (a, b)]
    first, second = ((points @ directions).sort(dim=0).values for points in picked)
    return float((first - second).square().mean().sqrt())


def _edge_correlation(a: Tensor, b: Tensor) -> float:
    """Correlation, in [-1, 1], of the edge strengths of two images (1, 3, H, W), brush strokes blurred away."""
    return _correlation(*(_edges(gaussian_blur2d(rgb_to_grayscale(image), (13, 13), (3.0, 3.0))) for image in (a, b)))


def _tone_correlation(a: Tensor, b: Tensor) -> float:
    """Correlation, in [-1, 1], of the brightness of two images (1, 3, H, W) at 1 / 2^SCALES of their size."""
    coarse = []
    for image in (a, b):
        for _ in range(SCALES):
            image = pyrdown(image)
        coarse.append(rgb_to_grayscale(image))
    return _correlation(*coarse)


def _correlation(a: Tensor, b: Tensor) -> float:
    """Pearson's correlation of two tensors of one shape; for a constant one 1 if they are equal, else 0."""
    value = float(torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1])
    return value if math.isfinite(value) else float(torch.equal(a, b))


def _sharpness(image: Tensor) -> float:
    """Mean edge strength of (1, 3, H, W) at pixel scale."""
    return float(_edges(rgb_to_grayscale(image)).mean())


def _edges(grey: Tensor) -> Tensor:
    """(N, 1, H, W) -> (N, 1, H, W): length of the gradient, by Sobel's filter."""
    return spatial_gradient(grey).square().sum(2).sqrt()
