"""Steps recorded as CUDA graphs: on a GPU the kernels of a step take less time than launching them one by one.

A step of `standard` is some 2,800 kernels. Recorded once, they are launched together
(https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs). What is recorded computes with the same memory each
time, so what changes from step to step is copied there before: the crops, the learning rate, and what the step draws by
`Draws`.
"""

import logging
from collections import Counter
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from sincut.method.term import Draws, Make, Progress

EAGER_STEPS = 2  # of each kind before one is recorded: in these, kernels are chosen and optimisers make their moments

Losses = dict[str, Tensor]
Key = tuple[Hashable, torch.Size, torch.Size]  # the kind of a step, and the shapes of both pictures' crops
Record = Callable[[Callable[[], Losses]], tuple[Losses, Callable[[], None]]]  # what the work returned, and its replay


class Batch(NamedTuple):
    """The crops of a step: of the source, of the target, and of the pictures aligned to the source, (N, 3, s, s)."""

    x: Tensor
    y: Tensor
    aligned: Mapping[str, Tensor]


Update = Callable[[Batch, "float | Tensor", Progress], Losses]


@dataclass
class _Recording:
    """A recorded update: the memory that it reads, what it returned, and what does it again."""

    crops: Batch
    rate: Tensor
    makes: list[Make]
    drawn: list[Tensor]
    losses: Losses
    replay: Callable[[], None]

    def fill(self, crops: Batch, rate: float, progress: Progress) -> None:
        _copy(crops, self.crops)
        self.rate.fill_(rate)
        for make, memory in zip(self.makes, self.drawn, strict=True):
            memory.copy_(make(progress))


class Replayed:
    """An `update` of G, D and H that is recorded at the third step of each kind, and from then on replayed.

    Steps are of one kind if they do the same work: crops of equal number and size, with or without R1. Where recording
    fails, steps stay as they were.
    """

    def __init__(self, update: Update, draws: Draws, recorder: "Callable[[], Record] | None" = None) -> None:
        """`draws` are those by which `update` draws. `recorder` makes what records; by default CUDA graphs."""
        self.update, self.draws, self.recorder = update, draws, recorder or CudaGraphs
        self.record = self.recorder()
        self.eager, self.recordings = Counter[Key](), dict[Key, _Recording]()
        self.works = True

    def __call__(self, crops: Batch, rate: float, progress: Progress, kind: Hashable) -> Losses:
        """The losses by name, scalars, of one update with crops at a learning rate; `kind` is that of the step."""
        key = kind, crops.x.shape, crops.y.shape
        if key in self.recordings:
            recording = self.recordings[key]
            recording.fill(crops, rate, progress)
            recording.replay()
            return {name: loss.clone() for name, loss in recording.losses.items()}
        if not self.works or self.eager[key] < EAGER_STEPS:
            self.eager[key] += 1
            return self.update(crops, rate, progress)
        if any(other[1:] != key[1:] for other in self.recordings):  # crops are of another number now
            self.forget()
        return self._recorded(key, crops, rate, progress)

    def forget(self) -> None:
        """Record anew: the memory of networks or optimisers is another one, or other crops need it."""
        self.recordings.clear()
        self.record = self.recorder()  # memory that recordings shared goes with the last of them

    def _recorded(self, key: Key, crops: Batch, rate: float, progress: Progress) -> Losses:
        """One update whose draws are watched; with the same draws it is recorded, which changes nothing more."""
        with self.draws.watching() as watched:
            losses = self.update(crops, rate, progress)
        makes, drawn = [make for make, _ in watched], [value.clone() for _, value in watched]
        aligned = {name: value.clone() for name, value in crops.aligned.items()}
        memory = Batch(crops.x.clone(), crops.y.clone(), aligned)
        rate_memory = torch.tensor(rate, device=crops.x.device)
        try:
            with self.draws.giving(drawn):
                static, replay = self.record(lambda: self.update(memory, rate_memory, progress))
        except RuntimeError as error:
            self.works = False
            logging.getLogger(__name__).warning(
                "a step cannot be recorded as a CUDA graph, so steps are slower: %s", error
            )
            return losses
        self.recordings[key] = _Recording(memory, rate_memory, makes, drawn, static, replay)
        return losses


class CudaGraphs:
    """Records work as CUDA graphs, which share their memory: no two are at work at once."""

    def __init__(self) -> None:
        self.pool = torch.cuda.graph_pool_handle()

    def __call__(self, work: Callable[[], Losses]) -> tuple[Losses, Callable[[], None]]:
        """What the work returned, whose values come with the first replay; and the replay."""
        graph = torch.cuda.CUDAGraph()
        torch.cuda.synchronize()
        with torch.cuda.graph(graph, pool=self.pool, capture_error_mode="thread_local"):
            losses = work()
        return losses, graph.replay


def _copy(crops: Batch, memory: Batch) -> None:
    memory.x.copy_(crops.x)
    memory.y.copy_(crops.y)
    for name, value in crops.aligned.items():
        memory.aligned[name].copy_(value)
