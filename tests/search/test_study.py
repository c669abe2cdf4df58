"""A study is kept to its space; samplers and pruners by name; problems at their place."""

from __future__ import annotations

import json
from pathlib import Path

import optuna
import pytest
from optuna.pruners import MedianPruner
from optuna.samplers import GPSampler, TPESampler
from optuna.trial import TrialState

from search.marks import ATTRIBUTE
from search.methods import build_pruner, build_sampler, derived_seed
from search.objective import suggest
from search.study import open_study
from tests.search.fakes import SPACE, Bench
from trainer import ConfigError, StorageFault, UserError


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_a_study_is_maximized_and_remembers_its_space_in_one_attribute(bench: Bench) -> None:
    handle = bench.open()
    assert handle.created
    assert handle.study.direction == optuna.study.StudyDirection.MAXIMIZE
    assert handle.study.user_attrs.keys() == {ATTRIBUTE}
    stored = json.loads(handle.study.user_attrs[ATTRIBUTE])
    assert stored["definition"] == json.loads(json.dumps(handle.space.definition()))
    assert stored["versions"]["optuna"] == optuna.__version__


def test_optuna_itself_can_load_the_study(bench: Bench) -> None:
    bench.open()
    assert optuna.load_study(study_name="fake", storage=bench.url).trials == []


def test_the_same_space_opens_the_same_study(bench: Bench) -> None:
    bench.open()
    assert not bench.open(SPACE.replace("trials: 4", "trials: 9")).created


def test_another_space_under_the_same_name_is_refused_and_nothing_changes(bench: Bench) -> None:
    handle = bench.open()
    before = (bench.home / "fake.db").read_bytes()
    with pytest.raises(ConfigError) as refused:
        bench.open(SPACE.replace("low: 1.0e-5", "low: 2.0e-5"))
    message = str(refused.value)
    assert "search.training.learning_rate.low was 1e-05 and is 2e-05" in message
    assert "--name" in message
    assert "--fork" in message
    assert message.startswith(f"{bench.home / 'fake.yaml'}:2:")
    assert (bench.home / "fake.db").read_bytes() == before
    assert handle.name == "fake"


def test_a_study_of_another_program_is_left_alone(bench: Bench) -> None:
    study = optuna.create_study(storage=bench.url, study_name="fake")
    study.ask()
    with pytest.raises(ConfigError, match="not made by cp-search"):
        bench.open()
    assert study.user_attrs == {}


