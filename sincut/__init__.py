"""sincut: learn the look of one photo from one painting, then translate pictures of any size.

>>> import sincut
>>> translator = sincut.train("painting.jpg", "photo.jpg", "runs/first", config=sincut.resolve("quick"))
>>> translator = sincut.load("runs/first")
>>> translator.apply("another.jpg").save("out.png")

Everything is imported when first used, so that `import sincut` and `sincut --help` do not wait for torch.
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_MENU = {
    "Blend": "sincut.translation.blend",
    "Config": "sincut.config.sections",
    "Model": "sincut.model.model",
    "Options": "sincut.translation.options",
    "Picture": "sincut.pictures.picture",
    "Saving": "sincut.pictures.writing",
    "SincutError": "sincut.errors",
    "Translator": "sincut.translation.translator",
    "principal_components": "sincut.translation.similarity",
    "similarity_maps": "sincut.translation.similarity",
    "load": "sincut.translation.translator",
    "presets": "sincut.config.resolve",
    "resolve": "sincut.config.resolve",
    "train": "sincut.runs.run",
}

__all__ = ["Blend", "Config", "Model", "Options", "Picture", "Saving", "SincutError", "Translator"]
__all__ += ["load", "presets", "principal_components", "resolve", "similarity_maps", "train"]

if TYPE_CHECKING:
    from sincut.config.resolve import presets, resolve
    from sincut.config.sections import Config
    from sincut.errors import SincutError
    from sincut.model.model import Model
    from sincut.pictures.picture import Picture
    from sincut.pictures.writing import Saving
    from sincut.runs.run import train
    from sincut.translation.blend import Blend
    from sincut.translation.options import Options
    from sincut.translation.similarity import principal_components, similarity_maps
    from sincut.translation.translator import Translator, load


def __getattr__(name: str) -> Any:
    if name not in _MENU:
        raise AttributeError(f"module 'sincut' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_MENU[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
