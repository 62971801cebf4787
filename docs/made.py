"""Pages of the site made from the code when it is built: commands, settings, presets, odd files, files of the root."""

import re
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
AT_ROOT = {"contributing": "CONTRIBUTING.md", "security": "SECURITY.md", "changelog": "CHANGELOG.md"}
HERE = "(made when the site is built)"  # stands in a page where its text will be
WIDTH = 88  # of help texts, in characters
MANY = 5  # files of a kind that have a table of their own
PARTS = re.compile(r"`[^`]*`|[^`]+|`")  # of a line: code, and what is between


def page(name: str, text: str) -> str:
    """The Markdown of a page, from that of its file. Raises ValueError where the file has no place for its text."""
    if name in AT_ROOT:
        text = _of_root((ROOT / AT_ROOT[name]).read_text(encoding="utf-8"))
    if name in MADE:
        if text.count(HERE) != 1:
            raise ValueError(f"docs/{name}.md wants one line {HERE}")
        text = text.replace(HERE, MADE[name]())
    for page_name, file in AT_ROOT.items():
        text = text.replace(f"](../{file}", f"]({page_name}.md")
    return text.replace("](../README.md#start)", "](index.md)").replace("](../README.md)", "](index.md)")


def _of_root(text: str) -> str:
    """A page of the root, its links as they are from docs/."""
    text = re.sub(r"\]\((?![a-z]+:|#)", "](../", text)
    return text.replace("](../docs/", "](")


def accessible(html: str) -> str:
    """A page's HTML with levels for its captions, blocks that scroll by keyboard, and signatures that are no lists."""

    def signature(match: re.Match[str]) -> str:
        return '<span class="parameters">' + match[1].replace("<dd>", "<span>").replace("</dd>", "</span>") + "</span>"

    html = html.replace('class="caption" role="heading"', 'class="caption" role="heading" aria-level="2"')
    html = re.sub(r"<dl>\n((?:<dd>.*</dd>\n)+)</dl>", signature, html)
    return html.replace("<pre>", '<pre tabindex="0">')


def docstring(lines: list[str]) -> list[str]:
    """The reStructuredText of a docstring: "name: text" at its margin is a definition; stars are stars."""
    out = []
    for line in lines:
        if not line.lstrip().startswith(">>> "):
            parts = PARTS.findall(line)
            for at, part in enumerate(parts):
                if not part.startswith("`"):
                    plural = at > 0 and part[0].isalnum()  # reStructuredText wants code to end before a space
                    parts[at] = ("\\ " if plural else "") + part.replace("*", r"\*")
            line = "".join(parts)
        defined = re.match(r"([a-z_]+(?:, [a-z_]+)*): (.*)", line)
        out += [f"`{defined[1]}`", f"    {defined[2]}"] if defined else [line]
    return out


def commands() -> str:
    """A section for each command: its help, as the terminal shows it."""
    import click

    from sincut.cli import main
    from sincut.cli.helping import every_command

    parts = []
    for name, command in (("", main), *every_command(main)):
        path = f"sincut {name}".strip()
        width = {"terminal_width": WIDTH, "max_content_width": WIDTH}
        context = click.Context(command, info_name=path, **{**main.context_settings, **width})
        parts += [f"## `{path}`", f"```text\n{command.get_help(context)}\n```"]
    return "\n\n".join(parts)


def settings() -> str:
    """A table for each section of the settings: name, sentence, default, the values of two presets that differ."""
    from sincut.config.resolve import load_preset
    from sincut.config.sections import Config
    from sincut.config.values import documentation, toml

    others = {name: load_preset(name).config for name in ("standard", "quick")}
    parts = []
    for section in fields(Config):
        plain = getattr(Config(), section.name)
        rows = ["| setting | meaning; default |", "|---|---|"]
        for one in fields(plain):
            default = toml(getattr(plain, one.name))
            values = [(name, toml(getattr(getattr(config, section.name), one.name))) for name, config in others.items()]
            differ = "".join(f"; {name} `{value}`" for name, value in values if value != default)
            rows.append(
                _row(f"`{section.name}.{one.name}`", f"{documentation(one.metadata)}; plain `{default}`{differ}")
            )
        parts += [f"## {section.name}", " ".join((type(plain).__doc__ or "").split()), "\n".join(rows)]
    return "\n\n".join(parts)


def odd_files() -> str:
    """A table of the corpus of odd files: what the tests demand of each, with all extras and in the base install."""
    from corpus.row import Done, Row
    from corpus.rows import ROWS

    def words(outcome: Any) -> str:
        said = ", ".join(word.replace("|", " or ") for word in outcome.words or ())
        if isinstance(outcome, Done):
            depth = f"{outcome.pixels.dtype.itemsize * 8} bits"
            return f"translated, {depth}" + (f"; told: {said}" if said else "")
        return f"refused: {said}"

    def line(row: Row) -> str:
        base = words(row.outcome("base"))
        return _row(f"`{row.name}`", words(row.want), "the same" if base == words(row.want) else base)

    kinds: dict[str, list[Row]] = {}
    for row in ROWS:
        kinds.setdefault(Path(row.name).suffix.lower().lstrip(".") or "without a suffix", []).append(row)
    many = {kind: rows for kind, rows in sorted(kinds.items()) if len(rows) >= MANY}
    many["others"] = [row for kind, rows in sorted(kinds.items()) if len(rows) < MANY for row in rows]
    head = "| file | with all extras | in the base install |\n|---|---|---|\n"
    return "\n\n".join(
        f"## {kind} ({len(rows)})\n\n{head}" + "\n".join(line(row) for row in rows) for kind, rows in many.items()
    )


def shipped_presets() -> str:
    """A table of the shipped presets with their sentences."""
    import sincut

    rows = [_row(f"`{preset.name}`", preset.about) for preset in sincut.presets()]
    return "\n".join(["| preset | what it is for |", "|---|---|", *rows])


def _row(*cells: str) -> str:
    """A row of a table; in code a bar would end the cell, elsewhere stars and angle brackets would be markup."""
    safe = [re.sub(r"(?<!\\)\|", r"\\|", " ".join(cell.split())) for cell in cells]
    return "| " + " | ".join(cell if cell.startswith("`") else re.sub(r"([*<])", r"\\\1", cell) for cell in safe) + " |"


MADE: dict[str, Callable[[], str]] = {
    "commands": commands,
    "settings": settings,
    "odd-files": odd_files,
    "shipped-presets": shipped_presets,
}
