"""The edge-preserving filters; filters of any kind, one's own among them, from training's files to tiles and ONNX."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import pytest
import torch
import torch.nn.functional as F
from helpers import make_model
from hypothesis import given, settings
from hypothesis import strategies as st
from kornia.filters import guided_blur
from safetensors.torch import load, save
from torch import Tensor

from sincut.config.resolve import resolve
from sincut.config.sections import overlay
from sincut.errors import ModelError
from sincut.model import export
from sincut.model.model import Model
from sincut.nets import filters, local
from sincut.nets.balance import Balance
from sincut.nets.colour import ColourMap
from sincut.nets.filters import (
    CHROMA_REACH,
    FILTERS,
    ChromaGrain,
    Filter,
    Smoothing,
    calm_variance,
    chroma_grain,
    filters_of,
    register,
    smoothed,
    tensors_of,
    without_chroma_grain,
)
from sincut.nets.stylegan2 import StyleGenerator
from sincut.translation.translator import Translator

STRIDE = StyleGenerator.stride


def test_smoothed_is_the_guided_filter() -> None:
    x = torch.rand(1, 1, 30, 26, dtype=torch.float64)

    def windows(values: torch.Tensor) -> torch.Tensor:  # (pixels, 121)
        return F.unfold(F.pad(values, (5, 5, 5, 5), mode="replicate"), 11)[0].T

    slope = windows(x).var(1, correction=0) / (windows(x).var(1, correction=0) + 0.02)
    offset = windows(x).mean(1) * (1 - slope)
    a, b = (windows(values.view(x.shape)).mean(1).view(x.shape) for values in (slope, offset))
    torch.testing.assert_close(smoothed(x, 0.02), a * x + b)


def test_smoothing_takes_texture_and_leaves_edges() -> None:
    edge = torch.cat([torch.full((1, 1, 40, 20), -0.8), torch.full((1, 1, 40, 20), 0.8)], dim=3)
    strokes = 0.1 * torch.randn(1, 1, 40, 40, generator=torch.Generator().manual_seed(0))
    out = smoothed(edge + strokes, 0.03)
    assert out[..., :10].std() < 0.3 * strokes.std()
    assert out[..., 21].mean() - out[..., 18].mean() > 1.4  # of 1.6
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(smoothed(edge + strokes, 0.03), out)


def test_calm_variance_is_that_of_the_even_parts() -> None:
    x = 0.1 * torch.randn(1, 3, 200, 200, generator=torch.Generator().manual_seed(0))
    assert 0.008 < calm_variance(x) < 0.01  # a quarter of the windows have less than all pixels together
    x[..., 100:] *= 5
    assert 0.008 < calm_variance(x) < 0.011
    assert calm_variance(torch.full((1, 3, 40, 40), 0.7)) < 1e-6


def test_chroma_grain_goes_and_what_lightness_shows_stays() -> None:
    random = torch.Generator().manual_seed(0)
    edge = torch.cat([torch.full((1, 3, 40, 40), -0.6), torch.full((1, 3, 40, 40), 0.6)], dim=3)
    edge[:, 2, :, 40:] = -0.2  # dark grey beside yellow
    noise = 0.2 * torch.randn(1, 3, 40, 80, generator=random)
    luma = torch.tensor([0.299, 0.587, 0.114])[:, None, None]
    noise -= (noise * luma).sum(1, keepdim=True)  # of colour alone
    out = without_chroma_grain(edge + noise, 0.25)
    torch.testing.assert_close((out * luma).sum(1), (edge * luma).sum(1), rtol=0, atol=1e-5)
    assert 0.25 < ((out - edge)[..., :30].std() / noise[..., :30].std()) < 0.3  # a mean of 81 pixels keeps a ninth
    yellow = (out - (out * luma).sum(1, keepdim=True))[:, 2].mean((0, 1))  # blue less luma, by column
    assert yellow[38] > -0.1 and yellow[41] < -0.6  # of 0 and -0.71
    assert chroma_grain(edge) < 1e-4 < 0.8 * noise.square().mean() < chroma_grain(edge + noise)
    torch.testing.assert_close(without_chroma_grain(edge + noise, 1.0), edge + noise)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(without_chroma_grain(edge + noise, 0.25), out)


def test_large_pictures_are_filtered_in_bands(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.rand(1, 3, 150, 31, generator=torch.Generator().manual_seed(0)) * 2 - 1
    whole = smoothed(x, 0.02), without_chroma_grain(x, 0.3), calm_variance(x)
    heights: list[int] = []
    monkeypatch.setattr(local, "BAND", 1)
    filter_of_kornia = guided_blur

    def guided(guide: torch.Tensor, *rest: Any, **more: Any) -> torch.Tensor:
        heights.append(guide.shape[2])
        filtered: torch.Tensor = filter_of_kornia(guide, *rest, **more)
        return filtered

    monkeypatch.setattr(filters, "guided_blur", guided)
    for got, expected in zip((smoothed(x, 0.02), without_chroma_grain(x, 0.3)), whole[:2], strict=True):
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-5)
    assert calm_variance(x) == pytest.approx(whole[2], rel=1e-5)
    assert len(heights) == 5 and max(heights) == 6 * CHROMA_REACH


@dataclass(frozen=True, eq=False)
class Soft:
    """A filter of one's own: means of rows and columns over 9 px, weighted, and a shift of colours."""

    kind: ClassVar[str] = "soft"
    reach: ClassVar[int] = 4
    weights: Tensor  # (9,)
    shift: Tensor  # (3,)

    def __call__(self, image: Tensor) -> Tensor:
        weights = (self.weights / self.weights.sum()).to(image).expand(3, 1, 1, 9)
        x = F.pad(image, (4, 4, 4, 4), mode="replicate")
        x = F.conv2d(F.conv2d(x, weights, groups=3), weights.transpose(2, 3), groups=3)
        return x + self.shift.to(image)[:, None, None]

    def tensors(self) -> dict[str, Tensor]:
        return {"soft.weights": self.weights, "soft.shift": self.shift}

    @classmethod
    def of_tensors(cls, tensors: Mapping[str, Tensor]) -> Self:
        return cls(tensors["soft.weights"], tensors["soft.shift"])


