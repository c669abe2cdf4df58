"""Where in an encoder a parameter lies, by its name: rates go by it, and so does what is frozen."""

from __future__ import annotations

import re

from transformers import PreTrainedConfig, PreTrainedModel

from trainer.errors import ConfigError, Problem
from trainer.model.build import POOLED_FAMILIES

_LAYER = re.compile(r"\.layers?\.(\d+)\.")


def height(name: str, net: PreTrainedModel) -> int | None:
    """The layer, counted from below, that the parameter `name` of `net` is of.

    0: embeddings, and whatever all layers share. None: a head, the pooler included.
    """
    if not name.startswith(f"{net.base_model_prefix}.") or ".pooler." in name:
        return None
    layer = _LAYER.search(name)
    return int(layer.group(1)) + 1 if layer else 0


def freeze(net: PreTrainedModel, *, trained_layers: int | None) -> None:
    """Leave only the heads and the top `trained_layers` of the encoder to be trained; None: everything."""
    if trained_layers is None:
        return
    lowest = max(1, net.config.num_hidden_layers - trained_layers + 1)
    for name, parameter in net.named_parameters():
        above = height(name, net)
        parameter.requires_grad_(above is None or above >= lowest)


def require_layers(config: PreTrainedConfig, trained_layers: int | None) -> None:
    """Check that the model has so many layers, and that they can be told apart.

    Raises:
        ConfigError: it has not, or they cannot.
    """
    if trained_layers is None:
        return
    problem = ""
    if config.model_type not in POOLED_FAMILIES:
        known = ", ".join(sorted(POOLED_FAMILIES))
        problem = f"is not known for {config.model_type} models; leave it out, or use a model of: {known}"
    elif trained_layers > config.num_hidden_layers:
        problem = f"is {trained_layers}, but the model has only {config.num_hidden_layers} layers"
    if problem:
        raise ConfigError([Problem(None, f"training.trained_layers {problem}")])
