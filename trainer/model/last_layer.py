"""The last layer where only each text's first token is read: the rest of what it gives is not computed.

One query per text is left. It is taken through the key's weights once, and what it attends to through the
value's weights once, so that no key and no value of a single token is ever formed: (W q) . h = q . (W^T h).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from trainer.model.attention import full_precision
from trainer.model.packed import by_group

if TYPE_CHECKING:
    from trainer.data.packs import Pack


def read_first_tokens(net: PreTrainedModel) -> None:
    """Let the last layer of `net` give, for a pack, [1, B, D]: each text's first token."""
    layer = net.base_model.encoder.layer[-1]
    # Its class and not its `forward` is changed: a deep copy then computes with its own weights.
    layer.__class__ = type(f"First{type(layer).__name__}", (FirstTokens, type(layer)), {})


class FirstTokens(nn.Module):
    """Mixed into a layer of the families in `packed.py`, which all have the parts of BERT's."""

    attention: Any
    feed_forward_chunk: Any

    def forward(self, hidden_1TD: Tensor, *args: Any, pack: Pack | None = None, **rest: Any) -> Tensor:
        """What the family's own layer gives, of a pack at its texts' first tokens alone."""
        if pack is None:
            whole_BLD: Tensor = super().forward(hidden_1TD, *args, **rest)
            return whole_BLD
        hidden_TD = hidden_1TD.squeeze(0).float()
        first_BD = hidden_TD.index_select(0, pack.firsts_B)
        with full_precision():  # as attention is: little is left, and packs differ in the number of texts
            attended_BD = _attended(self.attention.self, first_BD, hidden_TD, pack)
            first_1BD: Tensor = self.feed_forward_chunk(self.attention.output(attended_BD, first_BD)[None])
        return first_1BD


def _attended(attention: Any, first_BD: Tensor, hidden_TD: Tensor, pack: Pack) -> Tensor:
    """Self-attention's output for the first token of each text."""
    shape = (attention.num_attention_heads, attention.attention_head_size)
    key_HED, value_HED = (part.weight.unflatten(0, shape) for part in (attention.key, attention.value))
    query_BHE = attention.query(first_BD).unflatten(1, shape) * attention.scaling
    query_BHD = torch.einsum("bhe,hed->bhd", query_BHE, key_HED)
    shift_BH1 = (query_BHE * attention.key.bias.unflatten(0, shape)).sum(-1, keepdim=True)
    rows = [group.rows for group in pack.groups]
    texts = by_group(hidden_TD, pack)
    queries, shifts = torch.split(query_BHD, rows), torch.split(shift_BH1, rows)
    weighed, sums = [], []
    for group, texts_RWD, query_RHD, shift_RH1 in zip(pack.groups, texts, queries, shifts, strict=True):
        scores_RHW = query_RHD @ texts_RWD.transpose(1, 2) + shift_RH1
        if group.bias_R11W is not None:
            scores_RHW = scores_RHW + group.bias_R11W[:, 0]
        weights_RHW = attention.dropout(scores_RHW.softmax(-1))
        weighed.append(weights_RHW @ texts_RWD)
        sums.append(weights_RHW.sum(-1, keepdim=True))
    value_BHE = torch.einsum("bhd,hed->bhe", torch.cat(weighed), value_HED)
    # Dropout leaves weights that do not sum to one: the bias is weighed as well.
    attended_BHE: Tensor = value_BHE + torch.cat(sums) * attention.value.bias.unflatten(0, shape)
    return attended_BHE.flatten(1)
