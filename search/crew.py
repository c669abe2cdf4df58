"""The trials that run now: started on seats, listened to, watched for hangs, and seen out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search.attempt import Attempt
from search.engine.base import Conversation, Engine, let_go
from search.engine.child import OUTCOME
from search.history import INTERRUPTED, NOTE_S, History
from search.interruption import Stop
from search.ledger import Ledger
from search.memory_watch import MemoryWatch
from search.methods import derived_seed
from search.ownership import Claim
from search.seats import Seat
from search.study import StudyHandle
from search.telling import repeat_index
from search.verdict import as_outcome
from search.workplace import Workplace
from trainer import Outcome, Room, write_json

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from trainer import Config


@dataclass
class Post:
    """A trial that runs. began, heard, looked: on the workplace's clock; before_s: of earlier attempts.

    looked: when it was last looked at. noted_s: how long it had lived by its history. mark: of the checkpoint
    it began from. suspect: it runs on its last tries. overdue: why the supervisor ended it. held_bytes: host
    memory, as last seen.
    """

    claim: Claim
    values: dict[str, Any]
    room: Room | None
    seat: Seat
    talk: Conversation
    began: float
    heard: float
    looked: float
    before_s: float = 0.0
    noted_s: float = 0.0
    mark: int = 0
    suspect: bool = False
    overdue: str | None = None
    held_bytes: int = 0

    def seconds(self, now: float) -> float:
        """Of this attempt."""
        return now - self.began

    def look(self, now: float) -> None:
        """Time in which the engine lets it wait for a place is none of its own."""
        if not self.talk.running.begun:
            self.began += now - self.looked
            self.heard = now
        self.looked = now


class Crew:
    """The trials of one worker that run side by side."""

    def __init__(
        self,
        handle: StudyHandle,
        workplace: Workplace,
        *,
        ledger: Ledger,
        stop: Stop,
        others_run: Callable[[], bool],
    ) -> None:
        """`others_run`: do trials of the study run on this machine that another worker holds?"""
        self.posts: list[Post] = []
        self._handle = handle
        self._ledger = ledger
        self._workplace = workplace
        self._engine: Engine = workplace.engine
        self._limits = handle.space.limits
        self._stop = stop
        self._others_run = others_run
        self._memory = MemoryWatch(workplace.host, clock=workplace.clock, say=workplace.audience.say)
        #: trials of which it was said that they wait for the others
        self._said_waits: set[int] = set()

    def start(self, claim: Claim, values: dict[str, Any], *, room: Room | None) -> bool:
        """Start a trial, new or not; False while there is no seat for it, or no host memory."""
        place = self._workplace
        directory = place.trial_directory(claim.number)
        history = History(directory)
        suspect = self.is_suspect(claim.number)
        seat = None if self._must_wait(claim.number, history, suspect=suspect) else self._seat(room)
        if seat is None:
            return False
        # Of a trial that is new nothing can have been reported.
        reported = self._handle.trial(claim.number).intermediate_values if history.attempts else {}
        attempt = Attempt(
            claim.trial, reported=reported, audience=place.audience, stop=claim.or_lost(self._stop)
        )
        before_s, mark = history.spent_s, history.mark()
        place.audience.trial_started(claim.number, values=values, resumed=mark != 0)
        at = seat if seat.card else Seat(place.card, seat.threads)
        running = self._engine.start(place.make_job(self._config(claim, values), str(directory), at))
        history.begin(pid=running.pid)
        now = place.clock()
        talk = Conversation(running, observer=attempt, report=attempt.report)
        post = Post(claim, values, room, seat, talk, began=now, heard=now, looked=now, before_s=before_s)
        post.mark, post.suspect = mark, suspect
        self.posts.append(post)
        return True

    def is_suspect(self, number: int) -> bool:
        """Is a trial on its last tries? Then it is not to take others of this machine along, nor they it."""
        history = History(self._workplace.trial_directory(number))
        return self._engine.on_one_machine and history.deaths() >= max(1, self._limits.retries - 1)

    @property
    def awaits_checkpoint(self) -> bool:
        """Does a trial run on its last tries that has not come further yet? Nothing is started beside it."""
        return any(post.suspect for post in self._in_vain())

    def let_go(self, error: BaseException) -> None:
        """Leave all trials because of `error`; they write their checkpoints, unless it is Ctrl-C."""
        let_go([post.talk.running for post in self.posts], error)
        with suppress(OSError):  # a disk that is full may be why they are left
            for post in self.posts:
                self._history(post).end(INTERRUPTED, seconds=post.seconds(self._workplace.clock()))

    def wait(self, timeout_s: float) -> list[Post]:
        """Listen for at most `timeout_s` to whoever has something to say; the trials that have ended."""
        if not self.posts:
            return []
        self._engine.wait([post.talk.running for post in self.posts], timeout_s=timeout_s)
        for post in self.posts:
            post.look(self._workplace.clock())
            if post.talk.pump():
                post.heard = self._workplace.clock()
            self._note_life(post)
            self._end_overdue(post)
        self._look_at_memory()
        return [post for post in self.posts if post.talk.running.ended]

    def ended(self, post: Post) -> Outcome:
        """See a trial out that has ended: its outcome, and its seat for the next one.

        Raises:
            TypeError: its job left no Outcome, which is a fault of ours.
        """
        with post.talk.running as running:
            found = as_outcome(running.result())
        self.posts.remove(post)
        self._workplace.seats.give_back(post.seat)
        if found is None:
            raise TypeError(f"the job of trial {post.claim.number} ended with something that is no Outcome")
        return self._explained(found, post)

    def has_memory(self) -> bool:
        """Has another trial room in the machine's memory?"""
        return self._memory.has_room(self._held())

    def await_memory(self) -> None:
        """Say that a trial waits for memory. Raises HostFull: in vain."""
        held = self._held()
        # Beside trials of one's own those of others change nothing, and are not told again and again.
        self._memory.await_room(held, others_run=not held and self._others_run())

    def _held(self) -> list[int]:
        return [post.held_bytes for post in self.posts]

    def _seat(self, room: Room | None) -> Seat | None:
        seat = self._workplace.seats.take(room)
        if seat is None or self.has_memory():
            return seat
        self._workplace.seats.give_back(seat)
        self.await_memory()
        return None

    def _config(self, claim: Claim, values: dict[str, Any]) -> Config:
        """A repeat of values is trained with a seed of its own: the same one would give the same again."""
        space = self._handle.space
        index = 0
        if space.repeats > 1:
            index = repeat_index(claim.trial, alike=lambda: self._alike(claim))
        if not index:
            return space.trial_config(values)
        seed = derived_seed(space.base_config().config.experiment.seed, index)
        return space.trial_config({**values, "experiment.seed": seed})

    def _alike(self, claim: Claim) -> list[FrozenTrial]:
        """Trials of the same values as stored now: those that run got their index after they were read."""
        alike = self._ledger.alike(claim.number, claim.trial.params)
        return [self._handle.trial(one.number) for one in alike]

    def _must_wait(self, number: int, history: History, *, suspect: bool) -> bool:
        """While one that is suspect has not come further it runs beside none that has not either."""
        if suspect and any(self._in_vain()):
            if number not in self._said_waits:
                self._said_waits.add(number)
                deaths = f"it died {history.deaths()} times in a row"
                self._workplace.audience.say(
                    f"Trial {number} waits until those that run have come further: {deaths}"
                )
            return True
        return self.awaits_checkpoint

    def _in_vain(self) -> Iterator[Post]:
        """The trials without a checkpoint that is newer than the one they began from."""
        return (post for post in self.posts if not self._history(post).is_further(post.mark))

    def _history(self, post: Post) -> History:
        return History(self._workplace.trial_directory(post.claim.number))

    def _note_life(self, post: Post) -> None:
        seconds = post.seconds(self._workplace.clock())
        if seconds - post.noted_s >= NOTE_S:
            post.noted_s = seconds
            self._history(post).lives(seconds=seconds)

    def _end_overdue(self, post: Post) -> None:
        """End a trial that is over its time, or from which nothing was heard for too long."""
        if post.overdue or self._stop.asked or post.talk.running.ended:
            return
        now = self._workplace.clock()
        limits = self._limits
        if limits.trial_timeout_s is not None and post.before_s + now - post.began >= limits.trial_timeout_s:
            post.overdue = "timeout"
        elif limits.stall_timeout_s is not None and now - post.heard >= limits.stall_timeout_s:
            post.overdue = "stalled"
        if post.overdue:
            post.talk.running.kill()

    def _explained(self, outcome: Outcome, post: Post) -> Outcome:
        """The outcome of a trial whose process left none, with what the supervisor knows of its end."""
        if outcome.error_kind != "lost":
            return outcome
        if post.overdue == "timeout":
            late = f"ended after limits.trial_timeout: {self._limits.trial_timeout_s:.0f} s"
            seconds = post.before_s + post.seconds(self._workplace.clock())
            told = replace(outcome, error=late, error_kind="timeout", seconds=seconds)
            write_json(Path(told.directory) / OUTCOME, asdict(told))
            return told
        if post.overdue == "stalled":
            silent = f"ended after {self._limits.stall_timeout_s:.0f} s without progress"
            return replace(outcome, error=f"{silent} (limits.stall_timeout)", error_kind="stalled")
        return self._memory.explained(outcome, held_bytes=post.held_bytes)

    def _look_at_memory(self) -> None:
        if self._memory.is_due():
            for post in self.posts:
                post.held_bytes = self._memory.held_by(post.talk.running.pid) or post.held_bytes
