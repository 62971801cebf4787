"""The example that `sincut ui` shows behind one button: a small painting, a small photo, and the model of the two.

    python examples/starter.py                      # into sincut/page/assets/example, which wheels carry
    python examples/starter.py -o FOLDER --steps 40 # elsewhere, and quicker

The pictures are those beside this script at `WIDTH` px. The model learned from them turns photos into the painting; it
carries the painting at that size, so that its translations are drawn with the painting's strokes. With the same version
of torch on the same kind of processor it is the same file each time. Raises SystemExit if the training fails or the
three files are more than `LIMIT` bytes.
"""

import argparse
import shutil
import subprocess
import tempfile
from pathlib import Path

from PIL import Image

from sincut.model.file import MODEL_FILE
from sincut.runs import child

PLACE = Path(__file__).parent
ASSETS = PLACE.parent / "sincut" / "page" / "assets" / "example"
ROLES = ("painting", "photo")
WIDTH = 480  # px
STEPS = 400  # about what the preset quick does in its three minutes on one core
SMALL = ("networks.inner=56", "networks.middle=32", "networks.features=128")  # a fifth of the preset's weights
LIMIT = 2_450_000  # bytes of all files; with them a wheel stays below 3 MB


def main() -> None:
    """Make the three files in the folder of the option --output."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, default=ASSETS, help="folder of the three files")
    parser.add_argument("--steps", type=int, default=STEPS, help="steps of the training")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    files = [reduced(PLACE / f"{role}.jpg", options.output / f"{role}.jpg") for role in ROLES]
    files.append(trained(files, options.output / MODEL_FILE, options.steps))
    total = sum(path.stat().st_size for path in files)
    for path in files:
        print(f"{path}  {path.stat().st_size / 1000:.0f} kB")
    if total > LIMIT:
        raise SystemExit(f"{total} bytes together are more than {LIMIT}")


def reduced(source: Path, target: Path) -> Path:
    """The picture `WIDTH` px wide, written as a JPEG without metadata; returns its path."""
    with Image.open(source) as image:
        size = WIDTH, round(image.height * WIDTH / image.width)
        image.convert("RGB").resize(size, Image.Resampling.LANCZOS).save(target, quality=90, optimize=True)
    return target


def trained(pictures: list[Path], target: Path, steps: int) -> Path:
    """The model that has learned photo -> painting from the two pictures in so many steps; returns its path."""
    with tempfile.TemporaryDirectory() as place:
        run = Path(place) / "example"
        words = child.command(*pictures, "-o", run, "--to", "painting", "--preset", "quick", "--steps", steps)
        words += [word for setting in SMALL for word in ("--set", setting)]
        if code := subprocess.run([*words, "--device", "cpu"], check=False).returncode:
            raise SystemExit(code)
        shutil.copyfile(run / MODEL_FILE, target)
    return target


if __name__ == "__main__":
    main()
