"""The visible part of a picture with alpha, for those who learn from it: nothing hidden leaves a trace in its pixels.

Colours stored below transparent places are arbitrary. So the picture is cut to the box of what can be seen, and hidden
places within that box get mirrored parts of the visible ones: all pixels then are copies of visible pixels, with their
texture, whatever is measured or cut out of them. Pixels are (H, W, 3), alpha (H, W), both of 8 or 16 bits.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sincut.errors import ImageError, counted
from sincut.pictures import reading
from sincut.pictures.opening import told_with
from sincut.pictures.picture import Picture, Pixels

HIDDEN = 0.5  # of the largest alpha of the picture: what has less shows more of its ground than of itself
FAINTEST = 0.05  # of full alpha: a picture that nowhere has more cannot be seen
FAR = 2**30  # px: farther than any place

Mask = NDArray[np.bool_]


def visible_part(picture: Picture, least: int = 1) -> Picture:
    """The box of a picture that holds all that can be seen of it, what is hidden there replaced; alpha stays beside it.

    A picture without hidden places is the same, without alpha. Raises `ImageError` where nothing can be seen, or fewer
    than `least` pixels.
    """
    seen = visible_places(picture)
    if seen is None:
        return replace(picture, alpha=None)
    count = int(seen.sum())
    if count < least:
        few = counted(count, "of its pixels is", "of its pixels are")
        raise ImageError(f"only {few} not transparent, too few to learn from; show more of it")
    part = cut_to(picture, seen)
    h, w = part.size
    note = (
        f"only its visible part is learned from: {counted(count, 'pixel')} within {w}x{h}; nothing that is transparent"
    )
    return replace(part, notes=(*picture.notes, note))


def visible_places(picture: Picture) -> Mask | None:
    """True at the places (H, W) of a picture that can be seen; None where all can.

    Raises `ImageError` where none can.
    """
    if picture.alpha is None:
        return None
    most = int(picture.alpha.max())
    if most < FAINTEST * np.iinfo(picture.alpha.dtype).max:
        raise ImageError("is transparent everywhere: there is nothing to learn from; give a picture that can be seen")
    seen = picture.alpha >= HIDDEN * most
    return None if seen.all() else seen


def cut_to(picture: Picture, seen: Mask) -> Picture:
    """The box of a picture around all places that are `seen` (H, W), some at least, the others in it replaced."""
    rows, columns = (np.flatnonzero(seen.any(axis)) for axis in (1, 0))
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    alpha = None if picture.alpha is None else picture.alpha[box].copy()
    return replace(picture, pixels=mirrored_into(picture.pixels[box], seen[box]), alpha=alpha)


def load_visible(path: Path) -> Picture:
    """A picture file at its own size, with mirrored parts of what can be seen in place of what is hidden.

    Raises `ImageError` as `reading.load`, and where nothing can be seen.
    """
    picture = reading.load(path)
    with told_with(path):
        seen = visible_places(picture)
    return replace(picture, pixels=picture.pixels if seen is None else mirrored_into(picture.pixels, seen), alpha=None)


def mirrored_into(pixels: Pixels, seen: Mask) -> Pixels:
    """The pixels (H, W, 3), with mirrored parts of the places that are `seen` (H, W) in all others.

    A place is mirrored at the nearest border of what is seen, along its row or column. Where its mirror image is not
    seen either, it waits for the next round, in which that may be filled. Something has to be seen.
    """
    out = pixels.copy()
    seen = seen.copy()
    while not seen.all():
        distances = np.stack([_distances(seen, axis, ahead) for axis in (0, 1) for ahead in (False, True)])
        nearest, distance = distances.argmin(0), distances.min(0)
        y, x = np.nonzero(~seen & (distance < FAR))
        step = 2 * distance[y, x] - 1  # to the mirror image: the border lies between two pixels
        which = nearest[y, x]
        from_y = y + np.where(which == 0, -step, np.where(which == 1, step, 0))
        from_x = x + np.where(which == 2, -step, np.where(which == 3, step, 0))
        inside = (from_y >= 0) & (from_y < seen.shape[0]) & (from_x >= 0) & (from_x < seen.shape[1])
        y, x, from_y, from_x = (place[inside] for place in (y, x, from_y, from_x))
        there = seen[from_y, from_x]
        y, x, from_y, from_x = (place[there] for place in (y, x, from_y, from_x))
        out[y, x] = out[from_y, from_x]
        seen[y, x] = True
    return out


def _distances(seen: Mask, axis: int, ahead: bool) -> NDArray[Any]:
    """Distance (H, W) in px to the next place that is seen, along an axis, ahead or behind; `FAR` where there is none.

    It is 0 at places that are seen.
    """
    view = seen if not ahead else np.flip(seen, axis)
    place = np.arange(seen.shape[axis], dtype=np.int32)
    place = place[:, None] if axis == 0 else place[None, :]
    last = np.maximum.accumulate(np.where(view, place, -FAR), axis=axis)
    distance = np.minimum(place - last, FAR)
    return np.flip(distance, axis) if ahead else distance
