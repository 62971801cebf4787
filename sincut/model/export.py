"""A model as an ONNX file, for programs without torch (the extra `sincut[onnx]`, https://onnx.ai).

The file holds G alone: neither the exemplar that a model may carry nor the synthesis, which is no network.

One input, `image`: (N, 3, H, W) float32, RGB in [0, 1], any N, H and W. One output, `translation`: the same shape and
range. Everything that `sincut apply --fast` does to an 8-bit picture is in the graph: smoothing, the colour map, the
picture continued by mirroring, and the noise, which is hashed from absolute positions and so is the same each time. A
picture is translated whole, so memory grows with it. Settings and provenance stand in the file's metadata.
"""

import importlib.util
import json
import logging
import math
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sincut.errors import ModelError
from sincut.files import write_whole
from sincut.model.file import FORMAT
from sincut.model.model import Model

HOLDS = "G alone: nothing is drawn from the target's patches, as by sincut apply --fast"  # what its metadata say
OPSET = 20  # version of ONNX's operators, that of ONNX 1.15 (2023)
TOLERANCE = 1e-4  # largest difference from torch, of values in [0, 1], with which a file is written
CHECKED_SIZES = ((1, 64, 48), (2, 37, 51), (1, 1, 3), (1, 130, 97))  # (N, H, W) of the pictures it is checked with
PACKAGES = ("onnx", "onnxscript")  # of the extra


class _Exported(nn.Module):
    """`sincut apply --fast` of whole pictures as one module: the graph that is exported."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.generator, self.model = model.generator, model

    def forward(self, image: Tensor) -> Tensor:
        """Translate (N, 3, H, W), RGB in [0, 1], to the same shape and range."""
        n, _, h, w = image.shape
        border, stride, reach = self.model.limits.border, self.model.limits.stride, self.model.noise_reach
        ends = [length + -length % stride for length in (h, w)]
        rows, columns = (torch.arange(-reach, end + reach) for end in ends)
        around = (_mirrored(torch.arange(-border, end + border), side) for end, side in zip(ends, (h, w), strict=True))
        window = image * 2 - 1
        for axis, positions in zip((2, 3), around, strict=True):
            window = window.index_select(axis, positions)
        noise = self.model.noise(rows, columns).expand(n, -1, -1, -1)
        out = self.model.translate_middle(window, noise)[:, :, :h, :w]
        return (out.clamp(-1, 1) + 1) / 2


def export(model: Model, path: Path) -> float | None:
    """Write the ONNX file. Returns the largest difference from torch, or None if onnxruntime is not installed.

    Raises `ModelError`, and writes nothing, if the model does not take whole pictures of any size, if the extra is
    missing, or if the file differs from torch by more than `TOLERANCE`.
    """
    most = model.limits.most_pixels
    if most is not None:
        raise ModelError(f"{path}: an ONNX file takes any size at once, this model {most} pixels; use apply")
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise ModelError(f"ONNX needs an extra ({missing[0]} is missing): pip install 'sincut[onnx]'")
    exported = _Exported(model).eval()
    proto = _traced(exported)
    for key, value in (
        ("format", FORMAT),
        ("holds", HOLDS),
        ("config", json.dumps(model.config.to_dict())),
        ("provenance", json.dumps(model.provenance.to_dict())),
    ):
        entry = proto.metadata_props.add()
        entry.key, entry.value = key, value
    data = proto.SerializeToString()
    difference = _difference(data, exported)
    if difference is not None and not difference <= TOLERANCE:
        what = f"differs from torch by {difference:.2g}, more than {TOLERANCE:g}"
        raise ModelError(f"{path}: was not written: it {what}; update onnxscript and onnxruntime")
    write_whole(path, data, ModelError)
    return difference


def _traced(exported: nn.Module) -> Any:
    """The ONNX model of the module, with free sizes batch, height and width."""
    dim = torch.export.Dim
    sizes = {0: dim("batch", min=1), 2: dim("height", min=1), 3: dim("width", min=1)}
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                exported, (torch.rand(2, 3, 46, 53),), dynamo=True, verbose=False, opset_version=OPSET,
                input_names=["image"], output_names=["translation"], dynamic_shapes=(sizes,),
            )  # fmt: skip
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
    assert program is not None
    proto = program.model_proto  # made anew each time it is asked for
    _forget_traces(proto)
    return proto


def _forget_traces(message: Any) -> None:
    """Remove the exporter's notes of this machine's files and calls from a protobuf message, recursively."""
    for name in {"doc_string", "metadata_props"} & set(message.DESCRIPTOR.fields_by_name):
        message.ClearField(name)
    for field, value in message.ListFields():
        if field.message_type is not None:
            for part in [value] if hasattr(value, "DESCRIPTOR") else value:
                _forget_traces(part)


def _difference(data: bytes, exported: nn.Module) -> float | None:
    """Largest difference between onnxruntime and torch over `CHECKED_SIZES`; None without onnxruntime."""
    try:
        import onnxruntime
    except ImportError:
        return None
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    largest = 0.0
    random = torch.Generator().manual_seed(0)
    for n, h, w in CHECKED_SIZES:
        image = torch.rand(n, 3, h, w, generator=random)
        (translated,) = session.run(None, {"image": image.numpy()})
        with torch.inference_mode():
            wanted = exported(image)
        difference = float((torch.from_numpy(translated) - wanted).abs().max())
        largest = max(largest, difference if math.isfinite(difference) else math.inf)
    return largest


def _mirrored(positions: Tensor, length: int) -> Tensor:
    """`sincut.translation.tiles.mirror` for a length that is known only when the graph runs."""
    last = torch.arange(length)[-1:]  # as a tensor, which is what the graph can compute with
    period = (2 * last).clamp(min=1)
    folded = positions % period
    return torch.minimum(folded, period - folded) % (last + 1)
