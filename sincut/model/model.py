"""The trained translator: filters before G, the averaged generator G, filters after it, settings and provenance.

Pictures are (N, 3, H, W) in [-1, 1], noise is that of `Model.noise`, (N, C, H, W). The model file holds all of it (see
`file.py`). The projection heads of PatchNCE, `projector.*` in the file, are optional: only `translation/similarity.py`
needs them, so they are read on demand. They are averaged as G is, and so fit the averaged encoder.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

import sincut.nets.balance  # noqa: F401 (registers its filter)
from sincut.config.networks import Networks
from sincut.config.sections import Config, overlay
from sincut.errors import ConfigError, ModelError
from sincut.model.exemplar import Size, from_file, sizes_told, to_file
from sincut.model.file import CHECKPOINT_FILE, load_metadata, load_tensors, model_path, save_tensors
from sincut.model.kinds import TRANSLATOR, AnyModel, Told, kind_of, register_kind, untold
from sincut.model.limits import Limits
from sincut.model.provenance import Provenance
from sincut.nets.architectures import make_generator
from sincut.nets.colour import ColourMap
from sincut.nets.filters import Filter, filters_of, tensors_of
from sincut.nets.generator import Generator
from sincut.nets.heads import Projector
from sincut.nets.local import without_border

GENERATOR, HEADS = "generator.", "projector."  # begin the names of their tensors in a file
NO_HEADS = "the method it was learned by has no projection heads (losses.nce is 0), so it cannot say what is similar"


@dataclass(eq=False)
class Model(AnyModel):
    """A translator: the filters `before`, then G, then the filters `after`, each in order."""

    kind = TRANSLATOR
    generator: Generator
    config: Config  # settings of the training as given; those of G with nothing left to choose: `generator.config`
    provenance: Provenance = field(default_factory=Provenance)
    before: tuple[Filter, ...] = ()
    after: tuple[Filter, ...] = ()
    projector: Projector | None = None  # the projection heads H, if they were loaded
    exemplar: Tensor | None = None  # the target's own pixels (H, W, 3), uint8 in sRGB, on the CPU; None: not carried
    further: tuple[Tensor, ...] = ()  # exemplars besides it, of the other targets of a set

    def translate(self, image: Tensor, noise: Tensor) -> Tensor:
        """The translation (N, 3, H, W), not clipped, of whole pictures (N, 3, H, W) with noise (N, C, H, W)."""
        return _through(self.after, self.generator(_through(self.before, image), noise))

    def translate_middle(self, window: Tensor, noise: Tensor, told: Told = untold) -> Tensor:
        """`translate` of a window (N, 3, H, W), H and W multiples of G's stride, cropped by `halo` px on every side.

        `noise` (N, C, ...) covers the result and `noise_reach` px around it. See `Generator.translate_middle`. A model
        that takes pictures whole has no halo: the middle is all of it.
        """
        if self.generator.whole_only:
            return self.translate(window, noise)
        prepared = without_border(_through(self.before, window), self._reach(self.before))
        out = _through(self.after, self.generator.translate_middle(prepared, noise))
        return without_border(out, self._reach(self.after))

    def noise(self, rows: Tensor, columns: Tensor) -> Tensor:
        """Standard normal noise, and the detail of G's K materials if it has some: (1, 1 + 3 K, H, W)."""
        white, materials = super().noise(rows, columns), self.generator.materials
        return white if materials is None else torch.cat([white, materials.at(rows[None], columns[None])], dim=1)

    def encode_middle(self, window: Tensor, last: int) -> list[Tensor]:
        """G's features of layers 0..last of a filtered window, cropped by `encoder_halo(last)` px on every side."""
        prepared = without_border(_through(self.before, window), self._reach(self.before))
        return self.generator.encode_middle(prepared, last)

    def encoder_halo(self, last: int) -> int:
        """Receptive radius in px of features of layers 0..last, filters before G included; a multiple of its stride.

        0 for a model that takes pictures whole.
        """
        return self.generator.encoder_halo(last) + self._reach(self.before)

    @property
    def halo(self) -> int:
        """Receptive radius in px of an output pixel, the sum over G and all filters; a multiple of G's stride.

        0 for a model that takes pictures whole.
        """
        return self._reach(self.before) + self.generator.halo + self._reach(self.after)

    @property
    def limits(self) -> Limits:
        """Limits for cutting pictures into tiles: the halo, if tiles are possible, and G's stride; any size will do."""
        return Limits(None if self.generator.whole_only else self.halo, self.generator.stride)

    @property
    def noise_reach(self) -> int:
        """Radius in px within which noise influences an output box aligned to G's stride."""
        return self.generator.noise_reach + self._reach(self.after)

    def _reach(self, filters: tuple[Filter, ...]) -> int:
        """Radius in px within which filters look, rounded up to a multiple of G's stride; 0 if G looks everywhere."""
        stride, reach = self.generator.stride, sum(filter_.reach for filter_ in filters)
        return 0 if self.generator.whole_only else -(-reach // stride) * stride

    @property
    def pixel_bytes(self) -> int:
        """Bytes per pixel of all of G's feature maps alive at once in a translation, roughly."""
        return self.generator.bytes_of(self.generator.config)

    @property
    def exemplars(self) -> tuple[Tensor, ...]:
        """All exemplars (H, W, 3), together the library of patches that translations are drawn from."""
        return () if self.exemplar is None else (self.exemplar, *self.further)

    @property
    def networks(self) -> tuple[nn.Module, ...]:
        """G, and the projection heads if they were loaded."""
        return (self.generator,) if self.projector is None else (self.generator, self.projector)

    @property
    def widths(self) -> tuple[float, float]:
        """The widths that settings and provenance tell; 1 and infinity where they are unknown."""
        crops, source = self.config.crops, self.provenance.source
        if crops.in_pixels:
            return crops.low, crops.high
        width = source.width if source is not None else 0
        return (crops.low * width, crops.high * width) if width else (1.0, math.inf)

    @property
    def colour_maps(self) -> tuple[ColourMap, ...]:
        """The colour maps before G."""
        return tuple(filter_ for filter_ in self.before if isinstance(filter_, ColourMap))

    def save(self, path: Path) -> None:
        """Write the model file, complete or not at all. Raises `ModelError`."""
        tensors = {f"{GENERATOR}{name}": value for name, value in self.generator.state_dict().items()}
        tensors |= tensors_of((*self.before, *self.after))
        if self.projector is not None:
            tensors |= {f"{HEADS}{name}": value for name, value in self.projector.state_dict().items()}
        said = {
            "config": self.config.to_dict(),
            "networks": asdict(self.generator.config),
            "before": [filter_.kind for filter_ in self.before],
            "after": [filter_.kind for filter_ in self.after],
            "provenance": self.provenance.to_dict(),
        }
        metadata = {name: json.dumps(value) for name, value in said.items()}
        pixels, sizes = to_file(self.exemplars)
        save_tensors(path, tensors | pixels, metadata | sizes)

    @classmethod
    def load(cls, path: Path, heads: bool = False) -> "Model":
        """The model of a run folder or model file, with `heads` also the projection heads. Raises `ModelError`.

        Earlier versions kept the heads in the checkpoint alone; given a run folder, they are taken from there.
        """
        folder = path if path.is_dir() else None
        path = model_path(path)
        tensors, metadata = load_tensors(path, lambda name: not name.startswith(HEADS))
        if kind_of(metadata) != TRANSLATOR:
            raise ModelError(f"{path}: {no_generator(kind_of(metadata))}")
        try:
            config, provenance = _parsed(metadata)
            networks = overlay(config, {"networks": json.loads(metadata["networks"])}).networks
            generator = _generator(networks, tensors)
            before, after = (_names(metadata[key]) for key in ("before", "after"))
            filters = filters_of([*before, *after], tensors)
            exemplar, *further = from_file(tensors, metadata) or (None,)
            numbers = [*generator.state_dict().values(), *tensors_of(filters).values()]
            if not all(bool(t.isfinite().all()) for t in numbers):
                raise ValueError("some of its weights are not finite numbers")
        except ConfigError as error:
            raise ModelError(f"{path}: holds settings this version does not know ({error}); update sincut") from None
        except (KeyError, ValueError, RuntimeError, AttributeError, TypeError) as error:
            what = str(error).splitlines()[0]
            raise ModelError(
                f"{path}: is not a complete sincut model ({what}); give a model that train wrote"
            ) from None
        projector = _load_heads(path, folder, config) if heads else None
        generator.eval().requires_grad_(False)
        both = filters[: len(before)], filters[len(before) :]
        return cls(generator, config, provenance, *both, projector, exemplar, tuple(further))


register_kind(TRANSLATOR, Model.load)


def no_generator(kind: str) -> str:
    """The reason, for people, why something that needs a G cannot be done with a model of another kind."""
    return f"is of the kind {kind!r}, which has no G, and so no encoder; give a model of sincut's own method"


def with_generator(model: AnyModel) -> Model:
    """The model, which has a G. Raises `ModelError` for one of a kind that has none."""
    if model.kind != TRANSLATOR:
        raise ModelError(f"the model {no_generator(model.kind)}")
    return cast(Model, model)


def describe(path: Path) -> tuple[Config, Provenance]:
    """Configuration and provenance of a run folder or model file; its weights are not read. Raises `ModelError`."""
    path = model_path(path)
    try:
        return _parsed(load_metadata(path))
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError, ConfigError) as error:
        raise ModelError(f"{path}: is not a complete sincut model ({error}); give a model that train wrote") from None


