"""Every key of the schema changes what a run leaves behind, or the run says why it does not."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args

import pytest
import torch
from pydantic import BaseModel

from tests.conftest import play_processor
from tests.trainer.model.families import save_encoder
from tests.trainer.runs import Watcher, write_rows
from trainer.config.schema import Config, key_paths
from trainer.data.batches import Batch
from trainer.errors import UserError
from trainer.loop import Loop
from trainer.memory.card import parse_card
from trainer.runner import run
from trainer.step import to_device

#: where a difference is looked for. files: paths there at any step; left: in the end; place: the directory
Where = Literal["weights", "metrics", "summary", "files", "left", "place", "log"]

_STAMP = re.compile(r"\d{8}_\d{6}(-\d+)?")
_EVENTS = re.compile(r"(events\.out\.tfevents)\.\S+")
_LINE_TIME = re.compile(r"^\S+ \S+ ", re.MULTILINE)


@dataclass(frozen=True)
class Case:
    """`value` of a key differs from the run without it `where`; both have `base`; card: the CPU plays it."""

    value: Any
    where: Where
    base: Mapping[str, Any] = field(default_factory=dict)
    card: str | None = None
    says: str = ""


TASKS = {"data.train_path": "many-train.jsonl", "data.val_path": "many-val.jsonl"}

CASES: dict[str, Case] = {
    "model.name": Case("a-bert", "weights"),
    "model.num_labels": Case(3, "weights"),
    "model.dropout_rate": Case(0.4, "weights"),
    "model.max_sequence_length": Case(8, "weights"),
    "model.use_multitask": Case(False, "summary", base=TASKS),
    "model.tasks": Case({"tone": {"classes": ["calm", "angry"]}}, "summary", base=TASKS, says=""),
    "model.task_weights": Case({"toxicity": 3.0, "emotion": 0.1}, "weights", base=TASKS),
    "model.pooling": Case("mean", "weights"),
    "data.train_path": Case("other.jsonl", "weights"),
    "data.val_path": Case("other.jsonl", "metrics"),
    "data.test_path": Case("other.jsonl", "summary"),
    "data.cache_dir": Case("elsewhere", "files"),
    "data.num_workers": Case(2, "log", says="data.num_workers is not used"),
    "data.prefetch_factor": Case(4, "log", says="data.prefetch_factor is not used"),
    "training.num_epochs": Case(1, "metrics"),
    "training.learning_rate": Case(2e-3, "weights"),
    "training.weight_decay": Case(0.5, "weights"),
    "training.fp16": Case(True, "weights", says="training.fp16: on this CPU"),
    "training.bf16": Case(True, "weights"),
    "training.gradient_accumulation_steps": Case(2, "weights"),
    "training.batch_size": Case(4, "weights"),
    "training.effective_batch_size": Case(20, "weights"),
    "training.auto_batch_size": Case(True, "log", card="8GiB", says="auto_batch_size: micro-batches of"),
    "training.lr_scheduler": Case("polynomial", "weights"),
    "training.warmup_ratio": Case(0.5, "weights"),
    "training.dataloader_drop_last": Case(True, "weights", base={"training.effective_batch_size": 16}),
    "training.class_weights": Case("balanced", "weights"),
    "training.label_smoothing": Case(0.2, "weights"),
    "training.layer_lr_decay": Case(0.5, "weights"),
    "training.head_lr_multiplier": Case(10.0, "weights"),
    "training.trained_layers": Case(1, "weights"),
    "training.evaluations_per_epoch": Case(2, "metrics"),
    "optimization.optimizer": Case("Adafactor", "weights"),
    "optimization.gradient_checkpointing": Case(True, "summary", card="8GiB"),
    "optimization.max_grad_norm": Case(0.01, "weights"),
    "optimization.memory_efficient_attention": Case(False, "weights"),
    "optimization.cpu_offload": Case(True, "summary", card="8GiB"),
    "callbacks.early_stopping_patience": Case(1, "metrics", base={"training.num_epochs": 6}),
    "callbacks.early_stopping_metric": Case("evaluation", "summary"),
    "callbacks.early_stopping_mode": Case(
        "min", "summary", base={"callbacks.early_stopping_metric": "learning_rate"}
    ),
    "callbacks.save_top_k": Case(0, "left"),
    "callbacks.save_best_only": Case(False, "files"),
    "callbacks.monitor_gpu_memory": Case(False, "metrics", card="8GiB"),
    "callbacks.tensorboard_log_dir": Case("board", "files"),
    "callbacks.loggers": Case([], "left"),
    "callbacks.custom": Case([f"{__name__}:Speaks"], "log", says="the callback was here"),
    "experiment.name": Case("mine", "place"),
    "experiment.output_dir": Case("runs", "place"),
    "experiment.seed": Case(8, "weights"),
    "experiment.log_level": Case("DEBUG", "log", says="DEBUG Step 1 |"),
    "experiment.checkpoint_interval_s": Case(0.0, "files"),
    "experiment.save_final_model": Case(False, "files"),
    "experiment.save_predictions": Case(True, "files"),
    "strategy.progressive": Case([{"max_sequence_length": 8}], "weights"),
    "strategy.two_stage": Case(
        {"train_path": "other.jsonl", "val_path": "val.jsonl"}, "weights", base={"model.name": "a-bert"}
    ),
}

SHORT_FIRST = {"strategy.progressive": [{"max_sequence_length": 12}]}
FORUM = {"train_path": "other.jsonl", "val_path": "val.jsonl"}
TWO_STAGE = {"model.name": "a-bert", "strategy.two_stage": FORUM}
TONE = {**TASKS, "model.tasks": {"tone": {"classes": ["calm", "angry"]}}}

#: keys inside of the value of a key, whose whole value is changed
NESTED: dict[str, Case] = {
    "model.tasks.classes": Case({"tone": {"classes": ["calm", "angry", "mad"]}}, "weights", base=TONE),
    "model.tasks.weight": Case({"tone": {"classes": ["calm", "angry"], "weight": 5.0}}, "weights", base=TONE),
    "strategy.progressive.max_sequence_length": Case(
        [{"max_sequence_length": 8}], "weights", base=SHORT_FIRST
    ),
    "strategy.progressive.trained_layers": Case(
        [{"max_sequence_length": 12, "trained_layers": 1}], "weights", base=SHORT_FIRST
    ),
    "strategy.progressive.num_epochs": Case(
        [{"max_sequence_length": 12, "num_epochs": 2}], "weights", base=SHORT_FIRST
    ),
    "strategy.two_stage.train_path": Case({**FORUM, "train_path": "train.jsonl"}, "weights", base=TWO_STAGE),
    "strategy.two_stage.val_path": Case({**FORUM, "val_path": "train.jsonl"}, "summary", base=TWO_STAGE),
    "strategy.two_stage.num_epochs": Case({**FORUM, "num_epochs": 1}, "weights", base=TWO_STAGE),
    "strategy.two_stage.learning_rate": Case({**FORUM, "learning_rate": 2e-3}, "weights", base=TWO_STAGE),
    "strategy.two_stage.num_labels": Case({**FORUM, "num_labels": 3}, "weights", base=TWO_STAGE),
}

#: keys whose proof is a test of its own below
BY_THEMSELVES = {
    "model.hidden_size",
    "data.pin_memory",
    "experiment.resume_from_checkpoint",
    "strategy.ensemble",
}


class Speaks:
    def on_train_begin(self, trainer: Loop, **kwargs: Any) -> None:
        trainer.journal.say("the callback was here")


def test_every_key_of_the_schema_is_proven_here() -> None:
    assert CASES.keys() | BY_THEMSELVES == key_paths().keys()
    assert not CASES.keys() & BY_THEMSELVES


def test_every_key_inside_of_a_value_is_proven_too() -> None:
    found = {
        f"{path}.{inner}"
        for path, outer in key_paths().items()
        for model in _models_in(outer.annotation)
        for inner in model.model_fields
    }
    assert found == NESTED.keys()


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models_in(part)]


@pytest.mark.slow
@pytest.mark.parametrize("key", NESTED)
def test_a_key_inside_of_a_value_changes_what_a_run_leaves_behind(
    key: str, pictured: Callable[..., dict[str, Any]]
) -> None:
    case = NESTED[key]
    outer = key.rpartition(".")[0]
    changed = pictured({**case.base, outer: case.value})
    assert changed[case.where] != pictured(case.base)[case.where]


@pytest.mark.slow
@pytest.mark.parametrize("key", CASES)
def test_a_key_changes_what_a_run_leaves_behind(key: str, pictured: Callable[..., dict[str, Any]]) -> None:
    case = CASES[key]
    without = pictured(case.base, card=case.card)
    changed = pictured({**case.base, key: case.value}, card=case.card)
    assert changed[case.where] != without[case.where]
    if case.says:
        assert case.says in changed["log"]
        assert case.says not in without["log"]


@pytest.mark.slow
@pytest.mark.parametrize("card", [None, "8GiB"])
def test_the_same_configuration_leaves_the_same_behind(
    card: str | None, pictured: Callable[..., dict[str, Any]]
) -> None:
    again = pictured({"experiment.seed": 7}, card=card)  # written out: not the remembered run
    assert again == pictured({}, card=card)


def test_a_hidden_size_the_model_does_not_have_is_refused(workplace: Path) -> None:
    with pytest.raises(UserError, match="hidden_size"):
        run(configuration({"model.hidden_size": 999}))


@pytest.mark.parametrize("pin", [True, False])
def test_pin_memory_decides_whether_batches_pass_through_locked_memory(
    pin: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    pinned: list[torch.Tensor] = []

    def pin_memory(tensor: torch.Tensor) -> torch.Tensor:
        pinned.append(tensor)
        return tensor

    monkeypatch.setattr(torch.Tensor, "pin_memory", pin_memory)
    ids_BL = torch.ones(1, 4, dtype=torch.int64)
    to_device(Batch(ids_BL, ids_BL, ids_BL[:, :1]), torch.device("meta"), pin=pin)
    assert len(pinned) == (3 if pin else 0)


@pytest.mark.slow
def test_a_checkpoint_to_resume_from_is_where_the_run_goes_on(workplace: Path) -> None:
    first = run(configuration({}), observer=Watcher(stop_at=2))
    last = Path(first.directory) / "checkpoints" / "last"
    resumed = run(configuration({"experiment.resume_from_checkpoint": str(last)}))
    log = (Path(resumed.directory) / "run.log").read_text(encoding="utf-8")
    assert f"Going on from {last} at step 2" in log


@pytest.mark.slow
def test_an_ensemble_takes_no_step_of_its_own(workplace: Path) -> None:
    members = [run(configuration({"experiment.seed": seed})).directory for seed in (1, 2)]
    together = run(configuration({"strategy.ensemble": members}))
    assert (together.status, together.steps) == ("completed", 0)


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with rows and a model, all of them named relative to it."""
    return furnished(tmp_path, monkeypatch)


