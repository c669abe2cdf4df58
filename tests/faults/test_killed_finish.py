"""Death in every part of a finish, through the command line: the same command ends with the same model.

A chain of lives of one study, each ended at another moment; beside it the same study, left alone.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from search.engine.job import Job
from search.engine.local import Child, LocalEngine
from search.finish.evaluate import EvaluateJob
from search.finish.final import Final
from search.finish.finish import finish, finish_once
from search.finish.place import FinishPlace
from search.history import ATTEMPTS, History
from search.lines import read_lines
from search.status import look_at
from tests.faults.moments import KILLED, Ended, Moment, begin, run, wait_for
from tests.search.cli.test_bad_input import SPACE
from tests.search.fakes import SPACE as SCRIPTED
from tests.search.fakes import Bench, Scripted, end_everything
from trainer import Silent, write_sample

pytestmark = pytest.mark.slow

COMMAND = ("run", "space.yaml", "--jobs", "1")
FIRST, SECOND = "confirm/trial-0000-seed-1043", "confirm/trial-0000-seed-1044"

#: where each life ends -> what the next one says of the work that was under way
DEATHS: dict[str, tuple[Moment, str]] = {
    "a confirming run, after a checkpoint": (
        Moment("os.rename", rf"{FIRST}/checkpoints/last$", after=True),
        "Confirming trial 0, seed 1043 | Going on from",
    ),
    "the worker, while a confirming run ends without it": (
        Moment("os.rename", rf"{SECOND}/outcome\.json$", "worker"),
        "Retraining trial 0",
    ),
    "the retraining, after a checkpoint": (
        Moment("os.rename", r"final/experiment/checkpoints/last$", after=True),
        "Retraining | Going on from",
    ),
    "the worker, before it has the rule's record": (
        Moment("os.rename", r"final/rule\.json$", "worker"),
        "Evaluating once",
    ),
    "the evaluation's process, before its outcome": (
        Moment("os.rename", r"parts/evaluation/outcome\.json$"),
        "Evaluating once",
    ),
    "the worker, before it has the evaluation's record": (
        Moment("os.rename", r"final/evaluation\.json$"),
        "Fitting the TF-IDF",
    ),
    "the export, half written": (Moment("open", r"final/\.model\.building/\.README"), "Exporting"),
    "everything, before the last record": (Moment("os.rename", r"final/final\.json$"), "BELOW THE BASELINE"),
}
#: said when a part begins, and never again once it is done -> how often it was killed in between
PARTS = {
    "Confirming the best": 1,  # the second death left nothing to confirm
    "Retraining trial": 1,
    "Fitting the decision rule": 0,
    "Evaluating once": 1,
    "Fitting the TF-IDF": 0,
    "Exporting": 1,
    "Loading the export": 0,
}


def project(home: Path) -> Path:
    """A sample and a space whose runs have two evaluations, and a checkpoint after each."""
    home.mkdir()
    write_sample(home / "data", rows=120, seed=1)
    often = {"training.evaluations_per_epoch": 2, "experiment.checkpoint_interval_s": 0.0}
    finish = {"set": {"training.num_epochs": 1}, "confirm": {"top_k": 1, "seeds": 2}}
    space = {**SPACE, "set": {**SPACE["set"], **often}, "budget": {"trials": 1}, "finish": finish}
    (home / "space.yaml").write_text(yaml.safe_dump(space, sort_keys=False), encoding="utf-8")
    return home


def final_of(home: Path) -> Any:
    """What the finish came to, without how long it took."""
    return untimed(json.loads((home / "studies/good/final/final.json").read_text(encoding="utf-8"))["record"])


def untimed(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: untimed(one) for key, one in value.items() if "seconds" not in key}
    return [untimed(one) for one in value] if isinstance(value, list) else value


def test_whatever_dies_in_a_finish_the_same_command_ends_with_the_same_model(tmp_path: Path) -> None:
    home, unbroken = project(tmp_path / "killed"), project(tmp_path / "unbroken")
    lives: list[Ended] = []
    for name, (moment, _) in DEATHS.items():
        lives.append(run(home, *COMMAND, moment=moment))
        assert lives[-1].code == KILLED, f"{name}: {lives[-1].err}"
    lives.append(run(home, *COMMAND))
    assert (lives[-1].code, run(unbroken, *COMMAND).code) == (0, 0), lives[-1].err

    for (name, (_, words)), life in zip(DEATHS.items(), lives[1:], strict=True):
        assert words in life.err + life.out, f"after {name}: {life.err}"
    said = "".join(life.err for life in lives)
    assert {part: said.count(part) - 1 for part in PARTS} == PARTS
    assert final_of(home) == final_of(unbroken)
    for file in ("model.safetensors", "tokenizer.json", "config.json"):
        model = "studies/good/final/model"
        assert (home / model / file).read_bytes() == (unbroken / model / file).read_bytes()
    assert names(home) == names(unbroken)


def names(home: Path) -> set[str]:
    """Every file of the study but what a run says of itself, and for each of its lives."""
    found = (path.relative_to(home).as_posix() for path in (home / "studies").rglob("*") if path.is_file())
    return {name for name in found if "tensorboard/" not in name and not name.endswith("/run.log")}


@dataclass(frozen=True)
class Deadly:
    """A part of the finish that takes everything along, each time it is begun.

    directory: where it works. died: what is said of it. begins: the line before it. kills: after how many
    deaths it is given up, one retry allowed. confirm: for the space.
    """

    directory: str
    died: str
    begins: str
    kills: int = 3  # once with a checkpoint that is new, then twice in vain
    confirm: str = "off"

    def job(self, home: str) -> Scripted:
        """Of a training in `home`; one that ends leaves weights behind."""
        deadly = home.endswith(self.directory)
        return Scripted(home, after=partial(end_once_begun if deadly else leave_weights, home))


PARTS_THAT_KILL = {
    "confirm": Deadly(
        "confirm/trial-0000-seed-1043",
        "confirming trial 0 on seed 1043: ",
        "Confirming the best on fresh seeds",
        confirm="{top_k: 1, seeds: 2}",
    ),
    "retraining": Deadly(
        "final/experiment", "the retraining in {home} ended as failed: ", "Retraining trial 0"
    ),
    "evaluation": Deadly(
        "final/parts/evaluation", "the part evaluation: ", "Evaluating once on the test rows", kills=2
    ),
}


def end_once_begun(home: str) -> None:
    """Not before the worker has noted that it began, as what takes a machine down does not."""
    while "began" not in (read_lines(Path(home) / ATTEMPTS) or [{}])[-1]:
        time.sleep(0.01)
    end_everything()


def leave_weights(home: str) -> None:
    (Path(home) / "final_model.pt").touch()


class Evaluating(LocalEngine):
    """Where the evaluation takes everything along; a model that a script made has no weights to load."""

    def start(self, job: Job) -> Child:
        """Start it, or what it does here."""
        if isinstance(job, EvaluateJob):
            return super().start(
                Scripted(job.directory, values=(), after=partial(end_once_begun, job.directory))
            )
        return super().start(job)


def live(home: Path, command: str, part: str) -> None:
    """A finish as `run` or `retrain` makes it, of which that part takes everything along."""
    bench, heard, deadly = Bench(home), Heard(), PARTS_THAT_KILL[part]
    text = SCRIPTED.replace("trials: 4", "trials: 1").replace("set:", "set:\n  data.test_path: test.jsonl")
    text += f"finish: {{confirm: {deadly.confirm}, decide: off}}\n"
    if not bench.directory.exists():
        bench.search(Scripted, text=text)
    place = FinishPlace(
        bench.directory,
        Evaluating(preload=("tests.search.fakes",)),
        heard,
        make_job=lambda _config, directory, _seat: deadly.job(directory),
        retries=1,
    )
    final = {"run": finish_once, "retrain": finish}[command](bench.open(text), place)
    assert isinstance(final, Final)
    sys.stdout.write(json.dumps({"status": final.status, "error": final.error, "lines": heard.lines}))


class Heard(Silent):
    """Remembers the lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        """Keep it."""
        self.lines.append(line)


