"""What an error means at the command line: its words on stderr, and its exit code.

2: the user can mend it; 3: the study or the run ended before its time; 130: Ctrl-C, or SIGTERM. Anything else
is a fault of ours: it passes through with its traceback, and Python exits with 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from search.cli.output import echo
from search.interruption import Interrupted, terminable
from search.language import translated
from trainer import StudyEnded, UserError, disk_errors

USER_ERROR = 2
ENDED_EARLY = 3
INTERRUPTED = 130


@contextmanager
def exit_codes() -> Iterator[None]:
    """Turn the error tree into a message on stderr and the exit code that belongs to it."""
    try:
        with terminable(), disk_errors(Path()):
            yield
    except UserError as error:
        raise _exit(str(error), USER_ERROR) from error
    except StudyEnded as error:
        raise _exit(str(error), ENDED_EARLY) from error
    except Interrupted as error:
        raise _exit(error.go_on, INTERRUPTED) from error
    except KeyboardInterrupt as error:
        raise _exit("Interrupted.", INTERRUPTED) from error


def _exit(message: str, code: int) -> typer.Exit:
    if message:
        echo(translated(message), err=True)
    return typer.Exit(code)
