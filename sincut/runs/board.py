"""Events as TensorBoard shows them: `--tensorboard`, the extra `sincut[tensorboard]` (https://tensorboard.dev).

Event files stand in `tensorboard/` of the run folder. A run that is resumed goes on there: what was written of steps
that are done again is purged.
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
    """A listener that writes scalars, previews and settings. Raises `RunError` where the extra is missing."""

    def __init__(self, run: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise RunError("--tensorboard needs an extra: pip install 'sincut[tensorboard]'") from None
        self.make_writer, self.folder = SummaryWriter, run / FOLDER
        self.writer: Any = None
        self.preview_step = 0
        self.told = False

    def __call__(self, event: Event) -> None:
        if isinstance(event, Started):
            self.told = False
            purge = event.step + 1 if event.step else 0
            self.writer = self.make_writer(str(self.folder), purge_step=purge)  # type: ignore[no-untyped-call]
        if self.writer is None:
            return
        if isinstance(event, Preview | Checkpoint) and not self.told:
            self._tell_settings(event.model.config)
        if isinstance(event, Progress):
            scalars = {f"loss/{name}": value for name, value in event.losses.items()}
            scalars |= {"learning rate": event.learning_rate, "step seconds": event.step_seconds}
            self._scalars(scalars, event.step)
        if isinstance(event, Planned):
            self._scalars({"planned steps": event.steps}, event.step)
        if isinstance(event, Evaluated):
            self._scalars({f"figure/{name}": value for name, value in event.figures.items()}, event.step)
        if isinstance(event, Preview):
            self.preview_step = event.step
        if isinstance(event, Saved) and event.kind == "preview":
            pixels = eight_bit(reading.load(event.path).pixels)
            self.writer.add_image("preview", pixels, self.preview_step, dataformats="HWC")
        if isinstance(event, Saved | Trained):
            self.writer.flush()
        if isinstance(event, Trained):
            self.writer.close()

    def _scalars(self, values: dict[str, float], step: int) -> None:
        for name, value in values.items():
            self.writer.add_scalar(name, value, step)

    def _tell_settings(self, config: Config) -> None:
        """As text, and as hyperparameters of the run, in the same folder; `add_hparams` would make another one."""
        from torch.utils.tensorboard.summary import hparams

        self.told = True
        self.writer.add_text("settings", "".join(f"    {line}\n" for line in config.to_toml().splitlines()), 0)
        flat = {
            f"{section}.{key}": value if isinstance(value, int | float | str | bool) else str(value)
            for section, settings in config.to_dict().items()
            for key, value in settings.items()
        }
        for summary in hparams(flat, {"loss/NCE": 0.0}):  # type: ignore[no-untyped-call]
            self.writer.file_writer.add_summary(summary)
