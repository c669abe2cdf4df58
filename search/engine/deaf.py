"""Ctrl-C is the parent's business: what the forkserver imports first, so that it does not hear it either."""

from __future__ import annotations

import signal

signal.signal(signal.SIGINT, signal.SIG_IGN)
