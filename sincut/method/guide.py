"""A coarse picture of how the translation could look, to start the training on the right foot.

Which part of the photo should a part of the painting look like? An adversarial loss finds out slowly and can get stuck:
between a pale sky and a blue one lie greys that the photo has nowhere. So places of both pictures are described by
lightness, colour, fineness of texture and height in the picture, and entropic optimal transport (Cuturi 2013,
https://arxiv.org/abs/1306.0895; Sinkhorn's iterations) sends the one set of places to the other, each with all of its
mass. Where the strokes of a painting are much stronger than any texture of the photo, texture says little about what is
shown, and lightness has its part of the say. The mean colour of the places that a place is sent to is its guide (the
barycentric map, evaluated at new points as in Pooladian and Niles-Weed 2021, https://arxiv.org/abs/2109.12004), and
since a mean of colours is greyer than they are, all of them together are given the photo's contrast again. The guide is
blurred, and right only on the whole: the training follows it in the beginning, and later is only kept from going far
astray.

Pictures are (1, 3, H, W) in [-1, 1], places (P, F).
"""

import math

import torch
import torch.nn.functional as F
from kornia.color import rgb_to_lab
from kornia.geometry.transform import resize
from torch import Tensor

from sincut.nets.colour import colour_transport
from sincut.nets.local import blurred

SIDE = 208  # px of the longer side on which places are compared
PLACES = 900  # of each picture, drawn at random
LIGHTNESS, CHROMA, TEXTURE, HEIGHT = 0.35, 0.35, 0.7, 0.85  # weights of the features, each of about unit variance
FINENESS = (0.7, 1.5)  # px: scales of the bands whose strength is the texture
WINDOW, SHIFT, CALMNESS = 3.0, 6, 3.0  # sigma in px, px, and how much a calm window is preferred
ALIKE = 2.0  # textures are comparable where neither picture's is more than so many times the other's
ENTROPY = 0.15  # of the transport, in squared feature units; smaller is sharper
ITERATIONS, COOLING = 60, 0.85  # from a large entropy to `ENTROPY`
LEAST_DEVIATION = 1.0  # of lightness and chroma in Lab units, so that a picture without colours gives no noise


def coarse_guide(painting: Tensor, photo: Tensor, comparable: float = 1.0) -> Tensor:
    """Blurred colours (1, 3, H, W) in [-1, 1] of the photo, laid out as the painting (1, 3, H, W); deterministic.

    `comparable`, in 0..1, says how far the two pictures' textures can be compared, see `comparable_texture`.
    """
    x, y = _small(painting), _small(photo)
    source, target = _places(colour_transport(x, y)(x), comparable), _places(y, comparable)
    soft = blurred(y, 2.0)
    colours = soft[0].flatten(1).T  # (places, 3)
    generator = torch.Generator().manual_seed(0)
    chosen = [torch.randperm(len(p), generator=generator)[:PLACES] for p in (source, target)]
    target, colours = target[chosen[1]], colours[chosen[1]]
    potential = _transport(torch.cdist(source[chosen[0]], target).square())
    parts = [  # a weight for each place of the photo, then their mean colour
        torch.softmax((potential - torch.cdist(part, target).square()) / ENTROPY, dim=1) @ colours
        for part in torch.split(source, 8192)
    ]
    coarse = torch.cat(parts).T.reshape(x.shape)
    coarse = colour_transport(coarse, soft)(coarse).clamp(-1, 1)
    return resize(coarse, (painting.shape[2], painting.shape[3]), interpolation="bilinear").to(painting)


def _transport(cost: Tensor) -> Tensor:
    """Sinkhorn's dual potential (P,) of the targets for a cost (Q, P) and uniform masses, by annealing the entropy.

    By hand, since POT (https://pythonot.github.io) would bring scipy for ten lines; a test compares the two.
    """
    q, p = (math.log(n) for n in cost.shape)
    potential = cost.new_zeros(cost.shape[1])
    start = 0.5 * float(cost.mean())
    for iteration in range(ITERATIONS):
        entropy = max(ENTROPY, start * COOLING**iteration)
        other = -entropy * torch.logsumexp((potential - cost) / entropy - p, dim=1)  # (Q,)
        potential = -entropy * torch.logsumexp((other[:, None] - cost) / entropy - q, dim=0)
    return potential


