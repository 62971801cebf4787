"""The model file: round trip, provenance, and files that are damaged, foreign or newer."""

import json
import resource
from pathlib import Path

import pytest
import torch
from helpers import RESNET, make_model
from safetensors.torch import save_file

from sincut.config.resolve import load_preset
from sincut.config.sections import Config, overlay
from sincut.errors import ConfigError, ModelError
from sincut.model.file import MODEL_FILE, load_tensors, model_path, save_tensors
from sincut.model.limits import Limits
from sincut.model.model import Model, describe
from sincut.model.provenance import Provenance
from sincut.nets.balance import LEVELS


def test_model_survives_its_file(tiny: Config, tmp_path: Path) -> None:
    model = make_model(tiny)
    model.provenance = Provenance(steps=1, losses={"G": 1.5})
    model.save(tmp_path / "m.safetensors")
    again = Model.load(tmp_path / "m.safetensors")
    x, noise = torch.randn(1, 3, 17, 20), torch.randn(1, 1, 17, 20)
    assert torch.equal(model.translate(x, noise), again.translate(x, noise))
    assert (again.config, again.provenance) == (tiny, model.provenance)


def test_a_model_for_sets_survives_its_file_and_takes_pictures_whole(tiny: Config, tmp_path: Path) -> None:
    model = make_model(overlay(tiny, RESNET))
    model.save(tmp_path / "m.safetensors")
    again = Model.load(tmp_path / "m.safetensors")
    x, noise = torch.randn(1, 3, 17, 20), torch.randn(1, 1, 17, 20)
    assert torch.equal(model.translate(x, noise), again.translate(x, noise))
    assert again.limits == Limits(None, 4) and again.halo == again.noise_reach == again.encoder_halo(4) == 0
    assert len(again.before) == 3 and len(again.after) == 1
    tensors, metadata = load_tensors(tmp_path / "m.safetensors")
    lie = json.dumps({**json.loads(metadata["networks"]), "stem": 5})
    save_tensors(tmp_path / "lie.safetensors", tensors, {**metadata, "networks": lie})
    with pytest.raises(ModelError, match="shapes that its settings say"):
        Model.load(tmp_path / "lie.safetensors")


def test_a_run_folder_stands_for_its_model(tiny: Config, tmp_path: Path) -> None:
    make_model(tiny).save(tmp_path / MODEL_FILE)
    assert Model.load(tmp_path).config == tiny
    assert model_path(tmp_path) == model_path(tmp_path / MODEL_FILE) == tmp_path / MODEL_FILE


def test_loading_leaves_the_random_state_alone(model_file: Path) -> None:
    before = torch.get_rng_state()
    Model.load(model_file)
    assert torch.equal(torch.get_rng_state(), before)


def test_saving_leaves_no_other_file(tiny: Config, tmp_path: Path) -> None:
    make_model(tiny).save(tmp_path / "m.safetensors")
    make_model(tiny, seed=1).save(tmp_path / "m.safetensors")
    assert [path.name for path in tmp_path.iterdir()] == ["m.safetensors"]


@pytest.mark.parametrize("keep", [0, 4, 100, 3000, -1])
def test_truncated_files_are_named(model_file: Path, keep: int) -> None:
    model_file.write_bytes(model_file.read_bytes()[:keep])
    with pytest.raises(ModelError, match=model_file.name):
        Model.load(model_file)


def test_foreign_and_newer_files_are_refused(tiny: Config, tmp_path: Path) -> None:
    foreign = tmp_path / "foreign.safetensors"
    save_file({"a": torch.zeros(2)}, foreign)
    with pytest.raises(ModelError, match="not sincut's"):
        Model.load(foreign)
    newer = tmp_path / "newer.safetensors"
    save_file({"a": torch.zeros(2)}, newer, metadata={"format": "sincut", "version": "99"})
    with pytest.raises(ModelError, match=r"version 99.*update"):
        Model.load(newer)
    text = tmp_path / "text.safetensors"
    text.write_text("not a model at all")
    with pytest.raises(ModelError, match="no model file"):
        Model.load(text)
    with pytest.raises(ModelError, match="no model there"):
        Model.load(tmp_path / "nothing")


