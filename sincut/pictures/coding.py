"""Colours that a file describes in numbers instead of a profile: PNG's gAMA and cHRM, and the code points of cICP.

They become an ICC profile, so that all else is as with one (PNG, third edition, section 4.3; ITU-T H.273, tables 2 and
3, for code points, which AVIF and HEIC have too; ISO 15076-1 for the profile).
"""

import struct
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

D65 = (0.3127, 0.3290)
SRGB = (0.64, 0.33, 0.30, 0.60, 0.15, 0.06)  # x and y of red, green and blue
ADOBE, ADOBE_CURVE = (0.64, 0.33, 0.21, 0.71, 0.15, 0.06), (563 / 256,)  # Adobe RGB (1998), 4.3
PRIMARIES = {
    **{1: SRGB, 2: SRGB, 5: (0.64, 0.33, 0.29, 0.60, 0.15, 0.06)},
    **dict.fromkeys((6, 7), (0.630, 0.340, 0.310, 0.595, 0.155, 0.070)),
    **{9: (0.708, 0.292, 0.170, 0.797, 0.131, 0.046), 12: (0.680, 0.320, 0.265, 0.690, 0.150, 0.060)},
}
LIKE_SRGB = (1, 2, 6, 13, 14, 15)  # transfer curves: sRGB's, and those of television, which viewers show the same
GAMMAS = {4: 2.2, 5: 2.8, 8: 1.0}
HDR = {16: "PQ", 18: "HLG"}
SRGB_GAMMA, TOLERANCE = 0.45455, 0.05  # gAMA is taken for sRGB within this share of it, as libpng does
SAME_PLACE = 0.01  # of primaries
SRGB_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)  # IEC 61966-2-1
BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
D50 = np.array([0.9642, 1.0, 0.8249])
BECAME_PROFILE = "its {} became an ICC profile"


class Coding(NamedTuple):
    """The profile that describes the colours, None for sRGB; chunks of PNG that stay as they are; notes."""

    icc: bytes | None = None
    kept: tuple[tuple[bytes, bytes], ...] = ()
    notes: tuple[str, ...] = ()


def of_png(colours: Mapping[bytes, bytes], icc: bytes | None, grey: bool) -> Coding:
    """The colours of a PNG file by its chunks, in the order in which the standard has them count; `icc` is of iCCP."""
    if len(code := colours.get(b"cICP", b"")) == 4:
        coding = of_code_points(code[0], code[1], grey, "cICP")
        if coding.kept:
            kept = [(kind, colours[kind]) for kind in (b"cICP", b"mDCV", b"cLLI") if kind in colours]
            return coding._replace(kept=tuple(kept))
        return coding
    if icc or b"sRGB" in colours:
        return Coding(icc)
    gamma, where = _gamma(colours.get(b"gAMA", b"")), _chromaticities(colours.get(b"cHRM", b""))
    like_srgb = gamma is None or abs(gamma / SRGB_GAMMA - 1) < TOLERANCE
    white, primaries = where or (D65, SRGB)
    same = np.abs(np.array((*white, *primaries)) - (*D65, *SRGB)).max() < SAME_PLACE
    if like_srgb and (same or grey):
        return Coding()
    curve = SRGB_CURVE if like_srgb or gamma is None else (1 / gamma,)
    made = profile(white, primaries, curve, grey)
    name = " and ".join(name for name, given in (("gAMA", gamma), ("cHRM", where)) if given)
    return Coding(made, notes=(BECAME_PROFILE.format(name),)) if made else Coding()


def of_code_points(primaries: int, transfer: int, grey: bool, name: str = "colour code points") -> Coding:
    """The colours of code points of H.273."""
    if transfer in HDR:
        note = f"its HDR values ({HDR[transfer]} in {name}) were translated as they are, as if they were sRGB"
        return Coding(kept=((b"cICP", bytes((primaries, transfer, 0, 1))),), notes=(note,))
    if primaries not in PRIMARIES or transfer not in (*LIKE_SRGB, *GAMMAS):
        return Coding(notes=(f"its {name} {primaries}/{transfer} are not known: taken for sRGB",))
    if transfer in LIKE_SRGB and (PRIMARIES[primaries] == SRGB or grey):
        return Coding()
    curve = SRGB_CURVE if transfer in LIKE_SRGB else (GAMMAS[transfer],)
    return Coding(profile(D65, PRIMARIES[primaries], curve, grey), notes=(BECAME_PROFILE.format(name),))


