"""Loss terms besides PatchNCE: the target that should stay as it is, and the coarse guide."""

from sincut.config.sections import Losses
from sincut.method.losses import coarse_squared, mean_absolute
from sincut.method.term import Part, Progress, Seen, Term


class Same(Term):
    """|G(y) - y|: the target should stay as it is (the published code's identity loss)."""

    needs_same = True

    def __init__(self, weight: float) -> None:
        self.weight = weight

    def parts(self, seen: Seen, progress: Progress) -> list[Part]:
        return [Part("same", self.weight, mean_absolute(seen.same, seen.y))]


class Guide(Term):
    """Distance of the translation to the coarse guide; its weight falls with the steps (ours, see `guide.py`)."""

    def __init__(self, losses: Losses) -> None:
        self.weight, self.until, self.end = losses.guide, losses.guide_until, losses.guide_end

    def share(self, progress: Progress) -> float:
        """Share of the weight: from 1 linearly to `guide_end` at `guide_until` of the phase, then constant."""
        if not progress.length:
            return 1.0
        fallen = min(1.0, progress.done / max(1.0, self.until * progress.length))
        return 1 - fallen * (1 - self.end)

    def parts(self, seen: Seen, progress: Progress) -> list[Part]:
        share = self.share(progress)
        if not share:
            return []
        return [Part("guide", self.weight * share, coarse_squared(seen.fake, seen.aligned["guide"]))]
