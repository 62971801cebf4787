"""One `sincut apply` from its plans to its result: every model on every input, here or on a Ray cluster."""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from sincut.batch import driver, pipe
from sincut.batch.naming import Job
from sincut.batch.plan import Memory, Plan, forecast, make_plans
from sincut.batch.ray_ import Pool, joined
from sincut.batch.remote import AnyPath
from sincut.batch.tally import Result, tell
from sincut.batch.watch import arrivals
from sincut.errors import Interrupted, RunError, counted, listed
from sincut.events import Listener, ignore
from sincut.pictures.writing import AS_IT_CAME, Saving
from sincut.translation.options import PLAIN, Options
from sincut.translation.translator import Translator, load


@dataclass(frozen=True)
class Batch:
    """Models, inputs, output and format as in `naming.Naming` (None: inputs are replaced), how translations are made.

    `filters` are keywords of `make_plans`. With a `pool`, its workers translate, else this process.
    """

    models: Sequence[Path]
    inputs: Sequence[AnyPath]
    output: AnyPath | None
    options: Options = PLAIN
    saving: Saving = AS_IT_CAME
    format_: str | None = None
    filters: Mapping[str, Any] = field(default_factory=dict)
    pool: Pool | None = None
    memory: Memory = field(default_factory=Memory)  # of earlier plans
    is_folder: bool = False  # the output is one, whatever its name

    def plans(self, arrived: set[Path] | None = None) -> list[tuple[Path, Plan]]:
        """A plan for each model; with `arrived`, of these files alone. Raises what `make_plans` does."""
        return make_plans(
            self.models, self.inputs, self.output, self.options, self.saving,
            format_=self.format_, is_folder=self.is_folder, arrived=arrived, memory=self.memory, **self.filters,
        )  # fmt: skip

    def forecast(
        self, plans: Sequence[tuple[Path, Plan]], device: torch.device, on_event: Listener = ignore
    ) -> list[dict[str, Any]]:
        """Each plan in figures, as `plan.forecast` gives them, with the name of its model."""
        for _, plan in plans:
            tell(plan, on_event)
        return [{"model": str(model), **forecast(plan, load(model, device), self.options)} for model, plan in plans]

    def run(
        self,
        plans: Sequence[tuple[Path, Plan]],
        device: torch.device,
        on_event: Listener = ignore,
        stop: Callable[[], bool] = lambda: False,
        watch: bool = False,
    ) -> Result:
        """Carry out the plans, and with `watch` then those of pictures that arrive, until `stop()`."""
        translators = {model: load(model, device) for model in self.models}
        result = Result()

        def carry_out(plans: Sequence[tuple[Path, Plan]]) -> None:
            for model, plan in plans:
                result.add(plan, *self._translate(plan, model, translators[model], on_event, stop))

        with contextlib.ExitStack() as stack:
            if self.pool is not None and (watch or any(plan.jobs for _, plan in plans)):
                stack.enter_context(joined(self.pool))
            carry_out(plans)
            if watch and not stop():
                for arrived in arrivals(self.inputs, stop):
                    carry_out(self.plans(arrived))
        return result

    def _translate(
        self, plan: Plan, model: Path, translator: Translator, on_event: Listener, stop: Callable[[], bool]
    ) -> tuple[list[Job], list[tuple[Job, str]]]:
        if self.pool is None:
            return pipe.run(plan, translator, self.options, self.saving, on_event, stop)
        return driver.run(plan, model, self.pool, self.options, self.saving, on_event, stop)


def check(result: Result, watched: bool = False) -> None:
    """Raise `Interrupted` where pictures are left to do, or they were `watched` for; `RunError` where some failed."""
    done, failed = len(result.done), [str(job.source) for job, _ in result.failed]
    unread = [str(path) for path in result.unread]
    if watched:
        written = counted(done, "picture is", "pictures are")
        raise Interrupted(f"stopped watching; {written} written; the same command goes on")
    if result.left:
        raise Interrupted(f"stopped; {done} of {result.jobs} are written; the same command goes on with the rest")
    if failed and result.jobs == 1 and not unread:
        raise RunError(result.failed[0][1])
    if failed or unread:
        said = [f"{len(failed)} of {counted(result.jobs, 'picture')} failed"] if failed else []
        inputs = counted(len(unread), "input or folder", "inputs or folders")
        said += [f"{inputs} cannot be read"] if unread else []
        raise RunError(f"{', and '.join(said)}, see above: {listed(failed + unread)}")
    if result.failed_before:
        one = len(result.failed_before) == 1
        said = [f"{counted(len(result.failed_before), 'picture')} failed before and {'is' if one else 'are'}"]
        said += [f"as {'it was' if one else 'they were'}; --retry-failed tries {'it' if one else 'them'} again"]
        raise RunError(" ".join(said))
