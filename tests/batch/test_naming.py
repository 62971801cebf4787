"""Where translations go: names given, folders, patterns, formats; every name is a name."""

from pathlib import Path

import pytest
from helpers import RECIPE, make_model, scene, targets
from PIL import Image

from sincut.batch.naming import Naming
from sincut.batch.pipe import run
from sincut.batch.plan import make_plan
from sincut.config.sections import Config
from sincut.errors import ConfigError, ImageError
from sincut.translation.translator import Translator


def test_one_file_goes_to_the_name_given(tree: Path, tmp_path: Path) -> None:
    plan = make_plan([tree / "a.jpg"], Naming(tmp_path / "x.png"))
    assert [job.target for job in plan.jobs] == [tmp_path / "x.png"]
    plan = make_plan([tree / "a.jpg"], Naming(tmp_path / "new"))
    assert [job.target for job in plan.jobs] == [tmp_path / "new" / "a.jpg"]


def test_patterns_name_the_outputs(tree: Path, tmp_path: Path) -> None:
    naming = Naming(tmp_path / "out/{model}/{folder}/{stem}-{suffix}.jpg", model="monet")
    assert sorted(targets(make_plan([tree], naming), tmp_path / "out/monet")) == [
        "a-jpg.jpg", "b c-png.jpg", "deep/er/d-tif.jpg", "deep/é-gif.jpg"]  # fmt: skip
    bare = make_plan([tree / "deep/é.gif"], Naming(tmp_path / "{name}")).jobs[0]
    assert bare.target == tmp_path / "é.gif.png"
    for wrong in ("{stem.__class__}", "{nothing}", "{stem", "{0}", "x{stem:d}.png", "{stem!r}"):
        with pytest.raises(ConfigError, match="-o "):
            Naming(tmp_path / wrong)


def test_a_format_is_for_names_that_do_not_say_it(tree: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert targets(make_plan([tree], Naming(out, "webp")), out) == [
        "a.webp",
        "b c.webp",
        "deep/é.webp",
        "deep/er/d.webp",
    ]
    assert make_plan([tree / "a.jpg"], Naming(tmp_path / "x.png", "webp")).jobs[0].target == tmp_path / "x.png"
    with pytest.raises(ImageError, match="cannot write"):
        Naming(out, "gif")


@pytest.mark.parametrize(
    "name", ["with space.png", "new\nline.png", "日本語.png", "-o.png", "{stem}.png", "a" * 120 + ".png"]
)
def test_every_name_is_a_name(tmp_path: Path, tiny: Config, name: str) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    Image.fromarray(scene(20, 24, 0)).save(source / name)
    plan = make_plan([source], Naming(out), recipe=RECIPE)
    done, failed = run(plan, Translator(make_model(tiny)))
    assert [job.target for job in done] == [out / name] and not failed
    assert not make_plan([source], Naming(out), recipe=RECIPE).jobs
