"""What the CPU of this machine computes fast."""

from __future__ import annotations

import ctypes
import os
import platform
from pathlib import Path

#: Linux names there what a processor has; elsewhere nothing is known, and float32 is taken
CPUINFO = Path("/proc/cpuinfo")

#: by which a user keeps oneDNN, which multiplies for torch, from instructions it could use
LIMITS = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")

#: arch_prctl of Linux on x86-64, and what asks it which register states a process may use
#: (arch/x86/include/uapi/asm/prctl.h); AMX keeps its tiles in state 18
_ARCH_PRCTL, _GET_XCOMP_SUPP, _TILES = 158, 0x1021, 18


def multiplies_bf16() -> bool:
    """Whether this CPU has matrix units for bfloat16 (Intel's AMX) that a process may use.

    bfloat16 instructions without such units (AVX512_BF16) do not count: with them a training step was slower
    than in float32 (docs/decisions/0051). Needs no torch.
    """
    return _has_units() and lends_tiles() and not _is_limited()


def _has_units() -> bool:
    try:
        lines = CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    flags = next((line for line in lines if line.startswith("flags")), "")
    return "amx_bf16" in flags.split()


def lends_tiles() -> bool:
    """Whether the kernel lets processes use AMX: older ones, and some sandboxes, show the flag alone."""
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        return False
    states = ctypes.c_uint64()
    failed = ctypes.CDLL(None).syscall(_ARCH_PRCTL, _GET_XCOMP_SUPP, ctypes.byref(states))
    return not failed and bool(states.value >> _TILES & 1)


def _is_limited() -> bool:
    limit = next((os.environ[name] for name in LIMITS if os.environ.get(name)), "ALL").upper()
    return "AMX" not in limit and limit not in ("ALL", "DEFAULT")
