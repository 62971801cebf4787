"""Writes all files of the corpus into a folder: `python tests/corpus/make.py FOLDER`."""

import sys
from importlib.util import find_spec
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))  # of `tests`, as pytest has it
    from corpus.rows import ROWS

    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for row in ROWS:
        if not row.needs or find_spec(row.needs):
            (folder / row.name).write_bytes(row.make())
