"""Disks that are full, or read-only: told in one line, nothing torn, and the same command goes on afterwards.

Real disks, small ones, that the command itself fills up at a known moment; where nobody may mount one, these
tests say so and are skipped. The last one has the file system's error at the write instead.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from optuna.trial import TrialState

from tests.faults.moments import Ended, Moment, begin, cp_search, scripted_search, wait_for
from tests.faults.small_disk import SmallDisk
from tests.search.cli.test_bad_input import SPACE as GOOD
from tests.search.fakes import SPACE, Bench
from trainer import write_sample

pytestmark = pytest.mark.slow

ONE = SPACE.replace("trials: 4", "trials: 1")
CHECKPOINT = r"trial-0000/checkpoints/\.last"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    small = SmallDisk(tmp_path / "small", size="1m")
    yield small
    small.close()


def search(disk: SmallDisk, *, moment: Moment | None = None) -> Ended:
    command = scripted_search(disk.path, "Scripted", text=ONE)
    return wait_for(begin(disk.inside(*command), home=disk.path.parent, moment=moment))


def filled(disk: SmallDisk, event: str, path: str) -> Moment:
    return Moment(event, path, "disk", filler=str(disk.path / "filler"))


def make_room(disk: SmallDisk) -> None:
    (disk.seen / "filler").write_bytes(b"")


def study_on(disk: SmallDisk) -> Bench:
    """A copy of the study as it is stored now: SQLite follows links to where the disk is not."""
    copy = disk.path.parent / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(disk.seen, copy)
    return Bench(copy)


def said_last(ended: Ended) -> str:
    return ended.err.strip().splitlines()[-1]


def require_whole(bench: Bench) -> None:
    """Nothing torn, nothing half written."""
    for path in bench.directory.rglob("*"):
        assert path.suffix != ".tmp", path
        if path.suffix == ".json":
            json.loads(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("file", ["checkpoints/.last", ".outcome.json", "attempts.jsonl"])
def test_a_disk_that_fills_up_under_a_trial_costs_one_line_and_no_trial(disk: SmallDisk, file: str) -> None:
    full = search(disk, moment=filled(disk, "open", rf"trial-0000/{re.escape(file)}"))
    assert full.code == 1
    assert re.search(r"cannot write .*: (No space left on device|the disk is full)", said_last(full)), (
        full.err
    )
    assert "Traceback" not in full.err
    left = study_on(disk)
    assert [trial.state for trial in left.trials()] == [TrialState.RUNNING]
    make_room(disk)
    again = search(disk)
    assert again.code == 0, again.err
    mended = study_on(disk)
    assert [trial.state for trial in mended.trials()] == [TrialState.COMPLETE]
    assert mended.trials()[0].intermediate_values == {1: 0.5, 2: 0.6}
    require_whole(mended)


def test_a_disk_too_full_for_the_database_is_one_line_and_loses_nothing(disk: SmallDisk) -> None:
    # The outcome is written by then, and the rename takes no room.
    full = search(disk, moment=filled(disk, "os.rename", r"trial-0000/outcome\.json"))
    assert full.code == 1
    assert re.search("cannot write .*(disk is full|No space left)", said_last(full)), full.err
    make_room(disk)
    assert search(disk).code == 0
    mended = study_on(disk)
    assert [trial.value for trial in mended.trials()] == [0.6]
    assert mended.steps(0) == [1, 2]
    require_whole(mended)


#: safetensors writes beside the file and renames: it takes a disk that is really full
_WRITE_WEIGHTS = """
import sys, torch
from pathlib import Path
from safetensors.torch import save_file
from trainer import UserError, disk_errors
try:
    with disk_errors(Path(sys.argv[1])):
        save_file({"weight": torch.zeros(1000, 1000)}, Path(sys.argv[1]) / "model.safetensors")
except UserError as error:
    sys.exit(str(error))
"""


def test_weights_that_do_not_fit_on_the_disk_are_one_line(disk: SmallDisk) -> None:
    command = disk.inside(sys.executable, "-c", _WRITE_WEIGHTS, str(disk.path))
    ended = wait_for(begin(command, home=disk.path.parent))
    wanted = f"cannot write {disk.path}: No space left on device; the same command goes on after that"
    assert ended.err.strip() == wanted


def test_a_studies_directory_that_is_read_only_is_refused_before_anything_starts(disk: SmallDisk) -> None:
    write_sample(disk.path.parent / "data", rows=100, seed=1)
    (disk.path.parent / "space.yaml").write_text(yaml.safe_dump(GOOD, sort_keys=False), encoding="utf-8")
    disk.remount("ro")
    arguments = cp_search("run", "space.yaml", "--studies-dir", str(disk.path))
    ended = wait_for(begin(disk.inside(*arguments), home=disk.path.parent))
    assert ended.code == 2
    assert re.search(f"{disk.path}.*choose another --studies-dir", said_last(ended)), ended.err
    assert list(disk.seen.iterdir()) == []


def test_a_study_on_a_disk_that_became_read_only_is_refused_and_goes_on_later(disk: SmallDisk) -> None:
    text = ONE.replace("trials: 1", "trials: 2")
    assert search(disk).code == 0
    (disk.seen / "fake.yaml").write_text(text, encoding="utf-8")
    disk.remount("ro")
    command = scripted_search(disk.path, "Scripted", text=text)
    refused = wait_for(begin(disk.inside(*command), home=disk.path.parent))
    assert refused.code == 1
    assert re.search("cannot write .*(Read-only file system|readonly database)", said_last(refused)), (
        refused.err
    )
    disk.remount("rw")
    again = wait_for(begin(disk.inside(*command), home=disk.path.parent))
    assert again.code == 0, again.err
    assert [trial.state.name for trial in study_on(disk).open(text).trials()] == ["COMPLETE"] * 2


def test_a_disk_that_becomes_read_only_under_a_trial_is_one_line_and_the_trial_goes_on_later(
    tmp_path: Path,
) -> None:
    bench = Bench(tmp_path)
    command = scripted_search(tmp_path, "Scripted", text=ONE)
    moment = Moment("open", CHECKPOINT, "mount", filler=str(bench.directory))
    ended = wait_for(begin(command, home=tmp_path, moment=moment))
    assert ended.code == 1
    assert re.search(
        "cannot write .*: (Read-only file system|the disk is full or read-only)", said_last(ended)
    ), ended.err
    assert "Traceback" not in ended.err
    assert wait_for(begin(command, home=tmp_path)).code == 0
    assert [trial.value for trial in bench.trials()] == [0.6]
    require_whole(bench)
