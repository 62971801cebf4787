"""Devices, precision, memory and threads: asked of torch, never guessed, and with the reason to tell the user.

The library takes a `torch.device` and never picks one; the command line turns `--device auto` into one here.
"""

import ctypes
import math
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import psutil
import torch

from sincut.errors import DeviceError, counted

CONTROL_GROUP = Path("/sys/fs/cgroup")  # https://docs.kernel.org/admin-guide/cgroup-v2.html
STATUS = Path("/proc/self/status")  # https://man7.org/linux/man-pages/man5/proc_pid_status.5.html
FIXED_BY = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")  # variables by which a user fixes the number of threads
LEAST_SECONDS = 0.5  # between two looks at the load: its clock ticks each hundredth of a second
STALE_SECONDS = 30.0  # age from which a load tells nothing of the work that begins now
CALM_SECONDS = 3.0  # for which processors must be free before there are more threads
TAKEN, FREE = 0.5, 0.25  # use of a processor by others from which it is left to them, and below which it is free
SCALE = 1024.0  # initial loss scale in float16; torch's default, 65536, overflows here and costs the first steps


@dataclass(frozen=True)
class Compute:
    """A device and the precision of its convolutions."""

    device: torch.device
    dtype: torch.dtype  # float32, bfloat16 or float16
    reason: str  # why this precision, for the user

    @property
    def precision(self) -> str:
        """The name of the precision, such as "bfloat16"."""
        return str(self.dtype).removeprefix("torch.")

    def autocast(self) -> torch.autocast:
        """Mixed precision; a context that does nothing where the precision is float32."""
        return torch.autocast(self.device.type, dtype=self.dtype, enabled=self.dtype != torch.float32)

    def scaler(self) -> torch.amp.GradScaler:
        """Loss scaling for float16, whose small gradients would else vanish; it does nothing in other precisions."""
        return torch.amp.GradScaler(self.device.type, init_scale=SCALE, enabled=self.dtype == torch.float16)

    def synchronise(self) -> None:
        """Wait until the device has done what it was given; a CPU has already."""
        if self.device.type != "cpu":
            torch.accelerator.synchronize(self.device)


def find_device(name: str | torch.device = "auto") -> torch.device:
    """auto, cpu, cuda, cuda:1 or mps -> a device that is there. Raises `DeviceError`."""
    name = str(name)
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise DeviceError(f"--device {name}: no such kind of device; use auto, cpu, cuda or mps") from None
    there = {
        "cpu": True,
        "cuda": torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count(),
        "mps": torch.backends.mps.is_available(),
    }
    if not there.get(device.type, False):
        raise DeviceError(f"--device {name}: this machine, or this build of torch, has none; use --device cpu or auto")
    return device


def machine_words(device: str, threads: int, precision: str) -> str:
    """A line on where and how is computed, as in "cpu, 2 threads, bfloat16"."""
    return f"{device}, {counted(threads, 'thread')}, {precision}"


def find_compute(device: torch.device, precision: str = "auto") -> Compute:
    """The precision for a device: bfloat16 where the hardware multiplies it natively; else float16 on CUDA, or float32.

    `precision` overrides the choice.
    """
    if precision != "auto":
        asked = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}.get(precision)
        if asked is None:
            raise DeviceError(f"no precision {precision!r}; use auto, float32, bfloat16 or float16")
        return Compute(device, asked, "asked for")
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return Compute(device, torch.bfloat16, f"{name} has bfloat16")
        return Compute(device, torch.float16, f"{name} has no bfloat16")
    if device.type == "mps":
        return Compute(device, torch.float32, "bfloat16 on MPS is not verified yet")
    if cpu_has_bfloat16():
        return Compute(device, torch.bfloat16, "the processor has bfloat16 instructions")
    return Compute(device, torch.float32, "the processor has no bfloat16 instructions")


def cpu_has_bfloat16() -> bool:
    """True if the processor multiplies bfloat16 natively (AVX-512 BF16 or AMX), by torch's own detection."""
    ask = getattr(torch.cpu, "get_capabilities", None)
    if ask is not None:
        capabilities = ask()
        return any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")  # torch before 2.12
    return any(getattr(torch.cpu, probe, bool)() for probe in probes)


def out_of_memory(error: RuntimeError) -> bool:
    """True if torch could not allocate memory; on a CPU it raises a plain RuntimeError for that."""
    told = ("DefaultCPUAllocator", "out of memory", "not enough memory")
    return isinstance(error, torch.OutOfMemoryError) or any(words in str(error) for words in told)


@contextmanager
def within_memory() -> Iterator[None]:
    """A block in which torch raises MemoryError, as numpy does, where it cannot allocate memory."""
    try:
        yield
    except RuntimeError as error:
        if not out_of_memory(error):
            raise
        raise MemoryError from None


def release_memory(device: torch.device) -> None:
    """Give back what torch, or on Linux the C library, keeps for later: before a smaller attempt, or other work."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()
    elif sys.platform == "linux":
        with suppress(OSError, AttributeError):  # other C libraries than glibc do not have it
            ctypes.CDLL(None).malloc_trim(0)


def used_memory() -> int:
    """Bytes of memory that this process holds now (its resident size)."""
    return int(psutil.Process().memory_info().rss)


def peak_memory(device: torch.device) -> int:
    """Most bytes that this process has held so far: on CUDA those that torch took of the device's memory, on another
    device main memory (the largest resident size). 0 if the system does not tell."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_reserved(device))
    with suppress(OSError, StopIteration):  # Linux, where rusage counts what the parent held as it forked, too
        lines = STATUS.read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def available_memory(device: torch.device) -> int:
    """Bytes that are free on the device; of main memory, those that programs can have without swapping.

    Within a container, no more than its limit leaves.
    """
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    free, left = int(psutil.virtual_memory().available), _container_left()
    return free if left is None else min(free, left)


