"""The curve of quality over training time: a training for each number of minutes and each seed, and its figures.

Every training is the command `sincut train` in a process of its own, so that its minutes are those a user waits. Its
run folder lies below the one folder of the curve, with the painting translated at full size beside the model. What is
finished there is not done again, what was interrupted goes on.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import torch

from sincut.config.resolve import override, schedule_flags
from sincut.config.sections import Config
from sincut.errors import Interrupted, RunError
from sincut.files import make_folder, write_whole
from sincut.runs.child import attend
from sincut.runs.pairs import command, finished
from sincut.runs.results import Judge
from sincut.runs.table import Pair

MINUTES = (2.0, 5.0, 10.0, 15.0, 30.0, 60.0)
RESULT_FILE = "curve.json"
OUTPUT_FILE = "translated.png"
GOES_ON = "stopped; the same command goes on"


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
    fast: bool = False,
    on_row: Callable[[dict[str, Any]], None] = lambda row: None,
    stop: Callable[[], bool] = lambda: False,
) -> list[dict[str, Any]]:
    """Train for each of `seeds` and `minutes` in turn, translate what was learned from, and measure the translation.

    `config` holds all other settings. `truth`, of the painting's size, is what the translation should be. Returns a row
    for each training: `minutes`, `seed`, `members` (trainings of its ensemble), `steps`, `crops` of a step, and the
    figures of `report.measures`, of the picture as users get it, or with `fast` of what G alone gives. The rows known
    so far stand in `curve.json` in `folder`, too, and go to `on_row`. Once `stop` is true, a training saves and ends.
    Raises `ImageError` for a `truth` of another size, `RunError` if a training fails, and `Interrupted` if one is
    stopped: the same call goes on.
    """
    judge = Judge.load(painting, photo, reverse, truth, device, fast)
    make_folder(folder, RunError)
    rows: list[dict[str, Any]] = []
    for seed in seeds:
        for budget in minutes:
            run = folder / f"{budget:g}-minutes-seed-{seed}"
            own = override(config, schedule_flags(budget, seed=seed))
            _train(Pair(run.name, painting, photo, run, own, reverse), device, stop)
            told, figures = judge.judged(run, run / OUTPUT_FILE, stop=stop)
            size = {
                "members": told.members or 1,  # which early models do not tell, nor crops
                "steps": told.steps,
                "crops": told.crops or config.crops.count,
            }
            rows.append({"minutes": budget, "seed": seed, **size, **figures})
            write_whole(folder / RESULT_FILE, json.dumps(rows, indent=2).encode(), RunError)
            on_row(rows[-1])
    return rows


def _train(pair: Pair, device: torch.device | str, stop: Callable[[], bool]) -> None:
    """Train as the command `sincut train` does, unless the run folder is finished."""
    if finished(pair):
        return
    if stop():
        raise Interrupted(GOES_ON)
    ended = attend(command(pair, str(device)), stop=stop)
    if ended.stopped:
        raise Interrupted(GOES_ON)
    if ended.code:
        raise RunError(f"{pair.folder}: the training failed, see above; mend it, then the same command goes on")
