"""One picture from bytes to bytes, as for `sincut apply MODEL - -o -`."""

import tempfile
from pathlib import Path

from sincut.errors import ImageError
from sincut.pictures.reading import suffix_of
from sincut.pictures.writing import AS_IT_CAME, Saving
from sincut.translation.options import PLAIN, Options
from sincut.translation.translator import Translator


def apply_bytes(
    data: bytes,
    translator: Translator,
    options: Options = PLAIN,
    saving: Saving = AS_IT_CAME,
    format_: str | None = None,
) -> tuple[bytes, tuple[str, ...]]:
    """Translate a picture file given as bytes, into the same format or that of the suffix `format_` (without a dot).

    Returns the bytes of the translation's file, and notes on conversions. Goes through temporary files, so that memory
    is bounded as everywhere. Raises `ImageError` that calls the picture `-`.
    """
    with tempfile.TemporaryDirectory() as place:
        source = Path(place, "stdin")
        source.write_bytes(data)
        try:
            suffix = f".{format_}" if format_ else suffix_of(source)
            target = Path(place, f"stdout{suffix}")
            notes = translator.apply_file(source, target, options, saving)
        except (ImageError, MemoryError) as error:
            what = str(error).removeprefix(f"{source}: ") or "does not fit into memory; use a smaller picture"
            raise ImageError(f"-: {what.replace(str(source), '-')}") from None
        return target.read_bytes(), notes
