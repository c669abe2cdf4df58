"""Lines of English turned into lines of another language, by templates.

The code words its messages in English and formats them there. A catalogue holds the templates of whole
lines with `{names}` for what varies; a line that fits one is said in the other language, any other line
stays as it is: better an English line than a wrong one. `{hint*}` may be empty, and is itself translated.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache, cached_property
from pathlib import Path
from unicodedata import category, east_asian_width

from search.language.choice import ENGLISH, current

#: Unicode's categories of what is drawn over the character before it
_OVER_ANOTHER = {"Mn", "Me"}
#: drawn not at all: zero-width space and joiners, word joiner, byte order mark
_UNSEEN = "\u200b\u200c\u200d\u2060\ufeff"

_FIELD = re.compile(r"\{(\w+)(\*?)\}")
_PLAIN = re.compile(r"\{\w+\}")
#: what a user's error begins with: a file with line, maybe with column, or the flag
_PLACE = re.compile(r"(?P<place>(?:.+?:\d+(?::\d+)?|--set \S+): )(?P<rest>.*)")
#: after that, the key it is about
_KEY = re.compile(r"(?P<place>[a-z_][\w.]*: )(?P<rest>.*)")
#: or a file alone
_FILE = re.compile(r"(?P<place>\S*[./\\]\S*: )(?P<rest>.*)")

#: a name in a column of its own, or nothing there, and what is said beside it
_COLUMNS = re.compile(r"(?P<name>[A-Z][a-z]*)?(?P<gap> {2,})(?P<text>\S.*)")


class Template:
    """One message with fields. `nested`: the names of those whose values are translated as well.

    Its pattern is compiled for the first line that begins and ends as it does: there are hundreds of
    messages, and few of them are said.
    """

    def __init__(self, english: str, other: str) -> None:
        self.other = _FIELD.sub(r"{\1}", other)
        self.nested = frozenset(name for name, star in _FIELD.findall(english) if star)
        self._english = english
        self._fixed = _FIELD.split(english)[:: _FIELD.groups + 1]

    def values(self, line: str) -> dict[str, str] | None:
        """What the fields are in `line`; None where it is another message."""
        if not (line.startswith(self._fixed[0]) and line.endswith(self._fixed[-1])):
            return None
        found = self._pattern.fullmatch(line)
        return None if found is None else found.groupdict()

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        return _compiled(self._english)


class Catalogue:
    """Messages of one language."""

    def __init__(self, messages: Mapping[str, str]) -> None:
        self._whole = {english: other for english, other in messages.items() if not _FIELD.search(english)}
        varying = [english for english in messages if english not in self._whole]
        # The more of a line a template fixes, the surer it is right; one that takes any beginning last.
        varying.sort(key=lambda english: (bool(_PLAIN.match(english)), -len(_FIELD.sub("", english))))
        self._templates = [Template(english, messages[english]) for english in varying]

    def line(self, line: str) -> str:
        """`line` in the catalogue's language; as it is where no message fits."""
        if line in self._whole:
            return self._whole[line]
        columns = _COLUMNS.fullmatch(line)
        if columns and (columns["name"] is None or columns["name"] in self._whole):
            name = self._whole.get(columns["name"] or "", "")
            return padded(name, to=columns.start("text")) + self.line(columns["text"])
        # First: a template that begins with a field would take the place for a part of that.
        placed = self._behind(_PLACE, line)
        if placed:
            return placed
        for template in self._templates:
            values = template.values(line)
            if values is not None:
                return template.other.format(
                    **{
                        name: self.line(value) if name in template.nested else value
                        for name, value in values.items()
                    }
                )
        return self._behind(_FILE, line) or line

    def _behind(self, place: re.Pattern[str], line: str) -> str | None:
        """A line with a place in front; None: there is none, or what follows has no message."""
        found = place.fullmatch(line)
        if found is None:
            return None
        rest = found["rest"]
        said = (self._behind(_KEY, rest) if place is _PLACE else None) or self.line(rest)
        return found["place"] + said if said != rest else None

    def paragraphs(self, text: str) -> str:
        """`text` by paragraphs, in which line breaks mean nothing; what has no message stays as it is."""
        parts = [" ".join(part.split()) for part in text.split("\n\n")]
        return "\n\n".join(map(self.line, parts))


def translated(text: str, *, language: str | None = None) -> str:
    """`text` line by line in `language` (None: this process's)."""
    name = language or current()
    if name == ENGLISH:
        return text
    catalogue = load(name)
    return "\n".join(map(catalogue.line, text.split("\n")))


def explained(text: str) -> str:
    """A help text, paragraph by paragraph, in this process's language."""
    name = current()
    return text if name == ENGLISH else load(name).paragraphs(text)


@cache
def load(language: str) -> Catalogue:
    """The catalogue of a language other than English."""
    return Catalogue(messages(language))


def messages(language: str) -> dict[str, str]:
    """English template -> the language's, as its files have them."""
    # English needs none, and every command passes here.
    import yaml

    # Built without libyaml, PyYAML has only the loader in Python, which takes ten times as long.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    found: dict[str, str] = {}
    for path in sorted(Path(__file__).parent.glob(f"{language}*.yaml")):
        found |= yaml.load(path.read_text(encoding="utf-8"), Loader=loader)
    return found


def padded(text: str, *, to: int) -> str:
    """`text` with spaces up to a column of the terminal."""
    return text + " " * max(1 if text else 0, to - cells(text))


def cells(text: str) -> int:
    """Columns that `text` takes on a terminal: two for a Chinese character, none for an accent of its own."""
    return sum(map(_width, text))


def _width(character: str) -> int:
    if category(character) in _OVER_ANOTHER or character in _UNSEEN:
        return 0
    return 2 if east_asian_width(character) in "WF" else 1


def _compiled(english: str) -> re.Pattern[str]:
    pattern, after_field = "", False
    for text, field in _pieces(english):
        pattern += _group(field, after_field=after_field) if field else re.escape(text)
        after_field = field is not None or (after_field and not text)
    return re.compile(pattern)


def _group(field: re.Match[str], *, after_field: bool) -> str:
    """A field as a group.

    A nested one right before a plain one is one word; right behind another one it begins with the mark that
    sets it off.
    """
    name, nested = field.groups()
    if not nested:
        return f"(?P<{name}>.+?)"
    if _PLAIN.match(field.string, field.end()):
        return rf"(?P<{name}>\w+)"
    return f"(?P<{name}>(?: ?[;,:(].*?)?)" if after_field else f"(?P<{name}>.*?)"


def _pieces(english: str) -> list[tuple[str, re.Match[str] | None]]:
    """Fixed texts and fields of a template, in their order."""
    pieces: list[tuple[str, re.Match[str] | None]] = []
    start = 0
    for field in _FIELD.finditer(english):
        pieces += [(english[start : field.start()], None), ("", field)]
        start = field.end()
    return [*pieces, (english[start:], None)]
