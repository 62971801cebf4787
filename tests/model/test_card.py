"""Cards of models, also of strangers' models."""

from typing import Any

from helpers import make_model, scene

from sincut.config.sections import Config
from sincut.model import card
from sincut.model.provenance import THUMBNAILS, Provenance
from sincut.pictures import resampling
from sincut.pictures.picture import Picture
from sincut.translation.translator import Translator


def test_a_card_shows_pictures_figures_and_unusual_settings(tiny: Config) -> None:
    model = make_model(tiny)
    picture = card.data_uri(resampling.thumbnail(Picture(scene(20, 30, 1)))).split(",")[1]
    model.provenance = Provenance(thumbnails=dict.fromkeys(THUMBNAILS, picture), figures={"tone": 0.5})
    shown = Translator(model)._repr_html_()
    assert shown.count("<img") == 3 and "tone 0.5" in shown
    assert "networks.stem=4" in shown and "losses.temperature" not in shown


def test_a_strangers_card_is_escaped(tiny: Config) -> None:
    bad = '"><script>alert(1)</script>{{ 7 * 6 }}\udc80'
    provenance: dict[str, Any] = {
        "painting": {"name": bad}, "photo": bad, "direction": bad, "figures": {bad: 1.0, "text": bad}, "steps": [bad],
        "thumbnails": {"source": bad, "target": 3, "output": "A" * 10**6},
    }  # fmt: skip
    shown = card.model_card(tiny, Provenance.parse(provenance))
    assert "<script" not in shown and "&lt;script" in shown and "<img" not in shown
    assert '"&gt;' not in shown and "{{ 7 * 6 }}" in shown and shown.encode()
    assert len(shown) < 5000
    assert card.model_card(tiny, Provenance.parse({"thumbnails": None, "figures": 3, "painting": None}))


def test_a_thumbnail_is_a_jpeg_or_is_not_shown() -> None:
    picture = card.data_uri(resampling.thumbnail(Picture(scene(20, 30, 1))))
    assert card.thumbnail_uri(picture.split(",")[1]) == picture
    for other in ("", "AAAA", "not base64", picture, "A" * 10**6):
        assert card.thumbnail_uri(other) == ""
