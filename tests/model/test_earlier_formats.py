"""Model files that earlier versions wrote themselves: what they gave then, they give now.

Each was trained for four steps by the last commit of its format, with tiny networks, on parts of the pictures in
`examples/`: formats 5 and 8 on an even painting and a rough photo, so that their decoders have noise, the others on a
rough painting and an even photo, so that strokes and colour grain are taken. `expected.json` holds what that commit's
own `Model.translate` gave.
"""

import json
from pathlib import Path

import pytest
import torch

from sincut.errors import ModelError
from sincut.model.model import Model, describe

FOLDER = Path(__file__).parent / "formats"
EXPECTED = json.loads((FOLDER / "expected.json").read_text())
STEP = 5  # px between the pixels whose values are kept
GONE = (("networks", "noise"), ("schedule", "most_steps"), ("losses", "large"))  # settings that were told otherwise


def picture_and_noise() -> tuple[torch.Tensor, torch.Tensor]:
    """(1, 3, 30, 36) with edges and fine stripes in [-1, 1], and (1, 1, 30, 36): the same on every machine."""
    y, x = torch.meshgrid(
        torch.arange(30.0, dtype=torch.float64), torch.arange(36.0, dtype=torch.float64), indexing="ij"
    )
    channels = [
        torch.sin(0.21 * x + 0.3 * c) * torch.cos(0.17 * y) + 0.1 * torch.sin(2.1 * x + y * c) for c in range(3)
    ]
    image = torch.stack(channels)[None].clamp(-1, 1)
    image[..., 14:, 20:] *= -0.5
    return image.float(), 1.4 * torch.sin(37.0 * (36 * y + x) ** 1.1)[None, None].float()


def test_every_earlier_format_is_here() -> None:
    assert sorted(EXPECTED, key=int) == [str(number) for number in range(1, 11)]
    assert sorted(path.stem for path in FOLDER.glob("*.safetensors")) == sorted(EXPECTED)


@pytest.mark.parametrize("number", sorted(EXPECTED))
def test_a_model_of_an_earlier_format_translates_as_it_did(number: str) -> None:
    model = Model.load(FOLDER / f"{number}.safetensors")
    with torch.inference_mode():
        out = model.translate(*picture_and_noise())[..., ::STEP, ::STEP]
    wanted = torch.tensor(EXPECTED[number]["values"]).view_as(out)
    torch.testing.assert_close(out, wanted, rtol=0, atol=1e-4)
    kinds = [filter_.kind for filter_ in (*model.before, *model.after) if filter_.reach]
    told = [kind in kinds for kind in ("smoothing", "chroma_grain", "balance")]
    assert model.exemplar is None
    assert told == EXPECTED[number]["filters"] and bool(model.generator.noise) == EXPECTED[number]["noise"]


@pytest.mark.parametrize("number", sorted(EXPECTED))
def test_a_model_of_an_earlier_format_has_its_settings_and_can_be_saved_anew(number: str, tmp_path: Path) -> None:
    path = FOLDER / f"{number}.safetensors"
    config, provenance = describe(path)
    assert provenance.steps == 4
    values = config.to_dict()
    for section, settings in EXPECTED[number]["config"].items():
        for key, value in settings.items():
            if (section, key) not in GONE:
                assert values[section][key] == value, f"{section}.{key}"
    model = Model.load(path)
    model.save(tmp_path / "now.safetensors")
    again, given = Model.load(tmp_path / "now.safetensors"), picture_and_noise()
    assert again.config == model.config == config and again.provenance == provenance
    assert torch.equal(again.translate(*given), model.translate(*given))


@pytest.mark.parametrize("number", sorted(EXPECTED))
def test_heads_are_there_since_a_model_file_holds_them(number: str) -> None:
    path = FOLDER / f"{number}.safetensors"
    if number == "1":
        with pytest.raises(ModelError, match="no projection heads, as an earlier version wrote it"):
            Model.load(path, heads=True)
        return
    model = Model.load(path, heads=True)
    assert model.projector is not None and len(model.projector.heads) == len(model.config.losses.layers)
