"""ICC profiles: from the space of a file to sRGB, and back (ISO 15076-1, https://www.color.org/icc_specs2.xalter)."""

import io
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageCms

SAME_SPACE = 2  # of 255; a profile that maps no colour further is sRGB, whatever its name
CONVERTED = "translated in sRGB instead of the space of its own ICC profile"
ONE_WAY = "converted to sRGB, and written in sRGB: its ICC profile leads from its space, but not back"
UNUSABLE = "its ICC profile is damaged or not for such colours: it was left out, and sRGB assumed"


class Transforms(NamedTuple):
    """Transforms of 8-bit RGB images between an RGB profile and sRGB; one way back is not in every profile."""

    to_srgb: ImageCms.ImageCmsTransform
    from_srgb: ImageCms.ImageCmsTransform | None


class Way(NamedTuple):
    """The use that is made of an RGB picture's profile: what is `applied` in reading, and `kept` for writing."""

    applied: bytes | None = None  # to convert to sRGB; None: the numbers are sRGB as they are
    kept: bytes | None = None
    note: str = ""


def transforms_of(icc: bytes) -> Transforms | None:
    """The transforms of an RGB profile; None where it is sRGB itself, or unusable, which must stop no picture."""
    usable, transforms = _looked_at(icc)
    return transforms if usable else None


def way_of(icc: bytes | None) -> Way:
    """The use that is made of the profile of a picture in RGB."""
    if not icc:
        return Way()
    usable, transforms = _looked_at(icc)
    if not usable:
        return Way(note=UNUSABLE)
    if transforms is None:
        return Way(kept=icc)
    return Way(icc, icc, CONVERTED) if transforms.from_srgb else Way(icc, None, ONE_WAY)


@lru_cache(maxsize=8)
def _looked_at(icc: bytes) -> tuple[bool, Transforms | None]:
    """True if an RGB profile can be used, and its transforms; none where it is sRGB."""
    intent, flags = ImageCms.Intent.RELATIVE_COLORIMETRIC, ImageCms.Flags.BLACKPOINTCOMPENSATION
    levels = np.linspace(0, 255, 9).astype(np.uint8)
    cube = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(27, 27, 3)
    try:
        own, srgb = ImageCms.ImageCmsProfile(io.BytesIO(icc)), ImageCms.createProfile("sRGB")
        to = ImageCms.buildTransform(own, srgb, "RGB", "RGB", intent, flags)
        mapped = ImageCms.applyTransform(Image.fromarray(cube), to)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return False, None
    if mapped is None or np.abs(np.asarray(mapped).astype(int) - cube).max() <= SAME_SPACE:
        return True, None
    try:
        back = ImageCms.buildTransform(srgb, own, "RGB", "RGB", intent, flags)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return True, Transforms(to, None)
    return True, Transforms(to, back)


def space_of(icc: bytes) -> str:
    """The space from which a profile leads, such as RGB, GRAY or CMYK; "" of a damaged one."""
    try:
        return str(ImageCms.ImageCmsProfile(io.BytesIO(icc)).profile.xcolor_space).strip()
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return ""


def managed(image: Image.Image, icc: bytes | None) -> tuple[Image.Image, bool]:
    """Greys or CMYK in sRGB, through the embedded profile, and True; by plain conversion, and False, without a usable
    one.
    """
    if not icc:
        return image.convert("RGB"), False
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        if image.mode == "L" and space_of(icc) == "RGB":  # greys are colours to it
            transforms = transforms_of(icc)
            image = image.convert("RGB")
            converted = ImageCms.applyTransform(image, transforms.to_srgb) if transforms else image
        else:
            converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
        if converted is not None:
            return converted, True
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        pass  # a damaged profile must not stop the picture
    return image.convert("RGB"), False
