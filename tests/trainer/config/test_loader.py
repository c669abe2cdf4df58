"""Templates, files and flags joined: who wins, and what is said of mistakes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from trainer.config.loader import dump_config, load_config, parse_setting
from trainer.config.schema import Config, key_paths
from trainer.config.templates import template_names, template_path
from trainer.errors import ConfigError

PUBLISHED = """\
# 賽博貓訓練設定
model:
  name: "hfl/chinese-macbert-base"  # 模型
  num_labels: 3
  hidden_size: 768
  gradient_checkpointing: true
  task_weights: {toxicity: 1.0, bullying: 1, role: 0.5, emotion: 0.5}
data:
  train_path: "data/processed/train.json"
  test_path: "data/processed/test.json"
  cache_dir: "./cache"
  batch_size: 8
  gradient_accumulation_steps: 4
  prefetch_factor: 2
training:
  learning_rate: 3e-5
  lr_scheduler: "cosine"
  dataloader_drop_last: false
optimization:
  cpu_offload: false
callbacks:
  early_stopping_mode: "max"
  save_best_only: true
  monitor_gpu_memory: true
  tensorboard_log_dir: "./logs"
experiment:
  name: ""
  output_dir: "./experiments"
  resume_from_checkpoint: null
  save_predictions: true
"""


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def written(text: str, name: str = "c.yaml") -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return written


def complaints(file: Path | None = None, **flags: Any) -> list[str]:
    """The problems of loading, the directory of the file taken off."""
    with pytest.raises(ConfigError) as caught:
        load_config(file=file, **flags)
    directory = f"{file.parent}/" if file else ""
    return [str(problem).replace(directory, "") for problem in caught.value.problems]


def test_a_file_wins_over_a_template_and_a_flag_over_both(write: Any) -> None:
    file = write("training:\n  num_epochs: 7\n  warmup_ratio: 0.3\n")
    resolved = load_config(template="production", file=file, overrides={"training.warmup_ratio": 0.2})
    training = resolved.config.training
    assert (training.learning_rate, training.num_epochs, training.warmup_ratio) == (1e-5, 7, 0.2)
    assert resolved.origins["training.learning_rate"] == "template production"
    assert resolved.origins["training.num_epochs"] == f"{file}:2"
    assert resolved.origins["training.warmup_ratio"] == "flag"
    assert resolved.origins["training.layer_lr_decay"] == "default"
    assert set(resolved.origins) == set(key_paths())


#: every key that published configurations carry, two of them in both of their places
WHOLE = """\
# RTX 3050 優化配置
model:
  name: "hfl/chinese-macbert-base"   # 預訓練模型
  num_labels: 3
  dropout_rate: 0.1
  hidden_size: 768
  max_sequence_length: 384
  use_multitask: true
  task_weights: {toxicity: 1.0, bullying: 1.0, role: 0.5, emotion: 0.5}
  gradient_checkpointing: true       # 節省記憶體
data:
  train_path: "data/processed/train.json"
  val_path: "data/processed/val.json"
  test_path: "data/processed/test.json"
  cache_dir: ".cache"
  batch_size: 4
  gradient_accumulation_steps: 8
  num_workers: 1
  pin_memory: false
  prefetch_factor: 2
training:
  num_epochs: 10
  learning_rate: 2e-5
  weight_decay: 0.01
  fp16: true
  batch_size: 4
  auto_batch_size: false
  lr_scheduler: "cosine"
  warmup_ratio: 0.1
  dataloader_drop_last: true
optimization:
  optimizer: "AdamW"
  gradient_checkpointing: true
  max_grad_norm: 1.0
  memory_efficient_attention: true
  cpu_offload: false
callbacks:
  early_stopping_patience: 3
  early_stopping_metric: "eval_f1_macro"
  early_stopping_mode: "max"
  save_top_k: 3
  save_best_only: true
  monitor_gpu_memory: true
  tensorboard_log_dir: null
experiment:
  name: ""                           # 空白：自動產生
  output_dir: "experiments"
  seed: 42
  log_level: "INFO"
  resume_from_checkpoint: null
  save_predictions: true
