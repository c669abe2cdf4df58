"""From the best trials to an exported model, and going on with it."""

from __future__ import annotations

import json
import shutil
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from filelock import FileLock

from search.engine.base import Call, run_calls
from search.engine.job import Job
from search.engine.local import Child, LocalEngine
from search.finish import lives
from search.finish.final import Final
from search.finish.finish import finish
from search.finish.finished import note_given_up
from search.finish.lives import Life
from search.finish.place import FINISH_LOCK, FinishPlace, Part, PartFailed, made
from search.finish.stored import read_stored
from search.finish.words import closing_lines, verdict
from search.history import History
from search.lines import read_lines
from search.space import load_space
from search.study import StudyHandle, open_study
from tests.search.fakes import SPACE as SCRIPTED
from tests.search.fakes import Bench, Scripted, end_by_signal
from trainer import CardSpec, Observer, Report, Silent, write_sample, write_text

SPACE = """
name: small
base: fast_dev
set:
  model.name: builtin:tiny
  model.max_sequence_length: 16
  data.train_path: {sample}/train.jsonl
  data.val_path: {sample}/val.jsonl
  data.test_path: {sample}/test.jsonl
  data.cache_dir: {home}/cache
  training.num_epochs: 1
search:
  training.learning_rate: {{type: float, low: 1.0e-3, high: 1.0e-2}}
budget: {{trials: 2}}
finish:
  template: fast_dev
  set: {{training.num_epochs: 1}}
  {finish}
"""


class Watcher(Silent):
    """Remembers the lines; asks to end once one of them holds `stop_at`."""

    def __init__(self, stop_at: str | None = None) -> None:
        self.lines: list[str] = []
        self._stop_at = stop_at
        self._stopped = False

    def say(self, line: str) -> None:
        """Keep it."""
        self.lines.append(line)
        self._stopped = self._stopped or (self._stop_at is not None and self._stop_at in line)

    def interrupted(self) -> bool:
        """After the line."""
        return self._stopped


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("sample")
    write_sample(directory, rows=120, seed=1)
    return directory


def study(home: Path, sample: Path, *, finish: str = "confirm: off") -> StudyHandle:
    """A study of two trials that are told without being run: 0.6 and 0.7."""
    path = home / "small.yaml"
    write_text(path, SPACE.format(sample=sample, home=home, finish=finish))
    handle = open_study(load_space(str(path)), storage_url=f"sqlite:///{home / 'small.db'}")
    for rate, value in ((2e-3, 0.6), (4e-3, 0.7)):
        handle.study.enqueue_trial({"training.learning_rate": rate})
        trial = handle.study.ask()
        trial.suggest_float("training.learning_rate", 1e-3, 1e-2)
        trial.report(value, 1)
        handle.study.tell(trial, value)
    return handle


def place(home: Path, watcher: Watcher | None = None, **changes: Any) -> FinishPlace:
    return replace(FinishPlace(home / "small", LocalEngine(), watcher or Watcher()), **changes)


def done(home: Path, handle: StudyHandle, **changes: Any) -> Final:
    final = finish(handle, place(home, **changes))
    assert final is not None
    return final


class Remembering(LocalEngine):
    """Remembers on which card each job was to compute."""

    def __init__(self) -> None:
        super().__init__()
        self.cards: dict[str, object] = {}

    def start(self, job: Job) -> Child:
        """Note it, and start it."""
        self.cards[type(job).__name__] = getattr(job, "card", None)
        return super().start(job)


