"""The trained translator: filters before G, the averaged generator, filters after it, and where they come from.

Pictures are (N, 3, H, W) in [-1, 1], noise is standard normal (N, 1, H, W). A model file holds weights, filters,
settings and provenance (see `file.py`). The projection heads of PatchNCE, as `projector.*`, are an optional part:
translating does not need them and does not read them, `similarity` does. They are averaged as G is, so that they belong
to the encoder beside them.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

import sincut.nets.balance  # noqa: F401 (registers its filter)
from sincut.config.sections import Config, Networks, overlay
from sincut.errors import ConfigError, ModelError
from sincut.model.card import model_card
from sincut.model.file import CHECKPOINT_FILE, load_metadata, load_tensors, model_path, save_tensors
from sincut.model.limits import Limits
from sincut.model.provenance import Provenance
from sincut.nets.colour import ColourMap
from sincut.nets.filters import Filter, filters_of, tensors_of
from sincut.nets.generator import STRIDE, Generator
from sincut.nets.heads import Projector
from sincut.nets.local import without_border

GENERATOR, HEADS = "generator.", "projector."  # begin the names of their tensors in a file


@dataclass(eq=False)
class Model:
    """A translator: `after` filters of G of `before` filters of a picture.

    `config` are the settings of its training as they were asked for; those of its networks as they are stand in
    `generator.config`. `projector` are the heads, where they were asked for.
    """

    generator: Generator
    config: Config
    provenance: Provenance = field(default_factory=Provenance)
    before: tuple[Filter, ...] = ()
    after: tuple[Filter, ...] = ()
    projector: Projector | None = None

    def translate(self, image: Tensor, noise: Tensor) -> Tensor:
        """(N, 3, H, W) in [-1, 1] with noise (N, 1, H, W) -> (N, 3, H, W), not clipped."""
        return _through(self.after, self.generator(_through(self.before, image), noise))

    def translate_middle(self, window: Tensor, noise: Tensor) -> Tensor:
        """`translate` of a window without its halo, see `Generator.translate_middle`.

        Noise is that of the result and of `noise_reach` px around it.
        """
        prepared = without_border(_through(self.before, window), _reach(self.before))
        out = _through(self.after, self.generator.translate_middle(prepared, noise))
        return without_border(out, _reach(self.after))

    def encode_middle(self, window: Tensor, last: int) -> list[Tensor]:
        """Features of layers 0..last, as PatchNCE has seen them, of a window without its outer `encoder_halo`."""
        prepared = without_border(_through(self.before, window), _reach(self.before))
        return self.generator.encode_middle(prepared, last)

    def encoder_halo(self, last: int) -> int:
        """Receptive radius in px of the features of layers 0..last, a multiple of G's stride."""
        return self.generator.encoder_halo(last) + _reach(self.before)

    @property
    def halo(self) -> int:
        """Receptive radius in px of an output pixel, a multiple of G's stride: the sum of the reaches of all parts."""
        return _reach(self.before) + self.generator.halo + _reach(self.after)

    @property
    def limits(self) -> Limits:
        """Any size, in tiles that start at multiples of G's stride and have a halo around them."""
        return Limits(self.halo, STRIDE)

    @property
    def noise_reach(self) -> int:
        """Radius in px within which noise influences an output box that is aligned to G's stride."""
        return self.generator.noise_reach + _reach(self.after)

    @property
    def colour_matrix(self) -> Tensor:
        """(3, 3): what the colour maps before G do to differences of colours, as those of fine detail."""
        matrix = torch.eye(3)
        for filter_ in self.before:
            matrix = filter_.matrix.float() @ matrix if isinstance(filter_, ColourMap) else matrix
        return matrix

    def _repr_html_(self) -> str:
        """A card for notebooks."""
        return model_card(self.config, self.provenance)

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
        save_tensors(path, tensors, {name: json.dumps(value) for name, value in said.items()})

    @classmethod
    def load(cls, path: Path, heads: bool = False) -> "Model":
        """The model of a run folder or of a model file, on demand with the projection heads. Raises `ModelError`.

        Earlier versions kept the heads in the checkpoint alone; a run folder's are taken from there.
        """
        folder = path if path.is_dir() else None
        path = model_path(path)
        tensors, metadata = load_tensors(path, lambda name: not name.startswith(HEADS))
        try:
            config, provenance = _parsed(metadata)
            networks = overlay(config, {"networks": json.loads(metadata["networks"])}).networks
            generator = _generator(networks, tensors)
            before, after = (_names(metadata[key]) for key in ("before", "after"))
            filters = filters_of([*before, *after], tensors)
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
        return cls(generator, config, provenance, filters[: len(before)], filters[len(before) :], projector)


def describe(path: Path) -> tuple[Config, Provenance]:
    """Configuration and provenance of a run folder or model file; its weights are not read. Raises `ModelError`."""
    path = model_path(path)
    try:
        return _parsed(load_metadata(path))
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError, ConfigError) as error:
        raise ModelError(f"{path}: is not a complete sincut model ({error}); give a model that train wrote") from None


def _through(filters: tuple[Filter, ...], image: Tensor) -> Tensor:
    for filter_ in filters:
        image = filter_(image)
    return image


def _reach(filters: tuple[Filter, ...]) -> int:
    return sum(filter_.reach for filter_ in filters)


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
    """G with the weights of a file. Raises ValueError where settings and weights do not fit.

    That is found before anything of the size that the settings claim is allocated.
    """
    weights = {k.removeprefix(GENERATOR): v for k, v in tensors.items() if k.startswith(GENERATOR)}
    with torch.device("meta"):
        _check_shapes(Generator(networks), weights)
    with torch.random.fork_rng(devices=[]):  # drawing weights only to replace them must not disturb the caller
        generator = Generator(networks)
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
