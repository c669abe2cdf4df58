"""Going on after an interruption or a crash: the same model, bit for bit, as without."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.cases import quick
from tests.conftest import picture
from tests.trainer.runs import Watcher, checkpoints_of, make_config, metrics_of, weights_of
from trainer.checkpoint import Progress, load_progress, load_weights, resumable_in, save_checkpoint
from trainer.config.schema import Config
from trainer.errors import ConfigError, UserError
from trainer.outcome import Outcome
from trainer.runner import run

#: optimizer steps in one epoch of `make_config`'s rows
EPOCH = 5


class Crash(BaseException):
    """A process that ends at once, as far as the code in it can tell."""


def crash_after(steps: int) -> Watcher:
    def each(done: int) -> None:
        if done == steps:
            raise Crash

    return Watcher(each=each)


def resumable(directory: Path) -> Config:
    return make_config(
        directory,
        training__num_epochs=3,
        training__evaluations_per_epoch=2,
        callbacks__early_stopping_metric="eval_loss",
        callbacks__early_stopping_mode="min",
        callbacks__early_stopping_patience=None,
        callbacks__save_top_k=2,
        experiment__checkpoint_interval_s=0.0,
    )


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return resumable(tmp_path)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> tuple[Outcome, Path]:
    """The run of `config` that nothing disturbs; look at it only."""
    home = tmp_path_factory.mktemp("whole")
    return run(resumable(home), directory=home / "unbroken"), home / "unbroken"


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a last and a previous checkpoint; copy it before using it."""
    home = tmp_path_factory.mktemp("interrupted")
    run(resumable(home), directory=home / "run", observer=Watcher(stop_at=EPOCH + 2))
    return home / "run"


def assert_same(broken: tuple[Outcome, Path], unbroken: tuple[Outcome, Path]) -> None:
    left, right = weights_of(broken[1]), weights_of(unbroken[1])
    assert all(torch.equal(left[name], right[name]) for name in right)
    assert metrics_of(broken[1]) == metrics_of(unbroken[1])
    assert checkpoints_of(broken[1]) == checkpoints_of(unbroken[1])
    for name in ("best_step", "best_metrics", "steps", "status"):
        assert getattr(broken[0], name) == getattr(unbroken[0], name)


@pytest.mark.parametrize("steps", quick(EPOCH + 3, others=[2, EPOCH, 3 * EPOCH - 1]))
def test_an_interrupted_run_goes_on_to_the_same_model(
    tmp_path: Path, config: Config, unbroken: tuple[Outcome, Path], steps: int
) -> None:
    home = tmp_path / "broken"
    first = run(config, directory=home, observer=Watcher(stop_at=steps))
    assert (first.status, first.steps) == ("interrupted", steps)
    watcher = Watcher()
    second = run(config, directory=home, observer=watcher)
    assert f"Going on from {home / 'checkpoints' / 'last'} at step {steps}" in watcher.lines
    assert_same((second, home), unbroken)


@pytest.mark.parametrize("steps", quick(2 * EPOCH + 1, others=[EPOCH - 1, EPOCH]))
def test_a_crashed_run_goes_on_from_its_last_checkpoint_to_the_same_model(
    tmp_path: Path, config: Config, unbroken: tuple[Outcome, Path], steps: int
) -> None:
    home = tmp_path / "broken"
    with pytest.raises(Crash):
        run(config, directory=home, observer=crash_after(steps))
    assert_same((run(config, directory=home), home), unbroken)


def test_a_crash_between_two_resumable_checkpoints_loses_no_best_checkpoint(
    tmp_path: Path, config: Config
) -> None:
    """The best checkpoint was replaced after the last resumable one was written, which still names it."""
    rare = config.model_copy(
        update={
            "experiment": config.experiment.model_copy(update={"checkpoint_interval_s": 1e9}),
            # It falls at every evaluation: each one is better than the last and takes its place.
            "callbacks": config.callbacks.model_copy(
                update={"save_top_k": 1, "early_stopping_metric": "learning_rate"}
            ),
        }
    )
    unbroken = run(rare, directory=tmp_path / "unbroken"), tmp_path / "unbroken"
    home = tmp_path / "broken"
    run(rare, directory=home, observer=Watcher(stop_at=EPOCH))
    with pytest.raises(Crash):
        run(rare, directory=home, observer=crash_after(3 * EPOCH - 1))
    assert set(load_progress(home / "checkpoints" / "last").kept) <= checkpoints_of(home)
    assert_same((run(rare, directory=home), home), unbroken)


