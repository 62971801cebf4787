"""Plans: collisions refused, several models, sources that cannot be read."""

import json
import os
from pathlib import Path

import pytest
from helpers import RECIPE, in_process, lines_of, make_model, scene
from PIL import Image

from sincut.batch.naming import Naming
from sincut.batch.pipe import run
from sincut.batch.plan import Memory, make_plan, make_plans, split_models
from sincut.config.sections import Config
from sincut.errors import ConfigError, ImageError, RunError
from sincut.files import sha256
from sincut.pictures.writing import Saving
from sincut.translation.options import Options
from sincut.translation.translator import Translator


def test_collisions_are_refused_before_work(tree: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    Image.fromarray(scene(20, 24, 0)).save(other / "a.jpg")
    with pytest.raises(RunError, match=r"a\.jpg and .*a\.jpg would both"):
        make_plan([tree, other], Naming(tmp_path / "out"))
    with pytest.raises(RunError, match="an input would be overwritten"):
        make_plan([other / "a.jpg"], Naming(other), overwrite=True)
    with pytest.raises(RunError, match="need a folder"):
        make_plan([tree], Naming(tmp_path / "x.png"))
    with pytest.raises(ImageError, match="no such file or folder"):
        make_plan([tmp_path / "nothing"], Naming(tmp_path / "out"))


def test_no_input_is_overwritten_by_another_one_s_translation(tmp_path: Path) -> None:
    for name in ("a.png", "a-x.png"):
        Image.fromarray(scene(20, 24, 0)).save(tmp_path / name)
    with pytest.raises(RunError, match=r"a-x\.png: an input would be overwritten"):
        make_plan([tmp_path / "a.png", tmp_path / "a-x.png"], Naming(tmp_path / "{stem}-x.png"), overwrite=True)


def test_several_models_take_turns(tree: Path, tmp_path: Path, tiny: Config) -> None:
    models = []
    for seed, name in enumerate(("one", "two")):
        models.append(tmp_path / f"{name}.safetensors")
        make_model(tiny, seed).save(models[-1])
    assert split_models([*models, tree]) == (models, [tree])
    result = in_process("apply", *models, tree, "-o", tmp_path / "out/{model}", "--exclude", "*.gif", "--json")
    assert result.returncode == 0, result.stderr
    assert len(json.loads(result.stdout)["done"]) == 6
    for name in ("one", "two"):
        assert len(lines_of(tmp_path / "out" / name)) == 3
    first, second = ((tmp_path / "out" / name / "b c.png").read_bytes() for name in ("one", "two"))
    assert first != second
    dry = in_process("apply", *models, tree, "-o", tmp_path / "out/{model}", "--dry-run", "--json")
    assert [(row["to do"], row["done"]) for row in json.loads(dry.stdout)["plans"]] == [(1, 3), (1, 3)], dry.stderr
    for wrong in (tmp_path / "out", tmp_path / "x.png"):
        refused = in_process("apply", *models, tree, "-o", wrong)
        assert refused.returncode == 2 and "{model}" in refused.stderr
    with pytest.raises(ConfigError, match="usage"):
        split_models(models)


def test_a_source_that_cannot_be_read_is_one_failed_picture(tree: Path, tmp_path: Path, tiny: Config) -> None:
    out, translator = tmp_path / "out", Translator(make_model(tiny))
    run(make_plan([tree], Naming(out), recipe=RECIPE), translator)
    for name in ("a.jpg", "b c.png"):
        (tree / name).unlink()
        (tree / name).symlink_to(tmp_path / "nothing")
    Image.fromarray(scene(20, 24, 9)).save(tree / "deep" / "er" / "d.tif")
    (out / "b c.png").unlink()
    done, failed = run(make_plan([tree], Naming(out), recipe=RECIPE), translator)
    assert [job.source.name for job in done] == ["d.tif"]
    assert [job.source.name for job, _ in failed] == ["a.jpg", "b c.png"]
    assert all("no such file" in reason for _, reason in failed)
    again = make_plan([tree], Naming(out), recipe=RECIPE)
    assert [job.source.name for job in again.jobs] == ["a.jpg", "b c.png"] and len(again.skipped) == 2


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), ImageError("403 Forbidden")])
def test_a_touched_source_that_may_not_be_read_ends_no_plan(
    error: Exception, tree: Path, tmp_path: Path, tiny: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> str:
        if path.name == "a.jpg":
            raise error
        return sha256(path)

    out = tmp_path / "out"
    run(make_plan([tree], Naming(out), recipe=RECIPE), Translator(make_model(tiny)))
    for name in ("a.jpg", "b c.png"):
        os.utime(tree / name)
    monkeypatch.setattr("sincut.batch.manifest.sha256_of", refuse)
    plan = make_plan([tree], Naming(out), recipe=RECIPE)
    assert [job.source.name for job in plan.jobs] == ["a.jpg"] and len(plan.skipped) == 3


def test_a_model_counts_as_what_it_was_when_it_was_loaded(tree: Path, tmp_path: Path, tiny: Config) -> None:
    """With --watch, a model that is replaced meanwhile is not the one that translates."""
    model, memory = tmp_path / "model.safetensors", Memory()
    make_model(tiny).save(model)
    ((_, first),) = make_plans([model], [tree], tmp_path / "out", Options(), Saving(), memory=memory)
    make_model(tiny, 1).save(model)
    ((_, second),) = make_plans([model], [tree], tmp_path / "out", Options(), Saving(), memory=memory)
    ((_, anew),) = make_plans([model], [tree], tmp_path / "out", Options(), Saving())
    assert first.recipe == second.recipe != anew.recipe
