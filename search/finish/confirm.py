"""Confirming: the best trials again, on fresh seeds.

The best of many values is partly luck: of the seed, and of the validation rows. Fresh seeds show how much
of it was the seed's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optuna.trial import FrozenTrial, TrialState

from search.aside import holds_work, move_aside
from search.engine.base import Call
from search.engine.job import Job
from search.engine.local import await_orphan, read_result
from search.finish.confirmation import Candidate, Confirmation, ConfirmRun
from search.finish.place import FinishPlace, GivenUp, Stopped
from search.finish.rank import ranked
from search.finish.record import key_of, read_record, write_record
from search.finish.stored import CONFIRM
from search.finish.watch import Named
from search.history import History
from search.objective import values_of
from search.verdict import as_outcome
from trainer import Config, UserError, dump_config

if TYPE_CHECKING:
    from search.space import Space
    from search.study import StudyHandle
    from trainer import Outcome

#: the fresh seeds start this far above the search's own
_APART = 1001
#: within a run's directory: what the run is of
_ASKED = "asked.json"


@dataclass(frozen=True)
class _Asked:
    """What a run in a directory was asked for."""

    trial: int
    seed: int
    config: str


@dataclass(frozen=True)
class _Planned:
    """A run to be made, or made already."""

    trial: int
    seed: int
    config: Config
    directory: Path
    per_epoch: int


def confirm(handle: StudyHandle, place: FinishPlace) -> Confirmation | None:
    """Train the best trials again as `finish.confirm` asks; None where it is off or no trial completed.

    A run that is done is not done again; one that was interrupted goes on. One that failed is recorded so.

    Raises:
        Stopped: the user asked to end. UserError: a run met what the user can mend. GivenUp: one died too
        often and took the worker along; nothing is recorded then, lest power cuts choose the model.
    """
    asked = handle.space.finish.confirm
    trials = best_trials(handle, count=asked.top_k) if asked else []
    if asked is None or not trials:
        return None
    seeds = fresh_seeds(handle.space, count=asked.seeds)
    planned = [_plan(handle.space, trial, seed=seed, place=place) for trial in trials for seed in seeds]
    path = place.study / CONFIRM / "confirmation.json"
    key = key_of({"runs": [[plan.trial, plan.seed, dump_config(plan.config)] for plan in planned]})
    found = read_record(path, Confirmation, key=key)
    if found is not None:
        return found
    words = f"Confirming the best on fresh seeds: trials {len(trials)}, seeds {len(seeds)}"
    runs = _made(planned, place, say=words)
    candidates = [_candidate(trial, [run for run in runs if run.trial == trial.number]) for trial in trials]
    confirmation = ranked(candidates, seeds=seeds)
    write_record(path, confirmation, key=key)
    return confirmation


def best_trials(handle: StudyHandle, *, count: int) -> list[FrozenTrial]:
    """The best COMPLETE trials, best first, no two of the same values."""
    complete = sorted(
        handle.trials(TrialState.COMPLETE), key=lambda trial: (-(trial.value or 0.0), trial.number)
    )
    different: dict[str, FrozenTrial] = {}
    for trial in complete:
        different.setdefault(repr(sorted(trial.params.items())), trial)
    return list(different.values())[:count]


def fresh_seeds(space: Space, *, count: int) -> list[int]:
    """Seeds that no trial of the space was trained with; the same for every candidate."""
    used = space.base_config().config.experiment.seed
    return [(used + _APART + index) % 2**32 for index in range(count)]


def trial_values(space: Space, trial: FrozenTrial) -> dict[str, Any]:
    """Key path -> value of a trial of the study."""
    return values_of(space, trial.params)


def _plan(space: Space, trial: FrozenTrial, *, seed: int, place: FinishPlace) -> _Planned:
    config = space.trial_config({**trial_values(space, trial), "experiment.seed": seed})
    directory = place.study / CONFIRM / f"trial-{trial.number:04d}-seed-{seed}"
    per_epoch = config.training.evaluations_per_epoch
    return _Planned(trial.number, seed, config, directory, per_epoch)


def _made(planned: Sequence[_Planned], place: FinishPlace, *, say: str) -> list[ConfirmRun]:
    """Every run in the order of `planned`, those that are missing made now; `say`: said before."""
    found = {index: run for index, plan in enumerate(planned) if (run := _done(plan)) is not None}
    missing = [index for index in range(len(planned)) if index not in found]
    for index in missing:
        _clear(planned[index])
    jobs = place.train_jobs([(planned[index].config, planned[index].directory) for index in missing])
    calls = [_call(planned[index], job, place) for index, job in zip(missing, jobs, strict=True)]
    for index, result in zip(missing, place.see_through(calls, say=say), strict=True):
        outcome = as_outcome(result)
        if outcome is None or outcome.status == "interrupted" or _ended_with_us(outcome, place):
            raise Stopped("interrupted")
        if outcome.error_kind == "user":
            raise UserError(f"confirming trial {planned[index].trial}: {outcome.error}")
        found[index] = _run_of(planned[index], outcome)
    failed = [(found[index], planned[index]) for index in missing if found[index].status == "failed"]
    for run, plan in failed:
        if History(plan.directory).took_along:
            raise _given_up(run, plan, place)
    for run, _ in failed:
        place.observer.say(
            f"Confirming trial {run.trial}, seed {run.seed}: {run.error}; "
            "recorded as failed, the runs that completed decide"
        )
    return [found[index] for index in range(len(planned))]


def _given_up(run: ConfirmRun, plan: _Planned, place: FinishPlace) -> GivenUp:
    name = place.study.name
    return GivenUp(
        f"confirming trial {run.trial} on seed {run.seed}: {run.error}",
        directory=plan.directory,
        study=place.study,
        instead=f"cp-search retrain {name} --trial NUMBER retrains that trial without confirming",
    )


def _ended_with_us(outcome: Outcome, place: FinishPlace) -> bool:
    """Whoever asked us to end may have ended the child as well."""
    return outcome.error_kind == "lost" and place.observer.interrupted()


def _done(plan: _Planned) -> ConfirmRun | None:
    """The run if it came to its end before; one that failed is tried again."""
    if read_record(plan.directory / _ASKED, _Asked) != _asked(plan):
        return None
    await_orphan(plan.directory)
    outcome = as_outcome(read_result(plan.directory))
    over = outcome is not None and outcome.status in ("completed", "oom", "nonfinite")
    return _run_of(plan, outcome) if outcome is not None and over else None


def _asked(plan: _Planned) -> _Asked:
    return _Asked(plan.trial, plan.seed, dump_config(plan.config))


def _clear(plan: _Planned) -> None:
    """Make the run's directory its own; what another configuration left there is moved aside first."""
    asked = read_record(plan.directory / _ASKED, _Asked)
    if asked != _asked(plan) and plan.directory.is_dir() and holds_work(plan.directory):
        move_aside(plan.directory, name=f"{plan.directory.name}-of-another-configuration")
    plan.directory.mkdir(parents=True, exist_ok=True)
    write_record(plan.directory / _ASKED, _asked(plan), key="")


def _call(plan: _Planned, job: Job, place: FinishPlace) -> Call:
    watcher = Named(f"Confirming trial {plan.trial}, seed {plan.seed}", place.observer)
    return Call(job, watcher, watcher.report)


def _run_of(plan: _Planned, outcome: Outcome) -> ConfirmRun:
    completed = outcome.status == "completed"
    return ConfirmRun(
        trial=plan.trial,
        seed=plan.seed,
        status=outcome.status,
        directory=f"{CONFIRM}/{plan.directory.name}",
        value=outcome.best_metrics.get("eval_f1_macro") if completed else None,
        best_epoch=outcome.best_step / plan.per_epoch if completed and outcome.best_step else None,
        seconds=outcome.seconds,
        predicted_peak_bytes=outcome.predicted_peak_bytes,
        measured_peak_bytes=outcome.measured_peak_bytes,
        error=outcome.error,
    )


def _candidate(trial: FrozenTrial, runs: list[ConfirmRun]) -> Candidate:
    return Candidate(trial.number, dict(trial.params), float(trial.value or 0.0), runs)
