from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

from tests.cases import quick
from tests.conftest import picture
from tests.trainer.model.families import NAMES, save_encoder
from tests.trainer.runs import make_config
from trainer.assess.rule import Rule, TaskRule, plain_rule
from trainer.data.read import read_table
from trainer.data.sample import write_sample
from trainer.errors import UserError
from trainer.experiment import Experiment, load_run_config
from trainer.export import ExportDiffers, ExportExtras, export_model, load_final
from trainer.model_card import CardFacts, model_card
from trainer.predict import Predictor
from trainer.runner import run


def trained(directory: Path, **settings: Any) -> tuple[Path, list[str]]:
    """A finished run of a few steps at a rate that moves the logits, and its validation texts."""
    chosen = {"training__learning_rate": 1e-3, **settings}
    config = make_config(directory, training__num_epochs=1, **chosen)
    home = directory / "run"
    assert run(config, directory=home).status == "completed"
    return home, read_table(Path(str(config.data.val_path))).texts


def train_texts(directory: Path) -> list[str]:
    return read_table(Path(str(make_config(directory).data.train_path))).texts


def plain_logits(directory: Path, texts: list[str]) -> torch.Tensor:
    """What transformers alone makes of an exported directory."""
    model = AutoModelForSequenceClassification.from_pretrained(directory, dtype=torch.float32).eval()
    batch = AutoTokenizer.from_pretrained(directory)(
        texts, padding=True, truncation=True, return_tensors="pt"
    )
    with torch.inference_mode():
        logits: torch.Tensor = model(
            input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]
        ).logits
    return logits


def trained_logits(run_directory: Path, texts: list[str]) -> torch.Tensor:
    """What the trained classifier itself says."""
    from trainer.export import tasks_of

    model = load_final(Experiment(run_directory, load_run_config(run_directory)), tasks_of(run_directory))
    tokenizer = AutoTokenizer.from_pretrained(run_directory / "tokenizer")
    batch = tokenizer(texts, padding=True, truncation=True, max_length=32, return_tensors="pt")
    with torch.inference_mode():
        logits: torch.Tensor = model(batch["input_ids"], batch["attention_mask"])
    return logits


def assert_same_logits(run_directory: Path, exported: Path, texts: list[str]) -> None:
    mine, theirs = trained_logits(run_directory, texts), plain_logits(exported, texts)
    apart = float((mine - theirs).abs().max())
    assert apart <= 1e-4
    assert 20 * apart < float(mine.std(dim=0).max()), "texts that all look alike would prove nothing"


#: the mean of DeBERTa-v2 has no equal in transformers; its refusal has a test of its own
EXPORTED = [
    (family, pooling)
    for family in ("builtin", *NAMES)
    for pooling in ("cls", "mean")
    if (family, pooling) != ("deberta-v2", "mean")
]


@pytest.mark.parametrize(("family", "pooling"), quick(EXPORTED[0], others=EXPORTED[1:]))
def test_plain_transformers_says_what_the_trained_model_says(
    tmp_path: Path, family: str, pooling: str
) -> None:
    name = "builtin:tiny"
    if family != "builtin":
        name = str(save_encoder(family, tmp_path / "encoder", texts=train_texts(tmp_path)))
    home, texts = trained(tmp_path, model__name=name, model__pooling=pooling)
    exported = export_model(home, to=tmp_path / "model", texts=texts)
    assert exported.largest_difference <= 1e-4
    assert exported.checked_texts == len(texts)
    assert_same_logits(home, tmp_path / "model", texts)


def test_an_export_holds_all_that_is_needed(tmp_path: Path) -> None:
    home, texts = trained(tmp_path)
    extras = ExportExtras(facts=CardFacts(validation_f1_macro=0.5, search=["trial 3 of a study"]))
    export_model(home, to=tmp_path / "model", texts=texts, extras=extras)
    assert {path.name for path in (tmp_path / "model").iterdir()} >= {
        *("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"),
        *("README.md", "cp_search.json", "final_model.pt"),
    }
    card = (tmp_path / "model" / "README.md").read_text(encoding="utf-8")
    assert "- trial 3 of a study" in card
    front = yaml.safe_load(card.split("---")[1])
    assert front["pipeline_tag"] == "text-classification"
    assert front["license"] == "other"
    assert "base_model" not in front, "builtin:tiny is not on the hub"
    assert {path.name for path in tmp_path.iterdir()} == {"rows", "cache", "run", "model"}


def test_the_pipeline_of_a_single_task_gives_the_predictors_labels(tmp_path: Path) -> None:
    home, texts = trained(tmp_path, training__learning_rate=1e-2)
    export_model(home, to=tmp_path / "model", texts=texts)
    classify = pipeline("text-classification", model=str(tmp_path / "model"), truncation=True)
    mine = Predictor(tmp_path / "model").predict(texts)
    theirs = classify(texts)
    assert [found["labels"]["label"] for found in mine] == [found["label"] for found in theirs]
    probabilities = [found["labels"]["probability"] for found in mine]
    assert probabilities == pytest.approx([found["score"] for found in theirs], abs=1e-5)


def test_a_rule_is_folded_so_that_plain_transformers_decides_by_it(tmp_path: Path) -> None:
    home, texts = trained(tmp_path, training__learning_rate=1e-2)
    plain = trained_logits(home, texts)
    # an offset in the middle of the differences turns about half of the labels
    apart = float((plain[:, 0] - plain[:, 1]).median())
    rule = Rule([TaskRule("labels", ["0", "1"], [-apart / 2, apart / 2], temperature=0.5)])
    export_model(home, to=tmp_path / "model", texts=texts, extras=ExportExtras(rule=rule))
    expected = ((plain + torch.tensor(rule.tasks[0].offsets)) / 0.5).softmax(1)
    classify = pipeline("text-classification", model=str(tmp_path / "model"), truncation=True, top_k=None)
    given = [{one["label"]: one["score"] for one in found} for found in classify(texts)]
    assert [found["1"] for found in given] == pytest.approx(expected[:, 1].tolist(), abs=1e-4)
    assert (expected.argmax(1) != plain.argmax(1)).any(), "a rule that changes no label proves nothing"


