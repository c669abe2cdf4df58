"""What the forkserver imports first: Ctrl-C is the parent's business, so it does not hear it either.

Nor does it look for garbage while it imports, where nothing is: a fifth of the time. `preload` ends that.
"""

from __future__ import annotations

import gc
import signal

signal.signal(signal.SIGINT, signal.SIG_IGN)
gc.disable()
