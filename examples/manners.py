"""Paint a photo in further manners: with a palette knife at dusk, or with pen and chalk on toned paper.

    python examples/manners.py                                    # knife.jpg and ink.jpg beside this script
    python examples/manners.py ink --photo holiday.jpg --out DIR  # one manner, of another picture

The painting of `render.py` is made of curved brush strokes. Here are two manners that differ from it, and from one
another, in colours and in what a stroke is: slabs of thick paint with a ridge where the knife was lifted, and hatching,
sparse where the view is light and crossed where it is dark. Both need nothing but a photo, numpy and pillow, and give
the same picture each time.

Sources of the ideas:
  * A. Hertzmann, "Painterly Rendering with Curved Brush Strokes of Multiple Sizes" (1998): layers, coarse to fine.
  * G. Winkenbach, D. H. Salesin, "Computer-Generated Pen-and-Ink Illustration" (1994): tone made of crossed strokes.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from render import Array, blur, gradient, mix, ribbon, save, seeds, smoothstep

F32 = np.float32
SEED = 1874
WIDTH = 1216  # px, of the picture for which the sizes below are meant; they grow with the picture
LEAST_SCALE = 0.4  # of small pictures, in which strokes would be finer than pixels
GREY = np.array([0.30, 0.59, 0.11], F32)

# Colours (sRGB, 0-255) of dusk for what is blue, green, and neither, at the lightness (0-1) of DUSK_AT.
DUSK_AT = (0.08, 0.30, 0.52, 0.70, 0.84, 0.97)
DUSK = {
    "blue": ((20, 24, 52), (38, 52, 92), (78, 76, 122), (158, 100, 128), (236, 148, 104), (255, 214, 150)),
    "green": ((20, 26, 38), (40, 56, 54), (86, 84, 52), (158, 120, 58), (220, 164, 80), (250, 206, 120)),
    "other": ((34, 22, 44), (82, 44, 66), (150, 72, 70), (220, 118, 72), (250, 170, 96), (255, 220, 160)),
}
KNIVES = (26.0, 14.0, 7.5, 4.0)  # px, half the width of each blade, coarse to fine
# Error of the canvas, as a distance of colours in sRGB (0-1), above which a blade goes over a place.
KNIFE_ERRORS = (0.0, 0.060, 0.085, 0.105)

PAPER = np.array([0.745, 0.655, 0.520], F32)
INK = np.array([0.120, 0.085, 0.090], F32)
CHALK = np.array([0.965, 0.945, 0.890], F32)
# Layers of hatching: darkness (0-1) from which lines are drawn, angle (rad) against the form, distance of lines (px).
HATCHES = ((0.34, 0.0, 7.0), (0.52, 0.9, 6.4), (0.66, -0.7, 6.0), (0.80, 0.35, 5.2))
CHALKS = ((0.80, 0.15, 6.4), (0.91, 0.15, 4.0))  # the same for chalk, of lightness


def flow(grey: Array, habit: float, reach: float) -> Array:
    """Angle (rad) of the hand per pixel: along outlines, and where there are none `habit`; `reach` in px."""
    gx, gy = gradient(blur(grey, 0.3 * reach))
    xx, yy, xy = (blur(v, reach) for v in (gx * gx, gy * gy, gx * gy))  # the structure tensor
    calm = 1.0e-4
    return 0.5 * np.arctan2(calm * np.sin(2 * habit) - 2 * xy, calm * np.cos(2 * habit) - (xx - yy))


# ---------------------------------------------------------------------------------------------------------------------
# The palette knife.


def dusk(photo: Array) -> Array:
    """The view in the light after sunset: violet shadows, and lights from rose over orange to pale gold."""
    grey = photo @ GREY
    red, green, blue = np.moveaxis(blur(photo, 1.0), -1, 0)
    grassy = smoothstep(0.0, 0.10, green - np.maximum(red, blue))
    bluish = smoothstep(0.10, 0.26, blue - red) * (1 - grassy)
    share = {"blue": bluish, "green": grassy, "other": 1 - bluish - grassy}
    out = np.zeros_like(photo)
    for name, ramp in DUSK.items():
        tones = [np.interp(grey, DUSK_AT, np.array(ramp)[:, c] / 255) for c in range(3)]
        out += share[name][..., None] * np.stack(tones, -1).astype(F32)
    return out


def slab(
    canvas: Array,
    relief: Array,
    at: Array,
    turn: float,
    half: tuple[float, float],
    paints: Array,
    rng: np.random.Generator,
) -> None:
    """Press a slab of paint onto `canvas` (h, w, 3) and its thickness onto `relief` (h, w).

    `at` is its middle (x, y), `turn` its angle, `half` its half length and half width in px. The blade carries two
    `paints` (2, 3), one at either edge; it drags streaks along, thins out at the end, and leaves ridges.
    """
    h, w = relief.shape
    out = int(np.hypot(*half)) + 2
    x0, y0 = (max(0, int(v) - out) for v in at)
    x1, y1 = min(w, int(at[0]) + out + 1), min(h, int(at[1]) + out + 1)
    y, x = np.mgrid[y0:y1, x0:x1].astype(F32)
    x, y = x - at[0], y - at[1]
    along = (x * np.cos(turn) + y * np.sin(turn)) / half[0]
    across = (y * np.cos(turn) - x * np.sin(turn)) / half[1]
    streaks = blur(rng.standard_normal((64, 1)).astype(F32), 1.0)[:, 0]
    lane = np.clip((across + 1) * 31.5, 0, 63).astype(int)
    streak = streaks[lane] / streaks.std()
    ragged = 1 - 0.10 * np.abs(streak)  # where the slab ends in each lane
    cover = np.clip((ragged - np.abs(along)) * half[0] * 0.9, 0, 1) * np.clip((1 - np.abs(across)) * half[1], 0, 1)
    skip = smoothstep(0.35, 1.0, along + 0.35 * streak)  # the blade runs out, and what lies below shows in lanes
    cover = cover * (1 - 0.75 * skip)
    paint = mix(paints[0], paints[1], smoothstep(-0.8, 0.8, across + 0.25 * streak)[..., None])
    paint = paint * (1 + 0.035 * streak[..., None])
    here = (slice(y0, y1), slice(x0, x1))
    canvas[here] += (np.clip(paint, 0, 1) - canvas[here]) * cover[..., None]
    ridge = 0.9 * smoothstep(0.72, 0.95, np.abs(across)) + 0.8 * smoothstep(0.8, 0.97, -along) + 0.10 * streak
    thick = (0.8 + ridge) * half[1] ** 0.5 * 0.42
    relief[here] += (thick - relief[here]) * cover


def knife(photo: Array, rng: np.random.Generator) -> Array:
    """Broad impasto at dusk, of a photo (h, w, 3) in sRGB (0-1): slabs of thick paint, lit from the upper left."""
    h, w, _ = photo.shape
    scale = max(w / WIDTH, LEAST_SCALE)
    view = dusk(photo)
    canvas = np.full_like(photo, (0.30, 0.17, 0.20))  # a ground of madder, which shows between slabs
    relief = np.zeros((h, w), F32)
    for size, threshold in zip(KNIVES, KNIFE_ERRORS, strict=True):
        radius = max(size * scale, 1.5)
        seen = blur(view, 0.35 * radius)
        angle = flow(seen @ GREY, -0.25, max(1.2 * radius, 2.0))
        error = np.sqrt(((blur(canvas, 0.4 * radius) - seen) ** 2).sum(-1))
        for x, y in seeds(error, max(2, round(1.15 * radius)), threshold, rng):
            turn = angle[y, x] + rng.normal(0, 0.22) + np.pi * rng.integers(2)
            side = radius * np.array([-np.sin(turn), np.cos(turn)]) * 0.7
            ends = np.rint(np.array([x, y]) + np.array([-side, side])).astype(int)
            edges = seen[np.clip(ends[:, 1], 0, h - 1), np.clip(ends[:, 0], 0, w - 1)]
            paints = np.clip(
                0.5 * edges + 0.5 * seen[y, x] + rng.normal(0, 0.028, (2, 1)) + rng.normal(0, 0.012, (2, 3)), 0, 1
            )
            half = radius * rng.uniform(1.5, 2.7), radius * rng.uniform(0.75, 1.1)
            slab(canvas, relief, np.array([x, y]), turn, half, paints, rng)
    gx, gy = gradient(blur(relief, 0.6))
    light = np.clip(0.16 * (gx + 1.25 * gy), -0.22, 0.20)[..., None]
    return np.clip(canvas * (1 + light) + 0.30 * np.maximum(light, 0), 0, 1)


# ---------------------------------------------------------------------------------------------------------------------
# Pen and chalk.


def laid(h: int, w: int, rng: np.random.Generator) -> Array:
    """Toned paper (h, w, 3): fibres, a slow cloudiness, and a little of its making's ribs."""
    fibre = blur(rng.standard_normal((h, w)).astype(F32), 0.8)
    cloud = blur(rng.standard_normal((-(-h // 16), -(-w // 16))).astype(F32), 3.0)
    cloud = np.kron(cloud, np.ones((16, 16), F32))[:h, :w]
    ribs = np.sin(np.arange(w, dtype=F32) * 1.3)[None]
    tone = 1 + 0.09 * fibre + 0.10 * blur(cloud, 8.0) + 0.006 * ribs
    return (PAPER * tone[..., None]).astype(F32)


def runs(inked: Array) -> Iterator[slice]:
    """Parts of a line of at least three points that are to be drawn, of a boolean (n,)."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], inked, [False]]).astype(int)))
    for begin, end in zip(edges[::2], edges[1::2], strict=True):
        if end - begin >= 3:
            yield slice(begin, end)


def hatching(
    tone: Array, angle: Array, layer: tuple[float, float, float], scale: float, rng: np.random.Generator
) -> Iterator[Array]:
    """Lines (n, 2) of x and y in px where `tone` (h, w) is above the layer's threshold, in patches as a hand lays them.

    A patch has one direction, that of `angle` (h, w) in its middle turned by the layer's, and parallel lines of unequal
    length; it is denser the more the tone is above the threshold.
    """
    h, w = tone.shape
    threshold, turned, apart = layer[0], layer[1], layer[2] * scale
    cell = 5 * apart
    for cy in np.arange(0, h + cell, cell):
        for cx in np.arange(0, w + cell, cell):
            x, y = (cx, cy) + rng.uniform(-0.35, 0.35, 2) * cell
            iy, ix = np.clip(int(y), 0, h - 1), np.clip(int(x), 0, w - 1)
            turn = angle[iy, ix] + turned + rng.normal(0, 0.08)
            ahead, beside = np.array([np.cos(turn), np.sin(turn)]), np.array([-np.sin(turn), np.cos(turn)])
            step = apart / np.clip(0.8 + 1.4 * (tone[iy, ix] - threshold), 0.8, 1.3)
            bow = rng.normal(0, 0.05)  # lines of a patch are bent alike, by the wrist
            for offset in np.arange(-0.6 * cell, 0.6 * cell, step):
                half = cell * rng.uniform(0.55, 0.85)
                s = np.arange(-half, half, max(1.5 * scale, 1.0))
                shift = offset + rng.normal(0, 0.10) * step + bow * s * s / cell
                line = np.array([x, y]) + s[:, None] * ahead + shift[:, None] * beside
                inside = (line >= 0).all(1) & (line[:, 0] < w) & (line[:, 1] < h)
                px, py = np.clip(line, 0, [w - 1, h - 1]).astype(int).T
                for part in runs(inside & (tone[py, px] > threshold + rng.normal(0, 0.025))):
                    yield line[part]


def outlines(grey: Array, scale: float, rng: np.random.Generator) -> Iterator[Array]:
    """Lines (n, 2) of x and y in px along the steep edges of `grey` (h, w), each followed both ways from a seed."""
    h, w = grey.shape
    gx, gy = gradient(blur(grey, 1.3 * scale))
    steep = np.hypot(gx, gy) * scale
    field = flow(grey, 0.0, 2.2 * scale)
    start = seeds(steep, max(3, round(8 * scale)), 0.019, rng)
    for point in start:
        turn = field[point[1], point[0]]
        halves = []
        for sign in (1, -1):
            at, last, path = point.astype(F32), sign * np.array([np.cos(turn), np.sin(turn)]), []
            for _ in range(int(rng.integers(4, 10))):
                at = at + 1.6 * scale * last
                x, y = (int(v) for v in at)
                if not (0 <= x < w and 0 <= y < h) or steep[y, x] < 0.017:
                    break
                d = np.array([np.cos(field[y, x]), np.sin(field[y, x])])
                last = d if d @ last > 0 else -d
                path.append(at)
            halves.append(path)
        line = [*halves[1][::-1], point.astype(F32), *halves[0]]
        if len(line) >= 4:
            yield np.array(line) + rng.normal(0, 0.5 * scale, 2)


def draw(cover: Array, line: Array, width: float, strength: float, rng: np.random.Generator) -> None:
    """Add a line to `cover` (h, w), the share of each pixel that is drawn over; the pen is lifted towards the ends.

    `line` (n, 2) and `width` are in px of `cover`.
    """
    s, x, y, nx, ny = ribbon(line, width)
    pressure = 0.45 + 0.55 * np.sin(np.pi * np.clip(s / s[-1], 0, 1)) ** 0.6
    across = np.arange(-0.5, 0.51, 0.5 / max(1.0, width))[None] * (width * pressure)[:, None]
    px = np.rint(x[:, None] + nx[:, None] * across).astype(int)
    py = np.rint(y[:, None] + ny[:, None] * across).astype(int)
    h, w = cover.shape
    inside = (px >= 0) & (px < w) & (py >= 0) & (py < h)
    flat = (py * w + px)[inside]
    strength = strength * rng.uniform(0.75, 1.0)
    cells = cover.reshape(-1)
    cells[flat] = np.maximum(cells[flat], strength) + 0.12 * (1 - cells[flat])


def halved(cover: Array) -> Array:
    """A drawing (2h, 2w) at half its size, which smooths its lines."""
    h, w = cover.shape
    return np.clip(cover, 0, 1).reshape(h // 2, 2, w // 2, 2).mean((1, 3))


def ink(photo: Array, rng: np.random.Generator) -> Array:
    """Hatching with a pen on toned paper, of a photo (h, w, 3) in sRGB (0-1): lights are heightened with chalk."""
    h, w, _ = photo.shape
    scale = max(w / WIDTH, LEAST_SCALE)
    grey = photo @ GREY
    near = blur(grey, 24 * scale)
    grey = np.clip(grey + 0.45 * (grey - near), 0, 1) ** 0.8  # local contrast: a pen has few tones
    grey = blur(grey, 1.5 * scale)
    angle = flow(grey, -0.65, 7 * scale)
    paper = laid(h, w, rng)
    tooth = blur(rng.standard_normal((h, w)).astype(F32), 0.7)
    chalk, pen = np.zeros((2 * h, 2 * w), F32), np.zeros((2 * h, 2 * w), F32)
    for layer in CHALKS:
        for line in hatching(grey, angle, layer, scale, rng):
            draw(chalk, 2 * line, max(2.0, 4.4 * scale), 0.80, rng)
    for layer in HATCHES:
        for line in hatching(1 - grey, angle, layer, scale, rng):
            draw(pen, 2 * line, max(1.0, 1.9 * scale), 0.80, rng)
    for line in outlines(grey, scale, rng):
        draw(pen, 2 * line, max(1.0, 2.0 * scale), 0.90, rng)
    white = halved(chalk) * smoothstep(-2.0, 1.2, tooth / tooth.std())  # chalk stays on the heights of the paper
    out = mix(paper, CHALK, white[..., None])
    return np.clip(mix(out, INK * np.ones_like(out), halved(pen)[..., None]), 0, 1)


MANNERS: dict[str, Callable[[Array, np.random.Generator], Array]] = {"knife": knife, "ink": ink}


def main() -> None:
    parser = argparse.ArgumentParser(description="Paint a photo in another manner than render.py does.")
    parser.add_argument("names", nargs="*", metavar="MANNER", help=f"{' or '.join(MANNERS)}; all by default")
    parser.add_argument("--photo", type=Path, default=Path(__file__).parent / "truth.jpg", help="the view to paint")
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parent, metavar="DIR", help="where to write NAME.jpg"
    )
    options = parser.parse_args()
    if unknown := [name for name in options.names if name not in MANNERS]:
        parser.error(f"no manner {unknown[0]}; there are {', '.join(MANNERS)}")
    options.out.mkdir(parents=True, exist_ok=True)
    photo = np.asarray(Image.open(options.photo).convert("RGB"), F32) / 255
    for name in options.names or MANNERS:
        save(MANNERS[name](photo, np.random.default_rng(SEED)), options.out / f"{name}.jpg")


if __name__ == "__main__":
    main()
