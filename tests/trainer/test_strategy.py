"""Runs of several stages, and runs that average others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from tests.cases import quick
from tests.trainer.model.families import save_encoder
from tests.trainer.runs import Watcher, difference, make_config, metrics_of, weights_of, write_rows
from trainer.config.loader import load_config
from trainer.config.schema import Config
from trainer.data.read import read_table
from trainer.data.tokens import Tokens
from trainer.ensemble import export_run, open_predictor
from trainer.errors import ConfigError
from trainer.export import export_model
from trainer.loop import Loop
from trainer.runner import run

SHORT_FIRST = [{"max_sequence_length": 8, "num_epochs": 1}, {"max_sequence_length": 12, "num_epochs": 2}]


class Stopper(Watcher):
    """Interrupts after so many steps of all stages together: `done` begins anew in each."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self._left = after

    def progress(self, done: int, total: int, status: str) -> None:
        self._left -= 1

    def interrupted(self) -> bool:
        return self._left <= 0


def progressive(directory: Path, **settings: Any) -> Config:
    return make_config(directory, strategy__progressive=SHORT_FIRST, **settings)


def two_stage(directory: Path, *, pretrain: list[dict[str, Any]] | None = None, **settings: Any) -> Config:
    """A small BERT, pre-trained on other rows: those of `write_rows`, or `pretrain`."""
    config = make_config(directory)
    texts = read_table(Path(str(config.data.train_path))).texts
    rows = directory / "pretrain.jsonl"
    if pretrain is None:
        write_rows(rows, 80, shift=5000)
    else:
        rows.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in pretrain), encoding="utf-8")
    model = save_encoder("bert", directory / "model", texts=texts)
    chosen = {"train_path": str(rows), "val_path": str(rows), "num_epochs": 8, "learning_rate": 3e-3}
    return make_config(directory, model__name=str(model), strategy__two_stage=chosen, **settings)


