"""A storage that takes calls and does not answer them is given up after a while, and at Ctrl-C."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pytest
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import TrialState
from sqlalchemy.engine import make_url

from search.interruption import Interrupted, Stop
from search.storage.answers import LIMIT_VARIABLE, Answers, Unanswered, limit_s
from search.storage.patience import PatientStorage, _patient, heeding
from search.storage.served import _GLANCE_S, _Stub
from search.storage.storage import open_storage
from search.storage.url import sqlite_url
from tests.search.gate import Gate, gate_to
from tests.search.storage.postgres import Postgres
from tests.search.storage.storages import grpc_server
from trainer import UserError


def test_an_answer_may_take_its_time_and_once_somebody_is_in_a_hurry_less() -> None:
    now = 0.0
    answers = Answers(limit_s=60.0, hurried_s=2.0, clock=lambda: now)
    awaited, early = answers.expect(), answers.expect()
    now = 59.0
    awaited.require_time()
    answers.stop.ask()
    early.require_time()
    now = 60.0
    with pytest.raises(Unanswered, match="no answer within 60 s"):
        awaited.require_time()
    late = answers.expect()
    late.require_time()
    now = 62.0
    with pytest.raises(Unanswered, match="no answer within 2 s"):
        late.require_time()


@pytest.mark.parametrize("given", ["soon", "0", "-1", "nan", "inf"])
def test_a_limit_that_is_no_number_of_seconds_is_refused(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LIMIT_VARIABLE, given)
    with pytest.raises(UserError, match=f"{LIMIT_VARIABLE}={given}: not a number of seconds"):
        limit_s()
    monkeypatch.setenv(LIMIT_VARIABLE, "2.5")
    assert limit_s() == 2.5
    monkeypatch.delenv(LIMIT_VARIABLE)
    assert limit_s() == Answers.limit_s


@dataclass
class Site:
    """A storage behind a gate, as a worker opens it."""

    url: str
    gate: Gate
    #: the same storage past the gate
    beside: str

    def open(self, heard: list[str], *, then: Callable[[], None] = lambda: None) -> BaseStorage:
        """It; `then` is called with all that is said."""

        def say(line: str) -> None:
            heard.append(line)
            then()

        return open_storage(self.url, say=say)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Site]:
    with grpc_server(sqlite_url(tmp_path / "served.db")) as url, gate_to(int(url.rpartition(":")[2])) as gate:
        yield Site(f"grpc://127.0.0.1:{gate.port}", gate, url)


@pytest.fixture
def database(postgres: Postgres) -> Iterator[Site]:
    url = make_url(postgres.new_database())
    with gate_to(int(url.port or 0)) as gate:
        through = url.set(port=gate.port).render_as_string(hide_password=False)
        yield Site(through, gate, url.render_as_string(hide_password=False))


@pytest.fixture(params=["served", pytest.param("database", marks=pytest.mark.slow)])
def site(request: pytest.FixtureRequest) -> Site:
    found: Site = request.getfixturevalue(request.param)
    return found


def study_in(storage: BaseStorage) -> int:
    made: int = storage.create_new_study([StudyDirection.MAXIMIZE], "one")
    return made


def freeze(site: Site, storage: BaseStorage) -> None:
    """The way to the storage is shut, and its answers are awaited for a moment only."""
    site.gate.freeze()
    limit(storage)


def limit(storage: BaseStorage) -> None:
    """From now on: what went before may have taken its time on a busy machine."""
    patient = _patient(storage)
    assert patient is not None
    patient._answers.limit_s = 0.3


def test_a_frozen_storage_counts_as_away_and_is_gone_on_with_once_it_answers(site: Site) -> None:
    heard: list[str] = []
    storage = site.open(heard, then=site.gate.thaw)
    study = study_in(storage)
    trial = storage.create_new_trial(study)
    freeze(site, storage)
    assert storage.set_trial_state_values(trial, TrialState.COMPLETE, [0.5])
    away, back = heard
    assert away == "The storage does not answer (no answer within 0.3 s); waiting up to 10 min"
    assert back == "The storage is back."
    assert [one.value for one in open_storage(site.beside).get_all_trials(study)] == [0.5]


@pytest.mark.slow
def test_a_trial_asked_of_a_frozen_storage_is_made_once_and_at_most_left_once(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = site.open([])
    study = study_in(storage)
    look, looks = PatientStorage._look, count(1)

    def looked(patient: PatientStorage) -> None:
        if next(looks) == 3:
            site.gate.thaw()
        look(patient)

    monkeypatch.setattr(PatientStorage, "_look", looked)
    freeze(site, storage)
    trial = storage.create_new_trial(study)
    made = [one._trial_id for one in open_storage(site.beside).get_all_trials(study)]
    assert made[-1] == trial
    assert len(made) <= 2, "one that was not heard of is taken over; more would pass the budget"


def test_a_connection_that_leads_nowhere_is_left_for_a_new_one(site: Site) -> None:
    heard: list[str] = []
    storage = site.open(heard)
    study = study_in(storage)
    site.gate.hang()
    limit(storage)
    assert storage.get_all_trials(study) == []
    assert heard[1:] in ([], ["The storage is back."]), (
        "SQLAlchemy looks at a connection before it gives it out"
    )


def test_a_question_that_takes_longer_than_a_glance_is_answered_all_the_same(
    served: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("search.storage.served._GLANCE_S", 0.1)
    heard: list[str] = []
    storage = served.open(heard)
    study = study_in(storage)
    served.gate.freeze()
    threading.Timer(0.3, served.gate.thaw).start()
    assert storage.get_study_name_from_id(study) == "one"
    assert heard == []


class Method:
    """A call of a server that answers at once; `made`: how it was made, and its `timeout`."""

    def __init__(self) -> None:
        self.made: list[tuple[str, float | None]] = []

    def __call__(self, _request: object, *, timeout: float) -> str:
        self.made.append(("in one go", timeout))
        return "answer"

    def future(self, _request: object) -> Future[str]:
        self.made.append(("looking in between", None))
        reply = Future[str]()
        reply.set_result("answer")
        return reply


def test_a_question_is_asked_in_one_go_and_what_may_not_be_told_twice_is_not() -> None:
    question, word, answers = Method(), Method(), Answers()
    stub = _Stub(lambda: SimpleNamespace(GetTrial=question, CreateNewTrial=word), answers)
    assert stub.GetTrial(None) == stub.CreateNewTrial(None) == "answer"
    answers.limit_s = 0.1
    assert stub.GetTrial(None) == "answer"
    assert question.made == [("in one go", _GLANCE_S), ("in one go", 0.1)]
    assert word.made == [("looking in between", None)]


def test_whoever_asks_to_stop_is_heeded_before_the_storage_counts_as_away(site: Site) -> None:
    heard: list[str] = []
    storage, stop = site.open(heard), Stop()
    study = study_in(storage)
    site.gate.freeze()
    threading.Timer(0.3, stop.ask).start()
    began = time.monotonic()
    with pytest.raises(Interrupted, match="while the storage does not answer"), heeding(storage, stop):
        storage.get_all_trials(study)
    assert time.monotonic() - began < Answers.limit_s / 2
    assert heard == []
