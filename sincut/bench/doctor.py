"""An examination of this machine and this installation: what is there, and if a picture can be learned from here.

It takes as long as torch takes to load. No check can end it: one that raises an error is told as one that is wrong.
"""

import io
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from sincut.bench import installed
from sincut.bench.installed import GOOD, NOTED, WRONG, Check, one_line
from sincut.errors import SincutError, counted

LEAST_MEMORY = 0.8e9  # bytes: a translation of 1 megapixel takes as much (docs/speed.md)
ENOUGH_MEMORY = 2e9  # bytes: a training of `standard` takes less
LEAST_DISK, ENOUGH_DISK = 0.1e9, 1e9  # bytes: a run folder of `standard` takes 80 MB
BUSY = 0.25  # share of the processors taken by other programs from which on it is worth a note
Look = Callable[[], Iterable[Check]]
TRIAL = 16  # px of the picture that is convolved to see that the device computes
CPU_INDEX = "https://download.pytorch.org/whl/cpu"  # of torch without CUDA: docs/install.md


def examine(runs: Path = Path("runs"), device: str = "auto") -> list[Check]:
    """All checks, in groups; `runs` is the folder of runs, whose disk is looked at."""
    watch = _watched()
    checks = [
        *_guarded("Installed", "sincut", lambda: [installed.own_version(), installed.python()]),
        *_guarded("Installed", "packages", installed.base),
    ]
    broken = {check.name for check in checks if check.state == WRONG}
    looks: list[tuple[str, str, Look, set[str]]] = [  # the last: packages without which there is nothing to look at
        ("Installed", "own files", lambda: [installed.own_files()], {"jinja2"}),
        ("Extras", "extras", installed.extras, set()),
        ("Computing", "device", lambda: computing(device), {"torch", "psutil"}),
        ("Computing", "threads", lambda: [threads()], {"torch", "psutil"}),
        ("Computing", "load", lambda: [load(watch)], {"psutil"}),
        ("Computing", "pictures", lambda: [pictures()], {"pillow"}),
        ("Room", "memory", lambda: [memory()], {"torch", "psutil"}),
        ("Room", "disk", lambda: disks(runs), set()),
    ]
    for group, name, look, needed in looks:
        if not needed & broken:
            checks += _guarded(group, name, look)
    return checks


def works(checks: Iterable[Check]) -> bool:
    """True if a training and a translation can be done: nothing is wrong."""
    return all(check.state != WRONG for check in checks)


def _guarded(group: str, name: str, look: Look) -> Iterator[Check]:
    """The checks of a look; where it raises an error, that as the last."""
    try:
        yield from look()
    except SincutError as error:  # which says what to do
        yield Check(group, name, WRONG, str(error))
    except Exception as error:  # whatever is broken on a machine
        yield Check(group, name, WRONG, f"cannot be looked at: {one_line(error)}", "mend what is wrong above first")


def computing(name: str = "auto") -> Iterator[Check]:
    """The device and precision, with the reason, after a trial; and what torch was built for. Raises `DeviceError`."""
    import torch

    from sincut.devices import available_memory, find_compute, find_device, machine_words

    compute = find_compute(find_device(name))
    machine = machine_words(str(compute.device), torch.get_num_threads(), compute.precision)
    text = f"{machine}: {compute.reason}"
    try:
        _try(compute)
    except Exception as error:  # a driver or kernel that is broken
        remedy = "sincut doctor --device cpu tells of the processor" if compute.device.type != "cpu" else ""
        yield Check("Computing", "device", WRONG, f"{text}, but it does not compute: {one_line(error)}", remedy)
    else:
        yield Check("Computing", "device", GOOD, text)
    if compute.device.type == "cuda":
        name = torch.cuda.get_device_name(compute.device)
        yield Check("Computing", "card", GOOD, f"{name}, {available_memory(compute.device) / 1e9:.1f} GB free")
    yield Check("Computing", "processor", GOOD, processor_words())
    yield _build(str(torch.__version__), torch.version.cuda, torch.cuda.is_available())


def _try(compute: Any) -> None:
    """A convolution, forward and back, on a device in its precision. Raises any error if that is not possible."""
    import torch

    image = torch.ones(1, 3, TRIAL, TRIAL, device=compute.device)
    weight = torch.full((4, 3, 3, 3), 0.1, device=compute.device, requires_grad=True)
    with compute.autocast():
        out = torch.nn.functional.conv2d(image, weight)
    mean = out.float().mean()
    mean.backward()
    if weight.grad is None or abs(mean.item() - 2.7) > 0.1 or not bool(weight.grad.isfinite().all()):
        raise ArithmeticError("a convolution gave wrong numbers")


