"""Which language a person is spoken to in."""

from __future__ import annotations

import ctypes
import sys
from types import SimpleNamespace

import pytest

from search.language.choice import VARIABLE, choose, current
from tests.conftest import CommandLine


@pytest.mark.parametrize(
    ("environment", "language"),
    [
        ({}, "en"),
        ({"LANG": "C.UTF-8"}, "en"),
        ({"LANG": "zh_TW.UTF-8"}, "zh-TW"),
        ({"LANG": "zh_CN.UTF-8"}, "en"),
        ({"LANG": "en_US.UTF-8", "LC_ALL": "zh_HK.UTF-8"}, "zh-TW"),
        ({"LANG": "zh_TW.UTF-8", "LC_ALL": "C"}, "en"),
        ({"LANG": "zh_TW.UTF-8", VARIABLE: "en"}, "en"),
        ({VARIABLE: "zh-TW"}, "zh-TW"),
    ],
)
def test_what_is_asked_for_decides_over_the_locale(environment: dict[str, str], language: str) -> None:
    assert current(environment) == language


@pytest.mark.parametrize(
    ("code", "language"), [(0x0404, "zh-TW"), (0x0C04, "zh-TW"), (0x0409, "en"), (0, "en")]
)
def test_windows_without_locale_variables_is_asked_for_its_own_language(
    code: int, language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = SimpleNamespace(GetUserDefaultUILanguage=lambda: code)
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(ctypes, "windll", SimpleNamespace(kernel32=kernel), raising=False)
    assert current({}) == language
    assert current({"LANG": "en_US.UTF-8"}) == "en"


@pytest.mark.parametrize(
    "words",
    [["--lang", "zh-TW", "status", "x"], ["--lang=zh-TW", "status", "x"], ["status", "x", "--lang", "zh-TW"]],
)
def test_the_flag_is_taken_out_wherever_it_stands(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "")
    assert choose(words) == ["status", "x"]
    assert current() == "zh-TW"


def test_behind_two_dashes_it_is_a_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "")
    words = ["predict", "model", "--", "--lang", "zh-TW"]
    assert choose(words) == words
    assert current({VARIABLE: ""}) == "en"


def test_help_and_errors_come_in_the_language_asked_for(cp_search: CommandLine) -> None:
    shown = cp_search("--lang", "zh-TW", "run", "--help")
    assert "搜尋、以最佳結果重新訓練並匯出。" in shown.stdout
    refused = cp_search("--lang", "zh-TW", "train", "--set", "training.learning_rat=1", "--dry-run")
    assert refused.returncode == 2
    assert "未知的鍵 training.learning_rat；是否想寫 training.learning_rate？" in refused.stderr


def test_an_unknown_language_is_the_user_s_error(cp_search: CommandLine) -> None:
    refused = cp_search("--lang", "xx", "status", "x")
    assert refused.returncode == 2
    assert refused.stderr == "--lang xx: there are en, zh-TW\n"


@pytest.mark.parametrize("tag", ["zh-TW", "zh_tw", "ZH-TW"])
def test_a_language_is_found_in_any_spelling_of_its_tag(tag: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "en")
    choose(["--lang", tag])
    assert current() == "zh-TW"
