"""What the forkserver imports once, so that no child pays for it. Never touches CUDA.

Importing starts no thread and takes no lock that a fork could break; computing could.
"""

from __future__ import annotations

import gc

import torch
import torch.utils.tensorboard
import transformers.models.auto.modeling_auto
import transformers.models.auto.tokenization_auto
import transformers.models.bert.modeling_bert
import transformers.models.bert.tokenization_bert
from transformers.conversion_mapping import get_checkpoint_conversion_mapping

import search.cli
import search.engine.child
from trainer import run

# Loading any checkpoint asks for this table; building it compiles a thousand patterns: 0.2 s in every child.
get_checkpoint_conversion_mapping("bert")

#: what a child finds already imported
LOADED = (
    torch,
    torch.utils.tensorboard,
    transformers.models.auto.modeling_auto,
    transformers.models.auto.tokenization_auto,
    transformers.models.bert.modeling_bert,
    transformers.models.bert.tokenization_bert,
    search.cli,
    search.engine.child,
    run,
)

# All of this stays: no child needs to look through it for garbage.
gc.freeze()
gc.enable()