def processor_words() -> str:
    """The processor's instructions for tensors, as torch tells them: such as AVX512, with bfloat16 in AMX."""
    import torch

    name = platform.processor() or platform.machine()
    tell = getattr(torch.backends.cpu, "get_cpu_capability", None)
    kind = str(tell()) if tell else "instructions unknown"
    ask = getattr(torch.cpu, "get_capabilities", None)
    told = ask() if ask else {}
    units = {"amx_bf16": "AMX", "avx512_bf16": "AVX-512", "bf16": "Arm"}
    with_bfloat16 = [unit for flag, unit in units.items() if told.get(flag)]
    if not ask:
        return f"{name}, {kind}"
    return f"{name}, {kind}, bfloat16 {'in ' + ' and '.join(with_bfloat16) if with_bfloat16 else 'in no instructions'}"


def _build(version: str, cuda: str | None, has_card: bool) -> Check:
    """Version of torch and the devices that it was built for; a note where the machine has others."""
    if cuda and not has_card and sys.platform == "linux":
        text = f"{version}, for CUDA {cuda}; no card is found, so some 4 GB of packages are of no use"
        remedy = f"pip install --force-reinstall torch torchvision --index-url {CPU_INDEX}"
        return Check("Computing", "torch's build", NOTED, text, remedy)
    if not cuda and shutil.which("nvidia-smi"):
        text = f"{version}, without CUDA, though there seems to be an NVIDIA card"
        return Check("Computing", "torch's build", NOTED, text, "pip install --force-reinstall torch torchvision")
    return Check("Computing", "torch's build", GOOD, f"{version}, {f'for CUDA {cuda}' if cuda else 'without CUDA'}")


def threads() -> Check:
    """The number of torch's threads, that of processors that it may use, and the variables that fix the first."""
    import torch

    from sincut.devices import FIXED_BY, usable_processors

    fixed = [f"{name}={os.environ[name]}" for name in FIXED_BY if os.environ.get(name)]
    processors = counted(usable_processors(), "processor")
    told = f"; {' and '.join(fixed)} fixes them" if fixed else ""
    return Check("Computing", "threads", GOOD, f"{torch.get_num_threads()} of {processors}{told}")


def _watched() -> Any:
    """A reading of the processors' work so far; None where psutil is missing or does not tell."""
    try:
        from sincut.bench.load import Reading

        return Reading.now()
    except Exception:  # no psutil, or a system that hides it
        return None


def load(before: Any) -> Check:
    """The share of the processors that other programs have taken since a reading."""
    if before is None:
        return Check("Computing", "load", NOTED, "this system does not tell it")
    taken = type(before).now().taken_since(before)
    text = f"other programs take {taken:.0%} of the processors"
    if taken < BUSY:
        return Check("Computing", "load", GOOD, text)
    return Check("Computing", "load", NOTED, text, "close what is busy: trainings go by minutes, and get fewer steps")


def pictures() -> Check:
    """The formats that Pillow was built with, after a picture has gone through JPEG and PNG."""
    from PIL import Image, features

    for kind in ("JPEG", "PNG"):
        file = io.BytesIO()
        Image.new("RGB", (TRIAL, TRIAL), (200, 100, 50)).save(file, kind)
        with Image.open(file) as image:
            pixel = image.convert("RGB").getpixel((0, 0))
        if not isinstance(pixel, tuple) or abs(pixel[0] - 200) > 8:
            raise ArithmeticError(f"{kind} gave other colours back")
    kinds = {"webp": "WebP", "libtiff": "TIFF", "avif": "AVIF"}
    known = [title for name, title in kinds.items() if name in features.get_supported()]
    return Check("Computing", "pictures", GOOD, ", ".join(["JPEG", "PNG", *known]))


def memory() -> Check:
    """The main memory that is free, within a container of its limit."""
    import psutil
    import torch

    from sincut.devices import available_memory

    free = available_memory(torch.device("cpu"))
    text = f"{free / 1e9:.1f} GB free of {psutil.virtual_memory().total / 1e9:.1f} GB"
    if free >= ENOUGH_MEMORY:
        return Check("Room", "memory", GOOD, text)
    state = WRONG if free < LEAST_MEMORY else NOTED
    return Check("Room", "memory", state, f"{text}; a training of standard takes 1.3 GB", "close other programs")


def disks(runs: Path) -> Iterator[Check]:
    """The disk of the folder of runs, of temporary files, and of torch's cache: what is free, and if it is writable."""
    places = {"runs": (runs, True), "temporary": (Path(tempfile.gettempdir()), True)}
    with suppress(Exception):  # a torch that cannot be loaded is told of elsewhere
        import torch

        places["cache"] = Path(torch.hub.get_dir()), False
    for name, (folder, is_needed) in places.items():
        there = next(path for path in (folder.absolute(), *folder.absolute().parents) if os.path.isdir(path))
        free = shutil.disk_usage(there).free
        text = f"{free / 1e9:.1f} GB free in {folder if folder == there else folder.absolute()}"
        try:
            with tempfile.TemporaryFile(dir=there):
                pass
        except OSError as error:
            why = f"{text}, and nothing can be written there ({error.strerror})"
            yield Check("Room", name, WRONG if is_needed else NOTED, why, f"check the permissions of {there}")
            continue
        state = GOOD if free >= ENOUGH_DISK else WRONG if is_needed and free < LEAST_DISK else NOTED
        yield Check("Room", name, state, text, "" if state == GOOD else "free some space")
