"""The supervisor: takes trials, has the engine run them, and tells the study how they ended.

One supervisor for one worker: it alone speaks with the storage, while up to `seats.open` trials run side
by side in processes of their own. Any number of workers may be on one study: a trial belongs to whoever holds
the lock in its directory, and a RUNNING trial whose lock is free is taken over.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from optuna.trial import TrialState

from search.audience import Audience as Audience
from search.crew import Crew, Post
from search.ending import FINISHED as FINISHED
from search.ending import WORDS, Reason
from search.engine.base import LOOK_S
from search.engine.base import Engine as Engine
from search.history import DIED, INTERRUPTED, History
from search.interruption import Stop as Stop
from search.interruption import interruption as interruption
from search.ledger import Ledger
from search.objective import suggest
from search.ownership import STUDY_LOCK as STUDY_LOCK
from search.ownership import TRIAL_LOCK as TRIAL_LOCK
from search.ownership import Claim, Ownership
from search.stopwatch import Stopwatch
from search.storage.patience import faults, heeding
from search.storage.storage import storage_errors
from search.study import StudyHandle
from search.telling import ToldAlready as ToldAlready
from search.telling import count_states as count_states
from search.telling import tell as tell
from search.tidy import tidy, tidy_ended
from search.triage import Pending, Triage
from search.verdict import Verdict, judge
from search.workplace import Workplace as Workplace
from trainer import TooManyFailures, UserError, disk_errors

#: suggestions in a row that the card cannot hold, after which there seems to be nothing else to suggest
MOST_REFUSED = 100

#: how long a worker with nothing to start waits before it looks again
IDLE_S = 1.0
#: and one with a trial that waits for another worker to draw the values of an earlier one
SOON_S = 0.05


@dataclass(frozen=True)
class SearchEnd:
    """Why the search ended, and how many trials the study has by state (lower case).

    reason: the budget's trials or time are used up, its target reached or its patience over, the sampler has
    nothing left (that fits), or Ctrl-C.
    """

    reason: Reason
    trials: dict[str, int]

    @property
    def interrupted(self) -> bool:
        """True when the user stopped it; the same command goes on."""
        return self.reason == "interrupted"


def search(handle: StudyHandle, *, workplace: Workplace) -> SearchEnd:
    """Run trials until the study's budget is used up; taken up where an earlier search left it.

    The budget counts the study's measured trials, whoever ran them. The first Ctrl-C (or SIGTERM)
    lets running trials write their checkpoints; the second ends them at once.

    Raises:
        UserError: a trial met what the user can mend; it stays open and the next search retries it.
        TooManyFailures: `max_failures` trials failed in a row. StorageFault: the storage failed. HostFull: no
            memory for a trial, and none of ours that would give some back.
        Interrupted: the first Ctrl-C, while the storage was away. KeyboardInterrupt: the second Ctrl-C.
    """
    say, storage = workplace.audience.say, handle.study._storage
    with (
        storage_errors(handle.storage_url),
        disk_errors(workplace.directory),
        interruption(say) as stop,
        heeding(storage, stop),
    ):
        _make(workplace)
        tidy_ended(handle, workplace.trial_directory)
        reason = Worker(handle, workplace, stop).work()
        trials = count_states(handle)
    # Whoever asks after the worker's last look means what follows as well.
    if stop.asked:
        reason = "interrupted"
        say("Interrupted. Type the same command to go on.")
    elif reason in WORDS:
        say(WORDS[reason])
    return SearchEnd(reason, trials)


class Worker:
    """One worker on one study."""

    def __init__(self, handle: StudyHandle, workplace: Workplace, stop: Stop) -> None:
        self.handle = handle
        self.space = handle.space
        self.workplace = workplace
        self.stop = stop
        self._ledger = Ledger(handle)
        self._ownership = Ownership(
            handle, workplace.directory, say=workplace.audience.say, ledger=self._ledger
        )
        self._triage = Triage(handle, workplace, ledger=self._ledger, stop=stop)
        self._crew = Crew(handle, workplace, ledger=self._ledger, stop=stop, others_run=self._others_run)
        self._pending: list[Pending] = []
        self._failures = 0
        self._refused = 0
        self._stopwatch = Stopwatch(handle, clock=workplace.clock)
        self._looked = workplace.clock()
        self._idle = False
        self._waits_for_others = False

    def work(self) -> Reason:
        """Take trials and run them until there is a reason to end.

        Raises:
            UserError, TooManyFailures, HostFull: as `search`.
        """
        with self._ownership:
            reason = self._work()
            self._stopwatch.note()
            return reason

    def _work(self) -> Reason:
        release = Claim.release
        try:
            while True:
                reason = self._fill()
                if reason is not None:
                    return reason
                for post in self._crew.wait(LOOK_S):
                    self._idle = False
                    self._conclude(post)
        except BaseException as error:
            # Nobody waits for a storage that is away once more: after a second Ctrl-C, or a wait in vain.
            if isinstance(error, (KeyboardInterrupt, *faults())):
                release = Claim.drop
            self._crew.let_go(error)
            raise
        finally:
            for claim in [*(one.claim for one in self._pending), *(post.claim for post in self._crew.posts)]:
                release(claim)

    def _fill(self) -> Reason | None:
        """Start what can be started; a reason to end once nothing runs and nothing will."""
        if self.stop.asked:
            return None if self._crew.posts else "interrupted"
        pause_s = SOON_S if any(one.soon for one in self._pending) else IDLE_S
        if self._idle and self.workplace.clock() - self._looked < pause_s:
            self._breathe(min(pause_s, LOOK_S))
            return None
        self._looked = self.workplace.clock()
        self._start_pending()
        while self._has_seat():
            if not self._crew.has_memory():
                return self._without_room()
            claim = self._ownership.take(new=self._wants_new)
            if claim is None:
                return self._nothing_taken()
            self._seat_first(claim)
            self._pending.append(Pending(claim, suggest(claim.trial, self.space)))
            self._start_pending()
            if self.stop.asked:
                break
        self._idle = self._has_seat()
        return None

    def _seat_first(self, claim: Claim) -> None:
        """A study's first trial has all cores; with the first claim of another they are dealt out."""
        seats = self.workplace.seats
        if claim.number > 0 or self._ledger.begun > 1:
            seats.deal_out()
        elif seats.open < seats.count:
            self.workplace.audience.say(f"The first trial has all cores; {seats.count} at a time after it")

    def _has_seat(self) -> bool:
        return len(self._crew.posts) < self.workplace.seats.open and not self._crew.awaits_checkpoint

    def _may_ask(self) -> bool:
        """Trials that wait keep their places from new ones, but not from one whose worker has died.

        While one on its last tries waits for those that run, none is begun: all end, if not all come further.
        """
        if any(self._crew.is_suspect(one.claim.number) for one in self._pending):
            return False
        return len(self._crew.posts) + len(self._pending) < self.workplace.seats.open

    def _wants_new(self) -> bool:
        return self._may_ask() and self._over() is None

    def _nothing_taken(self) -> Reason | None:
        """No trial is to be had: the end, unless others of ours, or of another worker, are still running."""
        self._idle = True
        if self._crew.posts or self._pending:
            return None
        through = self._through()
        if through is None and not self._waits_for_others:
            self._waits_for_others = True
            self.workplace.audience.say("Waiting for the trials of another worker")
        return through

    def _without_room(self) -> Reason | None:
        """Host memory is short: wait for it, unless nothing runs here and the study is over."""
        self._idle = True
        self._ledger.read()
        if self._ledger.is_enough() and not self._pending and self._others_run():
            return self._nothing_taken()
        through = self._through()
        if through is None and not (self._crew.posts and self._ledger.is_enough()):
            self._crew.await_memory()
        return None if self._crew.posts else through

    def _through(self) -> Reason | None:
        """Why the study is over, as last read; None: there is a trial to be begun, or one that runs."""
        if self._ledger.running or not self._ledger.is_enough():
            return self._over()
        return self._over() or "trials"

    def _breathe(self, seconds: float) -> None:
        """Nothing runs and nothing is to be done: the processor is left alone."""
        if not self._crew.posts:
            self.stop.wait(seconds)

    def _over(self) -> Reason | None:
        """Why no further trial is to be begun, as far as the trials are known."""
        budget = self.space.budget
        if budget.time_s is not None and self._stopwatch.elapsed_s() >= budget.time_s:
            return "time"
        if self.handle.exhausted.is_set() or self._refused >= MOST_REFUSED:
            return "exhausted"
        return self._ledger.reason()

    def _start_pending(self) -> None:
        for one in list(self._pending):
            if self._left_or_started(one):
                self._pending.remove(one)

    def _left_or_started(self, one: Pending) -> bool:
        """Does the trial wait no longer: it has ended without being run, or it runs?"""
        found = self._triage.look(one, mine=self._mine())
        if isinstance(found, int):
            return False
        if found is not None:
            self._tell(one.claim, found)
            return True
        return self._crew.start(one.claim, one.values, room=one.room)

    def _others_run(self) -> bool:
        return self._ownership.others_run(mine=self._mine())

    def _mine(self) -> set[int]:
        return {one.claim.number for one in self._pending} | {post.claim.number for post in self._crew.posts}

    def _conclude(self, post: Post) -> None:
        """What follows from the end of an attempt."""
        outcome = self._crew.ended(post)
        history = History(self.workplace.trial_directory(post.claim.number))
        lost = outcome.status == "failed" and outcome.error_kind in ("lost", "stalled", "host_memory")
        # Whoever asked us to end may have ended the child as well; its checkpoint is good.
        how = INTERRUPTED if lost and self.stop.asked else DIED if lost else outcome.status
        history.end(how, seconds=post.seconds(self.workplace.clock()), cause=outcome.error)
        deaths, retries = history.deaths(), self.space.limits.retries
        self._stopwatch.note_now_and_then()
        if post.claim.lost:
            self._give_up(post.claim, _taken(post.claim))
        elif outcome.error_kind == "user":
            post.claim.release()
            raise UserError(f"trial {post.claim.number}: {outcome.error}")
        elif how == INTERRUPTED:
            self._give_up(post.claim)
        elif how == DIED and deaths <= retries:
            self._retry(post, history.going_on(str(outcome.error), deaths=deaths, retries=retries))
        else:
            self._tell(post.claim, replace(judge(outcome), attempts=history.attempts))

    def _give_up(self, claim: Claim, why: str | None = None) -> None:
        """Leave a trial that has not ended to whoever takes it next."""
        self.workplace.audience.trial_paused(claim.number)
        if why is not None:
            self.workplace.audience.say(why)
        claim.release()

    def _retry(self, post: Post, why: str) -> None:
        self.workplace.audience.say(f"Trial {post.claim.number} | {why}")
        self.workplace.audience.trial_paused(post.claim.number)
        self._pending.insert(0, Pending(post.claim, post.values, post.room, looked=True))

    def _tell(self, claim: Claim, verdict: Verdict) -> None:
        try:
            self._ledger.put(tell(self.handle, claim.trial, verdict))
        except ToldAlready:
            self._give_up(claim, _taken(claim))
            return
        tidy(self.workplace.trial_directory(claim.number), keep_all=self.space.keep == "all")
        claim.release()
        self.workplace.audience.trial_ended(claim.number, verdict=verdict, best=self._ledger.best)
        self._count(verdict)

    def _count(self, verdict: Verdict) -> None:
        self._refused = self._refused + 1 if verdict.planned else 0
        self._failures = self._failures + 1 if verdict.state == TrialState.FAIL else 0
        if self._failures >= self.space.max_failures:
            raise TooManyFailures(
                f"{self._failures} trials failed in a row, the last one: {verdict.error}. Tracebacks are in "
                f"{self.workplace.directory}/trial-*/error.txt; the same command goes on after the repair"
            )


def _taken(claim: Claim) -> str:
    return f"Trial {claim.number} was taken over by another worker meanwhile"


def _make(workplace: Workplace) -> None:
    directory = workplace.directory
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make {directory}: {error.strerror}; choose another --studies-dir") from error
