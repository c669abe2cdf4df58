"""Every dependency has a reason, a licence and a use; every import is of something declared."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, metadata

import pytest

from tests.conftest import ROOT

#: distribution -> module, where they differ
MODULES = {"pyyaml": "yaml", "scikit-learn": "sklearn"}
#: imported by a library on our behalf: the driver or plugin is named in a string of its own making
BY_OTHERS = {
    "psycopg": "SQLAlchemy, for postgresql+psycopg://",
    "grpcio": "Optuna's proxy",
    "protobuf": "Optuna's proxy",
    "tensorboard": "torch.utils.tensorboard",
    "onnx": "torch.onnx.export",
}
#: how packages word a licence -> its SPDX identifier
WORDINGS = {
    r"LGPL": "LGPL-3.0",
    r"Apache": "Apache-2.0",
    r"BSD": "BSD-3-Clause",
    r"MIT": "MIT",
}
WORKSHOP = {"bench", "test"}


def declared() -> dict[str, set[str]]:
    """Distribution -> what brings it: nothing, or extras."""
    tomllib = pytest.importorskip("tomllib", reason="reading pyproject.toml needs Python 3.11")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found: dict[str, set[str]] = {}
    for extra, wanted in {"": project["dependencies"], **project["optional-dependencies"]}.items():
        for requirement in wanted if extra not in WORKSHOP else ():
            found.setdefault(re.split(r"[^\w-]", requirement)[0].lower(), set()).add(extra)
    return found


def rows() -> dict[str, tuple[str, str, str]]:
    """Package -> extra, reason, licence, as the page has them."""
    page = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")
    cells = [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in page.splitlines()]
    found = {}
    for row in cells:
        if len(row) in (3, 4) and row[-1] != "licence" and not row[-1].startswith("---"):
            extra, (package, reason, licence) = ("" if len(row) == 3 else row[0]), row[-3:]
            found[package] = (extra, reason, licence)
    return found


def imported() -> set[str]:
    """Modules that the product imports, by statement or by name."""
    sources = [path for package in ("trainer", "search") for path in (ROOT / package).rglob("*.py")]
    return {
        name.partition(".")[0]
        for path in sources
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        for name in names_of(node)
    }


def names_of(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        yield node.module or ""
    elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
        yield from (str(one.value) for one in node.args if isinstance(one, ast.Constant))


def module_of(distribution: str) -> str:
    return MODULES.get(distribution, distribution.replace("-", "_"))


def test_every_dependency_has_a_row_with_its_reason_and_no_row_is_left_over() -> None:
    assert {name: min(extras) for name, extras in declared().items()} == {
        name: extra for name, (extra, _, _) in rows().items()
    }
    assert all(reason for _, reason, _ in rows().values())


def test_every_dependency_is_used() -> None:
    used = imported()
    assert [name for name in declared() if module_of(name) not in used and name not in BY_OTHERS] == []


def test_everything_imported_is_declared() -> None:
    ours = {"trainer", "search", ""}
    known = {module_of(name) for name in declared()} | set(sys.stdlib_module_names) | ours
    assert imported() - known == set()


#: what the tests install in place of a package: the same project, cut down
INSTALLED_AS = {"mlflow": "mlflow-skinny"}


@pytest.mark.parametrize("package", sorted(rows()))
def test_the_licence_is_the_one_the_package_declares(package: str) -> None:
    try:
        about = metadata(INSTALLED_AS.get(package, package))
    except PackageNotFoundError:
        pytest.skip(f"{package} is not installed")
    classifiers = [one for one in about.get_all("Classifier") or [] if one.startswith("License")]
    fields = [line for name in ("License-Expression", "License") for line in about.get_all(name) or []]
    worded = " ".join([*fields, *classifiers])
    licence = rows()[package][2]
    assert licence in {spdx for wording, spdx in WORDINGS.items() if re.search(wording, worded)}, worded
