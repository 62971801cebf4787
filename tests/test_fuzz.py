"""Files at random: each is translated or refused, never with a traceback, and never black as if that were right."""

from collections.abc import Callable
from pathlib import Path

import pytest
from corpus.fuzz import MOST_PIXELS, layouts, make, outcome
from helpers import GENTLE, make_translator, without_extras

from sincut.pictures.libvips import installed
from sincut.translation.blend import Blend
from sincut.translation.options import Options

TRANSLATOR = make_translator(GENTLE)
IN_CI = 60  # seeds; more by `python tests/corpus/fuzz.py 1000`
Way = Callable[[Path, Path], object]


def translations() -> dict[str, Way]:
    """Ways to translate a file: in memory, and beyond where libvips is there."""

    def in_memory(source: Path, target: Path) -> object:
        return TRANSLATOR.apply_file(source, target, Options(blend=Blend(0.0), max_pixels=MOST_PIXELS))

    def beyond(source: Path, target: Path) -> object:
        no_room = Options(tile=64, max_memory=1, max_pixels=MOST_PIXELS, blend=Blend(0.0))
        return TRANSLATOR.apply_file(source, target, no_room)

    return {"in memory": in_memory, **({"beyond": beyond} if installed() else {})}


@pytest.mark.slow
@pytest.mark.parametrize("base", [False, True], ids=["extras", "base"])
def test_files_at_random_are_translated_or_refused(base: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if base:
        without_extras(monkeypatch)
    ended = {}
    for seed in range(IN_CI):
        made = make(seed)
        for way, translate in translations().items():
            ended[seed, way, made.how] = outcome(translate, made, tmp_path)
    wrong = {how: what for how, what in ended.items() if what not in ("done", "refused")}
    assert not wrong
    assert list(ended.values()).count("done") > len(ended) / 8 < list(ended.values()).count("refused")


@pytest.mark.slow
@pytest.mark.parametrize("base", [False, True], ids=["extras", "base"])
def test_every_layout_of_tiff_is_right_or_refused_by_its_name(
    base: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Depths, planes, tiles, compressions, byte orders, kinds of alpha and of greys, each with each."""
    if base:
        without_extras(monkeypatch)
    ended = {(made.how, way): outcome(t, made, tmp_path) for made in layouts() for way, t in translations().items()}
    wrong = {how: what for how, what in ended.items() if what not in ("done", "refused")}
    assert not wrong
    assert list(ended.values()).count("done") > len(ended) / 3


def test_a_seed_makes_one_file_and_others_make_others() -> None:
    assert make(3) == make(3) and len({make(seed).data for seed in range(20)}) == 20
