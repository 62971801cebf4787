"""Fixtures that every test may use: small pictures and settings; nothing here trains or touches the network."""

import os
from pathlib import Path

import pytest
import torch
from helpers import TINY, make_model, scene, vgg_weights
from PIL import Image

from sincut.config.resolve import resolve
from sincut.config.sections import Config, overlay
from sincut.pictures.picture import to_tensor

# Tiny work is quickest on one thread, and several threads of many processes would wait for each other.
torch.set_num_threads(1)
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Ray's workers are of low priority, and beside other tests or programs would hardly go on.
os.environ.setdefault("RAY_worker_niceness", "0")


@pytest.fixture
def tiny() -> Config:
    """Settings with which a step takes milliseconds."""
    return overlay(resolve(), TINY)


@pytest.fixture
def ensemble(tiny: Config, monkeypatch: pytest.MonkeyPatch) -> Config:
    """`tiny`, by minutes that have room for two trainings of four steps and a distillation of three."""
    monkeypatch.setattr("sincut.method.plan.CALIBRATION", (1, 0.0))
    monkeypatch.setattr("sincut.method.plan.WARM_UP_STEPS", 0)
    schedule = {"steps": 0, "minutes": 60.0, "least_steps": 0, "enough_steps": 4}
    return overlay(tiny, {"schedule": schedule, "ensemble": {"members": 2, "steps": 3}})


@pytest.fixture
def tiny_flags() -> list[str]:
    """`tiny` as command-line flags."""
    flags = []
    for section, settings in TINY.items():
        for key, value in settings.items():
            flags += ["--set", f"{section}.{key}={value}"]
    return flags


@pytest.fixture
def painting(tmp_path: Path) -> Path:
    path = tmp_path / "painting.png"
    Image.fromarray(scene(72, 90, 1)).save(path)
    return path


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    Image.fromarray(scene(70, 80, 2)).save(path)
    return path


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A folder with pictures in folders, hidden ones, names with blanks and accents, and what is no picture."""
    root = tmp_path / "in"
    for name in ("a.jpg", "b c.png", "deep/er/d.tif", "deep/é.gif", ".hidden.png", ".git/e.png", "notes.txt"):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".txt":
            path.write_text("not a picture")
        else:
            Image.fromarray(scene(20, 24, 0)).save(path)
    return root


@pytest.fixture
def model_file(tmp_path: Path, tiny: Config) -> Path:
    path = tmp_path / "some.safetensors"
    make_model(tiny).save(path)
    return path


@pytest.fixture
def vgg_file(tmp_path: Path) -> Path:
    """Weights of a narrow network with the layers of VGG-19, as torchvision's file of it."""
    path = tmp_path / "vgg.pth"
    torch.save(vgg_weights(), path)
    return path


@pytest.fixture
def pictures() -> tuple[torch.Tensor, torch.Tensor]:
    return to_tensor(scene(72, 90, 1)), to_tensor(scene(70, 80, 2))
