from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.cases import quick
from tests.conftest import picture
from tests.trainer.model.families import NAMES, save_encoder
from tests.trainer.runs import Watcher, checkpoints_of, make_config, metrics_of, weights_of, write_rows
from trainer.checkout import checkout_of
from trainer.config.loader import load_config
from trainer.data.read import read_table
from trainer.data.sample import write_sample
from trainer.errors import UserError
from trainer.experiment import load_run_config
from trainer.export import export_model
from trainer.loop import Loop
from trainer.runner import run


class Poison:
    """Sets one weight to NaN before the third step."""

    def on_step_end(self, trainer: Loop, step: int, **kwargs: Any) -> None:
        if step == 2:
            trainer.model.net.classifier.weight.data[0, 0] = float("nan")


class PoisonAtTheEnd:
    """Sets one weight to NaN after the last step: the loss was still finite, the evaluation is not."""

    def on_step_end(self, trainer: Loop, step: int, **kwargs: Any) -> None:
        if step == trainer.steps_per_epoch:
            trainer.model.net.classifier.bias.data[1] = float("nan")


def test_a_run_leaves_its_experiment_directory(tmp_path: Path) -> None:
    paths = write_sample(tmp_path / "sample", rows=120, seed=1)
    config = make_config(
        tmp_path,
        data__train_path=str(paths["train"]),
        data__val_path=str(paths["val"]),
        data__test_path=str(paths["test"]),
        experiment__save_predictions=True,
    )
    home = tmp_path / "run"
    outcome = run(config, directory=home)
    assert outcome.status == "completed"
    left = {path.name for path in home.iterdir()}
    assert left == {
        *("config.yaml", "config.json", "checkpoints", "tensorboard", "metrics.json", "run.log"),
        *("training_summary.json", "final_model.pt", "tokenizer", "predictions.jsonl"),
    }
    assert load_config(file=home / "config.yaml").config == load_run_config(home) == config
    summary = json.loads((home / "training_summary.json").read_text(encoding="utf-8"))
    assert summary["tasks"].keys() == {"toxicity", "bullying", "role", "emotion"}
    assert summary["test"]["tasks"].keys() == summary["tasks"].keys()
    assert summary["data"]["train"]["rows"] == 96
    assert (summary["seed"], summary["learning_rate"]) == (7, 1e-3)
    assert summary["best_epoch"] == summary["best_evaluation"]  # one evaluation an epoch
    assert summary["versions"].keys() >= {"python", "torch", "transformers"}
    here = checkout_of(Path.cwd())
    assert summary["git"] == (here and {"commit": here.commit, "dirty": here.dirty})
    assert summary["validation"]["tasks"]["role"].keys() >= {"precision", "recall", "f1", "support", "mcc"}
    assert outcome.test["f1_macro"] == summary["test"]["f1_macro"]
    predictions = (home / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
    first = json.loads(predictions[0])
    assert first.keys() == {*("text", "toxicity_labels", "bullying_labels", "role_labels", "emotion_labels")}
    said = first["role_labels"]
    assert said["true"] in said["probabilities"]
    assert said["predicted"] == max(said["probabilities"], key=said["probabilities"].get)
    assert sum(said["probabilities"].values()) == pytest.approx(1.0, abs=1e-5)
    assert len(predictions) == summary["data"]["val"]["rows"]
    assert any((home / "tensorboard").iterdir())


def test_every_evaluation_measures_what_the_contract_names(tmp_path: Path) -> None:
    run(make_config(tmp_path), directory=tmp_path / "run")
    first, second = metrics_of(tmp_path / "run")
    wanted = {"train_loss", "eval_loss", "eval_f1_macro", "eval_accuracy", "learning_rate"}
    assert wanted <= first.keys()
    assert (first["evaluation"], second["evaluation"]) == (1, 2)
    assert (first["step"], second["step"]) == (5, 10)


def test_evaluations_lie_at_the_same_share_of_training_for_every_effective_batch(tmp_path: Path) -> None:
    reported: dict[int, list[int]] = {}
    shares: dict[int, list[float]] = {}
    write_rows(tmp_path / "many.jsonl", 256)
    for size in (16, 64):
        steps: list[int] = []

        def report(step: int, metrics: Mapping[str, float], steps: list[int] = steps) -> bool:
            steps.append(step)
            return False

        config = make_config(
            tmp_path,
            data__train_path=str(tmp_path / "many.jsonl"),
            training__effective_batch_size=size,
            training__evaluations_per_epoch=4,
            callbacks__early_stopping_patience=None,
        )
        run(config, report=report, directory=tmp_path / str(size))
        reported[size] = steps
        shares[size] = [row["step"] * size / 256 for row in metrics_of(tmp_path / str(size))]
    assert reported[16] == reported[64] == list(range(1, 9))
    assert shares[16] == shares[64] == [0.25 * part for part in range(1, 9)]


def test_an_epoch_of_fewer_steps_than_parts_keeps_the_parts_numbers(tmp_path: Path) -> None:
    numbers: list[int] = []

    def report(step: int, metrics: Mapping[str, float]) -> bool:
        numbers.append(step)
        return False

    config = make_config(
        tmp_path,
        training__effective_batch_size=20,
        training__evaluations_per_epoch=4,
        training__num_epochs=2,
    )
    run(config, report=report, directory=tmp_path / "run")
    assert numbers == [2, 4, 6, 8]


def test_a_report_that_says_stop_stops_the_run(tmp_path: Path) -> None:
    outcome = run(make_config(tmp_path), report=lambda step, metrics: step == 1, directory=tmp_path / "run")
    assert (outcome.status, outcome.steps) == ("stopped", 5)
    assert not (tmp_path / "run" / "final_model.pt").exists()


def test_no_improvement_within_the_patience_ends_the_run(tmp_path: Path) -> None:
    config = make_config(
        tmp_path,
        training__num_epochs=9,
        training__learning_rate=1e-12,
        callbacks__early_stopping_patience=2,
    )
    watcher = Watcher()
    outcome = run(config, directory=tmp_path / "run", observer=watcher)
    assert outcome.status == "completed"
    assert outcome.best_step == 1
    assert len(metrics_of(tmp_path / "run")) == 3
    assert "No better eval_f1_macro in 2 evaluations: stopping early" in watcher.lines


@pytest.mark.parametrize(
    ("metric", "mode", "choose"),
    quick(
        ("eval_loss", "min", min),
        others=[
            ("eval_loss", "max", max),
            ("eval_mcc", "max", max),
            ("eval_labels_f1_1", "min", min),
            ("eval_f1_weighted", "max", max),
        ],
    ),
)
def test_the_best_evaluation_is_chosen_by_metric_and_mode(
    tmp_path: Path, metric: str, mode: str, choose: Any
) -> None:
    config = make_config(
        tmp_path,
        training__num_epochs=4,
        callbacks__early_stopping_metric=metric,
        callbacks__early_stopping_mode=mode,
        callbacks__early_stopping_patience=None,
    )
    outcome = run(config, directory=tmp_path / "run")
    values = [row[metric] for row in metrics_of(tmp_path / "run")]
    assert outcome.best_metrics[metric] == choose(values)
    assert outcome.best_step == values.index(choose(values)) + 1


@pytest.mark.parametrize(
    ("top_k", "best_only"), quick((2, True), others=[(0, True), (1, True), (9, True), (1, False)])
)
def test_exactly_the_best_checkpoints_are_kept(tmp_path: Path, top_k: int, best_only: bool) -> None:
    config = make_config(
        tmp_path,
        training__num_epochs=5,
        callbacks__save_top_k=top_k,
        callbacks__save_best_only=best_only,
        callbacks__early_stopping_metric="eval_loss",
        callbacks__early_stopping_mode="min",
        callbacks__early_stopping_patience=None,
        experiment__checkpoint_interval_s=0.0,
    )
    home = tmp_path / "run"
    outcome = run(config, directory=home)
    losses = {int(row["evaluation"]): row["eval_loss"] for row in metrics_of(home)}
    ranked = sorted(losses, key=lambda number: losses[number])
    expected = {f"best-{number:03d}" for number in ranked[:top_k]}
    assert checkpoints_of(home) == (expected if best_only else {f"evaluation-{n:03d}" for n in losses})
    assert outcome.best_step == ranked[0]


def test_the_final_model_is_the_best_evaluations(tmp_path: Path) -> None:
    """Training goes on far too fast after the first epoch, so that the last evaluation is not the best."""
    config = make_config(
        tmp_path,
        training__num_epochs=3,
        callbacks__early_stopping_metric="eval_loss",
        callbacks__early_stopping_mode="max",
        callbacks__save_top_k=3,
        callbacks__early_stopping_patience=None,
    )
    home = tmp_path / "run"
    outcome = run(config, directory=home)
    from safetensors.torch import load_file

    kept = load_file(home / "checkpoints" / f"best-{outcome.best_step:03d}" / "model.safetensors")
    final = weights_of(home)
    assert final.keys() == {name.removeprefix("net.") for name in kept}
    assert all(torch.equal(final[name.removeprefix("net.")], value) for name, value in kept.items())
    last = load_file(home / "checkpoints" / "best-003" / "model.safetensors")
    if outcome.best_step != 3:
        assert not torch.equal(kept["net.classifier.weight"], last["net.classifier.weight"])


def test_the_same_seed_gives_the_same_model_and_another_another(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        run(make_config(tmp_path, experiment__seed=seed, training__num_epochs=1), directory=tmp_path / name)
    a, b, c = (weights_of(tmp_path / name)["classifier.weight"] for name in "abc")
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


@pytest.mark.parametrize("hook", ["Poison", "PoisonAtTheEnd"])
def test_a_poisoned_weight_ends_the_run_naming_step_and_rate(tmp_path: Path, hook: str) -> None:
    config = make_config(tmp_path, callbacks__custom=[f"{__name__}:{hook}"], training__num_epochs=1)
    outcome = run(config, directory=tmp_path / "run")
    assert outcome.status == "nonfinite"
    step = "step 3" if hook == "Poison" else "step 5"
    assert outcome.error is not None
    assert step in outcome.error
    assert "learning rate" in outcome.error
    assert not (tmp_path / "run" / "final_model.pt").exists()


def test_an_absurd_learning_rate_ends_as_not_finite(tmp_path: Path) -> None:
    config = make_config(tmp_path, training__learning_rate=1e30, training__lr_scheduler="constant")
    outcome = run(config, directory=tmp_path / "run")
    assert outcome.status == "nonfinite"
    assert "learning rate 1e+30" in str(outcome.error)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"data__val_path": None}, "data.val_path is not set"),
        ({"data__train_path": "nowhere.jsonl"}, "nowhere.jsonl: no such file"),
        ({"model__name": "builtin:huge"}, "there is no builtin:huge"),
        ({"model__name": "./no/such/model"}, "the directory ./no/such/model does not exist"),
        ({"model__hidden_size": 999}, "model.hidden_size is 999, but builtin:tiny is 128 wide"),
        ({"model__max_sequence_length": 513}, "builtin:tiny has only 512 positions"),
        ({"callbacks__early_stopping_metric": "eval_f1_makro"}, "did you mean eval_f1_macro"),
        ({"callbacks__custom": ["no.such:Thing"]}, "callbacks.custom: no.such:Thing cannot be imported"),
        (
            {"training__effective_batch_size": 41, "training__dataloader_drop_last": True},
            "training.dataloader_drop_last drops the only batch",
        ),
        ({"experiment__resume_from_checkpoint": "no/checkpoint"}, "there is no checkpoint in"),
    ],
)
def test_what_a_user_can_mend_is_said_before_anything_is_written(
    tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    config = make_config(tmp_path, **settings)
    before = picture(tmp_path)
    with pytest.raises(UserError, match="(?s)" + message.replace(".", r"\.")):
        run(config, directory=tmp_path / "run")
    assert picture(tmp_path) == before


def test_one_class_only_is_nothing_to_learn(tmp_path: Path) -> None:
    one = tmp_path / "one.jsonl"
    one.write_text('{"text": "你好", "labels": 0}\n{"text": "再見", "labels": 0}\n', encoding="utf-8")
    with pytest.raises(UserError, match="one class only"):
        run(make_config(tmp_path, data__train_path=str(one)), directory=tmp_path / "run")


def test_a_test_file_with_a_bad_label_is_refused_before_training(tmp_path: Path) -> None:
    bad = tmp_path / "test.jsonl"
    bad.write_text('{"text": "你好", "labels": 7}\n', encoding="utf-8")
    with pytest.raises(UserError, match=r"test\.jsonl:1: labels 7 is out of range"):
        run(make_config(tmp_path, data__test_path=str(bad)), directory=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_test_rows_decide_nothing_and_are_scored_once(tmp_path: Path) -> None:
    config = make_config(tmp_path)
    tested = make_config(tmp_path, data__test_path=str(write_rows(tmp_path / "test.jsonl", 10, shift=50)))
    without = run(config, directory=tmp_path / "without")
    outcome = run(tested, directory=tmp_path / "with")
    assert without.test == {}
    assert outcome.test["tasks"]["labels"]["rows"] == 10
    assert metrics_of(tmp_path / "with") == metrics_of(tmp_path / "without")
    assert outcome.best_metrics == without.best_metrics


def test_a_directory_that_cannot_be_written_is_the_users_to_mend(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    with pytest.raises(UserError, match="cannot write to"):
        run(make_config(tmp_path), directory=tmp_path / "file" / "run")


@pytest.mark.parametrize(("card", "shown"), [("4GiB", r"\d\.\dGB/4GB"), ("200MiB", r"\d+MB/200MB")])
def test_the_live_line_reads_as_the_contract_shows(tmp_path: Path, card: str, shown: str) -> None:
    from trainer.memory.card import parse_card

    watcher = Watcher()
    config = make_config(tmp_path, training__num_epochs=1)
    run(config, directory=tmp_path / "run", card=parse_card(card, virtual=True), observer=watcher)
    assert len(watcher.statuses) == 5
    pattern = rf"Step 5 \| Loss: \d\.\d{{4}} \| LR: \d\.\d\de-\d\d \| GPU Mem: {shown}"
    import re

    assert re.fullmatch(pattern, watcher.statuses[-1])


def test_an_encoder_that_does_not_know_the_characters_is_warned_of(tmp_path: Path) -> None:
    encoder = save_encoder("bert", tmp_path / "encoder", texts=["abc"])
    config = make_config(tmp_path, model__name=str(encoder), training__num_epochs=1)
    watcher = Watcher()
    run(config, directory=tmp_path / "run", observer=watcher)
    warned = [line for line in watcher.lines if "unknown to" in line]
    assert len(warned) == 1
    assert re.match(r"Warning: \d+\.\d% of the training tokens are unknown to .*encoder, which", warned[0])


@pytest.mark.parametrize("family", quick(NAMES[0], others=NAMES[1:]))
def test_every_family_is_trained_checkpointed_and_exported(tmp_path: Path, family: str) -> None:
    """An encoder on disk becomes a model that plain transformers loads, also after an interruption."""
    texts = read_table(write_rows(tmp_path / "some", 40)).texts
    encoder = save_encoder(family, tmp_path / "encoder", texts=texts)
    config = make_config(tmp_path, model__name=str(encoder), training__num_epochs=1)
    home = tmp_path / "run"
    assert run(config, directory=home, observer=Watcher(stop_at=2)).status == "interrupted"
    assert run(config, directory=home).status == "completed"
    exported = export_model(home, to=tmp_path / "model", texts=texts)
    assert exported.largest_difference < 1e-4
