"""Templates escape every value; only what sincut itself ships or has rendered goes in as it is."""

import re
from pathlib import Path

import pytest
from helpers import ROOT
from jinja2 import UndefinedError

from sincut.model.markup import Markup, render, short

TEMPLATES = sorted((ROOT / "sincut").glob("*/assets/*.html"))
HOSTILE = "</td><script>alert(1)</script>\"' onload=x {{ 7 * 6 }} {% raw %} \udc80"


def test_values_are_escaped_and_are_no_templates() -> None:
    shown = render("model/assets/table.html", rows=[(HOSTILE, HOSTILE)])
    assert "<script" not in shown and "\"'" not in shown and "{{ 7 * 6 }} {% raw %}" in shown
    assert shown.count("&lt;script&gt;") == 2 and shown.encode()  # which a lone surrogate would not let it


def test_only_markup_goes_in_as_it_is() -> None:
    shown = render("model/assets/card.html", title="<b>", parts=[Markup("<i>own</i>"), "<i>other</i>"], progress=None)
    assert "<i>own</i>" in shown and "&lt;i&gt;other" in shown and "<b>&lt;b&gt;</b>" in shown


def test_a_value_that_a_template_misses_is_an_error() -> None:
    with pytest.raises(UndefinedError, match="rows"):
        render("model/assets/table.html")


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_no_template_leaves_escaping_out(template: Path) -> None:
    text = template.read_text(encoding="utf-8")
    assert not re.search(r"\|\s*safe\b|autoescape|Markup", text)
    assert not re.search(r"=\s*\{\{", text), "an attribute without quotes can be left by a blank"


def test_texts_are_cut_to_their_length() -> None:
    assert short("a" * 700).endswith("a…") and len(short("a" * 700)) == 600
    assert short("abc", 3) == "abc" and short("abcd", 3) == "ab…" and short("\udc80") == "?" and short(7) == "7"
