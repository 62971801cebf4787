"""ICC profiles: from the space of a file to sRGB, and back (ISO 15076-1, https://www.color.org/icc_specs2.xalter)."""

import io
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageCms

SAME_SPACE = 2  # of 255; a profile that maps no colour further is sRGB, whatever its name


class Transforms(NamedTuple):
    """Transforms of 8-bit RGB images between an RGB profile and sRGB."""

    to_srgb: ImageCms.ImageCmsTransform
    from_srgb: ImageCms.ImageCmsTransform


@lru_cache(maxsize=8)
def transforms_of(icc: bytes) -> Transforms | None:
    """The transforms of an RGB profile; None where it is sRGB itself, or damaged, which must stop no picture."""
    intent, flags = ImageCms.Intent.RELATIVE_COLORIMETRIC, ImageCms.Flags.BLACKPOINTCOMPENSATION
    levels = np.linspace(0, 255, 9).astype(np.uint8)
    cube = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(27, 27, 3)
    try:
        own, srgb = ImageCms.ImageCmsProfile(io.BytesIO(icc)), ImageCms.createProfile("sRGB")
        to = ImageCms.buildTransform(own, srgb, "RGB", "RGB", intent, flags)
        back = ImageCms.buildTransform(srgb, own, "RGB", "RGB", intent, flags)
        mapped = ImageCms.applyTransform(Image.fromarray(cube), to)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None
    differs = mapped is not None and np.abs(np.asarray(mapped).astype(int) - cube).max() > SAME_SPACE
    return Transforms(to, back) if differs else None


def managed(image: Image.Image, icc: bytes | None) -> Image.Image:
    """To RGB in sRGB through the embedded profile; by plain conversion where there is none or it does not fit."""
    if icc:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(icc))
            target = ImageCms.createProfile("sRGB")
            converted = ImageCms.profileToProfile(image, source, target, outputMode="RGB")
            if converted is not None:
                return converted
        except (ImageCms.PyCMSError, OSError, ValueError):
            pass  # a damaged profile must not stop the picture
    return image.convert("RGB")
