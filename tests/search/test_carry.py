"""A space that changed: what the study goes on with, what is refused, what is carried into a new one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState

from search.catalog import Catalog
from search.change import changes
from search.fork import Descent, fork, warm_start
from search.importing import mark
from search.marks import ATTRIBUTE, CARRIED, RENAMING
from search.storage.url import sqlite_url
from search.study import StudyHandle, open_study
from search.worker import Workplace, search
from tests.cases import quick
from tests.search.fakes import SPACE, Bench, Scripted
from trainer import ConfigError, UserError

WIDER = SPACE.replace("low: 1.0e-5", "low: 1.0e-6")
NARROWER = SPACE.replace("high: 1.0e-3", "high: 1.0e-4")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture
def catalog(bench: Bench) -> Catalog:
    return Catalog(bench.home)


def begin(bench: Bench, descent: Descent, *, card: str | None = None) -> StudyHandle:
    url = f"sqlite:///{bench.home / descent.space.name}.db"
    carry = descent.carry(card=card)
    return open_study(descent.space, storage_url=url, say=bench.listener.say, carry=carry)


def tried(bench: Bench, *rates: float) -> None:
    """The study of `SPACE` with these learning rates measured."""
    points = ", ".join(f"{{training.learning_rate: {rate}, model.pooling: cls}}" for rate in rates)
    text = SPACE.replace("trials: 4", f"trials: {len(rates)}") + f"enqueue: [{points}]\n"
    bench.search(Scripted, text=text)


@pytest.mark.parametrize(
    ("old", "new", "ok"),
    [
        ("low: 1.0e-5", "low: 1.0e-6", True),
        ("high: 1.0e-3", "high: 1.0e-2", True),
        ("max_failures: 3", "max_failures: 3\nsampler: RandomSampler", True),
        ("max_failures: 3", "max_failures: 3\npruner: NopPruner", True),
        ("max_failures: 3", "max_failures: 3\nseed: 7", True),
        ("trials: 4", "trials: 40", True),
        ("low: 1.0e-5", "low: 1.0e-4", False),
        ("log: true", "log: false", False),
        ("[cls, mean]", "[cls, mean, last4]", False),
        ("[cls, mean]", "[mean, cls]", False),
        ("set:", "set:\n  training.num_epochs: 9", False),
    ],
)
def test_a_change_is_harmless_where_no_trial_would_have_been_another(
    bench: Bench, old: str, new: str, ok: bool
) -> None:
    before = json.loads(json.dumps(bench.space().definition()))
    found = changes(before, bench.space(SPACE.replace(old, new)).definition())
    assert bool(found.others) is not ok


def test_a_setting_that_is_newer_than_the_study_changes_nothing_at_its_default(bench: Bench) -> None:
    now = json.loads(json.dumps(bench.space().definition()))
    then = json.loads(json.dumps(now))
    del then["config"]["training"]["trained_layers"]
    assert changes(then, now).others == ()
    now["config"]["training"]["trained_layers"] = 2
    assert changes(then, now).others == ("config.training.trained_layers was null and is 2",)


def test_a_range_on_a_grid_must_stay_on_it() -> None:
    old = {"config": {}, "search": {"a.b": {"type": "int", "low": 4, "high": 12, "step": 4}}}
    on = {"config": {}, "search": {"a.b": {"type": "int", "low": 0, "high": 16, "step": 4}}}
    off = {"config": {}, "search": {"a.b": {"type": "int", "low": 2, "high": 14, "step": 4}}}
    assert not changes(old, on).others
    assert changes(old, off).others


def test_a_study_goes_on_with_a_wider_range_and_says_so(bench: Bench) -> None:
    tried(bench, 2e-5)
    open_study(bench.space(WIDER), storage_url=bench.url, say=bench.listener.say)
    assert bench.listener.lines[-1].endswith("search.training.learning_rate.low was 1e-05 and is 1e-06")
    handle = bench.open(WIDER)
    assert bench.listener.lines[-1].endswith("1e-06"), "said once"
    assert json.loads(handle.study.user_attrs[ATTRIBUTE])["changes"]
    with pytest.raises(ConfigError, match="--fork"):
        bench.open(SPACE)


def test_a_fork_takes_over_what_fits_and_says_what_does_not(bench: Bench, catalog: Catalog) -> None:
    tried(bench, 2e-5, 5e-5, 5e-4)
    handle = begin(bench, fork(bench.space(NARROWER), name=None, catalog=catalog))
    assert handle.name == "fake-2"
    trials = handle.trials()
    assert [trial.params["training.learning_rate"] for trial in trials] == [2e-5, 5e-5]
    assert [trial.user_attrs[CARRIED] for trial in trials] == ["fake trial 0", "fake trial 1"]
    old = bench.trials()[0]
    assert (trials[0].value, trials[0].constraints) == (old.value, old.constraints)
    assert trials[0].intermediate_values == old.intermediate_values
    said = "\n".join(bench.listener.lines)
    assert "2 measured trials are taken over" in said
    assert "1 did not fit: training.learning_rate lies outside 1e-05 to 0.0001" in said


def test_what_is_taken_over_is_added_in_one_batch(
    bench: Bench, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried(bench, 2e-5, 5e-5)
    add, batches = optuna.Study.add_trials, list[int]()

    def note(study: optuna.Study, trials: list[FrozenTrial]) -> None:
        batches.append(len(trials))
        add(study, trials)

    monkeypatch.setattr(optuna.Study, "add_trials", note)
    handle = begin(bench, warm_start(replace(bench.space(), name="other"), "fake", catalog))
    assert batches == [2]
    assert [trial.state for trial in handle.trials()] == [TrialState.COMPLETE] * 2


@pytest.mark.slow
def test_a_fork_that_is_typed_again_is_gone_on_with(bench: Bench, catalog: Catalog) -> None:
    tried(bench, 2e-5)
    for _ in range(2):
        handle = begin(bench, fork(bench.space(NARROWER), name=None, catalog=catalog))
        assert handle.name == "fake-2"
    assert len(handle.trials()) == 1
    other = bench.space(NARROWER.replace("1.0e-4", "1.0e-4, step: null").replace("cls, mean", "mean, cls"))
    assert fork(other, name=None, catalog=catalog).space.name == "fake-3"


def test_a_space_that_did_not_change_needs_no_fork(bench: Bench, catalog: Catalog) -> None:
    tried(bench, 2e-5)
    with pytest.raises(UserError, match="leave out --fork"):
        fork(bench.space(WIDER), name=None, catalog=catalog)


@pytest.mark.slow
def test_what_is_taken_over_costs_nothing_and_is_not_trained_again(bench: Bench, catalog: Catalog) -> None:
    tried(bench, 2e-5, 5e-5)
    point = "enqueue: [{training.learning_rate: 2.0e-5, model.pooling: cls}]\n"
    descent = fork(
        bench.space(NARROWER.replace("trials: 4", "trials: 2") + point), name=None, catalog=catalog
    )
    handle = begin(bench, descent)
    bench.listener.started.clear()
    place = Workplace(
        bench.home / "fake-2",
        bench.engine,
        bench.listener,
        make_job=lambda _config, home, _at: Scripted(home),
    )
    assert search(handle, workplace=place).trials == {"complete": 4}
    assert [number for number, _ in bench.listener.started] == [2, 3]
    assert handle.trials()[2].params["training.learning_rate"] not in (2e-5, 5e-5)


def test_a_new_dimension_is_taken_as_the_old_study_had_it_fixed(bench: Bench, catalog: Catalog) -> None:
    tried(bench, 2e-5)
    text = SPACE.replace(
        "  model.pooling:", "  training.label_smoothing: {type: float, low: 0.0, high: 0.2}\n  model.pooling:"
    )
    handle = begin(bench, fork(bench.space(text), name=None, catalog=catalog))
    assert handle.trials()[0].params["training.label_smoothing"] == 0.0


def test_where_settings_differ_the_best_points_are_queued(bench: Bench, catalog: Catalog) -> None:
    tried(bench, 2e-5, 5e-5, 5e-4)
    space = bench.space(NARROWER.replace("set:", "set:\n  training.num_epochs: 9"))
    handle = begin(bench, warm_start(replace(space, name="other"), "fake", catalog))
    assert [trial.state for trial in handle.trials()] == [TrialState.WAITING] * 3
    points = [trial.system_attrs["fixed_params"] for trial in handle.trials()]
    assert points[0] == {"training.learning_rate": 2e-5, "model.pooling": "cls"}
    assert points[2] == {"model.pooling": "cls"}
    assert "training.num_epochs was 3 and is 9" in "\n".join(bench.listener.lines)


@pytest.mark.slow
def test_a_study_that_was_begun_with_another_goes_on_once_that_is_gone(
    bench: Bench, catalog: Catalog
) -> None:
    tried(bench, 2e-5)
    space = replace(bench.space(), name="next")
    begin(bench, warm_start(space, "fake", catalog))
    (bench.home / "fake.db").rename(bench.home / "gone")
    shutil.rmtree(bench.home / "fake")
    descent = warm_start(space, "fake", catalog)
    assert descent.note == "Study fake is not there any more; study next was begun before and goes on"
    assert [trial.user_attrs[CARRIED] for trial in begin(bench, descent).trials()] == ["fake trial 0"]
    with pytest.raises(UserError, match="no study fake"):
        warm_start(replace(space, name="new"), "fake", catalog)


@pytest.mark.parametrize("name", quick(None, others=["narrow"]))
def test_a_fork_goes_on_once_what_it_was_made_of_is_gone(
    bench: Bench, catalog: Catalog, name: str | None
) -> None:
    tried(bench, 2e-5)
    space = bench.space(NARROWER)
    begin(bench, fork(space, name=name, catalog=catalog))
    (bench.home / "fake.db").rename(bench.home / "gone")
    shutil.rmtree(bench.home / "fake")
    descent = fork(space, name=name, catalog=catalog)
    assert descent.space.name == (name or "fake-2")
    assert descent.note.startswith("Study fake is not there any more; ")
    assert len(begin(bench, descent).trials()) == 1
    with pytest.raises(UserError, match="no study fake"):
        fork(bench.space(SPACE.replace("log: true", "log: false")), name=name, catalog=catalog)


def half_imported(home: Path) -> str:
    """The study `fake` is; what is said of it."""
    mark(optuna.load_study(study_name="fake", storage=sqlite_url(home / "fake.db")), importing=True)
    return "the import of study fake was cut off"


def half_renamed(home: Path) -> str:
    """The study `fake` is; what is said of it."""
    record = {"old": "fake", "to": "real", "storage_url": sqlite_url(home / "fake.db"), "owns_file": True}
    (home / RENAMING).write_text(json.dumps(record))
    return "the renaming of study fake to real was cut off"


def one_of_several(home: Path) -> str:
    """In the file `fake.db`, none of them called so; what is said of that."""
    (home / "fake.db").unlink()
    for name in ("a", "b"):
        optuna.create_study(storage=sqlite_url(home / "fake.db"), study_name=name)
    return "it holds: a, b"


@pytest.mark.slow
@pytest.mark.parametrize("spoilt", [half_imported, half_renamed, one_of_several])
def test_a_study_that_is_there_but_not_to_be_had_is_not_told_as_gone(
    bench: Bench, catalog: Catalog, spoilt: Callable[[Path], str]
) -> None:
    tried(bench, 2e-5)
    following, changed = replace(bench.space(), name="next"), bench.space(NARROWER)
    begin(bench, warm_start(following, "fake", catalog))
    begin(bench, fork(changed, name=None, catalog=catalog))
    said = spoilt(bench.home)
    with pytest.raises(UserError, match=said):
        warm_start(following, "fake", catalog)
    with pytest.raises(UserError, match=said):
        fork(changed, name=None, catalog=catalog)


def test_a_study_does_not_begin_with_itself(bench: Bench, catalog: Catalog) -> None:
    tried(bench, 2e-5)
    with pytest.raises(UserError, match="is the study itself"):
        warm_start(bench.space(), "fake", catalog)