def test_a_machine_with_other_arithmetic_is_named(
    tmp_path: Path, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = config.training.model_copy(update={"fp16": True})
    config = config.model_copy(update={"training": training})
    home, said = tmp_path / "moved", []
    for units, steps in ((True, 2), (True, 4), (False, 6), (False, 8)):
        monkeypatch.setattr("trainer.step.multiplies_bf16", lambda units=units: units)
        watcher = Watcher(stop_at=steps)
        run(config, directory=home, observer=watcher)
        said.append([line for line in watcher.lines if "computed in" in line])
    log = (home / "run.log").read_text(encoding="utf-8")
    assert log.count("WARNING until here it computed in bf16") == 1
    changed = (
        "Warning: until here it computed in bf16, and on this machine it computes in fp32: "
        "digits are not those of a run on one machine"
    )
    assert said == [[], [], [changed], []]


def test_two_interruptions_are_as_good_as_one(
    tmp_path: Path, config: Config, unbroken: tuple[Outcome, Path]
) -> None:
    home = tmp_path / "broken"
    for steps in (3, 7):
        run(config, directory=home, observer=Watcher(stop_at=steps))
    assert_same((run(config, directory=home), home), unbroken)


def test_adafactor_is_continued(tmp_path: Path, config: Config) -> None:
    factored = config.optimization.model_copy(update={"optimizer": "Adafactor"})
    other = config.model_copy(update={"optimization": factored})
    unbroken = run(other, directory=tmp_path / "unbroken"), tmp_path / "unbroken"
    home = tmp_path / "broken"
    run(other, directory=home, observer=Watcher(stop_at=EPOCH + 3))
    assert_same((run(other, directory=home), home), unbroken)


def test_patience_is_continued(tmp_path: Path, config: Config) -> None:
    callbacks = config.callbacks.model_copy(
        update={"early_stopping_mode": "max", "early_stopping_patience": 3}
    )
    patient = config.model_copy(update={"callbacks": callbacks})
    unbroken = run(patient, directory=tmp_path / "unbroken")
    assert unbroken.steps < 3 * EPOCH
    home = tmp_path / "broken"
    run(patient, directory=home, observer=Watcher(stop_at=EPOCH + 1))
    assert_same((run(patient, directory=home), home), (unbroken, tmp_path / "unbroken"))


@pytest.mark.parametrize("name", quick("", others=["checkpoints/last"]))
def test_a_run_goes_on_in_another_directory(
    tmp_path: Path, config: Config, unbroken: tuple[Outcome, Path], name: str
) -> None:
    begun = tmp_path / "begun"
    run(config, directory=begun, observer=Watcher(stop_at=EPOCH + 3))
    before = picture(begun)
    experiment = config.experiment.model_copy(update={"resume_from_checkpoint": str(begun / name)})
    going_on = config.model_copy(update={"experiment": experiment})
    home = tmp_path / "elsewhere"
    # Interrupted again there: its own checkpoint is the newer one.
    run(going_on, directory=home, observer=Watcher(stop_at=EPOCH + 4))
    watcher = Watcher()
    outcome = run(going_on, directory=home, observer=watcher)
    assert any(str(home / "checkpoints" / "last") in line for line in watcher.lines)
    assert_same((outcome, home), unbroken)
    assert picture(begun) == before


def test_another_configuration_is_refused_naming_the_keys_and_changes_nothing(
    tmp_path: Path, config: Config
) -> None:
    home = tmp_path / "run"
    run(config, directory=home, observer=Watcher(stop_at=3))
    before = picture(home)
    training = config.training.model_copy(update={"learning_rate": 0.5, "num_epochs": 9})
    with pytest.raises(ConfigError) as caught:
        run(config.model_copy(update={"training": training}), directory=home)
    assert "training.learning_rate (was 0.001, is 0.5), training.num_epochs (was 3, is 9)." in str(
        caught.value
    )
    assert "The learning rate follows from the length of the whole run" in str(caught.value)
    assert "Put these back, or start a new run" in str(caught.value)
    assert picture(home) == before


def with_settings(config: Config, **sections: dict[str, object]) -> Config:
    return config.model_copy(
        update={name: getattr(config, name).model_copy(update=keys) for name, keys in sections.items()}
    )


def test_what_no_checkpoint_depends_on_may_change_and_is_said(tmp_path: Path, config: Config) -> None:
    home = tmp_path / "run"
    run(config, directory=home, observer=Watcher(stop_at=EPOCH + 1))
    changed = with_settings(
        config,
        callbacks={"early_stopping_patience": 2, "save_top_k": 1},
        optimization={"max_grad_norm": 2.0},
    )
    watcher = Watcher()
    assert run(changed, directory=home, observer=watcher).status == "completed"
    assert watcher.lines[:3] == [
        "From step 7 on: callbacks.early_stopping_patience (was null, is 2)",
        "From step 7 on: callbacks.save_top_k (was 2, is 1)",
        "From step 7 on: optimization.max_grad_norm (was 1.0, is 2.0)",
    ]
    assert len(checkpoints_of(home)) == 1


@pytest.mark.slow
def test_a_constant_rate_goes_on_to_more_epochs_as_if_they_had_been_asked_for_at_once(
    tmp_path: Path, config: Config
) -> None:
    longer = with_settings(
        config, training={"lr_scheduler": "constant", "warmup_ratio": 0.0, "num_epochs": 4}
    )
    unbroken = run(longer, directory=tmp_path / "unbroken"), tmp_path / "unbroken"
    home = tmp_path / "broken"
    run(
        with_settings(longer, training={"num_epochs": 3}), directory=home, observer=Watcher(stop_at=EPOCH + 2)
    )
    assert_same((run(longer, directory=home), home), unbroken)


def test_a_run_is_not_made_shorter_than_what_is_done(tmp_path: Path, config: Config) -> None:
    constant = with_settings(config, training={"lr_scheduler": "constant", "warmup_ratio": 0.0})
    home = tmp_path / "run"
    run(constant, directory=home, observer=Watcher(stop_at=EPOCH + 2))
    with pytest.raises(ConfigError, match=r"training\.num_epochs \(was 3, is 1\)"):
        run(with_settings(constant, training={"num_epochs": 1}), directory=home)


def test_other_data_is_refused(tmp_path: Path, config: Config) -> None:
    home = tmp_path / "run"
    run(config, directory=home, observer=Watcher(stop_at=3))
    train = Path(str(config.data.train_path))
    train.write_text(train.read_text(encoding="utf-8").replace("的", "得"), encoding="utf-8")
    with pytest.raises(ConfigError, match="the train data"):
        run(config, directory=home)


def test_what_changes_no_result_may_change(tmp_path: Path, config: Config) -> None:
    home = tmp_path / "run"
    run(config, directory=home, observer=Watcher(stop_at=3))
    experiment = config.experiment.model_copy(update={"log_level": "DEBUG", "name": "renamed"})
    outcome = run(config.model_copy(update={"experiment": experiment}), directory=home)
    assert (outcome.status, outcome.steps) == ("completed", 3 * EPOCH)


def test_weights_alone_cannot_be_resumed(
    tmp_path: Path, config: Config, unbroken: tuple[Outcome, Path]
) -> None:
    best = next((unbroken[1] / "checkpoints").glob("best-*"))
    experiment = config.experiment.model_copy(update={"resume_from_checkpoint": str(best)})
    with pytest.raises(UserError, match="holds weights only"):
        run(config.model_copy(update={"experiment": experiment}), directory=tmp_path / "run")


def test_a_checkpoint_without_the_best_ones_beside_it_is_refused(tmp_path: Path, config: Config) -> None:
    run(config, directory=tmp_path / "begun", observer=Watcher(stop_at=EPOCH + 3))
    shutil.copytree(tmp_path / "begun" / "checkpoints" / "last", tmp_path / "alone" / "last")
    experiment = config.experiment.model_copy(update={"resume_from_checkpoint": str(tmp_path / "alone/last")})
    with pytest.raises(UserError, match=r"the best checkpoints best-\d+.* belong beside it"):
        run(config.model_copy(update={"experiment": experiment}), directory=tmp_path / "run")


def between_the_two_moves(checkpoints: Path) -> None:
    shutil.rmtree(checkpoints / "previous")
    (checkpoints / "last").rename(checkpoints / "previous")
    shutil.copytree(checkpoints / "previous", checkpoints / ".last.4711.tmp")


def before_the_moves(checkpoints: Path) -> None:
    building = checkpoints / ".last.4711.tmp"
    building.mkdir()
    (building / "model.safetensors").write_bytes(b"half")


def before_the_old_one_was_dropped(checkpoints: Path) -> None:
    (checkpoints / ".previous.4711.dropped.tmp").mkdir()
    (checkpoints / ".previous.4711.dropped.tmp" / "progress.json").write_text("{}", encoding="utf-8")


@pytest.mark.parametrize(
    "tear",
    quick(between_the_two_moves, others=[before_the_moves, before_the_old_one_was_dropped]),
    ids=lambda f: f.__name__,
)
def test_a_torn_checkpoint_directory_is_resumed_and_cleaned(
    tmp_path: Path, config: Config, unbroken: tuple[Outcome, Path], tear: Callable[[Path], None]
) -> None:
    home = tmp_path / "broken"
    run(config, directory=home, observer=Watcher(stop_at=EPOCH + 3))
    tear(home / "checkpoints")
    assert_same((run(config, directory=home), home), unbroken)


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_a_damaged_checkpoint_is_passed_over_for_the_previous_one_with_a_word(
    tmp_path: Path, config: Config, interrupted: Path
) -> None:
    home = tmp_path / "broken"
    shutil.copytree(interrupted, home)
    last = home / "checkpoints" / "last"
    flipped(last / "model.safetensors")
    watcher = Watcher(stop_at=0)
    run(config, directory=home, observer=watcher)
    assert watcher.lines[:2] == [
        f"Warning: {last} cannot be resumed: model.safetensors is not what was written",
        f"Going on from {home / 'checkpoints' / 'previous'} at step {EPOCH}",
    ]


def test_the_model_from_the_previous_checkpoint_is_the_same(
    tmp_path: Path, config: Config, unbroken: tuple[Outcome, Path]
) -> None:
    home = tmp_path / "broken"
    run(config, directory=home, observer=Watcher(stop_at=EPOCH + 3))
    flipped(home / "checkpoints" / "last" / "state.pt")
    # Once more interrupted: the checkpoint that takes the damaged one's place is whole.
    run(config, directory=home, observer=Watcher(stop_at=EPOCH + 4))
    assert_same((run(config, directory=home), home), unbroken)


def test_a_damaged_best_checkpoint_counts_as_damage(
    tmp_path: Path, config: Config, interrupted: Path
) -> None:
    home = tmp_path / "run"
    shutil.copytree(interrupted, home)
    last = home / "checkpoints" / "last"
    best = next(iter(load_progress(last).kept))
    flipped(home / "checkpoints" / best / "model.safetensors")
    watcher = Watcher(stop_at=0)
    run(config, directory=home, observer=watcher)
    assert f"of {best} beside it model.safetensors is not what was written" in watcher.lines[0]


def test_a_run_whose_checkpoints_are_all_damaged_begins_anew(
    tmp_path: Path, config: Config, interrupted: Path, unbroken: tuple[Outcome, Path]
) -> None:
    home = tmp_path / "run"
    shutil.copytree(interrupted, home)
    for name in ("last", "previous"):
        flipped(home / "checkpoints" / name / "state.pt")
    watcher = Watcher()
    outcome = run(config, directory=home, observer=watcher)
    assert watcher.lines[1].endswith(
        "previous cannot be resumed: state.pt is not what was written; starting from the beginning"
    )
    assert_same((outcome, home), unbroken)


def test_a_checkpoint_asked_for_by_name_that_is_damaged_is_refused(
    tmp_path: Path, config: Config, interrupted: Path
) -> None:
    shutil.copytree(interrupted, tmp_path / "begun")
    for name in ("last", "previous"):
        flipped(tmp_path / "begun" / "checkpoints" / name / "state.pt")
    asked = with_settings(config, experiment={"resume_from_checkpoint": str(tmp_path / "begun")})
    with pytest.raises(UserError, match=r"state\.pt is not what was written\. Start"):
        run(asked, directory=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("", "is complete, there is nothing to go on with; to train longer, start a new run"),
        ("checkpoints/last", "is complete"),
        ("final_model.pt", "is complete"),
        ("../nothing", "there is no checkpoint in"),
        ("../rows/val.jsonl", "is a file; a run goes on from its directory"),
    ],
)
def test_what_is_no_checkpoint_is_said_with_what_to_name(
    tmp_path: Path, config: Config, unbroken: tuple[Outcome, Path], name: str, words: str
) -> None:
    asked = with_settings(config, experiment={"resume_from_checkpoint": str(unbroken[1] / name)})
    with pytest.raises(UserError, match=re.escape(words)):
        run(asked, directory=tmp_path / "run")


