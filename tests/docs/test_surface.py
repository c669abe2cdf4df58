"""Every public name stands on docs/api.md, with what it is."""

from __future__ import annotations

import re
import subprocess
import sys
from types import ModuleType

import pytest

import search
import trainer
from search.surface import Home, reference
from tests.conftest import ROOT, environment

PACKAGES = pytest.mark.parametrize("package", [trainer, search], ids=["trainer", "search"])


def test_the_page_is_what_the_code_says() -> None:
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    assert page == reference(), "run: python -m search.surface"


@PACKAGES
def test_every_public_name_stands_on_the_page_once(package: ModuleType) -> None:
    part = reference().split(f"\n## {package.__name__}\n")[1].split("\n## ")[0]
    assert sorted(re.findall(r"^- `(\w+)", part, re.MULTILINE)) == package.__all__


@PACKAGES
def test_every_public_name_says_what_it_is(package: ModuleType) -> None:
    unsaid = [name for home, names in package.HOMES.items() for name in names if not Home(home).meaning(name)]
    assert unsaid == []


@PACKAGES
def test_every_public_name_is_known_to_type_checkers(package: ModuleType) -> None:
    told = re.findall(r"^    from ([\w.]+) import (\w+) as \2$", Home(package.__name__).source, re.MULTILINE)
    assert sorted(told) == sorted((home, name) for home, names in package.HOMES.items() for name in names)


def test_a_public_name_of_the_search_is_never_hidden_by_a_module_of_the_same_name() -> None:
    modules = {path.stem for path in (ROOT / "search").iterdir()}
    assert not modules & set(search.__all__)


def test_every_public_name_of_the_search_exists() -> None:
    for name in search.__all__:
        assert getattr(search, name) is not None


def test_importing_the_packages_imports_no_libraries() -> None:
    script = "import sys, search, trainer; print(*{'torch', 'optuna', 'pydantic'} & set(sys.modules))"
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_an_alias_is_explained_by_the_comment_above_it() -> None:
    home = Home("trainer.outcome")
    assert home.shown("Metrics") == "Metrics = Mapping[str, float]"
    assert home.meaning("Metrics").startswith("What an evaluation came to")
