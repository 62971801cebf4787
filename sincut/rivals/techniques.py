"""The techniques by their names, which are those of the algorithms behind `sincut train --method`."""

from sincut.rivals.gatys import Gatys
from sincut.rivals.strotss import Strotss
from sincut.rivals.technique import Technique
from sincut.rivals.wct2 import Wct2

TECHNIQUES: dict[str, type[Technique]] = {"gatys": Gatys, "strotss": Strotss, "wct2": Wct2}