def test_writing_a_checkpoint_never_leaves_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The moves of a third checkpoint are cut short at each point."""
    model = nn.Linear(2, 2)
    replace = Path.replace
    for allowed in range(4):
        home = tmp_path / str(allowed)
        for step in (1, 2):
            save_checkpoint(home / "last", model=model, progress=Progress(step=step), state={})
        moves = 0

        def crash(self: Path, target: Path) -> Path:
            nonlocal moves
            if self.is_dir():
                moves += 1
                if moves > allowed:  # noqa: B023  # the loop waits for it
                    raise Crash
            return replace(self, target)

        with monkeypatch.context() as patched:
            patched.setattr(Path, "replace", crash)
            if allowed < 3:
                with pytest.raises(Crash):
                    save_checkpoint(home / "last", model=model, progress=Progress(step=3), state={})
            else:
                save_checkpoint(home / "last", model=model, progress=Progress(step=3), state={})
        steps = [load_progress(path).step for path in resumable_in(home)]
        assert steps == {0: [2, 1], 1: [2], 2: [2], 3: [3, 2]}[allowed]


def test_what_an_earlier_crash_left_is_dropped_by_a_new_run(tmp_path: Path, config: Config) -> None:
    stray = tmp_path / "run" / "checkpoints" / "best-077"
    stray.mkdir(parents=True)
    run(config, directory=tmp_path / "run")
    assert not stray.exists()


def test_a_checkpoint_gives_back_weights_and_progress(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, other = nn.Linear(3, 2), nn.Linear(3, 2)
    progress = Progress(step=7, kept={"best-002": 0.25}, loss_sum=0.1 + 0.2, best_value=1 / 3)
    save_checkpoint(tmp_path / "last", model=model, progress=progress, state=None)
    load_weights(tmp_path / "last", model=other)
    assert torch.equal(model.weight, other.weight)
    assert load_progress(tmp_path / "last") == progress
    assert {path.name for path in tmp_path.iterdir()} == {"last"}


def test_a_checkpoint_is_on_the_disk_before_it_has_its_name_and_its_name_before_the_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    last, unnamed, named = tmp_path / "last", set[int](), set[int]()

    def note(descriptor: int) -> None:
        (named if last.exists() else unnamed).add(os.fstat(descriptor).st_ino)

    monkeypatch.setattr(os, "fsync", note)
    save_checkpoint(last, model=nn.Linear(1, 1), progress=Progress(), state={})
    files = {path.stat().st_ino for path in last.iterdir()}
    assert len(files) == 4, "weights, state, progress, checksums"
    assert files <= unnamed
    assert named == {tmp_path.stat().st_ino}
