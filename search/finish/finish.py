"""The finish of a study: confirm, retrain, decide, evaluate, compare, export. Each part is done once."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from optuna.trial import FrozenTrial

from search.finish.confirm import best_trials, confirm
from search.finish.confirmation import Candidate, Confirmation
from search.finish.decide import decide, lines
from search.finish.ensemble import Team, team
from search.finish.ensemble_record import EnsembleRecord
from search.finish.evaluate import compare, evaluate
from search.finish.export import export
from search.finish.final import Final
from search.finish.finished import FINAL, GIVEN_UP, note_given_up
from search.finish.place import FinishPlace, GivenUp, PartFailed, Stopped
from search.finish.record import key_of, read_record, write_record
from search.finish.retrain import Recipe, begin, best_length, recipe, train
from search.finish.stored import CONFIRM, read_stored
from search.finish.turn import in_turn
from search.finish.whereabouts import Whereabouts, key_in, made_here, models, note, withdraw
from search.finish.words import candidate_line
from search.storage.url import is_local
from search.study import best_trial
from trainer import Assessment, CardFacts, Outcome, dump_config, sweep

if TYPE_CHECKING:
    from search.study import StudyHandle

Found = TypeVar("Found")


@dataclass(frozen=True)
class _Made:
    """A model that was trained, and what goes out of it."""

    recipe: Recipe
    outcome: Outcome
    team: Team
    confirmation: Confirmation | None


def finish(
    handle: StudyHandle, place: FinishPlace, *, trial: int | None = None, own_template: bool = True
) -> Final | None:
    """The finished model of a study, made here; None where no trial completed.

    trial: retrain this one; None takes the best confirmed one. own_template: False with another than the
    space's. What either chose is not what other machines take for the study's finished model. An
    interruption, and a part that failed, are told by the status of what is returned; the same call does only
    what is missing then. A part that died too often is begun once more.

    Raises:
        UserError: what the user can mend.
    """

    def work(mine: FinishPlace) -> Final:
        noted = trial is None and own_template
        return _confirmed(handle, replace(mine, once_more=True), trial=trial, noted=noted)

    return _told(handle, place, work, trial=trial)


def finish_once(handle: StudyHandle, place: FinishPlace) -> Final | Whereabouts | None:
    """As `finish`, unless another machine has made the model where it cannot be seen from here: its place."""
    return _told(handle, place, lambda mine: _elsewhere(handle, mine) or _confirmed(handle, mine))


def _told(
    handle: StudyHandle, place: FinishPlace, work: Callable[[FinishPlace], Found], *, trial: int | None = None
) -> Found | Final | None:
    if best_trial(handle) is None:
        return None
    try:
        return in_turn(handle, place, lambda mine: _noted(mine, work))
    except Stopped:
        return _ended("interrupted", place, trial, None)
    except PartFailed as error:
        return _ended("failed", place, trial, str(error))


def _noted(place: FinishPlace, work: Callable[[FinishPlace], Found]) -> Found:
    """What `work` gives; that it gave a part up is there to be read until a model is made."""
    try:
        found = work(place)
    except GivenUp as error:
        note_given_up(place.study, error.died, directory=error.directory)
        raise
    (place.study / FINAL / GIVEN_UP).unlink(missing_ok=True)
    return found


def _elsewhere(handle: StudyHandle, place: FinishPlace) -> Whereabouts | None:
    """The model that was made of these trials, where that cannot be seen from here."""
    if is_local(handle.storage_url):
        return None
    found = models(handle.study, directory=place.study, of=_of(handle))
    if key_in(place.study / FINAL / "final.json") in [one.made_from for one in found]:
        return None
    # What was noted of this directory, and is not there, is to be made again.
    others = [one for one in found if not one.lies_in(place.study)]
    return others[-1] if others else None


def _of(handle: StudyHandle) -> str:
    """What there is to finish: the trials that may win, and what is to be done with them."""
    asked = handle.space.finish
    trials = best_trials(handle, count=asked.confirm.top_k if asked.confirm else 1)
    return key_of({"finish": asked.model_dump(mode="json"), "trials": [trial.number for trial in trials]})


def _confirmed(
    handle: StudyHandle, place: FinishPlace, *, trial: int | None = None, noted: bool = True
) -> Final:
    started, of = time.monotonic(), _of(handle)
    # Who names a trial has chosen: nothing is confirmed for it that was not before.
    confirmation = confirm(handle, place) if trial is None else read_stored(place.study).confirmation
    chosen = _chosen(handle, confirmation, trial=trial)
    final = _finish(handle, place, chosen=chosen, confirmation=confirmation, started=started)
    for name in (CONFIRM, FINAL):
        sweep(place.study / name, below=True)
    if not is_local(handle.storage_url):
        _tell(handle, place, final, of=of if noted else None)
    return final


def _tell(handle: StudyHandle, place: FinishPlace, final: Final, *, of: str | None) -> None:
    """Tell the other machines of the model; of None: that what lies here is not the study's."""
    made_from = key_in(place.study / FINAL / "final.json")
    if of is None:
        withdraw(handle.study, place.study, but=made_from)
    elif final.model_dir is not None and made_from is not None:
        note(handle.study, made_here(place.study, final.model_dir, made_from=made_from), of=of)


