"""`cp-search train`: flags, precedence, the dry run."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
import yaml

from search.cli.settings import read_settings
from search.cli.single_run import continuation
from tests.conftest import CommandLine, picture
from tests.trainer.runs import write_rows
from trainer import Outcome, UserError

SMALL = """\
model: {name: 'builtin:tiny', max_sequence_length: 64}
data: {train_path: train.jsonl, val_path: val.jsonl, cache_dir: cache}
training: {batch_size: 32}
"""
SEARCHED = "search: {training.learning_rate: {type: float, low: 1.0e-4, high: 1.0e-3}}\nbudget: {trials: 1}\n"


@pytest.mark.slow
def test_a_dry_run_prints_a_configuration_and_where_it_came_from(
    cp_search: CommandLine, tmp_path: Path
) -> None:
    config = tmp_path / "mine.yaml"
    config.write_text("training:\n  learning_rate: 3e-5\n  num_epochs: 7\n", encoding="utf-8")
    before = picture(tmp_path)
    flags = ["--num-epochs", "9", "--no-fp16", "--set", "model.pooling=mean"]
    result = cp_search("train", "--template", "fast_dev", "--config", "mine.yaml", *flags, "--dry-run")
    assert result.returncode == 0, result.stderr
    printed = yaml.safe_load(result.stdout)
    assert printed["training"]["num_epochs"] == 9
    assert printed["training"]["fp16"] is False
    assert printed["model"]["pooling"] == "mean"
    origins = {
        line.split(":")[0].strip(): line.split("#")[1] for line in result.stdout.splitlines() if "#" in line
    }
    assert "mine.yaml:2" in origins["learning_rate"]
    assert "fast_dev" in origins["name"]
    assert "weight_decay" not in origins
    assert picture(tmp_path) == before


@pytest.mark.slow
def test_a_dry_run_as_json_is_one_document(cp_search: CommandLine) -> None:
    result = cp_search("train", "--template", "fast_dev", "--seed", "5", "--dry-run", "--json")
    document = json.loads(result.stdout)
    assert document["config"]["experiment"]["seed"] == 5
    assert document["origins"]["data.train_path"] == "default"


@pytest.mark.slow
def test_a_dry_run_names_the_card_rules_as_the_origin_of_what_they_set(
    cp_search: CommandLine, tmp_path: Path
) -> None:
    config = tmp_path / "mine.yaml"
    config.write_text("training:\n  batch_size: 32\n  bf16: true\n", encoding="utf-8")
    result = cp_search("train", "--config", "mine.yaml", "--card", "4GiB", "--dry-run")
    assert result.returncode == 0, result.stderr
    lines = {line.split(":")[0].strip(): line for line in result.stdout.splitlines()}
    rule = "# card rule: a card of 4.00 GiB;"
    assert lines["batch_size"].split("  #")[0].strip() == "batch_size: 8"
    assert lines["batch_size"].endswith(f"{rule} 32 was of mine.yaml:2")
    assert lines["pin_memory"].endswith(f"{rule} true was the default")
    assert lines["bf16"].endswith("# mine.yaml:3")
    assert yaml.safe_load(result.stdout)["training"]["effective_batch_size"] == 32


@pytest.mark.slow
def test_a_dry_run_names_the_plan_as_the_origin_of_its_measures(
    cp_search: CommandLine, tmp_path: Path
) -> None:
    write_rows(tmp_path / "train.jsonl", 40)
    write_rows(tmp_path / "val.jsonl", 12, shift=1000)
    (tmp_path / "mine.yaml").write_text(SMALL)
    result = cp_search("train", "--config", "mine.yaml", "--card", "16MiB", "--rehearse", "--dry-run")
    assert result.returncode == 0, result.stderr
    lines = {line.split(":")[0].strip(): line for line in result.stdout.splitlines()}
    assert lines["gradient_checkpointing"].split("  #")[0].strip() == "gradient_checkpointing: selective"
    assert lines["gradient_checkpointing"].endswith("# plan: what fits 16MiB; false was the default")
    assert "Planned for 16MiB: " in result.stderr
    card = "card: {memory: 16MiB, virtual: true}"
    (tmp_path / "space.yaml").write_text(f"name: small\nbase: mine.yaml\n{card}\n{SEARCHED}")
    shown = cp_search("run", "space.yaml", "--dry-run")
    assert lines["gradient_checkpointing"] in shown.stdout.splitlines()


def test_a_dry_run_of_a_space_has_its_base_under_the_card_rules(
    cp_search: CommandLine, tmp_path: Path
) -> None:
    (tmp_path / "mine.yaml").write_text(SMALL)
    card = "card: {memory: 4GiB, virtual: true}"
    (tmp_path / "space.yaml").write_text(f"name: small\nbase: mine.yaml\n{card}\n{SEARCHED}")
    result = cp_search("run", "space.yaml", "--dry-run", "--json")
    assert result.returncode == 0, result.stderr
    base = json.loads(result.stdout)["base"]
    assert base["config"]["training"]["batch_size"] == 8
    rule = "card rule: a card of 4.00 GiB; 32 was of mine.yaml:3"
    assert base["origins"]["training.batch_size"] == rule
    assert "Not planned: " in result.stderr


@pytest.mark.slow
def test_a_dry_run_without_data_keeps_to_the_rules_and_says_why(cp_search: CommandLine) -> None:
    result = cp_search("train", "--card", "4GiB", "--dry-run")
    assert result.returncode == 0, result.stderr
    assert "Not planned: data.train_path is not set" in result.stderr
    assert "# card rule: a card of 4.00 GiB;" in result.stdout


@pytest.mark.slow
def test_a_card_that_is_large_enough_rules_nothing(cp_search: CommandLine) -> None:
    result = cp_search("train", "--card", "24GiB", "--dry-run")
    assert "card rule" not in result.stdout + result.stderr


FLAGS: dict[str, tuple[object, str, str]] = {
    "--experiment-name": ("tryout", "experiment", "name"),
    "--model-name": ("builtin:tiny", "model", "name"),
    "--batch-size": (4, "training", "batch_size"),
    "--learning-rate": (1e-4, "training", "learning_rate"),
    "--num-epochs": (2, "training", "num_epochs"),
    "--resume-from-checkpoint": ("there", "experiment", "resume_from_checkpoint"),
    "--num-workers": (3, "data", "num_workers"),
    "--warmup-ratio": (0.25, "training", "warmup_ratio"),
    "--seed": (1, "experiment", "seed"),
    "--output-dir": ("elsewhere", "experiment", "output_dir"),
}


@pytest.mark.slow
def test_every_flag_sets_its_key(cp_search: CommandLine) -> None:
    words = [word for flag, (value, *_) in FLAGS.items() for word in (flag, str(value))]
    config = json.loads(cp_search("train", *words, "--dry-run", "--json").stdout)["config"]
    for flag, (value, section, key) in FLAGS.items():
        assert config[section][key] == value, flag


def test_a_flag_and_a_setting_may_not_disagree() -> None:
    with pytest.raises(UserError, match=r"training\.batch_size is also set to 8"):
        read_settings(["training.batch_size=4"], flags={"training.batch_size": 8})


def test_a_flag_that_was_not_given_sets_nothing() -> None:
    assert read_settings(["model.pooling=cls"], flags={"training.batch_size": None}) == {
        "model.pooling": "cls"
    }


def test_a_rehearsal_needs_a_card(cp_search: CommandLine) -> None:
    result = cp_search("train", "--rehearse", "--dry-run")
    assert (result.returncode, result.stdout) == (2, "")
    assert "--card 4GiB" in result.stderr


def test_an_interrupted_run_says_how_to_go_on(tmp_path: Path) -> None:
    run = tmp_path / "a run"
    words = shlex.split(continuation(Outcome(status="interrupted", directory=str(run))))
    assert words[:2] == ["cp-search", "train"]
    assert words[words.index("--resume-from-checkpoint") + 1] == str(run / "checkpoints/last")
