"""What a new study begins with: `--warm-start OTHER`, and `--fork` of a study whose space changed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import count
from operator import or_

from optuna.trial import TrialState

from search.carry import Carried, carry_over
from search.catalog import Catalog, Entry
from search.change import changes
from search.marks import ATTRIBUTE, CARRIED
from search.space import Space
from search.storage.storage import NoStudy
from trainer import UserError


@dataclass(frozen=True)
class Descent:
    """space: under the name of its study. source: the study to carry over from; None: nothing.

    note: what is to be said of that; empty: nothing.
    """

    space: Space
    source: Entry | None = None
    note: str = ""

    def carry(self, *, card: str | None) -> Callable[[Space], Carried] | None:
        """What `open_study` asks when it makes the study."""
        source = self.source
        if source is None:
            return None
        return lambda space: carry_over(source.study, space, card=card)


def warm_start(space: Space, other: str, catalog: Catalog) -> Descent:
    """`space` with what fits of the study `other`; a study that was begun before goes on without it.

    Raises:
        UserError: there is no such study, it is not whole, or it is the one that is to be made.
    """
    try:
        entry = catalog.find(other)
    except NoStudy:
        if not _is_made(space.name, catalog):
            raise
        note = f"Study {other} is not there any more; study {space.name} was begun before and goes on"
        return Descent(space, note=note)
    if entry.name == space.name and entry.storage_url == catalog.url_for(space.name):
        raise UserError(f"--warm-start {other} is the study itself; give the new one another --name")
    return Descent(space, entry)


def fork(space: Space, *, name: str | None, catalog: Catalog) -> Descent:
    """A study of its own for a space that changed under its name: NAME-2, NAME-3, or `name`.

    Typed again, it goes on with the fork that was made of this same space.

    Raises:
        UserError: there is no study to fork, it is not whole, or it can go on with the space as it is.
    """
    try:
        entry = catalog.find(space.name)
    except NoStudy:
        made = _made_before(space, name, catalog)
        if made is None:
            raise
        note = f"Study {space.name} is not there any more; study {made} was begun before and goes on"
        return Descent(replace(space, name=made), note=note)
    if _goes_on(entry, space):
        raise UserError(f"study {space.name} can go on with this space; leave out --fork")
    if name is not None:
        return Descent(replace(space, name=name), entry)
    for number in count(2):
        fork_name = f"{space.name}-{number}"
        if not catalog.is_taken(fork_name, catalog.url_for(fork_name)):
            return Descent(replace(space, name=fork_name), entry)
        if _is_of(fork_name, space, catalog, source=space.name):
            return Descent(replace(space, name=fork_name), entry)
    raise AssertionError("numbers do not end")


def _made_before(space: Space, name: str | None, catalog: Catalog) -> str | None:
    """The fork of this space that is there; of several the first."""
    numbered = re.compile(rf"{re.escape(space.name)}-\d+" if name is None else re.escape(name))
    found = [entry for entry in catalog.entries() if numbered.fullmatch(entry.name)]
    forks = [entry.name for entry in found if _goes_on(entry, space)]
    return min(forks, key=lambda one: (len(one), one), default=None)


def _is_made(name: str, catalog: Catalog) -> bool:
    return any(entry.name == name and ATTRIBUTE in entry.study.user_attrs for entry in catalog.entries())


def _is_of(name: str, space: Space, catalog: Catalog, *, source: str) -> bool:
    """Is it the fork of this space, or one whose making was cut off?"""
    found = [entry for entry in catalog.entries() if entry.name == name]
    return any(_goes_on(entry, space) or _was_cut_off(entry, source) for entry in found)


def _was_cut_off(entry: Entry, source: str) -> bool:
    """It says not yet what it was made from, and holds nothing but what was carried over."""
    trials = entry.study.get_trials(deepcopy=False)
    carried = (str(trial.user_attrs.get(CARRIED, "")).startswith(f"{source} trial ") for trial in trials)
    waiting = (trial.state == TrialState.WAITING for trial in trials)
    return ATTRIBUTE not in entry.study.user_attrs and all(map(or_, carried, waiting))


def _goes_on(entry: Entry, space: Space) -> bool:
    stored = entry.study.user_attrs.get(ATTRIBUTE)
    return stored is not None and not changes(json.loads(stored)["definition"], space.definition()).others
