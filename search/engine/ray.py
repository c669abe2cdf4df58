"""Jobs on a Ray cluster: each in an actor of its own, placed by the memory it is planned to take.

A node needs the package and the data under the same path; relative paths begin where the command was typed.
Where it sees the study's directory too, a job that was cut off goes on from its checkpoint; elsewhere it
starts again. See docs/decisions/0023-trials-on-ray.md.
"""

from __future__ import annotations

import importlib
import logging
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

from search.engine.base import Addressed, Call, Running, run_call
from search.engine.child import ERROR, OUTCOME, finite
from search.engine.job import FromChild, FromParent, Interrupted, Job
from search.engine.local import await_orphan
from search.engine.mailbox import Mailbox, unusable
from trainer import Observer, Outcome, Report, UserError, show_size, write_json, write_text

#: times a job is started again because its node died
_MOST_NODES_LOST = 3
#: how long an actor holds a question for news, and how long a job that was let go may take to save
_POLL_S = 5.0
_GRACE_S = 60.0
#: between two looks at an actor that cannot be reached
_AGAIN_S = 0.5


@dataclass(frozen=True)
class Needs:
    """What a job asks of a node: Ray's own terms. memory_bytes: of the host."""

    cpus: float = 1.0
    gpus: float = 0.0
    memory_bytes: int = 0

    def options(self) -> dict[str, Any]:
        """For `Actor.options`."""
        return {"num_cpus": self.cpus, "num_gpus": self.gpus, "memory": self.memory_bytes or None}

    def __str__(self) -> str:
        parts = [f"{self.cpus:g} CPU"] if self.cpus else []
        parts += [f"{self.gpus:g} GPU"] if self.gpus else []
        parts += [f"{show_size(self.memory_bytes)} of memory"] if self.memory_bytes else []
        return ", ".join(parts)


