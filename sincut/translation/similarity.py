"""Similarity maps of an output patch and all input patches, in the features of PatchNCE (Park et al. 2020, section 4).

A patch of the OUTPUT is the query; all patches of the INPUT, prepared as for G, are keys. Both go through G's encoder
and the projection heads, the averaged ones. Keys are those of training. The query is not quite: it is a patch of the
finished translation, with the balance that closes a training, while PatchNCE compared the bare output of G. The maps
show how the encoder sees what `apply` writes, and differ from what the loss saw by as much as the balance changes. A
model has G's encoder alone, also where training had another for queries (`networks.encoders`) or keys
(`losses.negatives`).

The paper shows exp(v . v- / tau) of the unit vectors; `likelihood` is that, scaled to 0..1 by its largest values, so
that something can be seen whatever the layer. PCA of the features is shown there too.

Maps are float32 on the CPU, (H/s, W/s) rounded up, with s px of the picture per place of the layer: 1, 2 or 4, see
`Generator.step_of`. Features are computed in exact tiles and never kept: memory is that of the picture, a tile and the
maps. A model that takes pictures whole has one tile, the picture.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from sincut.errors import ConfigError, ModelError
from sincut.model.kinds import AnyModel
from sincut.model.model import NO_HEADS, with_generator
from sincut.pictures.hidden import visible_everywhere
from sincut.pictures.picture import Picture, Pixels
from sincut.translation.tiles import Box, mirror
from sincut.translation.translator import Translator

ROWS_AT_ONCE = 16_384  # of features that are projected together
FEW = 200  # single places that are very similar must not leave all others dark
SPREAD = 2.5  # standard deviations to either side of the mean that become 0 and 1


def similarity_maps(
    translator: Translator, picture: Picture, point: tuple[int, int], layers: Sequence[int] = ()
) -> dict[int, Tensor]:
    """Cosines of an output patch to all input patches, a map for each of the PatchNCE `layers` (all by default).

    `point` is (x, y) in px of the output patch, the query. Needs `sincut.load(..., heads=True)`. Values are in [-1, 1];
    the key of the same place, the positive, stands at `place_of`. Raises `ConfigError` for other layers and places,
    `ModelError` where the heads were not loaded.
    """
    model = with_generator(translator.model)
    projector, trained = model.projector, model.config.losses.layers
    if projector is None and not model.config.losses.nce:
        raise ModelError(f"the model: {NO_HEADS}")
    if projector is None:
        raise ModelError("the projection heads are not loaded; use sincut.load(..., heads=True)")
    unknown = [layer for layer in layers if layer not in trained]
    if unknown:
        raise ConfigError(f"layer {unknown[0]} has no projection head; choose of {', '.join(map(str, trained))}")
    _check_point(picture, point)
    layers = list(layers) or list(trained)
    heads = {layer: projector.heads[trained.index(layer)] for layer in layers}
    pixels = visible_everywhere(picture.pixels, picture.alpha)
    queries = {layer: _project(heads[layer], row) for layer, row in _query(translator, pixels, point, layers).items()}
    step_of = model.generator.step_of
    maps = {layer: torch.empty(map_size(model, picture, layer)) for layer in layers}
    for box, features in translator.encoded(pixels, max(layers)):
        for layer, cosines in maps.items():
            rows = features[layer][0].flatten(1).T  # (h*w, C)
            parts = [_project(heads[layer], part) @ queries[layer].T for part in torch.split(rows, ROWS_AT_ONCE)]
            cosines[_part(box, step_of(layer))] = torch.cat(parts).reshape(features[layer].shape[2:]).cpu()
    return maps


def likelihood(cosines: Tensor, temperature: float) -> Tensor:
    """exp(cosine / tau) of a map (H, W), divided by the value that one place in `FEW` exceeds, at most 1: in (0, 1]."""
    values = cosines.flatten().sort().values
    return torch.exp((cosines - values[-1 - len(values) // FEW]) / temperature).clamp(max=1)


def all_layers(maps: dict[int, Tensor]) -> Tensor:
    """The mean cosine of all layers, (H, W) of the finest: dark where any layer sees little likeness.

    `likelihood` of this map is the geometric mean of exp(cosine / tau) of the layers.
    """
    finest = max(maps.values(), key=Tensor.numel).shape
    return torch.stack([_as_fine(cosines, finest) for cosines in maps.values()]).mean(0)


def shown(maps: dict[int, Tensor], temperature: float, cosine: bool) -> tuple[dict[str, Tensor], str, str]:
    """Titled maps in [0, 1] for a drawing, and labels for 0 and 1: `likelihood`, or with `cosine` -1 to 1.

    The first is that of all layers together, if there are several.
    """
    titled = {f"layer {layer}": cosines for layer, cosines in maps.items()}
    if len(maps) > 1:
        titled = {"all layers": all_layers(maps), **titled}
    if cosine:
        return {f"{title}: cosine": (cosines + 1) / 2 for title, cosines in titled.items()}, "-1", "1"
    likely = {title: likelihood(cosines, temperature) for title, cosines in titled.items()}
    return {f"{title}: exp(cosine / tau)": values for title, values in likely.items()}, "0", "max"


def figures(cosines: Tensor, place: tuple[int, int]) -> dict[str, float]:
    """Figures of a map (H, W) of cosines, by name, `place` being the row and column of the query itself.

    `own` is the cosine there, `more_similar` the share of places with a higher one; `highest`, `mean` and `lowest` are
    of all places; `x` and `y` in 0..1 are where the highest is.
    """
    own = cosines[place]
    best = divmod(int(cosines.argmax()), cosines.shape[1])
    return {
        "own": float(own),
        "highest": float(cosines.max()),
        "mean": float(cosines.mean()),
        "lowest": float(cosines.min()),
        "more_similar": float((cosines > own).double().mean()),
        "x": (best[1] + 0.5) / cosines.shape[1],
        "y": (best[0] + 0.5) / cosines.shape[0],
    }


def principal_components(translator: Translator, picture: Picture, layer: int | None = None) -> Tensor:
    """Colours of the first three principal components of a layer's features (the deepest of PatchNCE by default).

    (3, H', W') in [0, 1], as large as the layer's maps: 0.5 is the mean, 0 and 1 are `SPREAD` standard deviations away,
    of each component its own. Signs are chosen so that a component's largest weight is positive. Layers with fewer than
    three components leave the others at 0.5. Raises `ConfigError` for a layer that the encoder does not have.
    """
    model = with_generator(translator.model)
    generator, deepest = model.generator, model.generator.deepest
    layer = max(model.config.losses.layers) if layer is None else layer
    if not 0 <= layer <= deepest:
        raise ConfigError(f"layer {layer}: the encoder has layers 0 to {deepest}")
    pixels = visible_everywhere(picture.pixels, picture.alpha)
    total, products, count = torch.zeros(()).double(), torch.zeros(()).double(), 0
    for _, rows, _ in _rows(translator, pixels, layer):
        total, products, count = total + rows.sum(0), products + rows.T @ rows, count + len(rows)
    mean = total / count
    variances, vectors = torch.linalg.eigh(products / count - mean.outer(mean))
    largest = vectors.gather(0, vectors.abs().argmax(0, keepdim=True))
    vectors, spreads = vectors * largest.sign(), variances.clamp(min=0).sqrt() * SPREAD
    out = torch.full((3, *map_size(model, picture, layer)), 0.5)
    known = min(3, len(mean))
    axes, widths = vectors.flip(1)[:, :known], spreads.flip(0)[:known].clamp(min=1e-12)
    for box, rows, shape in _rows(translator, pixels, layer):
        values = (rows - mean) @ axes / widths / 2 + 0.5  # (h*w, 3)
        out[(slice(known), *_part(box, generator.step_of(layer)))] = values.T.reshape(known, *shape).clamp(0, 1).float()
    return out


def map_size(model: AnyModel, picture: Picture, layer: int) -> tuple[int, int]:
    """Height and width of a layer's map: the picture's over the layer's step, rounded up."""
    (h, w), step = picture.size, with_generator(model).generator.step_of(layer)
    return -(-h // step), -(-w // step)


def place_of(model: AnyModel, point: tuple[int, int], layer: int) -> tuple[int, int]:
    """Row and column of a layer's map for (x, y) in px."""
    step = with_generator(model).generator.step_of(layer)
    return point[1] // step, point[0] // step


def _as_fine(cosines: Tensor, finest: torch.Size) -> Tensor:
    """A map as large as the finest, whose places are repeated for it: 1, 2, 4, ... times along each side."""
    step = 1
    while tuple(-(-side // step) for side in finest) != tuple(cosines.shape):
        step *= 2
    return cosines.repeat_interleave(step, 0).repeat_interleave(step, 1)[: finest[0], : finest[1]]


def _check_point(picture: Picture, point: tuple[int, int]) -> None:
    """Raise `ConfigError` for a point outside of the picture."""
    h, w = picture.size
    if not (0 <= point[0] < w and 0 <= point[1] < h):
        raise ConfigError(f"the point {point[0]},{point[1]} is outside; x is 0 to {w - 1}, y is 0 to {h - 1}")


def _query(translator: Translator, pixels: Pixels, point: tuple[int, int], layers: Sequence[int]) -> dict[int, Tensor]:
    """The features (1, C) of the output at a point, from a translated window around it that is mirrored at borders."""
    h, w = pixels.shape[:2]
    generator, last = with_generator(translator.model).generator, max(layers)
    stride, halo = generator.stride, generator.encoder_halo(last)
    top, left, bottom, right = 0, 0, h + -h % stride, w + -w % stride  # of the part whose features are computed
    if not generator.whole_only:
        top, left = (place // stride * stride for place in (point[1], point[0]))
        bottom, right = top + stride, left + stride
    rows = mirror(torch.arange(top - halo, bottom + halo), h)
    columns = mirror(torch.arange(left - halo, right + halo), w)
    first = int(rows.min()) // stride * stride, int(columns.min()) // stride * stride
    box = (*first, int(rows.max()) + 1, int(columns.max()) + 1)
    window = translator.translate_box(pixels, box)[:, :, rows - first[0]][..., columns - first[1]]
    with torch.inference_mode(), translator.compute.autocast():
        features = generator.encode_middle(window, last)
    steps = {layer: generator.step_of(layer) for layer in layers}
    return {i: features[i][:, :, (point[1] - top) // step, (point[0] - left) // step] for i, step in steps.items()}


def _project(head: torch.nn.Module, rows: Tensor) -> Tensor:
    """(P, C) -> (P, F) of unit length, in float32."""
    with torch.inference_mode():
        return torch.nn.functional.normalize(head(rows.float()), dim=1)


def _rows(translator: Translator, pixels: Pixels, layer: int) -> Iterator[tuple[Box, Tensor, tuple[int, int]]]:
    """The features of each tile as float64 rows (h*w, C), with their h and w."""
    for box, features in translator.encoded(pixels, layer):
        h, w = features[layer].shape[2:]
        yield box, features[layer][0].flatten(1).T.cpu().double(), (h, w)


def _part(box: Box, step: int) -> tuple[slice, slice]:
    """Rows and columns of a tile's features in the map of a layer with this step."""
    top, left, bottom, right = box
    return slice(top // step, -(-bottom // step)), slice(left // step, -(-right // step))
