"""Files of weights: tensors come in, and nothing else does."""

import os
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from sincut.errors import ModelError
from sincut.nets.weights import hub_file, read_weights

WEIGHTS = {"a.weight": torch.arange(6.0).view(2, 3), "a.bias": torch.ones(2), "count": torch.tensor(3)}


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_a_state_dict_of_torch_and_one_of_safetensors_are_read(tmp_path: Path) -> None:
    torch.save(WEIGHTS, tmp_path / "new.pth")
    torch.save(WEIGHTS, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    save_file(WEIGHTS, tmp_path / "safe.safetensors")
    for name in ("new.pth", "old.pt", "safe.safetensors"):
        assert same(read_weights(tmp_path / name), WEIGHTS), name


class Malicious:
    """Runs a command when it is unpickled."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.place),)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_with_code_is_refused_and_its_code_does_not_run(tmp_path: Path, zipped: bool) -> None:
    path, trace = tmp_path / "bad.pth", tmp_path / "it-ran"
    torch.save({"weight": Malicious(trace)}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ModelError, match=r"bad\.pth: holds more than tensors"):
        read_weights(path)
    assert not trace.exists()
    bare = tmp_path / "bare.pth"
    bare.write_bytes(pickle.dumps(Malicious(trace), protocol=2))
    with pytest.raises(ModelError, match=r"bare\.pth: (holds more|is damaged)"):
        read_weights(bare)
    assert not trace.exists()
    torch.load(path, weights_only=False)  # what would happen without the guard
    assert trace.exists()


def test_what_is_no_state_dict_is_refused_by_the_name_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    with pytest.raises(ModelError, match=r"w\.pth: there is no such file"):
        read_weights(path)
    for value in ([torch.ones(2)], {"a": 3}, {1: torch.ones(2)}, torch.ones(2)):
        torch.save(value, path)
        with pytest.raises(ModelError, match=r"w\.pth: is no state dict"):
            read_weights(path)
    for damaged in (b"", b"not a file of weights", (tmp_path / "w.pth").read_bytes()[:200]):
        for broken in (path, tmp_path / "w.safetensors"):
            broken.write_bytes(damaged)
            with pytest.raises(ModelError, match=r"w\.\w+: (is damaged|cannot be read|holds more)"):
                read_weights(broken)
    torch.save({"a": torch.ones(2), "b.weight": torch.tensor([1.0, float("nan")])}, path)
    with pytest.raises(ModelError, match=r"w\.pth: numbers in b\.weight are not finite"):
        read_weights(path)


def test_the_place_is_that_of_torch_s_downloads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    assert hub_file("a.pth") == tmp_path / "hub" / "checkpoints" / "a.pth"
