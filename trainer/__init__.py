"""One training run: a configuration goes in, an `Outcome` comes out.

The public surface of the package. Names load on first use, so that commands which need no
tensors (`--help`, `status`) never import torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trainer.config.schema import Config as Config
    from trainer.outcome import Observer as Observer
    from trainer.outcome import Outcome as Outcome
    from trainer.outcome import Report as Report
    from trainer.outcome import Silent as Silent

_HOMES = {
    "trainer.config.schema": ["Config"],
    "trainer.outcome": ["Observer", "Outcome", "Report", "Silent"],
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME_OF)  # noqa: PLE0605  # derived from _HOMES, which is the one list


def __getattr__(name: str) -> Any:
    """Load `name` from its home module on first use."""
    if name not in _HOME_OF:
        raise AttributeError(f"module 'trainer' has no attribute {name!r}")
    return getattr(import_module(_HOME_OF[name]), name)
