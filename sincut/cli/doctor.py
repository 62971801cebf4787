"""`sincut doctor`: what is installed, what this machine computes with, what room there is, and what to type."""

import shutil
import textwrap
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sincut.cli.console import print_json
from sincut.cli.types import FOLDER, device_option, json_option
from sincut.errors import RunError, counted

WIDEST = 110  # columns

if TYPE_CHECKING:
    from sincut.bench.installed import Check


@click.command(short_help="Say what is installed, what is missing, and what to type.")
@click.option("--runs", type=FOLDER, default=Path("runs"), show_default=True, help="Folder whose disk is looked at.")
@device_option
@json_option
def doctor(runs: Path, device: str, as_json: bool) -> None:
    """Examine this installation and this machine: packages, extras, device, memory, disk, and sincut's own files.

    Exit code 0: pictures can be learned from and translated here; 1: not yet, and the last lines say why. A line that
    begins with - is an extra that nobody has to have.
    """
    from sincut.bench.doctor import examine
    from sincut.bench.installed import WRONG

    checks = examine(runs, device)
    wrong = [check for check in checks if check.state == WRONG]
    if as_json:
        print_json({"works": not wrong, "checks": [asdict(check) for check in checks]})
    else:
        _print(checks)
    if wrong:
        what = ", ".join(check.name for check in wrong)
        raise RunError(f"{counted(len(wrong), 'thing')} to mend before sincut can work here: {what}")
    if not as_json:
        click.echo("sincut can learn and translate here", err=True)


def _print(checks: Sequence["Check"]) -> None:
    """Print the checks in groups, each with what to type below it; without rich, which may be what is missing."""
    width = min(shutil.get_terminal_size().columns, WIDEST)
    name_width = max(len(check.name) for check in checks)
    group = ""
    for check in checks:
        if check.group != group:
            click.echo(f"{chr(10) if group else ''}{check.group}")
            group = check.group
        begin = f"  {check.state:<5}  {check.name:<{name_width}}  "
        click.echo(textwrap.fill(check.text, width, initial_indent=begin, subsequent_indent=" " * len(begin)))
        if check.remedy:
            click.echo(f"{' ' * len(begin)}> {check.remedy}")  # whole, to be copied