"""


def test_a_published_configuration_loads(write: Any) -> None:
    config = load_config(file=write("\ufeff" + PUBLISHED)).config
    assert config.training.batch_size == 8
    assert config.training.gradient_accumulation_steps == 4
    assert config.optimization.gradient_checkpointing
    assert config.training.learning_rate == 3e-5
    assert config.data.train_path == "data/processed/train.json"
    assert config.experiment.name == ""


def test_a_section_without_keys_is_an_empty_one(write: Any) -> None:
    assert load_config(file=write("training:\n  # num_epochs: 3\nmodel: {}\n")).config == Config()


def test_all_problems_are_reported_at_once_in_file_order(write: Any) -> None:
    file = write(
        "modle:\n  name: x\n"
        "training:\n  learning_rat: 1e-5\n  batch_size: '8'\n  num_epochs: 3.0\n  lr_scheduler: cosin\n"
        "  hidden_size: 768\n"
        "model:\n  name: no\n  dropout_rate: 1.5\n"
        "data: 3\n"
        "learning_rate: 1\n"
    )
    assert complaints(file, overrides={"training.warmup_ratio": 2, "training.epochs": 3}) == [
        "c.yaml:1:1: unknown key modle; did you mean model? "
        "(sections: model, data, training, optimization, callbacks, experiment, strategy)",
        "c.yaml:4:3: unknown key training.learning_rat; did you mean training.learning_rate?",
        'c.yaml:5:15: training.batch_size: must be a whole number, but "8" is text; remove the quotes: 8',
        "c.yaml:6:15: training.num_epochs: must be a whole number, not 3.0; write 3",
        "c.yaml:7:17: training.lr_scheduler: must be one of cosine, linear, polynomial, constant, "
        'not "cosin"; did you mean cosine?',
        "c.yaml:8:3: unknown key training.hidden_size; hidden_size belongs under model (model.hidden_size)",
        'c.yaml:10:9: model.name: must be text, but no means false in YAML; quote it: "no"',
        "c.yaml:11:17: model.dropout_rate: must be less than 1.0, not 1.5",
        "c.yaml:12:7: data is a section; write `key: value` lines under it",
        "c.yaml:13:1: unknown key learning_rate; learning_rate belongs under training "
        "(training.learning_rate)",
        "--set training.epochs: unknown key training.epochs; did you mean training.num_epochs?",
        "--set training.warmup_ratio: must be at most 1.0, not 2",
    ]


def test_a_mistake_deep_in_a_value_is_shown_there(write: Any) -> None:
    file = write(
        "model:\n  tasks:\n    spam:\n      classes: [a, 1]\n      wieght: 2\n  task_weights: {role: 0}\n"
    )
    assert complaints(file) == [
        'c.yaml:4:20: model.tasks.spam.classes.1: must be text, but 1 means a number in YAML; quote it: "1"',
        "c.yaml:5:7: model.tasks.spam.wieght: unknown key; did you mean weight?",
        "c.yaml:6:24: model.task_weights.role: must be greater than 0.0, not 0",
    ]


def test_weights_of_unknown_tasks_are_refused(write: Any) -> None:
    (message,) = complaints(write("model:\n  task_weights: {spam: 1.0}\n"))
    assert message.startswith("c.yaml:2:17: model.task_weights: unknown tasks spam (there are: ")


def test_weights_of_declared_tasks_are_accepted(write: Any) -> None:
    file = write("model:\n  task_weights: {spam: 2.0}\n  tasks: {spam: {classes: [ham, spam]}}\n")
    assert load_config(file=file).config.model.task_weights == {"spam": 2.0}


def test_one_setting_under_both_its_names_may_not_differ(write: Any) -> None:
    file = write("data:\n  batch_size: 8\ntraining:\n  batch_size: 16\n")
    message = "training.batch_size and data.batch_size are the same setting but differ; keep one"
    assert complaints(file) == [f"c.yaml:4:3: {message}"]


def test_one_setting_under_both_its_names_may_agree(write: Any) -> None:
    file = write("data:\n  batch_size: 8\ntraining:\n  batch_size: 8\n")
    assert load_config(file=file).config.training.batch_size == 8


def test_the_other_name_of_a_setting_wins_over_an_earlier_layer(write: Any) -> None:
    file = write("data:\n  batch_size: 2\n")
    assert load_config(template="default", file=file).config.training.batch_size == 2


def test_a_later_accumulation_replaces_an_earlier_effective_batch_and_says_so(write: Any) -> None:
    file = write("training:\n  effective_batch_size: 64\n  batch_size: 8\n")
    resolved = load_config(file=file, overrides={"training.gradient_accumulation_steps": 2})
    assert resolved.config.effective_batch_size == 16
    (note,) = resolved.notes
    assert "training.gradient_accumulation_steps (flag) replaces training.effective_batch_size" in note


def test_bf16_takes_the_place_of_an_earlier_fp16_and_says_so(write: Any) -> None:
    file = write("training:\n  bf16: true\n")
    resolved = load_config(template="rtx3050_optimized", file=file)
    assert (resolved.config.training.fp16, resolved.config.precision) == (False, "bf16")
    assert resolved.notes == [f"training.bf16 ({file}:2) replaces training.fp16 (template rtx3050_optimized)"]
    back = load_config(file=file, overrides={"training.fp16": True})
    assert back.config.precision == "fp16"
    assert load_config(file=file, overrides={"training.bf16": False}).config.precision == "fp16"


def test_two_half_precisions_at_once_are_an_error_at_the_second(write: Any) -> None:
    with pytest.raises(ConfigError, match=r"c\.yaml:3:9: training\.bf16: fp16 and bf16 are two precisions"):
        load_config(file=write("training:\n  fp16: true\n  bf16: true\n"))


def test_what_excludes_each_other_is_an_error_at_its_place(write: Any) -> None:
    with pytest.raises(ConfigError, match=r"c\.yaml:3:16: optimization\.cpu_offload: AdamW8bit keeps"):
        load_config(file=write("optimization:\n  optimizer: AdamW8bit\n  cpu_offload: true\n"))


def test_a_whole_number_serves_where_a_fraction_is_wanted(write: Any) -> None:
    weight_decay = load_config(file=write("training:\n  weight_decay: 0\n")).config.training.weight_decay
    assert weight_decay == 0.0
    assert isinstance(weight_decay, float)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("training: {fp16: 1}", "must be true or false, not 1"),
        ('training: {fp16: "true"}', 'must be true or false, not "true"'),
        ("training: {num_epochs: true}", "must be a whole number, not true"),
        ("training: {num_epochs: }", "must be a whole number, not null"),
        ("training: {learning_rate: .inf}", "must be a finite number"),
        ("training: {learning_rate: 1e999}", "must be a finite number"),
        ("training: {weight_decay: 010}", "no plain number"),
        ("training: {class_weights: off}", "off means false in YAML"),
        ("data: {train_path: [a]}", 'must be text, not ["a"]'),
        ('data: {train_path: ""}', "must not be empty"),
        ("callbacks: {custom: a}", 'must be a list, not "a"'),
        ("model: {task_weights: 1}", "must be a mapping, not 1"),
    ],
)
def test_a_value_of_the_wrong_type_is_named_with_what_is_wanted(write: Any, line: str, message: str) -> None:
    (complaint,) = complaints(write(line))
    assert complaint.startswith("c.yaml:1:")
    assert message in complaint


def test_yes_and_no_serve_where_true_and_false_are_wanted(write: Any) -> None:
    assert load_config(file=write("training:\n  fp16: no\n")).config.training.fp16 is False


def test_syntax_errors_and_missing_files_are_configuration_errors(write: Any, tmp_path: Path) -> None:
    assert "not YAML" in complaints(write("training: [\n"))[0]
    assert "cannot be read" in complaints(tmp_path / "absent.yaml")[0]


def test_an_unknown_template_lists_those_there_are() -> None:
    (message,) = complaints(template="prodction")
    assert "did you mean production?" in message
    assert "fast_dev" in message


def test_every_template_loads_without_a_note() -> None:
    assert set(template_names()) >= {"default", "fast_dev", "production", "memory_efficient"}
    for name in template_names():
        assert not load_config(template=name).notes


def test_the_templates_keep_their_published_values() -> None:
    configs = {name: load_config(template=name).config for name in template_names()}
    assert configs["default"].training.num_epochs == 10
    assert configs["fast_dev"].training.num_epochs == 3
    production = configs["production"]
    assert (production.training.num_epochs, production.callbacks.early_stopping_patience) == (20, 5)
    small = configs["memory_efficient"]
    assert (small.micro_batch_size, small.accumulation_steps, small.model.max_sequence_length) == (4, 8, 384)
    assert (small.data.num_workers, small.data.pin_memory) == (1, False)
    assert small.optimization.gradient_checkpointing
    card = configs["rtx3050_optimized"]
    assert (card.micro_batch_size, card.accumulation_steps, card.data.pin_memory) == (8, 4, False)
    assert configs["hyperparameter_search"].callbacks.early_stopping_patience is None


def test_a_template_is_a_file_one_can_copy() -> None:
    assert template_path("default").read_text(encoding="utf-8").startswith("#")


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        ("training.learning_rate=3e-5", "training.learning_rate", 3e-5),
        ("experiment.name=a=b", "experiment.name", "a=b"),
        ("experiment.name=", "experiment.name", ""),
        ("model.task_weights={role: 2}", "model.task_weights", {"role": 2}),
    ],
)
def test_a_setting_is_a_key_path_and_a_yaml_value(text: str, path: str, value: Any) -> None:
    assert parse_setting(text) == (path, value)


@pytest.mark.parametrize("text", ["training.learning_rate", "=3", "a.b={"])
def test_a_setting_that_is_none_says_how_to_write_one(text: str) -> None:
    with pytest.raises(ConfigError, match="--set"):
        parse_setting(text)


def test_part_of_a_mapping_is_not_set_alone() -> None:
    (message,) = complaints(overrides={"model.task_weights.role": 1})
    assert "model.task_weights is set as a whole" in message


def test_loading_a_configuration_does_not_import_the_heavy_libraries() -> None:
    code = (
        "import sys, trainer.config.loader, search.space as space;"
        "space.load_space('quickstart');"
        "sys.exit(' '.join({'torch', 'transformers', 'optuna'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert not done.stderr.strip()


WORDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12) | st.sampled_from(
    [
        "no",
        "3e-5",
        "null",
        "~",
        "010",
        "1:30",
        "2024-01-01",
        "<<",
        "=",
        "#a",
        "- a",
        "a: b",
        ".nan",
        "0x1F",
        " ",
    ]
)
NUMBERS = st.floats(0, 0.999)
VALUES = {
    "model.name": WORDS,
    "model.dropout_rate": NUMBERS,
    "model.hidden_size": st.none() | st.integers(1, 4096),
    "model.tasks": st.none()
    | st.dictionaries(
        WORDS, st.fixed_dictionaries({"classes": st.lists(WORDS, min_size=2), "weight": st.floats(1e-9, 1e9)})
    ),
    "data.train_path": st.none() | WORDS,
    "training.learning_rate": st.floats(1e-300, 1e300, exclude_min=True),
    "training.lr_scheduler": st.sampled_from(["cosine", "linear", "polynomial", "constant"]),
    "training.fp16": st.booleans(),
    "callbacks.early_stopping_patience": st.none() | st.integers(1),
    "callbacks.custom": st.lists(WORDS, max_size=3),
    "experiment.name": st.just("") | WORDS,
    "experiment.seed": st.integers(0, 2**32 - 1),
}


@pytest.mark.slow
@given(st.fixed_dictionaries({}, optional=VALUES))
@settings(max_examples=150, deadline=None)
def test_a_configuration_written_as_yaml_reads_back_equal(
    tmp_path_factory: pytest.TempPathFactory, values: dict[str, Any]
) -> None:
    try:
        config = load_config(overrides=values).config
    except (ConfigError, ValidationError) as error:
        raise AssertionError(f"the strategy made an invalid configuration: {error}") from error
    file = tmp_path_factory.mktemp("dump") / "c.yaml"
    file.write_text(dump_config(config), encoding="utf-8")
    assert load_config(template="fast_dev", file=file).config == config


def test_a_whole_configuration_of_the_system_before_loads_unchanged(write: Any) -> None:
    config = load_config(file=write(WHOLE)).config
    assert (config.training.batch_size, config.training.gradient_accumulation_steps) == (4, 8)
    assert config.optimization.gradient_checkpointing is True
    assert (config.experiment.name, config.experiment.resume_from_checkpoint) == ("", None)
    assert config.model.task_weights == {"toxicity": 1.0, "bullying": 1.0, "role": 0.5, "emotion": 0.5}
    assert load_config(file=write(dump_config(config))).config == config
