"""The trained translator in one safetensors file: weights, configuration and provenance, no pickle anywhere.

The metadata of the file are safetensors' strings: `format` and `version`, then JSON for the configuration and for
the provenance (inputs with size and SHA-256, direction, seed, steps, seconds, losses, training scale, versions,
thumbnails). The projection heads of PatchNCE, as `projector.*`, are an optional part: translating does not need them
and does not read them, `similarity` does. They are averaged as G is, so that they belong to the encoder beside them. A
reader that does not know them leaves them alone, which is why they have no format version of their own.
A later version reads every earlier one; an unknown newer version is refused by name.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialise
from torch import Tensor, nn

from sincut.config.sections import Config
from sincut.errors import ConfigError, ModelError
from sincut.files import write_whole
from sincut.model.card import model_card
from sincut.model.limits import Limits
from sincut.nets.balance import REACH, Balance
from sincut.nets.colour import ColourMap
from sincut.nets.layers import CHROMA_REACH, SMOOTH_REACH, smoothed, without_border, without_chroma_grain
from sincut.nets.networks import STRIDE, Generator, Projector

FORMAT = "sincut"
VERSION = 8  # since 2 colour.smooth, networks.smooth; 3 colour.grain, colour.balance; 4 losses.large, networks.detail;
# 5 networks.noise, schedule.enough_steps; 6 colour.balance knows outlines; 7 crops.places, no schedule.most_steps;
# 8 ensemble
MODEL_FILE = "model.safetensors"
CHECKPOINT_FILE = "checkpoint.safetensors"
HEADS, BALANCE = "projector.", "balance."  # of their names in a file


def model_path(path: Path) -> Path:
    """The model file of a run folder; any other path is taken for the model file itself."""
    return path / MODEL_FILE if path.is_dir() else path


@dataclass
class Model:
    """The averaged generator, the colour map before it, and where both come from."""

    generator: Generator
    colour: ColourMap
    config: Config
    provenance: dict[str, Any] = field(default_factory=dict)
    texture: float = 0.0  # variance below which the input is smoothed; 0: it is not
    grain: float = 1.0  # the part of the input's chroma grain that is kept
    balance: Balance | None = None  # of the output
    projector: Projector | None = None  # the heads, where they were asked for

    def translate(self, image: Tensor, noise: Tensor) -> Tensor:
        """(N, 3, H, W) in [-1, 1] with noise (N, 1, H, W) -> (N, 3, H, W), not clipped.

        Brush strokes are smoothed, colours mapped, chroma grain is taken away, then G runs; its output is balanced.
        """
        out: Tensor = self.generator(self._prepared(image), noise)
        return self.balance(out) if self.balance else out

    def translate_middle(self, window: Tensor, noise: Tensor) -> Tensor:
        """`translate` of a window without its halo, see `Generator.translate_middle`.

        Noise is that of the result and of `noise_reach` pixels around it.
        """
        out = self.generator.translate_middle(without_border(self._prepared(window), self._margin), noise)
        return without_border(self.balance(out), REACH) if self.balance else out

    def encode_middle(self, window: Tensor, last: int) -> list[Tensor]:
        """Features of layers 0..last, as PatchNCE has seen them, of a window without its outer `encoder_halo`."""
        return self.generator.encode_middle(without_border(self._prepared(window), self._margin), last)

    def encoder_halo(self, last: int) -> int:
        """How many pixels around those that it stands for can influence a feature, a multiple of G's stride."""
        return self.generator.encoder_halo(last) + self._margin

    @property
    def halo(self) -> int:
        """How many pixels to any side of an output pixel can influence it, a multiple of G's stride."""
        return self.generator.halo + self._margin + self._finishing

    @property
    def limits(self) -> Limits:
        """Any size, in tiles that start at multiples of G's stride and have a halo around them."""
        return Limits(self.halo, STRIDE)

    @property
    def noise_reach(self) -> int:
        """How many pixels around a part of the output have noise that can influence it, see the generator's."""
        return self.generator.noise_reach + self._finishing

    @property
    def _finishing(self) -> int:
        """How far what is done after G sees."""
        return REACH if self.balance else 0

    @property
    def _margin(self) -> int:
        """How far what is done before G sees."""
        return (SMOOTH_REACH if self.texture else 0) + (CHROMA_REACH if self.grain < 1 else 0)

    def _prepared(self, image: Tensor) -> Tensor:
        mapped = self.colour(smoothed(image, self.texture) if self.texture else image)
        return without_chroma_grain(mapped, self.grain) if self.grain < 1 else mapped

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return model_card(self.config, self.provenance)

    def save(self, path: Path) -> None:
        """Write the model file, complete or not at all. Raises `ModelError`."""
        tensors = {f"generator.{name}": value for name, value in self.generator.state_dict().items()}
        tensors |= {"colour.matrix": self.colour.matrix, "colour.offset": self.colour.offset}
        tensors["colour.texture"] = torch.tensor(self.texture, dtype=torch.float64)
        tensors["colour.grain"] = torch.tensor(self.grain, dtype=torch.float64)
        if self.balance is not None:
            tensors |= {f"{BALANCE}{name}": value for name, value in vars(self.balance).items()}
        if self.projector is not None:
            tensors |= {f"{HEADS}{name}": value for name, value in self.projector.state_dict().items()}
        metadata = {"config": json.dumps(self.config.to_dict()), "provenance": json.dumps(self.provenance)}
        save_tensors(path, tensors, metadata)

    @classmethod
    def load(cls, path: Path, heads: bool = False) -> "Model":
        """The model of a run folder or of a model file, on demand with the projection heads. Raises `ModelError`.

        Earlier versions kept the heads in the checkpoint alone; a run folder's are taken from there.
        """
        folder = path if path.is_dir() else None
        path = model_path(path)
        tensors, metadata = load_tensors(path, lambda name: not name.startswith(HEADS))
        try:
            config = Config.from_dict(json.loads(metadata["config"]))
            provenance = json.loads(metadata["provenance"])
            if not isinstance(provenance, dict):
                raise ValueError("its provenance is no object")
            weights = {k.removeprefix("generator."): v for k, v in tensors.items() if k.startswith("generator.")}
            noisy = any(name.startswith("noise.") for name in weights)
            _check_weights(config, noisy, weights)
            with torch.random.fork_rng(devices=[]):  # drawing weights only to replace them must not disturb the caller
                generator = Generator(config.networks, noisy)
            generator.load_state_dict(weights)
            generator.smooth_below(float(generator.texture))
            colour = ColourMap(tensors["colour.matrix"], tensors["colour.offset"])
            if colour.matrix.shape != (3, 3) or colour.offset.shape != (3,):
                raise ValueError("the colour map has a wrong shape")
            texture, grain = amounts = [float(tensors[f"colour.{name}"]) for name in ("texture", "grain")]
            closing = {key.removeprefix(BALANCE): value for key, value in tensors.items() if key.startswith(BALANCE)}
            balance = Balance(**closing) if closing else None  # none before the end of a training
            numbers = [*weights.values(), colour.matrix, colour.offset, torch.tensor(amounts), *closing.values()]
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
        return cls(
            generator.eval().requires_grad_(False), colour, config, provenance, texture, grain, balance, projector
        )


