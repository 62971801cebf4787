"""A worker of a Ray cluster: the model in a process of its own, somewhere."""

import os
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path

import torch

from sincut import __version__
from sincut.batch import work
from sincut.batch.naming import Job
from sincut.batch.remote import place, stamp_of
from sincut.batch.work import Outcome
from sincut.devices import available_memory, used_memory, within_memory
from sincut.errors import ImageError, RunError, SincutError
from sincut.events import ignore
from sincut.files import make_folder, write_whole
from sincut.model.file import MODEL_FILE
from sincut.pictures.writing import Saving
from sincut.translation.memory import MEMORY_SHARE
from sincut.translation.options import Options
from sincut.translation.translator import load


class Worker:
    """The model in a process of its own, on some machine; while it translates one picture, others are read and written.

    `model` and `mask` (its name and bytes) are sent along, `options` without the mask. Raises `RunError` or
    `ModelError` where they cannot be used.
    """

    def __init__(
        self, model: bytes, mask: tuple[str, bytes] | None, options: Options, cpus: float, gpus: float
    ) -> None:
        torch.set_num_threads(max(1, int(cpus)))
        device = torch.device("cuda" if gpus else "cpu")
        with tempfile.TemporaryDirectory(prefix="sincut-") as temporary:  # a worker that is killed leaves little behind
            weights = Path(temporary, MODEL_FILE)
            write_whole(weights, model, RunError)
            self.translator = load(weights, device)
        self.place = tempfile.TemporaryDirectory(prefix="sincut-")
        if mask is not None:
            self.mask_name, data = mask
            options = replace(options, mask=Path(self.place.name, f"mask{Path(self.mask_name).suffix}"))
            assert options.mask is not None
            write_whole(options.mask, data, RunError)
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
        """Do one picture, whatever becomes of it; errors are in the outcome."""
        began = time.monotonic()
        read = work.read(Job(place(source), place(target)), self.translator, self.options)
        try:
            notes = self._write(read, saving)
            written = stamp_of(read.staged.given[1])
        except (SincutError, MemoryError) as error:
            outcome = read.failure(error, time.monotonic() - began)
            return replace(outcome, error=self._told(outcome.error))
        finally:
            read.staged.close()
        return read.outcome(time.monotonic() - began, notes, written)

    def _write(self, read: work.Read, saving: Saving) -> tuple[str, ...]:
        """Translate a picture that was read into its place; the notes on it. Raises `ImageError`."""
        if read.error is not None:
            raise read.error
        saving = read.signed(saving)
        make_folder(read.staged.target.parent, ImageError)
        with self.turn:
            if read.picture is None:
                return work.apply_staged(read.staged, self.translator, self.options, saving, ignore)
            with within_memory():
                picture = self.translator.apply_picture(read.picture, self.options)
        return work.save(picture, read.staged, saving)

    def _told(self, text: str) -> str:
        """A message with the mask's own name instead of that of its copy."""
        return text.replace(str(self.options.mask), self.mask_name) if self.options.mask else text
