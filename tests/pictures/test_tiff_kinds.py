"""TIFF files of every compression, layout, depth and colour: read rightly, or refused by the name of what they are."""

import struct
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pyvips
from helpers import make_translator, scene
from PIL import Image

from sincut.errors import DamagedError, ImageError, UnsupportedError
from sincut.pictures import libvips, reading
from sincut.pictures.kinds import kind_of
from sincut.translation.options import Options

TRANSLATOR = make_translator({"networks": {"stem": 4, "inner": 6, "blocks": 2}, "losses": {"layers": [0, 2, 3]}})
H, W = 40, 60
RGB = scene(H, W, 0)
GREY = RGB[..., 1]
DEEP = (RGB.astype(np.uint16) << 8) + scene(H, W, 2)
CODES = {3: "H", 4: "I"}
TILE = 64
Tags = Mapping[int, tuple[int, Sequence[int] | bytes]]


def tiff(
    path: Path, tags: Tags, blocks: Sequence[bytes], below: tuple[Tags, bytes] | None = None, order: str = "<"
) -> Path:
    """A TIFF file of tags {number: (type, values)} and the bytes of its strips or tiles, with one sub-directory."""
    data = bytearray((b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, 0))

    def put(tags: Tags, blocks: Sequence[bytes]) -> int:
        places = []
        for block in blocks:
            places.append(len(data))
            data.extend(block + bytes(len(block) % 2))
        where = (324, 325) if 322 in tags else (273, 279)
        entries = []
        for tag, (kind, values) in sorted({**tags, where[0]: (4, places), where[1]: (4, [*map(len, blocks)])}.items()):
            packed = values if isinstance(values, bytes) else struct.pack(f"{order}{len(values)}{CODES[kind]}", *values)
            if len(packed) > 4:
                place = len(data)
                data.extend(packed + bytes(len(packed) % 2))
                packed = struct.pack(order + "I", place)
            entries.append(struct.pack(order + "HHI", tag, kind, len(values)) + packed.ljust(4, b"\0"))
        start = len(data)
        data.extend(struct.pack(order + "H", len(entries)) + b"".join(entries) + bytes(4))
        return start

    more = {330: (4, [put(below[0], [below[1]])])} if below else {}
    data[4:8] = struct.pack(order + "I", put({**tags, **more}, blocks))
    path.write_bytes(data)
    return path


def layout(
    bits: Sequence[int], photometric: int, compression: int = 1, **more: tuple[int, Sequence[int] | bytes]
) -> Tags:
    """The tags of one strip of the scene; `more` are named by number, as _284."""
    plain: dict[int, tuple[int, Sequence[int] | bytes]] = {256: (4, [W]), 257: (4, [H]), 258: (3, bits)}
    plain |= {259: (3, [compression]), 262: (3, [photometric]), 277: (3, [len(bits)]), 278: (4, [H])}
    return {**plain, **{int(name[1:]): value for name, value in more.items()}}


def tiles(pixels: np.ndarray, planes: bool = False) -> list[bytes]:
    """The bytes of the only tile of the scene, or of one for each channel."""
    padded = np.pad(pixels, ((0, TILE - H), (0, TILE - W), (0, 0)))
    return [padded[..., i].tobytes() for i in range(padded.shape[2])] if planes else [padded.tobytes()]


TILED: dict[str, Any] = {"_322": (4, [TILE]), "_323": (4, [TILE])}
PLANES: dict[str, Any] = {"_284": (3, [2])}


