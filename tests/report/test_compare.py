"""Comparisons: what is shown, measured and refused."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from helpers import brushes, in_process, make_model, save_telling, scene, with_exemplar
from PIL import Image

from sincut.cli import main
from sincut.config.sections import Config
from sincut.errors import ImageError, RunError
from sincut.model.model import Model
from sincut.model.provenance import PictureIdentity, Provenance
from sincut.pictures import reading
from sincut.report import compare, history

HOSTILE = '"\'</h2><script>alert(1)</script> onload=" {{ 7 * 6 }} \udc80'


@pytest.fixture
def runs(tiny: Config, tmp_path: Path) -> list[Path]:
    """Two run folders of one painting, with copies of both pictures."""
    found = []
    for seed in (0, 1):
        run = tmp_path / f"seed-{seed}"
        (run / "previews").mkdir(parents=True)
        Image.fromarray(scene(72, 90, 1)).save(run / "previews" / "painting.jpeg")
        Image.fromarray(scene(70, 80, 2)).save(run / "previews" / "photo.jpeg")
        Image.fromarray(scene(72, 90, 3 + seed)).save(run / "previews" / "000010.jpg")
        model = make_model(tiny, seed)
        pictures = PictureIdentity(sha256="a"), PictureIdentity(sha256="b")
        model.provenance = Provenance(*pictures, "painting -> photo", figures={"colour": 0.5 + seed})
        model.save(run / "model.safetensors")
        found.append(run)
    return found


def test_compare_takes_runs_models_and_pictures(runs: list[Path], painting: Path) -> None:
    found = compare.compare([runs[0], runs[1] / "model.safetensors", painting])
    assert [result.name for result in found.results] == ["seed-0", "seed-1", "painting.png"]
    assert found.source is not None and found.photo is not None
    assert all({"colour", "structure"} <= set(result.figures) for result in found.results)
    assert found.best()["structure"] == max(result.figures["structure"] for result in found.results)
    assert found.best()["colour"] == min(result.figures["colour"] for result in found.results)


def test_models_with_an_exemplar_are_compared_as_they_draw(runs: list[Path], tiny: Config) -> None:
    model = Model.load(runs[1])
    with_exemplar(model).save(runs[1] / "model.safetensors")
    with brushes():
        drawn, fast = compare.compare(runs), compare.compare(runs, fast=True)
    plain, own = ([result.picture.pixels for result in each.results] for each in (fast, drawn))
    assert np.array_equal(own[0], plain[0]) and (own[1] != plain[1]).any()


def test_compare_shows_last_previews_where_there_is_no_copy(runs: list[Path]) -> None:
    for run in runs:
        (run / "previews" / "painting.jpeg").unlink()
    found = compare.compare(runs)
    assert found.source is None and [result.figures for result in found.results] == [{"colour": 0.5}, {"colour": 1.5}]
    (runs[0] / "previews" / "000010.jpg").unlink()
    with pytest.raises(RunError, match="--picture"):
        compare.compare(runs)


def test_a_preview_is_shown_with_the_figures_of_its_step(runs: list[Path]) -> None:
    """A model that was saved as training was resumed may know none, or others."""
    for run in runs:
        (run / "previews" / "painting.jpeg").unlink()
    history.append(runs[0], {"step": 10, "figures": {"colour": 0.75}})
    history.append(runs[1], {"step": 5, "figures": {"colour": 0.25}})
    assert [result.figures for result in compare.compare(runs).results] == [{"colour": 0.75}, {"colour": 1.5}]


def test_figures_of_strangers_are_finite_numbers_or_left_out(runs: list[Path], tiny: Config) -> None:
    for run in runs:
        (run / "previews" / "painting.jpeg").unlink()
    model = make_model(tiny)
    model.provenance = Provenance(PictureIdentity(sha256="a"), direction="painting -> photo")
    figures = {"colour": float("nan"), "tone": True, "texture": 10**40, "structure": 0.5}
    save_telling(model, runs[0] / "model.safetensors", figures=figures)
    assert compare.compare(runs).results[0].figures == {"structure": 0.5}


def test_compare_refuses_runs_of_different_pictures(runs: list[Path], tiny: Config, painting: Path) -> None:
    model = make_model(tiny)
    model.provenance = Provenance(PictureIdentity(sha256="other"), direction="painting -> photo")
    model.save(runs[1] / "model.safetensors")
    with pytest.raises(RunError, match="different pictures"):
        compare.compare(runs)
    assert len(compare.compare(runs, painting).results) == 2


def test_names_and_figures_of_strangers_are_text_in_the_page(tmp_path: Path) -> None:
    picture = reading.from_pil(Image.fromarray(scene(60, 80, 0)))
    result = compare.Result(HOSTILE, tmp_path, picture, {HOSTILE: 0.5})
    page = compare.page(compare.Comparison(picture, None, [result]))
    assert "<script" not in page and 'onload="' not in page and "{{ 7 * 6 }}" in page
    assert page.count("&lt;script&gt;") == 3 and page.encode()  # alternative text, title, figure


def test_what_is_transparent_is_shown_on_white(tmp_path: Path) -> None:
    half = np.zeros((60, 80, 4), np.uint8)  # black below what nobody sees
    half[:, 40:] = (200, 0, 0, 255)
    result = compare.Result("a", tmp_path, reading.from_pil(Image.fromarray(half)))
    (cell,) = compare.Comparison(None, None, [result]).cells()
    assert (cell.picture.pixels[:, :40] == 255).all() and (cell.picture.pixels[:, 40:] == (200, 0, 0)).all()


def test_compare_command_writes_pictures_and_pages(runs: list[Path], tmp_path: Path) -> None:
    result = in_process("compare", *runs, "-o", tmp_path / "sheet.png", "--json", "--device", "cpu")
    assert result.returncode == 0, result.stderr
    told = json.loads(result.stdout)
    assert [row["name"] for row in told["outputs"]] == ["seed-0", "seed-1"]
    with Image.open(tmp_path / "sheet.png") as image:
        assert image.width > 1800


def test_compare_replaces_nothing_that_is_compared(painting: Path, tmp_path: Path) -> None:
    found = compare.compare([painting])
    before = painting.read_bytes()
    with pytest.raises(ImageError, match=r"painting\.png: is one of the pictures compared.*-o"):
        compare.write(found, painting)
    assert painting.read_bytes() == before
    for name in ("sheet", "sheet.xyz"):
        with pytest.raises(ImageError, match="cannot write"):
            compare.check_output(tmp_path / name)
    compare.write(found, tmp_path / "sheet.html")
    assert "painting.png" in (tmp_path / "sheet.html").read_text(encoding="utf-8")


def test_commands_replace_nothing_that_they_read(runs: list[Path], painting: Path, photo: Path) -> None:
    model, before = runs[0] / "model.safetensors", {path: path.read_bytes() for path in (painting, photo)}
    given = ["compare", *runs, "--picture", painting, "--photo", photo, "-o"]
    for command in (
        [*given, painting],
        [*given, photo.parent / ".." / photo.parent.name / photo.name],
        ["features", model, painting, "-o", painting],
        ["similarity", model, painting, "--point", "3,3", "-o", painting],
    ):
        result = CliRunner().invoke(main, list(map(str, command)))
        assert result.exit_code == 1 and "would be replaced" in result.output, result.output
    result = CliRunner().invoke(main, ["report", str(runs[0]), "-o", str(model)])
    assert result.exit_code == 1 and ".html" in result.output
    result = CliRunner().invoke(main, ["report", str(painting)])
    assert result.exit_code == 1 and "is no run folder" in result.output
    assert Model.load(model) and {path: path.read_bytes() for path in before} == before
