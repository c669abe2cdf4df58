"""Whose turn it is to finish a study: one worker's at a time, so that the model is not made twice at once.

Workers that share a directory have its lock. Of machines that share only the storage the one at work is known
by a mark on the study that counts on, as the owners of trials are (`search/heart.py`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from filelock import FileLock, Timeout

from search.finish.place import FINISH_LOCK, FinishPlace, Stopped
from search.heart import Heart, Mark, host_of, process_gone, read_mark
from search.storage.patience import faults
from search.storage.url import is_local
from search.study import StudyHandle

if TYPE_CHECKING:
    from optuna.study import Study

    from trainer import Observer

Made = TypeVar("Made")

#: system attribute of a study: the mark of the worker that finishes it
FINISH_MARK = "cp_search:finish_owner"
#: how often a worker that waits looks whether it may begin, and whether the user wants to stop
_LOOK_S = 0.5
#: a study has one finish; a heart knows what it holds by numbers
_FINISH = 0
_NOBODY: Mark = ("", 0)


class FinishMark:
    """The one mark of a study's finish, which always needs an owner."""

    def __init__(self, study: Study) -> None:
        self._study = study

    def all(self) -> dict[int, Mark]:
        """It alone."""
        return {_FINISH: _mark_on(self._study)}

    def of(self, _number: int) -> Mark:
        """As it is stored now."""
        return _mark_on(self._study)

    def write(self, _number: int, mark: Mark) -> None:
        """As a system attribute of the study."""
        self._study._storage.set_study_system_attr(self._study._study_id, FINISH_MARK, list(mark))


def in_turn(handle: StudyHandle, place: FinishPlace, work: Callable[[FinishPlace], Made]) -> Made:
    """What `work` gives, done while no other worker finishes the study; another at it is waited for.

    Where another has taken it over meanwhile, since this machine slept, that one is waited for as well.

    Raises:
        Stopped: the user asked to end.
    """
    with _directory(place):
        if is_local(handle.storage_url):
            return work(place)
        while True:
            with _study(handle, place) as heart:
                try:
                    return work(replace(place, observer=_UntilLost(place.observer, heart)))
                except Stopped:
                    if not heart.lost(_FINISH):
                        raise
                    place.observer.say("Another worker took the finish over meanwhile")


def finisher(study: Study) -> str | None:
    """The host of the worker that finishes the study, or died over it; None: nobody does.

    Of a worker of this host it is known whether it lives.
    """
    mark = _mark_on(study)
    return host_of(mark) if mark[0] and not process_gone(mark[0]) else None


@contextmanager
def _directory(place: FinishPlace) -> Iterator[None]:
    """Among those who share the directory."""
    lock = FileLock(place.study / FINISH_LOCK, timeout=_LOOK_S)
    waiting = False
    while not lock.is_locked:
        try:
            lock.acquire()
        except Timeout:
            place.require_going_on()
            if not waiting:
                place.observer.say("Another worker finishes this study; waiting for it")
            waiting = True
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _study(handle: StudyHandle, place: FinishPlace) -> Iterator[Heart]:
    """Among those who share the storage; the heart beats meanwhile."""
    heart, free = Heart(handle, marks=FinishMark(handle.study)), True
    heart.start()
    try:
        _await_turn(heart, handle.study, place)
        yield heart
    except BaseException as error:
        # Who insists does not wait for a storage that is away, nor does who waited in vain.
        free = not isinstance(error, (KeyboardInterrupt, *faults()))
        raise
    finally:
        heart.stop()
        if free:
            heart.let_go(_FINISH)


def _await_turn(heart: Heart, study: Study, place: FinishPlace) -> None:
    waits_for = ""
    while not heart.seize(_FINISH):
        host = host_of(_mark_on(study))
        if host and host != waits_for:
            place.observer.say(f"Another worker finishes this study on {host}; waiting for it")
            waits_for = host
        place.require_going_on()
        time.sleep(_LOOK_S)


def _mark_on(study: Study) -> Mark:
    stored = study._storage.get_study_system_attrs(study._study_id).get(FINISH_MARK)
    return read_mark(stored) or _NOBODY


@dataclass(frozen=True)
class _UntilLost:
    """An observer that asks to end as well once another worker has taken the finish over."""

    observer: Observer
    heart: Heart

    def say(self, line: str) -> None:
        self.observer.say(line)

    def progress(self, done: int, total: int, status: str) -> None:
        self.observer.progress(done, total, status)

    def interrupted(self) -> bool:
        return self.observer.interrupted() or self.heart.lost(_FINISH)
