"""`cp-search study rename`: another name for a study."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from search.cli.flags import Command
from search.cli.output import print_json, say
from search.cli.settings import StorageFlag


@dataclass(frozen=True)
class StudyRenameFlags:
    """Arguments of `study rename`."""

    study: Annotated[str, typer.Argument(help="Name of a study, or its .db file.")]
    to: Annotated[str, typer.Argument(metavar="NEW", help="Its new name.")]
    studies_dir: Annotated[Path, typer.Option(help="Directory of the studies.")] = Path("studies")
    storage: StorageFlag = None
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False


def study_rename(flags: StudyRenameFlags) -> None:
    """Give a study another name.

    Its file and the directory of its trials are named after it. cp-search run SPACE --name NEW goes on.
    """
    from search.catalog import Catalog
    from search.space_file import require_file_name
    from search.study_files import go_on_renaming, rename

    require_file_name(flags.to)
    catalog = Catalog(flags.studies_dir, flags.storage)
    done = go_on_renaming(flags.study, to=flags.to, catalog=catalog)
    if done is None:
        done = rename(catalog.find(flags.study), to=flags.to, catalog=catalog)
    if flags.json:
        print_json({"name": flags.to, "done": done})
    else:
        say("\n".join(done))


COMMAND = Command(
    name="rename",
    flags=StudyRenameFlags,
    body=study_rename,
    examples=("cp-search study rename quickstart first-try",),
)
