"""STROTSS: style transfer by relaxed optimal transport and self-similarity, an optimisation of one picture's pixels.

After Kolkin, Salavon and Shakhnarovich 2019 (https://arxiv.org/abs/1904.12785). A place of a picture is described by
its hypercolumn: its colour and the features of several layers of VGG there. With hypercolumns A of the output, S of the
style and C of the content, at about 1,024 places each, the output's pixels go down the gradient of

    (alpha content(A, C) + moments(A, S) + remd(A, S) + 1 / alpha palette(A, S)) / (2 + alpha + 1 / alpha)

at growing sizes, from about 64 px on the long side up to the picture's own. Pictures are (1, 3, H, W) in [-1, 1], P is
a number of places, D the length of a hypercolumn.

Where the paper is silent, or differs from its published code, this is what is done:
- Layers: the paper's, all convolutions of VGG-16 but the 9th, 10th, 12th and 13th, by their names (conv1_1 to conv4_1,
  and conv5_1, after their ReLUs), taken from VGG-19, which has the same and more: one file of weights serves all
  algorithms. The code has conv4_3 and conv5_3 in place of conv4_1 and conv5_1.
- VGG sees colours in -1/2..1/2, not standardised as it was trained, as in the code: the moments, unlike all other
  terms, grow with the features, and it is with these that the paper's weights were found.
- The self-similarity loss is a mean over columns, as in the code; the paper's 1 / P^2 would make it a thousandth.
- The palette is compared by Euclidean distance, as in the paper. Its change to a decorrelated colour space is a
  rotation, which leaves these distances as they are, and is left out (the code adds a cosine, which it changes).
- The style is never enlarged beyond its own size (ours).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from sincut.model.kinds import Told, untold
from sincut.nets.vgg import NAMES
from sincut.rivals.technique import Technique, VggTechnique, no_longer, resized

# The paper's implementation details.
PLACES = 1024  # at which a picture's hypercolumns are taken in each update
STEPS = 200  # updates at each size
FIRST_SIDE, FIRST_ALPHA = 64, 16.0  # long side of the first size, px; the content's weight there, halved at each other
LEVELS = 5  # of the Laplacian pyramid
RATE, LAST_RATE = 0.002, 0.001  # learning rates at all sizes but the last, and at the last

COVARIANCES = 21  # matrices of a hypercolumn's length squared that are alive at once, as measured
TIMED = 3  # updates at each size of a sample of the work
LAYERS = ("relu1_1", "relu1_2", "relu2_1", "relu2_2", "relu3_1", "relu3_2", "relu3_3", "relu4_1", "relu5_1")

Features = Callable[[Tensor], Sequence[Tensor]]  # (1, 3, H, W) in [-1/2, 1/2] -> maps (1, C, H', W') of several layers


def cosine_distances(a: Tensor, b: Tensor) -> Tensor:
    """1 - cosine of all pairs of rows of a (P, D) and b (Q, D), as (P, Q) in 0..2; 1 to a row of zeros."""
    return (1 - F.normalize(a, dim=1) @ F.normalize(b, dim=1).T).clamp(min=0)


def euclidean_distances(a: Tensor, b: Tensor) -> Tensor:
    """Euclidean distances of all pairs of rows of a (P, D) and b (Q, D), as (P, Q)."""
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")


def remd(distances: Tensor) -> Tensor:
    """The relaxed earth mover's distance of two sets of points with these distances (P, Q).

    Each point of one set goes to its nearest of the other; of both directions the greater mean counts.
    """
    return torch.maximum(distances.min(dim=1).values.mean(), distances.min(dim=0).values.mean())


def moments(a: Tensor, b: Tensor) -> Tensor:
    """Mean absolute difference of the means, plus that of the covariances, of rows (P, D) and (Q, D)."""
    centred = [rows - rows.mean(0) for rows in (a, b)]
    covariances = [rows.T @ rows / len(rows) for rows in centred]
    return (a.mean(0) - b.mean(0)).abs().mean() + (covariances[0] - covariances[1]).abs().mean()


def self_similarity(a: Tensor, b: Tensor) -> Tensor:
    """The content loss of hypercolumns (P, D) at the same places of two pictures.

    The cosine distances of each place to all others, divided by their sum, are compared between the two pictures.
    """
    shares = []
    for rows in (a, b):
        distances = cosine_distances(rows, rows)
        shares.append(distances / distances.sum(0, keepdim=True).clamp(min=1e-4))  # even pictures have no distances
    return (shares[0] - shares[1]).abs().sum(0).mean()


def palette(a: Tensor, b: Tensor) -> Tensor:
    """The relaxed earth mover's distance between colours (P, 3) and (Q, 3), by Euclidean distance."""
    return remd(euclidean_distances(a, b))


