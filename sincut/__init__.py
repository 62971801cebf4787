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
    "Blend": "sincut.blend",
    "Config": "sincut.config",
    "Model": "sincut.model",
    "Options": "sincut.translate",
    "Picture": "sincut.images",
    "Saving": "sincut.images",
    "SincutError": "sincut.errors",
    "Translator": "sincut.translate",
    "principal_components": "sincut.similarity",
    "similarity_maps": "sincut.similarity",
    "load": "sincut.translate",
    "presets": "sincut.config",
    "resolve": "sincut.config",
    "train": "sincut.run",
}

__all__ = ["Blend", "Config", "Model", "Options", "Picture", "Saving", "SincutError", "Translator"]
__all__ += ["load", "presets", "principal_components", "resolve", "similarity_maps", "train"]

if TYPE_CHECKING:
    from sincut.blend import Blend
    from sincut.config import Config, presets, resolve
    from sincut.errors import SincutError
    from sincut.images import Picture, Saving
    from sincut.model import Model
    from sincut.run import train
    from sincut.similarity import principal_components, similarity_maps
    from sincut.translate import Options, Translator, load


def __getattr__(name: str) -> Any:
    if name not in _MENU:
        raise AttributeError(f"module 'sincut' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_MENU[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
