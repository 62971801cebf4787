"""The provenance as a type: its way to and from JSON, and what strangers may write in its place."""

import json
import math
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sincut.model import provenance as provenance_
from sincut.model.markup import LONGEST_TEXT
from sincut.model.provenance import (
    BACK,
    THERE,
    PictureIdentity,
    Provenance,
    asked_reverse,
    direction,
    number,
    numbers,
    whole,
)

# As a training of today writes it; the order of the keys is that of the file.
TOLD: dict[str, Any] = {
    "painting": {"name": "painting.jpg", "width": 1216, "height": 832, "sha256": "17" * 32},
    "photo": {"name": "山 photo\udc80.jpg", "width": 800, "height": 600, "sha256": "72" * 32},
    "direction": THERE,
    "seed": 2**63 - 1,
    "training_scale": {"source": [0.03289473684210526, 0.05263157894736842], "target": [0.05, 0.08]},
    "versions": {"sincut": "0.1.0", "torch": "2.14.1+cu130"},
    "thumbnails": {"source": "AAAA", "target": "BBBB", "output": "CCCC"},
    "steps": 30,
    "planned_steps": 30,
    "crops": 2,
    "members": 3,
    "seconds": 353.5,
    "losses": {"distil": 0.001865},
    "figures": {"colour": 0.1512, "structure": 0.9317},
}
# As the first version wrote it, which named scales by the pictures and knew neither crops nor members.
EARLY: dict[str, Any] = {
    **{key: TOLD[key] for key in ("painting", "photo")},
    "direction": BACK,
    "seed": 0,
    "training_scale": {"painting.jpg": [0.5, 1.0], "photo.jpg": [0.5, 1]},
    **{key: TOLD[key] for key in ("versions", "thumbnails")},
    "steps": 3,
    "planned_steps": 0,  # interrupted before it was planned
    "seconds": 2,
    "losses": {"D": 1.5},
}

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.sampled_from(["name", "width", "height", "sha256", "source", "output", "D"]), JSON)
RANGES = st.dictionaries(st.sampled_from(["source", "target"]), st.lists(JSON, max_size=3))
PROVENANCES = st.dictionaries(st.sampled_from([*TOLD, "another"]), JSON | OBJECTS | RANGES)


@pytest.mark.parametrize("told", [TOLD, EARLY, {}, {"steps": 1, "planned_steps": 0}, {"planned_steps": 1}])
def test_what_trainings_write_comes_back_byte_for_byte(told: dict[str, Any]) -> None:
    text = json.dumps(told)
    assert json.dumps(Provenance.parse(json.loads(text)).to_dict()) == text


@given(JSON | PROVENANCES)
@example({"planned_steps": 1})
def test_any_json_is_parsed_or_a_value_error_and_what_is_kept_is_stable(value: Any) -> None:
    if not isinstance(value, dict):
        with pytest.raises(ValueError, match="is no object"):
            Provenance.parse(value)
        return
    origin = Provenance.parse(value)
    told = origin.to_dict()
    assert json.loads(json.dumps(told, allow_nan=False)) == told  # JSON as others read it
    assert Provenance.parse(told) == origin and Provenance.parse(told).to_dict() == told
    assert origin.steps >= 0 and origin.planned_steps >= 0 and origin.source in origin.pictures.values()
    assert all(0 <= low <= high < math.inf for low, high in origin.scales.values())


@pytest.mark.parametrize("value", [None, [], "{}", 3, math.nan, True])
def test_what_is_no_object_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="its provenance is no object"):
        Provenance.parse(value)


