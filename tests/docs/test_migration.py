"""Every `cp-search train` that the migration pages give for a line of the published guide is taken."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.search.cli.typed import call
from trainer import load_config, template_names

PAGES = ["migration.md", "migration.zh-TW.md"]
TRAIN = re.compile(r"\| `cp-search (train[^`]*)`")


def commands(page: str) -> list[list[str]]:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    return [shlex.split(found) for found in TRAIN.findall(text)]


@pytest.mark.parametrize("page", PAGES)
def test_every_train_command_resolves(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    (tmp_path / "experiments" / "my_exp").mkdir(parents=True)
    (tmp_path / "experiments" / "my_exp" / "config.yaml").write_text(
        "training: {num_epochs: 7}\n", encoding="utf-8"
    )
    monkeypatch.chdir(tmp_path)
    found = commands(page)
    assert len(found) == 14
    for words in found:
        result = call(*words, "--dry-run")
        assert result.exit_code == 0, (words, result.output)


#: the options of the guide's script
OPTIONS = {
    *("--config", "--template", "--experiment-name", "--model-name", "--batch-size", "--learning-rate"),
    *("--num-epochs", "--fp16", "--resume-from-checkpoint", "--num-workers", "--warmup-ratio", "--seed"),
    "--output-dir",
}


@pytest.mark.parametrize("page", PAGES)
def test_every_option_and_template_of_the_guide_has_its_command(page: str) -> None:
    words = {word for command in commands(page) for word in command}
    assert OPTIONS | set(template_names()) <= words
    assert "`--gpu 0`" in (ROOT / "docs" / page).read_text(encoding="utf-8")


#: every key of the guide, where the guide writes it
GUIDE = """
model: {name: hfl/chinese-macbert-base, num_labels: 2, dropout_rate: 0.1, hidden_size: 768,
  max_sequence_length: 256, use_multitask: true, pooling: cls,
  task_weights: {toxicity: 1.0, bullying: 1.0, role: 0.5, emotion: 0.5}, gradient_checkpointing: true}
data: {train_path: t.json, val_path: v.json, test_path: e.json, cache_dir: cache, batch_size: 8,
  num_workers: 2, pin_memory: false, prefetch_factor: 2, gradient_accumulation_steps: 4}
training: {num_epochs: 10, learning_rate: 3e-5, weight_decay: 0.01, fp16: true, auto_batch_size: true,
  lr_scheduler: cosine, warmup_ratio: 0.1, dataloader_drop_last: false, class_weights: balanced,
  label_smoothing: 0.1, layer_lr_decay: 0.9, head_lr_multiplier: 10}
optimization: {optimizer: AdamW, max_grad_norm: 1.0, memory_efficient_attention: true, cpu_offload: false}
callbacks: {early_stopping_patience: 3, early_stopping_metric: eval_f1_macro, early_stopping_mode: max,
  save_top_k: 3, save_best_only: true, monitor_gpu_memory: true, tensorboard_log_dir: tb}
experiment: {name: my_exp, output_dir: experiments, seed: 42, log_level: INFO, resume_from_checkpoint: null,
  save_predictions: true}
"""


def test_a_file_with_every_key_of_the_guide_loads_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(GUIDE, encoding="utf-8")
    config = load_config(file=file).config
    assert config.training.batch_size == 8
    assert config.training.gradient_accumulation_steps == 4
    assert config.optimization.gradient_checkpointing is True
    assert config.training.learning_rate == 3e-5


@pytest.mark.parametrize("command", ["train", "run"])
def test_gpu_alone_as_the_guide_writes_it_is_refused_with_what_to_do(command: str) -> None:
    result = call(command, "--gpu", "--fp16")
    assert result.exit_code == 2
    assert "number of a GPU, as in --gpu 0; without it the GPU that is here is used" in " ".join(
        result.output.split()
    )


def test_both_languages_give_the_same_commands() -> None:
    assert commands(PAGES[0]) == commands(PAGES[1])
