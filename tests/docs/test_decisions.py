"""What decision records name exists: the functions, classes, keys and words of the code they speak of."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from tests.conftest import ROOT

RECORDS = sorted((ROOT / "docs" / "decisions").glob("0*.md"))
CODE = re.compile(r"`([^`\n]+)`")
WORD = re.compile(r"[A-Za-z_]\w{2,}")
#: of other programs: what was looked at and not taken, settings of SQLite
FOREIGN = {
    *("IterativeStratification", "StratifiedGroupKFold", "PERSIST", "TRUNCATE", "NORMAL", "wal"),
    *("backends", "mkldnn", "matmul", "fp32_precision", "tf32", "set_flush_denormal"),
}


@cache
def words() -> frozenset[str]:
    """Every word of the code, its data files and its templates, and the names of files."""
    sources = [
        path
        for room in ("trainer", "search", "tests", "benchmarks", "configs", "spaces")
        for path in (ROOT / room).rglob("*")
        if path.suffix in {".py", ".yaml", ".j2", ".css", ".js"} and path.name != Path(__file__).name
    ]
    others = [ROOT / name for name in ("Makefile", "pyproject.toml", "compose.yaml", "Dockerfile")]
    text = "\n".join(path.read_text(encoding="utf-8") for path in (*sources, *others))
    return frozenset(WORD.findall(text)) | {path.stem for path in sources}


@cache
def members() -> dict[str, frozenset[str]]:
    """Class -> the names in its body, of all classes of that name."""
    found: dict[str, frozenset[str]] = {}
    for room in ("trainer", "search"):
        for path in (ROOT / room).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ClassDef):
                    named = frozenset(WORD.findall(ast.unparse(node)))
                    found[node.name] = found.get(node.name, frozenset()) | named
    return found


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.stem)
def test_every_name_in_a_record_exists(record: Path) -> None:
    named = {word for code in CODE.findall(record.read_text(encoding="utf-8")) for word in WORD.findall(code)}
    assert sorted(named - words() - FOREIGN) == []


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.stem)
def test_every_member_in_a_record_is_of_its_class(record: Path) -> None:
    pairs = re.findall(r"`([A-Z]\w+)\.(\w+)", record.read_text(encoding="utf-8"))
    wrong = [f"{owner}.{name}" for owner, name in pairs if name not in members().get(owner, {name})]
    assert wrong == []
