"""Joining a Ray cluster."""

from pathlib import Path

import pytest
from helpers import assert_clear_error, sincut


def test_a_cluster_that_is_not_there_is_told(tmp_path: Path, painting: Path, model_file: Path) -> None:
    pytest.importorskip("ray")
    flags = ["--engine", "ray", "--ray-address", "127.0.0.1:1"]
    result = sincut("apply", model_file, painting, "-o", tmp_path / "x.png", *flags)
    assert_clear_error(result, 1, "127.0.0.1:1", "--ray-address")
