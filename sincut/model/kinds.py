"""Models of all kinds: what translating, runs and reports ask of one, and who loads the file of which kind.

A `Model` (`model.py`) has a G, which translates in tiles. Other kinds derive from `AnyModel` and register their loader;
the metadata of their files say the kind, and those of a `Model`, as in all earlier versions, say none.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn

from sincut.config.sections import Config
from sincut.errors import ModelError
from sincut.model.card import model_card
from sincut.model.exemplar import REMEDY, Size
from sincut.model.file import load_metadata, model_path
from sincut.model.limits import Limits
from sincut.model.provenance import Provenance
from sincut.nets.colour import ColourMap
from sincut.nets.noise import noise_at

KIND = "kind"  # its name in a file's metadata
TRANSLATOR = "translator"  # the kind of a `Model`
Told = Callable[[float], None]  # hears which share of the work is done, in 0..1


def untold(share: float) -> None:
    """Hears how far the work is, and ignores it."""


class AnyModel(ABC):
    """A learned translation of pictures (N, 3, H, W) in [-1, 1], of any kind, with its settings and provenance."""

    kind: ClassVar[str]
    dials_remedy: ClassVar[str] = REMEDY  # what to do where dials are turned, and there is no exemplar
    config: Config
    provenance: Provenance

    @property
    @abstractmethod
    def limits(self) -> Limits:
        """Limits for cutting pictures into tiles, and for the size of what is translated at once."""

    @property
    @abstractmethod
    def pixel_bytes(self) -> int:
        """Bytes per pixel of all that is alive at once in a translation, roughly."""

    @property
    def fixed_bytes(self) -> int:
        """Bytes of what is alive whatever the size of the picture, of a model that takes it whole; 0: little is."""
        return 0

    @property
    @abstractmethod
    def networks(self) -> tuple[nn.Module, ...]:
        """The networks, which are moved to the device that translates."""

    @property
    def exemplars(self) -> tuple[Tensor, ...]:
        """Pixels (H, W, 3) from which translations are drawn afterwards; none if they are not."""
        return ()

    @abstractmethod
    def translate_middle(self, window: Tensor, noise: Tensor, told: Told = untold) -> Tensor:
        """The translation of a window (N, 3, H, W), not clipped, without the border that its `limits` say.

        `noise` (N, C, ...), see there, covers the result and `noise_reach` px around it.
        """

    @abstractmethod
    def save(self, path: Path) -> None:
        """Write the model file, complete or not at all. Raises `ModelError`."""

    def rounds(self, size: tuple[int, int]) -> int:
        """Parts of the work on a window of `size` (H, W) that are told one by one, in `unit`; 1 for a tile of G."""
        return 1

    @property
    def unit(self) -> str:
        """What `rounds` counts, in words."""
        return "tiles"

    def sample(self) -> "tuple[AnyModel, float] | None":
        """A model that does a small part of the work, to time it, and how many times as much this one does.

        None where a small picture is a small part already.
        """
        return None

    def noise(self, rows: Tensor, columns: Tensor) -> Tensor:
        """The noise (1, C, H, W) at absolute positions (H,), (W,), for `translate_middle`."""
        return noise_at(rows, columns)

    @property
    def noise_reach(self) -> int:
        """Radius in px within which noise influences an output box aligned to the stride."""
        return 0

    @property
    def widths(self) -> tuple[float, float]:
        """The least and the largest width in px at which a training has shown its source; 1 and infinity for any."""
        return 1.0, math.inf

    @property
    def colour_maps(self) -> tuple[ColourMap, ...]:
        """The colour maps that pictures go through first."""
        return ()

    @property
    def colour_matrix(self) -> Tensor:
        """Matrix (3, 3) of all colour maps together; it maps differences of colours, such as fine detail."""
        matrix = torch.eye(3)
        for colour_map in self.colour_maps:
            matrix = colour_map.matrix.float() @ matrix
        return matrix

    @property
    def exemplar_sizes(self) -> tuple[Size, ...]:
        """Height and width in px of each picture of its targets that the model carries."""
        return tuple((each.shape[0], each.shape[1]) for each in self.exemplars)

    @property
    def exemplar_size(self) -> Size | None:
        """Height and width in px of the first of them; None if the model carries none."""
        return next(iter(self.exemplar_sizes), None)

    def _repr_html_(self) -> str:
        """A card for notebooks."""
        return model_card(self.config, self.provenance, self.exemplar_sizes)


Load = Callable[[Path, bool], AnyModel]  # of a run folder or model file, with the projection heads or without

LOADERS: dict[str, Load] = {}


def register_kind(kind: str, load: Load) -> None:
    """Register the loader of files of a kind. Raises ValueError if it has another one already."""
    if LOADERS.setdefault(kind, load) is not load:
        raise ValueError(f"there is a loader of the kind {kind!r} already; give this kind another name")


def kind_of(metadata: Mapping[str, str]) -> str:
    """The kind of a model file with these metadata."""
    return metadata.get(KIND, TRANSLATOR)


def load_kind(path: Path, heads: bool = False) -> AnyModel:
    """The model of a run folder or model file of any registered kind, with `heads` also the projection heads of a
    `Model`. Raises `ModelError`."""
    file = model_path(path)
    kind = kind_of(load_metadata(file)) if file.is_file() else TRANSLATOR  # whose loader says what is missing
    if kind not in LOADERS:
        raise ModelError(f"{file}: is a model of the kind {kind!r}, which this sincut does not know; update it")
    return LOADERS[kind](path, heads)