def comparable_texture(painting: float, photo: float) -> float:
    """In 0..1, of both pictures' `calm_variance`; 1 where neither has more than `ALIKE` times the other's."""
    less, more = sorted((painting, photo))
    return min(1.0, ALIKE * less / more) if more else 1.0


def _places(image: Tensor, texture: float) -> Tensor:
    """(1, 3, H, W) -> (H*W, F): what is known of each pixel's surroundings; `texture` is the share of its weight."""
    lab = rgb_to_lab((image.clamp(-1, 1) + 1) / 2)
    smooth, lightness = blurred(lab, 2.0), lab[:, :1]
    bands = [(blurred(lightness, scale) - blurred(lightness, 2 * scale)).square() for scale in FINENESS]
    energies = _calm_means(lightness, *bands)
    chroma = smooth[:, 1:] - smooth[:, 1:].mean((2, 3), keepdim=True)
    light = smooth[:, :1] - smooth[:, :1].mean()
    features = [
        (LIGHTNESS + (1 - texture) * TEXTURE) * light / light.std().clamp(min=LEAST_DEVIATION),
        CHROMA * chroma / chroma.std().clamp(min=LEAST_DEVIATION),
    ]
    features += [texture * TEXTURE * _normal_scores(energy) for energy in energies]
    height = torch.linspace(-1, 1, image.shape[2])[None, None, :, None].expand_as(light)
    return torch.cat([*features, HEIGHT * height], dim=1)[0].flatten(1).T


def _calm_means(lightness: Tensor, *maps: Tensor) -> tuple[Tensor, ...]:
    """Means of maps (1, C, H, W) over a window near each pixel, on the side of an edge where the pixel is.

    Of 25 windows, shifted by up to `SHIFT` px, those count most in which the lightness varies least (Kuwahara's
    filter, generalised as in Papari, Petkov, Campisi 2007, "Artistic edge and corner enhancing smoothing"). A window
    in the middle would let a cliff's edge and texture bleed into the sky above it.
    """
    h, w = lightness.shape[2:]
    means = blurred(torch.cat([lightness, lightness.square(), *maps], dim=1), WINDOW)
    shifts = tuple(min(SHIFT, side - 1) for side in (h, w))
    around = F.pad(means, (shifts[1], shifts[1], shifts[0], shifts[0]), mode="reflect")
    starts = [(y * shifts[0] // 2, x * shifts[1] // 2) for y in range(5) for x in range(5)]
    windows = torch.cat([around[:, :, top : top + h, left : left + w] for top, left in starts])  # (25, C, H, W)
    variance = (windows[:, 1] - windows[:, 0].square()).clamp(min=0)
    weights = torch.softmax(-CALMNESS * torch.log(variance + LEAST_DEVIATION**2), dim=0)[:, None]
    mean = (weights * windows[:, 2:]).sum(0, keepdim=True)
    return torch.split(mean, [m.shape[1] for m in maps], dim=1)


def _normal_scores(values: Tensor) -> Tensor:
    """Values replaced by what a standard normal variable has at their rank: comparable whatever their scale."""
    ranks = values.flatten().argsort(stable=True).argsort(stable=True)
    return (math.sqrt(2) * torch.erfinv((2 * ranks + 1) / values.numel() - 1)).view_as(values)


def _small(image: Tensor) -> Tensor:
    """On the CPU, with `SIDE` px on the longer side."""
    image = image.detach().float().cpu()
    factor = SIDE / max(image.shape[2:])
    h, w = (max(1, round(side * factor)) for side in image.shape[2:])
    return resize(image, (h, w), interpolation="bilinear", antialias=True)
