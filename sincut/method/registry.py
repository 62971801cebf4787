"""The loss terms of a training: those of the settings, and those of your own, by name.

A package can register its terms when it is imported, or name them in its metadata as entry points of the group
`sincut.terms` (https://packaging.python.org/specifications/entry-points/), which are found without being imported.
"""

from collections.abc import Callable
from importlib.metadata import entry_points

from sincut.config.sections import Config
from sincut.config.values import nearest
from sincut.errors import ConfigError
from sincut.method.term import Ingredients, Term
from sincut.method.terms import Guide, Same

MakeTerm = Callable[[float, Ingredients], Term]  # from its weight and what there is to make it of

TERMS: dict[str, MakeTerm] = {}
ENTRY_POINTS = "sincut.terms"


def register_term(name: str, make: MakeTerm) -> None:
    """Make a loss term known, which `losses.own.NAME=WEIGHT` switches on. Raises ValueError where the name is taken."""
    if TERMS.setdefault(name, make) is not make:
        raise ValueError(f"there is a loss term {name!r} already; give this one another name")


def more_terms(ingredients: Ingredients) -> list[Term]:
    """The shipped loss terms besides PatchNCE that the settings switch on."""
    losses = ingredients.config.losses
    terms: list[Term] = [Same(losses.same)] if losses.same else []
    terms += [Guide(losses)] if losses.guide else []
    return terms


def own_terms(ingredients: Ingredients) -> list[Term]:
    """The user's own loss terms, which `losses.own` names. Raises `ConfigError` for one that nobody has registered."""
    makers = own_makers(ingredients.config)
    return [makers[name](weight, ingredients) for name, weight in ingredients.config.losses.own.items()]


def own_makers(config: Config) -> dict[str, MakeTerm]:
    """What makes the user's own loss terms, by name. Raises `ConfigError` as `own_terms`, before anything is made."""
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
