"""Loss terms besides PatchNCE: the identity loss on the target, and the distance to the coarse guide."""

from sincut.config.sections import Losses
from sincut.method.losses import coarse_squared, mean_absolute
from sincut.method.term import Part, Progress, Seen, Term


class Same(Term):
    """The identity loss |G(y) - y|_1 of the published code: G should leave the target as it is."""

    needs_same, repeats = True, True

    def __init__(self, weight: float) -> None:
        self.weight = weight

    def parts(self, seen: Seen, progress: Progress) -> list[Part]:
        """The loss `same`, a mean over pixels and channels."""
        return [Part("same", self.weight, mean_absolute(seen.same, seen.y))]


class Guide(Term):
    """Mean squared distance of the translation to the coarse guide, with a weight that falls (ours, see `guide.py`)."""

    def __init__(self, losses: Losses) -> None:
        self.weight, self.until, self.end = losses.guide, losses.guide_until, losses.guide_end
        self.repeats = self.end > 0

    def share(self, progress: Progress) -> float:
        """Share of the weight `losses.guide` in this step, in 0..1.

        It falls linearly from 1 at the phase's start to `guide_end` after the share `guide_until` of its steps, then it
        is constant. It is 1 as long as the phase's length is not known.
        """
        if not progress.length:
            return 1.0
        fallen = min(1.0, progress.done / max(1.0, self.until * progress.length))
        return 1 - fallen * (1 - self.end)

    def parts(self, seen: Seen, progress: Progress) -> list[Part]:
        """The loss `guide`, between means over cells of 8 x 8 px; none where its share of the weight is 0."""
        if not self.share(progress):
            return []
        weight = self.draws.number(lambda now: self.weight * self.share(now), seen.fake.device)
        return [Part("guide", weight, coarse_squared(seen.fake, seen.aligned["guide"]))]
