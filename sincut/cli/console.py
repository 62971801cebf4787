"""Results on stdout, as JSON or as tables for people; lines on stderr that fit the terminal."""

import json
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from sincut.model.provenance import Provenance


PHRASE = re.compile(r"(?<=[;,:]) | (?=\()")  # a blank between two phrases of a text
COMMAND = re.compile(r"(?<=: )(?=(?:\S+ -m )?\S*sincut )")  # where a command of sincut begins, the last of a text


def fitted(text: str, columns: int) -> str:
    """The text in lines of at most so many columns, broken between phrases only; further lines are indented.

    A longer phrase stays whole, such as a command, which can then be copied.
    """
    lines: list[str] = []
    words, *command = COMMAND.split(text, 1)
    for phrase in [*PHRASE.split(words.rstrip()), *command]:
        if lines and len(lines[-1]) + 1 + len(phrase) <= columns:
            lines[-1] += f" {phrase}"
        else:
            lines.append(f"  {phrase}" if lines else phrase)
    return "\n".join(lines)


def tell(text: str) -> None:
    """Print a text for people on stderr: `fitted` on a terminal, elsewhere in one line."""
    click.echo(fitted(text, shutil.get_terminal_size().columns) if sys.stderr.isatty() else text, err=True)


def print_json(value: Any) -> None:
    """Print a value of plain Python types as JSON, indented."""
    click.echo(json.dumps(value, indent=2))


def print_table(titles: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    """Print rows of texts below their titles; without any title there is no line for them."""
    from rich.console import Console
    from rich.table import Table

    table = Table(show_header=any(titles), box=None, pad_edge=False)
    for title in titles:
        table.add_column(title, overflow="fold")
    for row in rows:
        table.add_row(*row)
    Console(markup=False, highlight=False).print(table)


def nested(values: Mapping[str, Any], depth: int = 0) -> list[tuple[str, str]]:
    """Plain values as rows of titles and texts; those of an object, or of each object in a list, stand below its title.

    Sizes of pictures are one row, as in 320x256, and numbers in a list stand behind each other.
    """
    rows: list[tuple[str, str]] = []
    for title, value in values.items():
        title = "  " * depth + title
        if isinstance(value, Mapping):
            rows += [(title, ""), *nested(_sized(value), depth + 1)]
        elif isinstance(value, list | tuple) and any(isinstance(each, Mapping) for each in value):
            rows.append((title, ""))
            for number, each in enumerate(value, 1):
                rows += nested({str(number): each}, depth + 1)
        else:
            rows.append((title, _in_words(value)))
    return rows


def _sized(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values with width and height as one text; a set of pictures has none."""
    if not {"width", "height"} <= values.keys():
        return dict(values)
    whole = {"size": f"{values['width']}x{values['height']}"} if values["width"] else {}
    return {name: value for name, value in values.items() if name not in ("width", "height")} | whole


def _in_words(value: Any) -> str:
    """A plain value for people: numbers with six digits, those of a list with commas between."""
    if isinstance(value, list | tuple):
        return ", ".join(map(_in_words, value))
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def clock(seconds: float) -> str:
    """A duration for people: 42 s, 3:05 min or 2:10 h."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02} min"
    return f"{whole // 3600}:{whole % 3600 // 60:02} h"


def summary(provenance: "Provenance") -> dict[str, Any]:
    """Provenance without the thumbnails, which nobody can read as text."""
    return {key: value for key, value in provenance.to_dict().items() if key != "thumbnails"}