LIVE = """
import sys
from pathlib import Path
from tests.faults.test_killed_finish import live
if __name__ == "__main__":
    live(Path.cwd(), *sys.argv[1:])
"""


@pytest.mark.parametrize("part", PARTS_THAT_KILL)
def test_a_part_that_takes_everything_along_each_time_is_not_begun_again_by_itself(
    part: str, tmp_path: Path
) -> None:
    deadly = PARTS_THAT_KILL[part]

    def ended(command: str) -> Ended:
        return wait_for(begin([sys.executable, "-c", LIVE, command, part], home=tmp_path))

    assert [ended("run").code for _ in range(deadly.kills)] == [KILLED] * deadly.kills
    home = tmp_path / "fake" / deadly.directory
    for again, deaths in ((None, 2), ("retrain", 3)):
        if again is not None:
            assert ended(again).code == KILLED, "it is begun once more"
        refused = ended("run")
        assert refused.code == 0, refused.err
        found = json.loads(refused.out)
        assert found["status"] == "failed"
        died = f"{deadly.died.format(home=home)}its process and its worker died together"
        died += f", {deaths} times in a row without a newer checkpoint"
        assert found["error"].startswith(
            f"{died}. It is not begun again by itself: cp-search retrain fake tries"
        )
        assert History(home).attempts == deadly.kills + deaths - 2
        said = [line for line in found["lines"] if line.startswith(deadly.begins)]
        assert len(said) == (part == "confirm" and deaths == 2), "another seed is trained, once"
        assert not (tmp_path / "fake/confirm/confirmation.json").exists(), "no power cut chooses the model"
        assert look_at("fake", tmp_path, None).given_up == died
