"""The memory that a training takes is told before it is taken, and one line says where it is not enough."""

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import assert_clear_error, in_process, scene
from PIL import Image

import sincut
from sincut.config.resolve import resolve
from sincut.config.sections import Config, overlay
from sincut.errors import ImageError, TrainingError
from sincut.events import Directed, Event, PictureRead, Reading, Started, Warned
from sincut.runs.needs import _bank_bytes, bytes_to_learn


def test_large_pictures_are_expected_to_take_what_training_needs_of_them(tmp_path: Path) -> None:
    config = resolve("quick")
    Image.new("RGB", (12_000, 9_000)).save(tmp_path / "a.jpg")
    Image.new("RGB", (1200, 800)).save(tmp_path / "b.jpg")
    large, small = (
        bytes_to_learn({"painting": tmp_path / a, "photo": tmp_path / "b.jpg"}, config) for a in ("a.jpg", "b.jpg")
    )
    assert 0.5e9 < small < large < 1.5e9
    whole = bytes_to_learn({"painting": tmp_path / "a.jpg", "photo": tmp_path / "b.jpg"}, resolve("release"))
    assert whole > 5e9  # its crops are taken at the file's own scale
    with pytest.raises(ImageError, match="no such file"):
        bytes_to_learn({"painting": tmp_path / "none.jpg", "photo": tmp_path / "b.jpg"}, config)


def test_a_bank_of_keys_is_expected_to_take_what_it_was_measured_to() -> None:
    """With four crops a step of `external` took 974 MB more than one of `paper`, and one with few negatives 192 MB."""
    config = resolve("external", ["crops.count=4"])
    assert sum(_bank_bytes(config)) == pytest.approx(0.974e9, rel=0.05)
    few = overlay(config, {"losses": {"most_negatives": 15}})
    assert _bank_bytes(few) == (10 * 16_384 * 256 * 4, 0)
    for off in ({"negatives": "internal"}, {"nce": 0.0}):
        assert _bank_bytes(overlay(config, {"losses": off})) == (0, 0)
    pictures = {"painting": scene(50, 60, 0), "photo": scene(50, 60, 1)}
    assert bytes_to_learn(pictures, config) - bytes_to_learn(pictures, few) > 0.5e9


def test_a_method_that_takes_pictures_whole_is_expected_to_take_what_it_was_measured_to() -> None:
    """With two pictures of a megapixel a step of `cut` took 2.85 GB in float32, a whole megapixel 2 GB at once."""
    images = dict.fromkeys(("painting", "photo"), np.zeros((1000, 1000, 3), np.uint8))
    step, preview = (bytes_to_learn(images, resolve("cut", [f"output.previews={count}"])) for count in (0, 8))
    assert step == pytest.approx(2.85e9, rel=0.05)
    assert preview == pytest.approx(3.2e9, rel=0.05)  # beside what drawing and measuring it take


def test_pictures_of_any_form_have_the_same_needs() -> None:
    array = scene(300, 400, 0)
    tensor = torch.from_numpy(array.copy()).permute(2, 0, 1) / 255
    images = array, Image.fromarray(array), tensor, tensor[None]
    assert len({bytes_to_learn({"painting": image, "photo": image}, resolve("quick")) for image in images}) == 1


def test_memory_is_told_before_it_is_taken(
    tiny: Config, painting: Path, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[Event] = []
    sincut.train(painting, photo, config=tiny, on_event=events.append)
    kinds = [type(event) for event in events]
    assert kinds[:5] == [Directed, Reading, PictureRead, PictureRead, Started]
    told = events[1]
    assert isinstance(told, Reading) and told.memory > 0.5e9
    monkeypatch.setattr("sincut.runs.run.available_memory", lambda device: 10**8)
    sincut.train(painting, photo, config=tiny, on_event=events.append)
    warned = [event.message for event in events if isinstance(event, Warned)]
    assert any(message.startswith("only 0.1 GB of memory are free") for message in warned)


@pytest.mark.parametrize("where", ["read", "prepare", "step"])
def test_too_little_memory_is_one_line(
    painting: Path, photo: Path, tmp_path: Path, tiny_flags: list[str], monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    def fails(*_: object, **__: object) -> None:
        if where == "read":
            raise MemoryError
        raise RuntimeError("[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory")

    place = {"read": "pictures.reading.load", "prepare": "method.training.prepare", "step": "method.step.Cut.step"}
    monkeypatch.setattr(f"sincut.{place[where]}", fails)
    result = in_process("train", painting, photo, "-o", tmp_path / "run", *tiny_flags)
    assert_clear_error(result, 1, "memory")


def test_what_is_no_lack_of_memory_keeps_its_traceback(
    tiny: Config, painting: Path, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("sincut.method.training.prepare", fails)
    with pytest.raises(RuntimeError, match="a bug"):
        sincut.train(painting, photo, config=tiny)
    monkeypatch.setattr("sincut.method.training.prepare", lambda *_: np.zeros((10**9, 10**9)))
    with pytest.raises(TrainingError, match="not enough memory"):
        sincut.train(painting, photo, config=tiny)
