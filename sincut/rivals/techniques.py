"""The techniques by their names, which are those of the algorithms behind `sincut train --method`."""

from sincut.rivals.gatys import Gatys
from sincut.rivals.technique import Technique

TECHNIQUES: dict[str, type[Technique]] = {"gatys": Gatys}
