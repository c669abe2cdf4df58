"""The edges between the rooms, and the habits that a linter does not know."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import trainer

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("trainer", "search")
MAX_LINES = 500
#: files that people write; what a generator writes (tests hold those pages to it) is as long as it must be
WRITTEN = {".py", ".md", ".yaml", ".j2", ".js", ".css", ".html", ".toml"}
GENERATED = re.compile(r"This page is\s+written by\s+`python -m [\w.]+`")
VAGUE = {"utils", "util", "common", "helpers", "helper", "misc"}
Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
SUPPRESSION = re.compile(r"#\s*(noqa|type:\s*ignore)\b(?P<rest>.*)$")
#: Homes of people and of build machines, and addresses that belong to one workplace only.
FOREIGN = re.compile(
    r"(?<![\w.])/(?:work|root|home/\w+|Users/\w+)/\w"
    r"|\b(?:files\.pythonhosted|pypi|registry\.npmjs|download\.pytorch)\.org\b"
)


def sources(*packages: str) -> list[Path]:
    return sorted(path for package in packages for path in (ROOT / package).rglob("*.py"))


def tracked() -> list[Path]:
    """Files git knows, or will know: committed, or new and not ignored."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


@cache
def imports(path: Path) -> tuple[tuple[int, str, tuple[str, ...]], ...]:
    """(line, module, names) of every import in a file; names is empty for `import module`."""
    return tuple(_imports(path))


def _imports(path: Path) -> Iterator[tuple[int, str, tuple[str, ...]]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name, ()) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}:{node.lineno}: relative import"
            yield node.lineno, node.module or "", tuple(alias.name for alias in node.names)


def imported(path: Path) -> Iterator[tuple[str, str]]:
    """(place, dotted name) of all that a file imports; `from a import b` also counts as a.b."""
    for line, module, names in imports(path):
        place = f"{path.relative_to(ROOT)}:{line}"
        for dotted in (module, *(f"{module}.{name}" for name in names)):
            yield place, dotted


def within(dotted: str, *modules: str) -> bool:
    return any(dotted == module or dotted.startswith(f"{module}.") for module in modules)


def test_the_trainer_knows_neither_the_search_nor_optuna() -> None:
    found = [
        f"{place} imports {name}"
        for path in sources("trainer")
        for place, name in imported(path)
        if within(name, "search", "optuna", "optuna_dashboard")
    ]
    assert not found


def test_no_module_needs_one_that_needs_it() -> None:
    # Also where only types are imported, or late: what two modules need of each other belongs in a third.
    modules = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in sources(*PACKAGES)}
    needs = {
        module: {name for _, name in imported(path)} & modules.keys() - {module}
        for module, path in modules.items()
        if path.name != "__init__.py"
    }
    try:
        TopologicalSorter(needs).prepare()
    except CycleError as circle:
        pytest.fail(" -> ".join(circle.args[1]))


def test_memory_does_not_know_the_loop() -> None:
    found = [
        f"{place} imports {name}"
        for path in sources("trainer/memory")
        for place, name in imported(path)
        if within(name, "trainer.loop", "trainer.run")
    ]
    assert not found


def test_the_search_uses_only_public_names_of_the_trainer() -> None:
    public = set(trainer.__all__)
    found = [
        f"{path.relative_to(ROOT)}:{line}: {module} {', '.join(names)}"
        for path in sources("search")
        for line, module, names in imports(path)
        if within(module, "trainer") and (module != "trainer" or not set(names) <= public)
    ]
    assert not found


def test_every_public_name_of_the_trainer_exists() -> None:
    for name in trainer.__all__:
        assert getattr(trainer, name) is not None


def test_a_public_name_is_never_hidden_by_a_module_of_the_same_name() -> None:
    # `import trainer.x` binds the module to the attribute `x` of the package, over the name.
    modules = {path.stem for path in (ROOT / "trainer").glob("*.py")}
    modules |= {path.parent.name for path in (ROOT / "trainer").glob("*/__init__.py")}
    assert not modules & set(trainer.__all__)


def test_only_the_command_line_knows_the_command_line() -> None:
    found = [
        f"{place} imports {name}"
        for path in sources("search")
        if "cli" not in path.relative_to(ROOT).parts
        # It imports on behalf of the children, whose main module is the command line.
        and path.name != "preload.py"
        for place, name in imported(path)
        if within(name, "search.cli", "typer")
    ]
    assert not found


def test_no_file_holds_too_much() -> None:
    long = {
        str(path.relative_to(ROOT)): text.count("\n")
        for path in tracked()
        if path.suffix in WRITTEN
        and (text := path.read_text(encoding="utf-8")).count("\n") > MAX_LINES
        and not GENERATED.search(text)
    }
    assert not long


def test_only_pages_with_a_generator_say_that_they_are_generated() -> None:
    said = {
        path.stem for path in tracked() if path.suffix == ".md" and GENERATED.search(path.read_text("utf-8"))
    }
    assert said == {"api", "configuration", "space"}


def test_every_module_is_named_for_what_it_holds() -> None:
    vague = [path for path in sources(*PACKAGES) if VAGUE & set(path.relative_to(ROOT).with_suffix("").parts)]
    assert not vague


def test_every_suppression_gives_its_reason() -> None:
    bare = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in sources(*PACKAGES, "tests", "benchmarks")
        if path != Path(__file__)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if (match := SUPPRESSION.search(line)) and "#" not in match["rest"]
    ]
    assert not bare


def test_every_public_name_has_a_docstring() -> None:
    missing = [
        f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 1)}"
        for path in sources(*PACKAGES)
        for node in public_nodes(ast.parse(path.read_text(encoding="utf-8")))
        if not ast.get_docstring(node)
    ]
    assert not missing


def public_nodes(module: ast.Module) -> Iterator[Documented]:
    """The module unless it is empty, its public functions and classes, and their public methods."""
    if module.body:
        yield module
    for node in module.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and is_public(node.name):
            yield node
        if isinstance(node, ast.ClassDef) and is_public(node.name):
            yield from (
                method
                for method in node.body
                if isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef)
                and is_public(method.name)
                and not overloads(method)
            )


def is_public(name: str) -> bool:
    return not name.startswith("_")


def overloads(method: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """A property's setter, or a method whose documentation is its base class's."""
    marks = {ast.unparse(decorator).split(".")[-1] for decorator in method.decorator_list}
    return bool(marks & {"setter", "override", "overload"})


def test_no_file_names_a_machine_or_a_package_registry() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:80]}"
        for path in tracked()
        if path != Path(__file__) and path.suffix not in {".png", ".safetensors"}
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1)
        if FOREIGN.search(line)
    ]
    assert not found
