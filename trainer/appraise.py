"""After a run: its decision rule from validation rows, its scores on test, and the baseline beside it.

A model here is one run with its rule, or several whose probabilities are averaged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from transformers import AutoTokenizer

from trainer.appraisal import Reloaded, Ruled, Together
from trainer.assess.assess import assess, difference
from trainer.assess.assessment import Assessment, Comparison
from trainer.assess.bootstrap import Draws, resample
from trainer.assess.fit_rule import fit_rule
from trainer.assess.interval import Interval
from trainer.assess.rule import Answers, Rule, answers, answers_of, plain_rule
from trainer.baseline import NAME, LabelledTexts, tfidf_baseline
from trainer.config.schema import Config
from trainer.data.read import label_matrix, read_table
from trainer.data.splits import Rows, cache_directory, read_rows, tokenised
from trainer.data.tasks import Task
from trainer.ensemble import open_predictor
from trainer.evaluation import infer
from trainer.experiment import Experiment, load_run_config
from trainer.export import ExportDiffers, load_final, tasks_of
from trainer.files import write_whole
from trainer.metrics import score
from trainer.site import Site
from trainer.step import Precision

#: two probabilities this near are a tie, which the order of floating-point sums may decide
NEAR_TIE = 1e-4


@dataclass(frozen=True)
class Judged:
    """A model's answers on labelled rows of one file."""

    tasks: tuple[Task, ...]
    rows: Rows
    answers: Answers


def appraise_rule(run_directory: Path, *, path: Path, seed: int, site: Site | None = None) -> Rule:
    """The decision rule of a run, fitted on the validation rows in `path`, kept where it helps out of fold.

    Raises:
        UserError: no finished run, or the rows cannot be read.
    """
    tasks, rows = _labelled_rows(run_directory, path)
    logits_NC = _logits(run_directory, tasks, rows, site or Site())
    return fit_rule(logits_NC, rows.labels_NT, tasks=tasks, seed=seed)


def judge_rows(members: Sequence[Ruled], *, path: Path, site: Site | None = None) -> Judged:
    """The answers of a model to the rows of `path`.

    Raises:
        UserError: no finished run, or the rows cannot be read.
    """
    tasks, rows = _labelled_rows(Path(members[0].run_directory), path)
    found = _answers(members, tasks, rows, site or Site())
    return Judged(tasks, rows, _mean(found))


def appraise_answers(judged: Judged) -> Assessment:
    """Scores, intervals, slices and hardest errors."""
    return assess(judged.rows, judged.answers, tasks=judged.tasks)


def appraise_together(members: Sequence[Ruled], *, path: Path, site: Site | None = None) -> Together:
    """Whether averaging beats the best single member on the validation rows in `path`.

    Raises:
        UserError: no finished run, or the rows cannot be read.
    """
    tasks, rows = _labelled_rows(Path(members[0].run_directory), path)
    found = _answers(members, tasks, rows, site or Site())
    together = _mean(found)
    scores = [score(one.labels_NT, rows.labels_NT, tasks=tasks).f1_macro for one in found]
    best = found[int(np.argmax(scores))]
    return Together(
        alone=scores,
        single=_interval(best, rows, tasks),
        together=_interval(together, rows, tasks),
        gain=difference(together.labels_NT, best.labels_NT, rows.labels_NT, tasks=tasks),
    )


def appraise_baseline(config: Config, ours: Answers, *, chosen_on_val: bool = True) -> Comparison:
    """The baseline trained on the run's training rows, beside what the model says of the test rows.

    ours: of the rows of `config.data.test_path`. chosen_on_val: False where validation rows were trained on.

    Raises:
        ValueError: no test rows are named. UserError: rows cannot be read, or show one class only.
    """
    found = read_rows(config)
    if found.test is None:
        raise ValueError("the baseline is compared on test rows; data.test_path names none")
    val = _texts(found.val) if chosen_on_val else None
    baseline = tfidf_baseline(_texts(found.train), val=val, test=_texts(found.test), tasks=found.tasks)
    theirs = answers_of(baseline.probabilities)
    return Comparison(
        name=NAME,
        strength=baseline.strength,
        chosen_on=baseline.chosen_on,
        assessment=assess(found.test, theirs, tasks=found.tasks),
        difference=difference(ours.labels_NT, theirs.labels_NT, found.test.labels_NT, tasks=found.tasks),
    )


