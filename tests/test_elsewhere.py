"""Training, translating, drawing and the other algorithms on another device than the CPU, by a stand-in for one."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from elsewhere import elsewhere
from helpers import CPU, TINY, brushes, make_model, scene, with_exemplar
from torch import Tensor

from sincut.config.resolve import resolve
from sincut.config.sections import Rival, overlay
from sincut.method import guide
from sincut.method.loop import train
from sincut.nets.vgg import Vgg
from sincut.pictures.picture import to_tensor
from sincut.rivals.gatys import Gatys
from sincut.rivals.model import RivalModel
from sincut.rivals.strotss import Strotss
from sincut.rivals.technique import Technique
from sincut.rivals.wct2 import Wct2
from sincut.synthesis.synthesis import Dials, Synthesis
from sincut.translation.options import Options
from sincut.translation.translator import Translator

Results = list[Tensor]


def check(work: Callable[[torch.device], Results], monkeypatch: pytest.MonkeyPatch, off: float = 0.0) -> None:
    """Do some work here and elsewhere, which must give the same; or with `off`, the same to so much."""
    here = work(CPU)
    with elsewhere(monkeypatch) as device:
        there = [result.cpu() for result in work(device)]
    assert len(here) == len(there) > 0
    for a, b in zip(here, there, strict=True):
        torch.testing.assert_close(a, b, atol=off, rtol=10 * off)
        assert a.isfinite().all()


def trained(preset: str, device: torch.device, sets: bool) -> Results:
    """The weights of G after two steps of a preset, with a guide, the balance and all terms that it has."""
    quick = {"schedule": {"steps": 2, "minutes": 0.0}, "output": {"previews": 0}, "losses": {"guide": 1.0}}
    config = overlay(overlay(resolve(preset), TINY), {**quick, "colour": {"balance": True}})
    source, target = ([to_tensor(scene(72, 90, seed)), to_tensor(scene(66, 80, seed + 2))] for seed in (1, 2))
    few = 2 if sets else 1
    model = train(source[:few], target[:few], config, device=device, precision="float32")
    return [weight.detach() for weight in model.generator.parameters()]


def test_the_stand_in_refuses_what_an_accelerator_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    with elsewhere(monkeypatch) as device:
        x = torch.ones(3, device=device)
        assert x.device == device and (2 * x + torch.tensor(1.0)).tolist() == [3.0, 3.0, 3.0]
        for wrong, said in (
            (lambda: x + torch.ones(3), "expected all tensors on"),
            (lambda: torch.cat([x, torch.ones(1)]), "expected all tensors on"),
            (lambda: x.double(), "float64"),
            (lambda: torch.zeros(2, dtype=torch.float64, device=device), "float64"),
            (lambda: x.numpy(), "numpy"),
            (lambda: torch.rand(2, generator=torch.Generator(), device=device), "generator"),
        ):
            with pytest.raises((RuntimeError, TypeError), match=said):
                wrong()
        assert x.cpu().double().numpy().sum() == 3


@pytest.mark.parametrize(
    ("preset", "sets"), [("standard", True), ("cyclegan", False), ("internal-and-external", False)]
)
def test_a_training_moves_its_tensors(preset: str, sets: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, few in {"ITERATIONS": 2, "PLACES": 60, "PLACES_OF_SET": 120, "SIDE": 40}.items():
        monkeypatch.setattr(guide, name, few)
    check(lambda device: trained(preset, device, sets), monkeypatch, 1e-6)  # with AVX2 last bits differ in one


def test_translating_and_drawing_move_their_tensors(monkeypatch: pytest.MonkeyPatch) -> None:
    config = overlay(resolve(), TINY)

    def applied(device: torch.device) -> Results:
        translator = Translator(with_exemplar(make_model(config)), device, "float32")
        choices = Options(), Options(fast=True, tile=64), Options(fast=True, scale=0.5)
        return [torch.from_numpy(translator.apply(scene(80, 100, 3), options)) for options in choices]

    with brushes():
        check(applied, monkeypatch)


def test_a_library_of_exemplars_is_drawn_from_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    exemplars = [torch.from_numpy(scene(*size, 1)) for size in ((100, 120), (60, 70))]

    def drawn(device: torch.device) -> Results:
        return [Synthesis(exemplars, Dials(2.0, 0.8), device)(to_tensor(scene(80, 90, 2)))]

    check(drawn, monkeypatch)


@pytest.mark.parametrize("name", ["gatys", "strotss", "wct2"])
def test_other_algorithms_move_their_tensors(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    config = overlay(resolve("paper"), {"rival": {"iterations": 3}})

    def network(settings: Rival) -> Technique:
        torch.manual_seed(0)
        if name == "wct2":
            return Wct2(settings, (4, 5, 6, 7)).eval().requires_grad_(False)
        narrow = Vgg([4] * 13).eval().requires_grad_(False)
        return Gatys(narrow, replace(settings, start="noise")) if name == "gatys" else Strotss(narrow, settings)

    def applied(device: torch.device) -> Results:
        with torch.random.fork_rng(devices=[]):
            model = RivalModel(network(config.rival), torch.from_numpy(scene(50, 60, 1)), config)
        out: np.ndarray = Translator(model, device).apply(scene(40, 50, 0))
        return [torch.from_numpy(out)]

    check(applied, monkeypatch)
