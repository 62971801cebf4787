"""Where to compute and in which precision: asked of torch, never guessed, and always with the reason to tell the user.

The library takes a `torch.device` and never picks one; the command line turns `--device auto` into one here.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import torch

from sincut.errors import DeviceError

TYPICAL_MEMORY = 500 * 10**6  # bytes that the program holds before any picture, where the system does not tell
SCALE = 1024.0  # of the loss in float16, to begin with; torch's own 65536 overflows here and costs the first steps


@dataclass(frozen=True)
class Compute:
    """A device, the precision of its convolutions, and why these."""

    device: torch.device
    dtype: torch.dtype
    reason: str

    @property
    def precision(self) -> str:
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
    """Whether the processor multiplies bfloat16 natively (AVX-512 BF16 or AMX), by torch's own detection."""
    capabilities = getattr(torch.cpu, "get_capabilities", None)
    if capabilities is not None:
        found = capabilities()
        return bool(found.get("avx512_bf16") or found.get("amx_bf16") or found.get("bf16"))
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")  # torch before 2.12
    return any(getattr(torch.cpu, probe, bool)() for probe in probes)


def out_of_memory(error: RuntimeError) -> bool:
    """Whether torch could not allocate; on a CPU it raises a plain RuntimeError for that."""
    told = ("DefaultCPUAllocator", "out of memory", "not enough memory")
    return isinstance(error, torch.OutOfMemoryError) or any(words in str(error) for words in told)


def release_memory(device: torch.device) -> None:
    """Give back what torch keeps for later, before a smaller attempt."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()


def used_memory() -> int:
    """Bytes of memory that this process holds now; a guess where the system does not tell."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError, AttributeError):
        return TYPICAL_MEMORY


def available_memory(device: torch.device) -> int:
    """Bytes that are free on the device, within the limits of a container; a careful guess where nobody tells."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    found = [_linux_available(), _container_left()]
    known = [value for value in found if value is not None]
    return min(known) if known else _physical_memory() // 2


def _linux_available() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError, IndexError):
        return None


def _container_left() -> int | None:
    """What a version 2 control group leaves of its limit."""
    group = Path("/sys/fs/cgroup")
    try:
        limit, used = (int((group / name).read_text()) for name in ("memory.max", "memory.current"))
        told = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        return max(0, limit - used + int(told["inactive_file"]))  # cached files make room when asked to
    except (OSError, ValueError, KeyError):  # no group, or its limit is "max"
        return None


def _physical_memory() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows
        return 4 * 2**30
