"""`cp-search predict`: labels for texts, from an exported model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from search.cli.flags import Command
from search.cli.output import clean_stdout, print_json


@dataclass(frozen=True)
class PredictFlags:
    """Arguments of `predict`."""

    model_dir: Annotated[Path, typer.Argument(help="Directory of an exported model or ensemble.")]
    texts: Annotated[list[str] | None, typer.Argument(help="Texts to label.")] = None
    file: Annotated[Path | None, typer.Option(help="JSON Lines with a `text` in each row.")] = None
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False


def predict(flags: PredictFlags) -> None:
    """Label texts with an exported model.

    Prints for each text the most probable class of every task, with its probability.
    """
    texts = _texts(flags)
    with clean_stdout(flags.json):
        from trainer import open_predictor

        predictions = open_predictor(flags.model_dir).predict(texts)
    if flags.json:
        print_json(predictions)
        return
    for prediction in predictions:
        typer.echo(_line(prediction))


def _texts(flags: PredictFlags) -> list[str]:
    from trainer import UserError, read_table

    texts = list(flags.texts or [])
    if flags.file is not None:
        texts += read_table(flags.file).texts
    if not texts:
        raise UserError(
            'nothing to label; give texts, as in cp-search predict DIR "文字", or --file in.jsonl'
        )
    return texts


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
    ),
)
