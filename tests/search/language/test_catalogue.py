"""Lines of English said in another language; the catalogue keeps to what the code really says."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from search.language import catalogue
from search.language.catalogue import Catalogue, messages, translated
from search.language.choice import LANGUAGES
from tests.wording import wordings

FIELD = re.compile(r"\{\w+\*?\}")
OTHERS = [language for language in LANGUAGES if language != "en"]


def test_a_whole_line_and_a_line_with_fields_are_said() -> None:
    known = Catalogue({"Done.": "完成。", "Trial {number} of {all}": "共 {all} 個，第 {number} 個"})
    assert known.line("Done.") == "完成。"
    assert known.line("Trial 3 of 7") == "共 7 個，第 3 個"


def test_a_line_without_a_message_stays_english() -> None:
    assert Catalogue({"Done.": "完成。"}).line("Not done.") == "Not done."


def test_the_template_that_fixes_more_of_the_line_is_taken() -> None:
    known = Catalogue({"Card: {name}": "卡：{name}", "Card: none, {why}": "沒有卡：{why}"})
    assert known.line("Card: none, no driver") == "沒有卡：no driver"


def test_a_starred_field_is_translated_too() -> None:
    known = Catalogue({"Ended{cause*}": "結束{cause}", ": out of {what}": "：{what}不足"})
    assert known.line("Ended: out of memory") == "結束：memory不足"
    assert known.line("Ended") == "結束"


def test_a_starred_field_right_before_another_is_one_word() -> None:
    known = Catalogue({"Missing {what*}{name}.": "缺少{what}{name}。", "argument": "引數"})
    assert known.line("Missing argument 'SPACE'.") == "缺少引數 'SPACE'。"
    assert known.line("Missing parameter 'SPACE'.") == "缺少parameter 'SPACE'。"


def test_names_in_a_column_are_said_and_stay_a_column() -> None:
    known = Catalogue({"Test": "測試", "score {value}": "分數 {value}", "{a} of {b}": "{b} 之 {a}"})
    assert known.line("Test        score 0.8") == "測試        分數 0.8"
    assert known.line("            score 0.8") == "            分數 0.8"
    assert known.line("Luck        score 0.8") == "Luck        score 0.8"
    assert known.line("Test        one of two") == "測試        two 之 one"


def test_the_place_of_an_error_stays_in_front() -> None:
    known = Catalogue({"unknown key {key}": "未知的鍵 {key}"})
    for place in ("my.yaml:4:3", "my data/a.jsonl:5", "a.jsonl", r"C:\d\a.jsonl:5", "--set a.b=1"):
        assert known.line(f"{place}: unknown key a.b") == f"{place}: 未知的鍵 a.b"
    assert known.line("a.jsonl: something else") == "a.jsonl: something else"
    assert known.line("Best: unknown key a.b") == "Best: unknown key a.b"


def test_braces_in_what_varies_do_no_harm() -> None:
    assert Catalogue({"Bad: {what}": "壞：{what}"}).line("Bad: {0} {x}") == "壞：{0} {x}"


def test_english_is_left_alone() -> None:
    assert translated("Done.\nReally.", language="en") == "Done.\nReally."


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            "Confirming trial 3, seed 42 | killed by signal 9; it goes on from its checkpoint (retry 1 of 3)",
            "重複確認試驗 3，隨機種子 42 | 被訊號 9 終止；將從檢查點繼續（第 1 次重試，共 3 次）",
        ),
        (
            "its process ended with code 3 and left no outcome; it starts again (retry 2 of 3)",
            "它的行程以結束碼 3 結束，沒有留下結果；將重新開始（第 2 次重試，共 3 次）",
        ),
        (
            "Waiting for host memory, up to 30 min: a trial needs 1.00 GiB, 3 MiB more than are free",
            "等候主機記憶體，最多 30 分鐘：一個試驗需要 1.00 GiB，還缺 3 MiB",
        ),
        (
            "Waiting for host memory that trials of another worker hold: "
            "a trial needs 2 MiB, 1 MiB more than are free",
            "等候其他工作者的試驗所佔用的主機記憶體：一個試驗需要 2 MiB，還缺 1 MiB",
        ),
        (
            "given up: confirming trial 0 on seed 1043: its process and its worker died together, 4 times "
            "in a row without a newer checkpoint; cp-search retrain fake tries it once more",
            "已放棄：重複確認試驗 0，隨機種子 1043：它的行程與工作者一起中止，連續 4 次，且沒有更新的檢查點；"
            "cp-search retrain fake 會再試一次",
        ),
        (
            "given up: the part evaluation: its process and its worker died together, 3 times in a row "
            "without a newer checkpoint; cp-search retrain fake tries it once more",
            "已放棄：evaluation 這一步：它的行程與工作者一起中止，連續 3 次，且沒有更新的檢查點；"
            "cp-search retrain fake 會再試一次",
        ),
        (
            "the retraining in studies/fake/final/experiment ended as failed: its process and its worker "
            "died together, 4 times in a row without a newer checkpoint. It is not begun again by itself: "
            "cp-search retrain fake tries it once more; a smaller training.batch_size in finish.set needs "
            "less memory",
            "studies/fake/final/experiment 中的重新訓練以 failed 結束：它的行程與工作者一起中止，連續 4 次，"
            "且沒有更新的檢查點。不會自動重新開始：cp-search retrain fake 會再試一次；"
            "在 finish.set 設定較小的 training.batch_size 可減少記憶體需求",
        ),
    ],
)
def test_lines_made_of_several_messages_are_said_whole(line: str, said: str) -> None:
    assert catalogue.load("zh-TW").line(line) == said


@pytest.mark.parametrize("language", OTHERS)
def test_every_template_is_worded_so_in_the_code(language: str) -> None:
    assert [english for english in messages(language) if FIELD.sub("{}", english) not in wordings()] == []


@pytest.mark.parametrize("language", OTHERS)
def test_no_message_stands_twice(language: str) -> None:
    files = sorted(Path(catalogue.__file__).parent.glob(f"{language}*.yaml"))
    # Composed, not loaded: of a key that stands twice in a file loading keeps one.
    nodes = filter(None, (yaml.compose(file.read_text(encoding="utf-8")) for file in files))
    pairs = [pair for node in nodes for pair in node.value]
    counts = Counter(FIELD.sub("{}", key.value) for key, _ in pairs)
    assert [wording for wording, count in counts.items() if count > 1] == []


@pytest.mark.parametrize("language", OTHERS)
def test_no_template_takes_the_lines_of_another(language: str) -> None:
    known = catalogue.load(language)
    for english, other in messages(language).items():
        fields = {name: _value(english, name) for name in re.findall(r"\{(\w+)\*?\}", english)}
        assert known.line(_filled(english, fields)) == (other.format(**fields) if fields else other)


def _filled(english: str, fields: Mapping[str, str]) -> str:
    return FIELD.sub(lambda field: fields[field[0].strip("{}*")], english)


def _value(english: str, name: str) -> str:
    """A value that no message is; one that may be missing begins as such a value does, or is one word."""
    if re.search(rf"\{{{name}\*\}}\{{\w+\}}", english):
        return name
    return f"; <{name}>" if f"}}{{{name}*}}" in english else f"<{name}>"


@pytest.mark.parametrize("language", OTHERS)
def test_both_sides_of_a_message_have_the_same_fields(language: str) -> None:
    for english, other in messages(language).items():
        names = {field.strip("{}*") for field in FIELD.findall(english)}
        assert names == {field.strip("{}") for field in FIELD.findall(other)}, english
