"""`cp-search init`: a first search space for the user's own data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from search.cli.flags import Command
from search.cli.output import say

if TYPE_CHECKING:
    from search.draft import DraftRequest
    from trainer import CardSpec

_CARD_HELP = "The card to plan for (a name or a size such as 4GiB), or cpu; default: the GPU that is here."


@dataclass(frozen=True)
class InitFlags:
    """Arguments of `init`."""

    train: Annotated[Path, typer.Argument(help="Training rows.")]
    val: Annotated[Path, typer.Argument(help="Validation rows: every choice is made on these.")]
    test: Annotated[Path | None, typer.Option(help="Test rows: read once, at the end.")] = None
    model: Annotated[str, typer.Option(help="Hub id, directory, or builtin:tiny.")] = (
        "hfl/chinese-macbert-base"
    )
    card: Annotated[str | None, typer.Option(help=_CARD_HELP)] = None
    to: Annotated[Path, typer.Option(help="The space file to write.")] = Path("space.yaml")
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False


def init(flags: InitFlags) -> None:
    """Write a commented search space for your data.

    Looks at the rows (number, lengths, balance), the model and the card, and says in the file what follows
    from them. With one file only, make the splits first: cp-search data split FILE DIR.
    """
    from search.draft import draft_space, write_draft
    from trainer import UserError

    if flags.to.exists() and not flags.force:
        raise UserError(
            f"{flags.to} is there already; name another file with --to, or replace it with --force"
        )
    draft = draft_space(_request(flags))
    write_draft(draft, flags.to)
    for note in draft.notes:
        say(note, err=True)
    say(f"Wrote {flags.to}. See what it would search: cp-search run {flags.to} --dry-run")


def _request(flags: InitFlags) -> DraftRequest:
    from search.draft import DraftRequest

    return DraftRequest(
        path=flags.to,
        train=flags.train,
        val=flags.val,
        test=flags.test,
        model=flags.model,
        card=_card(flags.card),
    )


def _card(asked: str | None) -> CardSpec | None:
    from trainer import parse_card, present_card

    if asked == "cpu":
        return None
    return parse_card(asked) if asked else present_card(0)


COMMAND = Command(
    name="init",
    flags=InitFlags,
    body=init,
    examples=(
        "cp-search init train.jsonl val.jsonl --test test.jsonl --card rtx3050 --to mine.yaml",
        "cp-search init train.jsonl val.jsonl --model builtin:tiny --card cpu",
    ),
)