@pytest.mark.slow
@pytest.mark.usefixtures("warm_children")
def test_a_finish_leaves_a_model_its_scores_and_the_baselines(tmp_path: Path, sample: Path) -> None:
    handle = study(tmp_path, sample)
    watcher, engine = Watcher(), Remembering()
    note_given_up(tmp_path / "small", "confirming", directory=tmp_path / "small" / "confirm")
    card = CardSpec("roomy", 2**33, virtual=True)
    final = done(tmp_path, handle, observer=watcher, engine=engine, card=card)
    on_card = {"TrainJob", "RuleJob", "EvaluateJob", "ExportJob", "ReloadJob"}
    assert {name for name, one in engine.cards.items() if one == card} == on_card
    assert final.status == "completed", final.error
    assert (Path(str(final.model_dir)) / "model.safetensors").is_file()
    assert final.trial == 1
    assert final.evaluation is not None
    assert final.comparison is not None
    assert final.test_f1_macro == final.evaluation.f1_macro.value
    assert len(final.evaluation.tasks) == len(final.comparison.assessment.tasks) == 4
    assert final.export is not None
    assert final.export.reloaded_f1_macro == pytest.approx(final.test_f1_macro)
    assert final.notes == ["not confirmed over seeds: the search's best value is partly luck"]
    stored = read_stored(tmp_path / "small")
    assert stored.final == final
    assert not (tmp_path / "small" / "final" / "given-up.json").exists(), "a model was made"
    assert stored.evaluation == final.evaluation
    facts = json.loads((Path(str(final.model_dir)) / "cp_search.json").read_text(encoding="utf-8"))
    assert facts["data"].keys() == {"train", "val", "test"}
    again = done(tmp_path, handle)
    assert again == final
    assert sum("Evaluating once" in line for line in watcher.lines) == 1


@pytest.mark.slow
@pytest.mark.usefixtures("warm_children")
def test_what_is_done_is_not_done_again_after_a_stop(tmp_path: Path, sample: Path) -> None:
    handle = study(tmp_path, sample, finish="confirm: {top_k: 2, seeds: 2}")
    stopped = done(tmp_path, handle, observer=Watcher("Retraining trial"))
    assert stopped.status == "interrupted"
    runs = sorted((tmp_path / "small" / "confirm").glob("trial-*/outcome.json"))
    assert len(runs) == 4
    made = [path.stat().st_mtime_ns for path in runs]
    watcher = Watcher()
    final = done(tmp_path, handle, observer=watcher)
    assert final.status == "completed", final.error
    assert [path.stat().st_mtime_ns for path in runs] == made
    assert not any("Confirming trial" in line for line in watcher.lines)
    shutil.rmtree(str(final.model_dir))
    watcher = Watcher()
    assert done(tmp_path, handle, observer=watcher).status == "completed"
    assert not any("Retraining" in line or "Evaluating" in line for line in watcher.lines)


@pytest.mark.slow
@pytest.mark.usefixtures("warm_children")
def test_all_rows_are_trained_on_for_as_long_as_the_confirming_runs_say(tmp_path: Path, sample: Path) -> None:
    handle = study(tmp_path, sample, finish="confirm: {top_k: 1, seeds: 1}\n  retrain_on: train+val")
    final = done(tmp_path, handle)
    assert final.status == "completed", final.error
    assert final.retrained_on == "train+val"
    assert final.epochs_reason.startswith("1: mean best epoch of 1 confirming runs")
    assert final.rule is None
    assert final.eval_f1_macro is None
    summary = json.loads((Path(final.experiment_dir) / "training_summary.json").read_text(encoding="utf-8"))
    counts = {name: len((sample / f"{name}.jsonl").read_text().splitlines()) for name in ("train", "val")}
    assert summary["data"]["train"]["rows"] == sum(counts.values())


@pytest.mark.slow
@pytest.mark.usefixtures("warm_children")
def test_an_ensemble_is_kept_only_if_it_helps_and_says_why(tmp_path: Path, sample: Path) -> None:
    handle = study(tmp_path, sample, finish="confirm: {top_k: 2, seeds: 1}\n  ensemble: 2")
    final = done(tmp_path, handle)
    assert final.status == "completed", final.error
    assert final.ensemble is not None
    assert final.ensemble.gain is not None
    assert next(member.trial for member in final.ensemble.members) == final.trial
    assert final.ensemble.kept == final.ensemble.gain.above_noise
    members = json.loads((Path(str(final.model_dir)) / "cp_search.json").read_text()).get("members", [])
    assert len(members) == (2 if final.ensemble.kept else 0)


