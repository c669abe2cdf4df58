"""`cp-search predict`: labels for texts, from an exported model."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from search.cli.flags import Command
from search.cli.output import clean_stdout, echo, print_json, say

if TYPE_CHECKING:
    from collections.abc import Callable

    from trainer import Site

#: standard input, in place of a file
_STDIN = Path("-")


@dataclass(frozen=True)
class PredictFlags:
    """Arguments of `predict`."""

    model_dir: Annotated[Path, typer.Argument(help="Directory of an exported model or ensemble.")]
    texts: Annotated[list[str] | None, typer.Argument(help="Texts to label.")] = None
    file: Annotated[
        Path | None, typer.Option(help="JSON, JSON Lines, CSV, TSV or .txt; - reads standard input.")
    ] = None
    text_column: Annotated[str | None, typer.Option(help="The file's column that holds the texts.")] = None
    threshold: Annotated[
        list[str],
        typer.Option(
            metavar="[[TASK/]CLASS=]P",
            help="Give CLASS exactly when its probability reaches P; a bare P: the second of two classes.",
        ),
    ] = field(default_factory=list)
    card: Annotated[str | None, typer.Option(help="Memory to stay within: 4GiB, or rtx3050.")] = None
    rehearse: Annotated[bool, typer.Option("--rehearse", help="Let the CPU play the --card.")] = False
    onnx: Annotated[bool, typer.Option("--onnx", help="Compute with the directory's model.onnx.")] = False
    out: Annotated[Path | None, typer.Option(help="Write JSON Lines here, in place of the screen.")] = None
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False


def predict(flags: PredictFlags) -> None:
    """Label texts with an exported model.

    Prints for each text the most probable class of every task, with its probability: the same decisions
    as the evaluation made, for the decision rule is in the exported weights.
    """
    texts = _texts(flags)
    with clean_stdout(flags.json):
        found = _predictions(flags, texts)
    if flags.out is not None:
        _write(flags.out, found)
        say(f"{flags.out}: {len(found)} rows", err=flags.json)
    if flags.json:
        print_json(found)
    elif flags.out is None:
        for one in found:
            echo(_line(one))


def _predictions(flags: PredictFlags, texts: Sequence[str]) -> list[dict[str, Any]]:
    from trainer import open_predictor, parse_thresholds

    predictor = open_predictor(flags.model_dir, site=_site(flags), onnx=flags.onnx)
    thresholds = parse_thresholds(flags.threshold, predictor.tasks)
    with _bar(len(texts)) as progress:
        return predictor.predict(texts, thresholds=thresholds, progress=progress)


def _site(flags: PredictFlags) -> Site:
    """What the flags say of the card.

    Raises:
        UserError: they contradict one another, or name no card that there is.
    """
    from trainer import Site, UserError, parse_card, present_card

    if flags.rehearse and flags.card is None:
        raise UserError("--rehearse: which card should the CPU play? Name it, as in --card 4GiB")
    if flags.onnx and flags.card is not None:
        raise UserError("--onnx computes on the CPU; leave --card out")
    card = parse_card(flags.card, virtual=flags.rehearse) if flags.card else None
    if card is not None and not card.virtual and present_card() is None:
        say(f"No CUDA device here: {card.name} limits nothing; --rehearse lets the CPU play it", err=True)
    return Site(card, say=partial(say, err=True))


@contextmanager
def _bar(total: int) -> Iterator[Callable[[int, int], None] | None]:
    """A progress bar on a terminal; nothing in a file."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("Labelling", total=total)
        yield lambda done, _total: bar.update(task, completed=done)


def _texts(flags: PredictFlags) -> list[str]:
    from trainer import UserError, read_texts, texts_of_stream

    texts = list(flags.texts or [])
    if flags.file == _STDIN or texts == [str(_STDIN)]:
        _require_stream_alone(flags)
        return texts_of_stream(sys.stdin, say=partial(say, err=True))
    if flags.file is not None:
        texts += read_texts(flags.file, column=flags.text_column, say=partial(say, err=True))
    if not texts:
        raise UserError(
            'nothing to label; give texts, as in cp-search predict DIR "文字", or --file in.jsonl'
        )
    return texts


def _require_stream_alone(flags: PredictFlags) -> None:
    """Raises UserError: something is given beside standard input that would go unheard."""
    from trainer import UserError

    if flags.file is not None and flags.texts:
        raise UserError(
            f"{len(flags.texts)} text(s) beside --file {flags.file}: give texts or standard input, not both"
        )
    if flags.text_column is not None:
        raise UserError(
            f"--text-column {flags.text_column}: names a column of a file; on standard input give one text a "
            'line, or JSON Lines with the text under "text"'
        )


def _write(path: Path, found: Sequence[dict[str, Any]]) -> None:
    from trainer import UserError, write_text

    try:
        write_text(path, "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in found))
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}; choose another --out") from error


def _line(prediction: dict[str, Any]) -> str:
    """`text <tab> task=class 0.93 <tab> ...`: one line, whatever breaks the text holds."""
    found = (
        f"{task}={answer['label']} {answer['probability']:.2f}"
        for task, answer in prediction.items()
        if task != "text"
    )
    return "\t".join((" ".join(prediction["text"].split()), *found))


COMMAND = Command(
    name="predict",
    flags=PredictFlags,
    body=predict,
    examples=(
        'cp-search predict studies/quickstart/final/model "你真的很棒"',
        "cp-search predict studies/quickstart/final/model --file data/sample/test.jsonl --json",
        "cp-search predict studies/quickstart/final/model --file in.csv --text-column body --out out.jsonl",
        "cp-search predict studies/quickstart/final/model --file - --threshold toxic=0.3 < texts.txt",
    ),
)
