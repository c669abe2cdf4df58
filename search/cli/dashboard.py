"""`cp-search dashboard`: optuna-dashboard over every study."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from search.cli.flags import Command
from search.cli.settings import StorageFlag


@dataclass(frozen=True)
class DashboardFlags:
    """Options of `dashboard`."""

    study: Annotated[str | None, typer.Argument(help="Name of a study to open; without it all of them.")] = (
        None
    )
    host: Annotated[str, typer.Option(help="Address to listen on; there is no login.")] = "127.0.0.1"
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port to listen on; a free one if it is taken.")
    ] = 8080
    read_only: Annotated[bool, typer.Option("--read-only", help="Let nobody write notes.")] = False
    studies_dir: Annotated[Path, typer.Option(help="Directory of the studies.")] = Path("studies")
    storage: StorageFlag = None


def dashboard(flags: DashboardFlags) -> None:
    """Show all studies in a browser.

    Works while they run and after. Ctrl-C ends it; the studies go on.
    """
    from search.catalog import Catalog
    from search.dashboard import Place, serve

    studies = Catalog(flags.studies_dir, flags.storage)
    serve(studies, place=Place(flags.host, flags.port, flags.read_only), study=flags.study)


COMMAND = Command(
    name="dashboard",
    flags=DashboardFlags,
    body=dashboard,
    examples=(
        "cp-search dashboard quickstart",
        "cp-search dashboard --storage postgresql+psycopg://USER@HOST/DATABASE --read-only",
    ),
)
