"""The recipe of an output: the same for the same model, mask and options."""

from pathlib import Path

import pytest
from helpers import scene
from PIL import Image

from sincut.batch.plan import make_plans
from sincut.batch.recipe import recipe_of
from sincut.config.sections import Config
from sincut.errors import ImageError
from sincut.pictures.writing import AS_IT_CAME, Saving
from sincut.translation.options import PLAIN, Options


def test_a_recipe_changes_with_the_mask_and_with_options(tmp_path: Path) -> None:
    mask = tmp_path / "mask.png"
    recipes = [recipe_of("abc", PLAIN, AS_IT_CAME), recipe_of("abc", PLAIN, Saving(quality=80))]
    for grey in (0, 255):
        Image.new("L", (24, 20), grey).save(mask)
        recipes.append(recipe_of("abc", Options(mask=mask), AS_IT_CAME))
    assert all(one != other for number, one in enumerate(recipes) for other in recipes[:number])
    assert recipes[-1] == recipe_of("abc", Options(mask=mask), AS_IT_CAME)


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
