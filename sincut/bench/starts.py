"""Delays of the commands `train` and `apply`: from the start of the process to the first step or the first tile."""

import json
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from sincut.bench.alone import STOPPED, OutOfTimeError
from sincut.bench.parts import SIDE, untrained
from sincut.config.sections import Config
from sincut.errors import Interrupted, SincutError
from sincut.files import write_whole
from sincut.pictures.picture import Picture
from sincut.pictures.writing import save
from sincut.runs import child

GRACE = 2.0  # seconds in which a command may end by itself; what it makes is of no use
SMALL = 64  # px of the picture that `apply` begins with


def first_step_seconds(
    config: Config, device: torch.device, limit: float, stop: Callable[[], bool] = lambda: False
) -> float:
    """Seconds from the start of the command `train` to its first finished step. Raises as `_heard`."""
    with tempfile.TemporaryDirectory() as made:
        return _heard(training_command(config, device, Path(made)), "Progress", limit, stop)


def first_tile_seconds(
    config: Config, device: torch.device, limit: float, stop: Callable[[], bool] = lambda: False
) -> float:
    """Seconds from the start of the command `apply --fast` to its first tile, of a picture of `SMALL` px.

    Raises as `_heard`.
    """
    with tempfile.TemporaryDirectory() as made:
        model, picture = Path(made, "model.safetensors"), _picture(Path(made), SMALL)
        untrained(config, device).model.save(model)
        words = child.command(model, picture, "-o", Path(made, "out.png"), "--fast", "--json", name="apply")
        return _heard([*words, "--device", str(device)], "TileDone", limit, stop)


def training_command(config: Config, device: torch.device, folder: Path) -> list[str]:
    """`sincut train` with these settings on made-up pictures, all in a folder; each step is an event in JSON."""
    preset, picture = folder / "measured.toml", _picture(folder, SIDE)
    write_whole(preset, config.to_toml().encode(), SincutError)
    words = child.command(picture, picture, "-o", folder / "run", "--json", "--preset", preset)
    return [*words, "--device", str(device), "--set", "output.log_every=1"]


def event_of(line: str) -> str:
    """The name of the event in a line of a command's stderr; empty for other lines."""
    return str(json.loads(line).get("event", "")) if line.startswith("{") else ""


def _heard(words: Sequence[str], event: str, limit: float, stop: Callable[[], bool]) -> float:
    """Seconds from the start of a command to its first event of a name; then it is stopped.

    Raises `OutOfTimeError` after `limit` seconds, `Interrupted` once `stop` is true, and `SincutError` if the command
    ends before.
    """
    heard, began = list[float](), time.perf_counter()

    def hear(line: str) -> None:
        if event_of(line) == event:
            heard.append(time.perf_counter() - began)

    def over() -> bool:
        return bool(heard) or stop() or time.perf_counter() - began > limit

    ended = child.attend(words, hear, over, GRACE)
    if heard:
        return heard[0]
    if stop():
        raise Interrupted(STOPPED)
    if ended.asked:
        raise OutOfTimeError(f"not done within {limit:.0f} s")
    raise SincutError(f"{words[3]} ended before its {event}: {ended.last_line.strip()}")


def _picture(folder: Path, side: int) -> Path:
    """A made-up square picture of noise in a folder."""
    path = folder / f"made-up-{side}.png"
    save(Picture(np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)), path)
    return path
