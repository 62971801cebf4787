"""Render the example pictures: a "photograph", a second view of the same coast, and a painting of that view.

Everything is procedural and deterministic; only numpy and pillow are needed.

The world is an implicit solid (a signed distance to a coast line, a grass plateau, a sea bed, an arch) that is
displaced with fractal noise and found by sphere tracing.  photo.jpg and truth.jpg are two cameras in that one world,
under one light.  painting.jpg repaints truth.jpg with curved brush strokes and with another palette, so that it stays
aligned with truth.jpg pixel by pixel.  With --third, a third camera's view is rendered and painted instead, of which
nothing else is made: for models that have learned from the others.  Other manners of painting are in
manners.py.

Sources of the ideas:
  * F. K. Musgrave, "Procedural Fractal Terrains", in Ebert et al., "Texturing and Modeling": ridged multifractals.
  * J. C. Hart, "Sphere Tracing" (1996), and I. Quilez's notes on soft shadows and on ambient occlusion by distance.
  * J. Tessendorf, "Simulating Ocean Water" (2001): waves from a directional spectrum; Bruneton et al. (2010): the
    Fresnel term of a rough sea.
  * A. Hertzmann, "Painterly Rendering with Curved Brush Strokes of Multiple Sizes" (1998).

Usage: python examples/render.py [--out DIR] [--size WIDTH] [--third]
"""

from __future__ import annotations

import argparse
import itertools
import time
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

Array = np.ndarray
F32 = np.float32

SEED = 1886
ASPECT = 832 / 1216
SUN = np.array([0.86, -0.03, 0.50]) / np.linalg.norm([0.86, -0.03, 0.50])
SUN_COLOUR = np.array([3.05, 2.68, 2.20], F32)
SKY_LIGHT = np.array([0.40, 0.55, 0.80], F32)
HORIZON = np.array([0.47, 0.63, 0.86], F32)
ZENITH = np.array([0.065, 0.190, 0.51], F32)
SKY, SEA, ROCK, GRASS = range(4)


# ---------------------------------------------------------------------------------------------------------------------
# Noise: periodic tables made once by FFT.  One look-up then costs the same for one octave as for five.


def band_noise(rng: np.random.Generator, shape: tuple[int, ...], waves: float) -> Array:
    """Periodic Gaussian noise of unit variance around `waves` cycles per table."""
    freq = np.sqrt(sum(f**2 for f in np.meshgrid(*[np.fft.fftfreq(n) * n for n in shape], indexing="ij")))
    band = np.exp(-2.5 * np.log2(np.maximum(freq, 1e-3) / waves) ** 2)
    noise = np.fft.ifftn(np.fft.fftn(rng.standard_normal(shape)) * band).real
    return noise / noise.std()


def fbm_table(rng: np.random.Generator, shape: tuple[int, ...], octaves: int, first: float = 2.0) -> Array:
    """Fractional Brownian motion (gain 0.5, lacunarity 2) of unit variance."""
    table = sum(0.5**i * band_noise(rng, shape, first * 2**i) for i in range(octaves))
    return (table / table.std()).astype(F32)


def ridged_table(rng: np.random.Generator, shape: tuple[int, ...], octaves: int, first: float = 2.0) -> Array:
    """Musgrave's ridged multifractal: fine ridges appear only where the coarse ones already are."""
    total, weight = np.zeros(shape), np.ones(shape)
    for i in range(octaves):
        signal = (1.0 - np.minimum(np.abs(band_noise(rng, shape, first * 2**i)), 1.6) / 1.6) ** 2 * weight
        total += signal * 0.55**i
        weight = np.clip(signal * 2.2, 0, 1)
    return ((total - total.mean()) / total.std()).astype(F32)


def look2(table: Array, x: Array, y: Array) -> Array:
    """Bilinear look-up in a periodic square table whose side is a power of two."""
    n = table.shape[0]
    flat, mask = table.reshape(-1), n - 1
    x0, y0 = np.floor(x), np.floor(y)
    fx, fy = x - x0, y - y0
    x0, y0 = x0.astype(np.int32) & mask, y0.astype(np.int32) & mask
    x1, y1 = ((x0 + 1) & mask) * n, (y0 + 1) & mask
    x0 = x0 * n
    a, b = flat[x0 + y0], flat[x0 + y1]
    c, d = flat[x1 + y0], flat[x1 + y1]
    a = a + (b - a) * fy
    c = c + (d - c) * fy
    return a + (c - a) * fx


def look3(table: Array, x: Array, y: Array, z: Array) -> Array:
    """Trilinear look-up in a periodic cubic table whose side is a power of two."""
    n = table.shape[0]
    flat, mask = table.reshape(-1), n - 1
    x0, y0, z0 = np.floor(x), np.floor(y), np.floor(z)
    fx, fy, fz = x - x0, y - y0, z - z0
    x0, y0, z0 = (v.astype(np.int32) & mask for v in (x0, y0, z0))
    x1, y1, z1 = ((x0 + 1) & mask) * (n * n), ((y0 + 1) & mask) * n, (z0 + 1) & mask
    x0, y0 = x0 * (n * n), y0 * n

    def face(base: Array) -> Array:
        low, high = base + y0, base + y1
        a = flat[low + z0]
        a = a + (flat[low + z1] - a) * fz
        b = flat[high + z0]
        b = b + (flat[high + z1] - b) * fz
        return a + (b - a) * fy

    near = face(x0)
    return near + (face(x1) - near) * fx


def smoothstep(low: float, high: float, x: Array) -> Array:
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def mix(a: Array | float, b: Array | float, t: Array) -> Array:
    return a + (b - a) * t


# ---------------------------------------------------------------------------------------------------------------------
# The world.

# The coast line from south to north, x pointing out to sea, in metres.  The land lies to the west of it.
COAST = [
    (-60, -1500), (40, -1180), (-30, -900), (-80, -640), (-40, -450), (35, -350), (84, -318), (90, -304), (60, -290),
    (-10, -262), (-62, -205), (-88, -110), (-84, -10), (-50, 78), (18, 128), (88, 146), (116, 158), (119, 170),
    (92, 182), (22, 190), (-48, 232), (-92, 320), (-80, 425), (-20, 505), (46, 548), (62, 566), (40, 590),
    (-40, 640), (-90, 760), (-40, 930), (60, 1080), (10, 1240), (-120, 1500),
]  # fmt: skip
# Sea stacks: x, y, radius, height of the top.
STACKS = [(158.0, 171.0, 8.5, 43.0), (121.0, -312.0, 8.0, 27.0), (112.0, 574.0, 9.0, 33.0), (134.0, -292.0, 5.0, 12.0)]
# Arches: centre x, y and z, direction of the passage in the plan, half width, half height.
ARCHES = [(93.0, 164.0, 6.0, 1.35, 10.5, 21.0), (66.0, -309.0, 3.0, 1.10, 7.5, 15.0)]


