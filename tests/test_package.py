"""The package as a stranger installs it: the wheel holds the presets; README, docs, help and changelog are in step."""

import ast
import configparser
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import click
import pytest
import yaml
from helpers import ROOT

import sincut
from sincut.cli import main
from sincut.cli.helping import every_command

LOOKS_AROUND = """
import pkgutil, sincut, sincut._presets
rooms = [module.name for module in pkgutil.walk_packages(sincut.__path__, "sincut.")]
assert "sincut.cli.console" in rooms and all(callable(getattr(sincut, name)) for name in sincut.__all__)
print(sincut.__file__)
print(*sorted(preset.name for preset in sincut.presets()))
"""
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = {path: path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs").glob("*.md"))}
GUIDES = README + "".join(PAGES.values())


def test_every_command_and_option_stands_in_the_guides() -> None:
    for name, command in every_command(main):
        assert f"{'' if ' ' in name else '## '}`sincut {name}" in GUIDES, name
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.opts[-1] in GUIDES, f"{name} {parameter.opts[-1]}"
                assert parameter.help, f"{name} {parameter.opts[-1]} has no help"


def test_readme_and_guides_name_no_command_or_preset_that_is_not_there() -> None:
    blocks = "".join(re.findall(r"```sh\n(.*?)```", GUIDES, re.DOTALL))
    named = re.findall(r"(?:^|/)sincut ([a-z]+)", blocks, re.MULTILINE)
    assert len(named) >= 5 and set(named) <= set(main.commands)
    for preset in re.findall(r"--preset ([a-z+-]+)", GUIDES):
        assert set(preset.split("+")) <= {p.name for p in sincut.presets()}


def test_readme_shows_pictures_that_are_there() -> None:
    shown = re.findall(r"(?:\]\(|src=\")(examples/[^)\"]+)", README)
    assert len(shown) >= 3
    for path in shown:
        assert (ROOT / path).is_file(), path


def test_readme_can_be_read_aloud_in_six_minutes() -> None:
    assert len(README.splitlines()) <= 150
    assert len(re.sub(r"```.*?```", "", README, flags=re.DOTALL).split()) <= 900  # at 150 words a minute


def test_readme_and_docs_link_to_files_and_headings_that_are_there() -> None:
    roots = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")]
    for page in (*roots, *PAGES):
        linked = re.findall(r"\]\(([^)#:]*)(?:#([^)]+))?\)", page.read_text(encoding="utf-8"))
        for path, anchor in linked:
            target = page.parent / path if path else page
            assert target.exists(), (page.name, path)
            assert not anchor or anchor in anchors_of(target), (page.name, path, anchor)
    listed = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    assert all(page.stem in ("index", *listed.split()) for page in PAGES)


def anchors_of(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {heading_anchor(title) for title in titles}


def heading_anchor(title: str) -> str:
    """The anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def test_contributing_names_files_and_code_that_are_there() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").replace("```", "")
    named = set(re.findall(r"`([^`\n]+)`", text))
    paths = {name for name in named if re.fullmatch(r"[a-z_/]+(/|\.py|\.cfg|\.toml)", name)}
    for path in paths:
        assert (ROOT / path).exists() or list((ROOT / "sincut").rglob(path)), path
    sources = [path for folder in ("sincut", "tests") for path in (ROOT / folder).rglob("*.py")]
    code = "".join(path.read_text(encoding="utf-8") for path in sources)
    for name in named:
        if re.fullmatch(r"[A-Za-z_]\w*", name):
            assert name in code, name


def test_changelog_knows_the_version() -> None:
    assert f"## {sincut.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_ci_runs_the_second_command_of_the_readme() -> None:
    second = re.search(r"<!-- checks -->\s*```\w*\n(.*?)```", README, re.DOTALL)
    assert second is not None
    assert second.group(1).strip() in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_the_image_runs_both_commands_and_the_citation_is_of_this_version() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    first = re.search(r"<!-- first -->\s*```\w*\n(.*?)```", README, re.DOTALL)
    assert first is not None and f"\nCMD {first.group(1)}" in dockerfile and '\nCMD [".ci/run"]\n' in dockerfile
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == sincut.__version__ and citation["authors"] == [{"name": "The sincut authors"}]
    for path in (*(ROOT / ".github").rglob("*.yml"), ROOT / ".pre-commit-config.yaml"):
        assert yaml.safe_load(path.read_text(encoding="utf-8")), path
    checks = yaml.safe_load((ROOT / ".github" / "workflows" / "checks.yml").read_text(encoding="utf-8"))
    assert checks["jobs"]["checks"]["steps"][-1] == {"run": ".ci/run"}


def test_the_source_archive_holds_all_that_git_does(tmp_path: Path) -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("no repository")
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split(
        "\n"
    )
    command = [sys.executable, "-m", "build", "--sdist", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)]
    built = subprocess.run(command, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as file:
        inside = {name.partition("/")[2] for name in file.getnames()}
    assert {path for path in tracked if path and (ROOT / path).exists()} - inside <= {".gitignore"}


def test_core_dependencies_have_lower_bounds_and_nothing_else_is_needed() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    wanted = config["options"]["install_requires"].split()
    assert all(re.fullmatch(r"[a-z0-9]+>=[\d.]+", line) for line in wanted)
    assert {line.split(">")[0] for line in wanted} == {
        *("torch", "torchvision", "kornia", "pillow", "numpy", "click", "rich", "safetensors", "psutil"),
        *("filelock", "jinja2"),  # which torch brings along
    }


def test_examples_are_one_scene_in_three_pictures() -> None:
    from sincut.pictures import reading

    painting, photo, truth = (
        reading.load(ROOT / "examples" / f"{name}.jpg") for name in ("painting", "photo", "truth")
    )
    assert painting.size == truth.size
    for picture in (painting, photo, truth):
        assert 0.8e6 < picture.size[0] * picture.size[1] < 1.3e6


def test_the_menu_is_the_same_for_people_programs_and_type_checkers() -> None:
    assert len(sincut.__all__) == len(set(sincut.__all__)) == 14
    assert set(sincut.__all__) == set(sincut._MENU) <= set(dir(sincut))
    source = ast.parse(Path(sincut.__file__).read_text(encoding="utf-8"))
    (checked,) = (n for n in source.body if isinstance(n, ast.If) and ast.unparse(n.test) == "TYPE_CHECKING")
    imported = [node for node in checked.body if isinstance(node, ast.ImportFrom)]
    assert {alias.name: node.module for node in imported for alias in node.names} == sincut._MENU
    for name, module in sincut._MENU.items():
        assert getattr(sincut, name).__module__ == module, f"{name} is defined elsewhere"
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        sincut.nothing  # noqa: B018


@pytest.mark.slow
def test_a_built_wheel_finds_its_presets(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "-q", "-w", str(tmp_path), str(ROOT)]
    built = subprocess.run(command, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
        shipped = {name for name in archive.namelist() if name.startswith("sincut/") and "/assets/" in name}
    assets = [path for path in (ROOT / "sincut").glob("*/assets/**/*") if path.is_file()]
    assert shipped == {path.relative_to(ROOT).as_posix() for path in assets}
    assert wheel.stat().st_size < 3_000_000
    inside = {path.stem for path in (tmp_path / "site" / "sincut").iterdir()}
    assert "_presets" in inside and not inside & set(sincut.__all__)  # a module would take the place of a function
    ran = subprocess.run([sys.executable, "-c", LOOKS_AROUND], capture_output=True, text=True, cwd=tmp_path,
                         env={"PYTHONPATH": str(tmp_path / "site"), "PATH": ""})  # fmt: skip
    where, names = ran.stdout.splitlines()
    assert Path(where).is_relative_to(tmp_path / "site"), ran.stderr
    assert names.split() == sorted(path.stem for path in (ROOT / "presets").glob("*.toml"))