@pytest.mark.parametrize(
    "odd", [None, True, -1, 0.5, math.nan, math.inf, 10**400, 1e300, "7", "x" * 10**6, [3], [[1, 2]], {"a": [3]}]
)
def test_values_of_other_types_and_sizes_count_as_not_told(odd: Any) -> None:
    """Each key alone, so that no odd value spoils its neighbours."""
    for key in TOLD:
        origin = Provenance.parse({**TOLD, key: odd})
        kept = (key == "direction" and odd == "7") or (key == "seconds" and odd == 0.5)
        empty = isinstance(odd, dict) and key in ("painting", "photo")  # a picture of which nothing is told
        told = {name: value for name, value in TOLD.items() if name != key}
        told |= {key: odd} if kept else {key: {"name": "", "width": 0, "height": 0, "sha256": ""}} if empty else {}
        told |= {key: 0} if key == "planned_steps" else {}
        assert key != "steps" or origin.planned_steps == 30
        assert origin.to_dict() == told, key


def test_entries_that_make_no_sense_are_left_out_of_their_objects() -> None:
    origin = Provenance.parse(
        {
            "painting": {"name": ["a"], "width": 3.5, "height": -1, "sha256": 7, "more": 1},
            "figures": {"colour": math.nan, "tone": True, "texture": 10**40, "structure": 0.5, "x" * 10**4: 1.0},
            "losses": {str(index): 1.0 for index in range(provenance_.MOST_ENTRIES + 1)},
            "versions": {"sincut": "0.1.0", "torch": 2},
            "thumbnails": {"source": "AAAA", "target": 3, "output": "A" * 10**7, "other": "AAAA"},
            "training_scale": {"source": [2.0, 1.0], "target": [0.5, 1.0, 2.0], "c": [0.5, 1], "d": ["0", "1"]},
            "another": {"deep": [1]},
        }
    )
    assert origin == Provenance(
        painting=PictureIdentity(),
        figures={"structure": 0.5},
        versions={"sincut": "0.1.0"},
        thumbnails={"source": "AAAA"},
        training_scale={"c": (0.5, 1)},
    )


def test_names_are_kept_as_long_as_any_file_system_has_them() -> None:
    for length, kept in ((LONGEST_TEXT, LONGEST_TEXT), (LONGEST_TEXT + 1, 0)):
        picture = PictureIdentity.parse({"name": "x" * length})
        assert picture is not None and len(picture.name) == kept


def test_directions_are_the_words_of_earlier_files() -> None:
    assert (direction(False), direction(True)) == ("painting -> photo", "photo -> painting")


def test_source_and_target_follow_the_direction() -> None:
    assert [asked_reverse(*words) for words in ((None,), ("photo",), ("painting", True))] == [None, False, True]
    there, back = (Provenance.parse({**TOLD, "direction": direction(reverse)}) for reverse in (False, True))
    assert not there.reverse and there.roles == ("painting", "photo")
    assert back.reverse and back.roles == ("photo", "painting")
    assert (there.source, there.target) == (there.painting, there.photo) == (back.target, back.source)
    assert list(there.scales) == ["painting", "photo"] and list(back.scales) == ["photo", "painting"]
    assert there.scales["painting"] == back.scales["photo"] == (0.03289473684210526, 0.05263157894736842)
    assert Provenance.parse(EARLY).scales == {} and Provenance().roles == ("painting", "photo")
    assert Provenance().source is None and str(there.source) == "painting.jpg (17171717)"


@pytest.mark.parametrize(("steps", "planned", "finished"), [(0, 0, False), (3, 0, False), (2, 3, False), (3, 3, True)])
def test_a_training_is_finished_once_all_planned_steps_are_done(steps: int, planned: int, finished: bool) -> None:
    assert Provenance(steps=steps, planned_steps=planned).is_finished == finished


def test_numbers_of_strangers_are_finite_and_readable() -> None:
    assert [number(value) for value in (3, 0.5, -2, math.nan, math.inf, 10**15, True, "3", None)] == [
        *(3, 0.5, -2),
        *[None] * 6,
    ]
    assert [whole(value) for value in (3, 0, -1, 0.0, 10**16, False, "3")] == [3, 0, *[None] * 5]
    assert numbers({"a": 1, "b": "1"}) == {"a": 1} and numbers([1]) == numbers(None) == {}
