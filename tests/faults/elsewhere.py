"""`cp-search` on a machine of another name whose heart beats fast: python -m tests.faults.elsewhere NAME …"""

from __future__ import annotations

import socket
import sys
from functools import partial

from search import ownership
from search.finish import turn
from search.heart import Heart

#: from one beat to the next: an owner is known to be gone after `search.heart.STALE_LOOKS` of them
BEAT_S = 0.5


def be(name: str) -> None:
    """From now on this process runs on a machine called `name`."""
    socket.gethostname = lambda: name
    for module in (ownership, turn):
        setattr(module, "Heart", partial(Heart, beat_s=BEAT_S))  # noqa: B010  # it is a class, to mypy


if __name__ == "__main__":
    from search.cli.app import build_app

    be(sys.argv[1])
    build_app()(sys.argv[2:])
