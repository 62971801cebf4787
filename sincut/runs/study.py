"""A study: several presets trained on two pictures, each with several seeds, and what they make of the source compared.

Its folder holds a run folder for each training, the translations of the source in `pictures/`, and the results as
`study.html`, `study.csv` and `study.json`. Each training is a process of its own. What is finished is not trained, nor
measured, again; what was interrupted goes on; what fails is a row with its line.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from sincut import __version__
from sincut.config.resolve import override, schedule_flags
from sincut.errors import Interrupted, ModelError, RunError, SincutError
from sincut.files import locked, make_folder, read_whole, sha256, write_whole
from sincut.model.file import MODEL_FILE
from sincut.model.provenance import numbers
from sincut.pictures import writing
from sincut.pictures.writing import Saving
from sincut.report import measures
from sincut.report.history import History, parsed
from sincut.report.study_page import StudyPage, telling_part
from sincut.report.study_table import Row, Table
from sincut.runs import pairs
from sincut.runs.lineup import Lineup
from sincut.runs.results import Judge, costs
from sincut.runs.table import FAILED, STOPPED, TRAINED, Outcome, Pair

PAGE_FILE, CSV_FILE, JSON_FILE = "study.html", "study.csv", "study.json"
MEASURED_FILE = "measured.json"  # in a run folder: what was measured of it, and by what
PICTURES = "pictures"
WAITING = "waiting"  # for its turn
PARTS = ("source", "target")
WITHOUT_INCEPTION = "not measured, for want of torchvision's Inception weights; sincut evaluate says where they belong"
WITHOUT_METADATA = Saving(strip=True)  # pages are passed on; places and names of cameras are not


class Study:
    """A study in its folder, of these two pictures. `truth`, of the source's size, is what the translations should be.

    Figures are of the pictures as users get them, or with `fast` of what G alone gives. Raises `ImageError` for
    pictures that cannot be read or a truth of another size, and `RunError` if the folder holds trainings of other
    pictures or settings.
    """

    def __init__(
        self,
        painting: Path,
        photo: Path,
        folder: Path,
        lineup: Lineup,
        *,
        seeds: Sequence[int] = (0, 1),
        reverse: bool = False,
        truth: Path | None = None,
        device: str = "cpu",
        fast: bool = False,
    ) -> None:
        self.folder, self.lineup, self.device = folder, lineup, device
        self.judge = Judge.load(painting, photo, reverse, truth, device, fast)
        self.names = (photo.name, painting.name) if reverse else (painting.name, photo.name)
        self.truth = sha256(truth) if truth else ""
        self.pairs, self.rows = list[Pair](), dict[str, Row]()
        for entry, config in zip(lineup.entries, lineup.configs, strict=True):
            for seed in dict.fromkeys(seeds):
                name = f"{entry.name}-seed-{seed}"
                own = override(config, schedule_flags(seed=seed))
                self.pairs.append(Pair(name, painting, photo, folder / name, own, reverse))
                self.rows[name] = Row(entry.name, seed, WAITING, name)
        self.finished = self._finished()

    def run(
        self,
        *,
        on_line: pairs.Say = lambda name, line: None,
        on_row: Callable[[Row], None] = lambda row: None,
        stop: Callable[[], bool] = lambda: False,
        train: bool = True,
    ) -> Table:
        """Train what is not finished, in turn; translate, measure, and write the results after each training.

        `on_line` hears each line that a training writes to stderr, with its name, and `on_row` what became of each.
        Once `stop` is true, a training saves and ends, a translation ends, and no other is begun. Without `train` the
        results of what is finished are written. Raises `RunError` if the folder cannot be written, or another process
        holds it.
        """
        make_folder(self.folder / PICTURES, RunError)
        with locked(self.folder):
            page = self._page()
            own = {pair.name: pair for pair in self.pairs}

            def became(outcome: Outcome) -> None:
                row = self.rows[outcome.name] = self._row(own[outcome.name], outcome, stop)
                if outcome.state in (TRAINED, FAILED):
                    self._write(page)
                on_row(row)

            pairs.train(self.pairs, self.device, on_line=on_line, on_outcome=became, stop=lambda: not train or stop())
            self._write(page)
        return self.table()

    def table(self) -> Table:
        """The results so far."""
        sessions = [s for name in self.rows for s in History.read(self.folder / name).sessions[-1:]]
        inputs = dict(zip(PARTS, (self.judge.source, self.judge.target), strict=True))
        facts = {
            part: f"{name}, {inputs[part].size[1]} × {inputs[part].size[0]} px"
            for part, name in zip(PARTS, self.names, strict=True)
        }
        facts |= {
            title: ", ".join(dict.fromkeys(str(session[key]) for session in sessions if session.get(key)))
            for title, key in (("trained on", "device"), ("precision", "precision"), ("system", "system"))
        }
        facts["translations"] = "what G alone gives" if self.judge.fast else "as sincut apply writes them"
        facts["sifid"] = "" if measures.inception_weights().is_file() else WITHOUT_INCEPTION
        facts["left out"] = "; ".join(self.lineup.notes)
        facts["sincut"] = __version__
        told = {title: text for title, text in facts.items() if text}
        return Table(*self.names, self.lineup.length, self.lineup.entries, list(self.rows.values()), told)

    def _finished(self) -> set[str]:
        """Names of the trainings that need not be trained. Raises `RunError` for one of other pictures or settings."""
        done = set[str]()
        for pair in self.pairs:
            try:
                done |= {pair.name} if pairs.finished(pair) else set()
            except (ModelError, OSError):
                continue  # which the row will say
        return done

    def _page(self) -> StudyPage:
        """The page, once the whole source and target lie beside it. Raises `ImageError`."""
        files, boxes = {}, {}
        for part, picture in zip(PARTS, (self.judge.source, self.judge.target), strict=True):
            files[part] = self.folder / PICTURES / f"{part}.png"
            writing.save(picture, files[part], WITHOUT_METADATA)
            boxes[part] = telling_part(picture)
        return StudyPage(self.folder, files, boxes)

    def _row(self, pair: Pair, outcome: Outcome, stop: Callable[[], bool]) -> Row:
        """The row of a training that has ended, translated and measured unless that is done already, or stopped."""
        row = replace(self.rows[pair.name], state=outcome.state, error=outcome.error)
        if outcome.state in (FAILED, STOPPED):
            return row
        row = replace(row, state=TRAINED, picture=f"{PICTURES}/{pair.name}.png")
        try:
            return replace(row, numbers=self._measured(pair, self.folder / row.picture, stop))
        except Interrupted:
            return replace(row, state=STOPPED, picture="")
        except (SincutError, OSError, MemoryError) as error:
            what = " ".join(str(error).split()) or "there is not enough memory to translate with it"
            return replace(row, state=FAILED, picture="", error=f"{pair.name}: {what}")

    def _measured(self, pair: Pair, output: Path, stop: Callable[[], bool]) -> dict[str, float]:
        """The numbers of a finished run, measured once: then they stand in its folder. Raises `SincutError`."""
        by = {
            "sincut": __version__,
            "model": sha256(pair.folder / MODEL_FILE),
            "truth": self.truth,
            "fast": self.judge.fast,
            "sifid": measures.inception_weights().is_file(),
        }
        file = pair.folder / MEASURED_FILE
        known = parsed(read_whole(file, RunError).decode("utf-8", "replace")) if file.exists() else {}
        if known.get("by") == by and output.is_file():
            return numbers(known.get("numbers"))
        told, figures = self.judge.judged(pair.folder, output, WITHOUT_METADATA, stop)
        measured = {**costs(pair.folder, told), **figures}
        write_whole(file, json.dumps({"by": by, "numbers": measured}, indent=2).encode(), RunError)
        return measured

    def _write(self, page: StudyPage) -> None:
        """Write page, CSV and JSON. Raises `RunError`."""
        table = self.table()
        text = json.dumps(table.to_dict(), indent=2, ensure_ascii=False)
        for name, data in ((JSON_FILE, text), (CSV_FILE, table.to_csv()), (PAGE_FILE, page.html(table))):
            write_whole(self.folder / name, data.encode("utf-8", "replace"), RunError)
