"""Loss terms of one's own by name: registered or installed, trained, averaged, saved, and gone on with."""

from importlib.metadata import EntryPoint

import pytest
import torch
from helpers import CPU, PLAIN, check_that_resumed_equals_uninterrupted, tensors_of
from torch import Tensor, nn

from sincut.config.sections import Config, overlay
from sincut.errors import ConfigError
from sincut.method import registry
from sincut.method.loop import train
from sincut.method.registry import register_term
from sincut.method.term import Ingredients, Part, Progress, Seen, Term
from sincut.method.training import Training

Pictures = tuple[Tensor, Tensor]


@pytest.fixture(autouse=True)
def nothing_else_is_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "TERMS", {})
    monkeypatch.setattr(registry, "entry_points", lambda group: [])


class Likeness(Term):
    """Colours of the output as a network with a memory guesses them: trained, random, and with more than weights."""

    def __init__(self, weight: float, ingredients: Ingredients) -> None:
        self.weight, self.random = weight, ingredients.random
        self.guess = nn.Conv2d(3, 3, 1)
        self.guess.register_buffer("memory", torch.zeros(3))
        self.calls: list[Seen] = []
        self.guesses: list[Tensor] = []

    def parts(self, seen: Seen, progress: Progress) -> list[Part]:
        self.guesses.append(self.guess.weight.detach().clone())
        shift = torch.randn(3, generator=self.random)[:, None, None] + self.guess.get_buffer("memory")[:, None, None]
        return [Part("likeness", self.weight, (self.guess(seen.x) + 0.01 * shift - seen.fake).square().mean())]

    def after(self, seen: Seen) -> None:
        self.calls.append(seen)
        self.guesses.append(self.guess.weight.detach().clone())
        self.guess.get_buffer("memory").lerp_(seen.fake.detach().mean((0, 2, 3)), 0.5)

    def networks(self) -> dict[str, nn.Module]:
        return {"guess": self.guess}


def with_likeness(config: Config, weight: float = 0.5) -> Config:
    register_term("likeness", Likeness)
    return overlay(config, {"losses": {"own": {"likeness": weight}}})


def test_a_term_of_ones_own_is_part_of_the_step(tiny: Config, pictures: Pictures) -> None:
    training = Training(*pictures, with_likeness(tiny), PLAIN)
    (term,) = (term for term in training.cut.terms if isinstance(term, Likeness))
    losses = [training.step(0.002) for _ in range(3)]
    assert all("likeness" in values for values in losses) and training.parameter_counts()["guess"] == 12
    assert len(term.calls) == 3 and all(seen.fake.shape == (2, 3, 32, 32) for seen in term.calls)
    for before, after in zip(term.guesses[::2], term.guesses[1::2], strict=True):
        assert not torch.equal(before, after)  # `after` is called when the networks have been updated
    assert all(torch.equal(a, b) for a, b in zip(term.guesses[1:-1:2], term.guesses[2::2], strict=True))


def test_the_weight_of_a_term_of_ones_own_scales_its_gradient(tiny: Config, pictures: Pictures) -> None:
    trained = []
    for weight in (0.5, 1.0):
        config = with_likeness(tiny, weight)
        training = Training(*pictures, config, PLAIN)
        training.step(0.0)
        trained.append(training.cut.term_networks["guess"].get_parameter("weight").grad)
    assert trained[0] is not None and trained[1] is not None
    torch.testing.assert_close(2 * trained[0], trained[1])


def test_networks_of_a_term_are_averaged_saved_and_gone_on_with_bit_for_bit(tiny: Config, pictures: Pictures) -> None:
    config = overlay(with_likeness(tiny), {"schedule": {"steps": 6}})
    state = tensors_of(check_that_resumed_equals_uninterrupted(config, pictures, 3))
    names = {name.partition(".")[2] for name in state if name.startswith("guess.")}
    assert names == {"weight", "bias", "memory"}
    own, average = (state[f"{prefix}guess.weight"] for prefix in ("", "average_"))
    assert not torch.equal(own, average) and torch.allclose(own, average, atol=0.1)
    assert state["guess.memory"].any()


def test_an_ensemble_trains_terms_of_ones_own_anew(ensemble: Config, pictures: Pictures) -> None:
    made: list[Likeness] = []

    def make(weight: float, ingredients: Ingredients) -> Term:
        made.append(Likeness(weight, ingredients))
        return made[-1]

    register_term("likeness", make)
    config = overlay(ensemble, {"losses": {"own": {"likeness": 0.5}}})
    check_that_resumed_equals_uninterrupted(config, pictures, 6)
    assert [len(term.calls) for term in made[:2]] == [4, 4]  # the distillation does not ask them


TAKEN = (
    "projector",
    "generator",
    "average",
    "average_heads",
    "average_more",
    "discriminator",
    "balance",
    "adam",
    "a.b",
)


@pytest.mark.parametrize("name", TAKEN)
def test_a_network_has_a_name_of_its_own_in_a_checkpoint(name: str, tiny: Config, pictures: Pictures) -> None:
    class Named(Likeness):
        def networks(self) -> dict[str, nn.Module]:
            return {name: self.guess}

    register_term("likeness", Named)
    with pytest.raises(ValueError, match=rf"the loss term Named cannot be named '{name}'"):
        Training(*pictures, overlay(tiny, {"losses": {"own": {"likeness": 1.0}}}), PLAIN)


def test_two_terms_have_networks_of_two_names(tiny: Config, pictures: Pictures) -> None:
    config = overlay(with_likeness(tiny), {"losses": {"own": {"likeness": 0.5, "other": 1.0}}})
    register_term("other", Likeness)
    with pytest.raises(ValueError, match="cannot be named 'guess'"):
        Training(*pictures, config, PLAIN)


def test_a_name_is_given_once() -> None:
    register_term("likeness", Likeness)
    register_term("likeness", Likeness)  # as when its module is imported again
    with pytest.raises(ValueError, match="'likeness' already"):
        register_term("likeness", lambda weight, ingredients: Likeness(weight, ingredients))


def test_terms_that_a_package_names_are_found_without_an_import(
    tiny: Config, pictures: Pictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = EntryPoint("likeness", f"{__name__}:Likeness", "sincut.terms")
    monkeypatch.setattr(registry, "entry_points", lambda group: [installed] if group == "sincut.terms" else [])
    config = overlay(tiny, {"losses": {"own": {"likeness": 0.5}}})
    assert "likeness" in Training(*pictures, config, PLAIN).step(0.002)


def test_unknown_terms_name_the_nearest_that_is_registered_or_installed(
    tiny: Config, pictures: Pictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    register_term("likeness", Likeness)
    monkeypatch.setattr(registry, "entry_points", lambda group: [EntryPoint("contours", "nowhere:Contours", group)])
    for name, nearest in (("likenes", "likeness"), ("contour", "contours")):
        config = overlay(tiny, {"losses": {"own": {name: 1.0}}})
        with pytest.raises(ConfigError, match=rf"losses\.own\.{name}: no such loss term \(did you mean {nearest}\?\)"):
            train(*pictures, config, device=CPU)
    with pytest.raises(ConfigError, match=r"losses\.own\.zzz: no such loss term; import"):
        train(*pictures, overlay(tiny, {"losses": {"own": {"zzz": 1.0}}}), device=CPU)
