"""`sincut study`: presets compared on two pictures, from training to the page."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sincut.cli.children import parsed, tell_as_json, words
from sincut.cli.console import clock, print_json, print_table
from sincut.cli.signals import stoppable
from sincut.cli.types import (
    FOLDER,
    PATH,
    Direction,
    Names,
    Numbers,
    device_option,
    direction_options,
    fast_option,
    json_option,
    settings_option,
)
from sincut.errors import Interrupted, RunError, counted, listed

if TYPE_CHECKING:
    from sincut.report.study_table import Row, Table
    from sincut.runs.study import Study

PRESETS_HELP = "As --preset of train takes them, also A+B; the variants that the paper measures by default."
BASE_HELP = "Trained too, and each of --presets is laid over it; standard where --presets is not given."


@click.command(short_help="Train presets on the same pictures and compare them.")
@click.argument("painting", type=PATH)
@click.argument("photo", type=PATH)
@click.option("-o", "--output", type=FOLDER, required=True, metavar="FOLDER", help="Takes the page and all trainings.")
@click.option("--presets", type=Names(), default=(), metavar="NAME,...", help=PRESETS_HELP)
@click.option("--base", metavar="NAME", help=BASE_HELP)
@click.option("--seeds", type=Numbers(click.IntRange(0)), default="0,1", show_default=True, metavar="N,...",
              help="All of these for each preset.")  # fmt: skip
@click.option("--minutes", type=float, help="For each training; those of the first preset by default.")
@click.option("--steps", type=int, help="For each training, instead of --minutes.")
@settings_option
@direction_options
@click.option("--truth", type=PATH, help="What the painting shows as a photo, pixel by pixel: adds PSNR and SSIM.")
@click.option("--report-only", is_flag=True, help="Train nothing; write the page of what is finished.")
@device_option
@fast_option
@json_option
def study(
    painting: Path,
    photo: Path,
    output: Path,
    presets: tuple[str, ...],
    base: str | None,
    seeds: tuple[int, ...],
    minutes: float | None,
    steps: int | None,
    settings: tuple[str, ...],
    direction: Direction,
    truth: Path | None,
    report_only: bool,
    device: str,
    fast: bool,
    as_json: bool,
) -> None:
    """Compare presets on PAINTING and PHOTO: train each with each seed, translate, measure, and write one page.

    By default these are the paper's ablations, of the preset standard. The same command goes on where it was stopped.
    Run nothing else meanwhile: trainings by minutes would do fewer steps.
    """
    reverse = bool(direction.asked)
    if minutes is not None and steps is not None:
        raise click.UsageError("give --minutes or --steps, not both")
    direction.check_truth(truth)
    from sincut.runs.lineup import Lineup

    lineup = Lineup.of(presets, base, settings, minutes, steps)
    from sincut.devices import find_device
    from sincut.runs.study import PAGE_FILE, Study

    chosen = str(find_device(device))
    plan = Study(painting, photo, output, lineup, seeds=seeds, reverse=reverse, truth=truth, device=chosen, fast=fast)
    teller = _Teller(plan, as_json)
    teller.begin(report_only)
    with stoppable() as stop:
        table = plan.run(on_line=teller.line, on_row=teller.row, stop=stop, train=not report_only)
        stopped = stop()
    if as_json:
        print_json(table.to_dict())
    else:
        _print(table)
        click.echo(f"page: {output / PAGE_FILE}")
    failed = [row.run for row in table.rows if row.error]
    if stopped:
        raise Interrupted("stopped; the same command goes on with the rest")
    if failed:
        raise RunError(f"{len(failed)} of {counted(len(table.rows), 'training')} failed, see above: {listed(failed)}")


class _Teller:
    """Progress of a study on stderr: which training of how many, and the time that is left for all."""

    def __init__(self, study: "Study", as_json: bool) -> None:
        self.study, self.as_json = study, as_json
        self.order = [pair.name for pair in study.pairs]
        self.left = [name for name in self.order if name not in study.finished]
        self.heard: float | None = None  # time of the last line of a training
        self.translating = 0.0  # seconds from there to its row: translating and measuring, as the last one took

    def begin(self, report_only: bool) -> None:
        """Say how much there is to do, and how long it takes."""
        lineup, count = self.study.lineup, len(self.order)
        for note in lineup.notes:
            self._say(note)
        self._say(
            f"{counted(count, 'training')} of {lineup.length} each: {listed([entry.name for entry in lineup.entries])}"
        )
        if report_only:
            return
        minutes = 0.0 if lineup.configs[0].schedule.steps else lineup.configs[0].schedule.minutes
        takes = f"they take {clock(len(self.left) * minutes * 60)}" if minutes else "the first tells how long they take"
        done = f"{count - len(self.left)} are finished; " if len(self.left) < count else ""
        self._say(f"{done}{len(self.left)} to train, {takes}" if self.left else "all are finished")

    def line(self, name: str, line: str) -> None:
        """Tell a line of a training."""
        self.heard = time.monotonic()
        if self.as_json:
            tell_as_json(name, line, "training")
            return
        text, event = words(line), parsed(line) or {}
        if text and event.get("event") == "Progress" and event["steps"]:
            others = sum(other != name for other in self.left) * (event["seconds"] + event["seconds_left"])
            others += len(self.left) * self.translating
            text += f", {clock(event['seconds_left'] + others)} for all"
        known = event.get("event") == "Directed" or text.startswith("sincut: ")  # as of all; or what its row will say
        if text and not known:
            self._say(f"{self.order.index(name) + 1} of {len(self.order)}, {name}: {text}")

    def row(self, row: "Row") -> None:
        """Tell what became of a training."""
        if row.picture and self.heard is not None:
            self.translating, self.heard = time.monotonic() - self.heard, None
        self.left = [name for name in self.left if name != row.run]
        self._say(f"{self.order.index(row.run) + 1} of {len(self.order)}, {row.error or f'{row.run}: {row.state}'}")

    def _say(self, text: str) -> None:
        if not self.as_json:
            click.echo(text, err=True)


def _print(table: "Table") -> None:
    """Print the means of each preset: what a step takes, and its figures."""
    from sincut.report.measures import FIGURES
    from sincut.report.study_page import LEFT_OUT, shown, title

    columns = [n for n in table.columns() if n not in LEFT_OUT and n in ("step_seconds", "memory_gb", *FIGURES)]
    means = {entry.name: table.means(entry.name) for entry in table.entries}
    rows = [(name, *(shown(n, mean[n].mean) if n in mean else "" for n in columns)) for name, mean in means.items()]
    print_table(("preset", *map(title, columns)), rows)
