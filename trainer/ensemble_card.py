"""The README.md of an exported ensemble, in the hub's model-card format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from trainer.config.schema import Config
from trainer.model_card import CAUTION, CardFacts, front, known, table

_USE = """
## Use

The probabilities of its members are averaged, and the most probable class is the answer:

    cp-search predict THIS_DIRECTORY "文字"

Each member's directory loads with plain transformers. All of them together, without cp-search:

```python
from glob import glob
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer
total, members = 0, sorted(glob("THIS DIRECTORY/member-*"))
for member in members:
    model = AutoModelForSequenceClassification.from_pretrained(member).eval()
    words = AutoTokenizer.from_pretrained(member)("文字", truncation=True, return_tensors="pt")
    parts = model(**words).logits[0].detach().split({sizes})  # {tasks}
    total = total + torch.cat([part.softmax(0) for part in parts])
print({{model.config.id2label[i]: share / len(members) for i, share in enumerate(total.tolist())}})
```
"""

_LIMITS = f"""
## Limits

Each member cuts texts at a length of its own, which its README.md tells, and takes a model's memory and time.
{CAUTION}"""


def ensemble_card(
    config: Config, *, tasks: Mapping[str, Sequence[str]], members: Sequence[str], facts: CardFacts
) -> str:
    """What the ensemble is, how to load it, how good the whole was measured to be, and its limits.

    config: of its first member.
    """
    title = config.experiment.name or "Ensemble of Chinese text classifiers"
    sizes = [len(classes) for classes in tasks.values()]
    made = (
        f"{len(members)} Chinese text classifiers fine-tuned with cp-search, the first of them from "
        f"`{config.model.name}`: `{members[0]}` to `{members[-1]}`."
    )
    parts = [
        front(config, title=title, facts=facts),
        f"# {title}\n\n{made}\n\n",
        table(("task", "classes, in label order"), [(task, ", ".join(tasks[task])) for task in tasks]),
        _USE.format(sizes=sizes, tasks=", ".join(tasks)),
        known(facts),
        _LIMITS,
    ]
    return "".join(parts)
