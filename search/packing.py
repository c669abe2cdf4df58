"""Which trials fit side by side on which card: the planned peak of each, and a CUDA context for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from trainer import CardSpec


@dataclass(frozen=True, eq=False)
class Share:
    """A trial's part of the card at `position`. `card`: that card, limited to the share."""

    position: int
    card: CardSpec
    taken_bytes: int


@dataclass
class Packing:
    """Trials on `cards`. Not thread-safe: one supervisor hands out the shares."""

    cards: Sequence[CardSpec]
    _shares: list[Share] = field(default_factory=list)

    def admit(self, needed_bytes: int | None) -> Share | None:
        """A share of the emptiest card that has room for a trial of that planned need; None while none has.

        needed_bytes: what its tensors need, margin included; every trial takes the card's reserve (context)
        on top. None, or more than any card has: not planned, or tight; it gets an empty card for itself.
        """
        if needed_bytes is None or not any(needed_bytes <= card.limit_bytes for card in self.cards):
            return self._whole()
        free = {position: self.free_bytes(position) for position in range(len(self.cards))}
        wanted = {p: needed_bytes + self.cards[p].reserved_bytes for p in free}
        fitting = [position for position in free if wanted[position] <= free[position]]
        if not fitting:
            return None
        position = max(fitting, key=lambda p: (free[p], -p))
        return self._take(position, limit_bytes=needed_bytes)

    def release(self, share: Share) -> None:
        """The trial has ended."""
        self._shares.remove(share)

    def free_bytes(self, position: int) -> int:
        """What no share holds of the card at `position`, contexts included."""
        held = sum(share.taken_bytes for share in self._shares if share.position == position)
        return self.cards[position].total_bytes - held

    def _whole(self) -> Share | None:
        busy = {share.position for share in self._shares}
        empty = [position for position in range(len(self.cards)) if position not in busy]
        return self._take(empty[0], limit_bytes=self.cards[empty[0]].limit_bytes) if empty else None

    def _take(self, position: int, *, limit_bytes: int) -> Share:
        """The card keeps its total, so that rules for small cards do not take a share for one."""
        card = self.cards[position]
        limited = replace(card, limit_bytes=limit_bytes, reserved_bytes=card.total_bytes - limit_bytes)
        share = Share(position, limited, limit_bytes + card.reserved_bytes)
        self._shares.append(share)
        return share


def most_at_once(cards: Sequence[CardSpec], *, least_bytes: int) -> int:
    """How many trials of the smallest planned need the cards can hold together; at least one a card."""
    return sum(max(1, card.total_bytes // max(1, least_bytes + card.reserved_bytes)) for card in cards)
