"""A decision rule folded into a model's last layer, so that its logits decide by themselves."""

from __future__ import annotations

import torch
from torch import nn
from transformers import PreTrainedModel

from trainer.assess.rule import Rule
from trainer.errors import CpSearchError


@torch.no_grad()
def fold(net: PreTrainedModel, rule: Rule) -> None:
    """Change the last layer so that its logits are (logits + offsets) / temperature, in place.

    Raises:
        CpSearchError: no last linear layer with a bias that gives all logits of `rule`.
    """
    offsets_C = torch.tensor([offset for task in rule.tasks for offset in task.offsets])
    heat_C = torch.tensor([task.temperature for task in rule.tasks for _ in task.classes])
    layer = _last_layer(net, classes=len(offsets_C))
    dtype, device = layer.weight.dtype, layer.weight.device
    layer.weight.div_(heat_C[:, None].to(device, dtype))
    layer.bias.add_(offsets_C.to(device, dtype)).div_(heat_C.to(device, dtype))


def _last_layer(net: PreTrainedModel, *, classes: int) -> nn.Linear:
    """The last linear layer of the head: families keep it under different names and in different orders."""
    encoder = set(net.base_model.modules())
    layers = [one for one in net.modules() if isinstance(one, nn.Linear) and one not in encoder]
    fitting = [layer for layer in layers if layer.out_features == classes and layer.bias is not None]
    if not fitting:
        name = type(net).__name__
        raise CpSearchError(f"{name} does not end in a linear layer that a rule can be folded into")
    return fitting[-1]