def exemplar_size(path: Path) -> Size | None:
    """The first of `exemplar_sizes`; None: it carries none. Raises `ModelError`."""
    return next(iter(exemplar_sizes(path)), None)


def exemplar_sizes(path: Path) -> tuple[Size, ...]:
    """Height and width in px of the exemplars that a run folder's model or a model file says it carries.

    Their pixels are not read. Raises `ModelError`.
    """
    path = model_path(path)
    try:
        return sizes_told(load_metadata(path))
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path}: is not a complete sincut model ({error}); give a model that train wrote") from None


def _through(filters: tuple[Filter, ...], image: Tensor) -> Tensor:
    for filter_ in filters:
        image = filter_(image)
    return image


def _parsed(metadata: Mapping[str, str]) -> tuple[Config, Provenance]:
    """Settings and provenance. Raises KeyError, ValueError, TypeError, AttributeError or `ConfigError`."""
    provenance = Provenance.parse(json.loads(metadata["provenance"]))
    return Config.from_dict(json.loads(metadata["config"])), provenance


def _names(text: str) -> list[str]:
    """The strings of a JSON list. Raises ValueError for anything else."""
    names = json.loads(text)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError("its filters are no list of names")
    return names


def _generator(networks: Networks, tensors: Mapping[str, Tensor]) -> Generator:
    """G with the weights of a file. Raises ValueError if settings and weights do not fit.

    This is checked before anything of the size that the settings claim is allocated.
    """
    weights = {k.removeprefix(GENERATOR): v for k, v in tensors.items() if k.startswith(GENERATOR)}
    with torch.device("meta"):
        _check_shapes(make_generator(networks), weights)
    with torch.random.fork_rng(devices=[]):  # drawing weights only to replace them must not disturb the caller
        generator = make_generator(networks)
    generator.load_state_dict(weights)
    generator.set_base_smoothing(float(generator.texture))
    return generator


