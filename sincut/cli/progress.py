"""Events rendered for people with rich, or as JSON lines; everything goes to stderr, results go to stdout.

On a terminal there is a progress bar; elsewhere (a log file, a pipe) plain lines at a calm pace.
"""

import json
import time
from dataclasses import fields
from functools import singledispatchmethod
from pathlib import PurePath
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TaskID, TextColumn
from rich.table import Column
from rich.text import Text

from sincut import events
from sincut.cli.console import clock, fitted
from sincut.errors import counted
from sincut.events import Event

PLAIN_SECONDS = 10.0  # between progress lines where there is no terminal
NOTES_FROM = 110  # columns of a terminal that has room for losses behind the bar
LONGEST_NAME = 24  # columns of what is being done; the rest of a longer name is left out


class TimeLeft(ProgressColumn):
    """The time left, as last told by an event and counted down since; `...` while it is not known."""

    def render(self, task: Task) -> Text:
        """The text of a task with the fields `left` (s, or None) and `told` (of `time.monotonic()`)."""
        left = task.fields.get("left")
        if left is None:
            return Text("...")
        return Text(f"{clock(max(0.0, left - (time.monotonic() - task.fields['told'])))} left")


class Count(ProgressColumn):
    """Done and all, such as 20/45."""

    def render(self, task: Task) -> Text:
        """The text of a task; nothing while its total is not known and nothing is done."""
        total = f"{task.total:.0f}" if task.total else "?"
        return Text(f"{task.completed:.0f}/{total}" if task.total or task.completed else "")