@pytest.mark.parametrize("change", ["missing", "shape", "config", "json"])
def test_incomplete_models_are_refused(model_file: Path, change: str) -> None:
    tensors, metadata = load_tensors(model_file)
    if change == "missing":
        del tensors["generator.rgb.weight"]
    if change == "shape":
        tensors["colour.matrix"] = torch.zeros(2, 2)
    if change == "config":
        metadata["config"] = '{"networks": {"wings": 2}}'
    if change == "json":
        metadata["config"] = "{"
    save_tensors(model_file, tensors, metadata)
    with pytest.raises(ModelError, match=model_file.name):
        Model.load(model_file)


def test_a_place_that_cannot_be_written_is_named(tiny: Config, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be written"):
        make_model(tiny).save(tmp_path / "no" / "such" / "folder.safetensors")


@pytest.mark.parametrize("version", [9, 10])
def test_the_second_discriminator_of_earlier_models_is_forgotten(model_file: Path, version: int) -> None:
    tensors, metadata = load_tensors(model_file)
    config = json.loads(metadata["config"])
    config["losses"]["large"] = 1.0
    save_file(tensors, model_file, metadata={**metadata, "version": str(version), "config": json.dumps(config)})
    assert Model.load(model_file).config.to_dict() == json.loads(metadata["config"])


@pytest.mark.parametrize("version", [1, 2, 3, 4, 5, 6, 7, 8])
def test_models_of_earlier_versions_lack_what_came_later(tiny: Config, tmp_path: Path, version: int) -> None:
    tiny = overlay(tiny, {"networks": {"smooth": 3.0}, "colour": {"smooth": 3.0}})
    values = tiny.to_dict()
    values["networks"]["noise"] = True  # a switch, until format 9
    del values["method"], values["crops"]["excess"], values["losses"]["flip_equivariance"], values["losses"]["own"]
    del values["losses"]["spread"]  # as one that came without a format of its own
    if version < 8:
        del values["ensemble"]
    if version < 7:
        del values["crops"]["places"]
        values["schedule"]["most_steps"] = 750
    if version < 5:
        del values["networks"]["noise"]
    if version < 4:
        del values["networks"]["detail"]
    else:
        values["losses"]["large"] = 1.0  # of a second discriminator, until format 11
    if version < 3:
        del values["colour"]["grain"], values["colour"]["balance"]
    if version == 1:
        del values["colour"]["smooth"], values["networks"]["smooth"]
    make_model(tiny).save(tmp_path / "m.safetensors")
    tensors, metadata = load_tensors(tmp_path / "m.safetensors")
    if version < 6:
        tensors["balance.gains"] = tensors["balance.gains"][:, :, :LEVELS].contiguous()  # none at outlines
    if version < 5:
        tensors = {name: value for name, value in tensors.items() if not name.startswith("generator.noise.")}
    if version < 3:
        del tensors["colour.grain"]
        tensors = {name: value for name, value in tensors.items() if not name.startswith("balance.")}
    if version == 1:
        del tensors["colour.texture"], tensors["generator.texture"]
    said = {name: metadata[name] for name in ("format", "provenance")}
    old = {**said, "version": str(version), "config": json.dumps(values)}
    save_file(tensors, tmp_path / "old.safetensors", metadata=old)
    early, now = (Model.load(tmp_path / name) for name in ("old.safetensors", "m.safetensors"))
    assert (early.config.ensemble.members == 1) == (version < 8) and now.config.ensemble.members > 1
    assert early.config.crops.excess == 2 and early.config.losses.spread  # as they were for all
    assert not early.config.losses.flip_equivariance and describe(tmp_path / "old.safetensors")[0] == early.config
    assert (early.config.crops.places == 1) == (version < 7) and now.config.crops.places > 1
    assert early.config.networks.noise == ("auto" if version >= 5 else "last") and now.config.networks.noise == "auto"
    assert early.generator.config.noise == ("all" if version >= 5 else "last")
    if version < 4:
        assert early.config.networks.detail == 0
    assert now.config.networks.detail > 0
    assert (
        now.config.networks.smooth > 0
        and [filter_.reach > 0 for filter_ in now.before] == [True, False, True]
        and now.after
    )
    assert early.noise_reach < now.noise_reach or version >= 5
    if version >= 3:
        assert early.config.colour == now.config.colour and early.halo == now.halo
        image, noise = torch.rand(1, 3, 64, 72), torch.zeros(1, 1, 64, 72)
        (balance,) = early.after
        assert balance(image).shape == image.shape
        assert early.translate(image, noise).isfinite().all()
        return
    assert early.before[2].reach == 0 and early.after == ()
    assert not early.config.colour.grain and not early.config.colour.balance
    assert early.generator.halo <= early.halo < now.halo
    if version == 1:
        assert early.config.colour.smooth == early.config.networks.smooth == early.before[0].reach == 0
        assert early.halo == early.generator.halo


@pytest.mark.parametrize("lie", ["giant", "deep", "nan", "integers", "extra", "half", "shape"])
def test_hostile_models_are_refused_before_they_cost_anything(model_file: Path, lie: str) -> None:
    tensors, metadata = load_tensors(model_file)
    config = json.loads(metadata["config"])
    name = "generator.rgb.weight"
    if lie == "giant":  # 10 GB of weights, says the configuration
        config["networks"] |= {"inner": 2048, "blocks": 32}
    if lie == "nan":
        tensors[name][0] = torch.nan
    if lie == "integers":
        tensors[name] = tensors[name].long()
    if lie == "extra":
        tensors["generator.more"] = torch.zeros(3)
    if lie == "half":
        del tensors["balance.gains"]
    if lie == "shape":
        tensors["balance.gains"] = torch.ones(2, 3)
    text = "[" * 100_000 if lie == "deep" else json.dumps(config)
    networks = json.dumps({**config["networks"], "noise": "all"}) if lie != "deep" else text
    save_tensors(model_file, tensors, {**metadata, "config": text, "networks": networks})
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ModelError, match=f"{model_file.name}: is not a complete sincut model"):
        Model.load(model_file)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000  # kB


