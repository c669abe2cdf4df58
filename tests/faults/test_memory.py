"""What becomes of a run and of a study when the card is, or becomes, too small.

All through `run`, `search` or the command line, on virtual cards: real tensors, counted.
"""

from __future__ import annotations

import gc
import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from optuna.trial import FrozenTrial, TrialState

from search.engine.inline import InlineEngine
from search.room import RoomBook, Surveyor, survey
from search.space import load_space
from search.study import StudyHandle, open_study
from search.worker import Workplace, search
from tests.conftest import CommandLine
from tests.search.fakes import Listener
from tests.trainer.runs import Watcher, make_config, write_rows
from trainer import CardSpec, Outcome, UserError, show_size
from trainer.loop import Loop
from trainer.memory.virtual import VirtualCard
from trainer.runner import run

MIB = 2**20
#: larger than any rule for small cards looks at
ROOMY = CardSpec("roomy", 2**33, virtual=True)


def leave(trainer: Loop, *, room: int) -> None:
    """Let the card have `room` bytes beside what is alive."""
    card = trainer.parts.card
    assert isinstance(card, VirtualCard)
    card.limit_bytes = card.live_bytes() + room


class DropAtStep3:
    """Another program takes most of the card in the middle of training."""

    def on_step_end(self, trainer: Loop, step: int, **kwargs: Any) -> None:
        if step == 3:
            leave(trainer, room=int(2.3 * MIB))


class DropTwice:
    """And more of it two steps later."""

    def on_step_end(self, trainer: Loop, step: int, **kwargs: Any) -> None:
        if step in (1, 3):
            leave(trainer, room=int((2.3 if step == 1 else 2.1) * MIB))


class DropToNothing:
    """Nothing is left for any step."""

    def on_step_end(self, trainer: Loop, step: int, **kwargs: Any) -> None:
        if step == 2:
            leave(trainer, room=1024)


class DropToSnug:
    """What is left is hardly more than was needed so far."""

    def on_step_end(self, trainer: Loop, step: int, **kwargs: Any) -> None:
        card = trainer.parts.card
        assert isinstance(card, VirtualCard)
        if step == 3:
            card.limit_bytes = int(1.05 * card.peak_bytes())