@dataclass
class Grid:
    """Plan of the world: per cell the distance inland, plateau height, sea bed height and dip of the strata."""

    cells: Array
    shape: tuple[int, int]
    origin: tuple[float, float]
    step: float

    def look(self, x: Array, y: Array) -> Array:
        """Bilinear look-up, clamped at the border so that the land never ends abruptly; returns (4, n)."""
        rows, cols = self.shape
        u = np.clip((x - self.origin[0]) * (1 / self.step), 0, cols - 1.001)
        v = np.clip((y - self.origin[1]) * (1 / self.step), 0, rows - 1.001)
        ui, vi = u.astype(np.int32), v.astype(np.int32)
        fu, fv = (u - ui)[:, None], (v - vi)[:, None]
        i = vi * cols + ui
        a, c = self.cells[i], self.cells[i + cols]
        a = a + (self.cells[i + 1] - a) * fu
        c = c + (self.cells[i + cols + 1] - c) * fu
        return (a + (c - a) * fv).T


@dataclass
class World:
    grid: Grid
    ledges: Array
    bands: Array
    rock: Array
    soft: Array
    plan: Array
    blobs: Array
    ripples: Array


def curve_through(points: list[tuple[float, float]], per_span: int) -> Array:
    """Catmull-Rom curve through the points."""
    p = np.asarray([points[0], *points, points[-1]], float)
    t = (np.arange(per_span) / per_span)[:, None]
    spans = [
        0.5
        * (
            2 * p[i]
            + (p[i + 1] - p[i - 1]) * t
            + (2 * p[i - 1] - 5 * p[i] + 4 * p[i + 1] - p[i + 2]) * t**2
            + (3 * p[i] - p[i - 1] - 3 * p[i + 1] + p[i + 2]) * t**3
        )
        for i in range(1, len(p) - 2)
    ]
    return np.concatenate([*spans, p[-1:]])


