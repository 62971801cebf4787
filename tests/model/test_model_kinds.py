"""Model files of several kinds: each is loaded by the loader that is registered for it."""

from pathlib import Path

import pytest
from helpers import in_process, make_model

from sincut.config.sections import Config
from sincut.errors import ModelError
from sincut.model import kinds
from sincut.model.file import load_tensors, save_tensors
from sincut.model.kinds import KIND, TRANSLATOR, AnyModel, load_kind, register_kind
from sincut.model.model import Model, with_generator


@pytest.fixture(autouse=True)
def only_those_that_ship_are_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kinds, "LOADERS", dict(kinds.LOADERS))


@pytest.fixture
def other_file(model_file: Path) -> Path:
    """A model file that says it is of a kind of its own."""
    tensors, metadata = load_tensors(model_file)
    save_tensors(model_file, tensors, {**metadata, KIND: "own"})
    return model_file


def test_a_file_that_names_no_kind_has_a_generator(model_file: Path) -> None:
    assert KIND not in load_tensors(model_file)[1]
    model = load_kind(model_file)
    assert isinstance(model, Model) and model.kind == TRANSLATOR and with_generator(model) is model


def test_a_kind_is_loaded_by_its_loader(tiny: Config, other_file: Path) -> None:
    with pytest.raises(ModelError, match="of the kind 'own', which this sincut does not know; update"):
        load_kind(other_file)
    asked: list[tuple[Path, bool]] = []

    def load(path: Path, heads: bool) -> AnyModel:
        asked.append((path, heads))
        return make_model(tiny)

    register_kind("own", load)
    register_kind("own", load)
    load_kind(other_file, heads=True)
    assert asked == [(other_file, True)]
    with pytest.raises(ValueError, match="'own' already"):
        register_kind("own", lambda path, heads: make_model(tiny))


def test_what_needs_a_generator_refuses_other_kinds_in_a_line(other_file: Path, tmp_path: Path) -> None:
    words = ("export", other_file, "-o", tmp_path / "m.onnx"), ("exemplar", other_file, "--remove")
    for command in words:
        result = in_process(*command)
        assert result.returncode == 1 and result.stderr.count("\n") == 1, result.stderr
        assert "is of the kind 'own', which has no G" in result.stderr
