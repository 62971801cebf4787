"""A worker of a Ray cluster: the model in a process of its own, somewhere."""

import os
import tempfile
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from sincut import __version__
from sincut.batch import work
from sincut.batch.naming import Job
from sincut.batch.remote import place, stamp_of
from sincut.devices import available_memory, use_fast_kernels, used_memory
from sincut.errors import DamagedError, ImageError, RunError, SincutError
from sincut.events import ignore
from sincut.files import make_folder, write_whole
from sincut.model.model import MODEL_FILE
from sincut.pictures.writing import Saving
from sincut.translation.memory import MEMORY_SHARE
from sincut.translation.options import Options
from sincut.translation.translator import load


@dataclass(frozen=True)
class Outcome:
    """What a worker tells of one picture. `damaged` says that the source is at fault."""

    before: tuple[int, int]
    sha256: str
    pixels: int
    seconds: float
    notes: tuple[str, ...] = ()
    written: tuple[int, int] | None = None
    error: str = ""
    damaged: bool = False


class Worker:
    """The model in a process of its own, somewhere; while it translates one picture, others are read and written."""

    def __init__(
        self, model: bytes, mask: tuple[str, bytes] | None, options: Options, cpus: float, gpus: float
    ) -> None:
        torch.set_num_threads(max(1, int(cpus)))
        device = torch.device("cuda" if gpus else "cpu")
        use_fast_kernels(device)
        with tempfile.TemporaryDirectory(prefix="sincut-") as temporary:  # a worker that is killed leaves little behind
            weights = Path(temporary, MODEL_FILE)
            write_whole(weights, model, RunError)
            self.translator = load(weights, device)
        self.place = tempfile.TemporaryDirectory(prefix="sincut-")
        if mask is not None:
            options = replace(options, mask=Path(self.place.name, f"mask{mask[0]}"))
            assert options.mask is not None
            write_whole(options.mask, mask[1], RunError)
        if options.max_memory is None:  # what is free is shared with the other workers of this machine
            beside = max(1, (os.cpu_count() or 1) // max(1, int(cpus)))
            free = MEMORY_SHARE * available_memory(torch.device("cpu")) / beside
            options = replace(options, max_memory=round(used_memory() + free))
        self.options, self.turn = options, threading.Lock()

    def hello(self) -> str:
        """The version of sincut there."""
        return __version__

    def leave(self) -> None:
        """Remove the temporary files."""
        self.place.cleanup()

    def translate(self, source: str, target: str, saving: Saving) -> Outcome:
        job, began = Job(place(source), place(target)), time.monotonic()
        read = work.read(job, self.translator, self.options)
        known = read.before, read.sha256, read.pixels
        try:
            if read.error is not None:
                raise read.error
            make_folder(read.staged.target.parent, ImageError)
            if read.picture is None:
                with self.turn:
                    notes = work.apply_staged(read.staged, self.translator, self.options, saving, ignore)
            else:
                with self.turn:
                    picture = self.translator.apply_picture(read.picture, self.options)
                read = replace(read, picture=None)
                notes = work.save(picture, read.staged, saving)
            written = stamp_of(job.target)
        except (SincutError, MemoryError) as error:
            reason, damaged = work.reason_of(error, job, read.staged), isinstance(error, DamagedError)
            return Outcome(*known, time.monotonic() - began, error=reason, damaged=damaged)
        finally:
            read.staged.close()
        return Outcome(*known, time.monotonic() - began, notes, written)
