"""Texts in, labels out: files, thresholds, batches, and the model without this package."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.trainer.runs import make_config
from trainer.data.read import read_table
from trainer.data.sample import write_sample
from trainer.data.texts import read_texts, texts_of_stream
from trainer.delivery import copy_export, push_export, require_hub
from trainer.errors import DataError, UserError
from trainer.export import export_model
from trainer.files import write_text
from trainer.onnx_model import OnnxBackend, add_onnx
from trainer.predict import Predictor
from trainer.runner import run
from trainer.threshold import Threshold, decide, parse_thresholds

TASKS = {"labels": ["0", "1"]}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export of four tasks, and its validation texts beside it."""
    home = tmp_path_factory.mktemp("model")
    paths = write_sample(home / "sample", rows=120, seed=1)
    config = make_config(
        home,
        training__num_epochs=1,
        training__learning_rate=1e-2,
        data__train_path=str(paths["train"]),
        data__val_path=str(paths["val"]),
    )
    run(config, directory=home / "run")
    export_model(home / "run", to=home / "model", texts=read_table(paths["val"]).texts)
    return home / "model"


def texts_of(model: Path) -> list[str]:
    return read_table(model.parent / "sample" / "val.jsonl").texts


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", '{"text": "好"}\n{"text": "壞"}\n'),
        ("a.json", '[{"text": "好"}, {"text": "壞"}]'),
        ("a.csv", "id,text\n1,好\n2,壞\n"),
        ("a.tsv", "id\ttext\n1\t好\n2\t壞\n"),
        ("a.txt", "好\n\n壞\n"),
    ],
)
def test_texts_come_from_every_kind_of_file(tmp_path: Path, name: str, content: str) -> None:
    write_text(tmp_path / name, content)
    assert read_texts(tmp_path / name) == ["好", "壞"]


def test_a_column_that_cannot_be_told_is_asked_for(tmp_path: Path) -> None:
    write_text(tmp_path / "a.csv", "title,body\n好,壞\n")
    with pytest.raises(DataError, match=r"name it with --text-column \(title, body\)"):
        read_texts(tmp_path / "a.csv")
    assert read_texts(tmp_path / "a.csv", column="body") == ["壞"]


def test_standard_input_may_be_lines_or_json_lines() -> None:
    assert texts_of_stream(io.StringIO("好\n壞\n")) == ["好", "壞"]
    assert texts_of_stream(io.StringIO('{"text": "好"}\n')) == ["好"]
    with pytest.raises(DataError, match="standard input:2: no text"):
        texts_of_stream(io.StringIO('{"text": "好"}\n{"txt": "壞"}\n'))


def test_empty_lines_are_left_out_and_counted(tmp_path: Path) -> None:
    said: list[str] = []
    (tmp_path / "in.txt").write_text("好\n\n壞\n", encoding="utf-8")
    assert read_texts(tmp_path / "in.txt", say=said.append) == ["好", "壞"]
    assert texts_of_stream(io.StringIO("\n\n好\n"), say=said.append) == ["好"]
    assert said == [f"{tmp_path}/in.txt: empty lines left out: 1", "standard input: empty lines left out: 2"]
    read_texts(tmp_path / "in.txt")


def test_a_threshold_decides_in_place_of_the_most_probable_class() -> None:
    shares_NC = np.array([[0.6, 0.4], [0.8, 0.2], [0.4, 0.6]])
    assert decide(shares_NC, []).tolist() == [0, 0, 1]
    assert decide(shares_NC, parse_thresholds(["0.3"], TASKS)).tolist() == [1, 0, 1]
    assert decide(shares_NC, parse_thresholds(["1=0.7"], TASKS)).tolist() == [0, 0, 0]
    three_NC = np.array([[0.5, 0.3, 0.2], [0.5, 0.1, 0.4]])
    both = [Threshold("t", 1, 0.2), Threshold("t", 2, 0.2)]
    assert decide(three_NC, both).tolist() == [1, 2]


@pytest.mark.parametrize("word", ["2", "x", "0", "nobody=0.3"])
def test_a_threshold_that_means_nothing_is_refused(word: str) -> None:
    with pytest.raises(UserError, match="--threshold"):
        parse_thresholds([word], TASKS)


