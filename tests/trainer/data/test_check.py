from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trainer.config.loader import load_config
from trainer.data.check import CheckRequest, DataReport, check_data
from trainer.data.findings import Finding, associate
from trainer.data.importers import import_cold
from trainer.data.read import MASKED
from trainer.data.tasks import Task
from trainer.errors import DataError, UserError

SHARED = Path(__file__).parents[4] / "shared"
Rows = list[dict[str, Any]]


def written(path: Path, rows: Rows, *, encoding: str = "utf-8") -> Path:
    path.write_bytes("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode(encoding))
    return path


def report_on(
    directory: Path, files: Mapping[str, Rows], *, max_characters: int | None = None, **settings: Any
) -> DataReport:
    paths = {split: written(directory / f"{split}.jsonl", rows) for split, rows in files.items()}
    config = load_config(overrides={key.replace("__", "."): value for key, value in settings.items()}).config
    return check_data(CheckRequest(paths, config, max_characters=max_characters))


def found(report: DataReport, kind: str) -> Finding:
    [finding] = [finding for finding in report.findings if finding.kind == kind]
    return finding


def kinds(report: DataReport) -> set[str]:
    return {finding.kind for finding in report.findings}


def labelled(*pairs: tuple[str, int]) -> Rows:
    return [{"text": text, "labels": label} for text, label in pairs]


SOUND = labelled(("你好", 0), ("滚开", 1))


def test_a_sound_file_is_ok_and_nothing_is_found(tmp_path: Path) -> None:
    report = report_on(tmp_path, {"train": SOUND, "val": labelled(("早安", 0), ("笨蛋", 1))})
    assert report.findings == ()
    assert report.ok
    assert report.files[0].labels == {"labels": {"0": 1, "1": 1}}


@pytest.mark.parametrize("same", ["你好", " 你 好\n", "你好\u3000"])
def test_a_text_of_train_in_val_is_a_leak_whatever_its_spaces(tmp_path: Path, same: str) -> None:
    report = report_on(tmp_path, {"train": SOUND, "val": labelled(("早安", 1), (same, 0))})
    leak = found(report, "leak")
    assert (leak.level, leak.count, leak.places) == ("error", 1, (f"{tmp_path / 'val.jsonl'}:2",))
    assert not report.ok


@pytest.mark.parametrize(("one", "other"), [("ABC你", "abc你"), ("ＡＢＣ！", "abc!")])
def test_width_and_case_do_not_hide_a_leak(tmp_path: Path, one: str, other: str) -> None:
    files = {"train": labelled((one, 0), ("乙", 1)), "test": labelled((other, 0), ("丙", 1))}
    assert found(report_on(tmp_path, files), "leak").count == 1


def test_val_and_test_may_not_share_a_text_either(tmp_path: Path) -> None:
    files = {"train": SOUND, "val": labelled(("甲", 0), ("乙", 1)), "test": labelled(("甲", 0), ("丁", 1))}
    assert "in val" in found(report_on(tmp_path, files), "leak").message


def test_files_whose_use_is_not_known_may_share_texts(tmp_path: Path) -> None:
    report = report_on(tmp_path, {"one": SOUND, "two": SOUND})
    assert found(report, "shared").level == "warning"
    assert report.ok


def test_one_text_with_two_labels_is_an_error_with_the_places_of_both(tmp_path: Path) -> None:
    report = report_on(tmp_path, {"train": [*SOUND, {"text": "你好 ", "labels": 1}]})
    path = tmp_path / "train.jsonl"
    assert found(report, "contradiction").places == (f"{path}:1", f"{path}:3")
    assert found(report, "duplicate").places == (f"{path}:3",)
    assert not report.ok


def test_a_missing_label_contradicts_none(tmp_path: Path) -> None:
    report = report_on(tmp_path, {"train": [*SOUND, {"text": "你好"}]})
    assert kinds(report) == {"duplicate", "masked"}
    assert report.files[0].masked == {"labels": 1}


def test_a_task_with_one_class_in_train_is_unlearnable(tmp_path: Path) -> None:
    report = report_on(tmp_path, {"train": labelled(("甲", 0), ("乙", 0)), "val": labelled(("丙", 0))})
    assert "one class only (0)" in found(report, "unlearnable").message
    assert found(report, "empty_class").message.startswith("val")
    assert not report.ok


def test_labels_beside_the_single_task_are_a_warning(tmp_path: Path) -> None:
    rows = [{**row, "toxicity_labels": 0} for row in labelled(("甲", 0), ("乙", 1))]
    report = report_on(tmp_path, {"train": rows})
    assert report.ok
    assert found(report, "idle_labels").message.startswith("train: nothing is trained on toxicity_labels")


def test_an_empty_class_of_train_is_a_warning(tmp_path: Path) -> None:
    report = report_on(tmp_path, {"train": SOUND}, model__num_labels=3)
    assert found(report, "empty_class").message == "train: task labels has no row of class 2"
    assert report.ok


def test_every_bad_row_is_counted_and_placed_and_the_rest_is_still_checked(tmp_path: Path) -> None:
    rows: Any = [{"text": " "}, {"text": 5}, {"labels": 1}, {"text": "丙", "labels": 7}, *SOUND]
    report = report_on(tmp_path, {"train": rows})
    assert report.files[0].faults == {"empty_text": 1, "bad_row": 2, "bad_label": 1}
    assert found(report, "bad_row").places == tuple(f"{tmp_path / 'train.jsonl'}:{line}" for line in (2, 3))
    assert "out of range" in found(report, "bad_label").message
    assert report.files[0].rows == 6


def test_long_texts_are_named(tmp_path: Path) -> None:
    report = report_on(tmp_path, {"train": [*SOUND, *labelled(("长" * 11, 1))]}, max_characters=10)
    assert found(report, "too_long").places == (f"{tmp_path / 'train.jsonl'}:3",)


def test_a_text_that_few_encoders_hold_is_named_without_being_asked_for(tmp_path: Path) -> None:
    report = report_on(tmp_path, {"train": [*SOUND, *labelled(("长" * 513, 1), ("长" * 512, 0))]})
    assert found(report, "too_long").places == (f"{tmp_path / 'train.jsonl'}:3",)


@pytest.mark.parametrize(
    ("encoding", "name"), [("utf-8", "UTF-8"), ("utf-8-sig", "UTF-8 with BOM"), ("gb18030", "GB18030")]
)
def test_the_encoding_is_reported(tmp_path: Path, encoding: str, name: str) -> None:
    path = written(tmp_path / "rows.jsonl", SOUND, encoding=encoding)
    report = check_data(CheckRequest({"train": path}, load_config().config))
    assert report.files[0].encoding == name


def test_the_classes_are_told_in_the_order_in_use(tmp_path: Path) -> None:
    rows: Rows = [{"text": "甲", "emotion_labels": "negative"}, {"text": "乙", "emotion_labels": 1}]
    report = report_on(tmp_path, {"train": rows})
    assert [task.classes for task in report.tasks] == [("negative", "neutral", "positive")]
    assert report.files[0].labels["emotion"] == {"negative": 1, "neutral": 1, "positive": 0}


def test_scripts_are_told_by_characters_of_one_script_only(tmp_path: Path) -> None:
    texts = ("这个国家", "這個國家", "这這", "你好", "说话")
    report = report_on(tmp_path, {"train": labelled(*((text, n % 2) for n, text in enumerate(texts)))})
    scripts = report.files[0].scripts
    assert (scripts.simplified, scripts.traditional, scripts.mixed, scripts.neither) == (2, 1, 1, 1)
    assert found(report, "script").level == "warning"


def test_a_simplified_train_and_a_traditional_test_are_not_alike(tmp_path: Path) -> None:
    files = {
        "train": labelled(("这里", 0), ("说话", 1)),
        "test": labelled(("這裡沒人", 0), ("說話的人", 1)),
    }
    assert "test is traditional" in found(report_on(tmp_path, files), "unlike_scripts").message


def drawn(count: int, *, letters: str, ones: float, seed: int) -> Rows:
    rng = np.random.default_rng(seed)
    texts = ("".join(rng.choice(list(letters), 12)) for _ in range(count))
    return [{"text": text, "labels": int(rng.random() < ones)} for text in texts]


LETTERS = "甲乙丙丁戊己庚辛壬癸子丑寅卯"


def test_splits_from_one_source_are_alike(tmp_path: Path) -> None:
    files = {
        split: drawn(300, letters=LETTERS, ones=0.5, seed=seed) for seed, split in enumerate(("train", "val"))
    }
    report = report_on(tmp_path, files)
    assert not {"unlike_texts", "unlike_labels"} & kinds(report)


def test_splits_of_other_words_and_other_labels_are_not_alike(tmp_path: Path) -> None:
    files = {
        "train": drawn(300, letters=LETTERS[:10], ones=0.5, seed=0),
        "val": drawn(300, letters=LETTERS[4:], ones=0.8, seed=1),
    }
    report = report_on(tmp_path, files)
    assert {"unlike_texts", "unlike_labels"} <= kinds(report)
    [pair] = report.pairs
    assert pair.auc is not None
    assert pair.auc > 0.9
    assert 0.2 < pair.label_shift["labels"] < 0.4
    assert pair.unseen_bigrams > 0.3


def test_two_rows_are_too_few_to_call_splits_unlike(tmp_path: Path) -> None:
    report = report_on(tmp_path, {"train": SOUND, "val": labelled(("早安", 0), ("笨蛋", 0))})
    assert report.pairs[0].auc is None
    assert not {"unlike_texts", "unlike_labels"} & kinds(report)


A, B = Task("a", ("0", "1")), Task("b", ("x", "y", "z"))


def test_tasks_that_say_the_same_are_perfectly_correlated() -> None:
    labels = np.array([[0, 2], [1, 0], [0, 2], [1, MASKED], [1, 0]])
    [pair] = associate(labels, tasks=(A, B))
    assert pair.perfect
    assert pair.cramers_v == pytest.approx(1.0)


def test_one_row_that_differs_ends_perfect_correlation() -> None:
    [pair] = associate(np.array([[0, 2], [1, 0], [0, 2], [1, 2]]), tasks=(A, B))
    assert not pair.perfect
    # By hand: chi² of [[0, 2], [1, 1]] is 4/3 over 4 rows.
    assert pair.cramers_v == pytest.approx((1 / 3) ** 0.5)


def test_independent_tasks_do_not_go_together() -> None:
    [pair] = associate(np.array([[0, 0], [0, 1], [1, 0], [1, 1]]), tasks=(A, B))
    assert pair.cramers_v == 0


def test_correlated_tasks_are_reported(tmp_path: Path) -> None:
    rows = [{"text": text, "toxicity_labels": n, "bullying_labels": n} for n, text in enumerate("甲乙丙")]
    assert found(report_on(tmp_path, {"train": rows}), "correlated").level == "warning"


def test_the_tokenizer_s_unknown_characters_and_cut_rows_are_reported(tmp_path: Path) -> None:
    train = labelled(("你好吗", 0), ("滚开啊" * 10, 1))
    paths = {
        "train": written(tmp_path / "train.jsonl", train),
        "val": written(tmp_path / "val.jsonl", labelled(("龘龘好", 0), ("你", 1))),
    }
    overrides = {
        "model.name": "builtin:tiny",
        "model.max_sequence_length": 16,
        "data.cache_dir": str(tmp_path / "cache"),
    }
    config = load_config(overrides=overrides).config
    report = check_data(CheckRequest(paths, config, with_tokenizer=True))
    first, second = (facts.tokens for facts in report.files)
    assert first is not None
    assert second is not None
    assert (first.unk_rate, first.truncated) == (0, 1)
    assert second.unknown == {"龘": 2}
    assert second.unk_rate == pytest.approx(0.5)
    assert "龘" in found(report, "unknown_tokens").message


def test_the_report_is_plain_json(tmp_path: Path) -> None:
    shown = json.loads(json.dumps(report_on(tmp_path, {"train": SOUND}).to_json(), allow_nan=False))
    assert shown["ok"] is True
    assert shown["files"][0]["labels"] == {"labels": {"0": 1, "1": 1}}


def test_no_file_at_all_is_the_user_s_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no file to check"):
        report_on(tmp_path, {})


def check_text(path: Path, text: str) -> DataReport:
    path.write_text(text, encoding="utf-8")
    return check_data(CheckRequest({"train": path}, load_config().config))


def test_every_line_that_is_not_json_is_named_and_the_others_are_checked(tmp_path: Path) -> None:
    good, path = '{"text": "甲", "labels": 0}\n', tmp_path / "rows.jsonl"
    report = check_text(path, good + '{"text": \n' + good.replace("甲", "乙") + '{"text": "丙"')
    finding = found(report, "not_json")
    assert finding.places == (f"{path}:2", f"{path}:4")
    assert finding.count == 2
    assert "2 line(s) that are not JSON; the first: not JSON (Expecting value)" in finding.message
    assert (report.ok, report.files[0].rows) == (False, 4)


def test_of_very_many_bad_lines_the_first_are_named_and_all_are_counted(tmp_path: Path) -> None:
    good, path = '{"text": "甲", "labels": 0}\n', tmp_path / "rows.jsonl"
    finding = found(check_text(path, good + "{\n" * 1000), "not_json")
    assert finding.count == 1000
    assert len(finding.places) == 20


def test_a_file_of_which_no_line_is_json_is_something_else(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"rows\.jsonl:1: not JSON .*expected one JSON object on each line"):
        check_text(tmp_path / "rows.jsonl", "text,labels\n甲,0\n")


def test_a_broken_array_is_named_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"rows\.json:2: not JSON"):
        check_text(tmp_path / "rows.json", '[{"text": "甲", "labels": 0},\n{"text": ]')


@pytest.mark.cold
@pytest.mark.slow
def test_cold_shares_texts_between_its_splits_and_its_test_is_not_like_its_dev(tmp_path: Path) -> None:
    if not (SHARED / "data/cold").is_dir():
        pytest.skip("COLD is not beside the project")
    import_cold(SHARED / "data/cold", out=tmp_path)
    paths = {split: tmp_path / f"{split}.jsonl" for split in ("train", "val", "test")}
    report = check_data(CheckRequest(paths, load_config().config))
    assert [finding.count for finding in report.findings if finding.kind == "leak"] == [34, 39, 17]
    assert found(report, "contradiction").count == 27
    assert [(pair.second, pair.told_apart, pair.shifted_tasks) for pair in report.pairs] == [
        ("val", False, ()),
        ("test", True, ("labels",)),
        ("test", True, ("labels",)),
    ]
