"""Every key of a space file as a page of Markdown, read off the schema so that it cannot fall behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from search.dimension import FORMS
from search.space_file import (
    Budget,
    CardChoice,
    Component,
    Confirm,
    Finish,
    Limits,
    SampleChoice,
    SpaceFile,
)
from trainer import key_table

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from trainer import Section

_HEADER = """# Space reference

A space file says what `cp-search run` searches. Every key, with its type, default and meaning. This page is
written by `python -m search.reference`; a test fails when it is not what the schema says.

Unknown keys, wrong types and ranges that the configuration would refuse are errors, all of them told at once
with file, line and column. `cp-search run SPACE --dry-run` shows what would be searched and starts nothing;
`cp-search init` drafts a space for your data.

```yaml
{example}```

Key paths are those of the [configuration](configuration.md), `section.key`. Flags come after the file:
`--set section.key=value` changes what is under `set`, `--n-trials` and `--time` the budget.

What may change under a study that has begun: more trials or time, a wider range of numbers, other limits.
Other changes are refused naming the key, with the two ways out: a new name, or `--fork`, which carries over
the trials that still fit ([decision 0024](decisions/0024-changed-spaces.md)).
"""
EXAMPLE = """name: friday
base: rtx3050_optimized
set:
  model.name: hfl/chinese-macbert-base
  data.train_path: data/train.jsonl
  data.val_path: data/val.jsonl
  data.test_path: data/test.jsonl
card: rtx3050 4GiB
search:
  training.learning_rate: {type: float, low: 1.0e-5, high: 1.0e-4, log: true}
  training.effective_batch_size: {type: categorical, choices: [16, 32]}
  training.lr_scheduler: {type: categorical, choices: [linear, cosine]}
  # looked for only in trials with the cosine schedule
  training.warmup_ratio: {type: float, low: 0.0, high: 0.2, when: {training.lr_scheduler: cosine}}
enqueue:
  - {training.learning_rate: 3.0e-5, training.effective_batch_size: 32, training.lr_scheduler: linear}
sampler: {name: TPESampler, args: {n_startup_trials: 8}}
pruner: {name: MedianPruner, args: {n_startup_trials: 5}}
budget: {trials: 30, time: 8h, target: 0.92, patience: 10}
limits: {trial_timeout: 2h, stall_timeout: 10m}
finish: {confirm: {top_k: 3, seeds: 3}}
"""
#: heading -> the section it describes
_SECTIONS: dict[str, type[Section]] = {
    "card": CardChoice,
    "sample": SampleChoice,
    "sampler, pruner": Component,
    "budget": Budget,
    "limits": Limits,
    "finish": Finish,
    "finish.confirm": Confirm,
}


def reference() -> str:
    """The whole page."""
    sections = [_section(title, section) for title, section in _SECTIONS.items()]
    whole = ["## The file", "", key_table(_as_written(SpaceFile))]
    return "\n".join([_HEADER.format(example=EXAMPLE), *whole, *_dimensions(), *sections])


def _dimensions() -> list[str]:
    words = (
        "Under each key path, one of three types. What the configuration would refuse is refused here too "
        "(a learning rate of -1),\nand so are a choice listed twice and conditions that go round in a circle."
    )
    tables = [f"### type: {kind}\n\n{key_table(_but_type(form))}" for kind, form in FORMS.items()]
    return ["## search", "", words, "", *tables]


def _but_type(form: type[Section]) -> dict[str, FieldInfo]:
    return {key: field for key, field in _as_written(form).items() if key != "type"}


def _section(title: str, section: type[Section]) -> str:
    words = " ".join((section.__doc__ or "").split())
    return "\n".join([f"## {title}", "", words, "", key_table(_as_written(section))])


def _as_written(section: type[Section]) -> dict[str, FieldInfo]:
    """Keys as the file writes them: `time`, where the code says `time_s`."""
    return {field.alias or name: field for name, field in section.model_fields.items()}


if __name__ == "__main__":
    from pathlib import Path

    Path("docs/space.md").write_text(reference(), encoding="utf-8")
