"""The wheel works without the checkout; the pinned versions and the Makefile hold what they promise."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from itertools import chain
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.conftest import ROOT

PIN = re.compile(r"([A-Za-z0-9._-]+)==([\w.!]+)")

#: a file or directory at the top of the checkout, as the tests name it
READ = re.compile(r'ROOT / "([\w.]+)')


def run(*command: str, cwd: Path, **extra: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | extra
    return subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300, check=False
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built without touching the network."""
    out = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)]
    result = run(*build, cwd=out)
    assert result.returncode == 0, result.stdout + result.stderr
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory that holds the wheel's content and nothing else of the project."""
    target = tmp_path_factory.mktemp("site")
    install = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--target",
        str(target),
        str(wheel),
    ]
    result = run(*install, cwd=target)
    assert result.returncode == 0, result.stderr
    return target


def cp_search(installed: Path, cwd: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run(sys.executable, "-m", "search.cli", *arguments, cwd=cwd, PYTHONPATH=str(installed))


@pytest.mark.slow
def test_the_wheel_holds_every_module_and_data_file(wheel: Path) -> None:
    inside = set(zipfile.ZipFile(wheel).namelist())
    modules = {
        str(path.relative_to(ROOT)) for name in ("trainer", "search") for path in (ROOT / name).rglob("*.py")
    }
    templates = {f"trainer/configs/{path.name}" for path in (ROOT / "configs").glob("*.yaml")}
    spaces = {f"search/spaces/{path.name}" for path in (ROOT / "spaces").glob("*.yaml")}
    others = {str(path.relative_to(ROOT)) for path in (ROOT / "trainer").rglob("*.yaml")}
    assert templates
    assert spaces
    assert modules | templates | spaces | others | {"trainer/py.typed", "search/py.typed"} <= inside
    assert not [name for name in inside if name.startswith(("tests", "studies", "data", "benchmarks"))]


@pytest.mark.slow
def test_the_installed_package_is_the_one_that_runs(installed: Path, tmp_path: Path) -> None:
    where = "import search, trainer; print(search.__file__); print(trainer.__file__)"
    result = run(sys.executable, "-c", where, cwd=tmp_path, PYTHONPATH=str(installed))
    assert all(line.startswith(str(installed)) for line in result.stdout.splitlines()), result.stdout


@pytest.mark.slow
def test_the_wheel_finds_its_own_templates_and_spaces(installed: Path, tmp_path: Path) -> None:
    help_text = cp_search(installed, tmp_path, "--help")
    assert help_text.returncode == 0, help_text.stderr
    template = cp_search(installed, tmp_path, "train", "--template", "fast_dev", "--dry-run")
    assert template.returncode == 0, template.stderr
    space = cp_search(installed, tmp_path, "run", "quickstart", "--dry-run")
    assert space.returncode == 0, space.stderr
    assert "builtin:tiny" in space.stdout
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_the_source_archive_holds_what_its_tests_read(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "build", "--sdist", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)]
    result = run(*build, cwd=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    (built,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(built) as archive:
        inside = {name.split("/")[1] for name in archive.getnames() if "/" in name}
    tests = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py"))
    assert {*READ.findall(tests), "benchmarks", "README.md", "README.zh-TW.md"} <= inside


def constraints() -> list[str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if not line.startswith("#")]


def test_every_constraint_is_an_exact_version() -> None:
    assert [line for line in constraints() if not PIN.fullmatch(line)] == []


def test_pytorch_is_pinned_for_every_build_of_it() -> None:
    assert "torch==2.13.0" in constraints()


def test_every_dependency_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *extras["test"], *extras["bench"]]
    pinned = {canonical(line.split("==")[0]) for line in constraints()}
    assert {canonical(re.split(r"[<>=\[ ]", name)[0]) for name in wanted} <= pinned


def test_every_pin_is_a_version_the_project_allows() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *chain(*project["optional-dependencies"].values())]
    pins = {canonical(name): version for name, _, version in (line.partition("==") for line in constraints())}
    for requirement in map(Requirement, wanted):
        version = pins.get(canonical(requirement.name))
        assert version is None or version in requirement.specifier, requirement


def test_no_filelock_is_allowed_that_lets_two_in_where_a_lock_s_file_is_deleted() -> None:
    """To 3.20 it did not look at what it had locked, and to 3.29.4 deleted a file that might be another's."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (filelock,) = (one for one in map(Requirement, project["dependencies"]) if one.name == "filelock")
    assert [one for one in ("3.20.3", "3.29.4", "3.29.5") if one in filelock.specifier] == ["3.29.5"]


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_an_old_python_is_refused_with_a_remedy(tmp_path: Path) -> None:
    old = tmp_path / "python2"
    old.write_text(
        '#!/bin/sh\n[ "$1" = --version ] && echo Python 3.9.18 && exit 0\nexit 1\n', encoding="utf-8"
    )
    old.chmod(0o755)
    make = ["make", "-f", str(ROOT / "Makefile"), f"PYTHON={old}", "VENV=venv", "venv/bin/python"]
    result = run(*make, cwd=tmp_path)
    assert result.returncode != 0
    assert "cp-search needs Python 3.11 or newer" in result.stderr
    assert "Python 3.9.18" in result.stderr
    assert "make PYTHON=" in result.stderr
    assert not (tmp_path / "venv").exists()
