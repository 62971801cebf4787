"""Lines of trainings that are processes of their own, told to people or passed on as JSON."""

import json
from typing import Any

import click

from sincut.cli.console import clock


def parsed(line: str) -> dict[str, Any] | None:
    """The event in a line of a training's stderr, or None where the line is a text for people."""
    try:
        values = json.loads(line)
    except ValueError:
        return None
    return values if isinstance(values, dict) else None


def tell_as_json(name: str, line: str, key: str = "pair") -> None:
    """Print a line of a training with its name in it, under that key."""
    event = parsed(line)
    click.echo(f"{name}: {line}" if event is None else json.dumps({key: name, **event}), err=True)


def words(line: str) -> str:
    """A line of a training for people: its direction, its progress, and its texts; empty for other events."""
    event = parsed(line)
    if event is None:
        return line
    kind = event.get("event")
    if kind == "Directed":
        from sincut.events import Directed

        return str(Directed(event["source"], event["target"], event["to"]))
    if kind == "PictureRead" and event["notes"]:
        return f"{event['role']} {event['name']}: {'; '.join(event['notes'])}"
    if kind == "Warned":
        return f"warning: {event['message']}"
    if kind == "Progress":
        return f"step {event['step']}/{event['steps'] or '?'}, {clock(event['seconds_left'])} left"
    return ""
