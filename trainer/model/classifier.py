"""The model that is trained: transformers' own sequence classifier, with all tasks' heads stacked.

Every task is a slice of one classification layer, so that what is exported loads with plain
transformers (docs/decisions/0005). `mean` and `last4` replace the hidden state that the
family's head looks at; the head itself is always the family's own.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedModel

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
    mean_BD = (hidden_BLD * mask_BL1).sum(1) / mask_BL1.sum(1)
    return F.layer_norm(mean_BD, mean_BD.shape[-1:], eps=NORM_EPS)
