from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.trainer.runs import make_config
from trainer.data.read import read_table
from trainer.ensemble import EnsemblePredictor, export_ensemble, open_predictor
from trainer.errors import ModelError, UserError
from trainer.predict import Predictor
from trainer.runner import run


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Path], list[str]]:
    """Two finished runs of other seeds and lengths, and texts."""
    home = tmp_path_factory.mktemp("runs")
    for seed, length in ((1, 16), (2, 32)):
        config = make_config(home, experiment__seed=seed, model__max_sequence_length=length)
        assert run(config, directory=home / f"run-{seed}").status == "completed"
    return [home / "run-1", home / "run-2"], read_table(Path(str(config.data.val_path))).texts


@pytest.mark.slow
def test_an_ensemble_gives_the_mean_of_its_members(
    tmp_path: Path, runs: tuple[list[Path], list[str]]
) -> None:
    directories, texts = runs
    exported = export_ensemble(directories, to=tmp_path / "model", texts=texts)
    found = open_predictor(exported.directory)
    assert isinstance(found, EnsemblePredictor)
    members = [
        Predictor(exported.directory / name).probabilities(texts)["labels"]
        for name in ("member-01", "member-02")
    ]
    assert np.abs(members[0] - members[1]).max() > 0.01, "members that agree would prove nothing"
    np.testing.assert_allclose(found.probabilities(texts)["labels"], np.mean(members, axis=0), atol=1e-6)
    (answer, *_) = found.predict(texts)
    assert answer["text"] == texts[0]
    assert answer["labels"]["probability"] == max(answer["labels"]["probabilities"].values())


@pytest.mark.slow
def test_an_export_of_one_run_is_opened_the_same_way(
    tmp_path: Path, runs: tuple[list[Path], list[str]]
) -> None:
    directories, texts = runs
    export_ensemble(directories, to=tmp_path / "model", texts=texts)
    assert isinstance(open_predictor(tmp_path / "model" / "member-02"), Predictor)


def test_runs_of_other_classes_cannot_be_averaged(tmp_path: Path, runs: tuple[list[Path], list[str]]) -> None:
    directories, texts = runs
    other = shutil.copytree(directories[1], tmp_path / "other")
    summary = json.loads((other / "training_summary.json").read_text(encoding="utf-8"))
    summary["tasks"] = {"labels": ["no", "yes"]}
    (other / "training_summary.json").write_text(json.dumps(summary), encoding="utf-8")
    with pytest.raises(UserError, match=r"labels \(no, yes\), but .*only runs of the same tasks"):
        export_ensemble([directories[0], other], to=tmp_path / "model", texts=texts)
    assert not (tmp_path / "model").exists()


def test_one_run_is_no_ensemble(tmp_path: Path, runs: tuple[list[Path], list[str]]) -> None:
    directories, texts = runs
    with pytest.raises(UserError, match="two runs or more"):
        export_ensemble(directories[:1], to=tmp_path / "model", texts=texts)


@pytest.mark.slow
def test_another_rule_than_is_known_is_refused(tmp_path: Path, runs: tuple[list[Path], list[str]]) -> None:
    directories, texts = runs
    export_ensemble(directories, to=tmp_path / "model", texts=texts)
    facts = json.loads((tmp_path / "model" / "cp_search.json").read_text(encoding="utf-8"))
    (tmp_path / "model" / "cp_search.json").write_text(json.dumps({**facts, "rule": "vote"}))
    with pytest.raises(ModelError, match="rule 'vote'"):
        open_predictor(tmp_path / "model")


@pytest.mark.parametrize("onnx", [False, True])
def test_a_directory_that_is_not_there_is_no_model_with_onnx_or_without(tmp_path: Path, onnx: bool) -> None:
    with pytest.raises(ModelError, match="is no exported model"):
        open_predictor(tmp_path / "nowhere", onnx=onnx)