class Reporter:
    """A listener that shows events; used as a context manager so that the bar is cleaned up."""

    def __init__(self, as_json: bool = False) -> None:
        self.console = Console(stderr=True, highlight=False, soft_wrap=True)
        self.as_json = as_json
        first = SpinnerColumn(), TimeLeft(Column(no_wrap=True)), BarColumn(bar_width=None, table_column=Column(ratio=1))
        name = TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, max_width=LONGEST_NAME))
        note = TextColumn("{task.fields[note]}", markup=False, table_column=Column(no_wrap=True))
        columns = *first, Count(Column(no_wrap=True)), name, *([note] if self.console.width >= NOTES_FROM else [])
        self.bar = Progress(
            *columns, console=self.console, disable=as_json or not self.console.is_terminal, expand=True
        )
        self.task: TaskID | None = None
        self.loading = False  # True until the first event that moves the bar
        self.shown = 0.0
        self.unit = "tile"  # of the current picture

    def __enter__(self) -> "Reporter":
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.loading and self.task is not None:
            self.bar.remove_task(self.task)
        self.bar.stop()

    def load(self) -> None:
        """Show that something is going on, before there is any event: importing torch takes seconds."""
        self._bar("loading", None, 0, "")
        self.loading = True

    def __call__(self, event: Event) -> None:
        if self.as_json:
            self.console.file.write(json.dumps(as_dict(event)) + "\n")
            self.console.file.flush()
        else:
            self._show(event)

    def say(self, text: str) -> None:
        """Print a line for people, but not with --json; on a terminal `fitted`."""
        if not self.as_json:
            shown = fitted(text, self.console.width) if self.console.is_terminal else text
            self.console.print(shown, markup=False)

    @singledispatchmethod
    def _show(self, event: Event) -> None:
        """Show an event to people; kinds without a method of their own are not shown."""

    @_show.register
    def _(self, event: events.Reading) -> None:
        memory = f"{event.memory / 1e9:.1f} GB of memory"
        self.say(f"Reading {event.painting} and {event.photo}; the training takes up to {memory}")

    @_show.register
    def _(self, event: events.PictureRead) -> None:
        if event.notes:
            self.say(str(event))

    @_show.register
    def _(self, event: events.Directed) -> None:
        other = "photo" if event.to == "painting" else "painting"
        self.say(str(event) if event.resumed else f"{event}; for the other way round: --to {other}")

    @_show.register
    def _(self, event: events.Started) -> None:
        counts = ", ".join(f"{name} {count / 1e6:.2f} M" for name, count in event.parameters.items())
        threads = f", {counted(event.threads, 'thread')}" if event.device == "cpu" else ""
        self.say(f"Training on {event.device}{threads} in {event.precision} ({event.reason}); parameters: {counts}")
        if event.step:
            self.say(f"Going on after step {event.step}")

    @_show.register
    def _(self, event: events.Planned) -> None:
        speed = f" ({event.step_seconds:.2f} s each)" if event.step_seconds else ""
        known = event.member > 1 or event.distils
        early = "; more would not help, so it ends before its minutes do" if event.ends_early and not known else ""
        phase = f"training {event.member} of {event.members}: " if event.members > 1 else ""
        phase = f"learning the median of the {event.members} trainings: " if event.distils else phase
        if event.crops:  # else nothing is learned in steps
            steps = counted(event.phase_steps or event.steps, "step")
            self.say(f"{phase}{steps} of {counted(event.crops, 'crop')}{speed}{early}")
        self._bar(event.doing, event.steps or None, event.step, "")

    @_show.register
    def _(self, event: events.Advanced) -> None:
        left = event.seconds_left if event.steps or event.seconds_left else None
        self._bar(event.doing, event.steps or None, event.step, None, left)

    @_show.register
    def _(self, event: events.Progress) -> None:
        losses = " ".join(f"{name} {value:.3f}" for name, value in event.losses.items())
        note = f"{losses}  {event.step_seconds:.2f} s/step"
        self._bar(None, event.steps or None, event.step, note, event.seconds_left)
        left = f"{clock(event.seconds_left)} left"
        self._plain(f"step {event.step}/{event.steps or '?'}  {note}, {left}", last=event.step == event.steps)

    @_show.register
    def _(self, event: events.Saved) -> None:
        if event.kind in ("preview", "report"):
            self.say(f"{event.kind}: {event.path}")

    @_show.register
    def _(self, event: events.Evaluated) -> None:
        self.say(f"figures: {', '.join(f'{name} {value:.2f}' for name, value in event.figures.items())}")

    @_show.register
    def _(self, event: events.BatchStarted) -> None:
        skipped = (
            f", {event.skipped} there already (--overwrite does {'it' if event.skipped == 1 else 'them'} again)"
            if event.skipped
            else ""
        )
        failed = (
            f", {event.failed} failed before (--retry-failed tries {'it' if event.failed == 1 else 'them'} again)"
            if event.failed
            else ""
        )
        pixels = f", {counted(f'{event.pixels / 1e6:.3g}', 'megapixel')}" if event.pixels or not event.pictures else ""
        self.say(f"{event.pictures} to translate{pixels}{skipped}{failed}")

    @_show.register
    def _(self, event: events.PictureStarted) -> None:
        said = f"{event.width}x{event.height}"
        if event.tiles > 1:
            expected = f", about {clock(event.seconds)}" if event.seconds else ""
            said += (
                f", {counted(event.tiles, event.unit.removesuffix('s'))}, up to {event.memory / 1e9:.1f} GB{expected}"
            )
            self.say(f"{event.source}: {said}")
        self.unit = event.unit.removesuffix("s")
        self._bar(event.source.name, event.tiles, 0, said, anew=True)

    @_show.register
    def _(self, event: events.TileDone) -> None:
        left = f"{clock(event.seconds_left)} left" if event.seconds_left else ""
        self._bar(None, event.tiles, event.done, None, event.seconds_left or None)
        if event.tiles > 1:
            self._plain(f"{self.unit} {event.done}/{event.tiles}  {left}", last=False)

    @_show.register
    def _(self, event: events.PictureDone) -> None:
        notes = f" ({'; '.join(event.notes)})" if event.notes else ""
        left = f"  {clock(event.seconds_left)} left for the others" if event.seconds_left else ""
        self.say(f"{event.source} -> {event.target}  {event.seconds:.1f} s{left}{notes}")

    @_show.register
    def _(self, event: events.PictureFailed) -> None:
        self.say(f"failed: {event.error}")

    @_show.register
    def _(self, event: events.Warned) -> None:
        self.say(f"warning: {event.message}")

    def _bar(
        self,
        description: str | None,
        total: int | None,
        done: int,
        note: str | None,
        left: float | None = None,
        anew: bool = False,
    ) -> None:
        """Move the bar, or begin another one; a description, note or number of seconds left that is None stays."""
        self.loading = False
        if self.task is None or anew:
            if self.task is not None:
                self.bar.remove_task(self.task)
            self.task = self.bar.add_task(description or "", total=total, note=note or "", left=None, told=0.0)
        changes: dict[str, Any] = {"note": note} if note is not None else {}
        changes |= {"description": description} if description is not None else {}
        changes |= {"left": left, "told": time.monotonic()} if left is not None else {}
        self.bar.update(self.task, total=total, completed=done, **changes)

    def _plain(self, text: str, last: bool) -> None:
        """Print a line of progress where there is no bar, at most every `PLAIN_SECONDS` and at the end."""
        if not self.console.is_terminal and (last or time.monotonic() - self.shown >= PLAIN_SECONDS):
            self.shown = time.monotonic()
            self.say(text)


def as_dict(event: Event) -> dict[str, Any]:
    """An event as a JSON object: the name of its class, and its fields that are plain values."""
    values: dict[str, Any] = {"event": type(event).__name__}
    for entry in fields(event):
        value = getattr(event, entry.name)
        if isinstance(value, PurePath):
            value = str(value)
        if isinstance(value, str | int | float | tuple | dict) and entry.name != "state":
            values[entry.name] = value
    return values
