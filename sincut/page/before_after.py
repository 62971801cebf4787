"""Two pictures in one place with a handle between them, moved by pointer, touch or keyboard."""

from pathlib import Path

from sincut.model.markup import render

# Of the handle's place, in percent of the width, and for those who cannot see it.
HANDLE = "Before and after: share of the picture that is shown as it was, in percent"


def before_after(before: Path, after: Path, caption: str) -> str:
    """HTML of the two pictures, `before` at the left of the handle. Both lie where Gradio serves files from."""
    sources = {"before": f"gradio_api/file={served(before)}", "after": f"gradio_api/file={served(after)}"}
    return str(render("page/assets/before-after.html", **sources, caption=caption, handle=HANDLE))


def served(path: Path) -> str:
    """The path of a copy where Gradio serves files from, named by its content."""
    from gradio.processing_utils import save_file_to_cache
    from gradio.utils import get_upload_folder

    return Path(save_file_to_cache(path, get_upload_folder())).as_posix()
