"""The vocabulary in training: rows of tokens that occur, of a table whose other rows nobody reads or changes.

Most tokens of a pretrained vocabulary occur in none of a data set's texts. Their gradient is zero in every
step, and yet it is made, measured and taken to AdamW, which reads and writes moments for it
(docs/decisions/0054).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeGuard

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim import Optimizer
from transformers import PreTrainedModel

from trainer.memory.host import host_memory

#: what a plan's number of rows is rounded up to, so that folds and samples, whose tokens are nearly as many,
#: share plans. It counts at most 255 rows too many: 3 MiB of a base model with AdamW
PLANNED_STEP = 256


class OccurringTokens(nn.Embedding):
    """An embedding that trains the rows of the tokens that occur, [S, D]; it is saved and loaded whole.

    The whole table stays in host memory wherever the module goes, and what is made of it is made there.
    whole: [V, D], on the CPU, of which it takes possession. occurring_S: token ids, in order, with the
    padding's, which is the one at `padding`. What is written into a tensor of its `state_dict` is lost;
    `load_state_dict` takes it.
    """

    _places_V: Tensor

    def __init__(self, whole: nn.Embedding, occurring_S: Tensor, *, padding: int | None) -> None:
        weight_VD = whole.weight.detach()
        places_V = torch.full((len(weight_VD),), -1)
        places_V[occurring_S] = torch.arange(len(occurring_S))
        size = (len(occurring_S), weight_VD.shape[1])
        super().__init__(*size, padding_idx=padding, _weight=weight_VD[occurring_S])
        self.weight.requires_grad_(whole.weight.requires_grad)
        # A buffer goes where the parameter goes; the others are none, so that they stay.
        self.register_buffer("_places_V", places_V, persistent=False)
        self._occurring_S = occurring_S
        self._whole_VD = weight_VD

    @property
    def vocabulary_size(self) -> int:
        """Tokens of the whole table."""
        return len(self._whole_VD)

    def forward(self, input: Tensor) -> Tensor:  # torch's name
        """Embeddings of token ids, whichever they are; only of those that occur where they are trained.

        Raises:
            IndexError: another, in training.
        """
        places = self._places_V[input]
        # A number, which a plan can answer for; the wait of a GPU for it is one a micro-batch.
        if not places.numel() or int(places.min()) >= 0:
            return F.embedding(places, self.weight, self.padding_idx)
        others = places < 0
        if self.training and self.weight.requires_grad:
            found = f"token {int(input[others][0])} occurs in no training or validation row"
            raise IndexError(f"{found}: its embedding is not trained; call model.eval() before you read it")
        rows = F.embedding(places.clamp(min=0), self.weight, self.padding_idx)
        rows[others] = self._fetched(input[others])
        return rows

    def _fetched(self, ids_N: Tensor) -> Tensor:
        """Rows of the whole table, [N, D], where the parameter is."""
        with host_memory():
            rows_ND = self._whole_VD[ids_N.to("cpu")]
        return rows_ND.to(self.weight.device, copy=True)

    def whole(self) -> Tensor:
        """The table as it stands, [V, D], in host memory; the same memory every time."""
        with torch.no_grad(), host_memory():
            return self._whole_VD.index_copy_(0, self._occurring_S, self.weight.to("cpu"))

    def widened(self, state_SD: Tensor) -> Tensor:
        """What an optimizer keeps of the rows, as it would of the whole table: nothing of the others, 0."""
        with host_memory():
            state_VD = torch.zeros(self._whole_VD.shape, dtype=state_SD.dtype)
            return state_VD.index_copy_(0, self._occurring_S, state_SD.to("cpu"))

    def narrowed(self, state_VD: Tensor) -> Tensor:
        """The other way."""
        with host_memory():
            return state_VD.to("cpu")[self._occurring_S]

    def is_whole(self, state: Tensor) -> bool:
        """Whether it has a row of each token."""
        return state.shape == self._whole_VD.shape

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> OccurringTokens:
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]  # torch's own
        with host_memory():
            self._whole_VD = self._whole_VD.to(self.weight.dtype)
        return self

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        destination[f"{prefix}weight"] = self.whole()

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        key = f"{prefix}weight"
        if key in state_dict and self.is_whole(state_dict[key]):
            with host_memory():
                self._whole_VD.copy_(state_dict[key])
            state_dict = {**state_dict, key: self.narrowed(self._whole_VD)}
        super()._load_from_state_dict(state_dict, prefix, *rest)


def train_occurring_tokens(net: PreTrainedModel, ids: Iterable[NDArray[np.int64]]) -> None:
    """Let `net`, which is on the CPU still, train the rows of these token ids alone, or hold them, if frozen.

    A vocabulary that is no plain `nn.Embedding` stays as it is.
    Everything that only depends on an element and its gradient comes out the same: AdamW, and clipping by the
    gradient's norm. Weight decay does not reach the other rows.
    """
    whole = net.get_input_embeddings()
    if not _is_plain(whole):
        return
    padding = whole.padding_idx
    occurring_S = _occurring(ids, size=len(whole.weight), padding=padding)
    place = None if padding is None else int(np.searchsorted(occurring_S, padding))
    net.set_input_embeddings(OccurringTokens(whole, torch.from_numpy(occurring_S), padding=place))


def train_rows(net: PreTrainedModel, count: int) -> None:
    """As `train_occurring_tokens` of so many tokens, whichever they are: a plan asks no more."""
    whole = net.get_input_embeddings()
    if not _is_plain(whole):
        return
    padding = None if whole.padding_idx is None else 0
    net.set_input_embeddings(OccurringTokens(whole, torch.arange(count), padding=padding))


def planned_rows(ids: Iterable[NDArray[np.int64]], *, vocabulary: int) -> int | None:
    """How many rows of a table of `vocabulary` are planned where these token ids occur, padding included.

    Rounded up to a whole `PLANNED_STEP`; None where that is the whole table.
    """
    found = 1 + len(_occurring(ids, size=vocabulary, padding=None))
    rows = -(-found // PLANNED_STEP) * PLANNED_STEP
    return rows if rows < vocabulary else None


def _is_plain(table: nn.Module) -> TypeGuard[nn.Embedding]:
    return type(table) is nn.Embedding


def _occurring(ids: Iterable[NDArray[np.int64]], *, size: int, padding: int | None) -> NDArray[np.int64]:
    occurs_V = np.zeros(size, dtype=np.bool_)
    occurs_V[0] = True  # what packs are filled up with
    for some in ids:
        occurs_V[some] = True
    if padding is not None:
        occurs_V[padding] = True
    return np.flatnonzero(occurs_V)


def widened_state(net: PreTrainedModel, optimizer: Optimizer, state: dict[str, Any]) -> dict[str, Any]:
    """The optimizer's `state_dict` as of a model whose vocabulary is whole: that is what is stored."""
    return _resized(net, optimizer, state, OccurringTokens.widened)


def narrowed_state(net: PreTrainedModel, optimizer: Optimizer, state: dict[str, Any]) -> dict[str, Any]:
    """A stored `state_dict` as `optimizer` takes it, whose parameters are those of `net`."""
    return _resized(net, optimizer, state, OccurringTokens.narrowed)


def _resized(
    net: PreTrainedModel,
    optimizer: Optimizer,
    state: dict[str, Any],
    resize: Callable[[OccurringTokens, Tensor], Tensor],
) -> dict[str, Any]:
    tokens = net.get_input_embeddings()
    if not isinstance(tokens, OccurringTokens) or not tokens.weight.requires_grad:
        return state
    index = next(
        number
        for group, stored in zip(optimizer.param_groups, state["param_groups"], strict=True)
        for parameter, number in zip(group["params"], stored["params"], strict=True)
        if parameter is tokens.weight
    )
    # A number, such as how many steps were taken, stays as it is.
    resized = {
        key: resize(tokens, value) if value.ndim == 2 else value
        for key, value in state["state"][index].items()
    }
    return {**state, "state": {**state["state"], index: resized}}
