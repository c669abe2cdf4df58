"""Which arithmetic a card has: one rule for `fit`, for a study and for a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainer.errors import UserError

if TYPE_CHECKING:
    from trainer.config.schema import Config
    from trainer.memory.card import CardSpec

#: torch.cuda.is_bf16_supported(including_emulation=False) asks for the same, and knows no exception among
#: NVIDIA's cards; below it bfloat16 is emulated: it computes, but slower than float32
BF16_BEGINS = 8.0


def lacks_bf16(card: CardSpec, *, asked: str = "training.bf16") -> str | None:
    """What speaks against bf16 on `card`, in a line that begins with where it was `asked` for.

    None: it is to be had there, or nobody knows better.
    """
    if card.capability is None or card.capability >= BF16_BEGINS:
        return None
    return (
        f"{asked}: {card.name} has no bfloat16 arithmetic (compute capability {card.capability}, it begins "
        f"at {BF16_BEGINS}); use training.fp16 instead, which takes as much memory"
    )


def require_arithmetic(config: Config, card: CardSpec) -> None:
    """Raise UserError if `config` asks for bf16 and `card` lacks it, be it played by the CPU or not here."""
    lacking = lacks_bf16(card) if config.precision == "bf16" else None
    if lacking:
        raise UserError(lacking)
