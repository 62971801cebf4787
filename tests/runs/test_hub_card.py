"""Model cards: what a hub reads of them, what people read, and texts of strangers, which stay texts."""

import re
from pathlib import Path

import torch
import yaml
from helpers import make_model, save_telling

from sincut.config.sections import Config
from sincut.runs.hub_card import hub_card

HASH = "0123456789abcdef" * 4


def test_a_card_tells_what_the_model_tells(tiny: Config, tmp_path: Path) -> None:
    run = tmp_path / "my run"
    run.mkdir()
    save_telling(
        make_model(tiny),
        run / "model.safetensors",
        direction="photo -> painting",
        painting={"name": "monet.jpg", "width": 640, "height": 480, "sha256": HASH},
        photo={"name": "coast.jpg", "width": 800, "height": 600, "sha256": HASH[::-1]},
        seed=3, steps=40, planned_steps=45, seconds=90.0, figures={"texture": 0.51234, "own": 2.0},
        versions={"sincut": "1.2.3"},
    )  # fmt: skip
    card = hub_card(run)
    _, head, body = card.split("---\n", 2)
    metadata = yaml.safe_load(head)
    assert metadata["library_name"] == "sincut" and metadata["pipeline_tag"] == "image-to-image"
    assert "license" not in metadata and "## Licence" in body
    assert body.startswith("\n# my run\n") and "it gives photos the look of one painting" in body
    assert "sincut apply model.safetensors photo.jpg -o out.jpg" in body
    assert f"| from: photo | coast.jpg | 800x600 | {HASH[::-1]} |" in body
    assert f"| look of: painting | monet.jpg | 640x480 | {HASH} |" in body
    assert "None: its file holds no pixels of its target but a thumbnail.\n" in body
    for row in ("steps | 40 of 45", "time | 1.5 minutes", "seed | 3", "crops.size | 32", "sincut | 1.2.3"):
        assert f"| {row} |" in body
    assert re.search(r"\| preset \| \w+ \(.+\) \|", body)
    assert "| texture | 0.5123 | Distance to the painting’s texture; 1: as the untouched photo, 0: none |" in body
    assert "| own | 2 |  |" in body


def test_a_card_of_a_file_that_tells_little_says_so(model_file: Path) -> None:
    odd = model_file.rename(model_file.with_name("it's [1].safetensors"))
    card = hub_card(odd)
    assert "# it's \\[1\\]\n" in card and "Its file tells none." in card and "| file |" not in card
    assert "sincut apply 'it'\"'\"'s [1].safetensors' painting.jpg" in card
    assert 'sincut.load("it\'s [1].safetensors")' in card


def test_a_card_tells_of_a_set_and_of_pixels_that_are_carried(tiny: Config, tmp_path: Path) -> None:
    model = make_model(tiny)
    model.exemplar = torch.zeros(20, 30, 3, dtype=torch.uint8)
    each = [{"name": f"{number}.jpg", "sha256": HASH} for number in range(3)]
    path = tmp_path / "a.safetensors"
    save_telling(model, path, photo={"name": "coasts", "sha256": HASH, "pictures": each})
    card = hub_card(path)
    assert "gives paintings the look of 3 photos." in card and "coasts (3 pictures)" in card
    assert "Its file holds 30x20 pixels of its target" in card and "a photo, under its own licence" in card


def test_texts_of_strangers_stay_texts(tiny: Config, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    evil = "![x](http://evil.example)\n# b|<b> www.evil.example @you $x$.jpg"
    save_telling(make_model(tiny), path, painting={"name": evil}, direction="<i>", versions={"`a|": evil},
                 figures={"|\n---": 0.5})  # fmt: skip
    card = hub_card(path)
    plain = re.sub(r"\\.", "", card.partition("## What it learned from")[2])
    assert "\\[x\\](http\\://evil" in card and "\n# b" not in card and card.count("\n---\n") == 1
    for odd in ("[x]", "://", "<", "www.", "@", "$", "`a"):
        assert odd not in plain, odd
    assert all(line.count("|") in (0, 3, 4, 5) for line in plain.splitlines())
