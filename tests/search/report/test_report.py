"""A study as a page: what is in it, in every state a study can be in."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState

from search.catalog import locate_study
from search.cli.report import ReportFlags, report
from search.language import LANGUAGES
from search.report.compose import compose
from search.report.facts import StudyFacts
from search.report.gather import gather
from search.report.html import render_html
from search.report.markdown import render_markdown
from search.report.page import Code
from search.report.words import words_in
from tests.conftest import CommandLine
from tests.search.report.studies import HOSTILE, bare_study, comparison, whole_study
from trainer import Interval, UserError, load_config

COMPLETE, PRUNED, RUNNING = TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("studies")
    whole_study(made)
    bare_study(made, COMPLETE, PRUNED, RUNNING, name="running")
    bare_study(made, PRUNED, PRUNED, PRUNED, name="pruned")
    bare_study(made, name="empty")
    return made


def facts_of(home: Path, name: str) -> StudyFacts:
    return gather(locate_study(name, home), studies_dir=home)


def page_of(facts: StudyFacts, language: str = "en", *, texts: bool = True) -> str:
    return render_html(compose(facts, words_in(language), texts=texts))


def test_the_answer_comes_first_with_interval_baseline_luck_and_cost(home: Path) -> None:
    page = compose(facts_of(home, "whole"), words_in("en"))
    assert page.answer.headline == "Macro-F1 0.7750 on 200 test rows, 0.0300 above the baseline."
    assert page.answer.tone == "good"
    values = [stat.value for stat in page.answer.stats]
    assert values[1:4] == ["0.7750 (0.7550 to 0.7950)", "0.7450 (0.7250 to 0.7650)", "+0.0100"]
    assert "pruning saved about" in page.answer.stats[4].detail


@pytest.mark.parametrize(
    ("difference", "start", "tone"),
    [
        (Interval(-0.02, -0.04, 0.001), "Below the baseline", "bad"),
        (Interval(0.01, -0.01, 0.03), "Macro-F1 0.7750 on 200 test rows: not told apart", "warn"),
    ],
)
def test_a_model_that_is_not_clearly_better_than_the_baseline_is_said_so_in_the_first_line(
    home: Path, difference: Interval, start: str, tone: str
) -> None:
    facts = facts_of(home, "whole")
    worse = replace(facts, stored=replace(facts.stored, baseline=comparison(difference)))
    found = compose(worse, words_in("en")).answer
    assert found.headline.startswith(start)
    assert found.tone == tone


def test_everything_the_study_holds_is_on_the_page(home: Path) -> None:
    text = render_markdown(compose(facts_of(home, "whole"), words_in("en")))
    for words in (
        "Pruning stopped 2 trials early and saved about 1 min 15 s",
        "effective\\_batch\\_size | 64 | 5.10 GiB | 3.66 GiB",
        "step done again, 2048 to 1024 tokens",
        "needs 5.10 GiB at forward | trial ended",
        "fine\\_grained\\_label = anti-bias: the model flags 27.5 % of 40 rows",
        "Trials 4, 0 are not told apart",
        "offsets gained 0.01 out of fold",
        "its logits differ by at most 4.8e-06",
    ):
        assert words in text
    titles = re.findall("^## (.+)$", text, re.MULTILINE)
    assert titles == [
        "How good it is",
        "Was it luck?",
        "How the search went",
        "What mattered",
        "How the trials learned",
        "Memory",
        "The best configuration",
        "How it decides",
        "Errors it is surest of",
        "What next",
    ]


def test_the_best_configuration_loads_as_it_is(home: Path, tmp_path: Path) -> None:
    page = compose(facts_of(home, "whole"), words_in("en"))
    (code,) = [b for s in page.sections if s.name == "configuration" for b in s.blocks if isinstance(b, Code)]
    file = tmp_path / "best.yaml"
    file.write_text(code.text, encoding="utf-8")
    assert load_config(file=file).config == load_config(template="production").config


@pytest.mark.parametrize(
    ("name", "headline", "said"),
    [
        ("running", "Best so far: trial 0", "Trials marked running: 1"),
        ("pruned", "No model yet.", "no trial ran to its end"),
        ("empty", "No model yet.", "The study has no trials"),
    ],
)
@pytest.mark.parametrize("language", LANGUAGES)
def test_a_study_in_any_state_makes_a_page_that_says_what_is_not_known(
    home: Path, name: str, headline: str, said: str, language: str
) -> None:
    facts = facts_of(home, name)
    assert well_formed(page_of(facts, language))
    english = render_markdown(compose(facts, words_in("en")))
    assert headline in english
    assert said in english
    assert "No card limited this study" in english


def test_the_page_asks_for_nothing_outside_itself(home: Path) -> None:
    page = page_of(facts_of(home, "whole"))
    named = re.findall(r"""(?:src|href|action)=["']([^"']*)""", page)
    assert named
    assert all(address.startswith(("#", "data:,")) for address in named)
    assert not re.search(r"url\(|@import|https?://", page)


def test_texts_are_escaped_and_can_be_left_out(home: Path) -> None:
    facts = facts_of(home, "whole")
    page = page_of(facts)
    assert HOSTILE not in page
    assert "&lt;/script&gt;" in page
    assert HOSTILE not in render_markdown(compose(facts, words_in("en")))
    assert "你真的很差劲" not in page_of(facts, texts=False)
    assert "你真的很差劲" not in json.dumps(facts.to_json(texts=False), ensure_ascii=False)
    assert "你真的很差劲" in json.dumps(facts.to_json(), ensure_ascii=False)


@pytest.mark.slow
def test_the_command_writes_the_page_beside_the_study_and_prints_where(
    home: Path, cp_search: CommandLine, tmp_path: Path
) -> None:
    result = cp_search("report", "whole", "--studies-dir", str(home), "--lang", "zh-TW")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.strip() == str(home / "whole" / "report.html")
    written = (home / "whole" / "report.html").read_text(encoding="utf-8")
    assert '<html lang="zh-TW">' in written
    assert "測試集 200 筆的 macro-F1 為 0.7750，比基準高 0.0300。" in written


@pytest.mark.slow
def test_json_goes_to_stdout_and_markdown_where_it_is_told(
    home: Path, cp_search: CommandLine, tmp_path: Path
) -> None:
    at = ("--studies-dir", str(home))
    found = json.loads(cp_search("report", "whole", "--json", *at).stdout)
    assert found["counts"] == {"complete": 8, "pruned": 3, "fail": 1}
    assert found["stored"]["evaluation"]["f1_macro"]["low"] == pytest.approx(0.755)
    file = tmp_path / "new" / "report.md"
    assert cp_search("report", "whole", "--md", "--to", str(file), *at).stdout.strip() == str(file)
    assert file.read_text(encoding="utf-8").startswith("# whole\n")


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"study": "wohle"}, "did you mean whole"),
        ({"md": True, "json": True}, "exclude each other"),
        ({"to": Path("/proc/nowhere/x.html")}, "--to /proc/nowhere/x.html"),
    ],
)
def test_a_mistake_is_one_line(home: Path, flags: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said) as raised:
        report(ReportFlags(**{"study": "whole", "studies_dir": home, **flags}))
    assert "\n" not in str(raised.value)


def well_formed(page: str) -> bool:
    """Every element that is opened is closed in turn, and no id occurs twice."""
    parser = _Nesting()
    parser.feed(page)
    assert parser.open == []
    assert len(parser.ids) == len(set(parser.ids))
    return True


class _Nesting(HTMLParser):
    _VOID = frozenset({"meta", "link", "br"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.ids += [value for key, value in attrs if key == "id" and value]
        if tag not in self._VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Opened and closed at once."""

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
