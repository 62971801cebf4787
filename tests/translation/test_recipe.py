"""The recipe of an output: the same for the same model, mask and options."""

from dataclasses import replace
from pathlib import Path

import pytest
from helpers import make_model, scene, with_exemplar
from PIL import Image

from sincut.batch import pipe
from sincut.batch.plan import make_plans
from sincut.config.sections import Config
from sincut.errors import ConfigError, ImageError
from sincut.pictures.writing import AS_IT_CAME, Saving
from sincut.synthesis.synthesis import Dials
from sincut.translation.options import PLAIN, Options
from sincut.translation.recipe import Known, known_model, recipe_of
from sincut.translation.translator import load


def test_a_recipe_changes_with_the_mask_and_with_options(tmp_path: Path) -> None:
    mask = tmp_path / "mask.png"
    recipes = [recipe_of(Known("abc"), PLAIN, AS_IT_CAME), recipe_of(Known("abc"), PLAIN, Saving(quality=80))]
    for grey in (0, 255):
        Image.new("L", (24, 20), grey).save(mask)
        recipes.append(recipe_of(Known("abc"), Options(mask=mask), AS_IT_CAME))
    assert all(one != other for number, one in enumerate(recipes) for other in recipes[:number])
    assert recipes[-1] == recipe_of(Known("abc"), Options(mask=mask), AS_IT_CAME)


def test_a_damaged_mask_is_told_once_and_blamed_on_no_picture(
    tree: Path, tmp_path: Path, model_file: Path, tiny: Config
) -> None:
    mask, out = tmp_path / "mask.png", tmp_path / "out"
    Image.fromarray(scene(20, 24, 3)).convert("L").save(mask)
    whole = mask.read_bytes()
    mask.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ImageError, match=r"^[^ ]*mask\.png: is damaged"):
        make_plans([model_file], [tree], out, Options(mask=mask), AS_IT_CAME)
    assert not out.exists()
    mask.write_bytes(whole)
    ((_, plan),) = make_plans([model_file], [tree], out, Options(mask=mask), AS_IT_CAME)
    assert len(plan.jobs) == 4 and not plan.failed


def test_how_a_picture_is_drawn_matters_where_the_model_has_an_exemplar() -> None:
    drawn, options = Known("abc", draws=True), [PLAIN, Options(fast=True)]
    options += [
        Options(dials=Dials(stroke_scale=2.0)),
        Options(dials=Dials(fidelity=0.2)),
        Options(dials=Dials(by_height=True)),
    ]
    recipes = [recipe_of(drawn, each, AS_IT_CAME) for each in options]
    assert all(one != other for number, one in enumerate(recipes) for other in recipes[:number])
    assert recipes[1]["fast"] and recipes[2]["stroke_scale"] == 2.0 and recipes[3]["fidelity"] == 0.2
    assert recipes[4]["by_height"] and "by_height" not in recipes[0]  # manifests of before stay true
    plain = Known("abc")
    assert recipe_of(plain, Options(fast=True), AS_IT_CAME) == recipe_of(plain, PLAIN, AS_IT_CAME)
    with pytest.raises(ConfigError, match="carries its exemplar"):
        recipe_of(plain, options[2], AS_IT_CAME)


def test_recipes_of_earlier_versions_are_those_of_models_without_an_exemplar(
    tree: Path, tmp_path: Path, model_file: Path, tiny: Config
) -> None:
    as_before = {"mask": None, "strength": 1.0, "keep": "", "scale": 1.0, "quality": None, "strip": False,
                 "greys": "colour"}  # fmt: skip
    assert recipe_of(Known("abc"), PLAIN, AS_IT_CAME) == {"model": "abc", **as_before}
    out = tmp_path / "out"
    ((_, plan),) = make_plans([model_file], [tree], out, PLAIN, AS_IT_CAME)
    pipe.run(replace(plan, recipe={"model": known_model(model_file).sha256, **as_before}), load(model_file))
    for options in (PLAIN, Options(fast=True)):
        ((_, again),) = make_plans([model_file], [tree], out, options, AS_IT_CAME)
        assert not again.jobs and len(again.skipped) == 4
    with_exemplar(make_model(tiny)).save(model_file)
    for options in (PLAIN, Options(fast=True)):
        ((_, anew),) = make_plans([model_file], [tree], out, options, AS_IT_CAME)
        assert len(anew.jobs) == 4
