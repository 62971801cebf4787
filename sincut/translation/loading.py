"""Model files of all kinds that ship, loaded by the kind that they say they are of."""

from pathlib import Path

import sincut.model.model
import sincut.rivals.model  # noqa: F401 (as the line above: each registers its kind)
from sincut.model.kinds import AnyModel, load_kind


def load_model(path: Path, heads: bool = False) -> AnyModel:
    """The model of a run folder or model file; with `heads` also the projection heads, of one that has a G.

    Raises `ModelError`.
    """
    return load_kind(path, heads)
