"""Imports follow the order of the rooms; only the right files know click, rich, PIL or open files; none prints."""

import ast
import configparser
import importlib
import re
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "sincut"

# A room may import from the rooms above it in this list, and never from one below.
ROOMS = (
    *(
        "errors",
        "events",
        "files",
        "devices",
        "config",
        "pictures",
        "nets",
        "synthesis",
        "model",
        "rivals",
        "method",
        "translation",
    ),
    *("batch", "report", "runs", "page", "notebook", "bench", "cli"),
)
FREE = {"__init__", "__main__"}
DISTRIBUTIONS = {  # of libraries that are named otherwise, or that another one brings along
    **{"PIL": "pillow", "IPython": "ipython", "pillow_heif": "pillow-heif", "markupsafe": "jinja2"},
    **dict.fromkeys(("httpx", "pandas", "starlette"), "gradio"),
}
ONLY_IN = {  # modules, or whole rooms
    "click": {"cli"},
    "rich": {"cli.console", "cli.progress"},
    "PIL": {
        *("pictures.formats", "pictures.jpeg", "pictures.masks", "pictures.metadata", "pictures.modes"),
        *("pictures.opening", "pictures.profiles", "pictures.reading", "pictures.resampling", "pictures.tiff_exif"),
        *(
            "pictures.lossless",
            "pictures.tiff_kinds",
            "pictures.writing",
            "report.sheet",
            "report.heat_maps",
            "runs.finding",
            "notebook",
        ),
        *("pictures.reduced", "pictures.strips", "runs.needs", "bench.doctor"),
        "translation.translator",
    },
    "jinja2": {"model.markup", "bench.installed"},
    "markupsafe": {"model.markup"},
    "gradio": {
        *("page.desk", "page.run_view", "page.train_tab", "page.models_tab", "page.apply_tab", "page.similar_tab"),
        *("page.before_after", "page.last_choices", "page.ui"),
    },
}
TOUCH_FILES = {
    "pictures.strips",
    *(
        "pictures.jpeg",
        "pictures.kinds",
        "pictures.tiff_kinds",
        "pictures.large",
        "pictures.libvips",
        "pictures.lossless",
        "pictures.opening",
    ),
    *("pictures.imprint", "pictures.metadata", "pictures.resampling"),
    *("files", "devices", "config.resolve", "model.model", "translation.layout"),
    *(
        "batch.manifest",
        "batch.remote",
        "batch.staged",
        "report.history",
        "report.html",
        "runs.folder",
        "runs.shelf",
        "bench.installed",
        "bench.doctor",
        "page.status",
        "page.jobs",
    ),
}


def name_of(path: Path) -> str:
    """`method.plan` for sincut/method/plan.py, `cli` for sincut/cli/__init__.py."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


MODULES = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def imports(path: Path) -> set[str]:
    """Full names of imported modules, and of what is imported from packages; not what only type checkers see."""
    imported: set[str] = set()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            assert not node.level and node.module, f"{path.name}: write imports in full"
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            known = {f"sincut.{name}" for name in MODULES}
            imported |= {name if name in known else node.module for name in inner}
    return imported


def own(name: str) -> set[str]:
    """Modules of the package that a module imports, as `method.plan`."""
    return {i.removeprefix("sincut.") for i in imports(MODULES[name]) if i.startswith("sincut.")}


def test_every_room_stands_in_the_list() -> None:
    assert {name.split(".")[0] for name in MODULES} == set(ROOMS) | FREE


def test_the_map_of_contributing_names_the_rooms_and_in_their_order() -> None:
    text = (PACKAGE.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = text.partition("## The map of the rooms")[2].partition("\n## ")[0]
    named = [
        name for row in re.findall(r"^\| (`[^|]*) \|", table, re.MULTILINE) for name in re.findall(r"`(.*?)`", row)
    ]
    assert named == [f"{room}/" if (PACKAGE / room).is_dir() else f"{room}.py" for room in ROOMS]
    assert all((PACKAGE / name).exists() for name in named)


def test_every_library_that_is_imported_stands_in_setup_cfg() -> None:
    config = configparser.ConfigParser()
    config.read(PACKAGE.parent / "setup.cfg")
    listed = "\n".join([config["options"]["install_requires"], *config["options.extras_require"].values()])
    known = {re.split(r"[\[>]", line)[0] for line in listed.split()}
    imported = {name.split(".")[0] for path in MODULES.values() for name in imports(path)}
    libraries = imported - set(sys.stdlib_module_names) - {"sincut"}
    assert {DISTRIBUTIONS.get(library, library) for library in libraries} <= known


def test_exceptions_are_for_modules_that_are_there() -> None:
    assert set().union(*ONLY_IN.values()) <= set(MODULES) | set(ROOMS)
    assert set(MODULES) >= TOUCH_FILES


@pytest.mark.parametrize("room", [room for room in ROOMS if (PACKAGE / room).is_dir()])
def test_each_room_lists_its_modules(room: str) -> None:
    listed = importlib.import_module(f"sincut.{room}").MODULES
    assert sorted(listed) == sorted(path.stem for path in (PACKAGE / room).glob("*.py") if path.stem != "__init__")


@pytest.mark.parametrize("module", sorted(set(MODULES) - FREE))
def test_imports_point_up(module: str) -> None:
    room, _, inner = module.partition(".")
    for imported in own(module):
        other, _, part = imported.partition(".")
        if other != room:
            assert ROOMS.index(other) < ROOMS.index(room), f"{module} imports {imported}"
        elif inner and part:
            order = importlib.import_module(f"sincut.{room}").MODULES
            assert order.index(part) < order.index(inner), f"{module} imports {imported}"


@pytest.mark.parametrize("module", sorted(MODULES))
def test_libraries_stay_where_they_belong(module: str) -> None:
    roots = {name.split(".")[0] for name in imports(MODULES[module])}
    for library, homes in ONLY_IN.items():
        assert library not in roots or homes & {module, module.split(".")[0]}, f"{module} imports {library}"


@pytest.mark.parametrize("module", sorted(set(MODULES) - TOUCH_FILES))
def test_only_the_right_modules_touch_files(module: str) -> None:
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func).split(".")[-1]
            assert called not in {"open", "read_text", "read_bytes", "write_text", "write_bytes", "unlink", "mkdir"}, (
                called
            )


@pytest.mark.parametrize("module", sorted(name for name in set(MODULES) - FREE if name.split(".")[0] != "cli"))
def test_the_library_neither_prints_nor_seeds_nor_pickles(module: str) -> None:
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if module == "nets.weights" and called == "torch.load":  # of files of torch, but nothing save tensors
                assert "weights_only=True" in ast.unparse(node)
                continue
            assert called not in {"print", "torch.manual_seed", "torch.load", "torch.save", "exec", "eval"}, called
    assert "pickle" not in imports(MODULES[module])


def test_the_house_stays_small() -> None:
    """Fourteen rooms: other algorithms are neither the method nor a part of its model, and whole in themselves."""
    folders = [path for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"]
    assert len(folders) <= 14 and len([path for path in PACKAGE.iterdir() if path.is_file()]) <= 9


@pytest.mark.parametrize("module", sorted(MODULES))
def test_modules_and_functions_stay_short(module: str) -> None:
    """No module above 450 lines; no function above 60."""
    text = MODULES[module].read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 450
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None:
            assert node.end_lineno - node.lineno < 60, node.name
