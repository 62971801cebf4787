"""Results of finished runs: the picture that was learned from, translated at its own size, and figures of that."""

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from sincut.errors import ImageError, Interrupted
from sincut.events import Event
from sincut.model.provenance import ROLES, Provenance, number
from sincut.pictures import reading, writing
from sincut.pictures.picture import Picture
from sincut.pictures.writing import Saving
from sincut.report import measures
from sincut.report.history import SHOWN_OF_SET, History
from sincut.report.study_table import PARAMETERS
from sincut.runs.finding import find
from sincut.translation.loading import load_model
from sincut.translation.options import Options
from sincut.translation.translator import Translator

WARM_UP = 4  # the first of so many parts of a training is left out of its steady part


@dataclass(frozen=True, eq=False)
class Judge:
    """The pictures by which results are judged: the source that each model translates, its target, and the truth.

    Of sets, these are the first source, and the first targets together. Translations are those that users get, or with
    `fast` what G alone gives.
    """

    source: Picture
    targets: tuple[Picture, ...]
    truth: Picture | None = None  # of the source's size: what its translation should be
    device: torch.device | str = "cpu"
    fast: bool = False

    @classmethod
    def load(
        cls,
        painting: Path,
        photo: Path,
        reverse: bool = False,
        truth: Path | None = None,
        device: torch.device | str = "cpu",
        fast: bool = False,
    ) -> "Judge":
        """The judge of trainings with these files. Raises `ImageError`, also for a truth of another size."""
        sides = dict(zip(ROLES, (painting, photo), strict=True))
        source, target = reversed(ROLES) if reverse else ROLES
        (scene,), looks = _first(sides[source], source, 1), _first(sides[target], target, SHOWN_OF_SET)
        true = reading.load(truth) if truth else None
        if true is not None:
            measures.check_truth(true, scene)  # before the hours of training, not after
        return cls(scene, looks, true, device, fast)

    @property
    def target(self) -> Picture:
        """The target, of a set the first."""
        return self.targets[0]

    def judged(
        self,
        run: Path,
        output: Path,
        saving: Saving = writing.AS_IT_CAME,
        stop: Callable[[], bool] = lambda: False,
    ) -> tuple[Provenance, dict[str, float]]:
        """Write what the model of a run folder makes of the source to `output`; its provenance, and the figures.

        There are none of pictures that are too small for them. Raises `ModelError` or `ImageError`, and `Interrupted`
        once `stop`, which is asked after each tile, is true.
        """

        def go_on(event: Event) -> None:
            if stop():
                raise Interrupted(f"{run}: stopped as it translated; the same command goes on")

        model = load_model(run)
        picture = Translator(model, self.device).apply_picture(self.source, Options(fast=self.fast), go_on)
        writing.save(picture, output, saving)
        return model.provenance, measures.measured(self.source, self.targets, picture, self.truth)


def _first(side: Path, role: str, count: int) -> tuple[Picture, ...]:
    """The first `count` pictures of a side that can be read. Raises `ImageError` where there are none."""
    side_found = find(side, role)
    pictures = list[Picture]()
    for path in side_found.paths:
        try:
            pictures.append(reading.load(path))
        except ImageError:
            if len(side_found.images) == 1:
                raise
        if len(pictures) == count:
            break
    if not pictures:
        raise ImageError(f"{side}: none of its {len(side_found.images)} pictures can be read; give others")
    return tuple(pictures)


def costs(run: Path, told: Provenance) -> dict[str, float]:
    """Costs of a training, by column of `report.study_table`, as far as its metrics and its model tell.

    Raises `RunError` if the metrics cannot be read.
    """
    history = History.read(run)
    session = history.sessions[-1] if history.sessions else {}
    counts = session.get("parameters")
    networks = counts.items() if isinstance(counts, dict) else ()
    numbers = {
        "step_seconds": steady(history),
        "memory_gb": round(history.memory / 1e9, 3) or None,
        "seconds": told.seconds,
        "steps": told.steps or None,
        "crops": told.crops,
        "members": told.members,
        **{f"{PARAMETERS}{name}": number(count) for name, count in networks},
    }
    return {name: value for name, value in numbers.items() if value is not None}


def steady(history: History) -> float | None:
    """Median seconds of a step, without the first part of a training and without distillation, whose steps are others.

    None if the metrics have no times.
    """
    paces = [each for step, each in history.paces.items() if "distil" not in history.losses.get(step, {})]
    paces = paces[-(-len(paces) // WARM_UP) :] if len(paces) > 1 else paces
    return float(f"{statistics.median(paces):.4g}") if paces else None
