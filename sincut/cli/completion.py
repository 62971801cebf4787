"""The words that a shell offers when TAB is pressed: files, models and runs, presets, settings, devices.

Each function takes what is typed so far and gives items of click. An item of the type `file` or `dir` leaves the rest
to the shell, which knows how to complete paths with blanks; bash does so only where no other item is offered.
Nothing heavy is imported, since this runs at each press of the key.
"""

import re
from dataclasses import fields
from pathlib import Path

from click.shell_completion import BashComplete, CompletionItem, add_completion_class

RUNS = "runs"  # the folder that models are looked for in
MODEL_FILE, SUFFIX = "model.safetensors", ".safetensors"  # as in `model.file`, which imports torch
DEVICES = ("auto", "cpu", "cuda", "mps")
METHODS = ("sincut", "cyclegan", "gatys", "strotss", "wct2")
PLAIN = re.compile(r"[\w./+@%,-]+")  # what no shell wants quoted

Items = list[CompletionItem[str]]


class Bash(BashComplete):
    """Completion in bash, with no blank behind a word that ends in =, where a value is to follow."""

    source_template = BashComplete.source_template.replace(
        "COMPREPLY+=($value)", "COMPREPLY+=($value)\n            [[ $value == *= ]] && compopt -o nospace"
    )


add_completion_class(Bash)


def files(incomplete: str) -> Items:
    """Files and folders, by the shell."""
    return [CompletionItem(incomplete, "file")]


def folders(incomplete: str) -> Items:
    """Folders, by the shell."""
    return [CompletionItem(incomplete, "dir")]


def models(incomplete: str) -> Items:
    """Run folders with a model, and model files, in `RUNS`; else files, by the shell."""
    return [*files(incomplete), *_in_runs(incomplete, f"*/{MODEL_FILE}", f"*{SUFFIX}")]


def runs(incomplete: str) -> Items:
    """Run folders in `RUNS`, also those without a model; else folders, by the shell."""
    return [*folders(incomplete), *_in_runs(incomplete, f"*/{MODEL_FILE}", "*/metrics.jsonl")]


def _in_runs(incomplete: str, *patterns: str) -> Items:
    """Paths in `RUNS` that match a pattern, the folder of what lies in one, as far as they begin like this."""
    matches = (path for pattern in patterns for path in Path(RUNS).glob(pattern))
    known = sorted({(path if path.parent == Path(RUNS) else path.parent).as_posix() for path in matches})
    return [CompletionItem(name) for name in known if name.startswith(incomplete) and PLAIN.fullmatch(name)]


def presets(incomplete: str) -> Items:
    """Shipped presets with their sentences, also behind the last + of A+B; for a path files, by the shell."""
    from sincut.config.resolve import presets as shipped

    if "/" in incomplete or incomplete.startswith("."):
        return files(incomplete)
    before, plus, last = incomplete.rpartition("+")
    return [
        CompletionItem(f"{before}{plus}{preset.name}", help=preset.about)
        for preset in shipped()
        if preset.name.startswith(last)
    ]


def settings(incomplete: str) -> Items:
    """All settings as `section.key=`, with their sentences; behind the = those values that are choices."""
    from sincut.config.sections import Config
    from sincut.config.values import documentation

    key, equals, value = incomplete.partition("=")
    sections = {section.name: fields(getattr(Config(), section.name)) for section in fields(Config)}
    every = {f"{name}.{each.name}": each for name, settings in sections.items() for each in settings}
    if equals:
        choices = every[key].metadata.get("choices", ()) if key in every else ()
        return [CompletionItem(f"{key}={choice}") for choice in choices if choice.startswith(value)]
    return [
        CompletionItem(f"{name}=", help=documentation(each.metadata))
        for name, each in every.items()
        if name.startswith(key)
    ]


def devices(incomplete: str) -> Items:
    """Kinds of devices."""
    return [CompletionItem(name) for name in DEVICES if name.startswith(incomplete)]


def methods(incomplete: str) -> Items:
    """Algorithms that ship."""
    return [CompletionItem(name) for name in METHODS if name.startswith(incomplete)]
