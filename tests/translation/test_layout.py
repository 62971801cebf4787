"""The layout of a picture is the same from memory and from a file, and the file is gone whatever happens."""

import errno
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sincut.errors import ImageError
from sincut.pictures.picture import to_tensor
from sincut.translation.layout import LayoutStore
from sincut.translation.tiles import tile_boxes


def filled(store: LayoutStore, pixels: np.ndarray, side: int) -> None:
    """Write the pixels (H, W, 3) in tiles."""
    for top, left, bottom, right in tile_boxes(*store.size, side):
        store.write((top, left, bottom, right), to_tensor(pixels[top:bottom, left:right]))


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 70), st.data())
def test_what_is_written_is_read_from_memory_and_from_a_file(h: int, w: int, side: int, data: st.DataObject) -> None:
    pixels = np.random.default_rng(h * w).integers(0, 256, (h, w, 3), np.uint8)
    top, left = data.draw(st.integers(0, h - 1)), data.draw(st.integers(0, w - 1))
    bottom, right = data.draw(st.integers(top + 1, h)), data.draw(st.integers(left + 1, w))
    for folder in (None, Path("/tmp")):
        with LayoutStore((h, w), folder) as store:
            filled(store, pixels, side)
            for box in ((top, left, bottom, right), (0, 0, h, w), (top, 0, bottom, w)):
                read = store.read(*box)
                assert read.dtype == torch.uint8
                assert np.array_equal(read.numpy(), pixels[box[0] : box[2], box[1] : box[3]])


def test_values_are_clipped_and_rounded(tmp_path: Path) -> None:
    tile = torch.tensor([-1.5, -1.0, 0.0, 0.999, 3.0]).view(1, 1, 1, 5).expand(1, 3, 1, 5)
    for folder in (None, tmp_path):
        with LayoutStore((1, 5), folder) as store:
            store.write((0, 0, 1, 5), tile)
            assert store.read(0, 0, 1, 5)[0, :, 0].tolist() == [0, 0, 128, 255, 255]


@pytest.mark.parametrize("end", [None, KeyboardInterrupt, ImageError])
def test_the_file_is_gone_however_it_ends(tmp_path: Path, end: type[BaseException] | None) -> None:
    before = psutil.Process().num_fds()
    try:
        with LayoutStore((40, 30), tmp_path) as store:
            filled(store, np.zeros((40, 30, 3), np.uint8), 16)
            if end:
                raise end
    except (KeyboardInterrupt, ImageError):
        pass
    assert not list(tmp_path.iterdir()) and psutil.Process().num_fds() == before


def test_a_full_disk_is_told_with_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ImageError, match=r"nowhere: cannot be written \(No such file or directory\); free some space"):
        LayoutStore((4, 4), tmp_path / "nowhere").__enter__()
    with LayoutStore((40, 30), tmp_path) as store:
        taken: list[int] = []

        class Full:
            """A disk that takes a few bytes more, then none."""

            def seek(self, place: int) -> None: ...

            def close(self) -> None: ...

            def write(self, part: memoryview) -> int:
                if taken:
                    raise OSError(errno.ENOSPC, "No space left on device")
                taken.append(5)
                return 5

        file, full = store.file, Full()
        assert file is not None
        file.close()
        monkeypatch.setattr(store, "file", full)
        with pytest.raises(ImageError, match=r"cannot be written \(No space left on device\)"):
            filled(store, np.zeros((40, 30, 3), np.uint8), 16)


def test_a_file_is_not_held_in_memory(tmp_path: Path) -> None:
    size = 12000, 8000  # 288 MB
    band: Any = torch.zeros(1, 3, 100, size[1])
    with LayoutStore(size, tmp_path) as store:
        store.write((0, 0, 100, size[1]), band)
        before = psutil.Process().memory_info().rss
        for top in range(100, size[0], 100):
            store.write((top, 0, top + 100, size[1]), band)
        for top in range(0, size[0], 500):
            assert int(store.read(top, 3000, top + 500, 3500).max()) == 128
        assert psutil.Process().memory_info().rss - before < 120e6