def objective(output: Tensor, content: Tensor, style: Tensor, alpha: float) -> Tensor:
    """The weighted sum of all losses (see above) of hypercolumns (P, D), (P, D) and (Q, D), which begin with RGB."""
    losses = alpha * self_similarity(output, content) + moments(output, style)
    losses = losses + remd(cosine_distances(output, style)) + palette(output[:, :3], style[:, :3]) / alpha
    return losses / (2 + alpha + 1 / alpha)


def hypercolumns(maps: Sequence[Tensor], places: Tensor, size: tuple[int, int]) -> Tensor:
    """The values (P, D) of all maps at places (P, 2), row and column in px, of a picture of `size` (height, width).

    They are those that the maps (1, C, H', W') have there once they are enlarged to `size` bilinearly.
    """
    h, w = size
    at = (2 * places.flip(1) + 1) / torch.tensor([w, h], device=places.device) - 1  # x and y in -1..1
    columns = [  # (1, C, 1, P) each
        F.grid_sample(values, at.to(values)[None, None], "bilinear", padding_mode="border", align_corners=False)
        for values in maps
    ]
    return torch.cat([column[0, :, 0].T for column in columns], dim=1)


def even_places(size: tuple[int, int], random: torch.Generator) -> Tensor:
    """About `PLACES` places (P, 2), row and column, of a regular grid over `size` (height, width), moved at random."""
    step = max(1.0, math.sqrt(size[0] * size[1] / PLACES))
    offsets = (torch.rand(2, generator=random, dtype=torch.float64) * step).tolist()
    along = [torch.arange(offset, side, step).floor() for offset, side in zip(offsets, size, strict=True)]
    return torch.cartesian_prod(*along)


def random_places(size: tuple[int, int], random: torch.Generator) -> Tensor:
    """`PLACES` independent random places (P, 2), row and column in px, of a picture of `size` (height, width)."""
    drawn = torch.rand(PLACES, 2, generator=random, dtype=torch.float64)
    return (drawn * torch.tensor(size)).floor().float()


