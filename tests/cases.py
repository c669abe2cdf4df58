"""Cases of one rule that are too dear for the quick loop: some run there, all of them in `make test`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def quick(first: Any, *, others: Iterable[Any]) -> list[Any]:
    """Cases for `parametrize`: `first` in the quick loop, the others, which hardly fail without it, slow.

    A case of several arguments is a tuple.
    """
    return [first, *(pytest.param(*_arguments(one), marks=pytest.mark.slow) for one in others)]


def _arguments(case: Any) -> tuple[Any, ...]:
    return case if isinstance(case, tuple) else (case,)
