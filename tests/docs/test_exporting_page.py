"""docs/exporting.md: every piece of code on it, run as it stands."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.trainer.runs import make_config
from trainer import Predictor, add_onnx, export_ensemble, export_model, open_predictor, write_sample
from trainer.data.read import read_table
from trainer.runner import run

pytestmark = pytest.mark.slow

TEXT = "你這個廢物"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the models the page speaks of."""
    made = tmp_path_factory.mktemp("exporting")
    one = [make_config(made, experiment__seed=seed) for seed in (1, 2)]
    runs = [made / f"run-{config.experiment.seed}" for config in one]
    for config, directory in zip(one, runs, strict=True):
        assert run(config, directory=directory).status == "completed"
    texts = read_table(Path(str(one[0].data.val_path))).texts
    models = made / "models"
    export_model(runs[0], to=models / "one", texts=texts)
    add_onnx(models / "one", texts=texts)
    export_ensemble(runs, to=models / "ensemble", texts=texts)
    train, val, _ = write_sample(made / "sample", rows=100, seed=1).values()
    several = make_config(made, data__train_path=str(train), data__val_path=str(val), training__num_epochs=1)
    assert run(several, directory=made / "several").status == "completed"
    export_model(made / "several", to=models / "several", texts=texts)
    return made


def pieces() -> dict[str, str]:
    """Heading -> the code under it."""
    page = (ROOT / "docs" / "exporting.md").read_text(encoding="utf-8")
    found = re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", page, re.DOTALL | re.MULTILINE)
    code = {heading: re.findall(r"```python\n(.*?)```", body, re.DOTALL) for heading, body in found}
    return {heading: blocks[0] for heading, blocks in code.items() if blocks}


def printed(heading: str, home: Path) -> str:
    """What the code under a heading prints, where cp-search is not installed."""
    alone = "import sys; sys.modules.update(dict.fromkeys(['trainer', 'search']))\n"
    done = subprocess.run(
        [sys.executable, "-c", alone + pieces()[heading]],
        cwd=home,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_page_has_code_for_every_kind_of_model() -> None:
    assert pieces().keys() == {"One task", "Several tasks", "An ensemble", "ONNX", "The decision rule"}
    for heading in ("Several tasks", "An ensemble"):
        assert len([line for line in pieces()[heading].splitlines() if line]) <= 10


def test_a_pipeline_gives_our_labels(home: Path) -> None:
    found = [one["label"] for one in ast.literal_eval(printed("One task", home))]
    ours = Predictor(home / "models" / "one").predict(["今天天氣真好", TEXT])
    assert found == [one["labels"]["label"] for one in ours]


def test_several_tasks_are_cut_apart_as_we_do(home: Path) -> None:
    (ours,) = Predictor(home / "models" / "several").predict([TEXT])
    expected = {task: answer["label"] for task, answer in ours.items() if task != "text"}
    assert len(expected) == 4
    assert ast.literal_eval(printed("Several tasks", home)) == expected


def test_an_ensemble_is_averaged_as_we_do(home: Path) -> None:
    (ours,) = open_predictor(home / "models" / "ensemble").predict([TEXT])
    found = ast.literal_eval(printed("An ensemble", home))
    assert found == pytest.approx(ours["labels"]["probabilities"], abs=1e-5)


def test_onnx_needs_no_torch(home: Path) -> None:
    (ours,) = Predictor(home / "models" / "one").predict([TEXT])
    assert printed("ONNX", home).strip() == f"[{ours['labels']['label']}]"


def test_the_rule_is_read_from_its_file(home: Path) -> None:
    assert printed("The decision rule", home).startswith("labels [")
