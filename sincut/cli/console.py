"""Results on stdout: as JSON, or as tables for people."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from sincut.model.provenance import Provenance


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
