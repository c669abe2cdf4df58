"""A study: opened or made in its storage, kept to the space it was made from.

What the sampler does for trial n follows from (seed, n) and the trials before it, whether or not the
search was interrupted in between: the sampler is built anew, with a seed of its own, for every trial.
"""

from __future__ import annotations

import json
import platform
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import version
from threading import Event
from typing import TYPE_CHECKING, Any

import optuna
from optuna.exceptions import DuplicatedStudyError
from optuna.storages import BaseStorage
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState

from search.best import METRIC, best_of
from search.change import changes
from search.importing import is_half_imported
from search.marks import ATTRIBUTE, CARRIED
from search.methods import build_pruner, build_sampler
from search.room import SpaceRoom, confined
from search.storage.storage import open_storage, quiet_optuna, require_place, storage_errors, unheard
from search.storage.url import masked, sqlite_path

if TYPE_CHECKING:
    from search.carry import Carried
    from search.space import Space

#: looks without a change at a study that another worker is making, and from one to the next
_STILL_LOOKS, _MAKING_S = 20, 0.5

_PACKAGES = ("cp-search", "optuna", "torch", "transformers", "tokenizers", "numpy")


@dataclass(frozen=True)
class StudyHandle:
    """An open study with its space.

    created: True when this call made it. identity: of this study and no other, not even of a later one of
    its name; empty for a study from before there was one. exhausted: set once the sampler has nothing left to
    suggest.
    """

    study: Study
    space: Space
    storage_url: str = field(repr=False)
    created: bool = False
    identity: str = ""
    exhausted: Event = field(default_factory=Event)

    def __post_init__(self) -> None:
        # Samplers of a finite space call it when they are through; Optuna's own works only inside optimize.
        self.study.stop = self.exhausted.set  # type: ignore[method-assign]  # see the line above

    @property
    def name(self) -> str:
        """Name of the study."""
        return self.study.study_name

    def seed_sampler(self, number: int) -> None:
        """Make the sampler that suggests trial `number`."""
        self.study.sampler = build_sampler(self.space, number=number)

    def trials(self, *states: TrialState) -> list[FrozenTrial]:
        """The study's trials in order of their numbers, all of them or those in `states`."""
        return self.study.get_trials(deepcopy=False, states=states or None)

    def trial(self, number: int) -> FrozenTrial:
        """Trial `number` as it is stored now; no other is read."""
        return self.study._storage.get_trial(self.trial_id(number))

    def trial_id(self, number: int) -> int:
        """What the storage calls trial `number`."""
        return self.study._storage.get_trial_id_from_study_id_trial_number(self.study._study_id, number)

    def put_back(self, number: int) -> None:
        """Put a trial that is RUNNING, and was not run, into the queue: the next to ask is given it."""
        self.study._storage.set_trial_state_values(self.trial_id(number), state=TrialState.WAITING)

    def reattach(self, number: int) -> Trial:
        """A trial that is RUNNING, to be gone on with from this process."""
        return Trial(self.study, self.trial_id(number))


def best_trial(handle: StudyHandle) -> FrozenTrial | None:
    """The best COMPLETE trial; of equals the earliest, which is the one that was trained."""
    return best_of(handle.trials(TrialState.COMPLETE))


def open_study(
    space: Space,
    *,
    storage_url: str,
    room: SpaceRoom | None = None,
    say: Callable[[str], None] | None = None,
    carry: Callable[[Space], Carried] | None = None,
) -> StudyHandle:
    """Open the study `space.name`, or make it: direction, definition, known-good points.

    The choices that `room` has no place for when the study is made are out of its space for good, so that
    the space never changes under the trials. `say` is told when a storage on the network is waited for.
    `carry`: what of another study a new one begins with.

    Raises:
        ConfigError: unknown sampler or pruner, wrong arguments, or a study of this name with another
            space; nothing was changed. UserError: the storage cannot be opened or made.
        StorageFault: it can be opened, but does not answer.
    """
    quiet_optuna()
    sampler, pruner = build_sampler(space, number=0), build_pruner(space)
    with storage_errors(storage_url):
        storage = open_storage(storage_url, say=say)
        study, created = _existing(space.name, storage), False
        if study is None:
            study, created = _made(space.name, storage)
        if not created:
            _await_making(study)
            changed = _check_definition(study, space, storage_url=storage_url)
            if changed:
                _go_on(study, space, changed, say=say or unheard)
        study.sampler, study.pruner = sampler, pruner
        if ATTRIBUTE not in study.user_attrs:
            if carry is not None:
                _carry(study, carry(confined(space, room.trimmed(space) if room else {})), say=say or unheard)
            _furnish(study, space, room)
        made_from = json.loads(study.user_attrs[ATTRIBUTE])
    space = confined(space, made_from.get("room", {}).get("trimmed", {}))
    return StudyHandle(study, space, storage_url, created, made_from.get("identity", ""))


