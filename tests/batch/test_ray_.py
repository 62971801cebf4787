"""Joining a Ray cluster."""

import math
from pathlib import Path
from typing import Any

import pytest
from helpers import assert_clear_error, sincut

from sincut.batch.ray_ import Pool, room
from sincut.errors import ConfigError


def test_a_cluster_that_is_not_there_is_told(tmp_path: Path, painting: Path, model_file: Path) -> None:
    pytest.importorskip("ray")
    flags = ["--engine", "ray", "--ray-address", "127.0.0.1:1"]
    result = sincut("apply", model_file, painting, "-o", tmp_path / "x.png", *flags)
    assert_clear_error(result, 1, "127.0.0.1:1", "--ray-address")


@pytest.mark.parametrize("wrong", [{"workers": 0}, {"workers": -1}, {"cpus": -1.0}, {"gpus": math.nan}])
def test_pools_that_cannot_be_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="give"):
        Pool(**wrong)
    assert Pool(workers=1, cpus=0, gpus=0.5) == Pool(1, 0, 0.5)


def test_a_cluster_has_room_for_one_worker_at_least() -> None:
    class Ray:
        def cluster_resources(self) -> dict[str, float]:
            return {"CPU": 16.0, "GPU": 2.0}

    assert room(Ray(), Pool(cpus=3)) == 5 and room(Ray(), Pool(cpus=32)) == 1
    assert room(Ray(), Pool(cpus=1, gpus=0.5)) == 4 and room(Ray(), Pool(cpus=0)) == 1
