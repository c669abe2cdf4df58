"""The vocabulary in training: rows of tokens that occur, of a table whose other rows nobody reads or changes.

Most tokens of a pretrained vocabulary occur in none of a data set's texts. Their gradient is zero in every
step, and yet it is made, measured and taken to AdamW, which reads and writes moments for it
(docs/decisions/0054).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim import Optimizer
from transformers import PreTrainedModel


class OccurringTokens(nn.Embedding):
    """An embedding that trains the rows of the tokens that occur, [S, D]; it is saved and loaded whole.

    whole: [V, D], of which it takes possession. occurring_S: token ids, in order, with the padding's. What is
    written into a tensor of its `state_dict` is lost; `load_state_dict` takes it.
    """

    _occurring_S: Tensor
    _places_V: Tensor
    _whole_VD: Tensor

    def __init__(self, whole: nn.Embedding, occurring_S: Tensor) -> None:
        weight_VD = whole.weight.detach()
        places_V = torch.full((len(weight_VD),), -1)
        places_V[occurring_S] = torch.arange(len(occurring_S))
        padding = None if whole.padding_idx is None else int(places_V[whole.padding_idx])
        size = (len(occurring_S), weight_VD.shape[1])
        super().__init__(*size, padding_idx=padding, _weight=weight_VD[occurring_S])
        # Buffers, so that they go where the parameter goes; what is stored is the whole table alone.
        self.register_buffer("_occurring_S", occurring_S, persistent=False)
        self.register_buffer("_places_V", places_V, persistent=False)
        self.register_buffer("_whole_VD", weight_VD, persistent=False)

    def forward(self, input: Tensor) -> Tensor:  # torch's name
        """Embeddings of token ids, whichever they are; only of those that occur while it is trained.

        Raises:
            IndexError: another, in training.
        """
        places = self._places_V[input]
        others = places < 0
        if not bool(others.any()):
            return F.embedding(places, self.weight, self.padding_idx)
        if self.training:
            found = f"token {int(input[others][0])} occurs in no training or validation row"
            raise IndexError(f"{found}: its embedding is not trained; call model.eval() before you read it")
        rows = F.embedding(places.clamp(min=0), self.weight, self.padding_idx)
        return torch.where(others.unsqueeze(-1), self._whole_VD[input], rows)

    def whole(self) -> Tensor:
        """The table as it stands, [V, D]; the same memory every time."""
        with torch.no_grad():
            return self._whole_VD.index_copy_(0, self._occurring_S, self.weight)

    def widened(self, state_SD: Tensor) -> Tensor:
        """What an optimizer keeps of the rows, as it would of the whole table: nothing of the others, 0."""
        return state_SD.new_zeros(self._whole_VD.shape).index_copy_(0, self._occurring_S, state_SD)

    def narrowed(self, state_VD: Tensor) -> Tensor:
        """The other way."""
        return state_VD[self._occurring_S]

    def is_whole(self, state: Tensor) -> bool:
        """Whether it has a row of each token."""
        return state.shape == self._whole_VD.shape

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        destination[f"{prefix}weight"] = self.whole()

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        key = f"{prefix}weight"
        if key in state_dict and self.is_whole(state_dict[key]):
            self._whole_VD.copy_(state_dict[key])
            state_dict = {**state_dict, key: self.narrowed(self._whole_VD)}
        super()._load_from_state_dict(state_dict, prefix, *rest)


def train_occurring_tokens(net: PreTrainedModel, ids: Iterable[NDArray[np.int64]]) -> None:
    """Let `net`, which computes on the CPU, train the rows of these token ids alone.

    A vocabulary that is frozen, or no plain `nn.Embedding`, stays as it is.
    Everything that only depends on an element and its gradient comes out the same: AdamW, and clipping by the
    gradient's norm. Weight decay does not reach the other rows.
    """
    whole = net.get_input_embeddings()
    if type(whole) is not nn.Embedding or not whole.weight.requires_grad:
        return
    occurs_V = np.zeros(len(whole.weight), dtype=np.bool_)
    occurs_V[0] = True  # what packs are filled up with
    for some in ids:
        occurs_V[some] = True
    if whole.padding_idx is not None:
        occurs_V[whole.padding_idx] = True
    net.set_input_embeddings(OccurringTokens(whole, torch.from_numpy(np.flatnonzero(occurs_V))))


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
    if not isinstance(tokens, OccurringTokens):
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
