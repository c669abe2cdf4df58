"""Finished models under a card: evaluation, prediction and the check of an export keep to its memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import CommandLine
from tests.trainer.runs import make_config, write_rows
from trainer.appraisal import Ruled
from trainer.appraise import appraise_rule, appraise_together, judge_rows, require_same
from trainer.data.read import read_table
from trainer.ensemble import export_ensemble, open_predictor
from trainer.errors import CardTooSmall
from trainer.export import export_model
from trainer.memory.card import CardSpec
from trainer.predict import Predictor
from trainer.runner import run
from trainer.site import Site

ROWS = 40


@dataclass(frozen=True)
class Finished:
    """Two runs, the export of the first, and labelled rows."""

    runs: tuple[Path, Path]
    model: Path
    rows: Path

    @property
    def texts(self) -> list[str]:
        return read_table(self.rows).texts


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    home = tmp_path_factory.mktemp("finished")
    for seed in (1, 2):
        config = make_config(home, experiment__seed=seed, training__num_epochs=1)
        assert run(config, directory=home / f"run-{seed}").status == "completed"
    rows = write_rows(home / "test.jsonl", ROWS, shift=2000)
    export_model(home / "run-1", to=home / "model", texts=read_table(rows).texts)
    return Finished((home / "run-1", home / "run-2"), home / "model", rows)


@dataclass
class Under:
    """A virtual card, and what was said on it."""

    site: Site
    lines: list[str]

    @property
    def peak(self) -> int:
        return self.site.card.peak_bytes() or 0


def under(limit: int) -> Under:
    lines: list[str] = []
    return Under(Site(CardSpec("small", limit, virtual=True), say=lines.append), lines)


def between(work: Callable[[Site], Any]) -> tuple[int, int]:
    """What `work` holds at least (its weights, once) and at most, where nothing limits it."""
    roomy = under(2**33)
    weights: list[int] = []
    adopt = roomy.site.adopt

    def adopted(model: Any, *, name: str) -> Any:
        found = adopt(model, name=name)
        weights.append(roomy.site.card.live_bytes() or 0)
        return found

    roomy.site.adopt = adopted  # type: ignore[method-assign]  # this object only
    work(roomy.site)
    assert roomy.lines == []
    return weights[0], roomy.peak


@pytest.mark.slow
def test_prediction_goes_on_smaller_where_the_card_is_too_small_and_says_the_same(finished: Finished) -> None:
    expected = Predictor(finished.model).predict(finished.texts)
    weights, most = between(lambda site: Predictor(finished.model, site=site).predict(finished.texts))
    tight = under((2 * weights + most) // 3)
    found = Predictor(finished.model, site=tight.site).predict(finished.texts)
    assert any("OOM detected, reducing batch size from" in line for line in tight.lines)
    assert tight.peak <= (tight.site.card.limit_bytes or 0)
    for mine, theirs in zip(found, expected, strict=True):
        assert mine["labels"]["label"] == theirs["labels"]["label"]
        assert mine["labels"]["probabilities"] == pytest.approx(theirs["labels"]["probabilities"], abs=1e-6)


@pytest.mark.slow
def test_what_was_given_up_once_is_not_tried_again(finished: Finished) -> None:
    weights, most = between(lambda site: Predictor(finished.model, site=site).predict(finished.texts))
    tight = under((2 * weights + most) // 3)
    predictor = Predictor(finished.model, site=tight.site)
    predictor.predict(finished.texts)
    said = len(tight.lines)
    predictor.predict(finished.texts)
    assert len(tight.lines) == said


@pytest.mark.slow
def test_progress_counts_every_text_once_though_batches_are_repeated(finished: Finished) -> None:
    weights, most = between(lambda site: Predictor(finished.model, site=site).predict(finished.texts))
    seen: list[int] = []
    predictor = Predictor(finished.model, site=under((2 * weights + most) // 3).site)
    predictor.predict(finished.texts, progress=lambda done, _total: seen.append(done))
    assert seen == sorted(seen)
    assert seen[-1] == ROWS


def test_a_card_below_the_weights_is_refused_with_the_shortfall(finished: Finished) -> None:
    weights, _ = between(lambda site: Predictor(finished.model, site=site).predict(finished.texts))
    with pytest.raises(
        CardTooSmall, match=r"too small: the weights of .*model \(1.\d+ MiB\) need at least 0.5"
    ):
        Predictor(finished.model, site=under(weights - 2**19).site)


@pytest.mark.slow
def test_a_card_that_holds_the_weights_and_no_text_is_refused_too(finished: Finished) -> None:
    weights, _ = between(lambda site: Predictor(finished.model, site=site).predict(finished.texts))
    predictor = Predictor(finished.model, site=under(weights + 1024).site)
    with pytest.raises(CardTooSmall, match="one text beside the weights of"):
        predictor.predict(finished.texts)


@pytest.mark.slow
def test_evaluation_and_the_check_of_the_export_keep_to_the_card(finished: Finished) -> None:
    members = [Ruled(str(finished.runs[0]))]
    expected = judge_rows(members, path=finished.rows).answers
    weights, most = between(lambda site: judge_rows(members, path=finished.rows, site=site))
    tight = under((2 * weights + most) // 3)
    found = judge_rows(members, path=finished.rows, site=tight.site).answers
    assert any("OOM detected" in line for line in tight.lines)
    assert (found.labels_NT == expected.labels_NT).all()
    np.testing.assert_allclose(found.probabilities[0], expected.probabilities[0], atol=1e-6)
    again = under((2 * weights + most) // 3)
    reloaded = require_same(
        finished.model, path=finished.rows, expected=found, run_directory=finished.runs[0], site=again.site
    )
    assert any("OOM detected" in line for line in again.lines)
    assert (reloaded.rows, reloaded.differing) == (ROWS, 0)


@pytest.mark.slow
def test_members_that_are_compared_are_on_the_card_one_at_a_time(finished: Finished) -> None:
    members = [Ruled(str(one)) for one in finished.runs]
    _, most = between(lambda site: appraise_rule(finished.runs[0], path=finished.rows, seed=1, site=site))
    tight = under(most)
    found = appraise_together(members, path=finished.rows, site=tight.site)
    assert tight.lines == []
    assert found == appraise_together(members, path=finished.rows)


@pytest.mark.slow
def test_an_ensemble_whose_members_do_not_fit_together_takes_them_in_turn(
    finished: Finished, tmp_path: Path
) -> None:
    export_ensemble(finished.runs, to=tmp_path / "model", texts=finished.texts)
    expected = open_predictor(tmp_path / "model").probabilities(finished.texts)["labels"]
    weights, _ = between(lambda site: Predictor(finished.model, site=site).predict(finished.texts))
    for limit in (
        3 * weights // 2,
        2 * weights + 1024,
    ):  # no room for the second member; none for a text beside both
        tight = under(limit)
        found = open_predictor(tmp_path / "model", site=tight.site).probabilities(finished.texts)["labels"]
        assert "The card cannot hold all members at once: one after the other" in tight.lines
        np.testing.assert_allclose(found, expected, atol=1e-6)
    with pytest.raises(CardTooSmall):
        open_predictor(tmp_path / "model", site=under(weights // 2).site).probabilities(finished.texts)


@pytest.mark.slow
def test_predict_stays_within_the_card_that_the_command_line_names(
    finished: Finished, cp_search: CommandLine
) -> None:
    weights, most = between(lambda site: Predictor(finished.model, site=site).predict(finished.texts))
    command = ["predict", str(finished.model), "--file", str(finished.rows)]
    plain = cp_search(*command)
    tight = cp_search(*command, "--card", f"{(2 * weights + most) // 3072}KiB", "--rehearse")
    assert (tight.returncode, tight.stdout) == (0, plain.stdout)
    assert "OOM detected, reducing batch size from" in tight.stderr
    none = cp_search(*command, "--card", "1MiB", "--rehearse")
    assert (none.returncode, none.stdout) == (2, "")
    assert "1MiB (virtual) is too small: the weights of" in none.stderr
    assert len(none.stderr.splitlines()) == 1
