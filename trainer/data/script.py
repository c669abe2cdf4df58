"""Simplified or traditional: told by characters that only one of two national sets holds.

GB 2312 (1980, mainland China) holds simplified forms, Big5 (1984, Taiwan) traditional ones, and characters
that were never simplified are in both. Python has codecs for the two, so no table is needed. It is a
heuristic: a few characters (囧, 屌, 着) are in one set only although both sides write them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

METHOD = "characters that only GB 2312 (simplified) or only Big5 (traditional) holds"

#: The blocks of ideographs that either set draws from.
_FIRST, _LAST = "\u4e00", "\u9fff"


@dataclass(frozen=True)
class ScriptCount:
    """Texts by the script of their telling characters; `mixed`: both at least once, `neither`: none."""

    simplified: int
    traditional: int
    mixed: int
    neither: int

    @property
    def main(self) -> str | None:
        """The script of most texts that show one; None: no text shows any."""
        if not self.simplified and not self.traditional:
            return None
        return "simplified" if self.simplified >= self.traditional else "traditional"

    @property
    def minority(self) -> float:
        """Share of the texts that show the other script, or both, among those that show any."""
        telling = self.simplified + self.traditional + self.mixed
        return (min(self.simplified, self.traditional) + self.mixed) / telling if telling else 0.0


def count_scripts(texts: Iterable[str]) -> ScriptCount:
    """Count the scripts of `texts`."""
    simplified, traditional = telling_characters()
    counts = {(True, False): 0, (False, True): 0, (True, True): 0, (False, False): 0}
    for text in texts:
        characters = set(text)
        counts[not characters.isdisjoint(simplified), not characters.isdisjoint(traditional)] += 1
    return ScriptCount(*counts.values())


def telling_characters() -> tuple[frozenset[str], frozenset[str]]:
    """(simplified only, traditional only)."""
    every = [chr(code) for code in range(ord(_FIRST), ord(_LAST) + 1)]
    mainland = {character for character in every if _holds("gb2312", character)}
    taiwan = {character for character in every if _holds("big5", character)}
    return frozenset(mainland - taiwan), frozenset(taiwan - mainland)


def _holds(codec: str, character: str) -> bool:
    return bool(character.encode(codec, "ignore"))
