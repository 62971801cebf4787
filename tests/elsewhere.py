"""A stand-in for an accelerator on machines without one: tensors that say they are on another device than the CPU.

`elsewhere` is a block in which the device `DEVICE` works: what is put there is computed on the CPU, so results are
those of the CPU, bit for bit. But as on a real accelerator an operation refuses tensors of both devices, `.numpy()` and
random generators of the CPU refuse tensors from there, and as on Apple's MPS there is no float64. What a block did
without an error moves its tensors as an accelerator wants them. How fast a real one is, and how it rounds, only
`gpu.sh` tells.

torch's device "meta" lends its name, since torch lets tensors of it be made, and differentiated, anywhere.
"""

import contextlib
import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map

from sincut.devices import Compute
from sincut.translation.engine import Engine

DEVICE = torch.device("meta")
ops = torch.ops.aten
MIXING = (ops.copy_.default, ops.index.Tensor, ops._to_copy.default)  # these may have tensors of both devices
PUTTING = (ops.index_put.default, ops.index_put_.default, ops._index_put_impl_.default)  # these, only as indices
Arguments = Sequence[Any]
Named = Mapping[str, Any]


class Elsewhere(Tensor):
    """A tensor of the device `DEVICE`, whose numbers are in `held`, a tensor of the CPU."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> "Elsewhere":
        looks: dict[str, Any] = {"strides": held.stride(), "storage_offset": held.storage_offset(), "dtype": held.dtype}
        made: Any = torch.Tensor._make_wrapper_subclass(cls, held.size(), device=DEVICE, **looks)
        return made  # type: ignore[no-any-return]

    def __init__(self, held: Tensor) -> None:
        self.held = held

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: object, args: Arguments = (), kwargs: Named | None = None
    ) -> Any:
        return _run(func, args, kwargs or {})


class _Operations(TorchDispatchMode):
    """Every operation goes through `_run`, also those that make tensors."""

    def __torch_dispatch__(self, func: Any, types: object, args: Arguments = (), kwargs: Named | None = None) -> Any:
        return _run(func, args, kwargs or {})


class _Calls(TorchFunctionMode):
    """What torch does in C++ before its operations is done on the CPU: numbers become tensors, tensors become lists."""

    def __torch_function__(
        self, func: Callable[..., Any], types: object, args: Arguments = (), kwargs: Named | None = None
    ) -> Any:
        given = dict(kwargs or {})
        if func in (torch.tensor, torch.as_tensor) and "device" in given:
            device = given.pop("device")
            return func(*args, **given).to(device)
        if func is Tensor.new_tensor:
            return torch.tensor(*args[1:], **{"dtype": args[0].dtype, **given}).to(args[0].device)
        if func is Tensor.tolist and isinstance(args[0], Elsewhere):
            return args[0].held.tolist()
        if func is torch.quantile and isinstance(args[0], Elsewhere):  # computes in float64, and not so on MPS
            return Elsewhere(torch.quantile(args[0].held, args[1].held, *args[2:], **given))
        return func(*args, **given)


@contextlib.contextmanager
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[torch.device]:
    """A block in which tensors can be put to the device that it yields."""
    optimiser: Any = importlib.import_module("torch.optim.optimizer")  # torch.optim has no such attribute
    plain, kernels = torch.autocast, optimiser._get_fused_kernels_supported_devices

    def autocast(device_type: str, *args: Any, **settings: Any) -> Any:
        return contextlib.nullcontext() if device_type == DEVICE.type else plain(device_type, *args, **settings)

    def compute(device: torch.device, precision: str = "auto") -> Compute:
        return Compute(device, torch.float32, "a stand-in")

    with monkeypatch.context() as patch:
        patch.setattr(torch, "autocast", autocast)
        patch.setattr(optimiser, "_get_fused_kernels_supported_devices", lambda: [*kernels(), DEVICE.type])
        # In inference mode torch hands composite operations here that it would else have taken apart.
        patch.setattr(torch, "inference_mode", lambda mode=True: torch.no_grad() if mode else contextlib.nullcontext())
        window = Engine.translate_window.__wrapped__  # type: ignore[attr-defined]
        patch.setattr(Engine, "translate_window", torch.no_grad()(window))
        for module in ("sincut.method.loop", "sincut.translation.translator"):
            patch.setattr(f"{module}.find_compute", compute)
        patch.setattr("sincut.translation.translator.find_device", torch.device)
        before = torch.__future__.get_overwrite_module_params_on_conversion()
        torch.__future__.set_overwrite_module_params_on_conversion(True)
        try:
            with _Calls(), _Operations():  # type: ignore[no-untyped-call]
                yield DEVICE
        finally:
            torch.__future__.set_overwrite_module_params_on_conversion(before)


def _run(func: Any, args: Arguments, kwargs: Named) -> Any:
    """An operation, done on the CPU. Raises RuntimeError or TypeError where an accelerator would."""
    if func is ops._efficientzerotensor.default:  # zeros of forward-mode differentiation, which have no memory
        func = ops.zeros.default
    asked, here_only = kwargs.get("device"), dict(kwargs)
    leaves = tree_leaves((args, kwargs))
    there = any(isinstance(leaf, Elsewhere) for leaf in leaves)
    if there:
        _refuse_mixtures(func, args, leaves)
    if asked is not None:
        there, here_only["device"] = torch.device(asked) == DEVICE, torch.device("cpu")
    if func is ops.copy_.default:
        there = isinstance(args[0], Elsewhere)
    if there and kwargs.get("generator") is not None:
        raise RuntimeError(f"{func}: expected a generator of {DEVICE} and got one of the CPU")
    out = func(*tree_map(_held, args), **tree_map(_held, here_only))
    if not there:
        return out
    out = tree_map(_there, out)
    return out if asked is not None else return_and_correct_aliasing(func, args, kwargs, out)  # type: ignore[no-untyped-call]


def _refuse_mixtures(func: Any, args: Arguments, leaves: list[Any]) -> None:
    """Raise RuntimeError for tensors of the CPU, but for single numbers and what an operation takes from there."""
    if func in MIXING:
        return
    checked = tree_leaves((args[0], args[2])) if func in PUTTING else leaves
    mixed = [leaf for leaf in checked if isinstance(leaf, Tensor) and not isinstance(leaf, Elsewhere) and leaf.dim()]
    if mixed:
        raise RuntimeError(f"{func}: expected all tensors on {DEVICE}, and got one of the CPU, {tuple(mixed[0].shape)}")


def _held(value: Any) -> Any:
    return value.held if isinstance(value, Elsewhere) else value


def _there(value: Any) -> Any:
    """A tensor put there. Raises TypeError for float64."""
    if not isinstance(value, Tensor):
        return value
    if value.dtype == torch.float64:
        raise TypeError("cannot convert a tensor to float64, which MPS has not")
    return Elsewhere(value)
