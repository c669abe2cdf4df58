"""`cp-search study import`: a study from the JSON that `study export` wrote."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from search.cli.flags import Command
from search.cli.output import print_json, say
from search.cli.settings import StorageFlag


@dataclass(frozen=True)
class StudyImportFlags:
    """Arguments of `study import`."""

    file: Annotated[Path, typer.Argument(help="What cp-search study export NAME --to FILE.json wrote.")]
    name: Annotated[str | None, typer.Option(help="Name of the study, in place of the exported one's.")] = (
        None
    )
    studies_dir: Annotated[Path, typer.Option(help="Directory of the studies.")] = Path("studies")
    storage: StorageFlag = None
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False


def study_import(flags: StudyImportFlags) -> None:
    """Make a study from an exported one.

    Every trial is as it was; one that was running starts again with the next cp-search run SPACE --name NAME.
    """
    from search.catalog import Catalog
    from search.space_file import require_file_name
    from search.storage.storage import open_storage, quiet_optuna, storage_errors
    from search.study_document import read_document, restore
    from trainer import UserError

    quiet_optuna()
    document = read_document(flags.file)
    name = require_file_name(flags.name or str(document["name"]))
    catalog = Catalog(flags.studies_dir, flags.storage)
    url = catalog.url_for(name)
    if not catalog.may_import(name, url):
        raise UserError(f"there is a study {name} already, or files of one; choose another --name")
    with storage_errors(url):
        study = restore(document, storage=open_storage(url), name=name)
        count = len(study.get_trials(deepcopy=False))
    if flags.json:
        print_json({"name": name, "trials": count})
    else:
        say(f"Study {name} with {count} trials; look at it with cp-search study show {name}")


COMMAND = Command(
    name="import",
    flags=StudyImportFlags,
    body=study_import,
    examples=("cp-search study import quickstart.json --name again",),
)
