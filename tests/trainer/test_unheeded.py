from __future__ import annotations

import ast
import json
from collections.abc import Callable
from pathlib import Path

import pytest

import trainer
from tests.trainer.runs import Watcher, make_config
from trainer.config.schema import Config, key_paths
from trainer.runner import run
from trainer.unheeded import rules, unheeded_settings

SOURCES = Path(trainer.__file__).parent


def attributes_read() -> set[str]:
    """Every attribute the trainer reads anywhere but in this table and in the configuration's own rooms."""
    paths = [path for path in SOURCES.rglob("*.py") if path.parent.name != "config"]
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in paths if path.name != "unheeded.py"]
    names = {node.attr for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    derived = ast.parse((SOURCES / "config" / "schema.py").read_text(encoding="utf-8"))
    properties = {
        node.attr: function.name
        for function in ast.walk(derived)
        if isinstance(function, ast.FunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Attribute)
    }
    return names | {key for key, name in properties.items() if name in names}


def test_every_key_is_read_by_the_trainer_or_named_as_unheeded() -> None:
    read = attributes_read()
    by_name = {"train_path", "val_path"}  # read with getattr, one message for both
    forgotten = [path for path in key_paths() if path.split(".")[1] not in read | by_name | named_keys()]
    assert not forgotten


def named_keys() -> set[str]:
    return {path.split(".")[1] for path in rules()}


def test_every_rule_is_about_a_key_there_is() -> None:
    assert rules().keys() <= key_paths().keys()


@pytest.mark.parametrize(
    ("settings", "device", "named"),
    [
        ({"training": {"fp16": False}}, "cpu", []),
        ({"training": {"fp16": True}}, "cpu", ["training.fp16"]),
        ({"training": {"fp16": True}}, "virtual", ["training.fp16"]),
        ({"training": {"fp16": True}}, "cuda", []),
        ({"training": {"fp16": False}, "optimization": {"cpu_offload": True}}, "virtual", []),
        ({"training": {"fp16": False, "auto_batch_size": True}}, "cpu", ["training.auto_batch_size"]),
        (
            {"training": {"fp16": False}, "optimization": {"cpu_offload": True}},
            "cpu",
            ["optimization.cpu_offload"],
        ),
        (
            {"data": {"num_workers": 2, "prefetch_factor": 4}},
            "cuda",
            ["data.num_workers", "data.prefetch_factor"],
        ),
    ],
)
def test_a_setting_without_effect_is_named(
    settings: dict[str, dict[str, object]],
    device: str,
    named: list[str],
    processor: Callable[[str], None],
) -> None:
    processor("avx512_bf16")
    lines = unheeded_settings(Config.model_validate(settings), device=device)
    assert [line.split()[0] for line in lines] == named


def test_the_defaults_are_heeded_on_a_gpu() -> None:
    assert unheeded_settings(Config(), device="cuda") == []


def test_a_run_says_first_what_was_odd_in_its_files(tmp_path: Path) -> None:
    config = make_config(tmp_path, training__num_epochs=1)
    train = Path(str(config.data.train_path))
    rows = [json.loads(line) | {"toxicity_labels": 1} for line in train.read_text("utf-8").splitlines()]
    lines = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    train.write_text(lines, encoding="gb18030")
    watcher = Watcher()
    run(config, directory=tmp_path / "run", observer=watcher)
    assert watcher.lines[0] == f"{train}: read as GB18030, because it is not UTF-8"
    assert watcher.lines[1].startswith(f"{train}: nothing is trained on toxicity_labels")


@pytest.mark.parametrize(("pooling", "told"), [("cls", 0), ("mean", 0), ("last4", 1)])
def test_a_run_says_first_that_its_model_cannot_be_exported(tmp_path: Path, pooling: str, told: int) -> None:
    watcher = Watcher()
    config = make_config(tmp_path, model__pooling=pooling, training__num_epochs=1)
    run(config, directory=tmp_path / "run", observer=watcher)
    lines = [line for line in watcher.lines if "cannot be exported to plain transformers" in line]
    assert lines == watcher.lines[:told]
    assert len(lines) == told


@pytest.mark.parametrize(
    ("training", "device", "said"),
    [
        (
            {"fp16": True},
            "cpu",
            ["training.fp16: on this CPU, which has AMX, it is bfloat16 for encoders that take packs"],
        ),
        ({"fp16": False}, "cpu", []),
        ({"bf16": True}, "cpu", []),
        ({"bf16": True}, "virtual", ["training.bf16 is not used: arithmetic on the CPU is float32"]),
        ({"fp16": True}, "cuda", []),
    ],
)
def test_mixed_precision_on_a_cpu_with_matrix_units_is_told_as_what_it_is(
    training: dict[str, object], device: str, said: list[str], processor: Callable[[str], None]
) -> None:
    processor("sse amx_bf16 amx_tile")
    lines = unheeded_settings(Config.model_validate({"training": training}), device=device)
    assert [line.split(";")[0] for line in lines] == said


def test_a_run_says_what_it_does_not_heed(tmp_path: Path, processor: Callable[[str], None]) -> None:
    processor("sse")
    watcher = Watcher()
    config = make_config(
        tmp_path, training__fp16=True, optimization__cpu_offload=True, training__num_epochs=1
    )
    run(config, directory=tmp_path / "run", observer=watcher)
    assert watcher.lines[0] == "training.fp16 is not used: arithmetic on the CPU is float32"
    assert watcher.lines[1].startswith("optimization.cpu_offload is not used")
