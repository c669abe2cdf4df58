"""The command line: one file per command, each of which parses, calls and prints.

Nothing here imports torch, transformers, optuna or scikit-learn at the top of a file: a command
imports what it calls when it runs, so that `--help` answers at once.
"""

from __future__ import annotations


def main() -> None:
    """Run `cp-search` with the arguments of this process, and exit with its code."""
    from search.cli.app import build_app

    build_app()(prog_name="cp-search")