@pytest.fixture(scope="module")
def pictured(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., dict[str, Any]]:
    """What a run with some settings leaves behind; each is run once, in a directory of its own."""

    @cache
    def remembered(settings: str, card: str | None) -> dict[str, Any]:
        with pytest.MonkeyPatch.context() as patch:
            furnished(tmp_path_factory.mktemp("run"), patch)
            return picture_of(configuration(json.loads(settings)), card=card)

    def call(settings: Mapping[str, Any], *, card: str | None = None) -> dict[str, Any]:
        return remembered(json.dumps(settings), card)

    return call


def furnished(directory: Path, patch: pytest.MonkeyPatch) -> Path:
    patch.chdir(directory)
    play_processor("amx_bf16", directory=directory, patch=patch)
    write_rows(Path("train.jsonl"), 40)
    write_rows(Path("val.jsonl"), 12, shift=1000)
    write_rows(Path("other.jsonl"), 30, shift=500)
    for name, rows in (("many-train", 40), ("many-val", 12)):
        lines = [json.dumps(_of_several_tasks(index), ensure_ascii=False) for index in range(rows)]
        Path(f"{name}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return directory


def _of_several_tasks(index: int) -> dict[str, Any]:
    text = f"{'爛好'[index % 2]}{'的是不了'[index % 4]}{index}"
    return {"text": text, "toxicity_labels": index % 2, "emotion_labels": index % 3, "tone_labels": index % 2}


def configuration(settings: Mapping[str, Any]) -> Config:
    sections: dict[str, dict[str, Any]] = {
        "model": {"name": "builtin:tiny", "max_sequence_length": 32},
        "data": {"train_path": "train.jsonl", "val_path": "val.jsonl", "cache_dir": "cache"},
        "training": {"num_epochs": 2, "batch_size": 8, "learning_rate": 1e-3, "fp16": False},
        "experiment": {"seed": 7},
    }
    for path, value in settings.items():
        section, _, key = path.partition(".")
        sections.setdefault(section, {})[key] = value
    if settings.get("training.bf16"):
        del sections["training"]["fp16"]
    if (name := settings.get("model.name")) and not Path(name).exists():
        save_encoder("bert", Path(name), texts=["的是不了人我在有他爛好0123456789"])
    return Config.model_validate(sections)


def picture_of(config: Config, *, card: str | None) -> dict[str, Any]:
    """Everything a run shows but its own configuration, times and memory that was measured."""
    seen: set[str] = set()

    spec = parse_card(card, virtual=True) if card else None
    outcome = run(config, card=spec, observer=Watcher(each=lambda done: seen.update(_paths())))
    left = _paths()
    directory = Path(outcome.directory)
    return {
        "weights": _weights(directory),
        "metrics": (directory / "metrics.json").read_text(encoding="utf-8"),
        "summary": _summary(directory),
        "files": seen | left,
        "left": left,
        "place": _STAMP.sub("STAMP", outcome.directory),
        "log": _LINE_TIME.sub("", (directory / "run.log").read_text(encoding="utf-8")),
    }


def _paths() -> set[str]:
    return {_STAMP.sub("STAMP", _EVENTS.sub(r"\1", str(path))) for path in Path().rglob("*")}


def _weights(directory: Path) -> str:
    path = directory / "final_model.pt"
    if not path.exists():
        return ""
    state: dict[str, torch.Tensor] = torch.load(path, weights_only=True)
    digest = hashlib.sha256()
    for name, value in state.items():
        digest.update(f"{name} {tuple(value.shape)}".encode() + value.numpy().tobytes())
    return digest.hexdigest()


def _summary(directory: Path) -> dict[str, Any]:
    summary: dict[str, Any] = json.loads((directory / "training_summary.json").read_text(encoding="utf-8"))
    return {key: value for key, value in summary.items() if key not in ("seconds", "versions")}