def summary_of(directory: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((directory / "training_summary.json").read_text(encoding="utf-8"))
    return found


class Lengths:
    """A callback: the longest row of each step, in order."""

    seen: ClassVar[list[int]] = []

    def on_step_end(self, trainer: Loop, **_: Any) -> None:
        tokens: Tokens = trainer.parts.train.tokens
        self.seen.append(int(tokens.lengths(trainer.config.model.max_sequence_length).max()))


class Beginnings:
    """A callback: how far the weights a stage begins with are from the best ones of the stage before."""

    apart: ClassVar[list[float]] = []

    def on_train_begin(self, trainer: Loop, **_: Any) -> None:
        home = trainer.parts.experiment.directory
        stages = home.parent if home.parent.name == "stages" else home / "stages"
        number = int(home.name) if home.parent.name == "stages" else 3
        if number > 1:
            best = weights_of(stages / str(number - 1))
            self.apart.append(difference(trainer.model.net.state_dict(), best))


def test_a_progressive_run_sees_short_texts_first_and_whole_ones_last(tmp_path: Path) -> None:
    Lengths.seen.clear()
    named = [f"{__name__}:{Lengths.__name__}"]
    config = progressive(tmp_path, callbacks__custom=named, training__num_epochs=1)
    watcher = Watcher()
    outcome = run(config, directory=tmp_path / "run", observer=watcher)
    assert outcome.status == "completed"
    assert Lengths.seen == [8] * 5 + [12] * 10 + [max(Lengths.seen)] * 5
    assert max(Lengths.seen) > 12
    stages = summary_of(tmp_path / "run")["stages"]
    assert [stage["steps"] for stage in stages] == [5, 10]
    assert [line for line in watcher.lines if line.startswith("Stage")] == [
        "Stage 1 of 3: texts of at most 8 tokens, 1 epoch",
        "Stage 2 of 3: texts of at most 12 tokens, 2 epochs",
        "Stage 3 of 3: the run itself, from the best weights of the one before",
    ]


class Moved:
    """A callback: in each stage, the names of the weights that training changed."""

    by_stage: ClassVar[list[set[str]]] = []

    def on_train_begin(self, trainer: Loop, **_: Any) -> None:
        self.before = {name: value.clone() for name, value in trainer.model.net.state_dict().items()}

    def on_train_end(self, trainer: Loop, **_: Any) -> None:
        now = trainer.model.net.state_dict()
        moved = {name for name, value in self.before.items() if not torch.equal(value, now[name])}
        self.by_stage.append(moved)


def test_a_run_may_begin_with_the_heads_and_go_down_layer_by_layer(tmp_path: Path) -> None:
    """Frozen layers keep their weights bit for bit; the last stage trains them all."""
    Moved.by_stage.clear()
    stages = [{"trained_layers": 0, "max_sequence_length": 12}, {"trained_layers": 1}]
    named = [f"{__name__}:{Moved.__name__}"]
    config = make_config(tmp_path, strategy__progressive=stages, callbacks__custom=named)
    watcher = Watcher()
    run(config, directory=tmp_path / "run", observer=watcher)
    heads, top, everything = Moved.by_stage
    assert heads
    assert all(name.startswith("classifier.") or ".pooler." in name for name in heads)
    assert top - heads == {name for name in everything if ".layer.1." in name}
    assert everything - top == {name for name in everything if ".layer.0." in name or ".embeddings." in name}
    assert [line for line in watcher.lines if line.startswith("Stage")][:2] == [
        "Stage 1 of 3: the heads alone, texts of at most 12 tokens, 1 epoch",
        "Stage 2 of 3: the heads and the top 1 layer, 1 epoch",
    ]


@pytest.mark.parametrize("stop_at", quick(8, others=[3]))
def test_a_run_of_growing_layers_goes_on_exactly(tmp_path: Path, stop_at: int) -> None:
    stages = [{"trained_layers": 1, "num_epochs": 1}]
    config = make_config(tmp_path, strategy__progressive=stages, training__num_epochs=1)
    run(config, directory=tmp_path / "whole")
    assert run(config, directory=tmp_path / "broken", observer=Stopper(stop_at)).status == "interrupted"
    run(config, directory=tmp_path / "broken")
    assert difference(weights_of(tmp_path / "broken"), weights_of(tmp_path / "whole")) == 0.0


@pytest.mark.parametrize(
    ("stages", "own"),
    [
        ([{"num_epochs": 2}], None),
        ([{"trained_layers": 2}, {"trained_layers": 1}], None),
        ([{"trained_layers": 1}], 1),
        ([{"trained_layers": 1}, {"max_sequence_length": 8}], None),
    ],
)
def test_stages_that_do_not_grow_are_refused(
    tmp_path: Path, stages: list[dict[str, int]], own: int | None
) -> None:
    config = make_config(tmp_path, strategy__progressive=stages, training__trained_layers=own)
    with pytest.raises(ConfigError, match=r"strategy\.progressive: stage \d .* and more of neither"):
        run(config, directory=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_more_trained_layers_than_there_are_is_refused(tmp_path: Path) -> None:
    config = make_config(tmp_path, strategy__progressive=[{"trained_layers": 9}])
    with pytest.raises(ConfigError, match=r"trained_layers is 9, but the model has only 2 layers"):
        run(config, directory=tmp_path / "run")


def test_a_stage_begins_with_the_best_weights_of_the_one_before(tmp_path: Path) -> None:
    Beginnings.apart.clear()
    named = [f"{__name__}:{Beginnings.__name__}"]
    run(progressive(tmp_path, callbacks__custom=named), directory=tmp_path / "run")
    assert Beginnings.apart == [0.0, 0.0]


@pytest.mark.parametrize("stop_at", quick(9, others=[3, 17]))
def test_a_run_that_was_stopped_in_any_stage_ends_as_the_unbroken_one(tmp_path: Path, stop_at: int) -> None:
    config = progressive(tmp_path, training__num_epochs=1)
    assert run(config, directory=tmp_path / "whole").status == "completed"
    broken = run(config, directory=tmp_path / "broken", observer=Stopper(stop_at))
    assert (broken.status, broken.directory) == ("interrupted", str(tmp_path / "broken"))
    assert run(config, directory=tmp_path / "broken").status == "completed"
    assert metrics_of(tmp_path / "broken") == metrics_of(tmp_path / "whole")
    whole, again = weights_of(tmp_path / "whole"), weights_of(tmp_path / "broken")
    assert all(torch.equal(whole[name], again[name]) for name in whole)


@pytest.mark.parametrize("stop_at", quick(17, others=[3]))
def test_a_stopped_run_goes_on_in_another_directory(tmp_path: Path, stop_at: int) -> None:
    config = progressive(tmp_path, training__num_epochs=1)
    run(config, directory=tmp_path / "broken", observer=Stopper(stop_at))
    last = str(tmp_path / "broken" / "checkpoints" / "last")
    going_on = progressive(tmp_path, training__num_epochs=1, experiment__resume_from_checkpoint=last)
    watcher = Watcher()
    assert run(going_on, directory=tmp_path / "other", observer=watcher).status == "completed"
    assert run(config, directory=tmp_path / "whole").status == "completed"
    assert metrics_of(tmp_path / "other") == metrics_of(tmp_path / "whole")
    assert any(line.startswith("Going on from") for line in watcher.lines)


def test_a_completed_run_keeps_no_weights_of_its_earlier_stages(tmp_path: Path) -> None:
    run(progressive(tmp_path, training__num_epochs=1), directory=tmp_path / "run")
    assert [path.parent.name for path in (tmp_path / "run").rglob("final_model.pt")] == ["run"]


def test_only_the_last_stage_is_reported(tmp_path: Path) -> None:
    told: list[int] = []

    def report(step: int, metrics: Any) -> bool:
        told.append(step)
        return False

    run(progressive(tmp_path), directory=tmp_path / "run", report=report)
    assert told == [1, 2]


def test_a_stage_done_with_other_settings_is_not_gone_on_with(tmp_path: Path) -> None:
    run(progressive(tmp_path), directory=tmp_path / "run", observer=Watcher(stop_at=6))
    assert (tmp_path / "run" / "stages" / "1" / "stage.json").is_file()
    with pytest.raises(ConfigError, match=r"stages/1 was made with another.*training\.learning_rate"):
        run(progressive(tmp_path, training__learning_rate=2e-3), directory=tmp_path / "run")


@pytest.mark.slow
def test_pre_training_helps_where_the_rows_are_few(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"training__num_epochs": 1, "training__learning_rate": 1e-4}
    settings["model__dropout_rate"] = 0.0
    config = two_stage(tmp_path, **settings)
    with_it = run(config, directory=tmp_path / "two")
    alone = config.model_copy(update={"strategy": make_config(tmp_path).strategy})
    without = run(alone, directory=tmp_path / "one")
    assert with_it.best_metrics["eval_f1_macro"] > without.best_metrics["eval_f1_macro"] + 0.2


def test_heads_that_differ_begin_anew_and_it_is_said(tmp_path: Path) -> None:
    rows = [{"text": f"第{number}句", "toxicity_labels": number % 3} for number in range(30)]
    watcher = Watcher()
    outcome = run(two_stage(tmp_path, pretrain=rows), directory=tmp_path / "run", observer=watcher)
    assert outcome.status == "completed"
    assert "New heads, which begin with random weights: labels" in watcher.lines
    assert set(summary_of(tmp_path / "run" / "stages" / "1")["tasks"]) == {"toxicity"}


@pytest.mark.slow
def test_an_ensemble_is_scored_and_can_be_loaded(tmp_path: Path) -> None:
    members = []
    for seed in (1, 2):
        home = tmp_path / f"run-{seed}"
        run(make_config(tmp_path, experiment__seed=seed, training__num_epochs=1), directory=home)
        members.append(str(home))
    config = make_config(tmp_path, strategy__ensemble=members)
    outcome = run(config, directory=tmp_path / "together")
    assert outcome.status == "completed"
    texts = read_table(Path(str(config.data.val_path))).texts
    found = open_predictor(tmp_path / "together" / "model").probabilities(texts)["labels"]
    alone = []
    for number, member in enumerate(members):
        export_model(Path(member), to=tmp_path / f"model-{number}", texts=texts)
        alone.append(open_predictor(tmp_path / f"model-{number}").probabilities(texts)["labels"])
    np.testing.assert_allclose(found, np.mean(alone, axis=0), atol=1e-5)
    labels = np.array([row["labels"] for row in read_table(Path(str(config.data.val_path))).rows])
    assert outcome.best_metrics["eval_accuracy"] == pytest.approx((found.argmax(1) == labels).mean())
    again = export_run(tmp_path / "together", to=tmp_path / "again", texts=texts).directory
    np.testing.assert_allclose(open_predictor(again).probabilities(texts)["labels"], found, atol=1e-6)
    expected = -np.log(found[np.arange(len(labels)), labels]).mean()
    assert outcome.best_metrics["eval_loss"] == pytest.approx(expected, rel=1e-4)


def test_members_that_are_no_finished_runs_are_all_named_before_anything_is_written(tmp_path: Path) -> None:
    config = make_config(tmp_path, strategy__ensemble=[str(tmp_path / "a"), str(tmp_path / "b")])
    with pytest.raises(ConfigError) as error:
        run(config, directory=tmp_path / "run")
    assert [line.split(" holds")[0] for line in str(error.value).splitlines()] == [
        f"strategy.ensemble: {tmp_path / name}" for name in ("a", "b")
    ]
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("progresive: []", "unknown key strategy.progresive; did you mean strategy.progressive?"),
        (
            "progressive: [{max_sequence_length: 9, epochs: 2}]",
            "epochs: unknown key; did you mean num_epochs?",
        ),
        ("progressive: [{max_sequence_length: 9}]\n  ensemble: [a, b]", "progressive is set too"),
        ("two_stage: {train_path: a}", "val_path is missing"),
    ],
)
def test_a_mistaken_strategy_is_named_at_its_place(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(f"strategy:\n  {text}\n", encoding="utf-8")
    with pytest.raises(ConfigError) as error:
        load_config(file=file)
    (line,) = str(error.value).splitlines()
    assert line.startswith(f"{file}:")
    assert message in line


@pytest.mark.parametrize("lengths", [(16, 16), (16, 8), (8, 32)])
def test_lengths_that_do_not_rise_to_the_models_are_refused(tmp_path: Path, lengths: tuple[int, ...]) -> None:
    stages = [{"max_sequence_length": length} for length in lengths]
    with pytest.raises(ConfigError, match=r"must have shorter texts or fewer trained layers than"):
        run(make_config(tmp_path, strategy__progressive=stages), directory=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_vocabulary_made_from_the_rows_cannot_be_pre_trained(tmp_path: Path) -> None:
    rows = {"train_path": "a.jsonl", "val_path": "b.jsonl"}
    with pytest.raises(ConfigError, match="takes its vocabulary from the training rows"):
        run(make_config(tmp_path, strategy__two_stage=rows), directory=tmp_path / "run")
