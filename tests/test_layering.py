"""Imports follow one table without cycles; only the right files know click, rich, PIL or open files; none prints."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "sincut"

# What each module may import; the table has no cycles, so there is an order in which data flows.
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "events": {"model"},  # for type checking only, see below
    "layers": set(),
    "balance": {"layers"},
    "colour": set(),
    "guide": {"colour"},
    "schedule": {"config"},
    "losses": set(),
    "files": {"errors"},
    "config": {"errors"},
    "devices": {"errors"},
    "vips": {"errors"},
    "alpha": set(),
    "tiff": set(),
    "images": {"alpha", "errors", "files", "tiff", "vips"},
    "blend": {"errors"},
    "networks": {"config", "layers"},
    "crops": {"config", "errors"},
    "model": {"balance", "card", "colour", "config", "errors", "files", "layers", "networks"},
    "training": {
        *("balance", "colour", "config", "crops", "devices", "errors", "events"),
        *("guide", "layers", "losses", "model", "networks", "schedule"),
    },
    "translate": {"alpha", "blend", "devices", "errors", "events", "images", "model", "networks", "vips"},
    "record": {"errors", "files"},
    "report": {"config", "errors", "evaluate", "events", "files", "images", "model", "record"},
    "run": {
        *("config", "crops", "devices", "errors", "evaluate", "events", "files", "images"),
        *("model", "record", "report", "training", "translate"),
    },
    "similarity": {"alpha", "errors", "images", "networks", "translate"},
    "figure": {"images"},
    "export": {"errors", "files", "model", "networks"},
    "board": {"config", "errors", "events", "images"},
    "card": {"config"},
    "notebook": {"card", "errors", "events", "images", "translate"},
    "remote": {"errors", "files"},
    "manifest": {"errors", "files", "remote"},
    "watch": {"errors", "manifest", "remote"},
    "folder": {"errors", "events", "files", "images", "manifest", "model", "remote", "translate"},
    "cluster": {
        *("devices", "errors", "events", "files", "folder", "images"),
        *("manifest", "model", "remote", "translate"),
    },
    "evaluate": {"errors", "images"},
    "bench": {
        *("colour", "config", "crops", "devices", "errors", "files", "folder", "images"),
        *("layers", "model", "networks", "training", "translate"),
    },
    "compare": {"errors", "evaluate", "files", "images", "model", "record", "report", "translate"},
    "pairs": {"cluster", "config", "devices", "errors", "files", "model", "run"},
    "curve": {"config", "errors", "evaluate", "files", "images", "model", "pairs", "translate"},
    "console": {"events"},
    "jobs": {"config", "crops", "errors", "files", "images", "manifest", "model", "record", "run"},
    "uploads": {"errors", "events", "files", "folder", "images", "translate"},
    "desk": {"errors", "images", "jobs", "manifest", "model", "record", "translate", "uploads"},
    "train_tab": {"config", "desk", "images", "jobs", "manifest", "record"},
    "apply_tab": {"blend", "config", "desk", "errors", "events", "images", "jobs", "record", "translate", "uploads"},
    "similar_tab": {"desk", "figure", "images", "jobs", "similarity", "uploads"},
    "ui": {"apply_tab", "desk", "similar_tab", "train_tab"},
    "serve": {"desk", "devices", "errors", "jobs", "ui"},
}
FREE = {"cli", "__init__", "__main__"}
ONLY_IN = {
    "click": {"cli"},
    "rich": {"cli", "console"},
    "PIL": {"compare", "figure", "images", "notebook", "tiff", "translate", "run"},
    "gradio": {"ui", "desk", "train_tab", "apply_tab", "similar_tab"},
}


def imports(path: Path) -> set[str]:
    """Full names of imported modules, and of what is imported from the package itself."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            module = node.module or ""
            assert not node.level, f"{path.name}: write imports in full"
            found |= {f"sincut.{alias.name}" for alias in node.names} if module == "sincut" else {module}
    return found


MODULES = sorted(path.stem for path in PACKAGE.glob("*.py"))


def test_the_table_has_no_cycles() -> None:
    assert set(TopologicalSorter(MAY_IMPORT).static_order()) == set(MAY_IMPORT)


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


@pytest.mark.parametrize(
    "module",
    sorted(
        set(MODULES)
        - {"files", "images", "vips", "config", "model", "record", "report", "run", "folder", "devices", "manifest"}
        - {"remote", "jobs"}
    ),
)
def test_only_the_right_modules_touch_files(module: str) -> None:
    for node in ast.walk(ast.parse((PACKAGE / f"{module}.py").read_text())):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func).split(".")[-1]
            assert called not in {"open", "read_text", "read_bytes", "write_text", "write_bytes", "unlink", "mkdir"}, (
                called
            )


@pytest.mark.parametrize("module", sorted(set(MODULES) - FREE - {"console"}))
def test_the_library_neither_prints_nor_seeds_nor_pickles(module: str) -> None:
    for node in ast.walk(ast.parse((PACKAGE / f"{module}.py").read_text())):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in {"print", "torch.manual_seed", "torch.load", "torch.save", "exec", "eval"}, called
    assert "pickle" not in imports(PACKAGE / f"{module}.py")
