"""The colours of the page: texts stand out, in light and dark, as WCAG 2.2 asks (1.4.3)."""

import re

import pytest

gr = pytest.importorskip("gradio")

ENOUGH = 4.5


def luminance(colour: str) -> float:
    """The relative luminance of #rrggbb, as WCAG 2.2 defines it."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one: str, other: str) -> float:
    """The contrast of two colours, 1 to 21."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_contrasts_are_those_of_the_standard() -> None:
    assert contrast("#ffffff", "#000000") == pytest.approx(21)
    assert contrast("#ffffff", "#14b8a6") == pytest.approx(2.49, abs=0.01)


def test_texts_stand_out_from_buttons_and_ground() -> None:
    from sincut.page.ui import ASSETS, theme

    chosen = theme()

    def colour(name: str, dark: str) -> str:
        """What a variable of the theme stands for, as #rrggbb; in dark another one if there is."""
        value = str(getattr(chosen, name + dark, None) or getattr(chosen, name))
        return (
            colour(value[1:], dark)
            if value.startswith("*")
            else {"white": "#ffffff", "black": "#000000"}.get(value, value)
        )

    for dark in ("", "_dark"):
        for kind in ("primary", "cancel", "secondary"):
            text = colour(f"button_{kind}_text_color", dark)
            for state in ("", "_hover"):
                ground = colour(f"button_{kind}_background_fill{state}", dark)
                assert contrast(text, ground) >= ENOUGH, (kind, state, dark)
        ground = colour("body_background_fill", dark)
        for name in ("body_text_color", "body_text_color_subdued", "block_info_text_color"):
            assert contrast(colour(name, dark), ground) >= ENOUGH, (name, dark)
    css = (ASSETS / "page.css").read_text(encoding="utf-8")
    (light,) = re.findall(r"^\.warning \{color: (#\w{6})\}", css, re.M)
    (dark,) = re.findall(r"^\.dark \.warning \{color: (#\w{6})\}", css, re.M)
    assert contrast(light, "#ffffff") >= ENOUGH <= contrast(dark, colour("body_background_fill", "_dark"))
