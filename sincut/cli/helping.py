"""Help texts in the order of use: commands in groups, options in sections, and every line whole at 80 columns."""

import difflib
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click
from click.shell_completion import CompletionItem


class Sectioned(click.Command):
    """A command whose `--help` lists its options in sections; those that none names come last, as `--help` does."""

    def __init__(self, *arguments: Any, sections: Mapping[str, Sequence[str]] | None = None, **given: Any) -> None:
        """`sections`: by title, names of parameters as the function has them, in the order in which they are shown."""
        super().__init__(*arguments, **given)
        self.sections = sections or {}

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a list of options for each section."""
        parameters = [each for each in self.get_params(ctx) if isinstance(each, click.Option)]
        named = {name for names in self.sections.values() for name in names}
        sections = {**self.sections, "Help": [each.name for each in parameters if each.name not in named]}
        for title, names in sections.items():
            chosen = [each for name in names for each in parameters if each.name == name]
            _write(formatter, title, [record for each in chosen if (record := each.get_help_record(ctx))])


class InGroups(click.Group):
    """A group whose `--help` lists its commands under titles, in the order in which people come to need them."""

    def __init__(self, *arguments: Any, titles: Mapping[str, Sequence[click.Command]] | None = None, **given: Any):
        """`titles`: the commands of the group by the title that they stand under, all in the order of the help."""
        super().__init__(*arguments, **given)
        self.titles = titles or {}
        for commands in self.titles.values():
            for command in commands:
                self.add_command(command)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of the commands, in the order of the help."""
        return list(self.commands)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a list of commands for each title, all as wide, and the few options behind them."""
        widest = max(map(len, self.commands))
        for title, commands in self.titles.items():
            rows = [(str(each.name).ljust(widest), each.get_short_help_str(limit=200)) for each in commands]
            _write(formatter, title, rows)
        click.Command.format_options(self, ctx, formatter)


class WithDefault(InGroups):
    """A group that stands for its first command where none is named: `sincut models runs` is `sincut models list runs`.

    A folder that is named as a command is given as `./NAME`.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the first command before words that begin with none; `--help` alone is that of the group.

        A word that is like the name of a command, and of no file, is left for click to complain about.
        """
        if ctx.resilient_parsing:  # the shell asks what could follow
            return super().parse_args(ctx, args)
        first = args[0] if args else ""
        is_typo = bool(difflib.get_close_matches(first, self.commands)) and not os.path.exists(first)
        if not (first in self.commands or first in self.get_help_option_names(ctx) or is_typo):
            args = [next(iter(self.commands)), *args]
        return super().parse_args(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem[str]]:
        """Completions for the shell: the commands, and what the first of them takes."""
        default = next(iter(self.commands.values()))
        taken = [each for each in default.params if isinstance(each, click.Argument)][:1]
        offered = [item for each in taken for item in each.shell_complete(ctx, incomplete)]
        return [*offered, *super().shell_complete(ctx, incomplete)]

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        """The words of the usage behind the name of the group."""
        default = next(iter(self.commands.values()))
        return ["[COMMAND]", *(piece for piece in default.collect_usage_pieces(ctx) if piece != "[OPTIONS]"), "..."]


def every_command(group: click.Group, before: str = "") -> Iterator[tuple[str, click.Command]]:
    """All commands of a group and of the groups in it, each with the words that call it, in the order of the help."""
    for name, command in group.commands.items():
        yield f"{before}{name}", command
        if isinstance(command, click.Group):
            yield from every_command(command, f"{before}{name} ")


def _write(formatter: click.HelpFormatter, title: str, rows: Sequence[tuple[str, str]]) -> None:
    """Write a titled list of two columns, unless it is empty."""
    if rows:
        with formatter.section(title):
            formatter.write_dl(rows)
