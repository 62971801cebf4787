"""Plans: collisions refused, several models."""

import json
from pathlib import Path

import pytest
from helpers import lines_of, make_model, scene, sincut
from PIL import Image

from sincut.batch.naming import Naming
from sincut.batch.plan import make_plan, split_models
from sincut.config.sections import Config
from sincut.errors import ConfigError, ImageError, RunError


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
    result = sincut("apply", *models, tree, "-o", tmp_path / "out/{model}", "--exclude", "*.gif", "--json")
    assert result.returncode == 0, result.stderr
    assert len(json.loads(result.stdout)["done"]) == 6
    for name in ("one", "two"):
        assert len(lines_of(tmp_path / "out" / name)) == 3
    first, second = ((tmp_path / "out" / name / "b c.png").read_bytes() for name in ("one", "two"))
    assert first != second
    dry = sincut("apply", *models, tree, "-o", tmp_path / "out/{model}", "--dry-run", "--json")
    assert [(row["to do"], row["done"]) for row in json.loads(dry.stdout)["plans"]] == [(1, 3), (1, 3)], dry.stderr
    for wrong in (tmp_path / "out", tmp_path / "x.png"):
        refused = sincut("apply", *models, tree, "-o", wrong)
        assert refused.returncode == 2 and "{model}" in refused.stderr
    with pytest.raises(ConfigError, match="usage"):
        split_models(models)
