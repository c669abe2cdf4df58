"""Which language: what was asked for, else the locale's, else English."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence

#: set for this process and its children by `--lang`
VARIABLE = "CP_SEARCH_LANG"
ENGLISH = "en"
LANGUAGES = (ENGLISH, "zh-TW")
#: locales of readers of Traditional Chinese; POSIX asks these variables in this order
_TRADITIONAL = ("zh_TW", "zh_HK", "zh_MO", "zh-Hant")
_LOCALES = ("LC_ALL", "LC_MESSAGES", "LANG")


def choose(words: Sequence[str]) -> list[str]:
    """Take `--lang` out of a command's words, wherever it stands, and make it this process's language.

    Raises:
        ValueError: a language that there is no catalogue for, worded for the user.
    """
    rest: list[str] = []
    left = iter(words)
    for word in left:
        flag, _, value = word.partition("=")
        if flag == "--lang":
            os.environ[VARIABLE] = _known(value or next(left, ""))
            continue
        rest.append(word)
        if word == "--":  # what follows is no flag of anybody
            rest += left
    return rest


def current(environment: Mapping[str, str] | None = None) -> str:
    """The language of `environment` (None: this process's)."""
    there = os.environ if environment is None else environment
    asked = there.get(VARIABLE)
    if asked:
        return asked if asked in LANGUAGES else ENGLISH
    locale = next((there[name] for name in _LOCALES if there.get(name)), "") or _windows_locale()
    return "zh-TW" if locale.startswith(_TRADITIONAL) else ENGLISH


def _windows_locale() -> str:
    """What Windows shows its menus in, as in zh_TW, for it sets no locale variables; elsewhere nothing."""
    if sys.platform != "win32":
        return ""
    import ctypes
    from locale import windows_locale

    return windows_locale.get(ctypes.windll.kernel32.GetUserDefaultUILanguage(), "")


def _known(name: str) -> str:
    """The language of a tag in any case and with either dash."""
    wanted = name.replace("_", "-").lower()
    for language in LANGUAGES:
        if language.lower() == wanted:
            return language
    if not name:
        raise ValueError(f"--lang without a value: there are {', '.join(LANGUAGES)}")
    raise ValueError(f"--lang {name}: there are {', '.join(LANGUAGES)}")
