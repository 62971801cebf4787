"""Devices and precision."""

import pytest
import torch

from sincut.devices import find_compute, use_fast_kernels

CPU = torch.device("cpu")


def test_kernels_are_only_searched_on_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", False)
    use_fast_kernels(torch.device("cpu"))
    assert not torch.backends.cudnn.benchmark
    use_fast_kernels(torch.device("cuda"))
    assert torch.backends.cudnn.benchmark


def test_precision_says_why() -> None:
    compute = find_compute(CPU)
    assert compute.precision in ("float32", "bfloat16") and "processor" in compute.reason
    assert find_compute(CPU, "bfloat16").dtype == torch.bfloat16
