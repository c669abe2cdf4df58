"""A run that is killed at any moment, in a checkpoint's writing above all, ends as the same model."""

from __future__ import annotations

import os
import random
import signal
import sys
from multiprocessing import get_context
from pathlib import Path

import pytest
import torch

from tests.trainer.runs import checkpoints_of, make_config, metrics_of, weights_of
from trainer.config.schema import Config

#: what Python reports of a process's dealings with files (PEP 578)
FILE_EVENTS = frozenset(
    {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.listdir", "shutil.rmtree"}
)
LIFETIMES = 30


def train(config: Config, home: Path, fatal: int | None) -> None:
    """Train in `home`; dies of SIGKILL at the file event with the number `fatal`, if it comes to that."""
    count = 0

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal count
        if event in FILE_EVENTS and arguments and str(home) in str(arguments[0]):
            if count == fatal:
                os.kill(os.getpid(), signal.SIGKILL)
            count += 1

    sys.addaudithook(watch)
    torch.set_num_threads(1)
    from trainer.runner import run

    run(config, directory=home)
    (home / "events").write_text(str(count), encoding="utf-8")


def live_once(config: Config, home: Path, fatal: int | None) -> int | None:
    """A whole life of a process that trains; its exit code, negative for a signal."""
    context = get_context("forkserver")
    process = context.Process(target=train, args=(config, home, fatal))
    process.start()
    process.join(120)
    return process.exitcode


@pytest.mark.slow
@pytest.mark.usefixtures("warm_children")
def test_a_run_killed_between_any_two_file_operations_ends_as_the_same_model(tmp_path: Path) -> None:
    config = make_config(
        tmp_path,
        training__num_epochs=2,
        training__evaluations_per_epoch=2,
        callbacks__early_stopping_patience=None,
        callbacks__early_stopping_metric="eval_loss",
        callbacks__early_stopping_mode="min",
        experiment__checkpoint_interval_s=0.0,
    )
    unbroken, home = tmp_path / "unbroken", tmp_path / "broken"
    assert live_once(config, unbroken, None) == 0
    events = int((unbroken / "events").read_text(encoding="utf-8"))
    dice = random.Random(20)
    killed = 0
    for _ in range(LIFETIMES):
        ended = live_once(config, home, dice.randrange(events))
        assert ended in (0, -signal.SIGKILL)
        killed += ended != 0
        if ended == 0 or (killed % 8 == 0 and live_once(config, home, None) == 0):
            assert_same(home, unbroken)
            home = tmp_path / f"broken-{killed}"
    assert killed > LIFETIMES / 2


def assert_same(home: Path, unbroken: Path) -> None:
    left, right = weights_of(home), weights_of(unbroken)
    assert all(torch.equal(left[name], right[name]) for name in right)
    assert metrics_of(home) == metrics_of(unbroken)
    assert checkpoints_of(home) == checkpoints_of(unbroken)
    assert not list(home.glob(".*"))
