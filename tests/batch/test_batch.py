"""A command's batch from its plans to its result."""

from pathlib import Path

import pytest
import torch
from helpers import lines_of, make_model
from PIL import Image

from sincut.batch.batch import Batch, check
from sincut.batch.naming import Job
from sincut.batch.tally import Result
from sincut.config.sections import Config
from sincut.errors import Interrupted, RunError, SincutError

CPU = torch.device("cpu")
JOBS = [Job(Path(f"{number}.png"), Path("out", f"{number}.png")) for number in range(30)]


def test_every_model_translates_every_input_once(tree: Path, tmp_path: Path, tiny: Config) -> None:
    models = [tmp_path / f"{name}.safetensors" for name in ("one", "two")]
    for seed, model in enumerate(models):
        make_model(tiny, seed).save(model)
    (tree / "bad.png").write_bytes(b"no picture")
    batch = Batch(models, [tree], tmp_path / "{model}", filters={"exclude": ["*.gif"]})
    plans = batch.plans()
    forecasts = batch.forecast(plans, CPU)
    assert [(row["model"], row["to do"]) for row in forecasts] == [(str(model), 4) for model in models]
    result = batch.run(plans, CPU)
    assert (len(result.done), len(result.failed), result.left) == (6, 2, 0)
    assert len(lines_of(tmp_path / "one")) == len(lines_of(tmp_path / "two")) == 4
    assert (tmp_path / "one" / "a.jpg").read_bytes() != (tmp_path / "two" / "a.jpg").read_bytes()
    again = batch.run(batch.plans(), CPU)
    assert not again.jobs and (len(again.skipped), len(again.failed_before)) == (6, 2)
    Image.new("RGB", (24, 20)).save(tree / "bad.png")
    assert [plan.jobs[0].source.name for _, plan in batch.plans()] == ["bad.png"] * 2


@pytest.mark.parametrize(
    ("result", "watched", "kind", "words"),
    [
        (Result(done=JOBS[:1], jobs=1), True, Interrupted, "stopped watching; 1 picture is written"),
        (Result(done=JOBS[:1], jobs=3), False, Interrupted, "stopped; 1 of 3 are written"),
        (Result(failed=[(JOBS[0], "0.png: is empty")], jobs=1), False, RunError, "^0.png: is empty$"),
        (Result(failed=[(job, "") for job in JOBS], jobs=30), False, RunError, "30 of 30 .*19.png and 10 more$"),
        (Result(failed_before=JOBS[:2]), False, RunError, "2 pictures failed before .*--retry-failed tries them again"),
        (Result(failed_before=JOBS[:1]), False, RunError, "^1 picture failed before and is .*--retry-failed tries it"),
        (Result(done=JOBS, jobs=30, unread={Path("a"): ""}), False, RunError, "^1 input or folder cannot be read, see"),
    ],
)
def test_a_result_that_is_not_all_done_is_told(
    result: Result, watched: bool, kind: type[SincutError], words: str
) -> None:
    with pytest.raises(kind, match=words):
        check(result, watched)


def test_a_result_that_is_all_done_says_nothing() -> None:
    check(Result(done=JOBS, skipped=JOBS, jobs=len(JOBS)))