@pytest.fixture(params=[True, False], ids=["large", "base"])
def large(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether libvips is there; without it, it is as in the base install."""
    if not request.param:
        monkeypatch.setattr(libvips, "installed", lambda: False)
    return bool(request.param)


@pytest.mark.parametrize("number", [34712, 33003, 33005, 34887, 34933, 34934, 50002, 52546, 34892, 9999])
@pytest.mark.parametrize("tiled", [True, False])
def test_compressions_that_nobody_knows_are_named(tmp_path: Path, number: int, tiled: bool, large: bool) -> None:
    source = tiff(
        tmp_path / "a.tif", layout([8] * 3, 2, number, **(TILED if tiled else {})), [b"\xff\x4f\xff\x51" * 90]
    )
    name = {34712: "JPEG 2000", 33003: "JPEG 2000", 33005: "JPEG 2000", 34887: "LERC", 34933: "PNG", 34934: "JPEG XR"}
    name |= {50002: "JPEG XL", 52546: "JPEG XL", 34892: "lossy JPEG", 9999: "number 9999"}
    with pytest.raises(
        UnsupportedError, match=rf"a\.tif: its compression {name[number]} cannot be read; convert it to"
    ):
        reading.load(source)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("tiled", [True, False])
def test_sixteen_bits_in_separate_planes(tmp_path: Path, order: str, channels: int, tiled: bool, large: bool) -> None:
    deep = np.dstack([DEEP, 65535 - DEEP[..., :1]])[..., :channels].astype(order + "u2")
    more = {**PLANES, **(TILED if tiled else {}), **({"_338": (3, [2])} if channels == 4 else {})}
    blocks = tiles(deep, True) if tiled else [deep[..., i].tobytes() for i in range(channels)]
    picture = reading.load(tiff(tmp_path / "a.tif", layout([16] * channels, 2, **more), blocks, order=order))
    if large and not tiled:
        assert np.array_equal(picture.pixels, DEEP) and not picture.notes
    else:
        assert np.abs(picture.pixels - DEEP / 257).max() <= 1 and "became 8" in " ".join(picture.notes)
    assert (picture.alpha is not None) == (channels == 4)


@pytest.mark.parametrize("tiled", [True, False])
@pytest.mark.parametrize("streamed", [True, False])
def test_damage_is_told_and_not_black(tmp_path: Path, tiled: bool, streamed: bool) -> None:
    (pixels,) = tiles(DEEP) if tiled else (DEEP.tobytes(),)
    packed = bytearray(zlib.compress(pixels, 9))
    packed[2] = 0xFF  # a kind of block that deflate does not have
    source = tiff(tmp_path / "a.tif", layout([16] * 3, 2, 8, **(TILED if tiled else {})), [bytes(packed)])
    with pytest.raises(DamagedError, match=r"a\.tif: is damaged"):
        if streamed:
            TRANSLATOR.apply_file(source, tmp_path / "b.png", Options(tile=64, max_memory=1))
        else:
            reading.load(source)
    assert not (tmp_path / "b.png").exists()


RAW_BELOW = (layout([16], 32803), DEEP[..., 1].tobytes())


@pytest.mark.parametrize("name", ["IMG_1.DNG", "a.tif"])
@pytest.mark.parametrize("kind", ["dng", "nef", "cr2", "pef", "linear", "suffix"])
def test_raw_pictures_are_to_be_developed(tmp_path: Path, name: str, kind: str, large: bool) -> None:
    preview = {**layout([8] * 3, 2, _254=(4, [1])), **({50706: (1, b"\1\4\0\0")} if kind == "dng" else {})}
    source = tmp_path / ("b.NEF" if kind == "suffix" else name)
    if kind in ("dng", "nef"):
        tiff(source, preview, [RGB.tobytes()], RAW_BELOW)
    elif kind in ("pef", "linear"):
        tiff(source, layout([16], 32803) if kind == "pef" else layout([16] * 3, 34892), [DEEP[..., 1].tobytes()])
    else:
        tiff(source, layout([8] * 3, 2), [RGB.tobytes()])
    if kind == "cr2":
        data = source.read_bytes()
        source.write_bytes(data[:8] + b"CR\2\0" + data[12:])
    for read in (reading.load, reading.size_of):
        with pytest.raises(UnsupportedError, match=r"is a raw picture of a camera; develop it first"):
            read(source)


def test_a_copied_dng_tag_makes_no_raw_picture(tmp_path: Path) -> None:
    source = tiff(tmp_path / "a.tif", layout([8] * 3, 2, _50706=(1, b"\1\4\0\0")), [RGB.tobytes()])
    assert np.array_equal(reading.load(source).pixels, RGB)


@pytest.mark.parametrize(
    ("tags", "what"),
    [(layout([12], 1), "12 bits a channel"), (layout([12] * 3, 2), "12 bits a channel"), (layout([4] * 3, 2), "4 bits"),
     (layout([5, 6, 5], 2), "5, 6, 5 bits"), (layout([32] * 3, 2), "32 bits"), (layout([12] * 3, 6, 7), "12 bits"),
     (layout([8], 1, _339=(3, [2])), "signed numbers of 8 bits"), (layout([16], 1, _339=(3, [2])), "numbers of 16"),
     (layout([16] * 3, 2, _339=(3, [2] * 3)), "signed numbers"), (layout([64] * 3, 2, _339=(3, [3] * 3)), "64 bits"),
     (layout([32], 0, _339=(3, [3])), "0 is white"), (layout([64], 1, _339=(3, [6])), "complex"),
     (layout([16] * 3, 2, _339=(3, [3] * 3), _284=(3, [2])), "16 bits in separate planes"),
     (layout([8] * 3, 9), "ICC Lab"), (layout([8] * 3, 10), "ITU Lab"), (layout([16] * 3, 32845), "LogLuv"),
     (layout([8], 4), "a mask"), (layout([8], 51177), "depths"), (layout([8] * 3, 99), "interpretation 99"),
     (layout([8] * 4, 5, _332=(3, [2])), "other than CMYK"), (layout([8], 3), "palette"),
     (layout([8] * 3, 6, _284=(3, [2])), "YCbCr of 8 bits in separate planes"),
     (layout([16] * 3, 6), "YCbCr of 16 bits"), (layout([8] * 3, 2, 8, _317=(3, [34892])), "predictor 34892")],
    ids=str,
)  # fmt: skip
def test_what_is_not_read_is_named(tmp_path: Path, tags: Tags, what: str, large: bool) -> None:
    source = tiff(tmp_path / "a.tif", tags, [bytes(H * W * 32)])
    for read in (reading.load, reading.size_of):
        with pytest.raises(UnsupportedError, match=rf"a\.tif: its .*{what}.* cannot be read; convert it to "):
            read(source)


@pytest.mark.parametrize(("subsampling", "compression"), [(1, 1), (1, 8), (2, 1), (2, 8)])
def test_ycbcr_without_jpeg(tmp_path: Path, subsampling: int, compression: int, large: bool) -> None:
    flat = np.full((H, W, 3), (200, 90, 30), np.uint8)
    ycc = np.asarray(Image.fromarray(flat).convert("YCbCr"))
    units = ycc.tobytes() if subsampling == 1 else bytes([*[ycc[0, 0, 0]] * 4, *ycc[0, 0, 1:]]) * (H * W // 4)
    blocks = [units if compression == 1 else zlib.compress(units)]
    source = tiff(tmp_path / "a.tif", layout([8] * 3, 6, compression, _530=(3, [subsampling] * 2)), blocks)
    assert np.abs(reading.load(source).pixels.astype(int) - flat).max() <= 4
    refusal = kind_of(source).of_vips  # which takes it for RGB, where it is not subsampled
    assert (refusal is not None) == (subsampling == 1)


def test_palettes_of_8_bits(tmp_path: Path, large: bool) -> None:
    levels = [*range(256)]
    source = tiff(tmp_path / "a.tif", layout([8], 3, _320=(3, levels * 3)), [GREY.tobytes()])
    if large:
        assert np.array_equal(reading.load(source).pixels[..., 0], GREY)
    else:
        with pytest.raises(UnsupportedError, match="palette of 8 bits cannot be read without libvips: pip install"):
            reading.load(source)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("bits", [16, 32])
@pytest.mark.parametrize("order", ["<", ">"])
def test_floats_of_both_byte_orders_and_compressed(
    tmp_path: Path, channels: int, bits: int, order: str, large: bool
) -> None:
    values = (RGB[..., :channels] / 255).astype(f"{order}f{bits // 8}")
    tags = layout([bits] * channels, 1 if channels == 1 else 2, 8, _339=(3, [3] * channels))
    source = tiff(tmp_path / "a.tif", tags, [zlib.compress(values.tobytes())], order=order)
    greys = (channels, bits, order) == (1, 32, "<")
    if large or greys:
        picture = reading.load(source)
        most = np.iinfo(picture.pixels.dtype).max
        assert np.abs(picture.pixels[..., :channels] / most - RGB[..., :channels] / 255).max() < 0.003
        assert "floating-point" in " ".join(picture.notes)
    else:
        with pytest.raises(UnsupportedError, match=r"a\.tif: its .* cannot be read without libvips: pip install"):
            reading.load(source)


@pytest.mark.parametrize("kind", ["float", "lab", "cmyk"])
def test_what_only_libvips_reads_keeps_orientation_tags_and_resolution(tmp_path: Path, kind: str) -> None:
    source = tmp_path / "a.tif"
    if kind == "float":
        tags, pixels = layout([32] * 3, 2, _339=(3, [3] * 3)), (RGB / 255).astype("<f4")
    elif kind == "lab":
        tags, pixels = layout([16] * 3, 8), np.dstack([GREY.astype("<u2") * 257, np.zeros((H, W, 2), "<u2")])
    else:
        tags, pixels = layout([16] * 4, 5), np.dstack([65535 - RGB.astype("<u2") * 257, np.zeros((H, W, 1), "<u2")])
    tiff(source, {**tags, 274: (3, [6]), 315: (2, b"A Painter\0"), 700: (1, b"<x:xmpmeta/>")}, [pixels.tobytes()])
    picture = reading.load(source)
    assert picture.size == (W, H) and picture.pixels.dtype == np.uint16
    assert picture.exif and b"A Painter" in picture.exif and picture.xmp == b"<x:xmpmeta/>" and picture.icc is None
    want = np.rot90(RGB, -1)
    if kind != "lab":
        assert np.abs(picture.pixels / 257 - want).max() < 1
    else:
        assert np.ptp(picture.pixels.astype(int), axis=2).max() < 700  # neutral
    assert reading.size_of(source) == (W, H) and "upright" in picture.notes[0]


def test_floats_are_shown_through_their_profile(tmp_path: Path) -> None:
    linear = pyvips.Image.new_from_array(DEEP).copy(interpretation="rgb16").colourspace("scrgb").numpy()
    profile = pyvips.Image.black(1, 1, bands=3).copy(interpretation="srgb").icc_export(output_profile="p3")
    icc = profile.get("icc-profile-data")
    tags = layout([32] * 3, 2, _339=(3, [3] * 3), _34675=(7, icc))
    picture = reading.load(tiff(tmp_path / "a.tif", tags, [(DEEP / 65535).astype("<f4").tobytes()]))
    whole = reading.load(tiff(tmp_path / "b.tif", layout([16] * 3, 2, _34675=(7, icc)), [DEEP.tobytes()]))
    assert linear.shape == (H, W, 3) and picture.icc == whole.icc == icc
    assert (
        np.abs(picture.pixels.astype(int) - whole.pixels).max() <= 1
        and np.abs(whole.pixels - DEEP.astype(int)).max() > 500
    )


@pytest.mark.parametrize("compression", [34925, 50000, 50001])
def test_compressions_that_one_of_both_libraries_has(tmp_path: Path, compression: int, large: bool) -> None:
    from sincut.pictures.tiff_kinds import _sample

    source = tmp_path / "a.tif"
    source.write_bytes(_sample(compression))
    kind = kind_of(source)
    if kind.of_pillow is None or (large and kind.of_vips is None):
        assert np.array_equal(reading.load(source).pixels, np.zeros((1, 1, 3)))
    else:
        with pytest.raises(UnsupportedError, match="its compression"):
            reading.load(source)
    if kind.of_vips and not kind.of_pillow and large:
        with pytest.raises(ImageError, match=r"1x1 pixels need .* in parts; raise --max-memory"):
            TRANSLATOR.apply_file(source, tmp_path / "b.png", Options(tile=64, max_memory=1))


@pytest.mark.filterwarnings("ignore:::PIL")
def test_bytes_of_nonsense_in_tags_never_raise_anything_else(tmp_path: Path, large: bool) -> None:
    rng = np.random.default_rng(0)
    whole = tiff(tmp_path / "a.tif", layout([16] * 3, 2, **PLANES), [DEEP[..., i].tobytes() for i in range(3)])
    data = whole.read_bytes()
    start = struct.unpack("<I", data[4:8])[0]
    for _ in range(60):
        broken = bytearray(data)
        for _ in range(rng.integers(1, 5)):
            broken[rng.integers(start, len(data))] = rng.integers(256)
        whole.write_bytes(broken)
        try:
            reading.load(whole)
        except ImageError as error:
            assert str(whole) in str(error)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("extra", [[0], [0, 0], [2, 0], [0, 2]])
def test_channels_that_are_neither_colours_nor_alpha_are_dropped_and_told(
    tmp_path: Path, bits: int, extra: list[int], large: bool
) -> None:
    pixels = RGB if bits == 8 else DEEP
    more = [np.full((H, W), 200 if kind == 2 else 7, pixels.dtype) for kind in extra]
    source = tiff(
        tmp_path / "a.tif",
        layout([bits] * (3 + len(extra)), 2, _338=(3, extra)),
        [np.dstack([pixels, *more]).tobytes()],
    )
    if not large and (extra == [0, 2] or (bits == 16 and len(extra) > 1)):
        with pytest.raises(UnsupportedError, match="without libvips"):
            reading.load(source)
        return
    picture = reading.load(source)
    assert "its further channels were dropped" in picture.notes
    assert (
        np.abs(
            picture.pixels / (257 if picture.pixels.dtype == np.uint16 else 1) - pixels / (257 if bits == 16 else 1)
        ).max()
        <= 1
    )
    assert (picture.alpha is not None) == (2 in extra)
    assert picture.alpha is None or (picture.alpha > 0).all()


def test_a_thumbnail_in_front_is_refused(tmp_path: Path) -> None:
    small = {**layout([8] * 3, 2, _254=(4, [1])), 256: (4, [W // 2]), 257: (4, [H // 2]), 278: (4, [H // 2])}
    source = tiff(tmp_path / "a.tif", small, [RGB[::2, ::2].tobytes()], (layout([8] * 3, 2), RGB.tobytes()))
    with pytest.raises(UnsupportedError, match="begins with a thumbnail of its picture; save"):
        reading.load(source)
