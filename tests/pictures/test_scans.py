"""Losses in the scans of JPEG files are told without decoding, and none where nothing is lost."""

import io
import re

import numpy as np
import pytest
from corpus.files import jpeg
from helpers import scene
from PIL import Image

from sincut.pictures import scans

RGB = scene(67, 93, 0)
WHOLE = scans.Lost()


def lost(data: bytes) -> scans.Lost:
    return scans.lost(io.BytesIO(data))


@pytest.mark.parametrize("size", [(8, 8), (16, 17), (67, 93), (5, 40)])
@pytest.mark.parametrize("progressive", [False, True])
def test_whole_files_lack_nothing(size: tuple[int, int], progressive: bool) -> None:
    picture = np.ascontiguousarray(RGB[: size[0], : size[1]])
    inks = Image.fromarray(np.dstack([picture, picture[..., 0]]), "CMYK")
    for image in (picture, picture[..., 0].copy(), inks):
        for subsampling in (0, 1, 2):
            for interval in (
                {},
                {"restart_marker_rows": 1},
                {"restart_marker_blocks": 1},
                {"restart_marker_blocks": 7},
            ):
                data = jpeg(image, progressive=progressive, subsampling=subsampling, **interval)
                assert lost(data) == WHOLE, (subsampling, interval)


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("subsampling", [0, 2])
def test_every_lost_restart_marker_is_told(progressive: bool, subsampling: int) -> None:
    data = jpeg(RGB, progressive=progressive, subsampling=subsampling, restart_marker_blocks=3)
    start = data.index(b"\xff\xda")
    markers = [start + match.start() for match in re.finditer(rb"\xff[\xd0-\xd7]", data[start:])]
    assert len(markers) > 8
    for at in markers:
        assert lost(data[:at] + data[at + 2 :]).pixels
        assert lost(data[: at + 1] + bytes([data[at + 1] ^ 1]) + data[at + 2 :]).pixels


def test_eight_lost_in_a_row_are_told() -> None:
    data = jpeg(RGB, restart_marker_blocks=1)
    start = data.index(b"\xff\xda")
    first, *_ = (start + match.start() for match in re.finditer(rb"\xff\xd1", data[start:]))
    second = data.index(b"\xff\xd1", first + 2)
    assert lost(data[:first] + data[second:]).pixels


def test_restart_markers_that_no_pixel_misses_are_no_loss() -> None:
    """Some encoders write one behind the last interval too, others blocks below the last line."""
    data = jpeg(RGB, restart_marker_rows=1)
    assert lost(data[:-2] + b"\xff\xd0" + data[-2:]) == WHOLE
    at = data.index(b"\xff\xc0") + 5
    assert lost(data[:at] + (40).to_bytes(2, "big") + data[at + 2 :]) == WHOLE
    progressive = jpeg(RGB, progressive=True)
    assert lost(progressive[:-2] + b"\xff\xd0" + progressive[-2:]) == WHOLE


def test_a_marker_within_a_scan_without_intervals_is_told() -> None:
    data = jpeg(RGB, progressive=True)
    at = data.index(b"\xff\x00", data.index(b"\xff\xda"))
    assert lost(data[: at + 1] + b"\xd3" + data[at + 2 :]).pixels


def test_missing_scans_are_told() -> None:
    data = jpeg(RGB, progressive=True)
    scans_at = [match.start() for match in re.finditer(rb"\xff\xda", data)]
    for at in scans_at[1:]:
        assert lost(data[:at] + b"\xff\xd9") == scans.Lost(precision=True)
        assert lost(data[:at]) == scans.Lost(precision=True)


def test_ordinary_files_are_read_no_further_than_to_their_scan() -> None:
    file = io.BytesIO(jpeg(scene(400, 400, 0)))
    assert scans.lost(file) == WHOLE and file.tell() < 1000 < len(file.getvalue())


@pytest.mark.parametrize("cut", range(2, 700, 3))
def test_files_that_break_off_raise_nothing(cut: int) -> None:
    lost(jpeg(RGB, progressive=True, restart_marker_rows=1)[:cut])
