"""Every public name of both packages as a page of Markdown, read off their `HOMES` and their source.

The source is parsed, not imported: the page takes no torch to write.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import search
import trainer

_HEADER = """# Public names

What a program may import: `from trainer import …` for one run, `from search import …` for many. Everything
else may change without notice. [python.md](python.md) shows the most used of them at work. This page is
written by `python -m search.surface`; a test fails when it is not what the code says.

A name has its parameters behind it (`=…`: may be left out; behind `*`: by keyword; a long list is cut), and
the first sentence of its docstring; the docstring has the rest: units, shapes, what is raised. The headings
are the modules where the names live.
"""
_SENTENCE = re.compile(r"(.+?)\.(?:\s|$)")
#: characters of a signature; a record with many fields is cut there
_WIDTH = 110


@dataclass(frozen=True)
class Home:
    """The source of the module called `module`, where public names live."""

    module: str

    @cached_property
    def source(self) -> str:
        """The text of the file. Raises ModuleNotFoundError: there is no such module."""
        spec = find_spec(self.module)
        if spec is None or spec.origin is None:
            raise ModuleNotFoundError(self.module)
        return Path(spec.origin).read_text(encoding="utf-8")

    @cached_property
    def tree(self) -> ast.Module:
        """Its syntax."""
        return ast.parse(self.source)

    @property
    def title(self) -> str:
        """The first line of the module's docstring."""
        return (ast.get_docstring(self.tree) or "").partition("\n")[0]

    def meaning(self, name: str) -> str:
        """The first sentence about `name`, without its full stop; empty: nothing is said of it.

        A class or function has a docstring; a value or a type alias the `#:` lines above it.
        """
        node = self._definition(name)
        said = self._above(node) if isinstance(node, ast.Assign) else ast.get_docstring(node)
        words = " ".join((said or "").split("\n\n")[0].split())
        found = _SENTENCE.match(words)
        return found[1] if found else words

    def shown(self, name: str) -> str:
        """`run(config, *, report=…)`, `Silent`, `Metrics = Mapping[str, float]`."""
        node = self._definition(name)
        if isinstance(node, ast.Assign):
            definition = ast.unparse(node.value)
            return f"{name} = {definition}" if len(definition) < _WIDTH else name
        if isinstance(node, ast.FunctionDef):
            return f"{name}({_shortened(_parameters(node.args))})"
        taken = list(_taken(node))
        return f"{name}({_shortened(taken)})" if taken else name

    def _definition(self, name: str) -> ast.Assign | ast.ClassDef | ast.FunctionDef:
        """Where `name` is made. Raises LookupError: not here."""
        for node in self.tree.body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
                return node
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
                return node
        raise LookupError(f"{self.module} makes no {name}")

    def _above(self, node: ast.Assign) -> str:
        """The `#:` lines above an assignment."""
        above = self.source.splitlines()[: node.lineno - 1]
        found: list[str] = []
        while above and above[-1].startswith("#: "):
            found.insert(0, above.pop().removeprefix("#: "))
        return " ".join(found)


def reference() -> str:
    """The whole page."""
    return "\n".join([_HEADER, *_package(trainer), *_package(search)])


def _package(package: ModuleType) -> Iterator[str]:
    yield f"## {package.__name__}\n\n{Home(package.__name__).title}\n"
    for home in map(Home, sorted(package.HOMES)):
        yield f"### {home.module}\n\n{home.title}\n"
        yield from (f"- `{home.shown(name)}`: {home.meaning(name)}." for name in package.HOMES[home.module])
        yield ""


def _taken(node: ast.ClassDef) -> Iterator[str]:
    """What the class is made with: the fields of a dataclass, or the parameters of its own `__init__`."""
    for one in node.body:
        if isinstance(one, ast.FunctionDef) and one.name == "__init__":
            yield from list(_parameters(one.args))[1:]
        elif _is_dataclass(node) and isinstance(one, ast.AnnAssign) and "init=False" not in ast.unparse(one):
            yield ast.unparse(one.target) + ("=…" if one.value and _has_default(one.value) else "")


def _is_dataclass(node: ast.ClassDef) -> bool:
    return any(ast.unparse(one).startswith("dataclass") for one in node.decorator_list)


def _has_default(value: ast.expr) -> bool:
    """Not of `field(repr=False)` alone."""
    if isinstance(value, ast.Call) and ast.unparse(value.func) == "field":
        return any(str(word.arg).startswith("default") for word in value.keywords)
    return True


def _parameters(given: ast.arguments) -> Iterator[str]:
    placed = [*given.posonlyargs, *given.args]
    required = len(placed) - len(given.defaults)
    yield from (one.arg if at < required else f"{one.arg}=…" for at, one in enumerate(placed))
    if given.vararg or given.kwonlyargs:
        yield f"*{given.vararg.arg if given.vararg else ''}"
    for one, default in zip(given.kwonlyargs, given.kw_defaults, strict=True):
        yield f"{one.arg}=…" if default else one.arg
    if given.kwarg:
        yield f"**{given.kwarg.arg}"


def _shortened(words: Iterator[str] | list[str]) -> str:
    listed = ", ".join(words)
    return listed if len(listed) < _WIDTH else listed[:_WIDTH].rpartition(", ")[0] + ", …"


if __name__ == "__main__":
    Path("docs/api.md").write_text(reference(), encoding="utf-8")