@pytest.mark.slow
@pytest.mark.usefixtures("warm_children")
def test_the_model_of_another_trial_is_moved_aside_not_lost(tmp_path: Path, sample: Path) -> None:
    handle = study(tmp_path, sample)
    first = done(tmp_path, handle)
    second = finish(handle, place(tmp_path), trial=0)
    assert second is not None
    assert second.status == "completed"
    assert second.config != first.config
    assert (tmp_path / "small" / "final-of-trial-0001" / "model" / "model.safetensors").is_file()


def test_a_part_that_crashes_is_told_and_the_rest_waits(tmp_path: Path, sample: Path) -> None:
    handle = study(tmp_path, sample)
    crashing = place(tmp_path, make_job=lambda _config, home, _card: Scripted(home, status="oom"))
    final = finish(handle, crashing)
    assert final is not None
    assert final.status == "failed"
    assert final.error is not None
    assert "ended as oom" in final.error
    assert final.model_dir is None


def confirmed(home: Path, finish: str = "top_k: 2, seeds: 2") -> tuple[Bench, StudyHandle]:
    """A study whose two trials are done, and are to be confirmed."""
    bench = Bench(home)
    text = SCRIPTED.replace("trials: 4", "trials: 2") + f"finish: {{confirm: {{{finish}}}}}\n"
    bench.search(Scripted, text=text)
    return bench, bench.open(text)


def test_confirming_runs_whose_processes_are_killed_go_on_from_their_checkpoints(tmp_path: Path) -> None:
    bench, handle = confirmed(tmp_path)
    job = partial(Scripted, values=(0.4, 0.6), kill_after=1)
    where = FinishPlace(bench.directory, bench.engine, Watcher(), make_job=lambda _config, home, _: job(home))
    finish(handle, replace(where, observer=(watcher := Watcher("Retraining"))))
    stored = read_stored(bench.directory).confirmation
    assert stored is not None
    assert [run.value for one in stored.candidates for run in one.runs] == [0.6] * 4
    for log in (bench.directory / "confirm").glob("trial-*/steps.log"):
        assert log.read_text() == "1\n2\n"
    assert sum(line.endswith("; it goes on from its checkpoint") for line in watcher.lines) == 4


@pytest.mark.slow
@pytest.mark.usefixtures("warm_children")
def test_a_confirming_run_that_always_dies_is_recorded_as_lost_after_its_retries(tmp_path: Path) -> None:
    bench, handle = confirmed(tmp_path, "top_k: 1, seeds: 1")
    job = partial(Scripted, after=end_by_signal)
    where = FinishPlace(bench.directory, bench.engine, Watcher(), make_job=lambda _config, home, _: job(home))
    final = finish(handle, replace(where, retries=1, observer=(watcher := Watcher("Retraining"))))
    assert final is not None
    assert final.status in ("interrupted", "failed")
    stored = read_stored(bench.directory).confirmation
    assert stored is not None
    (run,) = stored.candidates[0].runs
    assert (run.status, run.value) == ("failed", None)
    told = "Confirming trial 0, seed 1043: killed by signal 9 (out of host memory?), 2 times in a row"
    assert sum(line.startswith(told) and "recorded as failed" in line for line in watcher.lines) == 1
    assert sum("; it goes on from its checkpoint (retry 1 of 1)" in line for line in watcher.lines) == 1


def test_confirming_runs_go_on_one_by_one(tmp_path: Path) -> None:
    bench, handle = confirmed(tmp_path)
    started: list[str] = []

    def make(_config: Any, home: str, _card: Any) -> Scripted:
        started.append(Path(home).name)
        value = 0.5 if "0000" in home else 0.6
        return Scripted(home, values=(value, value), status="completed")

    where = FinishPlace(bench.directory, bench.engine, Watcher("0001-seed"), make_job=make)
    finish(handle, replace(where, observer=Watcher("seed 1044 | evaluation 2")))
    finish(handle, replace(where, observer=Watcher("Retraining")))
    assert started[:4] == [f"trial-{trial:04d}-seed-{seed}" for trial in (0, 1) for seed in (1043, 1044)]
    stored = read_stored(bench.directory).confirmation
    assert stored is not None
    assert stored.chosen == 1


