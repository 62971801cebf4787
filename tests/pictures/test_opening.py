"""Damaged files, absurd sizes, errors of the system, and what is no picture."""

import errno
import io
import logging
import os
import random
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
import pyvips
from click.testing import CliRunner
from helpers import scene
from PIL import Image, ImageFile

from sincut.cli import main
from sincut.errors import DamagedError, ImageError, SincutError
from sincut.pictures import chunks, masks, reading
from sincut.pictures.large import open_large
from sincut.pictures.opening import opened
from sincut.pictures.writing import Saving

RGB = scene(24, 30, 0)


def test_bad_files_are_named_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.jpg").write_text("no picture at all, only words")
    whole = io.BytesIO()
    Image.fromarray(scene(200, 200, 1)).save(whole, "JPEG")
    (tmp_path / "cut.jpg").write_bytes(whole.getvalue()[: len(whole.getvalue()) // 2])
    for name, what in (("empty", "empty"), ("text", "not a picture"), ("cut", "damaged"), ("none", "no such file")):
        with pytest.raises(ImageError, match=rf"{name}\.jpg: .*{what}"):
            reading.load(tmp_path / f"{name}.jpg")
    with pytest.raises(ImageError, match="is a folder"):
        reading.load(tmp_path)


@pytest.mark.filterwarnings("ignore:::PIL")
def test_damaged_files_never_raise_anything_else(tmp_path: Path) -> None:
    rng = random.Random(0)
    path = tmp_path / "x"
    for format_ in ("PNG", "JPEG", "WEBP", "TIFF", "GIF", "BMP"):
        whole = io.BytesIO()
        Image.fromarray(RGB).save(whole, format_)
        for _ in range(40):
            data = bytearray(whole.getvalue())
            for _ in range(rng.randint(1, 8)):
                data[rng.randrange(min(len(data), 400))] = rng.randrange(256)
            path.write_bytes(data[: rng.randint(len(data) // 2, len(data))])
            try:
                reading.load(path)
            except SincutError as error:
                assert str(path) in str(error)


def test_absurd_sizes_are_refused_before_decoding(tmp_path: Path) -> None:
    header = b"P6 100000 100000 255\n"
    (tmp_path / "huge.ppm").write_bytes(header + b"\0" * 100)
    with pytest.raises(ImageError, match="100000x100000"):
        reading.load(tmp_path / "huge.ppm")


def test_a_large_picture_passes_pillow_s_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    Image.fromarray(RGB).save(tmp_path / "a.png")
    assert reading.load(tmp_path / "a.png").size == (24, 30)
    assert Image.MAX_IMAGE_PIXELS == 100


def test_programs_and_vectors_are_no_pictures(tmp_path: Path) -> None:
    eps = io.BytesIO()
    Image.fromarray(RGB).save(eps, "EPS")
    (tmp_path / "a.jpg").write_bytes(eps.getvalue())
    (tmp_path / "b.png").write_text('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>')
    (tmp_path / "c.png").write_text("1,2,3\n4,5,6\n")
    words = {"a.jpg": "is a PostScript file", "b.png": "is an SVG drawing", "c.png": "not a picture in a known format"}
    for name, what in words.items():
        with pytest.raises(ImageError, match=what):
            reading.load(tmp_path / name)


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.EMFILE, errno.EACCES])
@pytest.mark.parametrize("where", ["open", "load", "metadata"])
def test_errors_of_the_system_are_no_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, where: str
) -> None:
    Image.fromarray(RGB).save(tmp_path / "a.png")

    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patched:
        places = {"open": (Image, "open"), "load": (ImageFile.ImageFile, "load"), "metadata": (chunks, "read")}
        patched.setattr(*places[where], fail)
        with pytest.raises(ImageError, match=rf"a\.png: cannot be read \({os.strerror(number)}\)") as told:
            reading.load(tmp_path / "a.png")
    assert not isinstance(told.value, DamagedError)
    assert np.array_equal(reading.load(tmp_path / "a.png").pixels, RGB)


def test_errors_of_the_system_in_libvips_are_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "a.png"
    pyvips.Image.new_from_array(RGB.astype(np.uint16)).copy(interpretation="rgb16").write_to_file(str(source))
    said = (
        f"{source}: unable to open for read\nsystem error: Too many open files\n{source} is not a known file format\n"
    )

    def fail(*_: object, **__: object) -> None:
        raise pyvips.Error("unable to load from file", said)

    monkeypatch.setattr(pyvips.Image, "new_from_file", fail)
    with pytest.raises(ImageError, match=r"a\.png: cannot be read \(Too many open files\)") as told:
        reading.load(source)
    assert not isinstance(told.value, DamagedError)
    with (
        pytest.raises(ImageError, match="Too many open files") as told,
        open_large(source, tmp_path / "b.png", Saving()),
    ):
        pass
    assert not isinstance(told.value, DamagedError)


def test_a_mask_that_goes_away_is_an_error_with_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(RGB).save(tmp_path / "m.png")
    monkeypatch.setattr(masks, "size_of", lambda path, max_pixels: path.unlink())
    with pytest.raises(ImageError, match=r"m\.png"):
        masks.load_mask(tmp_path / "m.png", (24, 30))


@pytest.mark.parametrize("kind", [TypeError, AttributeError, IndexError])
def test_bugs_of_ours_keep_their_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type[Exception]
) -> None:
    Image.fromarray(RGB).save(tmp_path / "a.png")

    def wrong(*_: object) -> None:
        raise kind("a bug")

    monkeypatch.setattr(reading, "to_rgb", wrong)
    with pytest.raises(kind, match="a bug"):
        reading.load(tmp_path / "a.png")


def test_a_damaged_image_of_pillow_s_is_told_as_one(tmp_path: Path) -> None:
    Image.fromarray(scene(200, 200, 1)).save(tmp_path / "a.jpg")
    data = (tmp_path / "a.jpg").read_bytes()
    with Image.open(io.BytesIO(data[: len(data) // 2])) as image, pytest.raises(DamagedError, match="damaged"):
        reading.from_pil(image)


def test_readers_at_once_leave_pillow_s_limit_and_all_warnings_as_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.fromarray(RGB).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with warnings.catch_warnings():
        before = list(warnings.filters)
        first, second = opened(tmp_path / "a.png", 10**6), opened(tmp_path / "a.png", 10**6)
        first.__enter__()
        second.__enter__()
        warnings.filterwarnings("error", message="set by the program around it")
        first.__exit__(None, None, None)
        assert Image.MAX_IMAGE_PIXELS is None  # the second one still reads
        second.__exit__(None, None, None)
        assert Image.MAX_IMAGE_PIXELS == 100
        after = list(warnings.filters)
        assert after[1:] == before and after[0][0] == "error"

        threads = [threading.Thread(target=reading.load, args=(tmp_path / "a.png",)) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert Image.MAX_IMAGE_PIXELS == 100 and list(warnings.filters) == after


def test_the_command_shows_no_warnings_of_pillow() -> None:
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        assert CliRunner().invoke(main, ["presets"]).exit_code == 0
        for module in ("PIL.TiffImagePlugin", "elsewhere"):
            warnings.warn_explicit("Corrupt EXIF data", UserWarning, f"{module}.py", 1, module)
    assert [warning.filename for warning in shown] == ["elsewhere.py"]


def test_what_pillow_logs_goes_to_stderr_only_where_a_program_wants_it(tmp_path: Path) -> None:
    Image.new("RGB", (2, 2)).save(tmp_path / "a.png")
    reading.load(tmp_path / "a.png")
    assert any(isinstance(handler, logging.NullHandler) for handler in logging.getLogger("PIL").handlers)


def test_libtiff_and_libvips_write_nothing_to_stderr(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from sincut.pictures import reading\n"
        "from sincut.errors import DamagedError\n"
        "for name in sys.argv[1:]:\n"
        "    try: reading.load(Path(name)); print(name, 'was read')\n"
        "    except DamagedError: pass\n"
    )
    Image.fromarray(scene(99, 99, 1)).save(tmp_path / "a.tif", compression="tiff_lzw")
    deep = pyvips.Image.new_from_array(scene(99, 99, 1).astype(np.uint16) << 8).copy(interpretation="rgb16")
    deep.tiffsave(str(tmp_path / "b.tif"), tile=True, tile_width=64, tile_height=64, compression="lzw")
    for name in ("a.tif", "b.tif"):
        data = bytearray((tmp_path / name).read_bytes())
        data[400:3000] = bytes(2600)
        (tmp_path / name).write_bytes(data)
    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "a.tif", tmp_path / "b.tif"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "" and done.stderr == ""
