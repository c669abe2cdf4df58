"""What typer says of itself is said in the user's language too."""

from __future__ import annotations

import re

import pytest
from typer import Typer
from typer.exceptions import Abort
from typer.testing import CliRunner

from search.cli.app import build_app
from search.cli.output import agreed, echo
from search.cli.spoken import WORDS, refused
from search.language.choice import VARIABLE
from tests.conftest import CommandLine

PAGES = [["--help"], ["data", "sample", "--help"]]


def helps() -> str:
    return "".join(CliRunner().invoke(build_app(), page).output for page in PAGES)


def test_every_word_of_a_help_is_said_in_the_user_s_language(monkeypatch: pytest.MonkeyPatch) -> None:
    english = helps()
    assert [word for word in WORDS if word not in english] == [], "typer words it otherwise now"
    monkeypatch.setenv(VARIABLE, "zh-TW")
    chinese = helps()
    assert [word for word in WORDS if word in chinese] == []
    for word in ("用法：", "選項：", "指令：", "引數：", "顯示這份說明後結束。"):
        assert word in chinese


def test_what_typer_adds_to_the_help_of_an_option_is_said_too(cp_search_here: CommandLine) -> None:
    chinese = cp_search_here("--lang", "zh-TW", "retrain", "--help").stdout
    for added in ("[必填]", "[預設：studies]", "[環境變數：CP_SEARCH_STORAGE]", "[x>=0]"):
        assert added in chinese
    english = cp_search_here("--lang", "en", "retrain", "--help").stdout
    for added in ("[required]", "[default: studies]", "[env var: CP_SEARCH_STORAGE]", "[x>=0]"):
        assert added in english


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nope"], "錯誤：沒有指令 'nope'。"),
        (["train", "--nope"], "錯誤：沒有選項：--nope"),
        (["run"], "錯誤：缺少引數 'space'。"),
        (["retrain", "x", "--trial", "1.5"], "錯誤：'--trial' 的值無效：應為整數"),
        (["retrain", "x", "--trial", "-1"], "錯誤：'--trial' 的值無效：應至少為 0"),
        (["train", "--batch-size"], "錯誤：選項 '--batch-size' 需要一個值。"),
        (["train", "--gpu", "--fp16"], "錯誤：'--gpu' 的值無效：'--fp16' 不是 GPU 的編號"),
    ],
)
def test_a_wrong_command_line_is_refused_in_the_user_s_language(
    words: list[str], said: str, cp_search_here: CommandLine
) -> None:
    refused = cp_search_here("--lang", "zh-TW", *words)
    assert refused.returncode == 2
    assert said in refused.stderr
    assert "Error" not in refused.stderr


def test_kinds_of_values_are_named_in_the_user_s_language(cp_search_here: CommandLine) -> None:
    kinds = {"run": ["--n-trials <整數>", "--time <文字>", "--studies-dir <路徑>"], "train": ["<數字>"]}
    for command, shown in kinds.items():
        chinese = cp_search_here("--lang", "zh-TW", command, "--help").stdout
        english = cp_search_here("--lang", "en", command, "--help").stdout
        assert not re.search(r"<[a-z ]+>", chinese)
        assert re.search(r"<(int range|float)>", english)
        assert [kind for kind in shown if kind not in " ".join(chinese.split())] == []


@pytest.mark.parametrize(
    ("answers", "agreed_to", "asked_again"),
    [("y", True, 0), ("YES", True, 0), ("n", False, 0), ("", False, 0), ("ja\nyes", True, 1)],
)
def test_a_question_is_asked_until_it_is_answered(
    answers: str, agreed_to: bool, asked_again: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, "zh-TW")
    app = Typer()
    app.command()(lambda: echo(str(agreed("Delete it for good?"))))
    shown = CliRunner().invoke(app, [], input=f"{answers}\n")
    assert shown.stdout.endswith(f"{agreed_to}\n")
    assert shown.stderr.count("確定永久刪除？ [y/N]") == asked_again + 1
    assert shown.stderr.count("請回答 y 或 n。") == asked_again


def test_a_question_that_nobody_answers_is_aborted() -> None:
    app = Typer()
    app.command()(lambda: echo(str(agreed("Delete it for good?"))))
    assert CliRunner().invoke(app, [], input="").exit_code == 1


def test_an_unknown_language_is_refused_in_that_of_the_locale(
    cp_search_here: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cp_search_here("--lang", "fr", "status").stderr.strip() == "--lang fr: there are en, zh-TW"
    monkeypatch.setenv("LC_ALL", "zh_TW.UTF-8")
    monkeypatch.delenv(VARIABLE, raising=False)
    refused = cp_search_here("--lang=fr", "status")
    assert refused.returncode == 2
    assert refused.stderr.strip() == "--lang fr：可用的語言為 en, zh-TW"


def test_in_english_typer_s_own_words_stay(cp_search_here: CommandLine) -> None:
    refused = cp_search_here("--lang", "en", "nope")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.splitlines() == [
        "Usage: cp-search [OPTIONS] COMMAND [ARGS]...",
        "Try 'cp-search -h' for help.",
        "",
        "Error: No such command 'nope'.",
    ]


def test_a_command_that_fails_still_exits_with_its_code(cp_search: CommandLine) -> None:
    assert cp_search("status", "nobody").returncode == 2
    assert cp_search("--version").returncode == 0


def test_a_question_that_is_not_agreed_to_ends_as_an_interruption() -> None:
    assert refused(Abort()) == 130


@pytest.mark.slow
def test_tables_have_their_headings_in_the_user_s_language(cp_search: CommandLine) -> None:
    cp_search("data", "sample", "d", "--rows", "300")
    check = cp_search("--lang", "zh-TW", "data", "check", "--train", "d/train.jsonl", "--val", "d/val.jsonl")
    for heading in ("任務", "類別", "檔案", "列數", "各分割"):
        assert heading in check.stdout
    fit = cp_search("--lang", "zh-TW", "fit", "--model", "builtin:tiny", "--card", "rtx3050", "--seq", "32")
    assert "詞元" in fit.stdout
    assert "固定部分：權重" in fit.stdout
    english = re.compile(r"[a-z]+ [a-z]+ [a-z]+")
    assert [line for line in (check.stdout + fit.stdout).splitlines() if english.search(line)] == []
