"""Imports point down one table; only the right files know click, rich or the file system; nothing prints."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "sincut"

# Each module may import those before it in data-flow order, as far as listed here.
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "events": {"model"},  # for type checking only, see below
    "layers": set(),
    "losses": set(),
    "files": {"errors"},
    "config": {"errors"},
    "devices": {"errors"},
    "images": {"errors", "files"},
    "networks": {"config", "layers"},
    "crops": {"config", "errors"},
    "model": {"config", "errors", "files", "networks"},
    "training": {"config", "crops", "devices", "errors", "events", "losses", "model", "networks"},
    "translate": {"devices", "errors", "events", "images", "model", "networks"},
    "run": {"config", "errors", "events", "files", "images", "model", "training", "translate"},
    "folder": {"errors", "events", "files", "images", "translate"},
    "evaluate": {"errors", "images"},
    "bench": {"config", "devices", "model", "training", "translate"},
    "console": {"events"},
}
FREE = {"cli", "__init__", "__main__"}
ONLY_IN = {"click": {"cli"}, "rich": {"cli", "console"}, "PIL": {"images", "translate", "run"}}


def imports(path: Path) -> set[str]:
    """Full names of imported modules, and of what is imported from the package itself."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            module = node.module or ""
            found |= {f"sincut.{alias.name}" for alias in node.names} if module == "sincut" else {module}
    return found


MODULES = sorted(path.stem for path in PACKAGE.glob("*.py"))


def test_every_module_stands_in_the_table() -> None:
    assert set(MODULES) == set(MAY_IMPORT) | FREE


@pytest.mark.parametrize("module", sorted(MAY_IMPORT))
def test_imports_point_down(module: str) -> None:
    own = {name.removeprefix("sincut.") for name in imports(PACKAGE / f"{module}.py") if name.startswith("sincut.")}
    assert own - {"__version__"} <= MAY_IMPORT[module]


@pytest.mark.parametrize("module", MODULES)
def test_libraries_stay_where_they_belong(module: str) -> None:
    roots = {name.split(".")[0] for name in imports(PACKAGE / f"{module}.py")}
    for library, homes in ONLY_IN.items():
        assert library not in roots or module in homes, f"{module} imports {library}"


@pytest.mark.parametrize("module", sorted(set(MODULES) - FREE - {"console"}))
def test_the_library_neither_prints_nor_seeds_nor_pickles(module: str) -> None:
    for node in ast.walk(ast.parse((PACKAGE / f"{module}.py").read_text())):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in {"print", "torch.manual_seed", "torch.load", "torch.save", "exec", "eval"}, called
    assert "pickle" not in imports(PACKAGE / f"{module}.py")
