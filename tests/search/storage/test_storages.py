"""What a study asks of a storage, the same of every one: SQLite, PostgreSQL, gRPC, memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from filelock import FileLock
from optuna.exceptions import DuplicatedStudyError, UpdateFinishedTrialError
from optuna.trial import TrialState

from search.heart import STALE_LOOKS, mark_of
from search.interruption import Stop
from search.objective import suggest
from search.ownership import TRIAL_LOCK, Claim, trial_directory
from search.storage.url import masked, without_password
from search.study import open_study
from search.verdict import FINITE, MEMORY, Verdict
from search.worker import ToldAlready, tell
from tests.search.storage.postgres import Postgres
from tests.search.storage.storages import Machine, Site, memory_site, served_site, sqlite_site

VERDICT = Verdict(
    TrialState.COMPLETE,
    value=0.75,
    seconds=1.5,
    constraints={MEMORY: -0.5, FINITE: 0.0},
    intermediate={1: 0.5, 2: 0.75},
)


def look(machine: Machine, times: int = STALE_LOOKS) -> None:
    for _ in range(times):
        machine.heart.beat()


def taken_over(machine: Machine, *, by: Machine) -> tuple[Claim, Claim]:
    """The same trial as its first worker, who is thought to be gone, and the next have it."""
    claim = machine.ownership.take()
    assert claim is not None
    look(by, STALE_LOOKS + 1)
    taken = by.ownership.take()
    assert taken is not None
    assert taken.number == claim.number
    return claim, taken


class StorageContract:
    """Tests of one storage; a subclass says which."""

    @pytest.fixture
    def site(self, tmp_path: Path) -> Site | Iterator[Site]:
        raise NotImplementedError

    def test_what_one_worker_tells_another_reads(self, site: Site) -> None:
        handle = site.handle()
        trial = handle.study.ask()
        values = suggest(trial, handle.space)
        tell(handle, trial, VERDICT)
        (read,) = site.handle().trials()
        assert (read.number, read.state, read.value) == (0, TrialState.COMPLETE, 0.75)
        assert read.params == values
        assert read.constraints == VERDICT.constraints
        assert read.intermediate_values == VERDICT.intermediate
        assert read.user_attrs == {"seconds": 1.5}

    def test_a_worker_with_the_study_open_sees_what_is_told_elsewhere(self, site: Site) -> None:
        first, second = site.handle(), site.handle()
        trial = first.study.ask()
        assert [t.state for t in second.trials()] == [TrialState.RUNNING]
        tell(first, trial, VERDICT)
        assert [t.value for t in second.trials(TrialState.COMPLETE)] == [0.75]

    def test_the_first_report_of_a_step_stays(self, site: Site) -> None:
        trial = site.handle().study.ask()
        trial.report(0.5, 1)
        trial.report(0.9, 1)
        assert site.handle().trial(0).intermediate_values == {1: 0.5}

    def test_a_pruned_trial_keeps_its_violated_constraint(self, site: Site) -> None:
        handle = site.handle()
        tell(handle, handle.study.ask(), Verdict(TrialState.PRUNED, cause="oom", constraints={MEMORY: 1.25}))
        (read,) = site.handle().trials()
        assert (read.state, read.constraints) == (TrialState.PRUNED, {MEMORY: 1.25})

    def test_of_two_words_about_the_end_of_a_trial_the_first_counts(self, site: Site) -> None:
        first, second = site.handle(), site.handle()
        trial = first.study.ask()
        again = second.reattach(trial.number)
        tell(first, trial, VERDICT)
        with pytest.raises(ToldAlready):
            tell(second, again, replace(VERDICT, value=0.25))
        assert [told.value for told in site.handle().trials()] == [0.75]

    def test_a_trial_that_its_first_worker_ended_after_all_is_lost_to_the_next(self, site: Site) -> None:
        slow, quick = site.machine("slow"), site.machine("quick")
        mine, taken = taken_over(slow, by=quick)
        tell(slow.handle, mine.trial, VERDICT)
        quick.heart.beat()
        assert taken.lost

    def test_what_another_has_taken_is_not_given_away(self, site: Site) -> None:
        slow, quick = site.machine("slow"), site.machine("quick")
        mine, taken = taken_over(slow, by=quick)
        mine.release()  # it has not noticed yet
        assert mark_of(quick.handle.trial(taken.number))[0] == quick.heart.name

    def test_who_leaves_in_haste_says_nothing_to_the_storage(self, site: Site) -> None:
        machine = site.machine("one")
        claim = machine.ownership.take()
        assert claim is not None
        claim.drop()
        assert mark_of(machine.handle.trial(claim.number))[0] == machine.heart.name
        with FileLock(trial_directory(machine.directory, claim.number) / TRIAL_LOCK, timeout=0):
            pass  # the lock is free

    def test_a_trial_is_told_once(self, site: Site) -> None:
        first, second = site.handle(), site.handle()
        trial = first.study.ask()
        again = second.reattach(trial.number)
        tell(first, trial, VERDICT)
        with pytest.raises(UpdateFinishedTrialError):
            again.set_user_attr("seconds", 9.0)

    def test_a_queued_point_goes_to_one_worker(self, site: Site) -> None:
        handle = site.handle()
        handle.study.enqueue_trial({"training.learning_rate": 2e-5, "model.pooling": "cls"})
        first, second = site.handle(), site.handle()
        asked = [suggest(one.study.ask(), one.space) for one in (first, second)]
        assert asked[0] == {"training.learning_rate": 2e-5, "model.pooling": "cls"}
        assert asked[1] != asked[0]
        assert [trial.number for trial in handle.trials()] == [0, 1]

    def test_a_study_cannot_be_made_twice(self, site: Site) -> None:
        storage = site.handle().study._storage
        with pytest.raises(DuplicatedStudyError):
            storage.create_new_study([site.handle().study.direction], "fake")

    def test_two_machines_never_take_the_same_trial(self, site: Site) -> None:
        one, other = site.machine("one"), site.machine("other")
        claims = [machine.ownership.take() for machine in (one, other, one, other)]
        assert [claim and claim.trial.number for claim in claims] == [0, 1, 2, 3]
        assert one.ownership.take() is None

    def test_two_machines_that_count_at_once_do_not_overrun_the_budget(
        self, site: Site, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        one, other = site.machine("one", trials=1), site.machine("other", trials=1)
        ask = one.handle.study.ask

        def ask_late() -> object:
            """The other machine asks between this one's count and its question."""
            assert other.ownership.take() is not None
            return ask()

        monkeypatch.setattr(one.handle.study, "ask", ask_late)
        assert one.ownership.take() is None
        assert [trial.state for trial in one.handle.trials()] == [TrialState.RUNNING, TrialState.WAITING]
        # What was put back is asked for when the budget grows.
        claim = site.machine("one", trials=2).ownership.take()
        assert claim is not None
        assert claim.trial.number == 1

    def test_a_trial_of_a_machine_that_lives_is_left_alone(self, site: Site) -> None:
        one, other = site.machine("one", trials=1), site.machine("other", trials=1)
        assert one.ownership.take() is not None
        for _ in range(3 * STALE_LOOKS):
            one.heart.beat()
            other.heart.beat()
        assert other.ownership.take() is None

    def test_a_trial_of_a_machine_that_died_is_taken_over_with_its_values_and_reports(
        self, site: Site
    ) -> None:
        one, other = site.machine("one", trials=1), site.machine("other", trials=1)
        claim = one.ownership.take()
        assert claim is not None
        values = suggest(claim.trial, one.handle.space)
        claim.trial.report(0.5, 1)
        assert other.ownership.take() is None
        look(other, STALE_LOOKS + 1)
        taken = other.ownership.take()
        assert taken is not None
        assert taken.trial.number == 0
        assert suggest(taken.trial, other.handle.space) == values
        assert other.handle.trial(0).intermediate_values == {1: 0.5}

    def test_a_machine_that_slept_learns_that_its_trial_was_taken(self, site: Site) -> None:
        one, other = site.machine("one", trials=1), site.machine("other", trials=1)
        claim, taken = taken_over(one, by=other)
        assert not claim.lost
        one.heart.beat()
        assert claim.lost
        assert claim.or_lost(Stop()).asked
        claim.release()
        other.heart.beat()
        assert not taken.lost

    def test_of_two_that_take_over_at_once_one_has_it(
        self, site: Site, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        dead, one, other = (site.machine(name, trials=1) for name in ("dead", "one", "other"))
        assert dead.ownership.take() is not None
        look(one, STALE_LOOKS + 1)
        # Both found it stale; while the first waits to be sure, the second writes its own mark.
        monkeypatch.setattr(one.heart, "_sleep", lambda _s: other.heart.hold(0))
        assert one.ownership.take() is None

    def test_a_trial_that_was_let_go_is_to_be_had_at_once(self, site: Site) -> None:
        one, other = site.machine("one", trials=1), site.machine("other", trials=1)
        claim = one.ownership.take()
        assert claim is not None
        claim.release()
        taken = other.ownership.take()
        assert taken is not None
        assert taken.trial.number == 0


class TestSQLite(StorageContract):
    @pytest.fixture
    def site(self, tmp_path: Path) -> Iterator[Site]:
        with sqlite_site(tmp_path) as site:
            yield site


class TestMemory(StorageContract):
    @pytest.fixture
    def site(self, tmp_path: Path) -> Iterator[Site]:
        with memory_site(tmp_path) as site:
            yield site


class TestGrpc(StorageContract):
    @pytest.fixture
    def site(self, tmp_path: Path) -> Iterator[Site]:
        with served_site(tmp_path) as site:
            yield site


@pytest.mark.slow
class TestPostgres(StorageContract):
    @pytest.fixture
    def site(self, tmp_path: Path, postgres: Postgres) -> Site:
        url = postgres.new_database()
        return Site(tmp_path, lambda space: open_study(space, storage_url=url))


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://me:s3cr3t@host/db",
        "postgresql+psycopg://me@host/db?password=s3cr3t&sslmode=require",
        "postgresql+psycopg://me@host/db?sslpassword=s3cr3t",
    ],
)
def test_a_password_is_neither_shown_nor_kept_wherever_the_url_has_it(url: str) -> None:
    assert "s3cr3t" not in masked(url) + without_password(url)
    assert ("sslmode=require" in without_password(url)) == ("sslmode" in url)


def test_a_url_that_cannot_be_read_is_not_shown() -> None:
    assert masked("postgresql://me:pa@ss:s3cr3t@host/db") == "the given URL"
