"""Python, the packages, the terminal."""

from __future__ import annotations

import locale
import platform
import re
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from typing import TextIO

from packaging.requirements import Requirement

from search.doctor.finding import Finding

PACKAGE = "cp-search"
OLDEST_PYTHON = (3, 11)
#: worth naming when all is well
_SHOWN = ("torch", "transformers", "optuna", "optuna-dashboard")


def software() -> Iterator[Finding]:
    """Interpreter, installed versions against the required ones, extras, encoding."""
    yield python(sys.version_info[:2])
    yield packages(requires(PACKAGE) or [])
    yield extras(requires(PACKAGE) or [])
    yield encoding(sys.stdout)


def python(running: tuple[int, ...]) -> Finding:
    """The interpreter."""
    found = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    if running >= OLDEST_PYTHON:
        return Finding("Python", "ok", found)
    wanted = ".".join(map(str, OLDEST_PYTHON))
    return Finding("Python", "fault", found, f"install Python {wanted} or newer and make a new venv with it")


def packages(required: list[str]) -> Finding:
    """What the package needs, without its extras."""
    needs = [Requirement(text) for text in required if "extra ==" not in text]
    wrong = [problem for need in needs if _applies(need) and (problem := _problem(need))]
    if wrong:
        remedy = f"pip install -c constraints.txt '{PACKAGE}' in this venv (torch first, pinned exactly)"
        return Finding("Packages", "fault", "; ".join(wrong), remedy)
    shown = ", ".join(f"{name} {version(name)}" for name in (PACKAGE, *_SHOWN))
    return Finding("Packages", "ok", shown)


def extras(required: list[str]) -> Finding:
    """Which optional parts are there; none is needed for the main job."""
    groups: dict[str, bool] = {}
    for text in required:
        name = re.search(r"extra == ['\"]([\w-]+)['\"]", text)
        if name and name[1] != "test":
            groups[name[1]] = groups.get(name[1], True) and _problem(Requirement(text)) is None
    there = [name for name, whole in groups.items() if whole]
    missing = [name for name, whole in groups.items() if not whole]
    found = f"installed: {', '.join(there) or 'none'}; not installed: {', '.join(missing) or 'none'}"
    return Finding("Extras", "ok", found)


def encoding(stream: TextIO) -> Finding:
    """Whether Chinese text can be printed."""
    name = (stream.encoding or locale.getpreferredencoding(False)).upper()
    if name.replace("-", "") in ("UTF8", "GB18030"):
        return Finding("Encoding", "ok", name)
    remedy = "set PYTHONUTF8=1 (files are read as UTF-8 in any case; only what is printed suffers)"
    return Finding("Encoding", "note", f"{name}: Chinese text may be printed as ? or fail", remedy)


def _applies(need: Requirement) -> bool:
    return need.marker is None or need.marker.evaluate()


def _problem(need: Requirement) -> str | None:
    try:
        there = version(need.name)
    except PackageNotFoundError:
        return f"{need.name} is not installed"
    if need.specifier.contains(there, prereleases=True):
        return None
    return f"{need.name} {there} does not satisfy {need.specifier}"
