from __future__ import annotations

import pytest

from trainer.config.schema import ModelConfig, TaskConfig
from trainer.data.tasks import BUILTIN, Task, idle_labels, resolve_tasks
from trainer.errors import UserError

ALL_FIELDS = {"text", "toxicity_labels", "bullying_labels", "role_labels", "emotion_labels"}


def test_rows_with_a_plain_label_give_one_task_of_numbered_classes() -> None:
    tasks = resolve_tasks(ModelConfig(num_labels=3), {"text", "labels", "topic"})
    assert tasks == (Task("labels", ("0", "1", "2"), 1.0),)
    assert tasks[0].field == "labels"


def test_the_class_names_of_the_plain_label_can_be_declared() -> None:
    model = ModelConfig(tasks={"labels": TaskConfig(classes=["safe", "offensive"], weight=2.0)})
    assert resolve_tasks(model, {"labels"}) == (Task("labels", ("safe", "offensive"), 2.0),)


def test_the_four_builtin_tasks_are_found_in_order_with_their_weights() -> None:
    tasks = resolve_tasks(ModelConfig(), ALL_FIELDS)
    assert tasks == BUILTIN
    assert [(task.field, task.weight) for task in tasks] == [
        ("toxicity_labels", 1.0),
        ("bullying_labels", 1.0),
        ("role_labels", 0.5),
        ("emotion_labels", 0.5),
    ]


def test_a_task_without_its_field_in_the_data_is_left_out() -> None:
    tasks = resolve_tasks(ModelConfig(), {"text", "emotion_labels", "bullying_labels"})
    assert [task.name for task in tasks] == ["bullying", "emotion"]


def test_without_multitask_only_the_first_task_is_trained() -> None:
    assert [task.name for task in resolve_tasks(ModelConfig(use_multitask=False), ALL_FIELDS)] == ["toxicity"]


def test_declared_tasks_follow_the_builtin_ones_and_may_replace_them() -> None:
    declared = {
        "sarcasm": TaskConfig(classes=["no", "yes"]),
        "emotion": TaskConfig(classes=["negative", "positive", "neutral"]),
    }
    tasks = resolve_tasks(ModelConfig(tasks=declared), {*ALL_FIELDS, "sarcasm_labels"})
    assert [task.name for task in tasks] == ["toxicity", "bullying", "role", "emotion", "sarcasm"]
    assert tasks[3].classes == ("negative", "positive", "neutral")


def test_task_weights_override_the_tasks_own() -> None:
    tasks = resolve_tasks(ModelConfig(task_weights={"role": 2.5}), ALL_FIELDS)
    assert [task.weight for task in tasks] == [1.0, 1.0, 2.5, 0.5]


def test_labels_that_nothing_is_trained_on_are_named() -> None:
    beside = idle_labels(ModelConfig(), {"text", "labels", "toxicity_labels", "fine_grained_label"})
    assert beside is not None
    assert beside.startswith("nothing is trained on toxicity_labels: a field labels means that task alone")
    unknown = idle_labels(ModelConfig(), {*ALL_FIELDS, "sarcasm_labels"})
    assert unknown == "nothing is trained on sarcasm_labels: declare it under model.tasks"
    assert idle_labels(ModelConfig(), ALL_FIELDS) is None
    assert idle_labels(ModelConfig(use_multitask=False), ALL_FIELDS) is None


def test_data_without_any_label_names_the_fields_seen_and_expected() -> None:
    with pytest.raises(
        UserError, match=r"seen: body, text; expected one of: labels, toxicity_labels"
    ) as error:
        resolve_tasks(ModelConfig(), {"text", "body"})
    assert "\n" not in str(error.value)
