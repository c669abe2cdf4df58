"""What of a space a card can hold: planned first, trimmed once, asked before every trial."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from optuna.trial import TrialState

from search.engine.local import LocalEngine
from search.marks import ATTRIBUTE
from search.room import (
    MOST,
    Planned,
    RoomBook,
    SpaceRoom,
    Surveyor,
    combinations,
    confined,
    memory_values,
    survey,
)
from search.space import Space, load_space
from search.study import open_study
from search.worker import Workplace, search
from tests.conftest import CommandLine, picture
from tests.search.fakes import Listener, Scripted
from tests.trainer.runs import write_rows
from trainer import CardSpec, Config, Room, UserError, parse_card

MIB = 2**20
LENGTH = "model.max_sequence_length"
SPACE: dict[str, Any] = {
    "name": "room",
    "base": "fast_dev",
    "set": {"model.name": "builtin:tiny", "training.num_epochs": 1},
    "search": {
        "training.learning_rate": {"type": "float", "low": 1e-4, "high": 1e-3},
        LENGTH: {"type": "categorical", "choices": [16, 64, 256]},
        "model.pooling": {"type": "categorical", "choices": ["cls", "mean"]},
    },
    "sampler": "RandomSampler",
    "budget": {"trials": 4},
}


def by_length(configs: Sequence[Config]) -> list[Room]:
    """A card with a MiB for every token up to 100; mean pooling takes half as much again."""
    rooms = []
    for config in configs:
        need = config.model.max_sequence_length * (3 if config.model.pooling == "mean" else 2) * MIB // 2
        rooms.append(Room("fits" if need <= 100 * MIB else "no", need, need, 100 * MIB))
    return rooms


def make_space(directory: Path, **changes: Any) -> Space:
    path = directory / "room.yaml"
    path.write_text(yaml.safe_dump({**SPACE, **changes}, sort_keys=False), encoding="utf-8")
    return load_space(str(path))


def with_search(**dimensions: Any) -> dict[str, Any]:
    return {"search": {**SPACE["search"], **dimensions}}


def lengths(*choices: int) -> dict[str, Any]:
    return with_search(**{LENGTH: {"type": "categorical", "choices": list(choices)}})


def url(directory: Path) -> str:
    return f"sqlite:///{directory / 'room.db'}"


def search_with(
    space: Space, room: SpaceRoom, directory: Path, *, ask: Callable[[Sequence[Config]], list[Room]]
) -> Listener:
    listener = Listener()
    handle = open_study(space, storage_url=url(directory), room=room)
    place = Workplace(
        directory / "room",
        LocalEngine(preload=("tests.search.fakes",)),
        listener,
        make_job=lambda _config, directory, _card: Scripted(directory),
        rooms=RoomBook(space, room, ask=ask),
    )
    search(handle, workplace=place)
    return listener


def test_only_the_values_that_decide_memory_are_combined(tmp_path: Path) -> None:
    found = combinations(make_space(tmp_path))
    assert len(found) == 6
    assert {tuple(values) for values in found} == {(LENGTH, "model.pooling")}


@pytest.mark.parametrize("split", ["train", "val"])
def test_rows_decide_memory_by_the_tokens_that_occur(tmp_path: Path, split: str) -> None:
    files = {"type": "categorical", "choices": ["clean.jsonl", "all.jsonl"]}
    space = make_space(tmp_path, search={f"data.{split}_path": files})
    asked = [getattr(space.trial_config(values).data, f"{split}_path") for values in combinations(space)]
    assert asked == ["clean.jsonl", "all.jsonl"]
    assert len({str(memory_values(values)) for values in combinations(space)}) == 2


def test_of_dropout_only_whether_there_is_any_is_planned(tmp_path: Path) -> None:
    rates = {"type": "categorical", "choices": [0.0, 0.1, 0.2]}
    space = make_space(tmp_path, search={"model.dropout_rate": rates})
    assert len(combinations(space)) == 2


def test_a_dimension_that_does_not_exist_beside_the_others_is_left_out(tmp_path: Path) -> None:
    pooling = {"type": "categorical", "choices": ["cls", "mean"], "when": {LENGTH: 16}}
    space = make_space(tmp_path, **with_search(**{"model.pooling": pooling}))
    found = combinations(space)
    assert len(found) == 4
    assert {LENGTH: 256} in found


def test_of_a_large_space_only_the_extremes_are_planned(tmp_path: Path) -> None:
    many = {"type": "categorical", "choices": list(range(8, 8 + 8 * MOST, 8))}
    space = make_space(tmp_path, **with_search(**{LENGTH: many}))
    assert {values[LENGTH] for values in combinations(space)} == {8, 8 * MOST}


def test_a_choice_that_fits_in_no_combination_is_not_searched(tmp_path: Path) -> None:
    space = make_space(tmp_path)
    room = survey(space, card="small", ask=by_length)
    assert room.trimmed(space) == {LENGTH: [256]}
    lines = room.lines(space)
    assert lines[0].startswith("small has 100 MiB for a trial: 4 of 6 combinations fit")
    assert "not searched: model.max_sequence_length 256; it needs 256 MiB, 156.0 MiB more" in lines[1]


def test_a_choice_that_fits_in_one_combination_stays_and_the_others_are_named(tmp_path: Path) -> None:
    space = make_space(tmp_path, **lengths(16, 80))
    room = survey(space, card="small", ask=by_length)
    assert room.trimmed(space) == {}
    assert (
        "never started: max_sequence_length 80, pooling mean; the least needs 120 MiB" in room.lines(space)[1]
    )


def test_a_number_is_never_trimmed(tmp_path: Path) -> None:
    space = make_space(tmp_path, **with_search(**{LENGTH: {"type": "int", "low": 16, "high": 256}}))
    room = survey(space, card="small", ask=by_length)
    assert room.trimmed(space) == {}
    assert confined(space, room.trimmed(space)).search == space.search


def test_a_space_that_cannot_fit_at_all_is_refused_with_the_shortfall(tmp_path: Path) -> None:
    space = make_space(tmp_path, **lengths(128, 256))
    with pytest.raises(
        UserError, match=r"small cannot hold any.*needs 128 MiB, 28\.0 MiB more than the 100 MiB"
    ):
        survey(space, card="small", ask=by_length)


def test_a_known_good_point_with_a_trimmed_choice_is_not_queued(tmp_path: Path) -> None:
    points = [{LENGTH: 256}, {LENGTH: 64}]
    space = make_space(tmp_path, enqueue=points)
    handle = open_study(space, storage_url=url(tmp_path), room=survey(space, card="small", ask=by_length))
    queued = [trial.system_attrs["fixed_params"] for trial in handle.trials(TrialState.WAITING)]
    assert queued == [{LENGTH: 64}]


def test_what_was_trimmed_stays_trimmed_when_the_study_goes_on_with_a_larger_card(tmp_path: Path) -> None:
    space = make_space(tmp_path)
    made = open_study(space, storage_url=url(tmp_path), room=survey(space, card="small", ask=by_length))
    again = open_study(space, storage_url=url(tmp_path))
    assert made.space.search[LENGTH].choices == again.space.search[LENGTH].choices == [16, 64]
    stored = json.loads(made.study.user_attrs[ATTRIBUTE])
    assert stored["room"]["trimmed"] == {LENGTH: [256]}


def test_a_study_made_without_a_card_keeps_its_choices_when_it_meets_one(tmp_path: Path) -> None:
    space = make_space(tmp_path)
    open_study(space, storage_url=url(tmp_path))
    again = open_study(space, storage_url=url(tmp_path), room=survey(space, card="small", ask=by_length))
    assert again.space.search[LENGTH].choices == [16, 64, 256]


def test_a_grid_of_the_users_own_is_not_trimmed(tmp_path: Path) -> None:
    grid = {"search_space": {LENGTH: [16, 256], "model.pooling": ["cls"], "training.learning_rate": [1e-4]}}
    space = make_space(tmp_path, sampler={"name": "GridSampler", "args": grid})
    assert survey(space, card="small", ask=by_length).trimmed(space) == {}


def test_a_suggestion_that_cannot_fit_is_pruned_unstarted_and_costs_no_budget(tmp_path: Path) -> None:
    numbers = {"type": "int", "low": 16, "high": 112}
    rate = SPACE["search"]["training.learning_rate"]
    points = [{LENGTH: 104}, {LENGTH: 112}]
    space = make_space(tmp_path, search={LENGTH: numbers, "training.learning_rate": rate}, enqueue=points)
    room = survey(space, card="small", ask=by_length)
    listener = search_with(space, room, tmp_path, ask=by_length)
    trials = open_study(space, storage_url=url(tmp_path)).trials()
    unfit = [trial for trial in trials if trial.state == TrialState.PRUNED]
    assert [trial.number for trial in unfit][:2] == [0, 1]
    assert {trial.user_attrs["cause"] for trial in unfit} == {"oom"}
    assert [trial.constraints["memory_gib"] for trial in unfit][:2] == [4 / 1024, 12 / 1024]
    assert not {trial.number for trial in unfit} & {number for number, _ in listener.started}
    assert len(trials) - len(unfit) == 4
    outcome = json.loads((tmp_path / "room" / "trial-0000" / "outcome.json").read_text())
    assert (outcome["status"], outcome["needed_bytes"]) == ("oom", 104 * MIB)


def test_a_search_that_is_offered_nothing_but_what_cannot_fit_ends(tmp_path: Path) -> None:
    only_long = {"type": "int", "low": 200, "high": 256}
    space = make_space(tmp_path, **with_search(**{LENGTH: only_long}))
    room = SpaceRoom("small", (Planned({}, Room("fits", 1, 1, 2)),))
    search_with(space, room, tmp_path, ask=by_length)
    states = [trial.state for trial in open_study(space, storage_url=url(tmp_path)).trials()]
    assert states == [TrialState.PRUNED] * 8


@pytest.mark.slow
@pytest.mark.usefixtures("warm_children")
def test_rooms_are_planned_in_a_child_that_says_how_far_it_is(tmp_path: Path) -> None:
    rows = {f"data.{name}_path": str(write_rows(tmp_path / f"{name}.jsonl", 40)) for name in ("train", "val")}
    settings = {**SPACE["set"], **rows, "data.cache_dir": str(tmp_path / "cache")}
    space = make_space(tmp_path, set=settings, **lengths(16, 512))
    card = parse_card("8MiB", virtual=True)
    ask = Surveyor(LocalEngine(preload=("tests.search.fakes",)), Listener(), card)
    room = survey(space, card="8MiB", ask=ask)
    assert room.trimmed(space) == {LENGTH: [512]}
    assert any(one.room.measures for one in room.planned if one.room.verdict == "fits")


@pytest.mark.slow
@pytest.mark.usefixtures("warm_children")
def test_data_that_cannot_be_used_is_named_by_the_planning_too(tmp_path: Path) -> None:
    space = make_space(tmp_path, set={**SPACE["set"], "data.train_path": "no.jsonl", "data.val_path": "no"})
    ask = Surveyor(LocalEngine(preload=()), Listener(), CardSpec("any", 2**30, virtual=True))
    with pytest.raises(UserError, match=r"no\.jsonl"):
        survey(space, card="any", ask=ask)


def encoder(directory: Path, vocabulary: int) -> Path:
    """A BERT-base by its config.json alone."""
    shape = {"model_type": "bert", "vocab_size": vocabulary}
    directory.mkdir()
    (directory / "config.json").write_text(json.dumps(shape), encoding="utf-8")
    return directory


@pytest.mark.slow
@pytest.mark.usefixtures("warm_children")
def test_the_reference_space_is_planned_whole_within_seconds_and_fits(tmp_path: Path) -> None:
    rows = {f"data.{name}_path": str(write_rows(tmp_path / f"{name}.jsonl", 40)) for name in ("train", "val")}
    settings = {
        **rows,
        "data.test_path": None,
        "model.name": str(encoder(tmp_path / "macbert", 21128)),
        "data.cache_dir": str(tmp_path / "cache"),
    }
    space = load_space("rtx3050", settings=settings)
    ask = Surveyor(LocalEngine(), Listener(), parse_card("4GiB"))
    started = time.monotonic()
    room = survey(space, card="rtx3050 4GiB", ask=ask)
    assert time.monotonic() - started < 60  # 15 s on an idle machine
    assert len(room.planned) == 18
    assert {one.room.verdict for one in room.planned} == {"fits"}


@pytest.mark.slow
def test_a_space_that_cannot_fit_ends_the_command_and_leaves_nothing(
    tmp_path: Path, cp_search: CommandLine
) -> None:
    for name in ("train", "val"):
        write_rows(tmp_path / f"{name}.jsonl", 40)
    settings = {
        **SPACE["set"],
        "data.train_path": "train.jsonl",
        "data.val_path": "val.jsonl",
        "data.cache_dir": "cache",
    }
    make_space(tmp_path, set=settings, card={"memory": "1MiB"})
    result = cp_search("run", "room.yaml", "--rehearse")
    assert result.returncode == 2
    assert "1MiB cannot hold any of this space" in result.stderr.splitlines()[-1]
    assert not [name for name in picture(tmp_path) if name.startswith("studies")]


@pytest.mark.slow
def test_a_rehearsal_needs_a_space_that_names_a_card(tmp_path: Path, cp_search: CommandLine) -> None:
    for name in ("train", "val"):
        write_rows(tmp_path / f"{name}.jsonl", 40)
    make_space(tmp_path, set={**SPACE["set"], "data.train_path": "train.jsonl", "data.val_path": "val.jsonl"})
    result = cp_search("run", "room.yaml", "--rehearse")
    assert result.returncode == 2
    assert "names no card" in result.stderr
