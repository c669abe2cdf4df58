"""The card a run may use: what it is (`CardSpec`), and the live thing (`Card`) that holds the run to it."""

from __future__ import annotations

import gc
import re
from abc import ABC, abstractmethod
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

import yaml

from trainer.errors import UserError

if TYPE_CHECKING:
    import torch
    from torch import nn

    Module = TypeVar("Module", bound=nn.Module)

MIB = 2**20
TABLE = Path(__file__).with_name("cards.yaml")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)i?b?", re.IGNORECASE)
_POWER = {"": 0, "k": 10, "m": 20, "g": 30, "t": 40}

#: aten/src/ATen/cuda/CublasHandlePool.cpp, parseChosenWorkspaceSize: ":4096:2:16:8" KiB, and from Hopper
#: (compute capability 9) on 32 MiB; one for the main thread and one for autograd's
CUBLAS_WORKSPACE = 2 * 4096 * 1024 + 8 * 16 * 1024
HOPPER_WORKSPACE = 8 * 4096 * 1024
HOPPER = 9.0

#: No CUDA device is smaller; a smaller size means the tensors' own memory, to rehearse small models.
SMALLEST_CARD = 2**30


@dataclass(frozen=True)
class CardSpec:
    """A card by its numbers; picklable, so that it can be sent to a child process.

    limit_bytes: what tensors and allocator may use. reserved_bytes: what CUDA keeps beside that
    (context, kernels); their sum is what nvidia-smi shows as total. virtual: played by the CPU.
    index: number of the CUDA device; None where it has none. assumed: the reserve is a guess.
    workspace_bytes: each of the two workspaces that cuBLAS takes out of limit_bytes. capability: NVIDIA's
    compute capability (8.6); None: not known, or no card of NVIDIA's.
    """

    name: str
    limit_bytes: int
    reserved_bytes: int = 0
    virtual: bool = False
    index: int | None = None
    assumed: bool = True
    workspace_bytes: int = CUBLAS_WORKSPACE
    capability: float | None = None

    @property
    def total_bytes(self) -> int:
        """The whole card."""
        return self.limit_bytes + self.reserved_bytes


@dataclass(frozen=True)
class KnownCard:
    """A row of cards.yaml; sizes in bytes."""

    name: str
    total_bytes: int
    context_bytes: int
    assumed: bool
    device: str
    capability: float

    def spec(self, *, virtual: bool, index: int | None) -> CardSpec:
        """This card's `CardSpec`."""
        limit = self.total_bytes - self.context_bytes
        spec = CardSpec(self.name, limit, self.context_bytes, virtual, index, self.assumed)
        return _of_kind(spec, self.capability)


class Card(ABC):
    """Where a run's tensors live and how much room they have; active inside `with card:`."""

    device: torch.device
    name: str

    @property
    @abstractmethod
    def limit_bytes(self) -> int | None:
        """What tensors may use together; None: no limit."""

    @abstractmethod
    def adopt(self, module: Module) -> Module:
        """Move `module` onto the card and count it; returns it.

        Raises:
            torch.OutOfMemoryError: it does not fit.
        """

    @abstractmethod
    def live_bytes(self) -> int | None:
        """What tensors hold now; None where nobody counts."""

    @abstractmethod
    def peak_bytes(self) -> int | None:
        """The most they held since the start or `reset_peak`."""

    @abstractmethod
    def reset_peak(self) -> None:
        """Start a new peak from what is alive now."""

    def host(self) -> AbstractContextManager[object]:
        """Around work in host memory, which no card counts."""
        return nullcontext()

    def release(self) -> None:
        """Give back what nothing refers to any more."""
        gc.collect()

    def __enter__(self) -> Card:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None


def parse_card(text: str, *, virtual: bool = False, context: str | None = None) -> CardSpec:
    """The card that `text` names: a size ("4GiB", at least with its unit) or a name from cards.yaml.

    Of a size from 1 GiB up the assumed CUDA context is taken off; a smaller one is the tensors' alone.
    context: what CUDA itself takes, where it is known better ("500MiB").

    Raises:
        UserError: neither a size nor a known card, or a context that is no size or leaves nothing.
    """
    card = _named(text, virtual=virtual)
    return card if context is None else with_context(card, context)