SOFT, SOFTER = Soft(torch.arange(1.0, 10.0), torch.tensor([0.1, 0.0, -0.1])), Soft(torch.ones(9), torch.zeros(3))
NETWORKS: dict[str, dict[str, object]] = {
    "networks": {"architecture": "stylegan2", "stem": 3, "inner": 4, "blocks": 2, "smooth": 0.0},
    "losses": {"layers": [0, 2]},
}


@pytest.fixture
def soft(monkeypatch: pytest.MonkeyPatch) -> None:
    """`Soft` is known to model files, and afterwards no longer."""
    monkeypatch.setattr(filters, "FILTERS", dict(FILTERS))
    register(Soft)


def with_soft(plain: bool = False) -> Model:
    """A model with a filter of one's own on both sides of G, and `plain` without any other."""
    model = make_model(overlay(resolve(), NETWORKS))
    if plain:
        return replace(model, before=(SOFT,), after=(SOFTER,))
    return replace(model, before=(SOFT, *model.before), after=(*model.after, SOFTER))


BALANCE = Balance(torch.rand(2), torch.rand(3), torch.tensor([-0.5, 0.5]), torch.rand(2, 2, 7) + 0.5)
SHIPPED: list[Filter] = [Smoothing(0.02), ColourMap(torch.rand(3, 3), torch.rand(3)), ChromaGrain(0.3), BALANCE]


def test_all_shipped_kinds_are_tested_here() -> None:
    assert [filter_.kind for filter_ in SHIPPED] == ["smoothing", "colour_map", "chroma_grain", "balance"]
    assert {filter_.kind: type(filter_) for filter_ in SHIPPED} == FILTERS


@pytest.mark.parametrize("filter_", SHIPPED, ids=lambda filter_: filter_.kind)
def test_a_filter_is_itself_again_from_its_tensors(filter_: Filter) -> None:
    kept = load(save(filter_.tensors()))  # as in a file
    (again,) = filters_of([filter_.kind], {**kept, "generator.rgb_bias": torch.zeros(3), "soft.shift": torch.zeros(2)})
    assert type(again) is type(filter_) and again.reach == filter_.reach
    assert again.tensors().keys() == filter_.tensors().keys()
    assert all(torch.equal(value, filter_.tensors()[name]) for name, value in again.tensors().items())
    image = torch.rand(2, 3, 41, 37) * 2 - 1
    assert torch.equal(again(image), filter_(image)) and not torch.equal(filter_(image), image)


