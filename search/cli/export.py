"""`cp-search export`: a model directory that plain transformers loads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from search.cli.flags import Command
from search.cli.output import clean_stdout, print_json, say

if TYPE_CHECKING:
    from trainer import Exported

#: texts on which the exported model must say what the trained one says
CHECKED_TEXTS = 64
#: texts on which ONNX must say what torch says, and on which both are timed
ONNX_TEXTS = 512

#: what a run leaves when it is finished
_RUN = "training_summary.json"
_WEIGHTS = "final_model.pt"


@dataclass(frozen=True)
class ExportFlags:
    """Arguments of `export`."""

    source: Annotated[
        str, typer.Argument(metavar="STUDY|RUN", help="Name of a finished study, or an experiment directory.")
    ]
    to: Annotated[Path, typer.Option(help="Directory to write the model to; must not exist.")]
    onnx: Annotated[
        bool, typer.Option("--onnx", help="Add model.onnx, checked against torch on validation texts.")
    ] = False
    push_to_hub: Annotated[
        str | None, typer.Option(metavar="OWNER/NAME", help="Upload it to this (new: private) repository.")
    ] = None
    studies_dir: Annotated[Path, typer.Option(help="Directory of the studies.")] = Path("studies")
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False


def export(flags: ExportFlags) -> None:
    """Write a model that transformers loads.

    The directory holds safetensors, tokenizer, label names, decision rule and model card. Of a study it is
    the finished model; of a run its best evaluation. Before the command ends well, it is loaded back with
    transformers alone and compared.
    """
    run = _require(flags)
    texts = _texts(run)
    with clean_stdout(flags.json):
        document = _made(flags, run, texts)
    if flags.json:
        print_json(document)
    else:
        say("\n".join(_lines(document)))


def _require(flags: ExportFlags) -> Path:
    """The run to export; everything that can be wrong is found here, before anything is written."""
    # What imports torch comes last, so that a slip of the pen is answered at once.
    from trainer import UserError

    if flags.to.exists():
        raise UserError(f"{flags.to} exists already; name a new directory with --to")
    run = run_directory(flags.source, studies_dir=flags.studies_dir)
    if flags.onnx:
        from trainer import require_onnx

        require_onnx()
    if flags.push_to_hub is not None:
        from trainer import require_hub

        require_hub(flags.push_to_hub)
    return run


def _made(flags: ExportFlags, run: Path, texts: Sequence[str]) -> dict[str, Any]:
    from trainer import add_onnx, push_export

    exported = _exported(flags, run, texts[:CHECKED_TEXTS])
    document = asdict(exported) | {"directory": str(exported.directory)}
    if flags.onnx:
        check = add_onnx(exported.directory, texts=texts)
        document["onnx"] = asdict(check) | {"path": str(check.path)}
    if flags.push_to_hub is not None:
        document["pushed"] = push_export(exported.directory, repo=flags.push_to_hub)
    return document


def _exported(flags: ExportFlags, run: Path, texts: Sequence[str]) -> Exported:
    from trainer import UserError, copy_export, export_run

    finished = _finished(flags)
    if not Path(flags.source).is_dir() and finished.is_dir():
        return copy_export(finished, to=flags.to, texts=texts)
    if not (run / _WEIGHTS).is_file():
        raise UserError(
            f"{run} kept no weights (no {_WEIGHTS}): train it again, of a study's trials with `keep: all` in "
            "the space"
        )
    return export_run(run, to=flags.to, texts=texts)


def _finished(flags: ExportFlags) -> Path:
    """Where the finished model lies if the source is a study."""
    return flags.studies_dir / flags.source / "final" / "model"


def _lines(document: dict[str, Any]) -> list[str]:
    lines = [
        f"{document['directory']}: checked on {document['checked_texts']} texts, "
        f"largest difference {document['largest_difference']:.1e}"
    ]
    if "onnx" in document:
        onnx = document["onnx"]
        lines.append(
            f"{onnx['path']}: the same labels as torch on {onnx['texts']} texts, largest difference of "
            f"logits {onnx['largest_difference']:.1e}; {onnx['speed']:.2f}x torch's speed "
            f"(threads: {onnx['threads']})"
        )
    if "pushed" in document:
        lines.append(f"Pushed: {document['pushed']}")
    return lines


def run_directory(source: str, *, studies_dir: Path) -> Path:
    """The experiment directory that `source` means: itself, or the one under a study's `final/`.

    Raises:
        UserError: it is neither.
    """
    from trainer import UserError

    home = studies_dir / source / "final" / "experiment"
    if (home / _RUN).is_file() and not (Path(source) / _RUN).is_file():
        return home
    found = sorted(path.parent for path in (*Path(source).glob(_RUN), *Path(source).glob(f"*/{_RUN}")))
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
    return read_table(Path(path)).texts[:ONNX_TEXTS]


COMMAND = Command(
    name="export",
    flags=ExportFlags,
    body=export,
    examples=(
        "cp-search export quickstart --to models/quickstart",
        "cp-search export quickstart --to models/quickstart --onnx",
    ),
)
