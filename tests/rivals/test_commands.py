"""STROTSS and WCT2 behind the commands, with networks of a few random channels."""

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import in_process
from PIL import Image

from sincut.config.sections import Rival
from sincut.rivals.wct2 import FILES, Wct2


@pytest.fixture
def wct2_file(tmp_path: Path) -> Path:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = Wct2(Rival(), (4, 5, 6, 7))
    for name, part in zip(FILES, (network.encoder, network.decoder), strict=True):
        torch.save(part.state_dict(), tmp_path / name)
    return tmp_path / FILES[1]


def test_both_train_apply_to_folders_and_are_compared(
    painting: Path, photo: Path, vgg_file: Path, wct2_file: Path, tmp_path: Path, tiny_flags: list[str]
) -> None:
    few = ["--set", "rival.iterations=2", "--set", "synthesis.exemplar=true", "--set", "output.previews=0"]
    runs, folder = [], tmp_path / "in"
    folder.mkdir()
    (folder / "a.png").write_bytes(painting.read_bytes())
    for method, weights in (("strotss", vgg_file), ("wct2", wct2_file)):
        run, out, single = tmp_path / method, tmp_path / f"{method}-out", tmp_path / f"{method}.png"
        _done("train", painting, photo, "-o", run, *tiny_flags, "--method", method, "--weights", weights, *few)
        weights.unlink()  # the model holds what it needs
        _done("apply", run, folder, "-o", out)
        _done("apply", run, painting, "-o", single)
        first, second = (np.asarray(Image.open(path)) for path in (out / "a.png", single))
        assert first.shape == (72, 90, 3) and np.array_equal(first, second) and first.std() > 1
        runs.append(run)
    sheet = tmp_path / "sheet.png"
    _done("compare", *runs, "--picture", painting, "-o", sheet)
    assert sheet.exists()


def test_weights_that_are_missing_are_one_line_before_anything_is_made(
    painting: Path, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    for method, named in (("strotss", "VGG-19"), ("wct2", FILES[0])):
        done = in_process("train", painting, photo, "-o", tmp_path / "run", "--method", method)
        assert done.returncode == 1 and not (tmp_path / "run").exists()
        (line,) = (line for line in done.stderr.splitlines() if line.startswith("sincut: "))
        assert named in line and "missing" in line and "--weights" in line


def _done(*arguments: object) -> None:
    done = in_process(*arguments)
    assert done.returncode == 0, done.stderr
