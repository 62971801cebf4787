"""Time against quality: a training for each number of minutes and each seed, and figures for what each of them learned.

Every training is the command `sincut train` in a process of its own, so that its minutes are those a user waits. Its
run folder lies below the one folder of the curve, with the painting translated at full size beside the model. What is
finished there is not done again, what was interrupted goes on.
"""

import json
import subprocess
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import torch

from sincut.config.sections import Config, override, schedule_flags
from sincut.errors import Interrupted, RunError
from sincut.files import make_folder, write_whole
from sincut.model.model import Model
from sincut.pictures import reading, writing
from sincut.report import measures
from sincut.runs.pairs import Pair, command, finished
from sincut.translation.translator import Translator

MINUTES = (2.0, 5.0, 10.0, 15.0, 30.0, 60.0)
RESULT_FILE = "curve.json"
OUTPUT_FILE = "translated.png"


def curve(
    painting: Path,
    photo: Path,
    folder: Path,
    config: Config,
    *,
    minutes: Sequence[float] = MINUTES,
    seeds: Iterable[int] = (0,),
    reverse: bool = False,
    truth: Path | None = None,
    device: torch.device | str = "cpu",
    on_row: Callable[[dict[str, Any]], None] = lambda row: None,
) -> list[dict[str, Any]]:
    """For each minutes and seed in turn `members` (trainings), `steps`, `crops` of each, and `measures`'s figures.

    The rows are written to `curve.json` in `folder` too, as far as they are known. `config` holds all other settings.
    Raises `ImageError` where the truth is not of the painting's size, `RunError` where a training fails, `Interrupted`
    where one was stopped: the same call goes on.
    """
    pictures = [reading.load(path) for path in (painting, photo, *([truth] if truth else []))]
    source, target, *true = pictures if not reverse else [pictures[1], pictures[0], *pictures[2:]]
    for picture in true:
        measures.check_truth(picture, source)  # before the hours of training, not after
    make_folder(folder, RunError)
    rows: list[dict[str, Any]] = []
    for seed in seeds:
        for budget in minutes:
            run = folder / f"{budget:g}-minutes-seed-{seed}"
            own = override(config, schedule_flags(budget, seed=seed))
            _train(Pair(run.name, painting, photo, run, own, reverse), device)
            model = Model.load(run)
            output = Translator(model, device).apply_picture(source)
            writing.save(output, run / OUTPUT_FILE)
            figures = measures.measure(source, target, output, *true)
            usual = {"members": 1, "steps": 0, "crops": config.crops.count}  # early models tell less
            size = {name: model.provenance.get(name, value) for name, value in usual.items()}
            rows.append({"minutes": budget, "seed": seed, **size, **figures})
            write_whole(folder / RESULT_FILE, json.dumps(rows, indent=2).encode(), RunError)
            on_row(rows[-1])
    return rows


def _train(pair: Pair, device: torch.device | str) -> None:
    """The run folder as `sincut train` makes it; nothing where it is finished."""
    if finished(pair):
        return
    with subprocess.Popen(command(pair, str(device)), stdout=subprocess.DEVNULL) as process:
        while True:
            try:
                code = process.wait()
                break
            except KeyboardInterrupt:  # the training heard it too, and is saving its work
                continue
    if code == 130:
        raise Interrupted("stopped; the same command goes on")
    if code:
        raise RunError(f"{pair.folder}: the training failed, see above; mend it, then the same command goes on")
