"""What the CPU of this machine computes fast."""

from __future__ import annotations

from pathlib import Path

#: Linux names there what a processor has; elsewhere nothing is known, and float32 is taken
CPUINFO = Path("/proc/cpuinfo")


def multiplies_bf16() -> bool:
    """Whether this CPU has matrix units for bfloat16 (Intel's AMX), as Linux says.

    bfloat16 instructions without such units (AVX512_BF16) do not count: with them a training step was slower
    than in float32 (docs/decisions/0051). Needs no torch.
    """
    try:
        lines = CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    flags = next((line for line in lines if line.startswith("flags")), "")
    return "amx_bf16" in flags.split()
