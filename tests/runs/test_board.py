"""TensorBoard's event files, read back: scalars, previews, settings; resumed runs have no step twice."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers import scene

import sincut
from sincut.config.sections import Config
from sincut.errors import Interrupted
from sincut.events import Progress
from sincut.runs import board


@pytest.mark.slow
def test_resumed_runs_go_on_in_the_same_board(tiny: Config, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    pictures = scene(72, 90, 1), scene(70, 80, 2)
    config = replace(tiny, schedule=replace(tiny.schedule, steps=12), output=replace(tiny.output, log_every=1))
    run, seen = tmp_path / "run", []
    first = board.Board(run)

    def listen(event: object) -> None:
        seen.append(event)
        first(event)  # type: ignore[arg-type]

    with pytest.raises(Interrupted):
        sincut.train(*pictures, run, config=config, on_event=listen, stop=lambda: len(seen) > 12)
    stopped = max(event.step for event in seen if isinstance(event, Progress))
    late = Progress(stopped + 1, 12, {"G": 99.0}, 0.1, 0.1, 1.0, 1.0)
    first(late)  # as of a process that was killed after its last checkpoint
    first.writer.flush()
    sincut.train(*pictures, run, resume=True, on_event=board.Board(run))

    read = EventAccumulator(str(run / "tensorboard"), size_guidance={"images": 0, "scalars": 0, "tensors": 0})
    read.Reload()
    losses = read.Scalars("loss/G")
    assert [entry.step for entry in losses] == list(range(1, 13))
    assert 99.0 not in [entry.value for entry in losses]
    assert {"learning rate", "step seconds", "loss/D", "loss/NCE"} <= set(read.Tags()["scalars"])
    assert read.Images("preview") and np.array([read.Images("preview")[0].width]) == 90
    assert "settings/text_summary" in read.Tags()["tensors"]
