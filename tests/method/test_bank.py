"""The memory bank of PatchNCE: its queues, the momentum encoder, and what of both a step uses."""

import copy

import pytest
import torch
import torch.nn.functional as F
from helpers import PLAIN, SMALL_BANK, shrunk
from torch import Tensor

from sincut.config.resolve import resolve
from sincut.config.sections import Config, overlay
from sincut.errors import ConfigError
from sincut.method.bank import Bank, BankNce
from sincut.method.nce import rows_at
from sincut.method.training import Training
from sincut.nets.encoder import Encoder

Pictures = tuple[Tensor, Tensor]


def numbered(first: int, count: int) -> Tensor:
    """Keys (count, 2) that can be told apart."""
    return torch.arange(first, first + count).float()[:, None].expand(count, 2)


def begun(preset: str, pictures: Pictures, **losses: object) -> tuple[Training, BankNce]:
    """A training with a small bank and projected features of a size at which no two keys are the same by chance."""
    changes = {"losses": losses, "networks": {"features": 32}}
    training = Training(*pictures, overlay(overlay(shrunk(preset), SMALL_BANK), changes), PLAIN)
    term = training.cut.terms[0]
    assert isinstance(term, BankNce)
    return training, term


def test_a_queue_forgets_its_oldest_keys() -> None:
    bank = Bank(2, 5, 2)
    assert bank.of(0).shape == (0, 2)
    bank.push(0, numbered(1, 3))
    assert bank.of(0)[:, 0].tolist() == [1, 2, 3] and len(bank.of(1)) == 0
    bank.push(0, numbered(4, 3))
    assert sorted(bank.of(0)[:, 0].tolist()) == [2, 3, 4, 5, 6]
    bank.push(0, numbered(7, 5))
    bank.push(1, numbered(1, 1))
    assert sorted(bank.of(0)[:, 0].tolist()) == [7, 8, 9, 10, 11] and bank.of(1)[:, 0].tolist() == [1]


def test_a_checkpoint_holds_the_bank_as_it_is() -> None:
    bank, again = Bank(2, 5, 2), Bank(2, 5, 2)
    bank.push(0, numbered(1, 4))
    bank.push(0, numbered(5, 4))
    state = bank.state_dict()
    assert all(isinstance(value, Tensor) for value in state.values())
    assert state["keys"].shape == (2, 5, 2) and state["_extra_state"].tolist() == [8, 0]
    again.load_state_dict({name: value.clone() for name, value in state.items()})
    for each in (bank, again):
        each.push(0, numbered(9, 3))
        each.push(1, numbered(1, 2))
    assert torch.equal(bank.of(0), again.of(0)) and torch.equal(bank.of(1), again.of(1))


def test_the_published_bank_takes_84_megabytes_for_each_picture() -> None:
    config = resolve("external")
    losses = config.losses
    assert (losses.bank, losses.bank_step, losses.momentum) == (16_384, 256, 0.999)
    with torch.device("meta"):
        bank = Bank(len(losses.layers), losses.bank, config.networks.features)
    assert bank.keys.numel() * bank.keys.element_size() == 16_384 * 256 * 5 * 4 == 83_886_080
    with pytest.raises(ConfigError, match=r"losses\.bank_step=256 is above losses\.bank=100"):
        resolve("external", ["losses.bank=100"])


