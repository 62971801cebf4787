"""A single output that is there already: kept if it is what is asked for, made anew if it is ours, else refused."""

from collections.abc import Callable
from pathlib import Path

import pytest
from helpers import brushes, make_model, scene, with_exemplar
from PIL import Image, PngImagePlugin

from sincut.batch import pipe
from sincut.batch.plan import Plan, make_plans
from sincut.batch.remote import AnyPath, place
from sincut.config.sections import Config
from sincut.errors import RunError
from sincut.pictures.reading import imprint_of
from sincut.pictures.writing import AS_IT_CAME, Saving
from sincut.synthesis.synthesis import Dials
from sincut.translation.blend import Blend
from sincut.translation.options import PLAIN, Options
from sincut.translation.translator import load

Make = Callable[..., Plan]
HALF = Options(blend=Blend(0.5))


@pytest.fixture
def make(tmp_path: Path, tiny: Config) -> Make:
    """Plans a translation of `a.png` into `out.png` and carries it out; gives the plan."""
    for seed, name in enumerate(("one", "two")):
        make_model(tiny, seed).save(tmp_path / f"{name}.safetensors")
    for seed, name in enumerate(("a.png", "b.png")):
        Image.fromarray(scene(20, 24, seed)).save(tmp_path / name)

    def made(
        model: str = "one", source: str = "a.png", options: Options = PLAIN, saving: Saving = AS_IT_CAME,
        output: AnyPath = tmp_path / "out.png", overwrite: bool = False,
    ) -> Plan:  # fmt: skip
        path = tmp_path / f"{model}.safetensors"
        ((_, plan),) = make_plans([path], [tmp_path / source], output, options, saving, overwrite=overwrite)
        assert pipe.run(plan, load(path), options, saving)[1] == []
        return plan

    return made


def test_the_same_again_is_nothing_to_do(make: Make, tmp_path: Path) -> None:
    make()
    before = (tmp_path / "out.png").read_bytes()
    again = make()
    assert not again.jobs and len(again.skipped) == 1 and "is this translation already" in again.warnings[0]
    assert (tmp_path / "out.png").read_bytes() == before
    make(overwrite=True)
    assert (tmp_path / "out.png").read_bytes() == before  # the same command writes the same bytes


def test_an_option_that_is_no_longer_chosen_is_named(make: Make, tmp_path: Path, tiny: Config) -> None:
    with_exemplar(make_model(tiny)).save(tmp_path / "one.safetensors")
    by_height = Options(dials=Dials(by_height=True))
    with brushes():
        make(options=by_height)
        assert not make(options=by_height).jobs
        again = make()
    assert again.jobs and "was made with other options (by height True); it is made anew" in again.warnings[0]


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"model": "two"}, "was made by another model, one; it is made anew"),
        ({"options": HALF}, "was made with other options (strength 1.0); it is made anew"),
        ({"saving": Saving(strip=True)}, "was made with other options"),
    ],
)
def test_by_another_model_or_with_other_options_it_is_made_anew(
    other: dict[str, object], words: str, make: Make, tmp_path: Path
) -> None:
    make()
    before = (tmp_path / "out.png").read_bytes()
    plan = make(**other)
    assert len(plan.jobs) == 1 and words in plan.warnings[0]
    assert (tmp_path / "out.png").read_bytes() != before


def test_what_is_not_ours_is_refused(make: Make, tmp_path: Path) -> None:
    out = tmp_path / "out.png"
    Image.fromarray(scene(20, 24, 5)).save(out)
    before = out.read_bytes()
    for source in ("a.png", "b.png"):
        with pytest.raises(RunError, match="says nothing of being made by sincut; --overwrite replaces it"):
            make(source=source)
    out.write_bytes(b"no picture")
    with pytest.raises(RunError, match="says nothing"):
        make()
    make(saving=Saving(strip=True), overwrite=True)
    with pytest.raises(RunError, match="says nothing"):
        make(saving=Saving(strip=True))
    assert out.read_bytes() != before


def test_of_another_picture_it_is_refused(make: Make) -> None:
    make()
    with pytest.raises(RunError, match="made of another picture; --overwrite"):
        make(source="b.png")


def test_what_somebody_has_changed_since_is_refused(make: Make, tmp_path: Path) -> None:
    """Though it still says what made it, as after work in an editor."""
    make()
    with Image.open(tmp_path / "out.png") as image:
        told = PngImagePlugin.PngInfo()
        told.add_itxt("XML:com.adobe.xmp", str(image.info["XML:com.adobe.xmp"]))
        image.rotate(180).save(tmp_path / "out.png", pnginfo=told)
    assert imprint_of(tmp_path / "out.png") is not None
    for options in (PLAIN, HALF):
        with pytest.raises(RunError, match="was changed since sincut wrote it; --overwrite"):
            make(options=options)


def test_a_source_that_cannot_be_read_fails_as_such(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make()

    def refuse(_: AnyPath) -> str:
        raise PermissionError("no")

    monkeypatch.setattr("sincut.batch.existing.sha256_of", refuse)
    assert len(make().jobs) == 1


def test_what_comes_from_a_stream_replaces_nothing_unasked(make: Make, tmp_path: Path) -> None:
    make()
    with pytest.raises(RunError, match="can be read only once"):
        make_plans([tmp_path / "one.safetensors"], [Path("-")], tmp_path / "out.png", PLAIN, AS_IT_CAME)


def test_an_output_elsewhere_is_looked_at_too(make: Make) -> None:
    pytest.importorskip("fsspec")
    out = place("memory://existing/out.png")
    make(output=out)
    assert not make(output=out).jobs
    assert len(make(output=out, model="two").jobs) == 1
    with pytest.raises(RunError, match="made of another picture"):
        make(output=out, source="b.png")
