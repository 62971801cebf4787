"""Where translations go: names given, folders, patterns, formats; every name is a name."""

from pathlib import Path

import pytest
from helpers import RECIPE, assert_clear_error, in_process, make_model, scene, targets
from PIL import Image

from sincut.batch.naming import Naming
from sincut.batch.pipe import run
from sincut.batch.plan import make_plan, make_plans
from sincut.config.sections import Config
from sincut.errors import ConfigError, ImageError, RunError
from sincut.pictures.writing import Saving
from sincut.translation.options import Options
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
    ("names", "ending"),
    [
        (["a.jfif", "b.JPE", "c.jfi", "d.pjpeg", "e.jif", "f.pjp"], ""),
        (["a.HIF", "b.heic", "c.mpo"], ".jpg"),
        (["a.j2k", "b.jpx", "c.JP2", "d.pgm", "e.ppm", "f.pnm", "g.pbm", "h.apng", "i.dib", "j.gif"], ".png"),
        (["a.ptif", "b.btf"], ".tif"),
    ],
)
def test_suffixes_that_people_have_are_taken_from_folders(tmp_path: Path, names: list[str], ending: str) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    for name in names:
        (source / name).touch()
    assert targets(make_plan([source], Naming(out)), out) == [f"{name}{ending}" for name in names]


def test_a_jpeg_by_another_name_stays_one(tmp_path: Path, tiny: Config) -> None:
    for name in ("a.jfif", "b.JPE"):
        Image.fromarray(scene(20, 24, 0)).save(tmp_path / name, "JPEG", quality=31)
    done, failed = run(make_plan([tmp_path / "a.jfif", tmp_path / "b.JPE"], Naming(None)), Translator(make_model(tiny)))
    assert len(done) == 2 and not failed
    for job in done:
        assert isinstance(job.target, Path)
        with Image.open(job.target) as image:
            assert image.format == "JPEG"
    with pytest.raises(ImageError, match=r"use one of \.png, \.jpg, \.webp, \.tif, \.bmp"):
        make_plan([tmp_path / "a.jfif"], Naming(tmp_path / "x.gif"))


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


@pytest.mark.parametrize("name", ["out.jxl", "out.pdf", "out.psd", "out.DNG", "out.jpgg", "out.txt", "out.gif"])
def test_one_file_goes_to_no_suffix_that_is_not_written(tree: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(ImageError, match=r"cannot write \.\w+; use one of \.png, \.jpg, \.webp, \.tif, \.bmp"):
        make_plan([tree / "a.jpg"], Naming(tmp_path / name))
    folder = Naming(tmp_path / name, is_folder=True)  # as with a slash at the end
    assert [job.target for job in make_plan([tree / "a.jpg"], folder).jobs] == [tmp_path / name / "a.jpg"]
    (tmp_path / name).mkdir()
    assert [job.target for job in make_plan([tree / "a.jpg"], Naming(tmp_path / name)).jobs] == [
        tmp_path / name / "a.jpg"
    ]


def test_folders_may_have_dots_and_patterns_end_in_what_is_written(tree: Path, tmp_path: Path) -> None:
    assert len(make_plan([tree], Naming(tmp_path / "out.v2")).jobs) == 4
    assert make_plan([tree / "a.jpg"], Naming(tmp_path / "2024.05")).jobs[0].target == tmp_path / "2024.05/a.jpg"
    with pytest.raises(RunError, match="several pictures need a folder"):
        make_plan([tree], Naming(tmp_path / "out.jxl"))
    with pytest.raises(ImageError, match=r"cannot write \.jxl"):
        Naming(tmp_path / "{stem}.jxl")


def test_folders_that_are_there_may_have_braces(tree: Path, tmp_path: Path, model_file: Path) -> None:
    braces = tmp_path / "{guid}" / "{model}"
    braces.mkdir(parents=True)
    for output, target in (
        (braces / "out.png", braces / "out.png"),
        (braces, braces / "a.jpg"),
        (braces / "{stem}-{model}.png", braces / "a-some.png"),
        (braces / "{{x}}" / "{name}", braces / "{x}" / "a.jpg"),
    ):
        assert in_process("apply", model_file, tree / "a.jpg", "-o", output).returncode == 0
        assert target.is_file(), output
    assert (braces / "manifest.jsonl").is_file()
    with pytest.raises(ConfigError, match=r"no field \{guid\}.*write \{\{ and \}\}"):
        Naming(tmp_path / "new" / "{guid}" / "out.png")
    with pytest.raises(ConfigError, match="several models need"):
        make_plans([model_file, model_file], [tree], braces / "out", Options(), Saving())


@pytest.mark.parametrize("beyond", ["", "deeper", "{stem}.png"])
def test_a_file_is_no_folder_for_translations(tree: Path, tmp_path: Path, model_file: Path, beyond: str) -> None:
    there = tmp_path / "notes"
    there.write_text("words")
    for source in (tree / "a.jpg", tree):
        result = in_process("apply", model_file, source, "-o", there / beyond)
        assert_clear_error(result, 1, f"{there}: is a file, and no folder", "give -o a folder", ".png")
    assert there.read_text() == "words"


@pytest.mark.parametrize("name", [".png", ".JPG", ".psd"])
def test_a_suffix_alone_is_no_name(tree: Path, tmp_path: Path, name: str) -> None:
    for output in (tmp_path / name, tmp_path / "{folder}" / name):
        with pytest.raises(ConfigError, match=rf"{name}: is a suffix without a name; give .*picture{name}"):
            Naming(output)
    hidden = Naming(tmp_path / name, is_folder=True)
    assert make_plan([tree / "a.jpg"], hidden).jobs[0].target == tmp_path / name / "a.jpg"
    (tmp_path / name).mkdir()
    assert make_plan([tree / "a.jpg"], Naming(tmp_path / name)).jobs[0].target == tmp_path / name / "a.jpg"
