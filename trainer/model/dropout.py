"""Dropout whose masks are cheap to draw on a CPU.

torch draws a double for every element, one core after the other; here an element takes 16 bits of the same
generator: about half of the time in float32, a third in bfloat16 (docs/decisions/0051).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

#: of the bits that decide over an element
_STEPS = 1 << 16
_LOWEST = torch.iinfo(torch.int64).min
#: `generator`: where a thread draws from if not from torch's own, which all threads share
_thread = threading.local()


@contextmanager
def masks_from(generator: torch.Generator) -> Iterator[None]:
    """Within it this thread's masks are drawn from `generator`."""
    _thread.generator = generator
    try:
        yield
    finally:
        _thread.generator = None


def dropout(values: Tensor, p: float) -> Tensor:
    """Zero each element with probability p (rounded to 1/65536), and scale the others to the same mean."""
    dropped = round(p * _STEPS)
    if dropped == 0:
        return values
    if dropped == _STEPS:
        return values * 0
    generator = getattr(_thread, "generator", None)
    words = torch.empty(-(-values.numel() // 4), dtype=torch.int64).random_(
        _LOWEST, None, generator=generator
    )
    bits = words.view(torch.int16)[: values.numel()].view(values.shape)
    kept = bits >= dropped - _STEPS // 2
    return values * kept.to(values.dtype).mul_(_STEPS / (_STEPS - dropped))


class CheapDropout(nn.Dropout):
    """torch's layer, drawing its masks so."""

    def forward(self, input: Tensor) -> Tensor:  # torch's name
        """As torch's, of another draw."""
        return dropout(input, self.p) if self.training else input


def use_cheap_dropout(net: nn.Module) -> None:
    """Let every dropout layer of `net` draw its masks so; what it is saved as does not change."""
    for module in net.modules():
        if type(module) is nn.Dropout:
            module.__class__ = CheapDropout
