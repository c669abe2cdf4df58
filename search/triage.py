"""Whether a trial of one's own needs to be run: it may have ended already, or be known, or not fit."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from search.attempt import Attempt
from search.engine.child import OUTCOME, REPORTS
from search.engine.local import await_orphan, read_result
from search.history import History
from search.lines import read_lines
from search.telling import twin
from search.verdict import as_outcome, judge, refused
from trainer import Outcome, write_json

if TYPE_CHECKING:
    from search.interruption import Stop
    from search.ledger import Ledger
    from search.ownership import Claim
    from search.study import StudyHandle
    from search.verdict import Verdict
    from search.workplace import Workplace
    from trainer import Room


@dataclass
class Pending:
    """A trial of ours that does not run yet: it waits for a seat, or for an earlier trial with its values.

    looked: it is known that it has not ended, and may run. soon: it waits for one that is drawing its values.
    """

    claim: Claim
    values: dict[str, Any]
    room: Room | None = None
    looked: bool = False
    soon: bool = False


class Triage:
    """Tells the trials that are to be run from those that end without."""

    def __init__(self, handle: StudyHandle, workplace: Workplace, *, ledger: Ledger, stop: Stop) -> None:
        self._handle = handle
        self._workplace = workplace
        self._ledger = ledger
        self._stop = stop

    def look(self, one: Pending, *, mine: AbstractSet[int]) -> Verdict | int | None:
        """A verdict: it ends so without being run. A number: an earlier trial with its values runs: wait.

        None: run it. mine: the trials that this worker holds.
        """
        ended = None if one.looked else self._ended(one)
        one.looked = True
        if ended is not None:
            return ended
        self._ledger.look_before(one.claim.number, mine=mine)
        alike = self._ledger.alike(one.claim.number, one.claim.trial.params)
        one.soon = any(not trial.state.is_finished() and not self._ledger.is_drawn(trial) for trial in alike)
        return twin(alike, repeats=self._handle.space.repeats)

    def _ended(self, one: Pending) -> Verdict | None:
        """How the trial ends without being run."""
        outcome = (
            self._stopped_unheard(one.claim)
            or self._left_behind(one.claim.number)
            or self._died_too_often(one.claim.number)
        )
        if outcome is None:
            return self._refuse(one)
        return replace(judge(outcome), attempts=max(1, self._history(one.claim.number).attempts))

    def _history(self, number: int) -> History:
        return History(self._workplace.trial_directory(number))

    def _left_behind(self, number: int) -> Outcome | None:
        """The outcome of a trial that had ended, but whose worker died before it told."""
        directory = self._workplace.trial_directory(number)
        found = as_outcome(read_result(directory))
        if found is None or found.status == "interrupted":
            return None
        return None if found.status == "failed" and found.error_kind != "timeout" else found

    def _died_too_often(self, number: int) -> Outcome | None:
        """The end of a trial whose deaths nobody was left to count: they took their worker along."""
        history, retries = self._history(number), self._handle.space.limits.retries
        left = as_outcome(read_result(history.directory))
        settled = history.settle(left.status if left is not None else None)
        deaths = history.deaths()
        if deaths > retries:
            told = f"{history.cause}, {deaths} times in a row without a newer checkpoint"
            return Outcome(
                "failed", str(history.directory), seconds=history.spent_s, error=told, error_kind="lost"
            )
        if settled and deaths:
            why = history.going_on(history.cause, deaths=deaths, retries=retries)
            self._workplace.audience.say(f"Trial {number} | {why}")
        return None

    def _stopped_unheard(self, claim: Claim) -> Outcome | None:
        """The end of a trial that the pruner stops at an evaluation which its worker did not live to hear."""
        directory = self._workplace.trial_directory(claim.number)
        await_orphan(directory)
        reports = [(int(line["step"]), line["metrics"]) for line in read_lines(directory / REPORTS)]
        if not reports:
            return None
        known = self._handle.trial(claim.number).intermediate_values
        attempt = Attempt(
            claim.trial, reported=known, audience=self._workplace.audience, stop=claim.or_lost(self._stop)
        )
        if not attempt.catch_up(reports):
            return None
        return Outcome("stopped", str(directory), seconds=History(directory).spent_s)

    def _refuse(self, one: Pending) -> Verdict | None:
        """The verdict on a trial that the card cannot hold; None on one that may run, or did already."""
        directory = self._workplace.trial_directory(one.claim.number)
        if self._workplace.rooms is None:
            return None
        one.room = room = self._workplace.rooms.room(one.values)
        if room.verdict != "no" or History(directory).mark():
            return None
        outcome = Outcome(
            "oom",
            str(directory),
            predicted_peak_bytes=room.predicted_bytes,
            limit_bytes=room.limit_bytes,
            needed_bytes=room.needed_bytes,
            measures=list(room.measures),
            error=f"not started: it {room.shortfall}, even with every measure",
        )
        write_json(directory / OUTCOME, asdict(outcome))
        return refused(outcome)