def test_predictions_do_not_depend_on_the_batch_or_the_order(model: Path) -> None:
    predictor, texts = Predictor(model), texts_of(model)
    together = predictor.logits(texts)
    alone = np.concatenate([predictor.logits([text]) for text in texts])
    assert np.abs(together - alone).max() < 1e-4
    seen: list[tuple[int, int]] = []
    predictor.logits(texts, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (len(texts), len(texts))


@pytest.mark.slow
def test_the_models_own_recipe_needs_nothing_of_this_package(model: Path, tmp_path: Path) -> None:
    card = (model / "README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    assert len(code.strip().splitlines()) <= 10
    guard = (
        "import sys\n"
        "class Guard:\n"
        "    def find_spec(self, name, *_):\n"
        "        assert name.split('.')[0] not in ('trainer', 'search'), name\n"
        "sys.meta_path.insert(0, Guard())\n"
    )
    text = texts_of(model)[0]
    program = guard + code.replace("THIS DIRECTORY", str(model)).replace('"文字"', json.dumps(text))
    done = subprocess.run(
        [sys.executable, "-I", "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = [line.partition(":")[0].strip("{'") for line in done.stdout.splitlines()]
    assert [name.split("/")[0] for name in found] == ["toxicity", "bullying", "role", "emotion"]
    (mine,) = Predictor(model).predict([text])
    for line, task in zip(done.stdout.splitlines(), Predictor(model).tasks, strict=True):
        shares = [float(number) for number in re.findall(r": ([\d.e-]+)", line)]
        assert shares == pytest.approx(list(mine[task]["probabilities"].values()), abs=1e-4)


@pytest.mark.slow
def test_onnx_says_what_torch_says(model: Path, tmp_path: Path) -> None:
    copied = copy_export(model, to=tmp_path / "copy", texts=texts_of(model))
    assert copied.largest_difference == 0.0
    check = add_onnx(copied.directory, texts=texts_of(model))
    assert check.largest_difference < 1e-4
    assert check.differing == 0
    assert check.speed > 0
    onnx = Predictor(copied.directory, backend=OnnxBackend(copied.directory))
    apart = np.abs(
        onnx.logits(["好", "文字很長" * 5]) - Predictor(model).logits(["好", "文字很長" * 5])
    ).max()
    assert apart < 1e-4


def test_a_directory_without_onnx_says_how_to_make_it(model: Path) -> None:
    with pytest.raises(UserError, match="cp-search export … --onnx"):
        OnnxBackend(model)


def test_the_hub_is_refused_before_anything_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    with pytest.raises(UserError, match="write OWNER/NAME"):
        require_hub("nobody")
    monkeypatch.setattr(huggingface_hub.constants, "is_offline_mode", lambda: False)
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: None)
    with pytest.raises(UserError, match="nobody is logged in"):
        require_hub("me/mine")


def test_an_export_is_pushed_whole_to_a_private_repository(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    class Hub:
        """A hub that keeps what it is given."""

        private: bool | None = None
        files: frozenset[str] = frozenset()

        def create_repo(self, repo: str, *, private: bool, exist_ok: bool) -> None:
            type(self).private = private

        def upload_folder(self, *, repo_id: str, folder_path: Path, commit_message: str) -> object:
            type(self).files = frozenset(path.name for path in folder_path.iterdir())
            return type("Commit", (), {"commit_url": f"hub/{repo_id}/1"})()

    monkeypatch.setattr(huggingface_hub, "HfApi", Hub)
    assert push_export(model, repo="me/mine") == "hub/me/mine/1"
    assert Hub.private
    assert Hub.files >= {"model.safetensors", "README.md", "cp_search.json"}


def test_a_hub_that_cannot_be_reached_leaves_the_export_and_says_where(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    class Away:
        def create_repo(self, *_: object, **__: object) -> None:
            raise ConnectionError("no route")

    monkeypatch.setattr(huggingface_hub, "HfApi", Away)
    with pytest.raises(UserError, match=r"cannot be reached.*the export is in"):
        push_export(model, repo="me/mine")
