"""Algorithms by name."""

from pathlib import Path
from typing import Any

import pytest
from helpers import make_model

import sincut
from sincut.config.sections import Config, overlay
from sincut.errors import ConfigError
from sincut.method import algorithms
from sincut.method.algorithms import algorithm, register_algorithm
from sincut.method.cyclegan import CycleGan
from sincut.method.loop import train
from sincut.method.methods import METHODS
from sincut.model.model import Model


@pytest.fixture(autouse=True)
def only_those_that_ship_are_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(algorithms, "ALGORITHMS", dict(algorithms.ALGORITHMS))


def test_an_algorithm_of_ones_own_stands_behind_train(tiny: Config, painting: Path, photo: Path) -> None:
    given: list[dict[str, Any]] = []

    def learn(source: object, target: object, config: Config, **more: Any) -> Model:
        given.append(more)
        return make_model(config)

    register_algorithm("own", learn)
    translator = sincut.train(painting, photo, config=overlay(tiny, {"method": {"algorithm": "own"}}))
    assert translator.model.config.method.algorithm == "own"
    assert given[0].keys() == {"device", "precision", "on_event", "stop", "started", "state", "provenance"}


def test_sincut_is_the_algorithm_of_all_presets() -> None:
    assert all(algorithm(sincut.resolve(name)) is train for name in ("standard", "quick", "paper", "release"))


def test_cyclegan_is_the_same_loop_with_another_method() -> None:
    assert algorithm(sincut.resolve("cyclegan")) is train and METHODS["cyclegan"] is CycleGan


def test_unknown_algorithms_name_the_nearest_before_a_folder_is_made(
    tiny: Config, painting: Path, photo: Path, tmp_path: Path
) -> None:
    config = overlay(tiny, {"method": {"algorithm": "sincutt"}})
    with pytest.raises(ConfigError, match=r"method\.algorithm=sincutt: is not registered \(did you mean sincut\?\)"):
        sincut.train(painting, photo, output=tmp_path / "run", config=config)
    assert not (tmp_path / "run").exists()


def test_a_name_of_an_algorithm_is_given_once() -> None:
    register_algorithm("own", train)
    register_algorithm("own", train)
    with pytest.raises(ValueError, match="'sincut' already"):
        register_algorithm("sincut", lambda *pictures, **more: train(*pictures, **more))
