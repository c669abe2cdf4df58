"""The supervisor: takes trials, has the engine run them, and tells the study how they ended.

One job at a time. Any number of workers, on one study, may run side by side: a trial belongs to
one of them (see `ownership`), and a RUNNING trial whose owner is gone is taken over.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from optuna.trial import Trial, TrialState

from search.attempt import Attempt
from search.attempt import Audience as Audience
from search.engine.child import OUTCOME
from search.engine.job import Job, TrainJob
from search.engine.local import await_orphan, read_result
from search.interruption import Stop as Stop
from search.interruption import interruption as interruption
from search.objective import suggest
from search.ownership import STUDY_LOCK as STUDY_LOCK
from search.ownership import TRIAL_LOCK as TRIAL_LOCK
from search.ownership import Claim, Ownership, trial_directory
from search.room import RoomBook
from search.storage import storage_errors
from search.study import StudyHandle
from search.study import best_trial as best_trial
from search.verdict import Verdict, as_outcome, judge, refused, repeat
from trainer import Observer, Outcome, Report, TooManyFailures, UserError, write_json

if TYPE_CHECKING:
    from trainer import CardSpec, Config

#: trials that are over, and count against the budget
FINISHED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)

#: suggestions in a row that the card cannot hold, after which there seems to be nothing else to suggest
MOST_REFUSED = 100

Reason = Literal["trials", "time", "exhausted", "interrupted"]


class Engine(Protocol):
    """Where jobs run."""

    def run(self, job: Job, *, observer: Observer, report: Report) -> dict[str, Any]:
        """Run `job` to its end; what it left behind, as a dict."""


MakeJob = Callable[["Config", str, "CardSpec | None"], Job]


@dataclass(frozen=True)
class Workplace:
    """Where and how trials are run: their parent directory, the engine, the card, who watches.

    directory: `studies/NAME`. make_job: what a child runs for a configuration, a directory and a card.
    rooms: what the card can hold; None: no card.
    """

    directory: Path
    engine: Engine
    audience: Audience
    card: CardSpec | None = None
    make_job: MakeJob = TrainJob
    rooms: RoomBook | None = None

    def trial_directory(self, number: int) -> Path:
        """`studies/NAME/trial-0007`."""
        return trial_directory(self.directory, number)


@dataclass(frozen=True)
class SearchEnd:
    """Why the search ended, and how many trials the study has by state (lower case).

    reason: the budget's trials or time are used up, the sampler has nothing left (that fits), or Ctrl-C.
    """

    reason: Reason
    trials: dict[str, int]

    @property
    def interrupted(self) -> bool:
        """True when the user stopped it; the same command goes on."""
        return self.reason == "interrupted"


def search(handle: StudyHandle, *, workplace: Workplace) -> SearchEnd:
    """Run trials until the study's budget is used up; taken up where an earlier search left it.

    The budget counts the study's finished trials, whoever ran them. The first Ctrl-C (or SIGTERM)
    lets the running trial write its checkpoint; the second ends it at once.

    Raises:
        UserError: a trial met what the user can mend; it stays open and the next search retries it.
        TooManyFailures: `max_failures` trials failed in a row. StorageFault: the storage failed.
        KeyboardInterrupt: the second Ctrl-C.
    """
    say = workplace.audience.say
    with storage_errors(handle.storage_url), interruption(say) as stop:
        _make(workplace.directory)
        reason = Worker(handle, workplace, stop).work()
        if reason == "interrupted":
            say("Interrupted. Type the same command to go on.")
        return SearchEnd(reason, count_states(handle))


def count_states(handle: StudyHandle) -> dict[str, int]:
    """Trials of the study by state, lower case; states without trials are left out."""
    return dict(Counter(trial.state.name.lower() for trial in handle.trials()))


def tell(handle: StudyHandle, trial: Trial, verdict: Verdict) -> None:
    """Write a verdict into the study: reports, constraints, few and short attributes, then the state."""
    stored = handle.trial(trial.number)
    for step, value in verdict.intermediate.items():
        if step not in stored.intermediate_values:
            trial.report(value, step)
    for key, violation in verdict.constraints.items():
        # A worker that died while telling may have set it; the first value of a key stays.
        if key not in stored.constraints:
            trial.set_constraint(key, violation)
    for key, value in verdict.attributes().items():
        trial.set_user_attr(key, value)
    handle.study.tell(trial, verdict.value, state=verdict.state)


class Worker:
    """One worker on one study."""

    def __init__(self, handle: StudyHandle, workplace: Workplace, stop: Stop) -> None:
        self.handle = handle
        self.space = handle.space
        self.workplace = workplace
        self.stop = stop
        self._ownership = Ownership(handle, workplace.directory, say=workplace.audience.say)
        self._failures = 0
        self._refused = 0
        self._spent_s = sum(float(trial.user_attrs.get("seconds", 0)) for trial in handle.trials(*FINISHED))
        self._started = time.monotonic()

    def work(self) -> Reason:
        """Take trials and run them until there is a reason to end.

        Raises:
            UserError, TooManyFailures: as `search`.
        """
        with self._ownership:
            return self._work()

    def _work(self) -> Reason:
        while True:
            if self.stop.asked:
                return "interrupted"
            if self._time_is_up():
                return "time"
            if self.handle.exhausted.is_set() or self._refused >= MOST_REFUSED:
                return "exhausted"
            claim = self._ownership.take()
            if claim is not None:
                with claim:
                    self._see_through(claim)
            elif not self._ownership.await_others(self.stop):
                return "trials"

    def _time_is_up(self) -> bool:
        """Time the study's finished trials took before, and all of this search; running ones may end."""
        limit = self.space.budget.time_s
        return limit is not None and self._spent_s + time.monotonic() - self._started >= limit

    def _see_through(self, claim: Claim) -> None:
        """Bring a trial to its end, unless it is interrupted."""
        trial = claim.trial
        values = suggest(trial, self.space)
        outcome = self._ended(trial, values) or self._run(claim, values)
        if claim.lost:
            self.workplace.audience.say(f"Trial {trial.number} was taken over by another worker meanwhile")
            return
        if isinstance(outcome, Outcome) and outcome.status == "interrupted":
            return
        verdict = outcome if isinstance(outcome, Verdict) else judge(outcome)
        tell(self.handle, trial, verdict)
        self.workplace.audience.trial_ended(trial.number, verdict=verdict, best=best_trial(self.handle))
        self._count(verdict)

    def _ended(self, trial: Trial, values: dict[str, Any]) -> Outcome | Verdict | None:
        """How the trial ends without being run."""
        return self._left_behind(trial) or self._refuse(trial, values) or self._known(trial)

    def _refuse(self, trial: Trial, values: dict[str, Any]) -> Verdict | None:
        """The verdict on a trial that the card cannot hold; None on one that may run, or did already."""
        directory = self.workplace.trial_directory(trial.number)
        if self.workplace.rooms is None or (directory / "checkpoints").is_dir():
            return None
        room = self.workplace.rooms.room(values)
        if room.verdict != "no":
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

    def _left_behind(self, trial: Trial) -> Outcome | None:
        """The outcome of a trial that had ended, but whose worker died before it told."""
        directory = self.workplace.trial_directory(trial.number)
        await_orphan(directory)
        found = as_outcome(read_result(directory))
        unfinished = found is None or found.status in ("interrupted", "failed")
        return None if unfinished else found

    def _known(self, trial: Trial) -> Verdict | None:
        """What an earlier trial with the same values came to; the seed is fixed, so would this one."""
        for earlier in self.handle.trials():
            if earlier.number < trial.number and earlier.params == trial.params:
                verdict = repeat(earlier)
                if verdict is not None:
                    return verdict
        return None

    def _run(self, claim: Claim, values: dict[str, Any]) -> Outcome:
        place, trial = self.workplace, claim.trial
        directory = place.trial_directory(trial.number)
        reported = self.handle.trial(trial.number).intermediate_values
        attempt = Attempt(trial, reported=reported, audience=place.audience, stop=claim.or_lost(self.stop))
        resumed = (directory / "checkpoints").is_dir()
        place.audience.trial_started(trial.number, values=values, resumed=resumed)
        job = place.make_job(self.space.trial_config(values), str(directory), place.card)
        outcome = as_outcome(place.engine.run(job, observer=attempt, report=attempt.report))
        if outcome is None:
            raise TypeError(f"{type(job).__name__} ended with something that is no Outcome")
        if outcome.error_kind == "user":
            raise UserError(f"trial {trial.number}: {outcome.error}")
        if self.stop.asked and outcome.error_kind == "lost":
            # Whoever asked us to end may have ended the child as well; its checkpoint is good.
            return Outcome("interrupted", str(directory))
        return outcome

    def _count(self, verdict: Verdict) -> None:
        self._refused = self._refused + 1 if verdict.planned else 0
        self._failures = self._failures + 1 if verdict.state == TrialState.FAIL else 0
        if self._failures >= self.space.max_failures:
            raise TooManyFailures(
                f"{self._failures} trials failed in a row, the last one: {verdict.error}. Tracebacks are in "
                f"{self.workplace.directory}/trial-*/error.txt; the same command goes on after the repair"
            )


def _make(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make {directory}: {error.strerror}; choose another --studies-dir") from error
