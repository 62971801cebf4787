"""`sincut doctor`: what it prints, its exit code, and that no line but one to be copied is cut or too long."""

import json

import pytest
from click.testing import CliRunner
from helpers import assert_clear_error, in_process

from sincut.bench import doctor
from sincut.bench.installed import GOOD, MISSING, WRONG, Check
from sincut.cli import main

WELL = [Check("Installed", "torch", GOOD, "2.9 " * 40), Check("Extras", "ui", MISSING, "the page", "pip install it")]
ILL = [*WELL, Check("Room", "memory", WRONG, "0.1 GB free", "close other programs")]


def test_checks_stand_in_groups_with_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "examine", lambda runs, device: WELL)
    shown = CliRunner(env={"COLUMNS": "80"}).invoke(main, ["doctor"], prog_name="sincut")
    lines = shown.stdout.splitlines()
    assert shown.exit_code == 0 and max(map(len, lines)) <= 80 and shown.stderr.startswith("sincut can learn")
    assert lines[0] == "Installed" and lines[1].startswith("  ok     torch  2.9 2.9")
    assert lines[-3:] == ["Extras", "  -      ui     the page", "                > pip install it"]
    told = json.loads(in_process("doctor", "--json").stdout)
    assert told["works"] is True and told["checks"][1]["remedy"] == "pip install it"


def test_a_machine_that_cannot_do_the_job_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "examine", lambda runs, device: ILL)
    failed = in_process("doctor")
    assert failed.returncode == 1 and "1 thing to mend before sincut can work here: memory" in failed.stderr
    assert "> close other programs" in failed.stdout
    failed = in_process("doctor", "--json")
    assert failed.returncode == 1 and json.loads(failed.stdout)["works"] is False
    failed.stdout = ""
    assert_clear_error(failed, 1, "memory")
