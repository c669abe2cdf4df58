"""An ensemble that is worth it: each member has learnt one half of what there is to know."""

from __future__ import annotations

import ast
import json
import random
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from search.engine.local import LocalEngine
from search.finish.final import Final
from search.finish.finish import finish
from search.finish.place import FinishPlace
from search.finish.words import closing_lines
from search.seats import Seat
from search.space import load_space
from search.study import open_study
from search.workplace import train_job
from trainer import Config, Silent, write_text

SPACE = """
name: views
base: fast_dev
set:
  model.name: builtin:tiny
  model.max_sequence_length: 16
  model.dropout_rate: 0.0
  data.train_path: {home}/train-left.jsonl
  data.val_path: {home}/val.jsonl
  data.test_path: {home}/test.jsonl
  data.cache_dir: {home}/cache
  training.batch_size: 16
search:
  training.learning_rate: {{type: float, low: 5.0e-4, high: 1.0e-2}}
budget: {{trials: 2}}
finish:
  confirm: {{top_k: 2, seeds: 1}}
  template: fast_dev
  set: {{training.num_epochs: 4, callbacks.early_stopping_patience: null}}
  ensemble: 2
"""

#: in each view one character says the label (0 or 1): one of many, which nobody guesses all right
MARKS = {"left": ("甲乙丙丁戊己庚辛", "子丑寅卯辰巳午未"), "right": ("金木水火土日月星", "東南西北春夏秋冬")}
_NOISE = "的是不了人我在有他這中大來上國"


def write_rows(path: Path, *, rows: int, seed: int, blind: str | None = None) -> None:
    """As many rows of each view and label; in the view `blind` half the labels are wrong, and say nothing."""
    draw = random.Random(seed)
    lines = []
    for index in range(rows):
        label, view = index % 2, tuple(MARKS)[index // 2 % 2]
        wrong = view == blind and index // 4 % 2 == 1
        text = "".join(draw.choices(_NOISE, k=5)) + draw.choice(MARKS[view][label])
        lines.append(json.dumps({"text": text, "labels": 1 - label if wrong else label}, ensure_ascii=False))
    write_text(path, "\n".join(lines) + "\n")


def by_view(config: Config, directory: str, seat: Seat) -> Any:
    """A training from whose rows the second member learns the right view, and anybody else the left one."""
    view = "right" if Path(directory).name == "member-02" else "left"
    rows = Path(str(config.data.train_path)).with_name(f"train-{view}.jsonl")
    data = config.data.model_copy(update={"train_path": str(rows)})
    return train_job(config.model_copy(update={"data": data}), directory, seat)


@dataclass(frozen=True)
class Finished:
    """A study in `home` whose finish is done."""

    home: Path
    final: Final

    @property
    def model(self) -> Path:
        """The export."""
        return Path(str(self.final.model_dir))

    def cp_search(self, *words: str) -> str:
        """What the command prints; it ends well."""
        command = [sys.executable, "-m", "search.cli", *words]
        done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, warm_children: None) -> Finished:
    home = tmp_path_factory.mktemp("views")
    write_rows(home / "train-left.jsonl", rows=640, seed=1, blind="right")
    write_rows(home / "train-right.jsonl", rows=640, seed=2, blind="left")
    write_rows(home / "val.jsonl", rows=80, seed=3)
    write_rows(home / "test.jsonl", rows=80, seed=4)
    write_text(home / "views.yaml", SPACE.format(home=home))
    handle = open_study(load_space(str(home / "views.yaml")), storage_url=f"sqlite:///{home / 'views.db'}")
    for rate, value in ((1.5e-3, 0.6), (1e-3, 0.7)):
        handle.study.enqueue_trial({"training.learning_rate": rate})
        trial = handle.study.ask()
        trial.suggest_float("training.learning_rate", 5e-4, 1e-2)
        handle.study.tell(trial, value)
    final = finish(handle, FinishPlace(home / "views", LocalEngine(), Silent(), make_job=by_view))
    assert final is not None
    assert final.status == "completed", final.error
    return Finished(home, final)