def test_a_study_that_was_left_half_made_is_finished_and_no_point_is_queued_twice(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("search.study._MAKING_S", 0.0)  # nobody is making it any more
    points = "enqueue: [{training.learning_rate: 2.0e-5}, {training.learning_rate: 5.0e-5}]\n"
    study = optuna.create_study(storage=bench.url, study_name="fake", direction="maximize")
    study.enqueue_trial({"training.learning_rate": 2e-5})
    waiting = bench.open(SPACE + points).trials(TrialState.WAITING)
    rates = [trial.system_attrs["fixed_params"]["training.learning_rate"] for trial in waiting]
    assert rates == [2e-5, 5e-5]


def test_the_defaults_are_tpe_and_the_median(bench: Bench) -> None:
    space = bench.space()
    assert isinstance(build_sampler(space, number=0), TPESampler)
    assert isinstance(build_pruner(space), MedianPruner)


def test_arguments_reach_the_sampler(bench: Bench) -> None:
    space = bench.space(SPACE + "sampler: {name: GPSampler, args: {n_startup_trials: 3}}\n")
    sampler = build_sampler(space, number=0)
    assert isinstance(sampler, GPSampler)
    assert sampler._n_startup_trials == 3


@pytest.mark.parametrize(
    ("lines", "place", "words"),
    [
        ("sampler: {name: TPESmpler}", "11:17", "did you mean TPESampler"),
        ("sampler: {name: Xyzzy}", "11:17", "Optuna has: BruteForceSampler"),
        ("pruner: {name: MedianPruner, args: {n_startup: 3}}", "11:48", "did you mean n_startup_trials"),
        ("sampler: {name: TPESampler, args: {n_startup_trials: many}}", "11:54", "should be a number"),
        ("sampler: {name: TPESampler, args: {n_startup_trials: 2.5}}", "11:54", "a whole number"),
        ("pruner: {name: MedianPruner, args: {n_startup_trials: -1}}", "11:36", "MedianPruner"),
        ("sampler: {name: CmaEsSampler}", "11:17", "pip install cmaes"),
    ],
)
def test_a_wrong_sampler_or_pruner_is_an_error_at_its_place_and_no_study_is_made(
    bench: Bench, lines: str, place: str, words: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        bench.open(SPACE + lines + "\n")
    assert words in str(refused.value)
    assert str(refused.value).startswith(f"{bench.home / 'fake.yaml'}:{place}: ")
    assert not (bench.home / "fake.db").exists()


def test_every_trial_has_a_seed_of_its_own_that_can_be_had_again() -> None:
    seeds = [derived_seed(42, number) for number in range(100)]
    assert len(set(seeds)) == 100
    assert seeds == [derived_seed(42, number) for number in range(100)]
    assert seeds[1] != derived_seed(43, 1)


def test_a_file_that_is_no_database_is_left_as_it_is(bench: Bench) -> None:
    (bench.home / "fake.db").write_text("my notes")
    with pytest.raises(UserError, match="no SQLite database"):
        bench.open()
    assert (bench.home / "fake.db").read_text() == "my notes"


def test_a_studies_directory_that_cannot_be_made_is_one_line(bench: Bench) -> None:
    (bench.home / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot make .*--studies-dir"):
        open_study(bench.space(), storage_url=f"sqlite:///{bench.home}/file/fake.db")


@pytest.mark.parametrize("url", ["nonsense", "mysqlx://a/b", "postgresql+psycopg9://u:secret@h/b"])
def test_a_storage_url_that_is_none_is_one_line_without_its_password(bench: Bench, url: str) -> None:
    with pytest.raises(UserError) as refused:
        open_study(bench.space(), storage_url=url)
    assert "secret" not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_storage_that_does_not_answer_ends_the_study(bench: Bench) -> None:
    pytest.importorskip("psycopg", reason="needs the PostgreSQL driver")
    with pytest.raises(StorageFault) as failed:
        open_study(bench.space(), storage_url="postgresql+psycopg://u:secret@127.0.0.1:1/b")
    assert "secret" not in str(failed.value)


def test_a_dimension_with_a_condition_is_asked_for_only_where_it_holds(bench: Bench) -> None:
    text = SPACE.replace(
        "search:",
        "search:\n  model.dropout_rate: {type: float, low: 0.0, high: 0.2, when: {model.pooling: mean}}",
    )
    handle = bench.open(text)
    for pooling, keys in (
        ("cls", {"model.pooling", "training.learning_rate"}),
        ("mean", {"model.pooling", "training.learning_rate", "model.dropout_rate"}),
    ):
        handle.study.enqueue_trial({"model.pooling": pooling})
        values = suggest(handle.study.ask(), handle.space)
        assert values.keys() == keys
        assert handle.space.trial_config(values).model.pooling == pooling


def test_whole_numbers_stay_whole_when_a_point_says_them_with_a_dot(bench: Bench) -> None:
    size = "\n  training.effective_batch_size: {type: int, low: 8, high: 64, step: 8}"
    handle = bench.open(SPACE.replace("search:", "search:" + size))
    handle.study.enqueue_trial({"training.effective_batch_size": 16.0})
    values = suggest(handle.study.ask(), handle.space)
    assert type(values["training.effective_batch_size"]) is int
    assert handle.space.trial_config(values).effective_batch_size == 16
