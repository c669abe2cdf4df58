"""A worker that comes just when its study is deleted or renamed, between the check and the deed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState, create_trial
from typer.testing import CliRunner

from search.cli.app import build_app
from search.renaming import Renaming
from search.space import load_space
from search.storage.storage import open_existing
from search.storage.url import sqlite_url
from search.study import open_study
from tests.faults.moments import begin, wait_for
from tests.faults.test_power import COMMAND, project, trials_of

pytestmark = pytest.mark.slow

#: `cp-search`, which says so when it was not let in at the first look at the door
WORKER = """
import sys
looks = 0
def look(event, arguments):
    global looks
    if event == "open" and str(arguments[0]).endswith(".users/door"):
        looks += 1
        if looks == 5:  # two a look: to make it, and to open it
            print("waits at the door", file=sys.stderr, flush=True)
sys.addaudithook(look)
if __name__ == "__main__":
    from search.cli.app import build_app
    build_app()(sys.argv[1:])
"""


@pytest.mark.parametrize(
    "words", [("delete", "good", "--yes"), ("rename", "good", "other")], ids=["delete", "rename"]
)
def test_a_worker_that_comes_between_the_check_and_the_deed_waits_and_begins_a_study_of_its_own(
    tmp_path: Path, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    home = project(tmp_path / "home", epochs=1)
    monkeypatch.chdir(home)
    earlier = open_study(load_space("space.yaml"), storage_url=sqlite_url(Path("studies/good.db")))
    earlier.study.add_trial(create_trial(value=0.25))
    (home / "studies/good/trial-0000").mkdir(parents=True)
    workers: list[subprocess.Popen[str]] = []

    def strike() -> None:
        if not workers:
            workers.append(begin([sys.executable, "-c", WORKER, *COMMAND], home=home))
            stderr = workers[0].stderr
            assert stderr is not None
            assert "waits at the door\n" in stderr, "it came in"

    # Each is the first deed of its command.
    monkeypatch.setattr(Path, "rename", after(strike, Path.rename))
    monkeypatch.setattr(Renaming, "carry_out", after(strike, Renaming.carry_out))
    done = CliRunner().invoke(build_app(), ["study", *words])
    assert done.exit_code == 0, done.output
    (worker,) = workers
    ended = wait_for(worker)
    assert ended.code == 0, ended.err
    assert [trial.state for trial in trials_of(home)] == [TrialState.COMPLETE] * 2
    assert [trial.number for trial in trials_of(home)] == [0, 1]
    if "other" in words:
        moved = open_existing(sqlite_url(Path("studies/other.db")))
        assert [trial.value for trial in moved.get_all_trials(moved.get_study_id_from_name("other"))] == [
            0.25
        ]


def after(strike: Callable[[], None], deed: Callable[..., Any]) -> Callable[..., Any]:
    """The deed, after the strike."""

    def struck(*arguments: Any) -> Any:
        strike()
        return deed(*arguments)

    return struck