@pytest.mark.slow
def test_it_is_kept_since_it_beats_its_best_member_by_more_than_noise(finished: Finished) -> None:
    record = finished.final.ensemble
    assert record is not None
    assert record.kept, record.reason
    assert record.gain is not None
    assert record.gain.low is not None
    assert record.gain.low > 0
    assert "kept; on validation rows" in "\n".join(closing_lines(finished.final))


@pytest.mark.slow
def test_it_is_evaluated_as_one_and_the_export_says_the_same(finished: Finished) -> None:
    final = finished.final
    assert final.ensemble is not None
    assert final.evaluation is not None
    assert final.export is not None
    assert final.evaluation.f1_macro.value > max(member.f1_macro for member in final.ensemble.members)
    assert final.export.reloaded_f1_macro == pytest.approx(final.evaluation.f1_macro.value)
    facts = json.loads((finished.model / "cp_search.json").read_text(encoding="utf-8"))
    assert facts["members"] == ["member-01", "member-02"]
    assert final.ensemble.together is not None
    assert final.eval_f1_macro == final.ensemble.together.value


@pytest.mark.slow
def test_predict_gives_the_labels_that_were_evaluated(finished: Finished) -> None:
    rows = [json.loads(line) for line in (finished.home / "test.jsonl").read_text("utf-8").splitlines()]
    document = finished.cp_search(
        "predict", str(finished.model), "--file", f"{finished.home}/test.jsonl", "--json"
    )
    labels = [answer["labels"]["label"] for answer in json.loads(document)]
    right = sum(label == str(row["labels"]) for label, row in zip(labels, rows, strict=True))
    assert finished.final.evaluation is not None
    assert right / len(rows) == pytest.approx(finished.final.evaluation.accuracy.value)


@pytest.mark.slow
def test_the_report_says_what_is_shipped_and_why(finished: Finished) -> None:
    page = finished.cp_search("report", "views", "--studies-dir", str(finished.home), "--md")
    assert "kept; on validation rows" in page


@pytest.mark.slow
def test_the_score_stands_in_the_card_of_the_whole_and_in_no_members(finished: Finished) -> None:
    assert finished.final.evaluation is not None
    score = f"{finished.final.evaluation.f1_macro.value:.4f}"
    assert score in (finished.model / "README.md").read_text(encoding="utf-8")
    for name in ("member-01", "member-02"):
        member = (finished.model / name / "README.md").read_text(encoding="utf-8")
        assert "## Measured" not in member
        assert "one member of the ensemble" in member


@pytest.mark.slow
def test_the_cards_ten_lines_give_the_same_probabilities_without_cp_search(finished: Finished) -> None:
    card = (finished.model / "README.md").read_text(encoding="utf-8")
    code = card.partition("```python\n")[2].partition("```")[0]
    assert len(code.splitlines()) <= 10
    code = code.replace("THIS DIRECTORY", str(finished.model)).replace("文字", "的是了甲")
    alone = "import sys; sys.modules.update(dict.fromkeys(['trainer', 'search']))\n"
    done = subprocess.run([sys.executable, "-c", alone + code], capture_output=True, text=True, check=True)
    (answer,) = json.loads(finished.cp_search("predict", str(finished.model), "的是了甲", "--json"))
    assert ast.literal_eval(done.stdout) == pytest.approx(answer["labels"]["probabilities"], abs=1e-5)


@pytest.mark.slow
def test_every_member_becomes_onnx_and_says_the_same(finished: Finished, tmp_path: Path) -> None:
    to = str(tmp_path / "model")
    told = finished.cp_search("export", "views", "--studies-dir", str(finished.home), "--to", to, "--onnx")
    assert "member-*/model.onnx: the same labels as torch" in told
    found = [
        json.loads(finished.cp_search("predict", to, "的是了甲", "--json", *flags))[0]["labels"]
        for flags in ([], ["--onnx"])
    ]
    assert found[0]["probabilities"] == pytest.approx(found[1]["probabilities"], abs=1e-4)
