"""PostgreSQL through the command line: restarted in the middle, and its password seen by nobody."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from sqlalchemy.engine import make_url

from search.storage.storage import open_existing, quiet_optuna
from search.storage.url import without_password
from tests.conftest import environment
from tests.faults.moments import read_until
from tests.search.storage.postgres import PASSWORD, Postgres

pytestmark = pytest.mark.slow

SPACE = """
name: fake
base: fast_dev
set:
  model.name: builtin:tiny
  data.train_path: data/train.jsonl
  data.val_path: data/val.jsonl
  training.num_epochs: 1
sample: {rows: 300}
search:
  training.learning_rate: {type: float, low: 1.0e-5, high: 1.0e-3, log: true}
budget: {trials: 3}
"""


def begin(home: Path, url: str, *words: str) -> subprocess.Popen[str]:
    """`cp-search run` on the storage, named in the environment."""
    (home / "fake.yaml").write_text(SPACE)
    return subprocess.Popen(
        [sys.executable, "-m", "search.cli", "run", "fake.yaml", "--jobs", "1", *words],
        cwd=home,
        env={**environment(), "CP_SEARCH_STORAGE": url},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        start_new_session=True,
    )


def states(url: str) -> list[str]:
    quiet_optuna()
    storage = open_existing(url)
    study = storage.get_study_id_from_name("fake")
    return [trial.state.name for trial in storage.get_all_trials(study)]


def stored(url: str) -> str:
    """All that the study's own storage holds of it, as text."""
    storage = open_existing(url)
    study = storage.get_study_id_from_name("fake")
    attributes = storage.get_study_user_attrs(study), storage.get_study_system_attrs(study)
    return repr((attributes, storage.get_all_trials(study)))


def test_a_restart_in_the_middle_costs_no_trial_and_the_password_is_seen_by_nobody(
    postgres: Postgres, tmp_path: Path
) -> None:
    url = postgres.new_database()
    process = begin(tmp_path, url, "--no-finish")
    output = read_until(process, "Trial 0 starts")
    arguments = [word for one in family(process.pid) for word in one.cmdline()]
    assert arguments
    assert not [word for word in arguments if PASSWORD in word]

    postgres.stop()
    output += read_until(process, "does not answer")
    postgres.start()
    rest, _ = process.communicate(timeout=300)
    output += rest
    assert process.returncode == 0, output
    assert "The storage is back." in output
    assert states(url) == ["COMPLETE"] * 3
    assert PASSWORD not in output
    for path in tmp_path.rglob("*"):
        assert not (path.is_file() and PASSWORD.encode() in path.read_bytes()), path
    assert PASSWORD not in stored(url)
    kept = json.loads((tmp_path / "studies" / "fake" / "origin.json").read_text())["storage"]
    assert kept == without_password(url)


def family(pid: int) -> list[psutil.Process]:
    parent = psutil.Process(pid)
    return [parent, *parent.children(recursive=True)]


def test_a_password_from_the_environment_opens_what_the_study_remembers(
    postgres: Postgres, tmp_path: Path
) -> None:
    url = postgres.new_database()
    process = begin(tmp_path, url, "--n-trials", "1", "--no-finish")
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output

    def show(**extra: str) -> subprocess.CompletedProcess[str]:
        clean = {key: value for key, value in environment().items() if key not in ("PGPASSWORD",)}
        return subprocess.run(
            [sys.executable, "-m", "search.cli", "study", "show", "fake", "--json"],
            cwd=tmp_path,
            env={**clean, "PGPASSFILE": str(tmp_path / "none"), **extra},
            capture_output=True,
            text=True,
            check=False,
        )

    refused = show()
    assert refused.returncode == 2
    assert "PGPASSWORD" in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1
    assert json.loads(show(PGPASSWORD=PASSWORD).stdout)["trials"] == {"complete": 1}
    assert json.loads(show(CP_SEARCH_STORAGE=url).stdout)["trials"] == {"complete": 1}
    wrong = show(CP_SEARCH_STORAGE=str(make_url(url).set(password="Wr0ng").render_as_string(False)))
    assert wrong.returncode == 2
    assert "Wr0ng" not in wrong.stderr
