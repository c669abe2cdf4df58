"""`cp-search export`: a model directory that plain transformers loads."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer

from search.cli.flags import Command
from search.cli.output import clean_stdout, print_json

#: texts on which the exported model must say what the trained one says
CHECKED_TEXTS = 64

#: what a run leaves when it is finished
_RUN = "training_summary.json"


@dataclass(frozen=True)
class ExportFlags:
    """Arguments of `export`."""

    source: Annotated[
        str, typer.Argument(metavar="STUDY|RUN", help="Name of a finished study, or an experiment directory.")
    ]
    to: Annotated[Path, typer.Option(help="Directory to write the model to; must not exist.")]
    studies_dir: Annotated[Path, typer.Option(help="Directory of the studies.")] = Path("studies")
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False


def export(flags: ExportFlags) -> None:
    """Write a model that transformers loads.

    The directory holds safetensors, tokenizer and label names. Before the command ends well, it is
    loaded back with transformers alone and compared with the trained model.
    """
    from trainer import UserError

    if flags.to.exists():
        raise UserError(f"{flags.to} exists already; name a new directory with --to")
    source = run_directory(flags.source, studies_dir=flags.studies_dir)
    texts = _texts(source)
    with clean_stdout(flags.json):
        from trainer import export_model

        exported = export_model(source, to=flags.to, texts=texts)
    if flags.json:
        print_json(asdict(exported) | {"directory": str(exported.directory)})
    else:
        typer.echo(
            f"{exported.directory}: checked on {exported.checked_texts} texts, "
            f"largest difference of logits {exported.largest_difference:.1e}"
        )


def run_directory(source: str, *, studies_dir: Path) -> Path:
    """The experiment directory that `source` means: itself, or the one under a study's `final/`.

    Raises:
        UserError: it is neither.
    """
    from trainer import UserError

    for parent in (Path(source), studies_dir / source / "final"):
        found = sorted(path.parent for path in (*parent.glob(_RUN), *parent.glob(f"*/{_RUN}")))
        if found:
            return found[-1]
    raise UserError(
        f"{source}: neither an experiment directory with a {_RUN} nor a finished study in {studies_dir}; "
        "cp-search status STUDY tells how far a study is"
    )


def _texts(run: Path) -> list[str]:
    from trainer import UserError, load_run_config, read_table

    path = load_run_config(run).data.val_path
    if path is None:
        raise UserError(f"{run}: its configuration names no data.val_path to check the export on")
    return read_table(Path(path)).texts[:CHECKED_TEXTS]


COMMAND = Command(
    name="export",
    flags=ExportFlags,
    body=export,
    examples=("cp-search export quickstart --to models/quickstart",),
)
