"""The README.md of an exported model, in the hub's model-card format."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

from trainer.assess.assessment import Assessment, Comparison
from trainer.assess.interval import Interval
from trainer.assess.rule import Rule
from trainer.config.schema import Config

if TYPE_CHECKING:
    from trainer.data.tasks import Task

#: slices shown of each column
_SLICES = 10


@dataclass(frozen=True)
class CardFacts:
    """What is known of a model beside its configuration; whatever is missing is left out of the card.

    test, baseline: on the test rows. validation_f1_macro: on the rows it was chosen on. search: lines on how
    it was found. data: file -> {"path", "rows", "sha256"}. license: an SPDX id of the hub, "other" until the
    owner of the model decides.
    """

    test: Assessment | None = None
    baseline: Comparison | None = None
    validation_f1_macro: float | None = None
    search: Sequence[str] = ()
    data: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    license: str = "other"

    def as_dict(self) -> dict[str, Any]:
        """For JSON, without the texts of the errors."""
        found: dict[str, Any] = {
            "search": list(self.search),
            "data": dict(self.data),
            "license": self.license,
        }
        if self.validation_f1_macro is not None:
            found["validation_f1_macro"] = self.validation_f1_macro
        if self.test is not None:
            found["test"] = {**asdict(self.test), "errors": []}
        if self.baseline is not None:
            found["baseline"] = asdict(self.baseline)
            found["baseline"]["assessment"]["errors"] = []
        return found


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
names = iter(model.config.id2label.values())
for part in logits.split({sizes}):  # {tasks}
    print({{name: share for share, name in zip(part.softmax(0).tolist(), names)}})
```

`pipeline("text-classification")` would take one softmax over all tasks, which means nothing here.
"""


def model_card(config: Config, *, tasks: Sequence[Task], facts: CardFacts, rule: Rule) -> str:
    """What the model is, how to load it, how good it was measured to be, and its limits."""
    title = config.experiment.name or "Chinese text classifier"
    parts = [
        front(config, title=title, facts=facts),
        f"# {title}\n\nA Chinese text classifier fine-tuned with cp-search from `{config.model.name}`.\n\n",
        table(("task", "classes, in label order"), ((task.name, ", ".join(task.classes)) for task in tasks)),
        "\n## Use\n",
        _ONE if len(tasks) == 1 else _several(tasks),
        _decision(rule),
        known(facts),
        limits(config),
    ]
    return "".join(parts)


def known(facts: CardFacts) -> str:
    """The sections on how good it is, how it was found and on which rows, as far as that is known."""
    return "".join((_measured(facts), _slices(facts), _found(facts), _data(facts)))


def front(config: Config, *, title: str, facts: CardFacts) -> str:
    """The YAML the hub reads; a model of one's own directory has no base on the hub."""
    front: dict[str, Any] = {
        "library_name": "transformers",
        "pipeline_tag": "text-classification",
        "language": ["zh"],
        "license": facts.license,
        "tags": ["text-classification", "cyberbullying-detection", "cp-search"],
    }
    if _on_hub(config.model.name):
        front["base_model"] = config.model.name
    if facts.test is not None:
        front["metrics"] = ["f1", "accuracy"]
        front["model-index"] = [{"name": title, "results": [_result(facts.test)]}]
    return f"---\n{yaml.safe_dump(front, sort_keys=False, allow_unicode=True)}---\n\n"


def _on_hub(name: str) -> bool:
    return name.count("/") == 1 and not name.startswith((".", "/", "~")) and ":" not in name


def _result(test: Assessment) -> dict[str, Any]:
    scores = {"f1": test.f1_macro, "accuracy": test.accuracy}
    return {
        "task": {"type": "text-classification"},
        "dataset": {"name": f"test rows, sha256 {test.sha256[:12]}", "type": "custom"},
        "metrics": [
            {
                "type": kind,
                "value": round(score.value, 4),
                "name": f"{'macro ' if kind == 'f1' else ''}{kind}",
            }
            for kind, score in scores.items()
        ],
    }