def inland_distance(x: Array, y: Array, line: Array) -> Array:
    """Signed distance to the coast line, positive on land (the side of smaller x)."""
    best, crossings = np.full(x.shape, 1e12, F32), np.zeros(x.shape, np.int8)
    for (ax, ay), (bx, by) in itertools.pairwise(line):
        dx, dy = bx - ax, by - ay
        t = np.clip(((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy), 0, 1)
        best = np.minimum(best, (x - ax - t * dx) ** 2 + (y - ay - t * dy) ** 2)
        straddles = (ay <= y) != (by <= y)
        crossings += straddles & (x < ax + (y - ay) * (dx / dy if dy else 0.0))
    return np.where(crossings % 2 == 1, 1, -1) * np.sqrt(best)


def build_grid(plan: Array, step: float = 1.25) -> Grid:
    """Bake everything that depends on the plan only; warping the query points makes the coast line ragged."""
    xs, ys = np.arange(-420, 330, step), np.arange(-1300, 1300, step)
    x, y = (v.astype(F32) for v in np.meshgrid(xs, ys))
    wx = look2(plan, x * 2.3 + 31, y * 2.3 + 7)
    wy = look2(plan, x * 2.3 + 411, y * 2.3 + 207)
    ridge = np.abs(look2(plan, x * 5.1 + 77, y * 5.1 + 91))
    line = curve_through(COAST, 5)
    d = inland_distance(x + 5.0 * wx, y + 5.0 * wy, line) + 2.5 * (0.8 - ridge)
    smooth_d = inland_distance(x, y, line)
    hills = look2(plan, x * 0.37 + 12, y * 0.37 + 530) * 5.0 + look2(plan, x * 1.3, y * 1.3 + 99) * 1.6
    # The plateau falls towards the points of the headlands and rises inland, which hides the far edge of the map.
    top = 47 + hills + 0.085 * np.clip(smooth_d, 0, 500) - 0.10 * np.clip(x, 0, 140)
    for sx, sy, radius, height in STACKS:
        r = np.hypot(x - sx + 1.6 * wx, y - sy + 1.6 * wy)
        d = np.maximum(d, radius - r)
        top = np.where(r < radius + 12, height - 0.35 * r, top)
        smooth_d = np.maximum(smooth_d, radius - r - 8)
    # Shingle gathers in the coves; the headlands, which reach out to sea, stand in deep water.
    exposed = smoothstep(-45, 25, x)
    bed = 4.2 - 6.0 * exposed + (0.115 + 0.05 * exposed) * np.minimum(smooth_d, 0) + 0.5 * wx
    dip = 2.2 * look2(plan, x * 0.8, y * 0.8 + 300) - 0.018 * y
    cells = np.stack([d, top, np.maximum(bed, -30), dip], -1).astype(F32).reshape(-1, 4)
    return Grid(np.ascontiguousarray(cells), x.shape, (float(xs[0]), float(ys[0])), step)


def strata_tables(rng: np.random.Generator) -> tuple[Array, Array]:
    """Two periodic columns through the rock (64 m in 1024 samples): how far beds stick out, and how dark they are."""
    ledges, bands = np.zeros(1024), np.zeros(1024)
    height = 0
    while height < 1024:
        thickness = int(rng.integers(14, 62))
        ledges[height : height + thickness] = rng.normal(0, 0.36)
        bands[height : height + thickness] = rng.normal(0, 0.5)
        if rng.random() < 0.75:  # a seam of flint on top of the bed: thin, dark, a little eroded
            seam = slice(height + thickness - 5, height + thickness)
            ledges[seam] -= 0.35
            bands[seam] -= rng.uniform(1.0, 2.4)
        height += thickness
    kernel = np.hanning(7) / np.hanning(7).sum()
    ledges = np.convolve(np.pad(ledges, 3, mode="wrap"), kernel, "valid")
    bands = np.convolve(np.pad(bands, 3, mode="wrap"), kernel, "valid")
    return ledges.astype(F32), bands.astype(F32)


def ocean_slopes(rng: np.random.Generator, n: int = 512, size: float = 170.0) -> Array:
    """Height (m) and slopes of a wind sea over a periodic square: Phillips spectrum, wind towards the shore."""
    k = np.fft.fftfreq(n, size / n) * 2 * np.pi
    kx, ky = np.meshgrid(k, k, indexing="ij")
    kk = np.maximum(np.hypot(kx, ky), 1e-6)
    towards = (kx * -0.88 + ky * 0.47) / kk
    longest = 3.4
    spectrum = np.exp(-1 / (kk * longest) ** 2 - (kk * 0.22) ** 2) / kk**3.7 * (0.12 + np.abs(towards) ** 3)
    spectrum[0, 0] = 0
    field = np.fft.fft2(rng.standard_normal((n, n))) * np.sqrt(spectrum)
    height, sx, sy = (np.fft.ifft2(field * f).real for f in (1.0, 1j * kx, 1j * ky))
    gain = 0.17 / np.sqrt(sx.var() + sy.var())
    return np.stack([height, sx, sy]).astype(F32) * F32(gain)


def build_world() -> World:
    rng = np.random.default_rng(SEED)
    plan = fbm_table(rng, (1024, 1024), 6, 12.0)
    ledges, bands = strata_tables(rng)
    rock = ridged_table(rng, (128,) * 3, 5)
    soft = fbm_table(rng, (128,) * 3, 5)
    blobs = fbm_table(rng, (512, 512), 2, 20.0)
    return World(build_grid(plan), ledges, bands, rock, soft, plan, blobs, ocean_slopes(rng))


def column(table: Array, z: Array) -> Array:
    """Linear look-up in a periodic column of 16 samples per metre."""
    u = z * 16
    i = np.floor(u)
    f = u - i
    i = i.astype(np.int32)
    a = table[i & 1023]
    return a + (table[(i + 1) & 1023] - a) * f


def smooth_max(a: Array, b: Array, k: float) -> Array:
    h = np.maximum(k - np.abs(a - b), 0) / k
    return np.maximum(a, b) + h * h * (k * 0.25)


def arch_distance(x: Array, y: Array, z: Array) -> Array:
    """Distance to the passages: elliptic vaults, measured across their direction."""
    best = np.full(x.shape, 1e3, F32)
    for cx, cy, cz, angle, half_w, half_h in ARCHES:
        c, s = np.cos(angle), np.sin(angle)
        across, along = -s * (x - cx) + c * (y - cy), c * (x - cx) + s * (y - cy)
        r = np.sqrt((across / half_w) ** 2 + (np.maximum(z - cz, 0) / half_h) ** 2)
        vault = (r - 1) * min(half_w, half_h)
        best = np.minimum(best, np.maximum(vault, np.abs(along) - 60))
    return best


def scrub(w: World, x: Array, y: Array) -> Array:
    """Where bushes stand, from 0 to 1: round blobs that keep together in thickets."""
    thicket = look2(w.plan, x * 1.6 + 300, y * 1.6 + 41)
    blob = look2(w.blobs, x * 4.1 + 3, y * 4.1) + 0.15 * look2(w.blobs, x * 15 + 3, y * 15)
    return smoothstep(1.0, 2.5, 0.8 * blob + 0.95 * thicket)


def ground_bumps(w: World, x: Array, y: Array, z: Array, d: Array, fine: bool) -> Array:
    """Hummocks, bushes and tussocks on the plateau, in metres."""
    bushes = scrub(w, x, y) * smoothstep(4, 8, d - 0.13 * z)  # wind keeps the edge of the cliff bare
    bumps = 0.20 * look2(w.plan, x * 9 + 5, y * 9 + 17) + 1.15 * bushes**0.7
    # Leaves need noise in three dimensions; on a height field they would smear down the sides of the bush.
    bumps = bumps - 0.36 * np.sqrt(bushes) * look3(w.rock, x * 9.7, y * 9.7 + 44, z * 9.7)
    if fine:
        tufts = look2(w.plan, x * 61 + 11, y * 61 + 23)
        leaves = look3(w.rock, x * 37, y * 37 + 44, z * 37)
        bumps = bumps + 0.085 * tufts * (1 - bushes) - 0.15 * bushes * leaves
    return bumps


def rock_relief(w: World, x: Array, y: Array, z: Array, dip: Array, fine: bool) -> Array:
    """How far the rock recedes behind the mean cliff face: buttresses, joints, beds, blocks."""
    u, v = 0.82 * x + 0.57 * y, 0.82 * y - 0.57 * x  # turned, so that the tables do not repeat along the coast
    blocks = look3(w.rock, u * 2.3, v * 2.3, z * 1.9)
    gullies = look3(w.rock, u * 1.15 + 40, v * 1.15 + 9, z * 0.22)
    swell = look3(w.soft, u * 0.61 + 80, v * 0.61 + 21, z * 0.33)
    ledge = column(w.ledges, z + dip + 0.25 * blocks)
    relief = 1.5 * swell - 0.55 * blocks - (0.45 + 0.25 * swell) * gullies - 1.25 * ledge
    if fine:
        chips = look3(w.rock, u * 13.1 + 3, v * 13.1 + 5, z * 17.3)
        relief = relief - (0.13 + 0.03 * blocks) * chips
    return relief


def distance(w: World, x: Array, y: Array, z: Array, fine: bool = False) -> Array:
    """Estimate of the signed distance to the land."""
    d, top, bed, dip = w.grid.look(x, y)
    wall = 0.13 * z - d
    roof = z - top
    # Far from the surface the displacement does not matter: leave room for it and save the look-ups.
    out = np.maximum(np.maximum(wall, roof) - 4.5, 0.5)
    out = np.minimum(out, np.maximum(z - bed - 2.5, 0.3))
    near = np.flatnonzero((np.maximum(wall, roof) < 6) | (z - bed < 3.2))
    if near.size:
        x, y, z = x[near], y[near], z[near]
        relief = rock_relief(w, x, y, z, dip[near], fine)
        roof = roof[near] - ground_bumps(w, x, y, z, d[near], fine)
        cliff = smooth_max(wall[near] + relief, roof, 2.2)
        cliff = smooth_max(cliff, 0.5 * relief - arch_distance(x, y, z), 1.2)
        out[near] = np.minimum(cliff, z - bed[near] - shingle(w, x, y, d[near], fine))
    return out


def shingle(w: World, x: Array, y: Array, d: Array, fine: bool) -> Array:
    """Height of boulders and pebbles above the bare sea bed; the boulders lie below the cliff that dropped them."""
    fallen = smoothstep(-17, -1, d + 5 * look2(w.plan, x * 1.9 + 64, y * 1.9 + 3))
    blocks = look2(w.blobs, x * 9.3 + 88, y * 9.3 + 19) + 0.8 * look2(w.blobs, x * 4.1, y * 4.1 + 60)
    stones = look2(w.blobs, x * 27 + 8, y * 27 + 190)
    bumps = 0.75 * np.sqrt(np.maximum(blocks - 0.2, 0)) + 0.27 * np.sqrt(np.maximum(stones, 0))
    bumps = fallen * (bumps + 0.4)
    if fine:
        bumps = bumps + (0.03 + 0.10 * fallen) * look2(w.plan, x * 93 + 8, y * 93 + 77)
    return bumps


# ---------------------------------------------------------------------------------------------------------------------
# Rays.


@dataclass
class Camera:
    position: tuple[float, float, float]
    target: tuple[float, float, float]
    width: float  # tangent of half the horizontal field of view

    def rays(self, u: Array, v: Array) -> Array:
        """Unit directions for picture coordinates: u in [-1, 1] to the right, v in [-aspect, aspect] down."""
        forward = np.subtract(self.target, self.position)
        forward = forward / np.linalg.norm(forward)
        right = np.cross(forward, [0, 0, 1])
        right /= np.linalg.norm(right)
        up = np.cross(right, forward)
        rays = [forward[i] + self.width * (u * right[i] - v * up[i]) for i in range(3)]
        rays = np.stack(rays).astype(F32)
        return rays / np.sqrt((rays**2).sum(0))


def march(w: World, origin: Array, rays: Array, limit: Array, pixel: float) -> Array:
    """Distance along each ray to the land, or infinity."""
    t = np.full(rays.shape[1], 4.0, F32)
    hit = np.full(rays.shape[1], np.inf, F32)
    active = np.arange(rays.shape[1])
    for _ in range(260):
        p = origin[:, None] + rays[:, active] * t[active]
        f = distance(w, *p)
        ta = t[active]
        close = f < 0.35 * pixel * ta
        hit[active[close]] = ta[close]
        ta = ta + np.maximum(f * 0.55, 0.25 * pixel * ta)
        t[active] = ta
        gone = (ta > limit[active]) | ((p[2] > 125) & (rays[2, active] > 0))
        active = active[~(close | gone)]
        if not active.size:
            break
    else:
        hit[active] = t[active]  # still creeping along the ground at a grazing angle: as good as there
    found = np.flatnonzero(np.isfinite(hit))
    for _ in range(3):  # settle on the surface, so that shading does not show the steps of the march
        p = origin[:, None] + rays[:, found] * hit[found]
        hit[found] += np.clip(0.6 * distance(w, *p), -2 * pixel * hit[found], 2 * pixel * hit[found])
    return hit


def normals(w: World, p: Array, eps: Array) -> Array:
    """Gradient of the distance by four tetrahedral samples, `eps` apart so that finer detail is filtered out."""
    n = np.zeros_like(p)
    for k in ((1, -1, -1), (-1, -1, 1), (-1, 1, -1), (1, 1, 1)):
        k = np.array(k, F32)[:, None]
        n += k * distance(w, *(p + k * eps), fine=True)
    return n / np.sqrt((n**2).sum(0) + 1e-12)


def sun_visibility(w: World, p: Array, rng: np.random.Generator, steps: int = 32) -> Array:
    """Soft shadow: the narrowest clearance on the way to the sun, relative to the distance travelled."""
    light = np.ones(p.shape[1], F32)
    t = rng.uniform(0.2, 0.6, p.shape[1]).astype(F32)  # unequal starts turn banding into grain
    active = np.arange(p.shape[1])
    for _ in range(steps):
        q = p[:, active] + SUN[:, None].astype(F32) * t[active]
        f = distance(w, *q)
        light[active] = np.minimum(light[active], 0.6 + 12 * f / t[active])
        t[active] += np.clip(f * 0.8, 0.22, 14)
        active = active[(light[active] > 0.02) & (t[active] < 220) & (q[2] < 90)]
        if not active.size:
            break
    return smoothstep(0, 1, np.clip(light, 0, 1))


def openness(w: World, p: Array, n: Array) -> Array:
    """Ambient occlusion: how much the distance field lags behind the distance walked along the normal."""
    lack = np.zeros(p.shape[1], F32)
    for reach, weight in ((0.5, 0.55), (1.4, 0.26), (3.6, 0.11), (8.0, 0.045)):
        lack += weight * np.clip(reach - distance(w, *(p + n * reach)), 0, reach)
    return np.exp(-1.05 * lack)


def sky_gradient(rays: Array) -> Array:
    """Clear sky: pale at the horizon, deep above, warmer around the sun; returns (3, n)."""
    up = np.clip(rays[2], 0, 1)
    blue = mix(HORIZON[:, None], ZENITH[:, None], 1 - np.exp(-6.5 * up))
    glow = np.clip((rays * SUN[:, None]).sum(0), 0, 1).astype(F32)
    return (blue + np.array([0.30, 0.24, 0.15], F32)[:, None] * glow**7).astype(F32)


def haze(colour: Array, rays: Array, t: Array) -> Array:
    """Aerial perspective: light lost on the way, and sky light gained, blue first."""
    loss = np.exp(-t[None] * np.array([0.9, 1.1, 1.5], F32)[:, None] / 4200)
    level = rays.copy()
    level[2] = 0.02
    return colour * loss + sky_gradient(level) * 0.93 * (1 - loss)


# ---------------------------------------------------------------------------------------------------------------------
# Materials.


def fade(wavelength: float, footprint: Array) -> Array:
    """Weight of a texture layer: none once its waves get smaller than about two pixels."""
    return np.clip(1.5 - 2.2 * footprint / wavelength, 0, 1)


def paint_rock(w: World, p: Array, n: Array, foot: Array, dip: Array) -> Array:
    """Chalk: cream beds, dark seams of flint, rusty streaks below them, algae at the water line."""
    x, y, z = p
    u, v = 0.82 * x + 0.57 * y, 0.82 * y - 0.57 * x
    blotch = look3(w.soft, u * 1.7 + 9, v * 1.7, z * 2.6)
    streak = look3(w.soft, u * 6.1, v * 6.1 + 50, z * 0.45)
    grit = look3(w.soft, u * 19 + 70, v * 19, z * 31) * fade(0.9, foot)
    speck = look3(w.rock, u * 57, v * 57 + 33, z * 57) * fade(0.35, foot)
    joint = look3(w.soft, u * 3.7 + 17, v * 3.7 + 71, z * 0.5)
    bands = column(w.bands, z + dip + 0.35 * blotch)
    tone = 0.64 + 0.065 * bands + 0.05 * blotch + 0.045 * grit + 0.03 * speck
    tone = tone * (1 - 0.42 * np.exp(-((joint / 0.05) ** 2)) * fade(1.2, foot))
    warm = np.clip(0.30 + 0.30 * streak - 0.12 * bands + 0.18 * blotch, 0, 1)
    colour = np.stack([tone * 1.04, tone * (0.985 - 0.17 * warm), tone * (0.88 - 0.42 * warm)])
    grey = smoothstep(0.3, 1.8, -streak + 0.5 * blotch)
    colour = mix(colour, tone * np.array([0.72, 0.70, 0.66], F32)[:, None], 0.6 * grey)
    wet = smoothstep(4.2, 0.6, z + 1.1 * blotch)
    return mix(colour, np.array([0.13, 0.125, 0.085], F32)[:, None] * (1 + 0.3 * grit), 0.85 * wet)


def paint_grass(w: World, p: Array, foot: Array, d: Array) -> Array:
    """Turf: lush and dry patches, dark scrub, tussocks, and a worn footpath along the edge."""
    x, y, z = p
    field = look2(w.plan, x * 1.1 + 7, y * 1.1 + 140)
    patch = look2(w.plan, x * 6.7 + 90, y * 6.7 + 14)
    tuft = look2(w.plan, x * 43 + 9, y * 43) * fade(0.9, foot)
    blade = look2(w.plan, x * 190, y * 190 + 60) * fade(0.22, foot)
    stalk = look2(w.plan, x * 530, y * 530 + 60) * fade(0.10, foot)
    dry = np.clip(0.34 + 0.22 * field + 0.22 * patch + 0.10 * tuft, 0, 1)
    lush, straw = np.array([0.100, 0.178, 0.040], F32)[:, None], np.array([0.315, 0.285, 0.115], F32)[:, None]
    colour = mix(lush, straw, dry) * np.clip(1 + 0.22 * tuft + 0.22 * blade + 0.2 * stalk + 0.08 * patch, 0.2, 2.2)
    bushes = scrub(w, x, y) * smoothstep(4, 8, d - 0.13 * z)
    leaf = look3(w.soft, x * 29, y * 29 + 8, z * 29) * fade(0.5, foot)
    twig = look3(w.rock, x * 110, y * 110 + 8, z * 110) * fade(0.2, foot)
    bush = np.array([0.070, 0.118, 0.030], F32)[:, None] * np.clip(1 + 0.28 * leaf - 0.25 * twig, 0.25, 2)
    path = np.exp(-(((d - 11 - 3.0 * field - 0.8 * patch) / 0.6) ** 2))
    colour = mix(colour, np.array([0.47, 0.40, 0.28], F32)[:, None] * (1 + 0.12 * tuft), 0.45 * path)
    return mix(colour, bush, 0.92 * smoothstep(0.01, 0.10, bushes + 0.02 * tuft))


def paint_beach(w: World, p: Array, foot: Array) -> Array:
    """Shingle and fallen chalk: pale and dry above, dark and wet at the water."""
    x, y, z = p
    pebble = look2(w.plan, x * 77, y * 77 + 6) * fade(0.5, foot)
    drift = look2(w.plan, x * 4.1 + 60, y * 4.1 + 9)
    tone = np.clip(0.40 + 0.09 * pebble + 0.05 * drift, 0.08, 0.8)
    wet = smoothstep(1.5, 0.25, z + 0.25 * drift)
    tone = tone * (1 - 0.55 * wet)
    return np.stack([tone * 1.06, tone * 0.96, tone * 0.80])


def shade_land(w: World, p: Array, t: Array, pixel: float, rng: np.random.Generator) -> tuple[Array, Array]:
    """Colour of land points, and their share of grass."""
    foot = pixel * t
    d, top, bed, dip = w.grid.look(p[0], p[1])
    n = normals(w, p, np.maximum(0.03, 0.7 * foot))
    broad = normals(w, p, np.maximum(0.5, 0.7 * foot))
    turf = smoothstep(0.50, 0.68, broad[2] + 0.07 * look2(w.plan, p[0] * 31, p[1] * 31)) * smoothstep(
        14, 22, p[2] - 0.25 * np.minimum(top - 40, 0)
    )
    # Well inside the edge everything is turf, however steep its hummocks are.
    turf = np.maximum(turf, smoothstep(0.8, 3.0, d - 0.13 * p[2]) * smoothstep(7, 4, np.abs(p[2] - top)))
    low = smoothstep(1.6, 0.4, p[2] - bed - 2.2 * smoothstep(0.5, 0.9, broad[2]))
    albedo = paint_rock(w, p, n, foot, dip)
    albedo = mix(albedo, paint_beach(w, p, foot), low * smoothstep(0.25, 0.7, broad[2]))
    albedo = mix(albedo, paint_grass(w, p, foot, d), turf)
    albedo = np.clip(albedo, 0.01, 0.9)
    lift = p + broad * np.maximum(0.28, 1.5 * foot)
    cosine = np.clip((n * SUN[:, None]).sum(0), 0, 1).astype(F32)
    # Blades of grass are not a flat Lambertian floor: they catch low light, and let some of it through.
    cosine = mix(cosine, 0.25 + 0.70 * cosine, turf)
    lit = cosine * sun_visibility(w, lift, rng)
    open_ = openness(w, lift, broad)
    ambient = SKY_LIGHT[:, None] * (0.55 + 0.45 * n[2]) * open_
    bounce = np.array([0.34, 0.31, 0.24], F32)[:, None] * (0.5 - 0.4 * n[2]) * (0.35 + 0.65 * open_)
    return albedo * (SUN_COLOUR[:, None] * lit + ambient + bounce) * 0.62, turf


def sea_slopes(w: World, x: Array, y: Array, foot: Array) -> tuple[Array, Array, Array, Array]:
    """Height and slopes of the waves at two scales, and the variance of the slopes too fine for the pixel."""
    scale = 512 / 170.0
    wide, fine = fade(2.6, foot), fade(0.75, foot)
    x2, y2 = 0.87 * x - 0.49 * y, 0.87 * y + 0.49 * x
    height, sx, sy = (look2(c, x * scale, y * scale) for c in w.ripples)
    _, rx, ry = (look2(c, x2 * scale * 4.3, y2 * scale * 4.3) for c in w.ripples)
    gust = np.clip(0.75 + 0.28 * look2(w.plan, x * 0.9 + 5, y * 0.55), 0.2, 1.5)
    sx, sy = (
        sx * wide + 0.62 * gust * fine * (0.87 * rx + 0.49 * ry),
        sy * wide + 0.62 * gust * fine * (0.87 * ry - 0.49 * rx),
    )
    lost = 0.006 + 0.014 * (1 - wide**2) + 0.006 * gust**2 * (1 - fine**2)
    return height, sx, sy, lost


def foam_cover(w: World, x: Array, y: Array, depth: Array, height: Array, foot: Array) -> Array:
    """Breakers that follow the depth lines, wash at the edge, and a few white horses out at sea."""
    web = look2(w.plan, x * 11 + 4, y * 11) + 0.6 * look2(w.plan, x * 47, y * 47 + 5) * fade(0.7, foot)
    drift = look2(w.plan, x * 2.9 + 40, y * 2.9 + 70)
    phase = depth * 1.9 + 1.2 * drift
    crest = np.exp(-((np.sin(phase * 0.5) / 0.30) ** 2)) * smoothstep(4.6, 1.2, depth + 0.7 * drift)
    edge = smoothstep(0.85, 0.05, depth + 0.16 * web)
    trail = smoothstep(3.6, 0.3, depth) * smoothstep(0.55, 1.7, web + 0.4 * drift)
    horses = smoothstep(0.62, 0.95, height + 0.10 * web) * smoothstep(0.1, 1.2, web)
    return np.clip(edge + crest * smoothstep(-0.7, 0.9, web) + 0.75 * trail + 0.7 * horses, 0, 0.95)


def shade_sea(w: World, p: Array, rays: Array, t: Array, pixel: float, rng: np.random.Generator) -> Array:
    """Water: reflected sky by Fresnel, light from within by depth, sun glitter, foam."""
    x, y, _ = p
    foot = pixel * t * np.sqrt(1 / np.maximum(-rays[2], 0.02))
    height, sx, sy, lost = sea_slopes(w, x, y, foot)
    _, _, bed, _ = w.grid.look(x, y)
    depth = np.maximum(-bed, 0) + 0.25 * np.clip(height, -1, 1)
    n = np.stack([-sx, -sy, np.ones_like(sx)])
    n /= np.sqrt((n**2).sum(0))
    cosine = np.clip(-(n * rays).sum(0), 0.02, 1)
    fresnel = 0.02 + 0.98 * (1 - cosine) ** 5 / (1 + 24 * np.sqrt(lost))
    mirrored = rays + 2 * cosine * n
    mirrored[2] = np.abs(mirrored[2]) + 0.12
    mirrored /= np.sqrt((mirrored**2).sum(0))
    sky = sky_gradient(mirrored) * 0.92
    shadow = np.ones_like(x)
    close = np.flatnonzero((t < 700) & (bed > -16))
    if close.size:
        shadow[close] = sun_visibility(w, p[:, close] + np.array([[0], [0], [0.3]], F32), rng, 22)
    deep, shoal, sand = (
        np.array(c, F32)[:, None] for c in ((0.010, 0.062, 0.130), (0.055, 0.270, 0.285), (0.40, 0.42, 0.33))
    )
    body = mix(shoal, deep, 1 - np.exp(-np.maximum(depth - 1.0, 0) / 5.5))
    body = mix(sand, body, 1 - np.exp(-depth / 0.9))
    body = body * (0.80 + 1.1 * np.clip(height, -0.4, 0.6) * fade(6, foot) * 0.5) * (0.45 + 0.55 * shadow)
    half = SUN[:, None] - rays
    sxh, syh = -half[0] / half[2], -half[1] / half[2]
    spread = lost + 0.004
    glint = np.exp(-((sxh - sx) ** 2 + (syh - sy) ** 2) / (2 * spread)) / spread * 0.010
    colour = mix(body, sky, fresnel) + SUN_COLOUR[:, None] * (np.minimum(glint, 3) * shadow).astype(F32)
    foam = foam_cover(w, x, y, depth, height, foot)
    white = np.array([0.80, 0.83, 0.84], F32)[:, None] * (0.42 + 0.62 * shadow)
    return mix(colour, white, foam)


def cloud_density(w: World, x: Array, y: Array, z: Array) -> Array:
    """Cumulus in a slab: flat below, heaped above, grouped by a slower field."""
    lift = (z - 900) / 900
    group = look2(w.plan, x * 0.012 + 61, y * 0.012 + 10)
    puff = look3(w.soft, x * 0.030 + 20, y * 0.030, z * 0.042)
    curl = look3(w.soft, y * 0.134, x * 0.134 + 8, z * 0.15)
    shape = 0.62 * puff + 0.55 * group + 0.17 * curl - 0.80 - 1.25 * np.clip(lift, 0, 1) ** 1.3
    return np.clip(shape, 0, 1) * smoothstep(0, 0.10, lift)


def clouds(w: World, rays: Array, phase: Array, steps: int = 84) -> tuple[Array, Array]:
    """March the slab of clouds; returns their brightness and cover."""
    slope = np.maximum(rays[2], 0.02)
    start, end = 900 / slope, np.minimum(1800 / slope, 900 / slope + 9000)
    step = (end - start) / steps
    through, glow = np.ones_like(slope), np.zeros_like(slope)
    for i in range(steps):
        live = np.flatnonzero(through > 0.03)
        if not live.size:
            break
        t = start[live] + (i + phase[live]) * step[live]
        p = rays[:, live] * t
        rho = cloud_density(w, *p)
        inside = np.flatnonzero(rho > 0.004)
        live, rho = live[inside], rho[inside]
        if not live.size:
            continue
        shade = np.zeros_like(rho)
        for reach in (90.0, 240.0):
            shade += cloud_density(w, *(p[:, inside] + SUN[:, None].astype(F32) * reach)) * reach
        opacity = 1 - np.exp(-rho * np.minimum(step[live], 120) * 0.040)
        lift = np.clip((p[2, inside] - 900) / 700, 0, 1)
        light = 0.46 + 0.16 * lift + 0.62 * np.exp(-0.017 * shade)
        glow[live] += through[live] * opacity * light
        through[live] *= 1 - opacity
    return glow, 1 - through


def shade_sky(w: World, rays: Array, phase: Array) -> Array:
    colour = sky_gradient(rays)
    glow, cover = clouds(w, rays, phase)
    tint = mix(np.array([0.80, 0.88, 1.0], F32)[:, None], np.array([1.04, 1.0, 0.95], F32)[:, None], glow)
    far = smoothstep(0.02, 0.20, rays[2])
    cover = cover * far
    return colour * (1 - cover) + tint * glow * far * 1.04


def trace(w: World, camera: Camera, u: Array, v: Array, pixel: float, phase: Array, rng: np.random.Generator) -> Array:
    """Linear colour (3) and shares of the four materials (4) for picture points."""
    rays = camera.rays(u, v)
    origin = np.array(camera.position, F32)
    out = np.zeros((7, u.size), F32)
    sea = np.where(rays[2] < -1e-4, -origin[2] / np.minimum(rays[2], -1e-4), np.inf).astype(F32)
    hit = march(w, origin, rays, np.minimum(sea, 4200), pixel)
    land, water = np.flatnonzero(hit < sea), np.flatnonzero((hit >= sea) & (sea < 60000))
    air = np.flatnonzero((hit == np.inf) & (sea >= 60000))
    if land.size:
        r, t = rays[:, land], hit[land]
        colour, turf = shade_land(w, origin[:, None] + r * t, t, pixel, rng)
        out[:3, land] = haze(colour, r, t)
        out[3 + GRASS, land], out[3 + ROCK, land] = turf, 1 - turf
    if water.size:
        r, t = rays[:, water], sea[water]
        out[:3, water] = haze(shade_sea(w, origin[:, None] + r * t, r, t, pixel, rng), r, 0.55 * t)
        out[3 + SEA, water] = 1
    if air.size:
        out[:3, air] = shade_sky(w, rays[:, air], phase[air])
        out[3 + SKY, air] = 1
    return out


def expose(linear: Array, rng: np.random.Generator) -> Array:
    """Film: a shoulder for the lights, a toe for the darks, a hint of vignette and grain; returns sRGB in [0, 1]."""
    h, w, _ = linear.shape
    yy, xx = np.mgrid[-1 : 1 : h * 1j, -1 : 1 : w * 1j]
    x = linear * (0.93 - 0.07 * (xx**2 + yy**2))[..., None]
    x = np.clip(x * (2.51 * x + 0.03) / (x * (2.43 * x + 0.59) + 0.14), 0, 1)
    grey = x.mean(-1, keepdims=True)
    x = np.clip(grey + 1.16 * (x - grey), 0, 1) ** (1 / 2.2)
    x = mix(x, x * x * (3 - 2 * x), 0.30)
    grain = rng.standard_normal((h, w, 1)) * 0.010 + rng.standard_normal((h, w, 3)) * 0.004
    return np.clip(x + grain * (1.15 - x), 0, 1).astype(F32)


def photograph(w: World, camera: Camera, width: int, sub: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Render a view; returns the sRGB picture and the four material shares per pixel."""
    height = round(width * ASPECT)
    total = np.zeros((7, height, width), F32)
    pixel = 2 * camera.width / (width * sub)
    rows = max(1, 60000 // width)
    for top in range(0, height, rows):
        n = min(rows, height - top)
        # The samples of one pixel share the steps through the clouds evenly; between pixels the steps differ.
        dither = rng.random(n * width, F32)
        for k in range(sub * sub):
            jx, jy = (k % sub + 0.5) / sub, (k // sub + 0.5) / sub
            v, u = np.mgrid[top : top + n, 0:width].reshape(2, -1)
            phase = (dither + F32(k / sub**2)) % 1
            u, v = (u + jx) * (2 / width) - 1, (v + jy) * (2 / width) - ASPECT
            part = trace(w, camera, u, v, pixel, phase, rng)
            # A bright speck must not outweigh its neighbours: limit it before averaging.
            part[:3] = np.minimum(part[:3], 4)
            total[:, top : top + n] += part.reshape(7, n, width) / (sub * sub)
    picture = np.moveaxis(total, 0, -1)
    return expose(picture[..., :3], rng), picture[..., 3:]


PHOTO = Camera((-107.0, -150.0, 78.0), (24.0, 140.0, 30.0), 0.48)
TRUTH = Camera((72.0, 420.0, 78.0), (43.0, 170.0, 29.0), 0.56)
THIRD = Camera((190.0, 300.0, 22.0), (60.0, 160.0, 26.0), 0.50)


# ---------------------------------------------------------------------------------------------------------------------
# The painting.

# Per material the painter's own colours (sRGB, 0-255) from shadow over middle to light.  Two ramps each: the second is
# mixed in by slow noise, so that large areas shimmer between neighbouring hues.
PALETTE = {
    SKY: (
        ((150, 186, 216), (190, 206, 218), (240, 230, 214), (255, 249, 236)),
        ((172, 184, 216), (212, 204, 212), (248, 228, 210), (255, 248, 232)),
    ),
    SEA: (
        ((84, 142, 152), (124, 190, 178), (176, 220, 202), (248, 246, 232)),
        ((122, 136, 178), (146, 180, 194), (186, 212, 208), (250, 242, 234)),
    ),
    ROCK: (
        ((142, 120, 148), (192, 158, 152), (232, 196, 166), (255, 236, 206)),
        ((128, 128, 166), (202, 170, 152), (240, 206, 166), (255, 240, 212)),
    ),
    GRASS: (
        ((88, 124, 98), (146, 168, 92), (200, 202, 112), (240, 230, 154)),
        ((88, 122, 122), (166, 166, 100), (216, 202, 122), (246, 228, 164)),
    ),
}
# Brightness (0-1) of the reference at which those colours stand.
KNOTS = {
    SKY: (0.54, 0.70, 0.84, 0.95),
    SEA: (0.10, 0.30, 0.46, 0.88),
    ROCK: (0.22, 0.50, 0.70, 0.92),
    GRASS: (0.15, 0.38, 0.58, 0.82),
}
# Where the picture itself suggests no direction the brush follows habit: the mean angle of the strokes per material,
# and how far it wanders.
HABIT = {SKY: (-0.22, 0.34), SEA: (0.03, 0.10), ROCK: (1.45, 0.30), GRASS: (-0.35, 0.50)}
BRUSHES = (24.0, 12.0, 6.5, 3.4)


def blur(image: Array, sigma: float) -> Array:
    """Gaussian blur of (h, w) or (h, w, c), with mirrored borders."""
    radius = max(1, int(3 * sigma + 0.5))
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    kernel = (kernel / kernel.sum()).astype(F32)
    for axis in (0, 1):
        pad = [(0, 0)] * image.ndim
        pad[axis] = (radius, radius)
        wide = np.pad(image, pad, mode="reflect")
        size = image.shape[axis]
        image = sum(k * np.take(wide, range(i, i + size), axis) for i, k in enumerate(kernel))
    return image


def gradient(grey: Array) -> tuple[Array, Array]:
    gy, gx = np.gradient(grey)
    return gx, gy


def recolour(photo: Array, shares: Array, w: World) -> Array:
    """See the view with the painter's eyes: every material on its own pastel ramp, with less contrast."""
    h, wide, _ = photo.shape
    grey = photo @ np.array([0.30, 0.59, 0.11], F32)
    yy, xx = np.mgrid[0:h, 0:wide].astype(F32) * (1216 / wide)
    drift = look2(w.plan, yy * 0.30 + 200, xx * 0.10)
    play = smoothstep(-0.9, 1.9, drift + 0.35 * look2(w.plan, yy * 0.9, xx * 0.5))[..., None]
    out = np.zeros_like(photo)
    for material, ramps in PALETTE.items():
        knots = np.array(KNOTS[material])
        tones = [np.stack([np.interp(grey, knots, np.array(r)[:, c]) for c in range(3)], -1) / 255 for r in ramps]
        out += shares[..., material, None] * mix(tones[0], tones[1], play).astype(F32)
    # A little of the true hue is kept, or clouds, foam and turf would lose their finer differences.
    return np.clip(out + 0.20 * (photo - grey[..., None]), 0, 1)


def brush_field(reference: Array, shares: Array, w: World) -> Array:
    """Unit direction of the brush per pixel: along the edges where there are any, else by habit."""
    gx, gy = gradient(blur(reference.mean(-1), 1.2))
    # The structure tensor averages orientations; plain gradients of opposite sign would cancel out.
    xx, yy, xy = (blur(v, 5.0) for v in (gx * gx, gy * gy, gx * gy))
    soft = blur(shares, 4.0)
    calm = 2.5e-5
    rows, cols = np.mgrid[0 : shares.shape[0], 0 : shares.shape[1]].astype(F32) * (1216 / shares.shape[1])
    wander = look2(w.plan, rows * 0.45 + 30, cols * 0.28 + 500)
    cos2, sin2 = -(xx - yy), -2 * xy
    for material, (mean, freedom) in HABIT.items():
        angle = mean + freedom * wander
        cos2 = cos2 + calm * soft[..., material] * np.cos(2 * angle)
        sin2 = sin2 + calm * soft[..., material] * np.sin(2 * angle)
    angle = 0.5 * np.arctan2(sin2, cos2)
    return np.stack([np.cos(angle), np.sin(angle)], -1)


def seeds(error: Array, step: int, threshold: float, rng: np.random.Generator) -> Array:
    """Hertzmann's grid: in every cell whose mean error is too large, the pixel with the largest error; (n, 2) x, y."""
    h, w = error.shape
    rows, cols = -(-h // step), -(-w // step)
    error = np.pad(error, ((0, rows * step - h), (0, cols * step - w)), mode="edge")
    cells = error.reshape(rows, step, cols, step).swapaxes(1, 2).reshape(rows, cols, -1)
    r, c = np.nonzero(cells.mean(-1) > threshold)
    noisy = cells[r, c] * rng.uniform(0.9, 1.1, (r.size, step * step))
    best = noisy.argmax(-1)
    points = np.stack([c * step + best % step, r * step + best // step], -1)
    return rng.permutation(np.minimum(points, [w - 1, h - 1]))


def trace_strokes(
    start: Array, reference: Array, canvas: Array, field: Array, radius: float, limits: tuple[int, int]
) -> list[Array]:
    """Follow the brush field from all seeds at once; a stroke ends where the canvas suits better than its paint."""
    h, w, _ = reference.shape
    x, y = start.T.astype(F32)
    colour = reference[start[:, 1], start[:, 0]]
    path, length = [start.astype(F32)], np.ones(len(start), int)
    alive = np.ones(len(start), bool)
    last = np.where(np.arange(len(start)) % 2, 1, -1)[:, None] * field[start[:, 1], start[:, 0]]
    for i in range(1, limits[1]):
        xi, yi = np.clip(x, 0, w - 1).astype(int), np.clip(y, 0, h - 1).astype(int)
        there = reference[yi, xi]
        worse = np.abs(there - canvas[yi, xi]).sum(-1) < np.abs(there - colour).sum(-1)
        alive &= ~(worse & (i > limits[0]))
        alive &= (x >= 0) & (x < w) & (y >= 0) & (y < h)
        if not alive.any():
            break
        d = field[yi, xi]
        d = np.where(((d * last).sum(-1) < 0)[:, None], -d, d)
        d = 0.6 * d + 0.4 * last  # the curvature filter: a wrist does not turn sharply
        last = d / np.maximum(np.sqrt((d**2).sum(-1, keepdims=True)), 1e-6)
        x, y = np.where(alive, x + radius * last[:, 0], x), np.where(alive, y + radius * last[:, 1], y)
        length[alive] = i + 1
        path.append(np.stack([x, y], -1))
    paths = np.stack(path, 1)
    return [paths[k, :n] for k, n in enumerate(length)]


@dataclass
class Canvas:
    colour: Array
    relief: Array  # thickness of the paint, for the shading at the end
    bristles: Array
    rng: np.random.Generator

    def stroke(self, path: Array, paint: Array, radius: float, opacity: float) -> None:
        """Sweep a bristle brush along the path: sample the swept ribbon more finely than the pixels and splat it."""
        s, x, y, nx, ny = ribbon(path, radius)
        width = np.arange(-radius, radius + 0.2, 0.45) / radius
        # Round off both ends of the ribbon.
        end = np.minimum(s, s[-1] - s) / radius
        half = np.sqrt(np.clip(1 - (1 - np.clip(end, 0, 1)) ** 2, 0.02, 1))[:, None]
        across = width[None] * half
        px = np.rint(x[:, None] + nx[:, None] * across * radius).astype(np.int32)
        py = np.rint(y[:, None] + ny[:, None] * across * radius).astype(np.int32)
        h, w = self.relief.shape
        inside = (px >= 0) & (px < w) & (py >= 0) & (py < h)
        row, col = self.rng.integers(0, 512, 2)
        # Bristles are long along the stroke and narrow across it; the brush runs dry towards the end.
        hair = self.bristles[
            (row + (s / 7).astype(int)[:, None]) & 511, (col + ((width + 1) * radius * 1.6).astype(int)[None]) & 511
        ]
        dry = (s / s[-1])[:, None] ** 2
        alpha = np.clip((1 - np.abs(width)[None] ** 3 - 0.35 * dry) * 2.0 + 0.45 * hair, 0, 1) * opacity
        flat, alpha, hair = (py * w + px)[inside], alpha[inside], hair[inside]
        paint = paint[None] * (1 + 0.045 * hair[:, None])
        target = self.colour.reshape(-1, 3)
        target[flat] += (paint - target[flat]) * alpha[:, None]
        ridge = np.broadcast_to(0.55 + 0.45 * np.abs(width)[None] ** 4, px.shape)[inside]  # paint piles up at the rim
        thick = self.relief.reshape(-1)
        thick[flat] += ((ridge + 0.45 * hair) * radius**0.35 - thick[flat]) * alpha * 0.85


def ribbon(path: Array, radius: float) -> tuple[Array, Array, Array, Array, Array]:
    """Smooth a polyline and resample it every 0.45 pixel: arc length, points and normals."""
    if len(path) == 1:
        path = np.array([path[0] - [radius, 0], path[0] + [radius, 0]])
    for _ in range(2):  # Chaikin's corner cutting tends to a quadratic B-spline
        cut = np.empty((2 * len(path), 2))
        cut[0], cut[-1] = path[0], path[-1]
        cut[1:-1:2] = 0.75 * path[:-1] + 0.25 * path[1:]
        cut[2:-1:2] = 0.25 * path[:-1] + 0.75 * path[1:]
        path = cut
    steps = np.hypot(*np.diff(path, axis=0).T)
    along = np.concatenate([[0], np.cumsum(steps)]) + np.arange(len(path)) * 1e-6
    s = np.arange(0, along[-1], 0.45)
    x, y = np.interp(s, along, path[:, 0]), np.interp(s, along, path[:, 1])
    dx, dy = np.gradient(x), np.gradient(y)
    norm = np.maximum(np.hypot(dx, dy), 1e-6)
    return s + 1e-3, x, y, -dy / norm, dx / norm


def jitter(paint: Array, amount: float, rng: np.random.Generator) -> Array:
    """Broken colour: each stroke a little lighter or darker, and a little off in hue, between rose and green-blue."""
    warm = rng.normal(0, amount)
    violet = rng.normal(0, 0.6 * amount)
    light = rng.normal(0, 0.8 * amount)
    return np.clip(paint + light + warm * np.array([0.6, 0.0, -0.6]) + violet * np.array([0.5, -0.6, 0.5]), 0, 1)


def weave(h: int, w: int, rng: np.random.Generator) -> Array:
    """Relief of a linen canvas: threads over and under one another, slightly uneven."""
    yy, xx = np.mgrid[0:h, 0:w]
    a, b = np.sin(xx * (np.pi / 2.1)), np.sin(yy * (np.pi / 2.1))
    threads = blur(rng.standard_normal((h, w)).astype(F32), 1.0)
    return (0.5 * a * b + 0.25 * (a**2 + b**2) + 1.2 * threads).astype(F32)


def varnish(canvas: Canvas, linen: Array) -> Array:
    """Light the paint from the upper left, so that ridges of paint and the canvas show."""
    relief = blur(canvas.relief, 0.7) + 0.10 * linen
    gx, gy = gradient(relief)
    light = np.clip(0.085 * (gx + 1.25 * gy), -0.11, 0.11)
    return np.clip(canvas.colour * (1 + light[..., None]) + 0.20 * np.maximum(light, 0)[..., None], 0, 1)


def paint(truth: Array, shares: Array, w: World, rng: np.random.Generator) -> Array:
    """Hertzmann's layers: from the coarse brush to the fine one, each only where the canvas is still wrong."""
    h, wide, _ = truth.shape
    scale = wide / 1216
    view = recolour(truth, shares, w)
    linen = weave(h, wide, rng)
    ground = np.array([0.83, 0.74, 0.62], F32) * (1 + 0.03 * linen[..., None])
    bristles = blur(np.pad(rng.standard_normal((512, 512)), 8, mode="wrap").astype(F32), 0.8)[8:-8, 8:-8]
    canvas = Canvas(ground.astype(F32), 0.2 * linen, bristles / bristles.std(), rng)
    plan = zip(BRUSHES, (0.0, 0.045, 0.057, 0.060), ((4, 9), (3, 9), (2, 10), (2, 9)), strict=True)
    for size, threshold, limits in plan:
        radius = max(size * scale, 1.5)
        reference = blur(view, 0.45 * radius)
        field = brush_field(reference, shares, w)
        # Broken colour is no error: judge the canvas as the eye mixes it, from a little farther away.
        error = np.sqrt(((blur(canvas.colour, 0.5 * radius) - reference) ** 2).sum(-1))
        start = seeds(error, max(2, round(0.9 * radius)), threshold, rng)
        strokes = trace_strokes(start, reference, canvas.colour.copy(), field, radius, limits)
        amount = 0.030 if size > 10 else 0.026
        for (x, y), path in zip(start, strokes, strict=True):
            canvas.stroke(path, jitter(reference[y, x], amount, rng), radius, 0.92)
    return varnish(canvas, linen)


# ---------------------------------------------------------------------------------------------------------------------


def save(picture: Array, path: Path, limit: int = 430_000) -> None:
    """Write a JPEG with the best quality that keeps the file below `limit` bytes."""
    image = Image.fromarray((picture * 255 + 0.5).astype(np.uint8))
    for quality in range(95, 50, -3):
        buffer = BytesIO()
        image.save(buffer, "JPEG", quality=quality, optimize=True)
        if buffer.tell() <= limit:
            break
    path.write_bytes(buffer.getvalue())
    print(f"{path}  {buffer.tell() / 1024:.0f} KB, quality {quality}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Render the example photograph, its twin view, and the painting.")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, metavar="DIR", help="where to write")
    parser.add_argument("--size", type=int, default=1216, metavar="WIDTH", help="width of the pictures in pixels")
    parser.add_argument("--third", action="store_true", help="a third view: third-photo.jpg and third-painting.jpg")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    world = build_world()
    if options.third:
        photo, shares = photograph(world, THIRD, options.size, 2, np.random.default_rng(SEED + 4))
        save(photo, options.out / "third-photo.jpg")
        save(paint(photo, shares, world, np.random.default_rng(SEED + 5)), options.out / "third-painting.jpg")
        return
    photo, _ = photograph(world, PHOTO, options.size, 2, np.random.default_rng(SEED + 1))
    save(photo, options.out / "photo.jpg")
    truth, shares = photograph(world, TRUTH, options.size, 2, np.random.default_rng(SEED + 2))
    save(truth, options.out / "truth.jpg")
    painting = paint(truth, shares, world, np.random.default_rng(SEED + 3))
    save(painting, options.out / "painting.jpg")
    psnr = -10 * np.log10(((painting - truth) ** 2).mean())
    print(f"painting against truth: {psnr:.1f} dB; {time.perf_counter() - began:.0f} s in all")


if __name__ == "__main__":
    main()
