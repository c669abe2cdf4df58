"""The main job through the commands a user types, on a small sample: search, look, predict, export."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import environment
from tests.search.cli.test_bad_input import SPACE
from tests.search.cli.test_start import SHOW_MODULES
from trainer import write_sample

pytestmark = pytest.mark.slow


def start(project: Path, *arguments: str, **more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "search.cli", *arguments]
    pipes: dict[str, Any] = {
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
        "text": True,
        "encoding": "utf-8",
    }
    return subprocess.Popen(command, cwd=project, env=environment() | more, **pipes)


def call(project: Path, *arguments: str, **more: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of `cp-search` in `project`; `more`: environment."""
    process = start(project, *arguments, **more)
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err


def document(project: Path, *arguments: str) -> Any:
    code, out, err = call(project, *arguments, "--json")
    assert code == 0, err
    return json.loads(out)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a small sample and a space of two trials."""
    directory = tmp_path_factory.mktemp("project")
    write_sample(directory / "data", rows=300, seed=1)
    finish = {"set": {"training.num_epochs": 1}}
    space = {**SPACE, "budget": {"trials": 2}, "finish": finish}
    (directory / "space.yaml").write_text(yaml.safe_dump(space, sort_keys=False), encoding="utf-8")
    return directory


@pytest.fixture(scope="module")
def report(project: Path) -> Any:
    """What `run --json` says at the end."""
    return document(project, "run", "space.yaml")


def test_a_run_ends_with_everything_a_script_needs(report: Any, project: Path) -> None:
    assert report["study"] == "good"
    assert sum(report["trials"].values()) == 2
    assert report["best"].keys() >= {"number", "value", "params"}
    for name in ("eval_f1_macro", "test_f1_macro", "baseline_f1_macro"):
        assert 0.0 <= report["final"][name] <= 1.0
    assert (project / report["final"]["experiment_dir"] / "training_summary.json").is_file()
    assert (project / report["final"]["model_dir"] / "model.safetensors").is_file()


def test_the_same_command_does_not_search_again(report: Any, project: Path) -> None:
    again = document(project, "run", "space.yaml")
    assert again["trials"] == report["trials"]
    assert again["final"] == report["final"]


def test_a_study_that_was_moved_goes_on_where_it_lies_now(report: Any, project: Path) -> None:
    shutil.copytree(project / "studies", project / "moved")
    shutil.copytree(project / "studies", project / "bare")
    shutil.rmtree(project / "bare/good/final/model")  # is to be exported once more
    for place in ("moved", "bare"):
        found = document(project, "run", "space.yaml", "--studies-dir", place)
        assert found["trials"] == report["trials"]
        assert found["final"]["model_dir"] == f"{place}/good/final/model"
        assert found["final"]["experiment_dir"] == f"{place}/good/final/experiment"
        assert (project / place / "good/final/model/model.safetensors").is_file()


def test_status_tells_the_same_as_the_run(report: Any, project: Path) -> None:
    found = document(project, "status", "good")
    assert found["trials"] == report["trials"]
    assert found["best"]["value"] == report["best"]["value"]
    code, out, _ = call(project, "status", "good")
    assert code == 0
    assert "2 complete" in out


def test_the_model_labels_texts_for_people_and_for_scripts(report: Any, project: Path) -> None:
    model = report["final"]["model_dir"]
    (row,) = document(project, "predict", model, "你真的很棒")
    assert row["text"] == "你真的很棒"
    assert sum(row["toxicity"]["probabilities"].values()) == pytest.approx(1.0, abs=1e-5)
    code, out, _ = call(project, "predict", model, "--file", "data/test.jsonl")
    assert code == 0
    assert len(out.splitlines()) == len(
        (project / "data/test.jsonl").read_text(encoding="utf-8").splitlines()
    )


def test_a_study_is_exported_to_another_place(report: Any, project: Path) -> None:
    exported = document(project, "export", "good", "--to", "elsewhere/model")
    assert exported["largest_difference"] < 1e-3
    assert (project / "elsewhere/model/config.json").is_file()
    code, _, err = call(project, "export", "good", "--to", "elsewhere/model")
    assert (code, len(err.splitlines())) == (2, 1)


def test_retrain_finds_the_study_s_final_model(report: Any, project: Path) -> None:
    again = document(project, "retrain", "good")
    assert again["final"]["trial"] == report["best"]["number"]
    assert again["final"]["model_dir"] is not None


def test_retrain_reads_the_study_beside_its_directory_not_the_one_it_was_copied_from(
    report: Any, project: Path
) -> None:
    shutil.copytree(project / "studies", project / "copied")
    before = (project / "studies/good.db").read_bytes()
    found = document(project, "retrain", "good", "--studies-dir", "copied")
    assert found["storage"] == "sqlite:///copied/good.db"
    assert found["final"]["model_dir"] == "copied/good/final/model"
    assert (project / "studies/good.db").read_bytes() == before


def test_retrain_of_a_study_on_another_machine_goes_by_the_kept_text_of_its_space(
    report: Any, project: Path, tmp_path: Path
) -> None:
    for name in ("studies", "data"):
        shutil.copytree(project / name, tmp_path / name)
    origin = tmp_path / "studies/good/origin.json"
    kept = json.loads(origin.read_text(encoding="utf-8")) | {"space": "/elsewhere/space.yaml"}
    origin.write_text(json.dumps(kept), encoding="utf-8")
    shutil.rmtree(tmp_path / "studies/good/final")
    code, out, err = call(tmp_path, "retrain", "good", "--json")
    assert code == 0, err
    assert "There is no /elsewhere/space.yaml here: the space is read as the study's last run had it" in err
    found = json.loads(out)["final"]
    assert found["trial"] == report["final"]["trial"]
    assert (tmp_path / found["model_dir"] / "model.safetensors").is_file()
    shutil.rmtree(tmp_path / "studies/good/final")
    shutil.rmtree(tmp_path / "data")
    code, _, err = call(tmp_path, "--lang", "zh-TW", "retrain", "good")
    assert code == 2
    assert "這裡沒有 /elsewhere/space.yaml" in err
    assert "data/train.jsonl" in err.splitlines()[-1]


def test_retrain_makes_no_storage_where_there_is_none(report: Any, project: Path) -> None:
    shutil.copytree(project / "studies", project / "half")
    (project / "half/good.db").unlink()
    origin = project / "half/good/origin.json"
    origin.write_text(json.dumps(json.loads(origin.read_text()) | {"storage": "sqlite:///half/good.db"}))
    code, _, err = call(project, "retrain", "good", "--studies-dir", "half")
    assert code == 2
    assert "no study at half/good.db: there is no such file" in err
    assert not (project / "half/good.db").exists()


def test_an_interrupted_single_run_goes_on_with_the_command_it_named(project: Path) -> None:
    process = start(project, "run", "space.yaml", "--single-run", "--set", "training.num_epochs=500")
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("Epoch 2"):
            break
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    going_on = err.splitlines()[-1].split("Go on with: cp-search ")[1].split()
    second = start(project, *going_on)
    assert second.stderr is not None
    first_line = next(line for line in second.stderr if "Going on" in line)
    assert "checkpoints/last" in first_line
    second.send_signal(signal.SIGINT)
    second.communicate(timeout=120)
    assert second.returncode == 130


def test_a_single_run_ends_with_one_document(project: Path) -> None:
    began = time.monotonic()
    outcome = document(project, "run", "space.yaml", "--single-run")
    assert outcome["status"] == "completed"
    assert 0 < outcome["seconds"] < time.monotonic() - began
    assert (project / outcome["directory"] / "final_model.pt").is_file()


def test_where_nothing_can_be_forked_a_trial_is_spawned_and_the_job_ends_alike(project: Path) -> None:
    """As on Windows: fresh interpreters, and a code page for the console that is not UTF-8."""
    there = {"CP_SEARCH_START_METHOD": "spawn", "PYTHONIOENCODING": "cp950", "PYTHONUTF8": "0"}
    code, out, err = call(project, "run", "space.yaml", "--studies-dir", "spawned", "--json", **there)
    assert code == 0, err
    found = json.loads(out)
    assert sum(found["trials"].values()) == 2
    assert (project / found["final"]["model_dir"] / "model.safetensors").is_file()


def test_the_process_that_searches_never_imports_what_its_trials_train_with(project: Path) -> None:
    command = [sys.executable, "-c", SHOW_MODULES, "run", "space.yaml", "--studies-dir", "watched"]
    done = subprocess.run(
        command, cwd=project, env=environment(), capture_output=True, text=True, encoding="utf-8"
    )
    loaded = set(done.stderr.splitlines())
    assert "search.finish.export" in loaded
    assert not {"torch", "transformers", "tokenizers", "sklearn", "scipy.stats", "tensorboard"} & loaded
    assert (project / "watched/good/final/model").is_dir()


def test_a_trial_whose_weights_are_kept_is_exported_as_a_model(tmp_path: Path) -> None:
    write_sample(tmp_path / "data", rows=120, seed=1)
    for keep in ("all", "records"):
        space = {**SPACE, "name": keep, "keep": keep}
        (tmp_path / f"{keep}.yaml").write_text(yaml.safe_dump(space, sort_keys=False), encoding="utf-8")
        code, _, err = call(tmp_path, "run", f"{keep}.yaml", "--no-finish")
        assert code == 0, err
    assert (
        document(tmp_path, "export", "studies/all/trial-0000", "--to", "model")["largest_difference"] < 1e-3
    )
    (row,) = document(tmp_path, "predict", "model", "你真的很棒")
    assert row["text"] == "你真的很棒"
    code, _, err = call(tmp_path, "export", "studies/records/trial-0000", "--to", "other")
    assert (code, len(err.splitlines())) == (2, 1)
    assert "keep: all" in err