class RayEngine:
    """Runs jobs on a Ray cluster. As a context: leaves the cluster, or ends the one it started."""

    on_one_machine = False

    def __init__(
        self, *, address: str | None = None, needs: Callable[[Job], Needs] = lambda _job: Needs()
    ) -> None:
        """`address`: of the cluster, as in "auto", HOST:6379 or ray://HOST:10001; None starts one here.

        Raises:
            UserError: Ray is not installed, or nobody answers there.
        """
        self.needs = needs
        self._ray = _import_ray()
        try:
            self._ray.init(
                address=address or "local",
                include_dashboard=None if address else False,
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
        except (ConnectionError, RuntimeError, ValueError) as error:
            first = str(error).strip().splitlines()[0]
            raise UserError(f"--address {address or 'local'}: no Ray cluster there: {first}") from error
        self._actor = self._ray.remote(_Actor)

    def __enter__(self) -> RayEngine:
        return self

    def __exit__(self, *_: object) -> None:
        self._ray.shutdown()

    @property
    def has_gpus(self) -> bool:
        """Is there any GPU in the cluster?"""
        return bool(self._ray.cluster_resources().get("GPU"))

    def slots(self, needs: Needs) -> int:
        """How many jobs with these needs the cluster holds at once."""
        return sum(_holds(node["Resources"], needs) for node in self._ray.nodes() if node["Alive"])

    def start(self, job: Job) -> RayJob:
        """Start `job`; whatever outcome an earlier attempt left in its directory is removed first.

        Raises:
            UserError: a process of an earlier attempt still works there, or no node is large enough.
        """
        directory = Path(job.directory).absolute()
        directory.mkdir(parents=True, exist_ok=True)
        await_orphan(directory)
        (directory / OUTCOME).unlink(missing_ok=True)
        needs = self.needs(job)
        if not self.slots(needs):
            raise UserError(f"no node of the Ray cluster has {needs} for {directory.name}; add a larger one")
        actor = self._actor.options(max_concurrency=4, max_restarts=0, **needs.options())
        placed: Any = replace(job, directory=str(directory))  # type: ignore[type-var]  # every job is a dataclass
        return RayJob(self._ray, lambda: actor.remote(), _AtHome(placed, str(Path.cwd())))

    def wait(self, running: Sequence[Running], *, timeout_s: float) -> None:
        """Until one of these has something to say or has ended, or the time is over."""
        news = [ref for one in running if isinstance(one, RayJob) for ref in one.news]
        if news:
            self._ray.wait(news, num_returns=1, timeout=timeout_s, fetch_local=False)

    def run(self, job: Job, *, observer: Observer, report: Report) -> dict[str, Any]:
        """Run `job` to its end; its result as `outcome.json` has it."""
        return run_call(self, Call(job, observer, report))


@dataclass(frozen=True)
class _AtHome:
    """A job for another machine, whose own working directory is another one."""

    job: Job
    home: str

    @property
    def directory(self) -> str:
        """The job's."""
        return self.job.directory

    def run(self, observer: Observer, report: Report) -> Any:
        """Run it where its relative paths mean what they meant to the one who wrote them."""
        try:
            Path(self.home).mkdir(parents=True, exist_ok=True)
            os.chdir(self.home)
        except OSError as error:
            raise UserError(unusable(Path(self.home), error)) from error
        return self.job.run(observer, report)


class _Actor(Mailbox):
    """The job's process on its node."""

    def node(self) -> str:
        """Which node that is."""
        found: str = _import_ray().get_runtime_context().get_node_id()
        return found


class RayJob(Addressed):
    """A job that is running on some node. As a context: let go or killed on the way out, if it still does."""

    def __init__(self, ray: Any, make_actor: Callable[[], Any], job: Job) -> None:
        self._ray = ray
        self._make_actor = make_actor
        self._job = job
        self._nodes_lost = 0
        self._found: dict[str, Any] | None = None
        self._silent = False
        self._is_over = False
        self._killed = False
        self._actor: Any = None
        self._node: Any = None
        self._end: Any = None
        self._poll: Any = None
        self._begin()

    def __enter__(self) -> RayJob:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._found is None and kind is not None and issubclass(kind, Exception):
            self.hang_up()
            if not self._killed:
                self._ray.wait([self._end], timeout=_GRACE_S)
        self.kill()

    @property
    def pid(self) -> int | None:
        """None: it may be a process of another machine."""
        return None

    @property
    def news(self) -> list[Any]:
        """References that become ready when there is something to hear, or when it has ended."""
        return [self._end] if self._silent else [self._poll, self._end]

    @property
    def begun(self) -> bool:
        """True once its process has answered: Ray lets it wait until a node has room for it."""
        return _ready(self._ray, self._node)

    @property
    def ended(self) -> bool:
        """True when the job is over and all it said was received."""
        if self._found is None and self._silent and _ready(self._ray, self._end):
            self._found = self._fetch()
        return self._found is not None

    def receive(self) -> list[FromChild]:
        """What it said since the last time; never waits."""
        if self._silent or not _ready(self._ray, self._poll):
            return []
        try:
            messages: list[FromChild] | None = self._ray.get(self._poll)
        except self._ray.exceptions.RayError:
            # Its process is gone; `ended` finds out what that means.
            self._silent = True
            return []
        if messages is None or (self._is_over and not messages):
            self._silent = True
            return []
        # One that was over before this question, and has nothing to answer, never ran: it says no last word.
        self._is_over = _ready(self._ray, self._end)
        self._poll = self._actor.poll.remote(0.0 if self._is_over else _POLL_S)
        return messages

    def interrupt(self) -> None:
        """Ask it, once, to checkpoint and end; one that waits for a place has nothing to save."""
        if self.begun:
            super().interrupt()
        elif not self._killed:
            self.kill()

    def hang_up(self) -> None:
        """Listen no more: it checkpoints and ends by itself; one that waits for a place ends at once."""
        self._silent = True
        if self.begun:
            self._actor.hang_up.remote()
        else:
            self.kill()

    def kill(self) -> None:
        """End it at once, and for good; its last checkpoint is all that stays."""
        self._killed = True
        self._ray.kill(self._actor)

    def result(self) -> dict[str, Any]:
        """What it left; without anything, an Outcome that says how it died."""
        if self._found is None:
            self._found = self._fetch() or self._lost("its node died again and again")
        return self._found

    def _begin(self) -> None:
        self._silent = self._is_over = False
        self._actor = self._make_actor()
        self._node = self._actor.node.remote()
        self._end = self._actor.run.remote(self._job)
        self._poll = self._actor.poll.remote(_POLL_S)

    def _send(self, message: FromParent) -> None:
        self._actor.tell.remote(message)

    def _fetch(self) -> dict[str, Any] | None:
        """The result, kept in the job's directory here as well; None: started again on another node."""
        try:
            found, trace = self._ray.get(self._end)
        except self._ray.exceptions.RayActorError as error:
            if self._killed or not self._node_died() or self._nodes_lost >= _MOST_NODES_LOST:
                return self._lost(_first_line(error))
            self._nodes_lost += 1
            self._begin()
            if self._interrupted:
                self._send(Interrupted())
            return None
        except self._ray.exceptions.RayTaskError as error:
            # Another version of the package there, say: what was sent could not be read.
            found, trace = self._unread(error), str(error)
        directory = Path(self._job.directory)
        if trace:
            write_text(directory / ERROR, trace)
        write_json(directory / OUTCOME, finite(found))
        result: dict[str, Any] = finite(found)
        return result

    def _node_died(self) -> bool:
        """Did the whole node go, rather than the job's process on a node that lives?"""
        if self._is_back():
            # A network that failed for a moment: what the job came to is not known, so it starts again.
            self._ray.kill(self._actor)
            return True
        alive = {node["NodeID"] for node in self._ray.nodes() if node["Alive"]}
        try:
            return self._ray.get(self._node, timeout=0) not in alive
        except self._ray.exceptions.RayError:
            # Gone before it began.
            return True

    def _is_back(self) -> bool:
        """Does the actor, which could not be reached, answer again? Waits until the cluster knows."""
        end = time.monotonic() + _GRACE_S
        while time.monotonic() < end:
            try:
                self._ray.get(self._actor.node.remote(), timeout=_POLL_S)
                return True
            except (self._ray.exceptions.ActorUnavailableError, self._ray.exceptions.GetTimeoutError):
                time.sleep(_AGAIN_S)
            except self._ray.exceptions.RayActorError:
                return False
        return False

    def _unread(self, error: Exception) -> dict[str, Any]:
        told = f"its node could not run it: {_last_line(error)}"
        return asdict(Outcome("failed", self._job.directory, error=told, error_kind="crash"))

    def _lost(self, cause: str) -> dict[str, Any]:
        return asdict(Outcome("failed", self._job.directory, error=cause, error_kind="lost"))


def _import_ray() -> Any:
    try:
        return importlib.import_module("ray")
    except ImportError as error:
        raise UserError("--engine ray needs Ray: pip install 'cp-search[ray]'") from error


def _holds(resources: dict[str, float], needs: Needs) -> int:
    wanted = {"CPU": needs.cpus, "GPU": needs.gpus, "memory": float(needs.memory_bytes)}
    counts = [_times(resources.get(name, 0.0), amount) for name, amount in wanted.items() if amount]
    return min(counts, default=1)


def _times(there: float, amount: float) -> int:
    """How often `amount` is there. A share is of one GPU (or core), never of two."""
    if amount < 1:
        return int(there) * int(Fraction(1) / Fraction(str(amount)))
    return int(there // amount)


def _ready(ray: Any, reference: Any) -> bool:
    ready, _ = ray.wait([reference], timeout=0, fetch_local=False)
    return bool(ready)


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:200]


def _last_line(error: Exception) -> str:
    """Of a traceback that came as text: what was raised."""
    return str(error).strip().splitlines()[-1][:200]
