"""Self-attention of a pack: one product for query, key and value, then each text to itself, by groups.

Mixed into transformers' own self-attention of BERT's family. What lies between the product and the texts
of a group is one pass over memory each way, where a chain of torch's own operations takes several.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx
from transformers import PreTrainedModel

from trainer.model.dropout import dropout

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from trainer.data.packs import Group, Pack


def attend_by_groups(net: PreTrainedModel) -> None:
    """Let the self-attention of every layer of `net` take packs, beside padded texts."""
    for layer in net.base_model.encoder.layer:
        module = layer.attention.self
        # Its class and not its `forward` is changed: a deep copy then computes with its own weights.
        module.__class__ = type(f"Grouped{type(module).__name__}", (GroupedAttention, type(module)), {})


class GroupedAttention(nn.Module):
    """Mixed into a self-attention of the families in `packed.py`, which all have the parts of BERT's."""

    query: nn.Linear
    key: nn.Linear
    value: nn.Linear
    dropout: nn.Dropout
    num_attention_heads: int
    scaling: float

    def forward(
        self, hidden_1TD: Tensor, *args: Any, pack: Pack | None = None, **rest: Any
    ) -> tuple[Tensor, Any]:
        """What the family's own attention gives.

        A pack's is taken in float32 whatever the products compute in: groups have too many shapes for
        bfloat16 (docs/decisions/0051).
        """
        if pack is None:
            padded: tuple[Tensor, Any] = super().forward(hidden_1TD, *args, **rest)
            return padded
        projected_TF = F.linear(hidden_1TD[0], *self._joined())
        drop = self.dropout.p if self.training else 0.0
        with full_precision():
            parts = _Heads.apply(projected_TF, pack, self.num_attention_heads)  # type: ignore[no-untyped-call]  # torch's own
            outputs = [
                _attended(query, key, value, group, drop)
                for query, key, value, group in zip(
                    parts[::3], parts[1::3], parts[2::3], pack.groups, strict=True
                )
            ]
            output_TD = _Tokens.apply(pack, projected_TF.dtype, *outputs)  # type: ignore[no-untyped-call]  # torch's own
        return output_TD[None], None

    def _joined(self) -> tuple[Tensor, Tensor]:
        """Weights and biases of query, key and value as of one layer; the query's bring the scaling along."""
        weights = [self.query.weight * self.scaling, self.key.weight, self.value.weight]
        biases = [self.query.bias * self.scaling, self.key.bias, self.value.bias]
        return torch.cat(weights), torch.cat(biases)


def full_precision() -> torch.autocast:
    """Float32 again, within the autocast of a CPU; packs are computed on no other device."""
    return torch.autocast("cpu", enabled=False)


def _attended(query_RHWE: Tensor, key_RHWE: Tensor, value_RHWE: Tensor, group: Group, drop: float) -> Tensor:
    """Spelled out as SDPA does on a CPU that trains with dropout, but with no care for texts of no token."""
    scores_RHWW = query_RHWE @ key_RHWE.transpose(2, 3)
    if group.bias_R11W is not None:
        scores_RHWW = scores_RHWW + group.bias_R11W
    return dropout(scores_RHWW.softmax(-1), drop) @ value_RHWE


class _Heads(torch.autograd.Function):
    """[T, 3HE] -> query, key and value of each group, float32 [R, H, W, E]: moved and widened at once."""

    @staticmethod
    def forward(ctx: Any, projected_TF: Tensor, pack: Pack, heads: int) -> tuple[Tensor, ...]:
        ctx.pack, ctx.dtype = pack, projected_TF.dtype
        return _taken_up(projected_TF.index_select(0, pack.places_P), pack, heads, parts=3)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        # Nothing attends to padding, so no gradient comes from there.
        return _laid_down(grads, ctx.pack, parts=3, dtype=ctx.dtype), None, None


class _Tokens(torch.autograd.Function):
    """What attention gave each group, float32 [R, H, W, E] -> [T, HE] of `dtype`; padding is dropped."""

    @staticmethod
    def forward(ctx: FunctionCtx, pack: Pack, dtype: torch.dtype, *outputs: Tensor) -> Tensor:
        ctx.pack, ctx.heads = pack, outputs[0].shape[1]  # type: ignore[attr-defined]  # what autograd offers for what is no tensor
        return _laid_down(outputs, pack, parts=1, dtype=dtype)

    @staticmethod
    def backward(ctx: Any, grad_TD: Tensor) -> tuple[Tensor | None, ...]:
        placed_PD = grad_TD.index_select(0, ctx.pack.places_P).index_fill_(0, ctx.pack.padding_Q, 0)
        return None, None, *_taken_up(placed_PD, ctx.pack, ctx.heads, parts=1)


def _taken_up(placed_PF: Tensor, pack: Pack, heads: int, *, parts: int) -> tuple[Tensor, ...]:
    """What lies in places -> each group's parts by head, float32 [R, H, W, E]."""
    return tuple(
        part_RHWE.to(torch.float32, memory_format=torch.contiguous_format, copy=True)
        for part_RHWE in _by_head(placed_PF, pack, heads, parts=parts)
    )


def _laid_down(found: Sequence[Tensor], pack: Pack, *, parts: int, dtype: torch.dtype) -> Tensor:
    """The other way, and on to tokens: [T, parts x HE] of `dtype`."""
    heads, width = found[0].shape[1], found[0].shape[-1]
    placed_PF = torch.empty(len(pack.places_P), parts * heads * width, dtype=dtype)
    for part_RHWE, found_RHWE in zip(_by_head(placed_PF, pack, heads, parts=parts), found, strict=True):
        part_RHWE.copy_(found_RHWE)
    return placed_PF.index_select(0, pack.tokens_T)


def _by_head(placed_PF: Tensor, pack: Pack, heads: int, *, parts: int) -> Iterator[Tensor]:
    """Views [R, H, W, E] of each group's parts (query, key and value are three), group after group."""
    sizes = [group.rows * group.width for group in pack.groups]
    for group, texts_QF in zip(pack.groups, torch.split(placed_PF, sizes), strict=True):
        yield from texts_QF.view(group.rows, group.width, parts, heads, -1).permute(2, 0, 3, 1, 4)
