"""`sincut apply` as a user meets it: what each option does, folders, pipes, and what it refuses."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from helpers import ROOT, assert_clear_error, brushes, in_process, make_model, scene, with_exemplar
from PIL import Image

from sincut.cli import main
from sincut.config.sections import Config
from sincut.translation.translator import Translator

EXIF_ARTIST = 0x013B


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A JPEG with metadata, of several tiles of 64 px."""
    exif = Image.Exif()
    exif[EXIF_ARTIST] = "somebody"
    path = tmp_path / "source.jpg"
    Image.fromarray(scene(96, 120, 1)).save(path, quality=90, exif=exif)
    return path


@pytest.fixture
def applied(model_file: Path, source: Path, tmp_path: Path) -> Any:
    """Translates the source with some options; gives the pixels as numbers."""

    def apply(*options: object, picture: Path = source) -> np.ndarray:
        out = tmp_path / "out.png"
        result = in_process("apply", model_file, picture, "-o", out, "--overwrite", "--device", "cpu", *options)
        assert result.returncode == 0, result.stderr
        with Image.open(out) as image:
            return np.asarray(image).astype(int)

    return apply


def test_strength_mixes_with_the_source(source: Path, applied: Any) -> None:
    with Image.open(source) as image:
        before = np.asarray(image).astype(int)
    whole, half, none = applied(), applied("--strength", "0.5"), applied("--strength", "0")
    assert np.array_equal(none, before)
    distance = np.abs(whole - before).mean()
    assert distance > 2 and 0.3 < np.abs(half - before).mean() / distance < 0.7


