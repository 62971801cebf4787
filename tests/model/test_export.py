"""ONNX: the same pictures as `apply`, at any size, from onnxruntime; nothing is left where they differ."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import RESNET, ROOT, UNFILTERED, StandIn, in_process, make_model

from sincut.config.sections import Config, overlay
from sincut.errors import ModelError
from sincut.model import export
from sincut.model.limits import Limits
from sincut.model.model import Model
from sincut.translation.options import Options
from sincut.translation.translator import Translator


@pytest.mark.parametrize(("size", "materials"), [((1, 1), 0), ((2, 3), 0), ((37, 51), 0), ((64, 48), 0), ((37, 51), 3)])
def test_what_is_exported_is_what_apply_does(tiny: Config, size: tuple[int, int], materials: int) -> None:
    model = make_model(overlay(tiny, {"networks": {"materials": materials}}))
    image = torch.rand(2, 3, *size)
    with torch.inference_mode():
        found = export._Exported(model)(image)
    torch.testing.assert_close(found, Translator(model, precision="float32").apply(image), atol=1e-5, rtol=0)


@pytest.mark.parametrize("size", [(2, 3), (37, 51)])
def test_an_export_of_a_model_for_sets_is_what_apply_does(tiny: Config, size: tuple[int, int]) -> None:
    model = make_model(overlay(tiny, RESNET))
    image = torch.rand(2, 3, *size)
    with torch.inference_mode():
        exported = export._Exported(model)(image)
    torch.testing.assert_close(exported, Translator(model, precision="float32").apply(image), atol=1e-4, rtol=0)


@pytest.mark.slow
def test_onnx_takes_a_model_for_sets_at_any_size(tiny: Config, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    model = make_model(overlay(overlay(tiny, UNFILTERED), RESNET))
    difference = export.export(model, tmp_path / "model.onnx")
    assert difference is not None and difference < 1e-4
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    for n, h, w in ((1, 5, 2), (3, 20, 33), (1, 71, 90)):
        image = torch.rand(n, 3, h, w)
        (translated,) = session.run(None, {"image": image.numpy()})
        wanted = Translator(model, precision="float32").apply(image)
        torch.testing.assert_close(torch.from_numpy(translated), wanted, atol=1e-4, rtol=0)


@pytest.mark.parametrize("limits", [Limits(8, 4), Limits(None, 6)])
def test_an_export_follows_the_limits_of_its_model(tiny: Config, limits: Limits) -> None:
    model: Any = StandIn(make_model(tiny), limits)
    image = torch.rand(1, 3, 37, 51)
    wanted = Translator(model, precision="float32").apply(image, Options("off"))
    torch.testing.assert_close(export._Exported(model)(image), wanted, atol=1e-5, rtol=0)


def test_a_model_that_takes_no_large_pictures_is_not_exported(tiny: Config, tmp_path: Path) -> None:
    model: Any = StandIn(make_model(tiny), Limits(None, 2, 10**6))
    with pytest.raises(ModelError, match=r"m\.onnx: .* this model 1000000 pixels"):
        export.export(model, tmp_path / "m.onnx")


@pytest.mark.slow
def test_onnx_runs_at_any_size_and_says_where_it_comes_from(
    tiny: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    model = make_model(overlay(tiny, {"networks": {"smooth": 3.0}}))
    path = tmp_path / "model.onnx"
    difference = export.export(model, path)
    assert difference is not None and difference < 1e-4
    assert b"stack_trace" not in path.read_bytes() and str(ROOT).encode() not in path.read_bytes()
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    assert [value.name for value in session.get_inputs()] == ["image"]
    for n, h, w in ((1, 1, 1), (3, 20, 33), (1, 71, 90)):
        image = torch.rand(n, 3, h, w)
        (found,) = session.run(None, {"image": image.numpy()})
        wanted = Translator(model, precision="float32").apply(image)
        torch.testing.assert_close(torch.from_numpy(found), wanted, atol=1e-4, rtol=0)
        assert (session.run(None, {"image": image.numpy()})[0] == found).all()
    told = session.get_modelmeta().custom_metadata_map
    assert told["holds"].startswith("G alone")
    assert Config.from_dict(json.loads(told["config"])) == model.config
    assert json.loads(told["provenance"]) == model.provenance.to_dict()
    monkeypatch.setattr(export, "_difference", lambda data, exported: 0.1)
    monkeypatch.setattr(export, "_traced", lambda exported: _Proto())
    with pytest.raises(ModelError, match=r"was not written: it differs from torch by 0\.1"):
        export.export(model, tmp_path / "wrong.onnx")
    assert not (tmp_path / "wrong.onnx").exists()


class _Proto:
    """As much of an ONNX model as `export` touches."""

    def __init__(self) -> None:
        self.metadata_props = self

    def add(self) -> "_Proto":
        return self

    def SerializeToString(self) -> bytes:  # noqa: N802
        return b""


def test_a_missing_extra_and_a_wrong_suffix_are_named(
    tiny: Config, model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "PACKAGES", ("nothing_like_it",))
    with pytest.raises(ModelError, match=r"sincut\[onnx\]"):
        export.export(Model.load(model_file), tmp_path / "m.onnx")
    assert in_process("export", model_file, "-o", tmp_path / "m.bin").returncode == 2


def test_an_exported_file_names_no_files_of_this_machine() -> None:
    onnx = pytest.importorskip("onnx")
    inner = onnx.helper.make_graph([onnx.helper.make_node("Identity", ["x"], ["y"])], "inner", [], [])
    inner.node[0].metadata_props.add(key="pkg.torch.onnx.stack_trace", value="File /home/me/sincut/networks.py")
    node = onnx.helper.make_node("If", ["c"], ["y"], then_branch=inner, else_branch=inner, doc_string="/home/me")
    value = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1], doc_string="/home/me")
    weight = onnx.helper.make_tensor("w", onnx.TensorProto.FLOAT, [1], [0.5])
    function = onnx.helper.make_function("d", "f", ["x"], ["y"], list(inner.node), [])
    graph = onnx.helper.make_graph([node], "outer", [value], [value], [weight], doc_string="/home/me")
    model = onnx.helper.make_model(graph, functions=[function])
    assert model.SerializeToString().count(b"/home/me") == 7
    export._forget_traces(model)
    assert b"/home/me" not in model.SerializeToString()
    assert model.graph.initializer[0].float_data[0] == 0.5 and model.graph.node[0].op_type == "If"
