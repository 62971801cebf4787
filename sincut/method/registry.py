"""Loss terms besides PatchNCE: those that ship with sincut, by their settings, and your own, by registered names.

A package registers its terms when it is imported, or names them in its metadata as entry points of the group
`sincut.terms` (https://packaging.python.org/specifications/entry-points/), which are found without importing it first.
`examples/own_loss.py` is an example.
"""

from collections.abc import Callable
from importlib.metadata import entry_points

from sincut.config.sections import Config
from sincut.config.values import nearest
from sincut.errors import ConfigError
from sincut.method.bank import BankNce
from sincut.method.constraints import constraints
from sincut.method.nce import PatchNce
from sincut.method.sides import Sides
from sincut.method.term import Ingredients, Term
from sincut.method.terms import Guide, Same

MakeTerm = Callable[[float, Ingredients], Term]  # a term's class or factory, called with its weight

TERMS: dict[str, MakeTerm] = {}  # registered terms by name
ENTRY_POINTS = "sincut.terms"


def register_term(name: str, make: MakeTerm) -> None:
    """Register a loss term, which the setting `losses.own.NAME=WEIGHT` switches on.

    Raises ValueError if the name is taken.
    """
    if TERMS.setdefault(name, make) is not make:
        raise ValueError(f"there is a loss term {name!r} already; give this one another name")


def shipped_terms(ingredients: Ingredients, sides: Sides) -> list[Term]:
    """PatchNCE and the terms of `terms.py` and `constraints.py`, of those whose weight in the settings is above 0."""
    losses = ingredients.config.losses
    nce = PatchNce if losses.negatives == "internal" else BankNce
    terms: list[Term] = [nce(ingredients)] if losses.nce else []
    terms += [Same(losses.same)] if losses.same else []
    terms += [Guide(losses)] if losses.guide else []
    return terms + constraints(ingredients, sides)


def own_terms(ingredients: Ingredients) -> list[Term]:
    """The registered loss terms that `losses.own` names. Raises `ConfigError` for a name that is not registered."""
    makers = own_makers(ingredients.config)
    return [makers[name](weight, ingredients) for name, weight in ingredients.config.losses.own.items()]


def own_makers(config: Config) -> dict[str, MakeTerm]:
    """The factories of the terms that `losses.own` names, by name. Raises `ConfigError` for one not registered."""
    return {name: _maker(name) for name in config.losses.own}


def _maker(name: str) -> MakeTerm:
    if name in TERMS:
        return TERMS[name]
    installed = {point.name: point for point in entry_points(group=ENTRY_POINTS)}
    if name not in installed:
        near = nearest(name, [*TERMS, *installed])
        raise ConfigError(f"losses.own.{name}: no such loss term{near}; import the module that registers it first")
    make: MakeTerm = installed[name].load()
    return make