def pyramid(image: Tensor) -> list[Tensor]:
    """The Laplacian pyramid of (1, 3, H, W): `LEVELS` differences to the bilinearly halved picture, and the rest."""
    levels = []
    for _ in range(LEVELS):
        h, w = image.shape[2:]
        half = resized(image, (max(1, h // 2), max(1, w // 2)))
        levels.append(image - resized(half, (h, w)))
        image = half
    return [*levels, image]


def collapsed(levels: Sequence[Tensor]) -> Tensor:
    """The picture (1, 3, H, W) of a Laplacian pyramid; the inverse of `pyramid`."""
    image = levels[-1]
    for difference in reversed(levels[:-1]):
        image = difference + resized(image, (difference.shape[2], difference.shape[3]))
    return image


def sizes_of(size: tuple[int, int]) -> list[tuple[int, int]]:
    """The sizes (height, width) at which a picture is optimised, each twice the one before; the last is its own.

    The long side of the first is as near to 64 px as halving gives.
    """
    halvings = max(0, round(math.log2(max(size) / FIRST_SIDE)))
    scaled = [[max(1, round(side / 2**k)) for side in size] for k in range(halvings, -1, -1)]
    return [(h, w) for h, w in scaled]


class Scale:
    """The objective at one size, with the features of content and style (1, 3, H, W), colours in [-1/2, 1/2]."""

    def __init__(self, content: Tensor, style: Tensor, features: Features, alpha: float) -> None:
        self.features, self.alpha = features, alpha
        self.size, self.style_size = (content.shape[2], content.shape[3]), (style.shape[2], style.shape[3])
        with torch.no_grad():
            self.content, self.style = [content, *features(content)], [style, *features(style)]

    def loss(self, output: Tensor, random: torch.Generator) -> Tensor:
        """The objective of an output (1, 3, H, W) of the content's size, at places drawn anew."""
        places = even_places(self.size, random).to(output.device)
        looks = random_places(self.style_size, random).to(output.device)
        return objective(
            hypercolumns([output, *self.features(output)], places, self.size),
            hypercolumns(self.content, places, self.size),
            hypercolumns(self.style, looks, self.style_size),
            self.alpha,
        )


def stylised(
    content: Tensor,
    style: Tensor,
    features: Features,
    random: torch.Generator,
    alpha: float = FIRST_ALPHA,
    steps: int = STEPS,
    on_step: Callable[[int, int, float], None] = lambda done, steps, loss: None,
) -> Tensor:
    """The content in the look of the style, (1, 3, H, W) in [-1, 1] of the content's own size.

    `random`, a generator on the CPU, draws the places; `alpha` is the weight of the content at the first size, and
    `steps` the number of updates at each. After every update `on_step` is told how many are done, of how many, and
    their loss.
    """
    sizes = sizes_of((content.shape[2], content.shape[3]))
    image = torch.zeros(0)
    for number, size in enumerate(sizes):
        shown, example = resized(content / 2, size), no_longer(style / 2, max(size))
        # First the content's finest detail around the style's mean colour, then what was made of the size before.
        image = resized(image, size) if number else pyramid(shown)[0] + example.mean((2, 3), keepdim=True)
        scale = Scale(shown, example, features, alpha / 2**number)
        levels = [level.detach().requires_grad_() for level in pyramid(image)]
        optimiser = torch.optim.RMSprop(levels, lr=LAST_RATE if number == len(sizes) - 1 else RATE)
        for step in range(steps):
            optimiser.zero_grad()
            loss = scale.loss(collapsed(levels), random)
            loss.backward()
            optimiser.step()
            on_step(number * steps + step + 1, len(sizes) * steps, float(loss.detach()))
        image = collapsed(levels).detach()
    return (2 * image).clamp(-1, 1)


class Strotss(VggTechnique):
    """The optimisation with VGG-19 up to relu5_1."""

    unit = "updates"
    last = LAYERS[-1]

    def features(self, image: Tensor) -> list[Tensor]:
        """What VGG gives at `LAYERS` for (1, 3, H, W) in [-1/2, 1/2]; it is fastest channels-last."""
        seen: list[Tensor] = self.vgg(image.contiguous(memory_format=torch.channels_last), LAYERS)
        return seen

    def restyled(self, content: Tensor, style: Tensor, random: torch.Generator, told: Told = untold) -> Tensor:
        """What `stylised` makes of the content."""
        steps = self.settings.iterations or STEPS

        def tell(done: int, count: int, loss: float) -> None:
            told(done / count)

        return stylised(content, style, self.features, random, self.settings.alpha, steps, tell)

    def rounds(self, size: tuple[int, int]) -> int:
        """The updates at all sizes together."""
        return len(sizes_of(size)) * (self.settings.iterations or STEPS)

    @property
    def pixel_bytes(self) -> int:
        """Bytes of features and gradients at the last size, of the features of content and style, and of colours."""
        widths = zip(NAMES, self.vgg.widths, strict=False)
        kept = sum(width / 4 ** (int(name[0]) - 1) for name, width in widths if f"relu{name}" in LAYERS)
        return self.vgg.pixel_bytes + int(4 * (2 * kept + 3 * 12))

    @property
    def fixed_bytes(self) -> int:
        """Bytes for covariances of hypercolumns, 0.4 GB with VGG-19's own widths."""
        channels = zip(NAMES, self.vgg.widths, strict=False)
        length = 3 + sum(width for name, width in channels if f"relu{name}" in LAYERS)
        return 4 * COVARIANCES * length**2

    def sample(self) -> tuple[Technique, float] | None:
        """The same with few updates."""
        steps = self.settings.iterations or STEPS
        if steps <= TIMED:
            return None
        return Strotss(self.vgg, replace(self.settings, iterations=TIMED)), steps / TIMED
