"""The example that wheels carry: small, a model of its own two pictures, and put among the models once."""

from pathlib import Path

from sincut.files import sha256
from sincut.model.model import Model
from sincut.page.example import MODEL, SHIPPED, put_example
from sincut.page.jobs import Trainings

LIMIT = 2_500_000  # bytes; a wheel stays below 3 MB with them


def test_the_example_is_small_and_of_its_own_pictures(tmp_path: Path) -> None:
    assert sum(path.stat().st_size for path in SHIPPED.iterdir()) < LIMIT
    trainings = Trainings(tmp_path / "runs")
    example = put_example(trainings, tmp_path / "place")
    assert trainings.models() == [example.model] == [MODEL]
    provenance = Model.load(trainings.path(MODEL)).provenance
    assert provenance.reverse and provenance.is_finished and len(trainings.exemplars(MODEL)) == 1
    for role, path in (("painting", example.painting), ("photo", example.photo)):
        picture = provenance.pictures[role]
        assert picture is not None and picture.sha256 == sha256(Path(path))
    trainings.path(MODEL).write_bytes(b"of somebody")  # a file of that name is left as it is
    assert put_example(trainings, tmp_path / "place") == example
    assert trainings.path(MODEL).read_bytes() == b"of somebody"
