"""The generated pages are what the code says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from search.reference import EXAMPLE
from search.reference import reference as space_reference
from search.space import load_space
from search.space_file import Budget, CardChoice, Component, Confirm, Finish, Limits, SpaceFile
from tests.conftest import ROOT
from trainer import ALIASES, Config, Section
from trainer.config.reference import reference
from trainer.config.schema import key_paths


def test_the_configuration_page_is_what_the_schema_says() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert page == reference(), "run: python -m trainer.config.reference"


def test_every_key_stands_on_the_page_with_its_meaning() -> None:
    page = reference()
    for path, field in key_paths().items():
        assert f"| `{path.partition('.')[2]}` |" in page
        assert field.description, f"{path} has no description"


def test_the_space_page_is_what_the_schema_says() -> None:
    page = (ROOT / "docs" / "space.md").read_text(encoding="utf-8")
    assert page == space_reference(), "run: python -m search.reference"


@pytest.mark.parametrize("section", [SpaceFile, Budget, CardChoice, Component, Confirm, Finish, Limits])
def test_every_key_of_a_space_is_described(section: type[Section]) -> None:
    page = space_reference()
    for key, field in section.model_fields.items():
        assert f"| `{field.alias or key}` |" in page
        assert field.description, f"{section.__name__}.{key} has no description"


def test_the_example_of_the_space_page_loads(tmp_path: Path) -> None:
    path = tmp_path / "friday.yaml"
    path.write_text(EXAMPLE, encoding="utf-8")
    space = load_space(str(path))
    assert space.budget.patience == 10
    assert set(space.enqueue[0]) < set(space.search)


KEY = re.compile(rf"(?<![\w/.-])(?:{'|'.join(Config.model_fields)})\.[a-z]\w+(?![\w(/])")
#: not keys: files and attributes that are called so, and a slip of the finger that a page shows
ALIKE = {"model.onnx", "model.safetensors", "model.config", "training.learning_rat"}
PAGES = [*(ROOT / "docs").rglob("*.md"), *ROOT.glob("*.md")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_key_that_a_page_names_exists(page: Path) -> None:
    named = set(KEY.findall(page.read_text(encoding="utf-8"))) - ALIKE
    files = {name for name in named if name.endswith((".py", ".md"))}
    assert sorted(named - files - set(key_paths()) - set(ALIASES)) == []