def _finish(
    handle: StudyHandle,
    place: FinishPlace,
    *,
    chosen: FrozenTrial,
    confirmation: Confirmation | None,
    started: float,
) -> Final:
    space = handle.space
    length = None
    if space.finish.retrain_on == "train+val":
        per_epoch = space.base_config().config.training.evaluations_per_epoch
        length = best_length(confirmation, chosen, per_epoch=per_epoch)
    wanted = recipe(space, chosen, place=place, length=length)
    home = begin(wanted, place)
    key = _key(handle, wanted, confirmation)
    done = _as_it_lies(read_record(home / "final.json", Final, key=key), home)
    if done is not None and done.model_dir is not None and Path(done.model_dir).is_dir():
        place.observer.say(f"Trial {chosen.number} is retrained already; to do it anew, delete {home}")
        return done
    (outcome,) = train([("experiment", wanted.config)], say=_retraining_line(wanted), place=place)
    run = home / "experiment"
    first = decide(wanted, run=run, name="rule", wanted=space.finish.decide, place=place)
    for line in lines(first.rule):
        place.observer.say(line)
    shipped = team(first, handle, chosen=wanted, confirmation=confirmation, place=place)
    made = _Made(wanted, outcome, shipped, confirmation)
    final = _shipped(handle, made, place)
    final = replace(final, seconds=round(time.monotonic() - started, 1))
    write_record(home / "final.json", final, key=key)
    return final


def _as_it_lies(final: Final | None, home: Path) -> Final | None:
    """Directories as seen from here; they were written as seen from where the finish was made."""
    if final is None or final.model_dir is None:
        return final
    model, run = home / Path(final.model_dir).name, home / Path(final.experiment_dir).name
    return replace(final, directory=str(home), experiment_dir=str(run), model_dir=str(model))


def _shipped(handle: StudyHandle, made: _Made, place: FinishPlace) -> Final:
    """Evaluate, compare and export what was made."""
    test_path = handle.space.base_config().config.data.test_path
    members = made.team.members
    evaluation = evaluate(members, test_path=test_path, place=place) if test_path else None
    comparison = compare(made.recipe, members, test_path=test_path, place=place) if test_path else None
    value = _validation_f1(made)
    facts = CardFacts(
        test=evaluation,
        baseline=comparison,
        validation_f1_macro=value,
        search=list(_search_lines(handle, made)),
        data=_data(made.outcome, evaluation),
    )
    val_path = str(made.recipe.config.data.val_path)
    exported = export(members, facts=facts, val_path=val_path, test_path=test_path, place=place)
    write_record(place.study / FINAL / "export.json", exported, key="")
    record = made.team.record
    if record is not None and record.kept:
        record = replace(record, test=evaluation)
        write_record(place.study / FINAL / "ensemble.json", record, key="")
    return Final(
        status="completed",
        directory=str(place.study / FINAL),
        trial=made.recipe.trial,
        experiment_dir=made.outcome.directory,
        model_dir=exported.directory,
        eval_f1_macro=value,
        test_f1_macro=evaluation.f1_macro.value if evaluation else None,
        reloaded_difference=exported.difference,
        baseline_f1_macro=comparison.assessment.f1_macro.value if comparison else None,
        template=made.recipe.template,
        retrained_on=made.recipe.retrained_on,
        epochs_reason=made.recipe.epochs_reason,
        notes=_notes(made),
        confirmation=made.confirmation,
        rule=members[0].rule,
        evaluation=evaluation,
        comparison=comparison,
        ensemble=record,
        export=exported,
        config=dump_config(made.recipe.config),
    )


