"""Packed texts through transformers' own encoders: their layers as they are, attention by groups.

The encoder is called with one row of all tokens; transformers hands `pack` on to the attention function,
which is registered with it under a name of ours. Called without a pack it is transformers' own SDPA.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx
from transformers import AttentionInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

from trainer.model.dropout import dropout, use_cheap_dropout

if TYPE_CHECKING:
    from trainer.data.packs import Group, Pack

#: transformers' name for this attention
PACKED = "cp_search_packed"

#: families whose encoder takes position ids and hands on what attention needs (a test packs each)
PACKED_FAMILIES = frozenset({"bert", "roberta", "xlm-roberta", "camembert", "electra", "ernie"})


def can_pack(net: PreTrainedModel) -> bool:
    """Whether `net` gives the same logits for packed texts as for padded ones."""
    return net.config.model_type in PACKED_FAMILIES and net.config._attn_implementation == "sdpa"


def use_packing(net: PreTrainedModel) -> None:
    """Let `net` take packed texts; padded ones it takes as before."""
    AttentionInterface.register(PACKED, packed_attention)
    AttentionMaskInterface.register(PACKED, sdpa_mask)
    net.set_attn_implementation(PACKED)
    use_cheap_dropout(net)


def packed_attention(
    module: nn.Module, *tensors: Tensor | None, pack: Pack | None = None, **rest: Any
) -> tuple[Tensor, None]:
    """Attention of a pack's texts each to itself; the signature is transformers'.

    tensors: query, key and value, [1, heads, T, width of a head], and a mask, which a pack does without.
    A pack's are taken in float32 whatever the layers compute in: groups have too many shapes for bfloat16.
    """
    if pack is None:
        attended: tuple[Tensor, None] = sdpa_attention_forward(module, *tensors, **rest)
        return attended
    with full_precision():
        parts = [
            _by_group(tensor.squeeze(0).transpose(0, 1).float(), pack)
            for tensor in tensors[:3]
            if tensor is not None
        ]
        outputs = []
        for group, query, key, value in zip(pack.groups, *parts, strict=True):
            weights_RHWW = _weights(query * rest["scaling"], key, group)
            output_RHWE = dropout(weights_RHWW, rest["dropout"]) @ value
            outputs.append(output_RHWE.transpose(1, 2).flatten(0, 1))
        return _gathered(torch.cat(outputs), pack)[None], None


def full_precision() -> AbstractContextManager[object]:
    """Float32 again, within the autocast of a CPU; packs are computed on no other device."""
    return torch.autocast("cpu", enabled=False)


def _by_group(tensor_THE: Tensor, pack: Pack) -> list[Tensor]:
    """[rows, heads, width, width of a head] of each group."""
    return [texts_RWHE.transpose(1, 2) for texts_RWHE in by_group(tensor_THE, pack)]


def _weights(query: Tensor, key: Tensor, group: Group) -> Tensor:
    """Spelled out as SDPA does on a CPU that trains with dropout, but with no care for texts of no token."""
    scores_RHWW = query @ key.transpose(2, 3)
    if group.bias_R11W is not None:
        scores_RHWW = scores_RHWW + group.bias_R11W
    return scores_RHWW.softmax(-1)


def by_group(tensor_T: Tensor, pack: Pack) -> list[Tensor]:
    """What lies at tokens, [T, ...], as [rows, width, ...] of each group."""
    tensor_P: Tensor = _Spread.apply(tensor_T, pack)  # type: ignore[no-untyped-call]  # torch's own
    # Split and not sliced: the gradient of a slice is as large as the whole, once a group.
    parts = torch.split(tensor_P, [group.rows * group.width for group in pack.groups])
    return [
        part.reshape(group.rows, group.width, *part.shape[1:])
        for part, group in zip(parts, pack.groups, strict=True)
    ]


def _gathered(tensor_PHE: Tensor, pack: Pack) -> Tensor:
    tensor_THE: Tensor = _Gathered.apply(tensor_PHE, pack)  # type: ignore[no-untyped-call]  # torch's own
    return tensor_THE


class _Spread(torch.autograd.Function):
    """Tokens to places. Nothing attends to padding, so no gradient comes from there."""

    @staticmethod
    def forward(ctx: FunctionCtx, tensor_THE: Tensor, pack: Pack) -> Tensor:
        ctx.pack = pack  # type: ignore[attr-defined]  # what autograd offers for what is no tensor
        return tensor_THE.index_select(0, pack.places_P)

    @staticmethod
    def backward(ctx: Any, grad_PHE: Tensor) -> tuple[Tensor, None]:
        return grad_PHE.index_select(0, ctx.pack.tokens_T), None


class _Gathered(torch.autograd.Function):
    """Places back to tokens; what attention gave for padding is dropped."""

    @staticmethod
    def forward(ctx: FunctionCtx, tensor_PHE: Tensor, pack: Pack) -> Tensor:
        ctx.pack = pack  # type: ignore[attr-defined]  # as above
        return tensor_PHE.index_select(0, pack.tokens_T)

    @staticmethod
    def backward(ctx: Any, grad_THE: Tensor) -> tuple[Tensor, None]:
        return grad_THE.index_select(0, ctx.pack.places_P) * ctx.pack.real_P11, None
