"""The methods that ship: classes of networks, losses and their step, by the names of `method.algorithm`."""

from sincut.method.cyclegan import CycleGan
from sincut.method.step import Cut

METHODS: dict[str, type[Cut]] = {"sincut": Cut, "cyclegan": CycleGan}
