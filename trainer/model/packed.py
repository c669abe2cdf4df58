"""Packed texts through transformers' own encoders: their layers as they are, attention by groups.

The encoder is called with one row of all tokens; transformers hands `pack` on to each layer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx
from transformers import PreTrainedModel

from trainer.model.attention import attend_by_groups
from trainer.model.dropout import use_cheap_dropout

if TYPE_CHECKING:
    from trainer.data.packs import Pack

#: families whose encoder takes position ids and hands on what its layers need (a test packs each)
PACKED_FAMILIES = frozenset({"bert", "roberta", "xlm-roberta", "camembert", "electra", "ernie"})


def can_pack(net: PreTrainedModel) -> bool:
    """Whether `net` gives the same logits for packed texts as for padded ones."""
    return net.config.model_type in PACKED_FAMILIES and net.config._attn_implementation == "sdpa"


def use_packing(net: PreTrainedModel) -> None:
    """Let `net` take packed texts; padded ones it takes as before."""
    attend_by_groups(net)
    use_cheap_dropout(net)


def by_group(tensor_T: Tensor, pack: Pack) -> list[Tensor]:
    """What lies at tokens, [T, ...], as [rows, width, ...] of each group."""
    tensor_P: Tensor = _Spread.apply(tensor_T, pack)  # type: ignore[no-untyped-call]  # torch's own
    # Split and not sliced: the gradient of a slice is as large as the whole, once a group.
    parts = torch.split(tensor_P, [group.rows * group.width for group in pack.groups])
    return [
        part.reshape(group.rows, group.width, *part.shape[1:])
        for part, group in zip(parts, pack.groups, strict=True)
    ]


class _Spread(torch.autograd.Function):
    """Tokens to places. Nothing attends to padding, so no gradient comes from there."""

    @staticmethod
    def forward(ctx: FunctionCtx, tensor_TD: Tensor, pack: Pack) -> Tensor:
        ctx.pack = pack  # type: ignore[attr-defined]  # what autograd offers for what is no tensor
        return tensor_TD.index_select(0, pack.places_P)

    @staticmethod
    def backward(ctx: Any, grad_PD: Tensor) -> tuple[Tensor, None]:
        return grad_PD.index_select(0, ctx.pack.tokens_T), None
