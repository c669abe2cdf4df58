"""The README.md of an exported model, in the hub's model-card format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from trainer.config.schema import Config

if TYPE_CHECKING:
    from trainer.data.tasks import Task

_HEAD = """\
---
library_name: transformers
pipeline_tag: text-classification
language: zh
base_model: {base}
tags: [text-classification, cyberbullying-detection, cp-search]
---

# {title}

A Chinese text classifier fine-tuned with cp-search from `{base}`.

| task | classes, in label order |
|---|---|
"""

_ONE = """
```python
from transformers import pipeline
classify = pipeline("text-classification", model="THIS DIRECTORY", truncation=True)
print(classify("文字"))
```
"""

_SEVERAL = """
The tasks' logits stand side by side, named `task/class`; cut them and take a softmax per task:

```python
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

model = AutoModelForSequenceClassification.from_pretrained("THIS DIRECTORY").eval()
tokenizer = AutoTokenizer.from_pretrained("THIS DIRECTORY")
with torch.inference_mode():
    logits = model(**tokenizer("文字", truncation=True, return_tensors="pt")).logits[0]
for part in logits.split({sizes}):
    print(part.softmax(0))  # {names}, in this order
```
"""


def model_card(config: Config, *, tasks: Sequence[Task], facts: Mapping[str, Any]) -> str:
    """What the model is, how to load it, how good it was measured to be, and its limits."""
    rows = "".join(f"| {task.name} | {', '.join(task.classes)} |\n" for task in tasks)
    title = config.experiment.name or "Chinese text classifier"
    parts = [
        _HEAD.format(base=config.model.name, title=title) + rows,
        "\n## Use\n",
        _ONE if len(tasks) == 1 else _several(tasks),
        _scores(facts),
        _limits(config),
    ]
    return "".join(parts)


def _several(tasks: Sequence[Task]) -> str:
    sizes = [len(task.classes) for task in tasks]
    return _SEVERAL.format(sizes=sizes, names=", ".join(task.name for task in tasks))


def _scores(facts: Mapping[str, Any]) -> str:
    named = {
        "validation_f1_macro": "validation macro-F1 (the model was chosen on these rows)",
        "test_f1_macro": "test macro-F1 (read once, at the end)",
        "baseline_f1_macro": "TF-IDF + logistic regression, same rows, test macro-F1",
    }
    there = {key: text for key, text in named.items() if facts.get(key) is not None}
    rows = "".join(f"| {text} | {facts[key]:.4f} |\n" for key, text in there.items())
    return f"\n## Measured\n\n| | |\n|---|---|\n{rows}" if rows else ""


def _limits(config: Config) -> str:
    model = config.model
    exact = " is written as one more encoder layer, exact in float32 only" if model.pooling == "mean" else ""
    return f"""
## Limits

Texts are cut at {model.max_sequence_length} tokens. Float32 weights; pooling `{model.pooling}`{exact}.
A score on one data set says little about other platforms, dialects or years: test it on your own
texts, and let no decision about a person rest on it alone.
"""
