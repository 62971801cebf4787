"""The commands: resolve what was typed, call the library, render what it says. No arithmetic here.

Heavy imports stand inside the commands, so that `--help` is instant. Results go to stdout, progress and errors to
stderr. Exit codes: 0 done, 1 something failed, 2 wrong usage, 130 interrupted with the work saved.
"""

from sincut.cli.started import STARTED

# isort: split
import os
import sys
import warnings
from typing import Any

import click

from sincut import __version__
from sincut.cli import apply, attended, doctor, exemplar, look, machine, models, study, train
from sincut.cli.console import tell
from sincut.cli.helping import InGroups
from sincut.errors import ConfigError, Interrupted, SincutError

# In this order: each imports only those before it.
MODULES = (
    "started",
    "console",
    "signals",
    "attended",
    "completion",
    "types",
    "helping",
    "children",
    "progress",
    "train",
    "apply",
    "look",
    "study",
    "exemplar",
    "models",
    "machine",
    "doctor",
)
LIBRARY_TOO_LARGE = "failed to map segment"  # says the system's loader
CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 110}
COMMANDS = {  # by the title that they stand under in the help, all in the order of use
    "Everyday": (train.train, apply.apply, machine.ui, models.models, look.inspect),
    "Look at results": (look.compare, look.report, look.evaluate, look.similarity, look.features),
    "Experiments": (study.study, look.curve),
    "Model files": (exemplar.exemplar, look.export),
    "This machine": (machine.presets, doctor.doctor, machine.bench),
}
EPILOG = """\b
Examples:
  sincut train painting.jpg photo.jpg -o runs/first
  sincut apply runs/first painting.jpg -o out.png

\b
Each command has its own --help. Guides and recipes: docs/index.md in the
clone of sincut's repository, or the site that is made of docs/."""

__all__ = ["STARTED", "main"]


class Commands(InGroups):
    """The one place where errors become exit codes."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; an error that a user can mend ends as one line on stderr and an exit code."""
        try:
            return super().invoke(ctx)
        except Interrupted as error:
            tell(f"sincut: {error}")
            sys.exit(130)
        except SincutError as error:
            tell(f"sincut: {' '.join(str(error).split())}")
            sys.exit(2 if isinstance(error, ConfigError) else 1)
        except BrokenPipeError:  # whoever read stdout has had enough, as `head` does
            os._exit(1)  # at a usual end Python would complain that it cannot flush
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            click.echo(f"sincut: {where}{error.strerror or error}; check the path and its permissions", err=True)
            sys.exit(1)
        except (MemoryError, ImportError) as error:
            if isinstance(error, ImportError) and LIBRARY_TOO_LARGE not in str(error):
                raise
            click.echo("sincut: there is not enough memory; close other programs, then try again", err=True)
            sys.exit(1)
        except KeyboardInterrupt:
            click.echo("sincut: stopped at once, nothing more was saved", err=True)
            sys.exit(130)


@click.group(cls=Commands, titles=COMMANDS, context_settings=CONTEXT, epilog=EPILOG, invoke_without_command=True)
@click.version_option(__version__, prog_name="sincut")
@click.pass_context
def main(ctx: click.Context) -> None:
    """Learn to turn a painting into the look of a photo, or back, then translate pictures of any size."""
    # Large tensors in huge pages: on a CPU, page faults else take a good part of every step. Read when torch loads.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    warnings.filterwarnings("ignore", message=r"`torch.jit.script` is deprecated")  # torch's and kornia's own use of it
    warnings.filterwarnings("ignore", module=r"PIL\.")  # of odd metadata, which stops no picture
    attended.begin()
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())
