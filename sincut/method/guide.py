"""The coarse guide: blurred colours of the target, laid out as the source, by optimal transport (ours).

An adversarial loss finds out slowly which part of the target a part of the source should look like, and can get stuck:
between a pale sky and a blue one lie greys that the target has nowhere. So places of both pictures are described by
lightness, colour, texture and height in the picture, and entropic optimal transport (Cuturi 2013,
https://arxiv.org/abs/1306.0895; Sinkhorn's iterations) maps the places of the source to those of the target. The guide
at a place is the mean colour of the places that it is mapped to: the barycentric map, evaluated at new points as in
Pooladian and Niles-Weed 2021, https://arxiv.org/abs/2109.12004. Means are greyer than what they average, so at last all
of them together get the target's contrast again.

If the source's strokes are much stronger than any texture of the target, texture says little about what is shown; its
weight then goes to lightness. The guide is blurred and only roughly right: its loss (`terms.Guide`) is strong in the
beginning, and later only keeps the translation from going far astray.

Of sets of pictures, all places of one side go together: features are compared by the means and deviations of the set,
and there is one transport between both sets. So a place of a source gets the colours of the places that fit best in any
target: a night among the paintings those of a night among the photos, if there is one. There is one guide per source.

Pictures are (1, 3, H, W) in [-1, 1]. A place is a pixel of a picture that was reduced to `SIDE` px, described by F
features; P places are (P, F).
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from kornia.color import rgb_to_lab
from kornia.geometry.transform import resize
from torch import Tensor

from sincut.nets.colour import colour_transport
from sincut.nets.local import blurred
from sincut.nets.pooled import Pool

SIDE = 208  # px of the longer side of the reduced pictures
PLACES = 900  # places of each picture, drawn at random, between which the transport is computed
PLACES_OF_SET = 1800  # the same of a set, all of its pictures together
LIGHTNESS, CHROMA, TEXTURE, HEIGHT = 0.35, 0.35, 0.7, 0.85  # weights of the features, each of about unit variance
FINENESS = (0.7, 1.5)  # px: sigmas s of the bands blur(s) - blur(2 s) whose energies are the texture
WINDOW = 3.0  # px: sigma of the windows of `_calm_means`
SHIFT = 6  # px: farthest shift of these windows
CALMNESS = 3.0  # a window weighs its variance to the power of -CALMNESS
ALIKE = 2.0  # textures are comparable if neither picture's variance is more than this multiple of the other's
ENTROPY = 0.15  # regularisation of the transport at last, in squared feature units; smaller is sharper
ITERATIONS = 60  # of Sinkhorn
COOLING = 0.85  # factor of the regularisation from one iteration to the next, down to `ENTROPY`
LEAST_DEVIATION = 1.0  # in Lab units: lightness or chroma with a smaller deviation is not scaled up to unit variance


def coarse_guide(source: Tensor, target: Tensor, comparable: float = 1.0) -> Tensor:
    """Blurred colours (1, 3, H, W) in [-1, 1] of the target, laid out as the source (1, 3, H, W); deterministic.

    `comparable`, in 0..1, says how far the two pictures' textures can be compared, see `comparable_texture`.
    """
    return coarse_guides(Pool.of(source), Pool.of(target), comparable)[0]


def coarse_guides(source: Pool, target: Pool, comparable: float = 1.0) -> list[Tensor]:
    """`coarse_guide` of each picture of a set, of the places of all target pictures that fit best."""
    x, y = source.map(_small), target.map(_small)
    places_x, places_y = (_places(side, comparable) for side in (x.map(colour_transport(x, y)), y))  # (H*W, F) each
    soft = y.map(lambda picture: blurred(picture, 2.0))
    colours = [picture[0].flatten(1).T for picture in soft.pictures]  # (H*W, 3) each, of `places_y`
    random = torch.Generator().manual_seed(0)
    some_x, some_y = _chosen(places_x, x.shares, random), _chosen(places_y, y.shares, random)
    some_x_places, some_y_places, some_colours = (
        torch.cat([rows[chosen] for rows, chosen in zip(each, some, strict=True)])
        for each, some in ((places_x, some_x), (places_y, some_y), (colours, some_y))
    )
    potential = _transport(torch.cdist(some_x_places, some_y_places).square())

    def mapped(places: Tensor, like: Tensor) -> Tensor:
        means = [  # softmax: each place's weights of the target's places
            torch.softmax((potential - torch.cdist(part, some_y_places).square()) / ENTROPY, dim=1) @ some_colours
            for part in torch.split(places, 8192)
        ]
        return torch.cat(means).T.reshape(like.shape)

    coarse = Pool(tuple(map(mapped, places_x, x.pictures)), x.shares)
    contrast = colour_transport(coarse, soft)
    return [
        resize(contrast(guide).clamp(-1, 1), (picture.shape[2], picture.shape[3]), interpolation="bilinear").to(picture)
        for guide, picture in zip(coarse.pictures, source.pictures, strict=True)
    ]


def _chosen(places: list[Tensor], shares: tuple[float, ...], random: torch.Generator) -> list[Tensor]:
    """Random indices into the places (P, F) of each picture: `PLACES` of one, of a set as many as its share is."""
    count = PLACES if len(places) == 1 else PLACES_OF_SET
    counts = [max(1, round(count * share)) for share in shares]
    return [torch.randperm(len(p), generator=random)[:n] for p, n in zip(places, counts, strict=True)]


def _transport(cost: Tensor) -> Tensor:
    """Dual potential (P,) of the columns of a cost (Q, P), for uniform masses on both sides.

    Sinkhorn's iterations in the log domain; the regularisation starts large and falls to `ENTROPY`. By hand, since POT
    (https://pythonot.github.io) would bring scipy for ten lines; a test compares the two.
    """
    q, p = (math.log(n) for n in cost.shape)
    potential = cost.new_zeros(cost.shape[1])
    start = 0.5 * float(cost.mean())
    for iteration in range(ITERATIONS):
        entropy = max(ENTROPY, start * COOLING**iteration)
        other = -entropy * torch.logsumexp((potential - cost) / entropy - p, dim=1)  # (Q,)
        potential = -entropy * torch.logsumexp((other[:, None] - cost) / entropy - q, dim=0)
    return potential


def comparable_texture(source: float, target: float) -> float:
    """Share of its weight, in 0..1, that texture keeps in the guide, from both pictures' `calm_variance`.

    It is 1 if neither is more than `ALIKE` times the other, and falls with their ratio.
    """
    less, more = sorted((source, target))
    return min(1.0, ALIKE * less / more) if more else 1.0


def _places(pictures: Pool, texture: float) -> list[Tensor]:
    """Features (H*W, F) of the pixels of each picture: lightness, chroma, texture and height, weighted.

    `texture`, in 0..1, is the share of its weight that texture keeps; lightness gets the rest of it.
    """
    lab = pictures.map(lambda image: rgb_to_lab((image.clamp(-1, 1) + 1) / 2))
    smooth = lab.map(lambda image: blurred(image, 2.0))
    light = _standardised(smooth.map(lambda image: image[:, :1]), LIGHTNESS + (1 - texture) * TEXTURE)
    chroma = _standardised(smooth.map(lambda image: image[:, 1:]), CHROMA)
    energies = zip(*(_energies(image[:, :1]) for image in lab.pictures), strict=True)  # by scale, then by picture
    textures = [[texture * TEXTURE * score for score in _pooled_scores(each)] for each in energies]
    heights = [HEIGHT * torch.linspace(-1, 1, x.shape[2])[None, None, :, None].expand_as(x) for x in light.pictures]
    features = zip(light.pictures, chroma.pictures, *textures, heights, strict=True)
    return [torch.cat(each, dim=1)[0].flatten(1).T for each in features]


def _energies(lightness: Tensor) -> tuple[Tensor, ...]:
    """Texture of a lightness (1, 1, H, W) at each of `FINENESS`, as local means of the energies of its bands."""
    bands = [(blurred(lightness, scale) - blurred(lightness, 2 * scale)).square() for scale in FINENESS]
    return _calm_means(lightness, *bands)


def _standardised(maps: Pool, weight: float) -> Pool:
    """Maps (1, C, H, W) of a set without the mean of each channel over all, `weight` being all values' deviation then.

    What deviates by less than `LEAST_DEVIATION` becomes no more than that share of it.
    """
    mean = maps.mean(lambda x: x.mean((2, 3), keepdim=True))
    centred = maps.map(lambda x: x - mean)
    several = len(maps.pictures) > 1
    spread = centred.mean(lambda x: x.square().mean()).sqrt() if several else centred.pictures[0].std()
    return centred.map(lambda x: weight * x / spread.clamp(min=LEAST_DEVIATION))


def _calm_means(lightness: Tensor, *maps: Tensor) -> tuple[Tensor, ...]:
    """Edge-respecting local means of maps (1, C, H, W): windows near each pixel in which `lightness` varies little.

    25 windows, shifted by up to `SHIFT` px each way, are averaged with more weight the less the lightness (1, 1, H, W)
    varies in them: Kuwahara's filter, generalised as in Papari, Petkov, Campisi 2007, "Artistic edge and corner
    enhancing smoothing". A centred window would let a cliff's texture bleed into the sky above its edge.
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


def _pooled_scores(maps: Sequence[Tensor]) -> list[Tensor]:
    """`_normal_scores` of the values of several maps together; of the shape of each."""
    scores = _normal_scores(torch.cat([each.flatten() for each in maps]))
    parts = scores.split([each.numel() for each in maps])
    return [part.view_as(each) for part, each in zip(parts, maps, strict=True)]


def _normal_scores(values: Tensor) -> Tensor:
    """Rank-based normal scores: each value becomes the standard normal quantile of its rank; same shape."""
    ranks = values.flatten().argsort(stable=True).argsort(stable=True)
    return (math.sqrt(2) * torch.erfinv((2 * ranks + 1) / values.numel() - 1)).view_as(values)


def _small(image: Tensor) -> Tensor:
    """(1, 3, H, W) scaled to `SIDE` px on the longer side, in float32 on the CPU."""
    image = image.detach().float().cpu()
    factor = SIDE / max(image.shape[2:])
    h, w = (max(1, round(side * factor)) for side in image.shape[2:])
    return resize(image, (h, w), interpolation="bilinear", antialias=True)