def test_keys_are_the_momentum_encoders_and_some_of_them_are_queued(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three steps of NCE of both pictures: each slot's new keys are some of those of its own picture and layer."""
    noise = torch.rand(2, 1, 3, 72, 90, generator=torch.Generator().manual_seed(0)) * 2 - 1  # no two patches are alike
    training, term = begun("external", (noise[0], noise[1]), patches=6, bank_step=7)
    crops: list[Tensor] = []
    places: list[Tensor] = []
    draw = term.keys

    def keys(inputs: Tensor, features: list[Tensor]) -> object:
        crops.append(inputs.detach())
        return draw(inputs, features)

    def positions(size: tuple[int, int], count: int, spread: bool, random: torch.Generator) -> Tensor:
        places.append(torch.randperm(size[0] * size[1], generator=random)[:count])
        return places[-1]

    monkeypatch.setattr(term, "keys", keys)
    monkeypatch.setattr("sincut.method.nce.random_positions", positions)
    layers = training.config.losses.layers
    for step in range(3):
        encoder, heads = copy.deepcopy(term.encoder), copy.deepcopy(term.key_projector)
        before = [term.bank.of(slot).clone() for slot in range(2 * len(layers))]
        training.step(0.002)
        for index, layer in enumerate(layers):
            for picture, x in enumerate(crops[-1].chunk(2)):
                want = F.normalize(heads.heads[index](rows_at(encoder(x)[layer], places[-len(layers) + index])), dim=1)
                slot = 2 * index + picture
                old, new = before[slot], term.bank.of(slot)
                assert len(want) == 12 and len(new) == min(20, 7 * (step + 1))
                fresh = torch.stack([row for row in new if not (row == old).all(1).any()])
                distances = (fresh[:, None] - want).abs().amax(2)
                assert len(fresh) == 7 and (distances.min(1).values < 1e-5).all()
                assert len(set(distances.argmin(1).tolist())) == 7


@pytest.mark.parametrize("preset", ["external", "standard+external"])
def test_the_momentum_encoder_follows_encoder_and_heads(preset: str, pictures: Pictures) -> None:
    training, term = begun(preset, pictures, momentum=0.9, guide=0.0)
    own = [*(p for part in term.generator.encoder_parts for p in part.parameters()), *term.projector.parameters()]
    averages = [*term.encoder.parameters(), *term.key_projector.parameters()]
    assert all(torch.equal(a, p) for a, p in zip(averages, own, strict=True))
    for _ in range(2):
        before = [p.clone() for p in averages]
        training.step(0.01)
        assert not any(p.requires_grad for p in averages)
        for a, b, p in zip(averages, before, own, strict=True):
            torch.testing.assert_close(a, 0.9 * b + 0.1 * p)


def test_what_a_term_keeps_is_saved_and_neither_trained_nor_counted_nor_averaged(pictures: Pictures) -> None:
    training, term = begun("external", pictures)
    names = {"bank", "momentum_encoder", "momentum_projector"}
    assert training.cut.kept.keys() == names and names <= training.cut.networks().keys()
    assert training.parameter_counts().keys() == {"generator", "discriminator", "projector"}
    trained = {p for optimiser in training.cut.descend.optimisers.values() for p in optimiser.param_groups[0]["params"]}
    assert not trained & {p for module in term.kept().values() for p in module.parameters()}
    state = training.state()
    assert {"bank.keys", "bank._extra_state", "momentum_projector.heads.0.0.weight"} <= state.keys()
    assert not any(name.startswith("average_") and name.split(".")[0] != "average_heads" for name in state)


def test_before_the_bank_holds_anything_external_negatives_say_nothing(pictures: Pictures) -> None:
    external, both = (
        begun(name, pictures)[0].step(0.002)["NCE"].item() for name in ("external", "internal-and-external")
    )
    config = overlay(shrunk("paper"), {"networks": {"features": 32}})
    plain = Training(*pictures, config, PLAIN).step(0.002)["NCE"].item()
    assert external == 0 and both == pytest.approx(plain, rel=1e-4)  # the momentum encoder still is G's


def test_an_encoder_alone_is_copied_with_its_weights_and_leaves_the_decoder(tiny: Config, pictures: Pictures) -> None:
    generator = Training(*pictures, tiny, PLAIN).cut.generator
    alone = Encoder.copy_of(generator)
    again = copy.deepcopy(alone)
    x = torch.randn(1, 3, 16, 16)
    for encoder in (alone, again):
        assert all(torch.equal(a, b) for a, b in zip(encoder(x), generator.encode(x), strict=True))
    for p in again.parameters():
        p.data.zero_()
    assert not again(x)[1].any() and torch.equal(alone(x)[1], generator.encode(x)[1])
    parts = sum(p.numel() for part in generator.encoder_parts for p in part.parameters())
    assert sum(p.numel() for p in alone.parameters()) == parts < sum(p.numel() for p in generator.parameters())
