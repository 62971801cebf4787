"""Every line of Python in README, `docs/` and docstrings stands in `typed_examples.py`, which mypy checks."""

import re
from pathlib import Path

from helpers import ROOT

CHECKED = Path(__file__).with_name("typed_examples.py").read_text(encoding="utf-8")


def lines(path: Path) -> list[str]:
    """The lines of Python of a page, or those behind `>>>` in a module, without comments."""
    text = path.read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    told = re.findall(r"^ *>>> (.*)$", text, re.MULTILINE) if path.suffix == ".py" else "".join(blocks).splitlines()
    code = [line.partition("  #")[0].strip() for line in told]
    return [line for line in code if line and not line.startswith(("import ", "from ", "#"))]


def test_every_line_of_the_examples_is_checked() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    sources = [*pages, *(ROOT / "sincut").rglob("*.py")]
    shown = {str(path.relative_to(ROOT)): lines(path) for path in sources}
    assert all(shown[name] for name in ("README.md", "docs/python.md", "sincut/__init__.py", "sincut/notebook.py"))
    checked = {line.strip() for line in CHECKED.splitlines()}
    unknown = [(name, line) for name, told in shown.items() for line in told if line not in checked]
    assert not unknown