def test_predictions_are_those_of_the_evaluation(tmp_path: Path) -> None:
    home, texts = trained(tmp_path, experiment__save_predictions=True, training__learning_rate=1e-2)
    export_model(home, to=tmp_path / "model", texts=texts)
    rows = read_table(home / "predictions.jsonl").rows
    predicted = Predictor(tmp_path / "model").predict(texts)
    assert [row["labels"]["predicted"] for row in rows] == [found["labels"]["label"] for found in predicted]


def test_the_recipe_of_the_model_card_runs_for_one_task(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home, texts = trained(tmp_path)
    export_model(home, to=tmp_path / "model", texts=texts)
    execute_recipe(tmp_path / "model")
    assert "score" in capsys.readouterr().out


def test_the_recipe_of_the_model_card_gives_each_tasks_probabilities(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = write_sample(tmp_path / "sample", rows=100, seed=1)
    home, texts = trained(tmp_path, data__train_path=str(paths["train"]), data__val_path=str(paths["val"]))
    export_model(home, to=tmp_path / "model", texts=texts)
    execute_recipe(tmp_path / "model")
    printed = [ast.literal_eval(line) for line in capsys.readouterr().out.splitlines()]
    (found,) = Predictor(tmp_path / "model").predict(["文字"])
    for task, part in zip(("toxicity", "bullying", "role", "emotion"), printed, strict=True):
        expected = {f"{task}/{name}": share for name, share in found[task]["probabilities"].items()}
        assert part == pytest.approx(expected, abs=1e-5)
    labels = AutoModelForSequenceClassification.from_pretrained(tmp_path / "model").config.id2label
    assert labels[0] == "toxicity/none"
    assert labels[12] == "emotion/positive"


def execute_recipe(directory: Path) -> None:
    card = (directory / "README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    assert "THIS DIRECTORY" in code
    exec(code.replace("THIS DIRECTORY", str(directory)), {})


@pytest.mark.parametrize(("family", "pooling"), [("bert", "last4"), ("deberta-v2", "mean")])
def test_pooling_that_transformers_does_not_have_is_refused(
    tmp_path: Path, family: str, pooling: str
) -> None:
    encoder = save_encoder(family, tmp_path / "encoder", texts=train_texts(tmp_path))
    home, texts = trained(tmp_path, model__name=str(encoder), model__pooling=pooling)
    with pytest.raises(
        UserError, match=rf"pooling '{pooling}' of a {family} model has no equal.*pooling: cls"
    ):
        export_model(home, to=tmp_path / "model", texts=texts)
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("value", [0.5, float("nan")])
def test_an_export_that_says_something_else_is_no_export(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: float
) -> None:
    """The disk gives back another weight than was written."""
    home, texts = trained(tmp_path)
    from trainer import export

    difference = export._difference

    def damaged(model: Any, directory: Path, texts: list[str]) -> float:
        weights = load_file(directory / "model.safetensors")
        weights["classifier.bias"][0] += value
        save_file(weights, directory / "model.safetensors", metadata={"format": "pt"})
        return difference(model, directory, texts)

    monkeypatch.setattr(export, "_difference", damaged)
    with pytest.raises(ExportDiffers, match="reloaded logits differ by"):
        export_model(home, to=tmp_path / "model", texts=texts)
    assert not (tmp_path / "model").exists()


def test_an_export_replaces_an_earlier_one_but_nothing_else(tmp_path: Path) -> None:
    home, texts = trained(tmp_path)
    export_model(home, to=tmp_path / "model", texts=texts)
    export_model(home, to=tmp_path / "model", texts=texts)
    thesis = tmp_path / "documents"
    thesis.mkdir()
    (thesis / "thesis.txt").write_text("ten years", encoding="utf-8")
    before = picture(thesis)
    with pytest.raises(UserError, match="is no exported model; choose another directory"):
        export_model(home, to=thesis, texts=texts)
    assert picture(thesis) == before


def test_a_run_that_did_not_finish_cannot_be_exported(tmp_path: Path) -> None:
    home = tmp_path / "run"
    run(make_config(tmp_path), directory=home, report=lambda step, metrics: True)
    with pytest.raises(UserError, match="holds no finished run"):
        export_model(home, to=tmp_path / "model", texts=["文字"])


def test_a_text_longer_than_the_model_was_trained_for_is_cut(tmp_path: Path) -> None:
    home, texts = trained(tmp_path)
    export_model(home, to=tmp_path / "model", texts=texts)
    predictor = Predictor(tmp_path / "model")
    long = "好" * 40
    (first, second) = predictor.predict([long, long + "爛" * 500])
    assert first["labels"] == second["labels"]
    assert predictor.predict([]) == []


def test_the_model_card_says_what_mean_pooling_became(tmp_path: Path) -> None:
    from trainer.data.tasks import Task

    tasks = [Task("labels", ("0", "1"))]
    mean = model_card(
        make_config(tmp_path, model__pooling="mean"), tasks=tasks, facts=CardFacts(), rule=plain_rule(tasks)
    )
    cls = model_card(
        make_config(tmp_path, model__pooling="cls"), tasks=tasks, facts=CardFacts(), rule=plain_rule(tasks)
    )
    assert "written as one more encoder layer" in mean
    assert "encoder layer" not in cls
    assert "## Measured" not in cls