@pytest.mark.parametrize("filter_", [*SHIPPED, SOFT], ids=lambda filter_: filter_.kind)
def test_a_filter_sees_no_further_than_its_reach(filter_: Filter) -> None:
    side = 2 * filter_.reach + 21
    image = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0)).double() * 2 - 1
    dot = image.clone()
    dot[:, :, side // 2, side // 2] += 0.5
    changed = (filter_(dot) - filter_(image)).abs().sum((0, 1)).nonzero() - side // 2
    assert filter_.reach % STRIDE == 0 and int(changed.abs().max()) <= filter_.reach
    assert int(changed.abs().max()) >= filter_.reach - STRIDE - 1  # and that is not more than it needs


@pytest.mark.parametrize("filter_", [Smoothing(0.0), ColourMap.identity(), ChromaGrain(1.0)], ids=lambda f: f.kind)
def test_filters_that_are_off_change_nothing_and_see_nothing_around(filter_: Filter) -> None:
    image = torch.rand(2, 3, 21, 17) * 2 - 1
    assert torch.equal(filter_(image), image) and filter_.reach == 0


def test_a_kind_is_given_once(soft: None) -> None:
    register(Soft)  # as when its module is imported again

    class Other(Soft):
        pass

    with pytest.raises(ValueError, match="a filter 'soft' already"):
        register(Other)


def test_filters_of_one_kind_keep_their_own_tensors(soft: None) -> None:
    several = (SOFT, Smoothing(0.5), SOFTER, Smoothing(0.25), SOFT)
    tensors = tensors_of(several)
    again = filters_of([filter_.kind for filter_ in several], tensors)
    assert [again[1], again[3]] == [Smoothing(0.5), Smoothing(0.25)]
    for old, new in zip(several[::2], again[::2], strict=True):
        assert isinstance(new, Soft) and torch.equal(new.weights, old.tensors()["soft.weights"])
    with pytest.raises(KeyError):
        filters_of(["soft"] * 4, tensors)


def test_two_kinds_with_a_tensor_of_one_name_are_refused(tmp_path: Path) -> None:
    class Other(Soft):
        kind = "other"

    model = replace(with_soft(), before=(SOFT, Other(SOFT.weights, SOFT.shift)))
    with pytest.raises(ValueError, match=r"the filter 'other' and another one both have a tensor 'soft\.shift'"):
        model.save(tmp_path / "m.safetensors")
    assert not list(tmp_path.iterdir())


def test_unknown_kinds_are_named(soft: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_soft().save(tmp_path / "m.safetensors")
    assert Model.load(tmp_path / "m.safetensors").halo == with_soft().halo
    monkeypatch.delitem(filters.FILTERS, "soft")  # as where nobody has imported its module
    with pytest.raises(ModelError, match=r"m\.safetensors: .*filter 'soft' is not known; import what registers it"):
        Model.load(tmp_path / "m.safetensors")


def test_a_filter_of_ones_own_survives_the_model_file(soft: None, tmp_path: Path) -> None:
    model = with_soft()
    model.save(tmp_path / "m.safetensors")
    again = Model.load(tmp_path / "m.safetensors")
    assert [f.kind for f in again.before] == ["soft", "smoothing", "colour_map", "chroma_grain"]
    assert [f.kind for f in again.after] == ["balance", "soft"]
    image, noise = torch.rand(1, 3, 33, 40) * 2 - 1, torch.randn(1, 1, 33, 40)
    assert torch.equal(again.translate(image, noise), model.translate(image, noise))
    left_out = replace(again, before=again.before[1:]), replace(again, after=again.after[:1])
    assert not any(torch.equal(other.translate(image, noise), model.translate(image, noise)) for other in left_out)


def test_the_halo_is_the_sum_of_all_reaches() -> None:
    plain, model = with_soft(plain=True), with_soft()
    assert plain.halo == plain.generator.halo + 4 + 4 and plain.noise_reach == plain.generator.noise_reach + 4
    assert model.halo == model.generator.halo + sum(filter_.reach for filter_ in (*model.before, *model.after))
    assert plain.limits.border == plain.halo and plain.encoder_halo(2) == plain.generator.encoder_halo(2) + 4


def test_a_reach_that_does_not_fit_the_stride_is_rounded_up() -> None:
    class Odd(Soft):
        reach = 5

    odd = Odd(SOFT.weights, SOFT.shift)
    model = replace(with_soft(), before=(odd,), after=(odd,))
    assert model.halo == model.generator.halo + 6 + 6 and model.noise_reach == model.generator.noise_reach + 6
    translator, image = Translator(model, precision="float32"), torch.rand(1, 3, 50, 70) * 2 - 1
    torch.testing.assert_close(translator.translate(image, 16), translator.translate(image, "off"), rtol=0, atol=1e-5)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(16, 80), st.booleans())
def test_tiled_equals_whole_with_filters_of_ones_own(h: int, w: int, tile: int, plain: bool) -> None:
    translator = TRANSLATORS[plain]
    image = torch.rand(1, 3, h, w, generator=torch.Generator().manual_seed(h * w)) * 2 - 1
    torch.testing.assert_close(translator.translate(image, tile), translator.translate(image, "off"), rtol=0, atol=1e-5)


TRANSLATORS = [Translator(with_soft(plain), precision="float32") for plain in (False, True)]


def test_a_filter_of_ones_own_is_exported() -> None:
    model, image = with_soft(), torch.rand(2, 3, 37, 51)
    with torch.inference_mode():
        exported = export._Exported(model)(image)
    torch.testing.assert_close(exported, Translator(model, precision="float32").apply(image), atol=1e-5, rtol=0)


@pytest.mark.slow
def test_a_filter_of_ones_own_is_in_the_onnx_file(tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    model, image = with_soft(plain=True), torch.rand(1, 3, 40, 33)
    assert export.export(model, tmp_path / "m.onnx") is not None
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx", providers=["CPUExecutionProvider"])
    (got,) = session.run(None, {"image": image.numpy()})
    wanted = Translator(model, precision="float32").apply(image)
    torch.testing.assert_close(torch.from_numpy(got), wanted, atol=1e-4, rtol=0)