def test_a_second_worker_waits_while_one_finishes_and_stops_when_asked(tmp_path: Path, sample: Path) -> None:
    handle = study(tmp_path, sample)
    watcher = Watcher(stop_at="waiting for it")
    place = FinishPlace(tmp_path / "small", LocalEngine(), watcher)
    place.study.mkdir(exist_ok=True)
    with FileLock(place.study / FINISH_LOCK):
        final = finish(handle, place)
    assert final is not None
    assert final.status == "interrupted"
    assert watcher.lines == ["Another worker finishes this study; waiting for it"]


def test_below_the_baseline_is_said_first() -> None:
    from tests.search.finals import final

    below = final(ours=0.70, baseline=0.75)
    assert verdict(below).startswith("BELOW THE BASELINE by 0.0500 (-0.0700 to -0.0300)")
    assert "do not ship it" in verdict(below)
    above = final(ours=0.76, baseline=0.75)
    assert verdict(above).startswith("Above the baseline by 0.0100 (-0.0100 to 0.0300), within noise")
    shown = "\n".join(closing_lines(below))
    assert "fine_grained_label = 3: 40.0% of 100 rows falsely accused" in shown
    assert "the baseline 59.0%" in shown


def test_which_trial_was_retrained_is_said_as_it_need_not_be_the_best() -> None:
    from tests.search.finals import final

    made = replace(final(ours=0.76, baseline=0.75), trial=4, template="fast_dev")
    assert "Retrained   trial 4, with the template fast_dev on the rows of train" in closing_lines(made)


@dataclass(frozen=True)
class Answer:
    """What a part leaves."""

    directory: str


@dataclass(frozen=True)
class Answering:
    """The job of a part."""

    directory: str
    dies: bool

    def run(self, _observer: Observer, _report: Report) -> Answer:
        """Leave it, or die."""
        if self.dies:
            end_by_signal()
        return Answer(self.directory)


def test_a_part_that_died_too_often_is_begun_once_more_by_name_and_anew_for_something_else(
    tmp_path: Path,
) -> None:
    place = FinishPlace(tmp_path / "fake", Bench(tmp_path).engine, Watcher(), retries=1)
    part = Part(place.study / "answer.json", "a", "Answering")

    def begun(part: Part, place: FinishPlace, *, dies: bool = True) -> int:
        """How often the job was begun, over all calls."""
        with pytest.raises(PartFailed, match=r"answer: killed by signal 9.*; .*") if dies else nullcontext():
            made(part, Answer, partial(Answering, dies=dies), place=place)
        return History(part.directory).attempts

    assert begun(part, place) == 2
    with pytest.raises(PartFailed, match=r"2 times in a row.*cp-search retrain fake tries it once more"):
        made(part, Answer, partial(Answering, dies=True), place=place)
    assert begun(part, place) == 2
    assert begun(part, replace(place, once_more=True)) == 3
    assert begun(part, place) == 3
    assert begun(replace(part, key="b"), place, dies=False) == 1


def test_of_a_part_that_takes_its_worker_along_it_is_known_how_long_it_lived(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([100.0, 140.0, 145.0])
    monkeypatch.setattr(lives, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    life = Life(Call(Answering(str(tmp_path), dies=True), Watcher()), retries=1)
    call = life.to_begin()
    call.started(1)
    call.alive()
    call.alive()  # too soon for another note
    # Here both die: the next command has to count it.
    assert Life(life.call, retries=1).settle()
    seconds = [line["seconds"] for line in read_lines(tmp_path / "attempts.jsonl") if "seconds" in line]
    assert seconds == [40.0, 40.0]
    assert History(tmp_path).took_along


def test_a_job_is_known_to_live_while_it_runs(tmp_path: Path) -> None:
    looks: list[None] = []
    call = Call(Answering(str(tmp_path), dies=False), Watcher(), alive=lambda: looks.append(None))
    run_calls(Bench(tmp_path).engine, [call], at_once=1)
    assert looks
