"""A loss term of your own, registered from outside the package: light and dark stay where the source has them.

    python examples/own_loss.py painting.jpg photo.jpg runs/own

trains the preset `quick` with it and leaves a run folder as `sincut train` does.
"""

import sys

import sincut
from sincut.method.losses import coarse_squared
from sincut.method.registry import register_term
from sincut.method.term import Ingredients, Part, Progress, Seen, Term


class KeepLight(Term):
    """Mean square of the change of coarse lightness (cells of 8 px) from the source's crops to their translations."""

    def __init__(self, weight: float, ingredients: Ingredients) -> None:
        self.weight = weight

    def parts(self, seen: Seen, progress: Progress) -> list[Part]:
        before, after = (crops.float().mean(1, keepdim=True) for crops in (seen.x, seen.fake))  # (N, 1, s, s)
        return [Part("light", self.weight, coarse_squared(after, before))]


register_term("light", KeepLight)

if __name__ == "__main__":
    painting, photo, run = sys.argv[1:]
    sincut.train(painting, photo, run, config=sincut.resolve("quick", ["losses.own.light=20"]))