def test_hostile_headers_and_presets_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    for header in (b"\xff" * 8, (2**40).to_bytes(8, "little"), (90_000_000).to_bytes(8, "little")):
        path.write_bytes(header + b'{"a":' * 1000)
        with pytest.raises(ModelError, match=r"m\.safetensors"):
            Model.load(path)
    lying = json.dumps({"a": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}).encode()
    path.write_bytes(len(lying).to_bytes(8, "little") + lying)
    with pytest.raises(ModelError, match=r"m\.safetensors"):
        Model.load(path)
    preset = tmp_path / "p.toml"
    for text in ("a = " + "[" * 100_000, "a = 1\n" * 3, "[networks]\nstem = 1e999", "\0"):
        preset.write_text(text)
        with pytest.raises(ConfigError, match=r"p\.toml"):
            load_preset(str(preset))


def test_half_precision_weights_are_read(model_file: Path) -> None:
    tensors, metadata = load_tensors(model_file)
    halved = {name: value.half() if name.startswith("generator.") else value for name, value in tensors.items()}
    save_tensors(model_file, halved, metadata)
    read = Model.load(model_file).generator.state_dict()
    for name, value in read.items():
        precision = torch.float16 if name == "materials.patches" else torch.float32
        assert value.dtype == precision and torch.equal(value, halved[f"generator.{name}"].to(precision)), name


def test_describe_reads_what_load_reads(model_file: Path, tmp_path: Path) -> None:
    config, provenance = describe(model_file)
    loaded = Model.load(model_file)
    assert config == loaded.config and provenance == loaded.provenance
    with pytest.raises(ModelError, match="no model"):
        describe(tmp_path)
