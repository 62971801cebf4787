"""Model and checkpoint files: safetensors (https://github.com/huggingface/safetensors), never pickle.

The metadata of a file are strings: `format`, `version`, and as JSON `config`, the settings as given; `networks`, those
of the networks with nothing left to choose; `before` and `after`, the kinds of the filters before and after G;
`provenance`; and where there is one, the width and height of the `exemplar`. Files of all earlier versions are read:
what their formats lack is filled in here, and nowhere else. A file of a newer version is refused with its number.
"""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialise
from torch import Tensor

from sincut.errors import ModelError
from sincut.files import write_whole

FORMAT = "sincut"
VERSION = 11
MODEL_FILE = "model.safetensors"
MODEL_BEFORE = "model-before.safetensors"  # of a run that was made longer: its model until then
CHECKPOINT_FILE = "checkpoint.safetensors"
BALANCE = "balance."  # begins the names of a balance's tensors

Settings = Mapping[str, Mapping[str, Any]]  # values by section and key

# Settings that are new in a format, with the values that they have in files of earlier formats.
CAME_WITH: dict[int, Settings] = {
    2: {"colour": {"smooth": 0.0}, "networks": {"smooth": 0.0}},
    3: {"colour": {"grain": False, "balance": False}},
    4: {"networks": {"detail": 0.0}},
    5: {"networks": {"noise": False}, "schedule": {"enough_steps": 0}},
    7: {"crops": {"places": 1}},
    8: {"ensemble": {"members": 1}},
    10: {"synthesis": {"exemplar": False}},
}
# The defaults up to format 8 (those of the preset standard), which apply to settings that an earlier file does not
# hold.
DEFAULTS_UNTIL_8: Settings = {
    "crops": {"excess": 2.0, "own_scales": True, "places": 2, "count": 4},
    "networks": {"stem": 16, "inner": 48, "noise": True, "residual": 1.0, "smooth": 3.0, "discriminator": 0.5,
                 "detail": 3.0},
    "colour": {"smooth": 3.0, "map": True, "grain": True, "balance": True},
    "losses": {"nce": 1.7, "identity": False, "same": 0.0, "guide": 300.0, "guide_until": 0.5, "guide_end": 0.15,
               "layers": [0, 2, 4], "patches": 4, "spread": True, "false_negatives": 0.9, "r1_every": 4},
    "optimisation": {"learning_rate": 0.006, "full_rate_steps": 1000, "ema": 0.999},
    "schedule": {"steps": 0, "minutes": 15.0, "least_steps": 600, "enough_steps": 600},
    "ensemble": {"members": 3, "steps": 300},
}  # fmt: skip


def model_path(path: Path) -> Path:
    """The model file of a run folder; any other path is taken for the model file itself."""
    return path / MODEL_FILE if path.is_dir() else path


def is_model(path: Path) -> bool:
    """True if this names a model file, or a folder that holds one."""
    if os.path.isdir(path):  # unlike Path.is_dir and is_file, no errors of what may not be looked at
        return os.path.isfile(path / MODEL_FILE)
    return path.suffix.lower() == Path(MODEL_FILE).suffix


def save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a file of the current version, complete or not at all. Raises `ModelError`."""
    stamped = {"format": FORMAT, "version": str(VERSION), **metadata}
    data = serialise({k: v.detach().cpu().contiguous() for k, v in tensors.items()}, metadata=stamped)
    write_whole(path, data, ModelError)


def load_tensors(
    path: Path, wanted: Callable[[str], bool] = lambda name: True
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors whose names are `wanted` (all by default), and the metadata, as the current version writes them.

    Raises `ModelError`.
    """
    if not path.is_file():
        where = path.parent if path.name == MODEL_FILE else path
        raise ModelError(f"{where}: no model there; give a run folder or its {MODEL_FILE}")
    return _read(path, wanted)


def load_metadata(path: Path) -> dict[str, str]:
    """The metadata of a file, as the current version writes them. Raises `ModelError`."""
    return _read(path, lambda name: False)[1]


def _read(path: Path, wanted: Callable[[str], bool]) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = dict(file.metadata() or {})
            _check_format(path, metadata)
            names = set(file.keys())
            tensors = {name: file.get_tensor(name).clone() for name in filter(wanted, file.keys())}
    except (SafetensorError, OSError, ValueError) as error:
        what = str(error).splitlines()[0]
        raise ModelError(f"{path}: is damaged or no model file ({what}); copy it again or train anew") from None
    return _upgraded(tensors, metadata, names)


def _upgraded(
    tensors: dict[str, Tensor], metadata: dict[str, str], names: set[str]
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of any version as the current one would have written them.

    `names` are those of all tensors of the file, read or not.
    """
    version = int(metadata["version"])
    if version == VERSION:
        return tensors, metadata
    added: dict[str, Tensor] = {}
    if version < 3:
        added["colour.grain"] = torch.ones(())
    if version < 2:
        added |= {name: torch.zeros(()) for name in ("colour.texture", "generator.texture", "average.texture")}
    try:
        config = json.loads(metadata["config"])
        defaults = (DEFAULTS_UNTIL_8,) if version <= 8 else ()
        for settings in (*(CAME_WITH[v] for v in CAME_WITH if version < v), *defaults):
            for section, values in settings.items():
                config[section] = {**values, **config.get(section, {})}
        config["losses"].pop("large", None)  # of formats before 11: the weight of a second discriminator
        if version >= 9:
            return tensors, {**metadata, "config": json.dumps(config)}
        config["schedule"].pop("most_steps", None)  # of formats before 7
        networks = config["networks"]
        asked = bool(networks["noise"])
        networks["noise"] = "auto" if asked else "last"
    except (KeyError, ValueError, AttributeError, TypeError, RecursionError):
        return tensors, metadata  # damaged: reading the settings raises `ModelError`
    everywhere = any(name.startswith("generator.noise.") for name in names)
    settled = {**networks, "noise": "all" if everywhere else "none" if asked else "last"}
    filters = {
        "before": ["smoothing", "colour_map", "chroma_grain"],
        "after": ["balance"] if any(name.startswith(BALANCE) for name in names) else [],
    }
    said = {"config": config, "networks": settled, **filters}
    return added | tensors, {**metadata, **{name: json.dumps(value) for name, value in said.items()}}


def _check_format(path: Path, metadata: Mapping[str, str]) -> None:
    if metadata.get("format") != FORMAT:
        raise ModelError(f"{path}: is a safetensors file, but not sincut's; give a run folder or its {MODEL_FILE}")
    version = metadata.get("version", "")
    if not version.isdigit() or int(version) > VERSION:
        raise ModelError(
            f"{path}: has format version {version}, this sincut reads up to {VERSION}; update it: pip install -U sincut"
        )
