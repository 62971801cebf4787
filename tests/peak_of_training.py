"""The peak of memory of `sincut train` with large paintings: `python tests/peak_of_training.py 100.jpg 400.png ...`.

Each name says the megapixels of a painting that is made for it, and its format. Printed are what the training expects
first, its exit code, and the most main memory that its process held, as Linux counts it. Nothing is left behind.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

PHOTO = Path(__file__).parent.parent / "examples/photo.jpg"
OPTIONS: dict[str, dict[str, Any]] = {".png": {"compress_level": 1}, ".tif": {"compression": "tiff_lzw"}}
BAND = 256  # rows made at once


def paint(path: Path, megapixels: float) -> None:
    """Write a picture, half as wide again as it is high, with colours and grain."""
    h = round((megapixels * 1e6 / 1.5) ** 0.5)
    w, random = round(1.5 * h), np.random.default_rng(0)
    pixels, x = np.empty((h, w, 3), np.uint8), np.arange(w)
    for top in range(0, h, BAND):
        y = np.arange(top, min(h, top + BAND))[:, None]
        waves = np.stack([np.sin(x / 90 + 0 * y), np.sin(y / 70 + x / 300), 2 * y / h - 1 + 0 * x], axis=-1)
        pixels[top : top + BAND] = (100 * waves + 128 + random.normal(0, 12, waves.shape)).clip(0, 255)
    Image.fromarray(pixels).save(path, **OPTIONS.get(path.suffix, {}))


def peak(painting: Path, run: Path) -> str:
    """Train three steps; the sentence on it."""
    words = ["-m", "sincut", "train", str(painting), str(PHOTO), "-o", str(run), "--preset", "quick", "--steps", "3"]
    with subprocess.Popen([sys.executable, *words], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        said = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    expected = next((line for line in said.splitlines() if line.startswith("Reading ")), said[-200:])
    return f"{expected}; exit {process.returncode}, {usage.ru_maxrss * 1024 / 1e9:.2f} GB"


if __name__ == "__main__":
    for name in sys.argv[1:]:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, name)
            made = os.fork()  # what making it takes is another process's
            if not made:
                paint(file, float(file.stem))
                os._exit(0)
            os.waitpid(made, 0)
            print(peak(file, Path(folder, "run")), flush=True)