def profile(
    white: tuple[float, ...], primaries: tuple[float, ...], curve: tuple[float, ...], grey: bool
) -> bytes | None:
    """An ICC profile of RGB, or of greys, by chromaticities and a curve; None where they make no colours.

    A curve is a gamma, or the five numbers of a parametric curve of type 3 (ISO 15076-1, 10.18).
    """
    kind = {1: 0, 5: 3}[len(curve)]
    tone = b"para" + struct.pack(">LHH", 0, kind, 0) + b"".join(_fixed(value) for value in curve)
    tags = [(b"desc", _text("colours of the source")), (b"cprt", _text("none")), (b"wtpt", _xyz(D50))]
    if grey:
        return _packed(b"GRAY", [*tags, (b"kTRC", tone)])
    try:
        columns = _matrix(white, primaries)
    except np.linalg.LinAlgError:
        return None
    if not np.isfinite(columns).all() or np.abs(columns).max() > 3:
        return None
    names = (b"rXYZ", b"gXYZ", b"bXYZ")
    tags += [(name, _xyz(column)) for name, column in zip(names, columns.T, strict=True)]
    return _packed(b"RGB ", [*tags, *((name, tone) for name in (b"rTRC", b"gTRC", b"bTRC"))])


def _gamma(data: bytes) -> float | None:
    """The exponent that gAMA tells; None where it tells none that makes sense."""
    value = struct.unpack(">L", data)[0] / 1e5 if len(data) == 4 else 0.0
    return value if 0.1 <= value <= 5 else None


def _chromaticities(data: bytes) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """White and primaries that cHRM tells."""
    if len(data) != 32:
        return None
    values = [value / 1e5 for value in struct.unpack(">8L", data)]
    sound = all(0 <= value <= 1 for value in values) and all(value > 0 for value in values[1::2])
    return (tuple(values[:2]), tuple(values[2:])) if sound else None


def _matrix(white: tuple[float, ...], primaries: tuple[float, ...]) -> NDArray[np.float64]:
    """XYZ of red, green and blue as columns, adapted to D50."""
    x, y = np.array(primaries[::2]), np.array(primaries[1::2])
    columns = np.stack([x / y, np.ones(3), (1 - x - y) / y])
    target = np.array([white[0] / white[1], 1.0, (1 - white[0] - white[1]) / white[1]])
    columns = columns * np.linalg.solve(columns, target)
    cones = BRADFORD @ D50 / (BRADFORD @ target)
    adapted: NDArray[np.float64] = np.linalg.inv(BRADFORD) @ np.diag(cones) @ BRADFORD @ columns
    return adapted


def _packed(space: bytes, tags: list[tuple[bytes, bytes]]) -> bytes:
    """A display profile of version 4.3 with these tags."""
    start, table, body = 132 + 12 * len(tags), struct.pack(">L", len(tags)), b""
    for name, data in tags:
        table += name + struct.pack(">LL", start + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    head = struct.pack(">L4sL4s4s4s", 128 + len(table) + len(body), b"\0" * 4, 0x04300000, b"mntr", space, b"XYZ ")
    head += struct.pack(">6H", 2000, 1, 1, 0, 0, 0) + b"acsp" + bytes(28)
    head += b"".join(_fixed(value) for value in D50)
    return head.ljust(128, b"\0") + table + body


def _text(text: str) -> bytes:
    data = text.encode("utf-16-be")
    return b"mluc" + struct.pack(">LLL2s2sLL", 0, 1, 12, b"en", b"US", len(data), 28) + data


def _xyz(values: NDArray[np.float64]) -> bytes:
    return b"XYZ " + bytes(4) + b"".join(_fixed(float(value)) for value in values)


def _fixed(value: float) -> bytes:
    """A number in 16.16 fixed point."""
    return struct.pack(">l", round(value * 65536))
