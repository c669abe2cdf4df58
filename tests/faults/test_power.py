"""Power cuts and Ctrl-C with several trials running at once, through the command line."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from optuna.trial import FrozenTrial, TrialState

from search.space import load_space
from search.study import open_study
from tests.faults.moments import KILLED, Moment, begin, cp_search, read_until, run, wait_for
from tests.search.cli.test_bad_input import SPACE
from trainer import write_sample

pytestmark = pytest.mark.slow

COMMAND = ("run", "space.yaml", "--jobs", "2", "--no-finish")
INTERRUPTED = 130


def project(home: Path, *, epochs: int) -> Path:
    """A sample and a space of two trials, which evaluate twice an epoch and save themselves at every step."""
    home.mkdir()
    write_sample(home / "data", rows=120, seed=1)
    often: dict[str, Any] = {"training.evaluations_per_epoch": 2, "experiment.checkpoint_interval_s": 0.0}
    settings = {**SPACE["set"], **often, "training.num_epochs": epochs}
    space = {**SPACE, "set": settings, "budget": {"trials": 2}}
    (home / "space.yaml").write_text(yaml.safe_dump(space, sort_keys=False), encoding="utf-8")
    return home


def trials_of(home: Path) -> list[FrozenTrial]:
    space = load_space(str(home / "space.yaml"))
    return open_study(space, storage_url=f"sqlite:///{home / 'studies' / 'good.db'}").trials()


def test_after_a_power_cut_every_trial_that_ran_goes_on_and_ends_as_without_one(tmp_path: Path) -> None:
    home, unbroken = project(tmp_path / "cut", epochs=3), project(tmp_path / "unbroken", epochs=3)
    cut = run(home, *COMMAND, moment=Moment("os.rename", "trial-0001/checkpoints/last$", after=True))
    assert cut.code == KILLED, cut.err
    assert [trial.state for trial in trials_of(home)] == [TrialState.RUNNING] * 2
    again, whole = run(home, *COMMAND), run(unbroken, *COMMAND)
    assert (again.code, whole.code) == (0, 0), again.err
    assert "Trial 1 | Going on from" in again.err
    for mended, other in zip(trials_of(home), trials_of(unbroken), strict=True):
        assert mended.state == TrialState.COMPLETE
        assert mended.params == other.params
        assert mended.value == other.value
        assert mended.intermediate_values == other.intermediate_values
    assert list((home / "studies").rglob("checkpoints/last")) == []


def test_a_second_ctrl_c_ends_all_trials_at_once_and_one_lets_all_save_themselves(tmp_path: Path) -> None:
    home = project(tmp_path / "home", epochs=400)
    hasty = begin(cp_search(*COMMAND), home=home)
    read_until(hasty, "Trial 0 | evaluation 2", "Trial 1 | evaluation 2")  # a checkpoint lies behind them
    press_ctrl_c(hasty)
    read_until(hasty, "Stopping: what is running writes its checkpoint")
    press_ctrl_c(hasty)
    assert wait_for(hasty).code == INTERRUPTED
    assert [trial.state for trial in trials_of(home)] == [TrialState.RUNNING] * 2

    patient = begin(cp_search(*COMMAND), home=home)
    read_until(patient, "Trial 0 | Going on from", "Trial 1 | Going on from")
    press_ctrl_c(patient)
    ended = wait_for(patient)
    assert ended.code == INTERRUPTED
    assert ended.err.strip().splitlines()[-1] == "Interrupted. Type the same command to go on."
    for number in (0, 1):
        assert (home / "studies" / "good" / f"trial-000{number}" / "checkpoints" / "last").is_dir()


def test_sigterm_to_the_worker_lets_all_trials_save_themselves_and_they_go_on(tmp_path: Path) -> None:
    home = project(tmp_path / "home", epochs=400)
    for sign in ("evaluation 2", "Going on from"):
        process = begin(cp_search(*COMMAND), home=home)
        read_until(process, f"Trial 0 | {sign}", f"Trial 1 | {sign}")
        process.terminate()  # to this process alone, as `docker stop` does
        ended = wait_for(process)
        assert ended.code == INTERRUPTED
        assert ended.err.strip().splitlines()[-1] == "Interrupted. Type the same command to go on."
        assert [trial.state for trial in trials_of(home)] == [TrialState.RUNNING] * 2
        for number in (0, 1):
            trial = home / "studies" / "good" / f"trial-000{number}"
            assert (trial / "checkpoints" / "last").is_dir()
            assert '"how": "interrupted"' in (trial / "attempts.jsonl").read_text().splitlines()[-1]


def test_sigterm_while_memory_is_planned_ends_the_command_with_one_line(tmp_path: Path) -> None:
    home = project(tmp_path / "home", epochs=1)
    with (home / "space.yaml").open("a") as space:
        space.write("card: {memory: 4GiB, virtual: true}\n")
    process = begin(cp_search(*COMMAND), home=home)
    read_until(process, "Planning what")
    process.terminate()
    ended = wait_for(process)
    assert (ended.code, ended.err) == (INTERRUPTED, "Interrupted.\n")
    assert not list(home.glob("studies/*")), "nothing was begun"


def test_ctrl_c_on_a_ray_cluster_lets_all_trials_save_themselves(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="needs the extra ray")
    home = project(tmp_path / "home", epochs=400)
    process = begin(cp_search(*COMMAND, "--engine", "ray"), home=home)
    read_until(process, "Trial 0 | evaluation 2", "Trial 1 | evaluation 2")
    press_ctrl_c(process)
    ended = wait_for(process)
    assert ended.code == INTERRUPTED
    assert ended.err.strip().splitlines()[-1] == "Interrupted. Type the same command to go on."
    assert [trial.state for trial in trials_of(home)] == [TrialState.RUNNING] * 2
    again = begin(cp_search(*COMMAND, "--engine", "ray"), home=home)
    read_until(again, "Trial 0 | Going on from", "Trial 1 | Going on from")
    press_ctrl_c(again)
    assert wait_for(again).code == INTERRUPTED


def press_ctrl_c(process: subprocess.Popen[str]) -> None:
    """As a terminal does: to the whole process group."""
    os.killpg(process.pid, signal.SIGINT)
