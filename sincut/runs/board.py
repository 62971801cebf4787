"""The board of a run: its events as files that TensorBoard shows (https://www.tensorflow.org/tensorboard).

It needs the extra `sincut[tensorboard]`. The files lie in `tensorboard/` of the run folder. A resumed run goes on
there; what was written of steps that are done again is purged.
"""

from pathlib import Path
from typing import Any

from sincut.config.sections import Config
from sincut.errors import RunError
from sincut.events import Checkpoint, Evaluated, Event, Planned, Preview, Progress, Saved, Started, Trained
from sincut.pictures import reading
from sincut.pictures.picture import eight_bit

FOLDER = "tensorboard"


class Board:
    """A listener that writes scalars, previews and settings. Raises `RunError` if the extra is missing."""

    def __init__(self, run: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise RunError("--tensorboard needs an extra: pip install 'sincut[tensorboard]'") from None
        self.make_writer, self.folder = SummaryWriter, run / FOLDER
        self.writer: Any = None  # a SummaryWriter from `Started` on
        self.preview_step = 0
        self.settings_told = False

    def __call__(self, event: Event) -> None:
        if isinstance(event, Started):
            self.settings_told = False
            purge = event.step + 1 if event.step else 0
            self.writer = self.make_writer(str(self.folder), purge_step=purge)  # type: ignore[no-untyped-call]
        if self.writer is not None:
            self._write(event)

    def _write(self, event: Event) -> None:
        if isinstance(event, Preview | Checkpoint) and not self.settings_told:
            self._tell_settings(event.model.config)
        if isinstance(event, Progress):
            losses = {f"loss/{name}": value for name, value in event.losses.items()}
            pace = {"learning rate": event.learning_rate, "step seconds": event.step_seconds}
            self._scalars({**losses, **pace}, event.step)
        elif isinstance(event, Planned):
            self._scalars({"planned steps": event.steps}, event.step)
        elif isinstance(event, Evaluated):
            self._scalars({f"figure/{name}": value for name, value in event.figures.items()}, event.step)
        elif isinstance(event, Preview):
            self.preview_step = event.step
        elif isinstance(event, Saved):
            if event.kind == "preview":
                pixels = eight_bit(reading.load(event.path).pixels)
                self.writer.add_image("preview", pixels, self.preview_step, dataformats="HWC")
            self.writer.flush()
        elif isinstance(event, Trained):
            self.writer.close()

    def _scalars(self, values: dict[str, float], step: int) -> None:
        for name, value in values.items():
            self.writer.add_scalar(name, value, step)

    def _tell_settings(self, config: Config) -> None:
        """Write the settings as a text, and as hyperparameters into the same folder: `add_hparams` makes another."""
        from torch.utils.tensorboard.summary import hparams

        self.settings_told = True
        self.writer.add_text("settings", "".join(f"    {line}\n" for line in config.to_toml().splitlines()), 0)
        flat = {
            f"{section}.{key}": value if isinstance(value, int | float | str | bool) else str(value)
            for section, settings in config.to_dict().items()
            for key, value in settings.items()
        }
        for summary in hparams(flat, {"loss/NCE": 0.0}):  # type: ignore[no-untyped-call]
            self.writer.file_writer.add_summary(summary)
