"""Memory that is held and free, also in a container and where there is no /proc; kernels, precision and threads."""

import time
from collections.abc import Iterator
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


def test_precision_says_why() -> None:
    compute = devices.find_compute(CPU)
    assert compute.precision in ("float32", "bfloat16") and "processor" in compute.reason
    assert devices.find_compute(CPU, "bfloat16").dtype == torch.bfloat16


class Machine:
    """A machine with some processors whose load is what a test says."""

    def __init__(self, processors: int) -> None:
        self.now = devices.Load(100.0, 50.0, 20.0)
        self.processors = devices.FreeProcessors(processors, lambda: self.now)

    def after(self, seconds: float, others: float, own: float = 1.0) -> int:
        """The free processors after so many seconds, in which others and this process used so many processors."""
        clock, busy, used = self.now
        self.now = devices.Load(clock + seconds, busy + seconds * (others + own), used + seconds * own)
        return self.processors.look()


def test_processors_that_others_use_are_theirs_at_once_and_free_again_after_some_calm() -> None:
    machine = Machine(2)
    assert machine.after(1, 0.05, own=1.9) == 2
    assert machine.after(0.1, 1.0) == 2  # too short to be measured: it counts with what follows
    assert machine.after(0.6, 0.9, own=1.1) == 1
    assert [machine.after(1, others) for others in (1.0, 2.0, 0.1, 0.1, 0.4, 0.0, 0.0, 0.0)] == [1] * 7 + [2]
    assert [Machine(8).after(1, others, own=6.0) for others in (0.0, 0.3, 0.9, 2.0, 5.6, 9.0)] == [8, 8, 7, 6, 2, 1]


def test_a_short_or_middling_load_does_not_make_the_number_change_to_and_fro() -> None:
    machine = Machine(2)
    assert {machine.after(1, others) for others in (0.3, 0.45, 0.26, 0.4) * 3} == {2}
    machine.after(1, 1.0)
    assert {machine.after(1, others) for others in (0.3, 0.1, 0.1, 0.45) * 3} == {1}


def test_a_load_of_long_ago_or_none_is_no_load() -> None:
    machine = Machine(2)
    assert machine.after(1, 2.0) == 1
    machine.now = devices.Load(machine.now.clock + 100, machine.now.busy + 190, machine.now.own)
    machine.processors.begin()
    assert machine.processors.look() == 2 == machine.after(1, 0.0)
    unknown = devices.FreeProcessors(4, lambda: None)
    unknown.begin()
    assert unknown.look() == 4


def test_the_own_work_counts_in_the_systems_load_and_a_load_that_is_not_told_is_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = devices.read_load()
    until = time.process_time() + 0.3
    while time.process_time() < until:
        pass
    after = devices.read_load()
    assert before and after and after.own - before.own >= 0.3 and after.clock > before.clock
    assert after.busy - before.busy > 0.2
    assert devices.usable_processors() >= 1

    def refuse(percpu: bool) -> list[object]:
        raise PermissionError

    monkeypatch.setattr(psutil, "cpu_times", refuse)
    assert devices.read_load() is None


@pytest.fixture
def beside(monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    """A machine of two processors, of which torch uses two unless variables say otherwise."""
    machine, threads = Machine(2), torch.get_num_threads()
    monkeypatch.setattr(devices, "_PROCESSORS", machine.processors)
    for name in devices.FIXED_BY:
        monkeypatch.delenv(name, raising=False)
    torch.set_num_threads(2)
    yield machine
    torch.set_num_threads(threads)


def test_torch_has_no_more_threads_than_processors_are_free_and_gets_them_back(beside: Machine) -> None:
    with devices.considerate(CPU) as threads:
        assert threads.adjust() == 2
        beside.after(1, 1.0)
        with devices.considerate(CPU) as inner:  # as where a training draws a preview
            assert inner.adjust() == torch.get_num_threads() == 1
        assert torch.get_num_threads() == 1
        beside.after(4, 0.0)
        assert threads.adjust() == torch.get_num_threads() == 2
        beside.after(1, 1.0)
        assert threads.adjust() == 1
    assert torch.get_num_threads() == 2


def test_a_number_of_threads_that_is_chosen_stays(beside: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    beside.after(1, 2.0)
    with devices.considerate(torch.device("meta")) as threads:
        assert threads.adjust() == 2
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    with devices.considerate(CPU) as threads:
        assert threads.adjust() == torch.get_num_threads() == 2
