"""`cp-search report`: a study as one page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from search.cli.flags import Command
from search.cli.output import clean_stdout, echo, print_json
from search.cli.settings import StorageFlag

if TYPE_CHECKING:
    from search.report.facts import StudyFacts


@dataclass(frozen=True)
class ReportFlags:
    """Arguments of `report`."""

    study: Annotated[str, typer.Argument(help="Name of a study, its .db file, or its storage URL.")]
    to: Annotated[
        Path | None, typer.Option(metavar="FILE", help="File to write; of a page: studies/NAME/report.html.")
    ] = None
    md: Annotated[bool, typer.Option("--md", help="Markdown, on stdout unless --to is given.")] = False
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False
    no_texts: Annotated[
        bool, typer.Option("--no-texts", help="Show no texts of the test rows (error examples).")
    ] = False
    studies_dir: Annotated[Path, typer.Option(help="Directory of the studies.")] = Path("studies")
    storage: StorageFlag = None


def report(flags: ReportFlags) -> None:
    """Write what a study came to as one page that needs nothing else.

    The answer first; then the search, memory, the best configuration, errors. Works while it runs.
    """
    from search.language import current
    from search.report.words import words_in
    from trainer import UserError

    if flags.md and flags.json:
        raise UserError("--md and --json exclude each other; the page is HTML without either")
    words = words_in(current())
    with clean_stdout(flags.json or flags.md):
        from search.catalog import Catalog
        from search.report.gather import gather

        entry = Catalog(flags.studies_dir, flags.storage).find(flags.study)
        facts = gather(entry.storage_url, studies_dir=flags.studies_dir, name=entry.name)
    if flags.json:
        _put_json(facts, flags)
        return
    from search.report.compose import compose

    page = compose(facts, words, texts=not flags.no_texts)
    if flags.md:
        from search.report.markdown import render_markdown

        _put(render_markdown(page), flags.to)
        return
    from search.report.html import render_html

    _put(render_html(page), flags.to or Path(facts.directory) / "report.html")


def _put_json(facts: StudyFacts, flags: ReportFlags) -> None:
    document = facts.to_json(texts=not flags.no_texts)
    if flags.to is None:
        print_json(document)
        return
    from trainer import write_json

    _writable(flags.to)
    write_json(flags.to, document)
    echo(str(flags.to))


def _put(text: str, file: Path | None) -> None:
    if file is None:
        echo(text, nl=False)
        return
    from trainer import write_text

    _writable(file)
    write_text(file, text)
    echo(str(file))


def _writable(file: Path) -> None:
    """Make the place of `file`. Raises UserError: it cannot be written."""
    import os

    from trainer import UserError

    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--to {file}: cannot make {file.parent}: {error.strerror}") from error
    if file.is_dir() or not os.access(file.parent, os.W_OK):
        raise UserError(f"--to {file}: {'is a directory' if file.is_dir() else 'its place is not writable'}")


COMMAND = Command(
    name="report",
    flags=ReportFlags,
    body=report,
    examples=(
        "cp-search report quickstart --to report.html",
        "cp-search report quickstart --lang zh-TW --md",
    ),
)