def sized_card(name: str, size: str, *, virtual: bool = False, context: str | None = None) -> CardSpec:
    """A card of `size` ("4GiB") that is of the kind of the one called `name`, if that one is known.

    Raises:
        UserError: as `parse_card`.
    """
    card = parse_card(size, virtual=virtual, context=context)
    known = known_cards().get(name.strip().casefold())
    return _of_kind(card, known.capability) if known else card


def _of_kind(card: CardSpec, capability: float) -> CardSpec:
    workspace = HOPPER_WORKSPACE if capability >= HOPPER else CUBLAS_WORKSPACE
    return replace(card, capability=capability, workspace_bytes=workspace)


def _named(text: str, *, virtual: bool) -> CardSpec:
    cards = known_cards()
    index = None if virtual else 0
    if found := cards.get(text.strip().casefold()):
        return found.spec(virtual=virtual, index=index)
    total = _size(text)
    if total is None:
        raise UserError(_unknown(text, cards))
    context = default_context() if total >= SMALLEST_CARD else 0
    return CardSpec(text.strip(), total - context, context, virtual, index)


def present_card(index: int = 0) -> CardSpec | None:
    """CUDA device number `index`, or None without one. Creates no CUDA context."""
    import torch

    if not torch.cuda.is_available() or index >= torch.cuda.device_count():
        return None
    properties = torch.cuda.get_device_properties(index)
    total = int(properties.total_memory)
    near = [card for card in known_cards().values() if card.device in properties.name]
    best = min(near, key=lambda card: abs(card.total_bytes - total), default=None)
    context = best.context_bytes if best else default_context()
    assumed = best.assumed if best else True
    card = CardSpec(str(properties.name), total - context, context, False, index, assumed)
    if torch.version.hip:  # AMD counts its devices otherwise
        return card
    return _of_kind(card, properties.major + properties.minor / 10)


def with_context(card: CardSpec, text: str) -> CardSpec:
    """`card` whose CUDA context takes `text` ("500MiB", "0"), as a person measured it.

    Raises:
        UserError: no size, or larger than the card.
    """
    taken = 0 if text.strip() == "0" else _size(text)
    if taken is None:
        raise UserError(f"context {text}: write a size with its unit, as in 500MiB")
    if taken >= card.total_bytes:
        raise UserError(f"context {text}: nothing is left of {card.name}; write what CUDA itself takes")
    limit = card.total_bytes - taken
    return replace(card, limit_bytes=limit, reserved_bytes=taken, assumed=False)


def known_cards() -> dict[str, KnownCard]:
    """cards.yaml by name."""
    return {name: _known(name, row) for name, row in _table()["cards"].items()}


def default_context() -> int:
    """Bytes that CUDA is assumed to keep on a card that is not in the table."""
    return int(_table()["default"]["context_mib"]) * MIB


def show_size(size: int) -> str:
    """`3.66 GiB`, or `512 MiB` of less than one."""
    return f"{size / 2**30:.2f} GiB" if size >= 2**30 else f"{size / MIB:.3g} MiB"


def _table() -> dict[str, Any]:
    table: dict[str, Any] = yaml.safe_load(TABLE.read_text(encoding="utf-8"))
    return table


def _known(name: str, row: dict[str, Any]) -> KnownCard:
    assumed = row["context"] == "assumed"
    sizes = (row["memory_mib"] * MIB, row["context_mib"] * MIB)
    return KnownCard(name, *sizes, assumed, row["device"], row["capability"])


def _size(text: str) -> int | None:
    """Bytes of "4GiB", "4 GB" (a card's gigabytes are binary), "512MiB"; None: not a size above zero."""
    found = _SIZE.fullmatch(text.strip())
    if not found or not (found[2] or text.strip().lower().endswith("b")):
        return None
    return round(float(found[1]) * 2 ** _POWER[found[2].lower()]) or None


def _unknown(text: str, cards: dict[str, KnownCard]) -> str:
    from trainer.config.yaml import closest

    near = closest(text, list(cards))
    hint = f"did you mean {near}?" if near else f"known are {', '.join(cards)}"
    return f"card: {text!r} is neither a size such as 4GiB nor a card known by name; {hint}"
