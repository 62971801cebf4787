"""A model of another algorithm: the target's pixels, a trained network with its technique, settings and provenance.

The file holds all of it, so that it can be applied anywhere, by Ray's workers too, and gives the same there: of VGG-19
what is used, some 52 MB, and the target as the exemplar of a `Model`, losslessly. Nothing is drawn from these pixels.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn

from sincut.config.sections import Config
from sincut.errors import ConfigError, ModelError
from sincut.model.exemplar import Size, from_file, to_file
from sincut.model.file import load_tensors, model_path, save_tensors
from sincut.model.kinds import KIND, AnyModel, Told, register_kind, untold
from sincut.model.limits import Limits
from sincut.model.provenance import Provenance
from sincut.pictures.picture import to_tensor
from sincut.rivals.technique import Technique
from sincut.rivals.techniques import TECHNIQUES

RIVAL = "rival"  # the kind
NETWORK = "network."  # begins the names of the tensors of its network


@dataclass(eq=False)
class RivalModel(AnyModel):
    """A technique with the picture whose look it gives, and with what an `AnyModel` tells of itself.

    Pictures are translated whole, in float32 whatever the precision of a translator.
    """

    kind = RIVAL
    dials_remedy: ClassVar[str] = "a model of another method draws from none: leave them out"
    technique: Technique
    look: Tensor  # the target (H, W, 3), uint8 in sRGB, on the CPU
    config: Config
    provenance: Provenance = field(default_factory=Provenance)

    @property
    def unit(self) -> str:
        """What progress is told in: the technique's iterations."""
        return self.technique.unit

    @property
    def limits(self) -> Limits:
        """Whole pictures, up to a size."""
        return Limits(None, most_pixels=self.technique.most_pixels)

    @property
    def pixel_bytes(self) -> int:
        """Bytes per pixel of what the technique holds at once."""
        return self.technique.pixel_bytes

    @property
    def fixed_bytes(self) -> int:
        """Bytes of what the technique holds whatever the size of the picture."""
        return self.technique.fixed_bytes

    @property
    def networks(self) -> tuple[nn.Module, ...]:
        """The technique, which is a module."""
        return (self.technique,)

    @property
    def exemplar_sizes(self) -> tuple[Size, ...]:
        """Height and width in px of the target that the model carries, though nothing is drawn from it."""
        return ((self.look.shape[0], self.look.shape[1]),)

    def rounds(self, size: tuple[int, int]) -> int:
        """The technique's iterations for a picture of this size."""
        return self.technique.rounds(size)

    def sample(self) -> tuple[AnyModel, float] | None:
        """A model with a small part of the work, if its technique has one."""
        sample = self.technique.sample()
        if sample is None:
            return None
        return RivalModel(sample[0], self.look, self.config, self.provenance), sample[1]

    def translate_middle(self, window: Tensor, noise: Tensor, told: Told = untold) -> Tensor:
        """The whole pictures (N, 3, H, W) in the target's look; the noise has no say.

        Random choices begin anew at each with the seed of the settings, so that a picture always gives the same.
        """
        with torch.inference_mode(False), torch.enable_grad(), torch.autocast(window.device.type, enabled=False):
            style = to_tensor(self.look.numpy()).to(window.device)
            out = []
            for image in window.clone().float().split(1):
                random = torch.Generator().manual_seed(self.config.schedule.seed)
                out.append(self.technique.restyled(image, style, random, told).detach())
            return torch.cat(out)

    def save(self, path: Path) -> None:
        """Write the model file, complete or not at all. Raises `ModelError`."""
        pixels, size = to_file([self.look])
        tensors = {f"{NETWORK}{name}": value for name, value in self.technique.state_dict().items()}
        said = {"config": self.config.to_dict(), "provenance": self.provenance.to_dict()}
        metadata = {KIND: RIVAL, **{name: json.dumps(value) for name, value in said.items()}}
        save_tensors(path, tensors | pixels, metadata | size)

    @classmethod
    def load(cls, path: Path, heads: bool = False) -> "RivalModel":
        """The model of a run folder or model file. Raises `ModelError`, also if `heads` are asked for: it has none."""
        path = model_path(path)
        tensors, metadata = load_tensors(path)
        try:
            config = Config.from_dict(json.loads(metadata["config"]))
            provenance = Provenance.parse(json.loads(metadata["provenance"]))
            name, look = config.method.algorithm, from_file(tensors, metadata)
            if name not in TECHNIQUES:
                raise ConfigError(f"method.algorithm={name}")
            weights = {k.removeprefix(NETWORK): v for k, v in tensors.items() if k.startswith(NETWORK)}
            if len(look) != 1:
                raise ValueError("its target is missing")
            if not all(value.is_floating_point() and bool(value.isfinite().all()) for value in weights.values()):
                raise ValueError("some of its weights are not finite numbers")
            technique = TECHNIQUES[name].of_tensors(weights, config.rival)
        except ConfigError as error:
            raise ModelError(f"{path}: holds settings this version does not know ({error}); update sincut") from None
        except (KeyError, ValueError, RuntimeError, AttributeError, TypeError) as error:
            what = str(error).splitlines()[0]
            raise ModelError(f"{path}: is not a complete model ({what}); give a model that train wrote") from None
        if heads:
            raise ModelError(f"{path}: is a model of {name}, which has no encoder of its own to compare with")
        return cls(technique.eval().requires_grad_(False), look[0], config, provenance)


register_kind(RIVAL, RivalModel.load)