def _validation_f1(made: _Made) -> float | None:
    """Of what is shipped; None where no validation rows were left."""
    record = made.team.record
    if record is not None and record.kept and record.together is not None:
        return record.together.value
    return made.outcome.best_metrics.get("eval_f1_macro") if made.recipe.has_validation else None


def _chosen(handle: StudyHandle, confirmation: Confirmation | None, *, trial: int | None) -> FrozenTrial:
    if trial is not None:
        return handle.trial(trial)
    if confirmation is not None:
        return handle.trial(confirmation.chosen)
    best = best_trial(handle)
    if best is None:
        raise ValueError("no trial completed")
    return best


def _key(handle: StudyHandle, wanted: Recipe, confirmation: Confirmation | None) -> str:
    """What the finished model depends on beside the data."""
    finish = handle.space.finish.model_dump(mode="json")
    return key_of({"config": dump_config(wanted.config), "finish": finish, "confirmed": confirmation})


def _retraining_line(wanted: Recipe) -> str:
    where = "" if wanted.has_validation else f" on {wanted.retrained_on}"
    why = f" (epochs: {wanted.epochs_reason})" if wanted.epochs_reason else ""
    return f"Retraining trial {wanted.trial} with the template {wanted.template}{where}{why}"


def _notes(made: _Made) -> list[str]:
    notes = []
    if made.confirmation is None:
        notes.append("not confirmed over seeds: the search's best value is partly luck")
    if not made.recipe.has_validation:
        notes.append(
            "trained on training and validation rows: no decision rule could be fitted, and the epochs are "
            f"{made.recipe.epochs_reason}"
        )
    return notes


def _search_lines(handle: StudyHandle, made: _Made) -> Iterator[str]:
    """How the model was found, for its card."""
    states = [trial.state.name.lower() for trial in handle.trials()]
    counted = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    yield f"study {handle.name}: {counted}; sampler {handle.space.sampler.name}, seed {handle.space.seed}"
    found = [one for one in _candidates(made.confirmation) if one.trial == made.recipe.trial]
    yield candidate_line(found[0]) if found else f"trial {made.recipe.trial}, not confirmed over seeds"
    yield f"retrained with the template {made.recipe.template} on {made.recipe.retrained_on}"
    record = made.team.record
    if isinstance(record, EnsembleRecord):
        yield f"ensemble of {len(record.members)}: {record.reason}"


def _candidates(confirmation: Confirmation | None) -> list[Candidate]:
    return confirmation.candidates if confirmation else []


def _data(outcome: Outcome, evaluation: Assessment | None) -> dict[str, dict[str, object]]:
    """Which rows the model has seen, by file name, count and fingerprint."""
    summary = json.loads((Path(outcome.directory) / "training_summary.json").read_text(encoding="utf-8"))
    found = {name: {**one, "path": Path(one["path"]).name} for name, one in summary["data"].items()}
    if evaluation is not None:
        path = Path(evaluation.path).name
        found["test"] = {"path": path, "rows": evaluation.rows, "sha256": evaluation.sha256}
    return found


def _ended(status: str, place: FinishPlace, trial: int | None, error: str | None) -> Final:
    home = place.study / FINAL
    return Final(
        status=status,
        directory=str(home),
        trial=-1 if trial is None else trial,
        experiment_dir=str(home / "experiment"),
        error=error,
    )
