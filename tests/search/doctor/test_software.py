"""Interpreter, packages, encoding."""

from __future__ import annotations

import io
from importlib.metadata import version

import pytest

from search.doctor.software import encoding, extras, packages, python


def test_an_old_interpreter_is_a_fault_that_names_the_oldest() -> None:
    assert python((3, 10)).state == "fault"
    assert "3.11" in str(python((3, 10)).remedy)
    assert python((3, 11)).state == "ok"


def test_a_missing_package_is_named() -> None:
    finding = packages(["numpy>=1", "no-such-package-here>=2"])
    assert finding.state == "fault"
    assert finding.found == "no-such-package-here is not installed"


def test_a_version_that_does_not_satisfy_is_named_with_what_was_asked() -> None:
    finding = packages(["numpy>=999"])
    assert finding.found == f"numpy {version('numpy')} does not satisfy >=999"


def test_a_requirement_for_another_system_is_no_fault() -> None:
    assert packages(["no-such-package-here; sys_platform == 'amiga'"]).state == "ok"


def test_extras_are_listed_whole_or_not_at_all() -> None:
    required = ["numpy; extra == 'a'", "numpy; extra == 'b'", "no-such-package-here; extra == 'b'"]
    assert extras(required).found == "installed: a; not installed: b"


@pytest.mark.parametrize(("name", "state"), [("utf-8", "ok"), ("latin-1", "note"), ("cp950", "note")])
def test_an_encoding_that_may_not_print_chinese_is_noted(name: str, state: str) -> None:
    assert encoding(io.TextIOWrapper(io.BytesIO(), encoding=name)).state == state