def require_study(space: Space, *, storage_url: str) -> None:
    """Check that `open_study` would open or make the study; makes nothing. Raises as `open_study`."""
    quiet_optuna()
    build_sampler(space, number=0)
    build_pruner(space)
    require_place(storage_url)
    path = sqlite_path(storage_url)
    if path is None or not path.exists():
        return
    with storage_errors(storage_url):
        study = _existing(space.name, open_storage(storage_url))
        if study is not None:
            _check_definition(study, space, storage_url=storage_url)


def _existing(name: str, storage: BaseStorage) -> Study | None:
    names = [study.study_name for study in storage.get_all_studies()]
    return optuna.load_study(study_name=name, storage=storage) if name in names else None


def _made(name: str, storage: BaseStorage) -> tuple[Study, bool]:
    """A study of this name, and whether it was made here: of workers that start at once one makes it."""
    try:
        return optuna.create_study(study_name=name, storage=storage, direction=StudyDirection.MAXIMIZE), True
    except DuplicatedStudyError:
        return optuna.load_study(study_name=name, storage=storage), False


def _await_making(study: Study) -> None:
    """Wait while another worker says what the study is made from, unless it died over that: nothing moves."""
    still, before = 0, -1
    while ATTRIBUTE not in study.user_attrs and still < _STILL_LOOKS:
        trials = study.get_trials(deepcopy=False)
        if any(trial.state != TrialState.WAITING and CARRIED not in trial.user_attrs for trial in trials):
            return  # trained in without that word: another program's study
        time.sleep(_MAKING_S)
        still, before = (still + 1 if len(trials) == before else 0), len(trials)


def _carry(study: Study, carried: Carried, *, say: Callable[[str], None]) -> None:
    """Begin with what another study knows; what is there already, from an attempt that was cut off, stays."""
    there = {trial.user_attrs.get(CARRIED) for trial in study.get_trials(deepcopy=False)}
    study.add_trials([trial for trial in carried.trials if trial.user_attrs[CARRIED] not in there])
    for point in carried.points:
        study.enqueue_trial(point, skip_if_exists=True)
    for line in carried.lines():
        say(line)


def _furnish(study: Study, space: Space, room: SpaceRoom | None) -> None:
    """Queue the known-good points, then say what the study was made from: the last act of making it.

    A study that was left half made has no attribute, and is furnished by the next run.
    """
    there = study.get_trials(deepcopy=False)
    queued = [trial.system_attrs.get("fixed_params") for trial in there]
    queued += [trial.params for trial in there if CARRIED in trial.user_attrs]
    trimmed = room.trimmed(space) if room else {}
    for point in confined(space, trimmed).enqueue:
        if point not in queued:
            study.enqueue_trial(point)
    attribute: dict[str, Any] = {
        "metric": METRIC,
        "definition": space.definition(),
        "versions": versions(),
        "identity": uuid.uuid4().hex,
    }
    if room:
        attribute["room"] = {"card": room.card, "trimmed": trimmed, "planned": room.lines(space)}
    study.set_user_attr(ATTRIBUTE, json.dumps(attribute, ensure_ascii=False, sort_keys=True))


def versions() -> dict[str, str]:
    """Versions a study's numbers depend on."""
    return {"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}}


def _check_definition(study: Study, space: Space, *, storage_url: str) -> list[str]:
    """A study goes on only with the space it was made from, or one that changes no trial; what changed.

    Raises:
        ConfigError: it was made from another, or by another program.
    """
    stored = study.user_attrs.get(ATTRIBUTE)
    if is_half_imported(study):
        # Nor could it be forked: what of it fits is not known before all of it is there.
        raise space.problem_at(
            ("name",),
            f"a study named {space.name} exists in {masked(storage_url)}, but its import was cut off: type "
            "the same cp-search study import again first, or give this one another name (--name NEW)",
        )
    if stored is None:
        if all(_is_furniture(trial) for trial in study.get_trials(deepcopy=False)):
            return []
        difference = "it was not made by cp-search"
    else:
        found = changes(json.loads(stored)["definition"], space.definition())
        if not found.others:
            return list(found.harmless)
        more = f" ({len(found.others) - 3} more)" if len(found.others) > 3 else ""
        difference = f"from another space: {'; '.join(found.others[:3])}{more}"
    raise space.problem_at(
        ("name",),
        f"a study named {space.name} exists in {masked(storage_url)}, but {difference}. Give this one "
        "another name (--name NEW), or carry over what still fits into a new study (--fork)",
    )


def _is_furniture(trial: FrozenTrial) -> bool:
    return trial.state == TrialState.WAITING or CARRIED in trial.user_attrs


def _go_on(study: Study, space: Space, changed: list[str], *, say: Callable[[str], None]) -> None:
    """Keep the study to its space as it reads now."""
    for line in changed:
        say(f"The space changed and the study goes on: {line}")
    attribute = json.loads(study.user_attrs[ATTRIBUTE])
    attribute["definition"] = space.definition()
    attribute["changes"] = [*attribute.get("changes", []), *changed]
    study.set_user_attr(ATTRIBUTE, json.dumps(attribute, ensure_ascii=False, sort_keys=True))
