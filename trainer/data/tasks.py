"""Classification tasks: their names, classes in label order, and weights."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from trainer.config.schema import ModelConfig
from trainer.errors import UserError

#: The one task of rows that carry a plain `labels` field.
SINGLE = "labels"


@dataclass(frozen=True)
class Task:
    """One classification task; a label is the index of its class in `classes`."""

    name: str
    classes: tuple[str, ...]
    weight: float = 1.0

    @property
    def field(self) -> str:
        """The key of a data row that holds this task's label."""
        return SINGLE if self.name == SINGLE else f"{self.name}_labels"


BUILTIN = (
    Task("toxicity", ("none", "toxic", "severe"), 1.0),
    Task("bullying", ("none", "harassment", "threat"), 1.0),
    Task("role", ("none", "perpetrator", "victim", "bystander"), 0.5),
    Task("emotion", ("negative", "neutral", "positive"), 0.5),
)


def resolve_tasks(model: ModelConfig, fields: Collection[str]) -> tuple[Task, ...]:
    """The tasks to train on rows that have these `fields`, in the order they were declared.

    A `labels` field means one task of that name and nothing else. Otherwise every known task that has its
    field; a task declared in `model.tasks` under a built-in name takes the built-in's place.
    Raises `UserError` when no known label field is there.
    """
    known = (_single_task(model),) if SINGLE in fields else _named_tasks(model)
    present = [_weighted(task, model) for task in known if task.field in fields]
    if not present:
        raise UserError(_no_task_message(known, fields))
    return tuple(present if model.use_multitask else present[:1])


def idle_labels(model: ModelConfig, fields: Collection[str]) -> str | None:
    """What to say of `fields` that look like a task's labels and train none; None: there are no such fields.

    `use_multitask: false` asks for one task, so that the others being idle is no surprise.
    """
    used = {task.field for task in resolve_tasks(model, fields)}
    if not model.use_multitask:
        used |= {task.field for task in _named_tasks(model)}
    idle = sorted(field for field in fields if field.endswith("_labels") and field not in used)
    if not idle:
        return None
    remedy = "declare it under model.tasks"
    if SINGLE in used:
        remedy = f"a field {SINGLE} means that task alone; call it NAME_labels to train several"
    return f"nothing is trained on {', '.join(idle)}: {remedy}"


def _single_task(model: ModelConfig) -> Task:
    declared = (model.tasks or {}).get(SINGLE)
    if declared:
        return Task(SINGLE, tuple(declared.classes), declared.weight)
    return Task(SINGLE, tuple(str(label) for label in range(model.num_labels)))


def _named_tasks(model: ModelConfig) -> tuple[Task, ...]:
    tasks = {task.name: task for task in BUILTIN}
    for name, declared in (model.tasks or {}).items():
        if name != SINGLE:
            tasks[name] = Task(name, tuple(declared.classes), declared.weight)
    return tuple(tasks.values())


def _weighted(task: Task, model: ModelConfig) -> Task:
    return replace(task, weight=(model.task_weights or {}).get(task.name, task.weight))


def _no_task_message(known: Collection[Task], fields: Collection[str]) -> str:
    expected = ", ".join([SINGLE, *(task.field for task in known)])
    seen = ", ".join(sorted(fields)) or "none"
    return (
        f"no row has a label: fields seen: {seen}; expected one of: {expected}. "
        "Rename the field, or declare the task under model.tasks"
    )
