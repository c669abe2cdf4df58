"""The model that is trained: transformers' own sequence classifier, with all tasks' heads stacked.

Every task is a slice of one classification layer, so that what is exported loads with plain
transformers (docs/decisions/0005). `mean` and `last4` replace the hidden state that the
family's head looks at; the head itself is always the family's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedModel

from trainer.model.attention import full_precision
from trainer.model.last_layer import read_first_tokens
from trainer.model.packed import can_pack, use_packing

if TYPE_CHECKING:
    from trainer.data.packs import PackedBatch

#: families whose position ids start at pad_token_id + 1
OFFSET_POSITIONS = frozenset({"roberta", "xlm-roberta", "camembert"})

#: as in BERT; at this size it does not show beside a hidden state's variance
NORM_EPS = 1e-12


class Classifier(nn.Module):
    """Logits of all tasks side by side: `forward(ids_BL, mask_BL) -> logits_BC`.

    sizes: classes per task, in task order; C is their sum.
    """

    def __init__(self, net: PreTrainedModel, *, sizes: Sequence[int], pooling: str) -> None:
        super().__init__()
        self.net = net
        self.sizes = tuple(sizes)
        self.pooling = pooling
        self.packs = False

    def use_packing(self) -> bool:
        """Take packed texts from now on, beside padded ones, if the family can; True if it does."""
        if self.packs:
            return True
        self.packs = can_pack(self.net)
        if self.packs:
            use_packing(self.net)
            if self.pooling != "mean":
                read_first_tokens(self.net)
        return self.packs

    def forward(self, ids_BL: Tensor, mask_BL: Tensor) -> Tensor:
        """Logits_BC of token ids and their attention mask (1 = a token, 0 = padding)."""
        if self.pooling == "cls":
            logits_BC: Tensor = self.net(input_ids=ids_BL, attention_mask=mask_BL).logits
            return logits_BC
        outputs = self.net.base_model(
            input_ids=ids_BL, attention_mask=mask_BL, output_hidden_states=self.pooling == "last4"
        )
        if self.pooling == "mean":
            pooled_BD = mean_pooled(outputs.last_hidden_state, mask_BL)
        else:
            pooled_BD = torch.stack([hidden_BLD[:, 0] for hidden_BLD in outputs.hidden_states[-4:]]).mean(0)
        return self._head(pooled_BD.unsqueeze(1))

    def packed(self, batch: PackedBatch) -> Tensor:
        """Logits_BC of packed texts, equal to `forward`'s of the same texts padded."""
        outputs = self.net.base_model(
            input_ids=batch.ids_T[None],
            position_ids=self._positions(batch.positions_T)[None],
            output_hidden_states=self.pooling == "last4",
            pack=batch.pack,
        )
        if self.pooling == "mean":
            pooled_BD = packed_mean(outputs.last_hidden_state[0], batch.pack.lengths_B)
        elif self.pooling == "last4":
            last4 = [hidden_1TD[0, batch.pack.firsts_B] for hidden_1TD in outputs.hidden_states[-4:-1]]
            pooled_BD = torch.stack([*last4, outputs.last_hidden_state[0]]).mean(0)
        else:
            pooled_BD = outputs.last_hidden_state[0]  # of first tokens: the last layer gives no others
        with full_precision():
            return self._head(pooled_BD[: len(batch.labels_BT), None].float())

    def _positions(self, positions_T: Tensor) -> Tensor:
        """Position ids as the family counts them: RoBERTa's start behind its padding id."""
        if self.net.config.model_type not in OFFSET_POSITIONS:
            return positions_T
        return positions_T + (int(self.net.config.pad_token_id) + 1)

    def split(self, logits_BC: Tensor) -> tuple[Tensor, ...]:
        """One logits tensor per task."""
        return torch.split(logits_BC, list(self.sizes), dim=1)

    def _head(self, hidden_B1D: Tensor) -> Tensor:
        """The family's own head over a sequence of one: BERT and DeBERTa have a pooler before it."""
        pooler = getattr(self.net, "pooler", None) or getattr(self.net.base_model, "pooler", None)
        if pooler is None:
            logits_BC: Tensor = self.net.classifier(hidden_B1D)
        else:
            logits_BC = self.net.classifier(self.net.dropout(pooler(hidden_B1D)))
        return logits_BC


def mean_pooled(hidden_BLD: Tensor, mask_BL: Tensor) -> Tensor:
    """Mean over a text's tokens, special tokens included, normalised without affine weights.

    The normalisation makes the scale equal for all texts, and is what lets `export` write mean
    pooling as one more encoder layer.
    """
    mask_BL1 = mask_BL.unsqueeze(-1).to(hidden_BLD.dtype)
    return _normalised((hidden_BLD * mask_BL1).sum(1) / mask_BL1.sum(1))


def packed_mean(hidden_TD: Tensor, lengths_B: Tensor) -> Tensor:
    """`mean_pooled` of texts that lie end to end."""
    text_T = torch.repeat_interleave(lengths_B)
    sum_BD = hidden_TD.new_zeros(len(lengths_B), hidden_TD.shape[-1]).index_add(0, text_T, hidden_TD)
    return _normalised(sum_BD / lengths_B[:, None])


def _normalised(mean_BD: Tensor) -> Tensor:
    return F.layer_norm(mean_BD, mean_BD.shape[-1:], eps=NORM_EPS)
