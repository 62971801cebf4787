"""Memory that is held and free, also in a container and where there is no /proc; kernels and precision."""

from pathlib import Path

import numpy as np
import psutil
import pytest
import torch

from sincut import devices

CPU = torch.device("cpu")


def test_used_memory_grows_with_what_is_held() -> None:
    before = devices.used_memory()
    held = np.ones(100 * 2**20, np.uint8)
    assert held[-1] and 90 * 2**20 < devices.used_memory() - before < 200 * 2**20


def test_the_peak_of_memory_is_what_the_system_tells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = np.ones(100 * 2**20, np.uint8)
    used = devices.used_memory()
    assert held[-1] and devices.peak_memory(CPU) > 0.95 * used
    monkeypatch.setattr(devices, "STATUS", tmp_path / "status")
    assert devices.peak_memory(CPU) > 0.95 * used  # as on macOS
    (tmp_path / "status").write_text("Name:\tpython\nVmHWM:\t    1234 kB\nVmRSS:\t 1000 kB\n")
    assert devices.peak_memory(CPU) == 1234 * 1024


def test_memory_is_known_without_reading_proc(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(path: Path) -> str:
        raise FileNotFoundError(path)

    resident, free = psutil.Process().memory_info().rss, psutil.virtual_memory().available
    monkeypatch.setattr(Path, "read_text", missing)  # as on macOS and Windows
    assert devices.used_memory() == pytest.approx(resident, rel=0.1)
    assert devices.available_memory(CPU) == pytest.approx(free, rel=0.5)


def test_a_container_has_what_its_limit_leaves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "CONTROL_GROUP", tmp_path)
    (tmp_path / "memory.max").write_text("1000000\n")
    (tmp_path / "memory.current").write_text("700000\n")
    (tmp_path / "memory.stat").write_text("anon 1\ninactive_file 50000\n")
    assert devices.available_memory(CPU) == 350_000
    (tmp_path / "memory.max").write_text("max\n")
    assert devices.available_memory(CPU) > 10**6
    (tmp_path / "memory.max").write_text("600000\n")
    (tmp_path / "memory.stat").write_text("inactive_file 0\n")
    assert devices.available_memory(CPU) == 0


def test_kernels_are_only_searched_on_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", False)
    devices.use_fast_kernels(CPU)
    assert not torch.backends.cudnn.benchmark
    devices.use_fast_kernels(torch.device("cuda"))
    assert torch.backends.cudnn.benchmark


def test_precision_says_why() -> None:
    compute = devices.find_compute(CPU)
    assert compute.precision in ("float32", "bfloat16") and "processor" in compute.reason
    assert devices.find_compute(CPU, "bfloat16").dtype == torch.bfloat16
