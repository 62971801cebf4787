"""The examination of a machine: what it tells, and that nothing that is missing or broken can end it."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from helpers import ROOT

from sincut.bench import doctor, installed
from sincut.bench.installed import GOOD, NOTED, WRONG, Check
from sincut.devices import Compute

WITHOUT = """
import sys
for name in ({missing}):
    sys.modules[name] = None
from sincut.bench.doctor import examine, works
checks = examine()
print(*(check.name for check in checks if check.state == "wrong"), sep=",")
assert not works(checks)
"""


def by_name(checks: list[Check]) -> dict[str, Check]:
    return {check.name: check for check in checks}


def test_this_machine_works_and_each_thing_is_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "memory", lambda: Check("Room", "memory", GOOD, "enough"))
    quick = {name: installed.BASE[name] for name in ("torch", "click")}  # tests/bench/test_installed.py loads all
    monkeypatch.setattr(installed, "BASE", quick)
    checks = doctor.examine(tmp_path / "none" / "runs", "cpu")
    assert doctor.works(checks), [check for check in checks if check.state == WRONG]
    names = by_name(checks)
    assert len(names) == len(checks)
    assert {"torch", "own files", "ui", "device", "threads", "load", "pictures", "runs", "temporary"} <= set(names)
    assert names["device"].text.startswith("cpu, 1 thread, ") and ": " in names["device"].text
    assert str(tmp_path / "none" / "runs") in names["runs"].text
    assert list(dict.fromkeys(check.group for check in checks)) == ["Installed", "Extras", "Computing", "Room"]


def test_it_ends_well_whatever_is_missing(tmp_path: Path) -> None:
    missing = ("torch", "psutil", "PIL", "jinja2", "rich", "filelock", "numpy", "kornia")
    code = WITHOUT.format(missing=", ".join(map(repr, missing)))
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path,
                         env={"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"})  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    wrong = set(ran.stdout.strip().split(","))
    assert {"pillow" if name == "PIL" else name for name in missing} <= wrong
    assert not wrong - {*missing, "pillow", "torchvision", "safetensors"}  # what needs them is not looked at


def test_a_device_that_is_not_there_or_does_not_compute_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    (check,) = doctor._guarded("Computing", "device", lambda: doctor.computing("abacus"))
    assert check.state == WRONG and check.text.startswith("--device abacus: no such kind of device")
    (check,) = doctor._guarded("Room", "disk", lambda: 1 / 0)  # type: ignore[arg-type,return-value]
    assert check.state == WRONG and check.text == "cannot be looked at: division by zero"

    def broken(compute: Compute) -> None:
        raise RuntimeError("no kernel image\nmore")

    monkeypatch.setattr(doctor, "_try", broken)
    device = next(iter(doctor.computing("cpu")))
    assert device.state == WRONG and device.text.endswith("but it does not compute: no kernel image")


def test_wrong_numbers_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    compute = Compute(torch.device("cpu"), torch.float32, "asked for")
    doctor._try(compute)

    def conv2d(image: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return image[:, :1] * weight.mean() * 0

    monkeypatch.setattr(torch.nn.functional, "conv2d", conv2d)
    with pytest.raises(ArithmeticError):
        doctor._try(compute)


def test_a_build_that_does_not_fit_the_machine_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr("shutil.which", lambda name: None)
    useless = doctor._build("2.9+cu130", "13.0", False)
    assert useless.state == NOTED and "whl/cpu" in useless.remedy
    assert doctor._build("2.9+cu130", "13.0", True).state == doctor._build("2.9+cpu", None, False).state == GOOD
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    assert doctor._build("2.9+cpu", None, False).state == NOTED


@pytest.mark.parametrize(("free", "state"), [(5e9, GOOD), (1e9, NOTED), (0.5e9, WRONG)])
def test_memory_is_judged_by_what_is_free(free: float, state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sincut.devices.available_memory", lambda device: int(free))
    assert doctor.memory().state == state and f"{free / 1e9:.1f} GB free" in doctor.memory().text


def test_disks_are_judged_by_what_is_free_and_writable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def states(free: float) -> list[str]:
        monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=int(free)))
        return [check.state for check in doctor.disks(tmp_path)]

    assert states(9e9) == [GOOD] * 3 and states(0.5e9) == [NOTED] * 3
    assert states(0) == [WRONG, WRONG, NOTED]

    def closed(**options: Any) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("tempfile.TemporaryFile", closed)
    assert states(9e9) == [WRONG, WRONG, NOTED]
    assert "Read-only file system" in next(iter(doctor.disks(tmp_path))).text


def test_a_busy_machine_is_noted() -> None:
    class Busy:
        share = 0.9

        @staticmethod
        def now() -> "Busy":
            return Busy()

        def taken_since(self, before: "Busy") -> float:
            return self.share

    assert doctor.load(Busy()).state == NOTED and "90%" in doctor.load(Busy()).text
    Busy.share = 0.1
    assert doctor.load(Busy()).state == GOOD
    assert doctor.load(None).state == NOTED
