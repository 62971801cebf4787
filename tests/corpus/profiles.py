"""ICC profiles written byte by byte (ISO 15076-1), and what their numbers look like in sRGB, by closed forms."""

import struct
from collections.abc import Sequence

import numpy as np

D50 = (0.9642, 1.0, 0.8249)
# Primaries adapted to D50, as columns X, Y, Z of red, green and blue.
SRGB = np.array([[0.4361, 0.3851, 0.1431], [0.2225, 0.7169, 0.0606], [0.0139, 0.0971, 0.7141]])
ADOBE = np.array([[0.6097, 0.2053, 0.1492], [0.3111, 0.6257, 0.0632], [0.0195, 0.0609, 0.7446]])
ADOBE_GAMMA = 563 / 256


def _profile(kind: bytes, space: bytes, between: bytes, tags: Sequence[tuple[bytes, bytes]]) -> bytes:
    table, body = struct.pack(">I", len(tags)), b""
    for name, data in tags:
        table += name + struct.pack(">II", 132 + 12 * len(tags) + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    head = struct.pack(">I", 128 + len(table) + len(body)) + b"test\2\x40\0\0" + kind + space + between
    head += struct.pack(">6H", 2024, 1, 1, 0, 0, 0) + b"acspAPPL" + bytes(24) + _s15(*D50)
    return head.ljust(128, b"\0") + table + body


def _s15(*values: float) -> bytes:
    return b"".join(struct.pack(">i", round(value * 65536)) for value in values)


def _named(name: bytes) -> list[tuple[bytes, bytes]]:
    text = b"desc\0\0\0\0" + struct.pack(">I", len(name) + 1) + name + bytes(79)
    return [(b"desc", text), (b"cprt", b"text\0\0\0\0none\0"), (b"wtpt", b"XYZ \0\0\0\0" + _s15(*D50))]


def _curve(gamma: float) -> bytes:
    if gamma == 1:
        return b"curv\0\0\0\0\0\0\0\0"
    return b"curv\0\0\0\0\0\0\0\1" + struct.pack(">H", round(gamma * 256)) + bytes(2)


def matrix_profile(primaries: np.ndarray, gamma: float) -> bytes:
    """A profile of a display, or of a working space: primaries, and one gamma."""
    columns = [(name, b"XYZ \0\0\0\0" + _s15(*primaries[:, i])) for i, name in enumerate((b"rXYZ", b"gXYZ", b"bXYZ"))]
    curves = [(name, _curve(gamma)) for name in (b"rTRC", b"gTRC", b"bTRC")]
    return _profile(b"mntr", b"RGB ", b"XYZ ", [*_named(b"working space"), *columns, *curves])


def grey_profile(gamma: float) -> bytes:
    """A profile of greys."""
    return _profile(b"mntr", b"GRAY", b"XYZ ", [*_named(b"greys"), (b"kTRC", _curve(gamma))])


def scanner_profile() -> bytes:
    """A table from RGB, of Adobe's primaries and a gamma of 2.2, to Lab, and none back."""
    n = 17
    grid = np.stack(np.meshgrid(*[np.linspace(0, 1, n)] * 3, indexing="ij"), -1).reshape(-1, 3) ** ADOBE_GAMMA
    xyz = grid @ ADOBE.T / D50
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    lab = np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]) + 128, 200 * (f[:, 1] - f[:, 2]) + 128], -1)
    numbers = (lab * [652.8, 256, 256]).clip(0, 65535).round().astype(">u2")
    line = np.array([0, 65535], ">u2").tobytes()
    head = b"mft2\0\0\0\0" + bytes([3, 3, n, 0]) + _s15(1, 0, 0, 0, 1, 0, 0, 0, 1) + struct.pack(">HH", 2, 2)
    return _profile(
        b"scnr", b"RGB ", b"Lab ", [*_named(b"scanner"), (b"A2B0", head + 3 * line + numbers.tobytes() + 3 * line)]
    )


def inks_profile() -> bytes:
    """A table from CMYK, by the simplest model of inks, to Lab, and none back."""
    n = 9
    grid = np.stack(np.meshgrid(*[np.linspace(0, 1, n)] * 4, indexing="ij"), -1).reshape(-1, 4)
    lab = lab_of((1 - grid[:, :3]) * (1 - grid[:, 3:]))
    numbers = ((lab + np.array([0, 128, 128])) * [652.8, 256, 256]).clip(0, 65535).round().astype(">u2")
    line = np.array([0, 65535], ">u2").tobytes()
    head = b"mft2\0\0\0\0" + bytes([4, 3, n, 0]) + _s15(1, 0, 0, 0, 1, 0, 0, 0, 1) + struct.pack(">HH", 2, 2)
    tables = head + 4 * line + numbers.tobytes() + 3 * line
    return _profile(b"prtr", b"CMYK", b"Lab ", [*_named(b"inks"), (b"A2B0", tables)])


def of_srgb(values: np.ndarray) -> np.ndarray:
    """sRGB in 0..1 -> linear light (IEC 61966-2-1)."""
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def to_srgb(light: np.ndarray) -> np.ndarray:
    """Linear light -> sRGB in 0..1, clipped."""
    light = light.clip(0, 1)
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


def in_space(srgb: np.ndarray, primaries: np.ndarray, gamma: float) -> np.ndarray:
    """Colours (H, W, 3) of sRGB in 0..1 as numbers of another space that holds them."""
    light = of_srgb(srgb) @ (np.linalg.inv(primaries) @ SRGB).T
    numbers: np.ndarray = light.clip(0, 1) ** (1 / gamma)
    return numbers


def lab_of(srgb: np.ndarray) -> np.ndarray:
    """CIELAB (D50) of sRGB in 0..1."""
    xyz = of_srgb(srgb) @ SRGB.T / D50
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return np.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], -1)