def test_colour_or_texture_is_kept(source: Path, applied: Any) -> None:
    with Image.open(source) as image:
        before = np.asarray(image).astype(int)
    whole, colour, texture = applied(), applied("--keep-colour"), applied("--keep-texture")

    def apart(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
        """Mean distances in luma, and in what is left without it."""
        luma = (a - b) @ [0.299, 0.587, 0.114]
        return float(np.abs(luma).mean()), float(np.abs((a - b) - luma[..., None]).mean())

    (luma_moves, chroma_moves), (colour_luma, colour_chroma) = apart(whole, before), apart(colour, before)
    texture_luma, texture_chroma = apart(texture, before)
    assert colour_chroma < chroma_moves / 2 and colour_luma > luma_moves / 2
    assert texture_luma < luma_moves / 2 and texture_chroma > chroma_moves / 2


def test_a_mask_says_where(source: Path, applied: Any, tmp_path: Path) -> None:
    mask = np.zeros((96, 120), np.uint8)
    mask[:, 60:] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    with Image.open(source) as image:
        before = np.asarray(image).astype(int)
    out = applied("--mask", tmp_path / "mask.png")
    assert np.array_equal(out[:, :40], before[:, :40])
    assert np.abs(out[:, 80:] - applied()[:, 80:]).max() <= 1


def test_a_mask_is_never_replaced(source: Path, model_file: Path, tmp_path: Path) -> None:
    folder = tmp_path / "masks"
    folder.mkdir()
    mask = folder / "mask.png"
    Image.new("L", (120, 96), 255).save(mask)
    (tmp_path / "soft.png").symlink_to(mask)
    os.link(mask, tmp_path / "hard.png")
    before = mask.read_bytes()
    for name in (mask, folder / ".." / "masks" / "mask.png", tmp_path / "soft.png", tmp_path / "hard.png"):
        command = ("apply", model_file, source, "--mask", mask, "-o", name)
        assert_clear_error(
            in_process(*command, "--overwrite"), 1, str(name), "the mask would be overwritten", "give -o"
        )
        assert_clear_error(in_process(*command), 1, "the mask would be overwritten")
    in_place = ("apply", model_file, folder, "--mask", mask, "--in-place")
    assert_clear_error(in_process(*in_place), 1, "the mask would be overwritten", "--exclude")
    assert mask.read_bytes() == before and os.path.samefile(mask, tmp_path / "hard.png")
    missing = in_process("apply", model_file, source, "--mask", tmp_path / "no.png", "-o", tmp_path / "o.png")
    assert_clear_error(missing, 1, "no.png")


def test_scale_changes_what_is_translated(applied: Any) -> None:
    whole, smaller = applied(), applied("--scale", "0.6")
    assert smaller.shape == whole.shape and np.abs(smaller - whole).mean() > 1


@pytest.fixture
def drawn(applied: Any, model_file: Path, tiny: Config) -> Iterator[Any]:
    """`applied`, by a model that has an exemplar to draw from."""
    with_exemplar(make_model(tiny)).save(model_file)
    with brushes():
        yield applied


def test_pictures_are_drawn_unless_it_has_to_be_fast(drawn: Any, model_file: Path, tiny: Config) -> None:
    whole, fast = drawn(), drawn("--fast")
    assert np.abs(whole - fast).mean() > 2
    assert np.array_equal(drawn("--stroke-scale", "1", "--fidelity", "0.5"), whole)
    assert (drawn("--fidelity", "0.9") != whole).any() and (drawn("--by-height") != whole).any()
    make_model(tiny).save(model_file)
    assert np.array_equal(drawn(), fast) and np.array_equal(drawn("--fast"), fast)


def test_drawing_goes_with_the_other_options(drawn: Any, source: Path, tmp_path: Path) -> None:
    whole = drawn()
    with Image.open(source) as image:
        before = np.asarray(image).astype(int)
    half, scaled = drawn("--strength", "0.5"), drawn("--scale", "0.5")
    assert 0.3 < np.abs(half - before).mean() / np.abs(whole - before).mean() < 0.7 and (scaled != whole).any()
    mask = tmp_path / "mask.png"
    Image.fromarray(np.repeat(np.repeat([[0, 255]], 96, 0), 60, 1).astype(np.uint8)).save(mask)
    masked = drawn("--mask", mask)
    assert np.array_equal(masked[:, :40], before[:, :40]) and np.array_equal(masked[:, -40:], whole[:, -40:])
    for tile in ("64", "off"):
        assert np.abs(drawn("--tile", tile) - whole).max() <= 1
    assert np.abs(drawn("--max-memory", "1") - whole).max() <= 1  # from file to file


def test_dials_that_cannot_be_followed_are_refused_before_the_first_picture(
    model_file: Path, source: Path, tmp_path: Path
) -> None:
    command = ["apply", model_file, source, "-o", tmp_path / "out.png"]
    for flags, words in (
        (["--stroke-scale", "2"], ["carries its exemplar", "sincut exemplar"]),
        (["--fast", "--fidelity", "0.9"], ["fast leaves out"]),
        (["--fast", "--by-height"], ["fast leaves out"]),
        (["--by-height"], ["carries its exemplar"]),
        (["--stroke-scale", "9"], ["out of range"]),
        (["--fidelity", "-1"], ["out of range"]),
    ):
        assert_clear_error(in_process(*command, *flags), 2, *words)
    assert not (tmp_path / "out.png").exists() and not (tmp_path / "manifest.jsonl").exists()


def test_greys_get_colours_unless_they_are_to_stay(applied: Any, tmp_path: Path) -> None:
    grey = tmp_path / "grey.png"
    Image.fromarray(scene(60, 70, 3)[..., 0]).save(grey)
    coloured, kept = applied(picture=grey), applied("--greys", "keep", picture=grey)
    assert coloured.shape == (60, 70, 3) and np.ptp(coloured, axis=2).max() > 5
    assert kept.ndim == 2 or not np.ptp(kept, axis=2).any()


def test_quality_and_metadata_of_the_files(model_file: Path, source: Path, tmp_path: Path) -> None:
    def written(name: str, *options: object) -> Path:
        assert in_process("apply", model_file, source, "-o", tmp_path / name, *options).returncode == 0
        return tmp_path / name

    fine, coarse, bare = written("fine.jpg"), written("coarse.jpg", "--quality", 10), written("bare.jpg", "--strip")
    assert coarse.stat().st_size < fine.stat().st_size / 2
    with Image.open(fine) as kept, Image.open(bare) as stripped:
        assert kept.getexif()[EXIF_ARTIST] == "somebody" and not stripped.getexif()


def test_outputs_have_the_time_of_their_inputs_where_that_is_asked_for(
    model_file: Path, source: Path, tmp_path: Path
) -> None:
    os.utime(source, (10**9, 10**9))
    for flags, is_old in (((), False), (("--keep-times",), True)):
        done = in_process("apply", model_file, source, "-o", tmp_path / "out.png", "--overwrite", *flags)
        assert done.returncode == 0
        assert ((tmp_path / "out.png").stat().st_mtime == 10**9) == is_old


def test_names_and_formats_of_the_files(model_file: Path, source: Path, tmp_path: Path) -> None:
    folder = tmp_path / "styled"
    folder.mkdir()
    assert in_process("apply", model_file, source, "-o", folder, "--format", ".WebP").returncode == 0
    assert in_process("apply", model_file, source, "-o", folder / "{model}-{stem}.png").returncode == 0
    names = sorted(path.name for path in folder.glob("so*"))
    assert names == ["some-source.png", "source.webp"]


@pytest.mark.parametrize(
    ("flags", "several"),
    [
        ((), False),
        (("--tile", "64"), True),
        (("--tile", "off"), False),
        (("--max-memory", "1MB"), True),
        (("--max-memory", "100GB"), False),
    ],
)
def test_tiles_follow_their_options(model_file: Path, tmp_path: Path, flags: Sequence[object], several: bool) -> None:
    picture = tmp_path / "wide.png"
    Image.fromarray(scene(100, 400, 1)).save(picture)
    result = in_process("apply", model_file, picture, "-o", tmp_path / "out.png", "--json", "--device", "cpu", *flags)
    assert result.returncode == 0, result.stderr
    started = next(event for event in map(json.loads, result.stderr.splitlines()) if event["event"] == "PictureStarted")
    assert (started["tiles"] > 1) is several


def test_too_many_pixels_are_refused(model_file: Path, source: Path, tmp_path: Path) -> None:
    command = ["apply", model_file, source, "-o", tmp_path / "out.png", "--max-pixels"]
    assert_clear_error(in_process(*command, 96 * 120 - 1), 1, "source.jpg", "120x96", "--max-pixels")
    assert in_process(*command, 96 * 120).returncode == 0


def test_what_would_be_done_is_one_json_object(
    tiny: Config, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Translator, "probe", lambda self, options: 1e-3)  # seconds a pixel
    models = [tmp_path / f"{name}.safetensors" for name in ("one", "two")]
    for seed, path in enumerate(models):
        make_model(tiny, seed).save(path)
    command = ["apply", *models, source, "-o", tmp_path / "out" / "{model}", "--dry-run"]
    plans = json.loads(in_process(*command, "--json").stdout)["plans"]
    assert [(plan["model"], plan["to do"], plan["seconds"]) for plan in plans] == [(str(p), 1, 12) for p in models]
    assert not (tmp_path / "out").exists()
    shown = in_process(*command).stdout
    assert "to do" in shown and all(str(path) in shown for path in models)


def test_folder_with_a_bad_file_goes_on_and_exits_1(model_file: Path, tmp_path: Path) -> None:
    inside = tmp_path / "in" / "sub"
    inside.mkdir(parents=True)
    for name in ("a.jpg", "b.png"):
        Image.fromarray(scene(30, 40, 0)).save(inside / name)
    (inside / "bad.jpg").write_bytes(b"\xff\xd8\xff broken")
    result = in_process("apply", model_file, tmp_path / "in", "-o", tmp_path / "styled", "--json")
    assert result.returncode == 1 and "bad.jpg" in result.stderr.splitlines()[-1]
    told = json.loads(result.stdout)
    assert len(told["done"]) == 2 and len(told["failed"]) == 1
    assert sorted(path.name for path in (tmp_path / "styled" / "sub").iterdir()) == ["a.jpg", "b.png"]
    both = inside / "a.jpg", inside / "b.png"
    again = json.loads(in_process("apply", model_file, *both, "-o", tmp_path / "styled" / "sub", "--json").stdout)
    assert len(again["skipped"]) == 2 and not again["done"]


def test_apply_works_in_a_pipe(tmp_path: Path, painting: Path, model_file: Path) -> None:
    command = [sys.executable, "-m", "sincut", "apply", str(model_file), "-", "-o", "-", "--format", "webp"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run(command, input=painting.read_bytes(), capture_output=True, env=env, timeout=300)
    assert result.returncode == 0, result.stderr
    with Image.open(io.BytesIO(result.stdout)) as image:
        assert image.format == "WEBP" and image.size == (90, 72)
    broken = CliRunner().invoke(main, ["apply", str(model_file), "-", "-o", "-"], input=b"no picture")
    assert broken.exit_code == 1 and not broken.stdout and "sincut: -: is not a picture" in broken.stderr
    for option in (["--include", "*.jpg"], ["--retry-failed"], ["--json"], ["--overwrite"]):
        refused = in_process("apply", model_file, "-", "-o", "-", *option)
        assert refused.returncode == 2 and "is for one picture" in refused.stderr, option
    for option in (["--include", "*.jpg"], ["--engine", "ray"], ["--watch"]):
        refused = in_process("apply", model_file, "-", "-o", tmp_path / "out.png", *option)
        assert refused.returncode == 2 and "is for one picture" in refused.stderr, option


@pytest.mark.parametrize(
    "flags",
    [
        [],
        ["-o", "{unknown}.png"],
        ["-o", "out", "--in-place"],
        *(
            ["-o", "out", *option]
            for option in (
                *(["--strength", "2"], ["--scale", "0"], ["--quality", "0"], ["--tile", "-3"], ["--tile", "0"]),
                *(["--max-memory", "much"], ["--max-memory", "2GMB"], ["--max-pixels", "0"], ["--max-pixels", "-1"]),
            )
        ),
    ],
)
def test_apply_refuses_wrong_usage(
    painting: Path, model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    assert in_process("apply", model_file, painting, *flags).returncode == 2
    assert sorted(tmp_path.iterdir()) == before


def test_bad_models_and_inputs_get_one_clear_line(painting: Path, model_file: Path, tmp_path: Path) -> None:
    words, out = tmp_path / "words.png", ["-o", tmp_path / "o.png"]
    words.write_text("only words")
    assert_clear_error(in_process("apply", words, painting, *out), 1, "words.png")
    assert_clear_error(in_process("apply", tmp_path / "no", painting, *out), 1, "no model there")
    assert_clear_error(in_process("apply", model_file, tmp_path / "no.png", *out), 1, "no.png")
    assert_clear_error(in_process("apply", model_file, words, *out), 1, "words.png", "not a picture")
    assert not (tmp_path / "o.png").exists()
