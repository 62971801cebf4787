"""Algorithms behind `sincut train`, by name: functions that learn a translator from two pictures.

`sincut` and `cyclegan` are `loop.train`, each with its method of `methods.py`. Another one takes the same arguments
(source and target, (1, 3, H, W) in [-1, 1], the settings, and by name `device`, `precision`, `on_event`, `stop`,
`started`, `state` and `provenance`), sends the same events, and returns a `Model`, or one of another kind
(`model/kinds.py`), whose loader it registers. If its settings ask for exemplars (`synthesis.exemplar`), `exemplars_of`
makes them. To the provenance of its models it adds how far it is, as `Loop.provenance` does. It is registered in Python
and chosen by the setting `method.algorithm`. One that is registered with `sets` gets a tuple of pictures for a side
that has several. Those of `rivals/` are `learning.train`.
"""

import math
from collections.abc import Callable

from sincut.config.sections import Config
from sincut.config.values import nearest
from sincut.errors import ConfigError
from sincut.method.crops import check_size
from sincut.method.loop import train
from sincut.method.methods import METHODS
from sincut.model.kinds import AnyModel
from sincut.rivals import learning
from sincut.rivals.techniques import TECHNIQUES

Algorithm = Callable[..., AnyModel]

ALGORITHMS: dict[str, Algorithm] = {**dict.fromkeys(METHODS, train), **dict.fromkeys(TECHNIQUES, learning.train)}
OF_SETS = set(METHODS)  # names of those that learn from several pictures of a side


def register_algorithm(name: str, learn: Algorithm, sets: bool = False) -> None:
    """Register an algorithm, which `method.algorithm=NAME` chooses; with `sets` it takes several pictures of a side.

    Raises ValueError if the name is taken.
    """
    if ALGORITHMS.setdefault(name, learn) is not learn:
        raise ValueError(f"there is an algorithm {name!r} already; give this one another name")
    if sets:
        OF_SETS.add(name)


def check_sets(config: Config) -> None:
    """Raise `ConfigError` if the algorithm of the settings learns from one picture of each side only."""
    name = config.method.algorithm
    if name not in OF_SETS:
        raise ConfigError(f"method.algorithm={name}: learns from one painting and one photo; give one of each")


def check_picture(name: str, size: tuple[int, int], config: Config) -> None:
    """Raise `ImageError`, with the remedy, if a picture (H, W) is too small for the crops that the algorithm takes.

    Those of `rivals/` take none, and any picture will do. `name` is the picture's in the message.
    """
    if config.method.algorithm not in TECHNIQUES:
        check_size(name, *size, config.crops)


def check_more(config: Config, more: float) -> None:
    """Raise `ConfigError` if a training cannot go on for `more` minutes, as none of its algorithm can."""
    name = config.method.algorithm
    if not 0 < more < math.inf:
        raise ConfigError(f"more {more:g}: must be a number of minutes above 0")
    if ALGORITHMS.get(name) is not train:
        raise ConfigError(f"method.algorithm={name}: it has no steps that more minutes could go on with")


def algorithm(config: Config) -> Algorithm:
    """The algorithm that the settings choose.

    Raises `ConfigError` for a name that is not registered, and what `rivals.learning.check` raises.
    """
    name = config.method.algorithm
    if name not in ALGORITHMS:
        remedy = "import the module that registers it first"
        raise ConfigError(f"method.algorithm={name}: is not registered{nearest(name, ALGORITHMS)}; {remedy}")
    if name in TECHNIQUES:
        learning.check(config)
    return ALGORITHMS[name]
