"""Devices, precision and memory: asked of torch, never guessed, and with the reason to tell the user.

The library takes a `torch.device` and never picks one; the command line turns `--device auto` into one here.
"""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch

from sincut.errors import DeviceError

CONTROL_GROUP = Path("/sys/fs/cgroup")  # https://docs.kernel.org/admin-guide/cgroup-v2.html
STATUS = Path("/proc/self/status")  # https://man7.org/linux/man-pages/man5/proc_pid_status.5.html
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


def use_fast_kernels(device: torch.device) -> None:
    """For a whole program, not a library: cuDNN measures at its first use of a shape which of its kernels is fastest.

    Crops and tiles keep their shapes, so that pays. TF32, where float32 is asked for, is torch's own default for
    convolutions. Nothing happens on a CPU or MPS.
    """
    if device.type == "cuda":
        torch.backends.cudnn.benchmark = True


def prepared_device(name: str) -> torch.device:
    """The device of that name, with `use_fast_kernels`: for a program that does nothing else. Raises `DeviceError`."""
    device = find_device(name)
    use_fast_kernels(device)
    return device


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