def _several(tasks: Sequence[Task]) -> str:
    sizes = [len(task.classes) for task in tasks]
    return _SEVERAL.format(sizes=sizes, tasks=", ".join(task.name for task in tasks))


def _decision(rule: Rule) -> str:
    lines = "".join(f"- {task.task}: {task.reason}.\n" for task in rule.tasks)
    return f"""
## Decision rule

Probabilities are softmax((logits + offsets) / temperature), the label is the most probable class. Offsets and
temperature are folded into the last layer of this directory's weights, so that plain transformers decides
the same; `final_model.pt` holds the weights as trained, without them.

{lines}"""


def _measured(facts: CardFacts) -> str:
    if facts.test is None:
        return ""
    rows = list(_score_rows(facts))
    method = facts.test.f1_macro.method
    shown = table(("", "macro-F1", "95% interval"), rows)
    return f"\n## Measured\n\n{shown}\nOn {facts.test.rows} test rows, read once, at the end. {method}.\n"


def _score_rows(facts: CardFacts) -> Iterator[tuple[str, ...]]:
    if facts.validation_f1_macro is not None:
        yield (
            "validation macro-F1 (the model was chosen on these rows)",
            f"{facts.validation_f1_macro:.4f}",
            "",
        )
    if facts.test is not None:
        yield "test macro-F1 (read once, at the end)", *_cells(facts.test.f1_macro)
        for task in facts.test.tasks:
            if len(facts.test.tasks) > 1:
                yield f"test, {task.name}", *_cells(task.f1_macro)
            for found in task.classes:
                yield f"test, {task.name}, F1 of {found.name} ({found.support} rows)", *_cells(found.f1)
    if facts.baseline is not None:
        name = f"{facts.baseline.name}, same rows, test macro-F1"
        yield name, *_cells(facts.baseline.assessment.f1_macro)
        yield "this model minus that", *_cells(facts.baseline.difference)


def _cells(found: Interval) -> tuple[str, str]:
    ends = "" if found.low is None else f"{found.low:.4f} to {found.high:.4f}"
    return f"{found.value:.4f}", ends


def _slices(facts: CardFacts) -> str:
    if facts.test is None or not facts.test.slices:
        return ""
    rows = []
    for column in dict.fromkeys(found.column for found in facts.test.slices):
        own = [found for found in facts.test.slices if found.column == column][:_SLICES]
        rows += [
            (f"{column} = {found.value}", found.task, str(found.rows), *_cells(found.accuracy))
            for found in own
        ]
    return "\n### By slice\n\n" + table(("rows where", "task", "rows", "accuracy", "95% interval"), rows)


def _found(facts: CardFacts) -> str:
    return (
        "\n## How it was found\n\n" + "".join(f"- {line}\n" for line in facts.search) if facts.search else ""
    )


def _data(facts: CardFacts) -> str:
    if not facts.data:
        return ""
    rows = ((name, str(one["rows"]), f"`{one['sha256']}`") for name, one in facts.data.items())
    return "\n## Data\n\n" + table(("file", "rows", "SHA-256"), rows)


def table(head: Sequence[str], rows: Iterator[tuple[str, ...]] | Sequence[tuple[str, ...]]) -> str:
    """A Markdown table."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |\n" for line in lines)


def limits(config: Config) -> str:
    """What the model cannot be trusted with."""
    model = config.model
    exact = " is written as one more encoder layer, exact in float32 only" if model.pooling == "mean" else ""
    return f"""
## Limits

Texts are cut at {model.max_sequence_length} tokens. Float32 weights; pooling `{model.pooling}`{exact}.
{CAUTION}"""


#: how the limits of every card end
CAUTION = """\
A score on one data set says little about other platforms, dialects or years: test it on your own
texts, and let no decision about a person rest on it alone. The license above is for the owner of the model
to set; it cannot be more generous than that of the base model and the data.
"""
