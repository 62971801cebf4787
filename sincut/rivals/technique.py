"""An algorithm that gives a whole picture the look of another one, by a network that was trained on other pictures.

Nothing is learned from the two pictures beforehand: each picture is compared with the target anew. So a model of this
kind (`model.py`) is the target, the network, and the settings. A further technique derives from `Technique` and stands
in the table of `techniques.py`.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sincut.config.sections import Rival
from sincut.model.kinds import Told, untold
from sincut.nets.vgg import NAMES, Vgg, read_vgg, vgg_of, weights_file


class Technique(nn.Module, ABC):
    """A network with the algorithm that uses it, and the settings of that; it is never trained itself."""

    unit: ClassVar[str] = "iterations"  # what `rounds` counts
    most_pixels: ClassVar[int] = 16_000_000  # of a picture: beyond this it takes days

    def __init__(self, settings: Rival) -> None:
        super().__init__()
        self.settings = settings

    @classmethod
    @abstractmethod
    def files(cls, settings: Rival) -> tuple[Path, ...]:
        """The user's files that hold the weights. Raises `ModelError`, which says what is missing, if one is not there.

        They are only looked for: nothing is read, and nothing is downloaded.
        """

    @classmethod
    @abstractmethod
    def read(cls, settings: Rival) -> "Technique":
        """The technique with the weights of `files`. Raises `ModelError` for wrong ones."""

    @classmethod
    @abstractmethod
    def of_tensors(cls, tensors: Mapping[str, Tensor], settings: Rival) -> "Technique":
        """The technique with the tensors of its `state_dict`. Raises ValueError where they do not fit."""

    @abstractmethod
    def restyled(self, content: Tensor, style: Tensor, random: torch.Generator, told: Told = untold) -> Tensor:
        """The content in the look of the style, (1, 3, H, W) of the content's size, in [-1, 1].

        Both are (1, 3, H, W) in [-1, 1], of any sizes. `random`, on the CPU, draws all that is drawn at random; `told`
        hears which share of the work is done. Gradients are on.
        """

    @abstractmethod
    def rounds(self, size: tuple[int, int]) -> int:
        """The number of iterations that a picture (H, W) takes, by which progress is told."""

    @property
    @abstractmethod
    def pixel_bytes(self) -> int:
        """Bytes per pixel of the picture, roughly, of all that is alive at once."""

    @property
    def fixed_bytes(self) -> int:
        """Bytes of what is alive at once whatever the size of the picture, roughly; 0 where that is little."""
        return 0

    def sample(self) -> "tuple[Technique, float] | None":
        """A technique that does a small part of the work, to time it, and how many times as much this one does.

        None where a small picture is a small part already.
        """
        return None


class VggTechnique(Technique):
    """A technique whose network is VGG-19 up to a layer, with the weights of torchvision's file or of another."""

    last: ClassVar[str]  # the deepest layer that is used, such as relu5_1

    def __init__(self, vgg: Vgg, settings: Rival) -> None:
        super().__init__(settings)
        self.vgg = vgg

    @staticmethod
    def pooling(settings: Rival) -> str:
        """The kind of pooling, as published by default."""
        return "max"

    @classmethod
    def files(cls, settings: Rival) -> tuple[Path, ...]:
        """The file of VGG-19's weights."""
        return (weights_file(settings.weights),)

    @classmethod
    def read(cls, settings: Rival) -> Self:
        """With the weights of that file, as far as they are used."""
        (file,) = cls.files(settings)
        return cls(read_vgg(file, cls.last, cls.pooling(settings)), settings)

    @classmethod
    def of_tensors(cls, tensors: Mapping[str, Tensor], settings: Rival) -> Self:
        """The inverse of `state_dict`."""
        own = {name.removeprefix("vgg."): value for name, value in tensors.items()}
        vgg = vgg_of(own, cls.pooling(settings))
        if NAMES[len(vgg.widths) - 1] != cls.last.removeprefix("relu"):
            raise ValueError(f"its network does not end with {cls.last.replace('relu', 'conv')}")
        return cls(vgg, settings)


def no_longer(image: Tensor, side: int) -> Tensor:
    """(1, 3, H, W) with sides of at most `side` px, its aspect kept; smaller ones stay as they are."""
    factor = side / max(image.shape[2:])
    if factor >= 1:
        return image
    h, w = (max(1, round(length * factor)) for length in image.shape[2:])
    return resized(image, (h, w))


def resized(image: Tensor, size: tuple[int, int]) -> Tensor:
    """(1, 3, H, W) at another size, bilinearly, and antialiased where it becomes smaller; differentiable."""
    if (image.shape[2], image.shape[3]) == size:
        return image
    smaller = image.shape[2] > size[0] or image.shape[3] > size[1]
    return F.interpolate(image, size, mode="bilinear", antialias=smaller)