def _container_left() -> int | None:
    """Bytes that a version 2 control group leaves of its limit; None without a group or a limit."""
    try:
        limit, used = (int((CONTROL_GROUP / name).read_text()) for name in ("memory.max", "memory.current"))
        figures = dict(line.split() for line in (CONTROL_GROUP / "memory.stat").read_text().splitlines())
        return max(0, limit - used + int(figures["inactive_file"]))  # cached files make room when asked to
    except (OSError, ValueError, KeyError):  # no group, or its limit is "max"
        return None


class Load(NamedTuple):
    """The work of this machine's processors so far, in seconds."""

    clock: float  # of `time.monotonic()`
    busy: float  # of all processors that this process may use, by all programs, without those of low priority
    own: float  # of this process, by all of its threads


class FreeProcessors:
    """The number of processors that other programs leave free, looked at again as time goes by.

    One that others use for more than `TAKEN` is theirs at once. It counts as free again when they have used less than
    `FREE` of it for `CALM_SECONDS`, so that the number does not follow every short load.
    """

    def __init__(self, processors: int, read: Callable[[], Load | None]) -> None:
        """`read` gives the load so far; None where the system does not tell, which leaves all processors free."""
        self.processors, self.read = processors, read
        self.free, self.calm = processors, 0.0  # calm: seconds for which more have been free
        self.last = read()
        self.lock = threading.Lock()

    def begin(self) -> None:
        """Forget a load of long ago: work begins."""
        with self.lock:
            now = self.read()
            if now is None or self.last is None or now.clock - self.last.clock > STALE_SECONDS:
                self.free, self.calm, self.last = self.processors, 0.0, now

    def look(self) -> int:
        """The number of free processors, at least 1, by the load since the last look."""
        with self.lock:
            now = self.read()
            if now is None or self.last is None or now.clock - self.last.clock < LEAST_SECONDS:
                return self.free
            seconds = now.clock - self.last.clock
            others = (now.busy - self.last.busy - now.own + self.last.own) / seconds
            self.last, left = now, self.processors - max(0.0, others)
            fewer, more = math.floor(left + TAKEN), min(self.processors, math.floor(left + FREE))
            self.calm = self.calm + seconds if more > self.free else 0.0
            if fewer < self.free:
                self.free = max(1, fewer)
            elif self.calm >= CALM_SECONDS:
                self.free, self.calm = more, 0.0
            return self.free


def read_load() -> Load | None:
    """The load of the processors that this process may use, as the system counts it; None where it does not tell."""
    try:
        process = psutil.Process()
        times = psutil.cpu_times(percpu=True)
        if hasattr(os, "sched_getaffinity"):
            allowed = os.sched_getaffinity(0)
            times = [each for number, each in enumerate(times) if number in allowed]
        kinds = ["user", "system", "irq", "softirq", "interrupt", "dpc"]
        if sys.platform != "win32" and process.nice() > 0:
            kinds.append("nice")  # else who is of lower priority than this process does not hold it up
        busy = sum(getattr(each, kind, 0.0) for each in times for kind in kinds)
    except (psutil.Error, OSError, RuntimeError, NotImplementedError):
        return None
    return Load(time.monotonic(), busy, time.process_time())


def usable_processors() -> int:
    """The number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Threads:
    """The number of torch's threads in a block of `considerate`: at most as many as at its beginning."""

    def __init__(self, processors: FreeProcessors | None) -> None:
        """`processors` None: the number stays."""
        self.processors, self.most = processors, torch.get_num_threads()

    def adjust(self) -> int:
        """Have torch use no more threads than processors are free, and return their number."""
        if self.processors is None:
            return torch.get_num_threads()
        count = min(self.most, self.processors.look())
        if count != torch.get_num_threads():
            torch.set_num_threads(count)
        return count


_PROCESSORS = FreeProcessors(usable_processors(), read_load)  # the load counts from the import on
_CURRENT = threading.local()  # `threads` of the outermost block of this thread


@contextmanager
def considerate(device: torch.device) -> Iterator[Threads]:
    """A block whose work on a CPU keeps to the processors that other programs leave free, by `Threads.adjust`.

    An operation of n threads ends with the slowest of them. If another program runs on the processor of one, all wait
    for that one, at each operation: on two processors, beside one busy program, a step of a training took 7 times as
    long as alone with two threads, and 1.6 times with one. `Threads.adjust` is called between parts of the work.

    The number of threads is put back at the end. Nothing changes on other devices, where a variable of `FIXED_BY` is
    set, or where torch has one thread. What G translates and what is drawn is the same for any number; what a training
    learns differs in the last bits.
    """
    outer: Threads | None = getattr(_CURRENT, "threads", None)
    if outer is not None:
        yield outer
        return
    fixed = device.type != "cpu" or any(os.environ.get(name) for name in FIXED_BY) or torch.get_num_threads() == 1
    if not fixed:
        _PROCESSORS.begin()
    threads = _CURRENT.threads = Threads(None if fixed else _PROCESSORS)
    try:
        yield threads
    finally:
        _CURRENT.threads = None
        if not fixed:
            torch.set_num_threads(threads.most)
