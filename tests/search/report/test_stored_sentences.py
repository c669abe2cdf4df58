"""What a study keeps in English is said on the page in the page's language."""

from __future__ import annotations

import pytest

from search.report.wording import stored_cell, stored_note
from search.report.words import words_in

ZH = words_in("zh-TW")


@pytest.mark.parametrize(
    ("kept", "said"),
    [
        (
            "offsets not kept: macro-F1 out of fold 0.7967 -> 0.7641, gain -0.0325 (-0.1045 to 0.0416)",
            "偏移量不保留：折外 macro-F1 0.7967 -> 0.7641，增加 -0.0325（-0.1045 至 0.0416）",
        ),
        (
            "temperature 0.682: calibration error out of fold 0.1423 -> 0.1083",
            "溫度 0.682：折外校準誤差 0.1423 -> 0.1083",
        ),
        (
            "fewer than 10 validation rows of severe, none: plain argmax",
            "驗證資料中 severe, none 少於 10 筆：直接取機率最高者",
        ),
        (
            "not kept: the gain is within noise; on validation rows 0.6419 against 0.6704 of its best member "
            "(trial 1), gain -0.0285 (-0.0797 to 0.0186)",
            "不保留：增加的幅度在誤差範圍內；驗證資料上 0.6419，最佳成員（試驗 1）為 0.6704，"
            "增加 -0.0285（-0.0797 至 0.0186）",
        ),
        (
            "tied: a difference of means within its own 95% interval (Student's t, df = 2, deviation between "
            "seeds pooled over 2 candidates)",
            "平手：平均值之差落在其 95% 區間內（Student t 分布，自由度 2，種子間的標準差合併自 2 個候選）",
        ),
        (
            "TF-IDF of characters (1- to 3-grams) and logistic regression",
            "字元（1 至 3 字）的 TF-IDF 加邏輯迴歸",
        ),
        (
            "percentile bootstrap over rows, 1000 resamples, seed 0",
            "以資料列做百分位拔靴法，重抽 1000 次，隨機種子 0",
        ),
    ],
)
def test_a_sentence_with_a_translation_is_said_in_it(kept: str, said: str) -> None:
    found = stored_note(kept, words=ZH)
    assert (found.text, found.lang) == (said, None)


def test_any_other_stays_english_and_says_so_to_a_screen_reader() -> None:
    assert stored_note("the disk is full", words=ZH).lang == "en"
    assert stored_note("the disk is full", words=ZH, before="toxicity: ").text == "toxicity: the disk is full"
    assert stored_cell("micro-batch 16 -> 8", "and so on", words=ZH).text == "micro-batch 16 -> 8；and so on"


def test_an_english_page_keeps_them_as_they_are() -> None:
    assert stored_note("temperature not kept", words=words_in("en")).text == "temperature not kept"
