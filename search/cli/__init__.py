"""The command line: one file per command, each of which parses, calls and prints.

Nothing here imports torch, transformers, optuna or scikit-learn at the top of a file: a command
imports what it calls when it runs, so that `--help` answers at once.
"""

from __future__ import annotations

import os
import sys

#: OpenMP threads that spin while they wait starve each other on a busy machine: a 4-layer encoder on 2
#: cores beside one busy process trained at 6-16 examples/s spinning, 19-25 sleeping; alike when idle.
#: OpenMP reads it once, when torch is imported; children inherit it.
WAITING = {"OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0"}


def main() -> None:
    """Run `cp-search` with the arguments of this process, and exit with its code."""
    for name, value in WAITING.items():
        os.environ.setdefault(name, value)
    from search.cli.code_page import escape_what_cannot_be_shown
    from search.language import choose

    escape_what_cannot_be_shown()
    try:
        words = choose(sys.argv[1:])
    except ValueError as error:
        sys.exit(_refused(error))
    from typer.exceptions import Abort, TyperException

    from search.cli.app import build_app
    from search.cli.spoken import refused

    try:
        code = build_app(words)(args=words, prog_name="cp-search", standalone_mode=False)
    except (TyperException, Abort) as error:
        code = refused(error)
    sys.exit(code)


def _refused(error: ValueError) -> int:
    from search.language import translated

    sys.stderr.write(f"{translated(str(error))}\n")
    return 2