def describe(path: Path) -> tuple[Config, dict[str, Any]]:
    """Configuration and provenance of a run folder or model file; its weights are not read. Raises `ModelError`."""
    path = model_path(path)
    metadata = load_metadata(path)
    try:
        provenance = json.loads(metadata["provenance"])
        if not isinstance(provenance, dict):
            raise ValueError("its provenance is no object")
        return Config.from_dict(json.loads(metadata["config"])), provenance
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError, ConfigError) as error:
        raise ModelError(f"{path}: is not a complete sincut model ({error}); give a model that train wrote") from None


def _check_weights(config: Config, noisy: bool, weights: Mapping[str, Tensor]) -> None:
    """Raise ValueError where settings and weights do not fit; before anything of the claimed size is allocated."""
    with torch.device("meta"):
        network = Generator(config.networks, noisy)
    _check_shapes(network, weights)


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


def save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """A safetensors file of this format's current version, written beside its name and renamed."""
    stamped = {"format": FORMAT, "version": str(VERSION), **metadata}
    data = serialise({k: v.detach().cpu().contiguous() for k, v in tensors.items()}, metadata=stamped)
    write_whole(path, data, ModelError)


def load_tensors(
    path: Path, wanted: Callable[[str], bool] = lambda name: True
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The `wanted` tensors (all by default) and metadata of a file that `save_tensors` wrote. Raises `ModelError`."""
    if not path.is_file():
        where = path.parent if path.name == MODEL_FILE else path
        raise ModelError(f"{where}: no model there; give a run folder or its {MODEL_FILE}")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = dict(file.metadata() or {})
            _check_format(path, metadata)
            tensors = {name: file.get_tensor(name).clone() for name in filter(wanted, file.keys())}
    except (SafetensorError, OSError, ValueError) as error:
        what = str(error).splitlines()[0]
        raise ModelError(f"{path}: is damaged or no model file ({what}); copy it again or train anew") from None
    return _upgraded(tensors, metadata)


def load_metadata(path: Path) -> dict[str, str]:
    """The metadata alone of a file that `save_tensors` wrote. Raises `ModelError`."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = dict(file.metadata() or {})
            _check_format(path, metadata)
    except (SafetensorError, OSError, ValueError) as error:
        what = str(error).splitlines()[0]
        raise ModelError(f"{path}: is damaged or no model file ({what}); copy it again or train anew") from None
    return _upgraded({}, metadata)[1]


def _upgraded(tensors: dict[str, Tensor], metadata: dict[str, str]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """A model or checkpoint as this version would have written it: what came later is switched off in it."""
    version = int(metadata["version"])
    if version == VERSION:
        return tensors, metadata
    added: dict[str, Tensor] = {}
    off: list[tuple[str, str, bool | float]] = []
    if version < 8:
        off += [("ensemble", "members", 1)]
    if version < 7:
        off += [("crops", "places", 1)]
    if version < 5:
        off += [("networks", "noise", False), ("schedule", "enough_steps", 0)]
    if version < 4:
        off += [("losses", "large", 0.0), ("networks", "detail", 0.0)]
    if version < 3:
        added["colour.grain"] = torch.ones(())
        off += [("colour", "grain", False), ("colour", "balance", False)]
    if version < 2:
        added |= dict.fromkeys(("colour.texture", "generator.texture", "average.texture"), torch.zeros(()))
        off += [("colour", "smooth", 0.0), ("networks", "smooth", 0.0)]
    try:
        config = json.loads(metadata["config"])
        config.setdefault("ensemble", {})
        for section, name, value in off:
            config[section].setdefault(name, value)
        config["schedule"].pop("most_steps", None)
    except (KeyError, ValueError, AttributeError, TypeError, RecursionError):
        return tensors, metadata  # damaged: whoever reads the configuration says so
    return added | tensors, {**metadata, "config": json.dumps(config)}


def _check_format(path: Path, metadata: Mapping[str, str]) -> None:
    if metadata.get("format") != FORMAT:
        raise ModelError(f"{path}: is a safetensors file, but not sincut's; give a run folder or its {MODEL_FILE}")
    version = metadata.get("version", "")
    if not version.isdigit() or int(version) > VERSION:
        raise ModelError(
            f"{path}: has format version {version}, this sincut reads up to {VERSION}; update it: pip install -U sincut"
        )