class DropInEvaluation:
    """Little is left when the evaluation comes."""

    def on_step_end(self, trainer: Loop, step: int, **kwargs: Any) -> None:
        leave(trainer, room=MIB // 2 if step == trainer.steps_per_epoch else 2**32)


class DropAnywhere:
    """At a random step the card is left with a random room; which ones follows from the run's seed."""

    def on_step_end(self, trainer: Loop, step: int, **kwargs: Any) -> None:
        dice = random.Random(trainer.config.experiment.seed)
        if step == dice.randint(1, trainer.total_steps):
            leave(trainer, room=int(2 ** dice.uniform(16, 24)))


def train(directory: Path, callback: type, **settings: Any) -> tuple[Outcome, Watcher]:
    config = make_config(
        directory, training__num_epochs=1, callbacks__custom=[f"{__name__}:{callback.__name__}"], **settings
    )
    watcher = Watcher()
    return run(config, directory=directory / "run", card=ROOMY, observer=watcher), watcher


def halvings(watcher: Watcher) -> list[str]:
    return [line.split("OOM detected, ")[1].split(" (")[0] for line in watcher.lines if "OOM" in line]


@pytest.mark.slow
def test_a_limit_that_drops_in_the_middle_of_training_halves_and_goes_on(tmp_path: Path) -> None:
    outcome, watcher = train(tmp_path, DropAtStep3)
    assert (outcome.status, outcome.steps) == ("completed", 5)
    assert halvings(watcher)[0] == "reducing batch size from 8 to 4"
    assert outcome.oom_events[0]["where"] == "step 4"


@pytest.mark.slow
def test_a_limit_that_drops_twice_halves_twice(tmp_path: Path) -> None:
    outcome, watcher = train(tmp_path, DropTwice)
    assert outcome.status == "completed"
    assert halvings(watcher)[:2] == ["reducing batch size from 8 to 4", "reducing batch size from 4 to 2"]


@pytest.mark.slow
def test_out_of_memory_at_a_single_example_ends_the_run_and_says_by_how_much(tmp_path: Path) -> None:
    outcome, _ = train(tmp_path, DropToNothing, training__batch_size=1, training__effective_batch_size=8)
    assert outcome.status == "oom"
    assert "a single example at step 3" in str(outcome.error)
    assert outcome.needed_bytes is not None
    assert outcome.limit_bytes is not None
    assert outcome.needed_bytes > outcome.limit_bytes


def test_out_of_memory_in_an_evaluation_makes_its_batches_smaller(tmp_path: Path) -> None:
    outcome, _ = train(tmp_path, DropInEvaluation)
    assert outcome.status == "completed"
    assert {event["where"] for event in outcome.oom_events} == {"evaluation 1"}


def test_past_seven_eighths_of_the_card_a_run_warns_once_with_the_sizes(tmp_path: Path) -> None:
    outcome, watcher = train(tmp_path, DropToSnug)
    (line,) = (line for line in watcher.lines if "in use" in line)
    peak, limit = line.removeprefix("Warning: ").removesuffix(" are in use").split(" of the card's ")
    assert limit == show_size(outcome.limit_bytes or 0)
    assert 0.9 < float(peak.split()[0]) / float(limit.split()[0]) < 1


@pytest.mark.slow
def test_a_run_that_made_no_evaluation_names_no_metrics(tmp_path: Path) -> None:
    outcome, _ = train(tmp_path, DropToNothing, training__batch_size=1, training__effective_batch_size=8)
    assert "metrics" not in outcome.paths
    assert all((tmp_path / "run" / path).exists() for path in outcome.paths.values())


def make_study(
    directory: Path, *, name: str = "memory", **settings: Any
) -> tuple[StudyHandle, Mapping[str, Any]]:
    """A small study, opened, and the space file's content."""
    for split, rows in (("train", 40), ("val", 12)):
        if not (directory / f"{split}.jsonl").exists():
            write_rows(directory / f"{split}.jsonl", rows)
    content = {
        "name": name,
        "base": "fast_dev",
        "set": {
            "model.name": "builtin:tiny",
            "model.max_sequence_length": 32,
            "data.train_path": str(directory / "train.jsonl"),
            "data.val_path": str(directory / "val.jsonl"),
            "data.cache_dir": str(directory / "cache"),
            "training.num_epochs": 1,
            "training.batch_size": 8,
            **settings,
        },
        "search": {"training.learning_rate": {"type": "float", "low": 1e-4, "high": 1e-3}},
        "budget": {"trials": 1},
    }
    path = directory / "memory.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return open_study(load_space(str(path)), storage_url=f"sqlite:///{directory / 'memory.db'}"), content


def searched(handle: StudyHandle, directory: Path, card: CardSpec) -> list[FrozenTrial]:
    search(handle, workplace=Workplace(directory / "memory", InlineEngine(), Listener(), card))
    return handle.trials()


def test_a_study_on_a_card_below_the_weights_is_refused_before_it_starts(tmp_path: Path) -> None:
    handle, _ = make_study(tmp_path)
    card = CardSpec("tiny", MIB, virtual=True)
    with pytest.raises(UserError, match=r"tiny cannot hold any of this space.*more than the 1 MiB there are"):
        survey(handle.space, card="tiny", ask=Surveyor(InlineEngine(), Listener(), card))


@pytest.mark.slow
def test_trials_on_a_card_below_the_weights_are_pruned_with_the_gib_they_are_over(tmp_path: Path) -> None:
    handle, _ = make_study(tmp_path)
    for trial in searched(handle, tmp_path, CardSpec("tiny", MIB, virtual=True)):
        assert (trial.state, trial.user_attrs["cause"]) == (TrialState.PRUNED, "oom")
        assert 0 < trial.constraints["memory_gib"] < 0.01


@pytest.mark.slow
def test_the_less_a_card_holds_the_more_a_trial_violates(tmp_path: Path) -> None:
    over = []
    for size in (1, 2):
        home = tmp_path / str(size)
        home.mkdir()
        handle, _ = make_study(home)
        over.append(searched(handle, home, CardSpec("tiny", size * MIB, virtual=True))[0])
    one, two = (trial.constraints["memory_gib"] for trial in over)
    assert one == pytest.approx(two + 1 / 1024)


@pytest.mark.slow
def test_a_trial_that_loses_its_card_in_the_middle_is_pruned_not_failed(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"callbacks.custom": [f"{__name__}:DropToNothing"]}
    handle, _ = make_study(tmp_path, **settings)
    for trial in searched(handle, tmp_path, ROOMY):
        assert (trial.state, trial.user_attrs["cause"]) == (TrialState.PRUNED, "oom")
        assert trial.constraints["memory_gib"] > 0
        assert trial.user_attrs["peak_gib"] > 0


@pytest.mark.slow
def test_train_on_a_card_below_the_weights_exits_2_and_names_the_shortfall(
    tmp_path: Path, cp_search: CommandLine
) -> None:
    for name in ("train", "val"):
        write_rows(tmp_path / f"{name}.jsonl", 40)
    paths = ["--set", "data.train_path=train.jsonl", "--set", "data.val_path=val.jsonl"]
    common = ["train", "--template", "fast_dev", "--model-name", "builtin:tiny", *paths, "--card", "1MiB"]
    rehearsed = cp_search(*common, "--rehearse")
    assert rehearsed.returncode == 2
    assert "MiB more than the 1 MiB there are" in rehearsed.stdout
    planned = cp_search(*common, "--set", "experiment.output_dir=elsewhere")
    assert planned.returncode == 2
    assert planned.stdout == ""
    assert "MiB more than the 1 MiB there are" in planned.stderr
    assert not (tmp_path / "elsewhere").exists()


@pytest.fixture
def short_collections() -> Iterator[None]:
    """What is alive already is not looked at again by every collection that recovery asks for."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.usefixtures("short_collections", "steps_traced_once")
def test_two_hundred_trials_under_random_limits_and_losses_never_fail_for_memory(tmp_path: Path) -> None:
    ends = [one_trial(tmp_path, number) for number in range(200)]
    assert {end.state for end in ends} == {TrialState.COMPLETE, TrialState.PRUNED}
    lost = [end for end in ends if end.constraints["memory_gib"] > 0]
    assert lost == [end for end in ends if end.user_attrs.get("cause") == "oom"]
    assert lost == [end for end in ends if end.state == TrialState.PRUNED]
    assert len(lost) > 50
    assert len({end.constraints["memory_gib"] for end in lost}) > len(lost) / 2
    saved = [end for end in ends if end.state == TrialState.COMPLETE and "oom_events" in end.user_attrs]
    assert len(saved) > 10


def one_trial(directory: Path, number: int) -> FrozenTrial:
    """The only trial of a study of its own, on a random card, much of which it loses at a random step."""
    dice = random.Random(number)
    card = CardSpec("random", int(2 ** dice.uniform(20.5, 24.5)), virtual=True)
    settings: dict[str, Any] = {
        "callbacks.custom": [f"{__name__}:DropAnywhere"],
        "experiment.seed": number,
        "training.auto_batch_size": dice.random() < 0.3,
        "model.max_sequence_length": dice.choice([8, 32]),
    }
    handle, _ = make_study(directory, name=f"study-{number}", **settings)
    room = survey_or_none(handle, card)
    rooms = RoomBook(handle.space, room, ask=Surveyor(InlineEngine(), Listener(), card)) if room else None
    place = Workplace(directory / handle.space.name, InlineEngine(), Listener(), card, rooms=rooms)
    if search(handle, workplace=place).interrupted:  # a search takes Ctrl-C and SIGTERM for itself alone
        raise KeyboardInterrupt
    (trial,) = handle.trials()
    return trial


def survey_or_none(handle: StudyHandle, card: CardSpec) -> Any:
    try:
        return survey(handle.space, card=card.name, ask=Surveyor(InlineEngine(), Listener(), card))
    except UserError:
        return None