def _check_shapes(network: nn.Module, weights: Mapping[str, Tensor]) -> None:
    wanted = {name: value.shape for name, value in network.state_dict().items()}
    if {name: value.shape for name, value in weights.items()} != wanted:
        raise ValueError("its weights do not have the shapes that its settings say")
    if not all(value.is_floating_point() for value in weights.values()):
        raise ValueError("its weights are no floating-point numbers")


def _load_heads(path: Path, folder: Path | None, config: Config) -> Projector:
    """The projection heads of a model file, or of the checkpoint beside it in a run folder. Raises `ModelError`."""
    weights, _ = load_tensors(path, lambda name: name.startswith(HEADS))
    if not any(name.startswith(HEADS) for name in weights) and folder and (folder / CHECKPOINT_FILE).is_file():
        path = folder / CHECKPOINT_FILE
        weights, _ = load_tensors(path, lambda name: name.startswith(HEADS))
    weights = {name.removeprefix(HEADS): value for name, value in weights.items() if name.startswith(HEADS)}
    if not weights and not config.losses.nce:
        raise ModelError(f"{path}: {NO_HEADS}")
    if not weights:
        remedy = "give a run folder with its checkpoint, or train anew"
        raise ModelError(f"{path}: holds no projection heads, as an earlier version wrote it; {remedy}")
    try:
        with torch.device("meta"):
            projector = Projector(config.networks, config.losses.layers)
        _check_shapes(projector, weights)
        if not all(bool(value.isfinite().all()) for value in weights.values()):
            raise ValueError("some of them are not finite numbers")
    except ValueError as error:
        what = str(error).replace("its weights", "they").replace("its settings", "the settings")
        raise ModelError(f"{path}: its projection heads do not fit ({what}); give a model that train wrote") from None
    projector.to_empty(device="cpu").load_state_dict(weights)
    return projector.eval().requires_grad_(False)
