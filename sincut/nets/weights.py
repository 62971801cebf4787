"""Weights of networks that others have trained, in files that the user has.

Nothing is downloaded. Files of torch are pickles, which can run whatever they like when they are opened; here torch
opens them with `weights_only`, so that anything but tensors in plain containers is refused.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from sincut.errors import ModelError

SAFE = ".safetensors"  # the suffix of files that hold tensors and cannot hold anything else


def hub_file(name: str) -> Path:
    """The file of that name where torch and torchvision keep what they have downloaded; it need not be there."""
    return Path(torch.hub.get_dir()) / "checkpoints" / name


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a state dict by name, on the CPU, from a file of torch (.pth, .pt) or a .safetensors file.

    Raises `ModelError` for a file that cannot be read, holds more than tensors, or holds numbers that are not finite.
    """
    if not path.is_file():
        raise ModelError(f"{path}: there is no such file of weights; give another with --weights")
    try:
        if path.suffix.lower() == SAFE:
            values: object = load_file(path)
        else:
            values = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path}: cannot be read ({_line(error)}); copy it again") from None
    except Exception as error:  # of a damaged pickle it can be any
        if type(error).__name__ == "UnpicklingError":
            raise ModelError(
                f"{path}: holds more than tensors, and was not opened, since it could run anything; give a state dict "
                "as torch.save(network.state_dict(), FILE) or safetensors writes it"
            ) from None
        raise ModelError(f"{path}: is damaged or no file of weights ({_line(error)}); copy it again") from None
    if not isinstance(values, Mapping) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in values.items()
    ):
        raise ModelError(f"{path}: is no state dict of tensors by name; give what network.state_dict() holds")
    for name, value in values.items():
        if value.is_floating_point() and not bool(value.isfinite().all()):
            raise ModelError(f"{path}: numbers in {name} are not finite; copy it again")
    return dict(values)


def _line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