def require_same(
    directory: Path, *, path: Path, expected: Answers, run_directory: Path, site: Site | None = None
) -> Reloaded:
    """Load the export in `directory` and hold what it says of `path`'s rows against what was evaluated.

    run_directory: of the run it was made from, for the weights of its tasks.

    Raises:
        ExportDiffers: a probability is another, by more than `NEAR_TIE`. UserError: it cannot be loaded.
    """
    predictor = open_predictor(directory, site=site)
    table = read_table(path)
    probabilities = predictor.probabilities(table.texts)
    tasks = tasks_of(run_directory)
    found = answers_of([probabilities[task.name] for task in tasks])
    differing_N = (found.labels_NT != expected.labels_NT).any(axis=1)
    apart = max(
        float(np.abs(mine - theirs).max(initial=0.0))
        for mine, theirs in zip(found.probabilities, expected.probabilities, strict=True)
    )
    if not apart <= NEAR_TIE:  # also NaN
        raise ExportDiffers(
            f"{directory} does not say what was evaluated: on {len(table)} rows probabilities differ "
            f"by up to {apart:.2g}, labels of {int(differing_N.sum())} rows"
        )
    labels_NT = label_matrix(table, tasks=tasks)
    value = score(found.labels_NT, labels_NT, tasks=tasks).f1_macro
    return Reloaded(len(table), value, int(differing_N.sum()), apart)


def keep_answers(path: Path, found: Answers) -> None:
    """Leave the probabilities at `path` (.npz), whole."""
    arrays = {f"task_{index}": shares_NC for index, shares_NC in enumerate(found.probabilities)}

    def write(temporary: Path) -> None:
        with temporary.open("wb") as stream:
            np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]  # numpy's stub takes the keywords for its own

    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, write)


def kept_answers(path: Path) -> Answers:
    """What `keep_answers` left."""
    with np.load(path, allow_pickle=False) as arrays:
        return answers_of([arrays[f"task_{index}"] for index in range(len(arrays.files))])


def _interval(found: Answers, rows: Rows, tasks: Sequence[Task]) -> Interval:
    draws = Draws()
    value = score(found.labels_NT, rows.labels_NT, tasks=tasks).f1_macro
    drawn = resample(found.labels_NT, rows.labels_NT, tasks=tasks, draws=draws)
    return draws.interval(value, drawn.f1_macro_R)


def _mean(found: Sequence[Answers]) -> Answers:
    if len(found) == 1:
        return found[0]
    parts = zip(*(one.probabilities for one in found), strict=True)
    return answers_of([np.mean(part, axis=0) for part in parts])


def _answers(members: Sequence[Ruled], tasks: tuple[Task, ...], rows: Rows, site: Site) -> list[Answers]:
    """Of each member, one after the other, so that the card never holds two."""
    return [
        answers(_logits(Path(one.run_directory), tasks, rows, site), one.rule or plain_rule(tasks))
        for one in members
    ]


def _labelled_rows(run_directory: Path, path: Path) -> tuple[tuple[Task, ...], Rows]:
    tasks = tasks_of(run_directory)
    table = read_table(path)
    return tasks, Rows(table, label_matrix(table, tasks=tasks))


def _logits(run_directory: Path, tasks: Sequence[Task], rows: Rows, site: Site) -> NDArray[np.float32]:
    """Float32, as the export computes them, on the card of `site`."""
    experiment = Experiment(run_directory, load_run_config(run_directory))
    name = str(run_directory)
    config = experiment.config
    tokenizer = AutoTokenizer.from_pretrained(experiment.tokenizer)
    found: NDArray[np.float32] = infer(
        site.adopt(load_final(experiment, tasks), name=name),
        tokenised(rows, tokenizer=tokenizer, cache_dir=cache_directory(config)),
        max_length=config.model.max_sequence_length,
        precision=Precision(site.card.device.type),
        over=partial(site.over, name=name),
    ).numpy()
    return found


def _texts(rows: Rows) -> LabelledTexts:
    return LabelledTexts(rows.table.texts, rows.labels_NT)
