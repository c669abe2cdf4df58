"""The generated pages are what the code says."""

from __future__ import annotations

from tests.conftest import ROOT
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
