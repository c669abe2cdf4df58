"""From what a card is to the live thing that holds a run to it."""

from __future__ import annotations

from trainer.memory.card import Card, CardSpec, present_card


def open_card(spec: CardSpec | None, *, present: CardSpec | None = None) -> Card:
    """The live card for `spec`; None: the CUDA device if there is one, else the CPU without a limit.

    present: that device, if its context has been measured (`measured_card`). A spec that is not virtual caps
    the CUDA device where there is one; without a GPU nothing is capped.
    """
    if spec is not None and spec.virtual:
        from trainer.memory.virtual import VirtualCard

        return VirtualCard(spec)
    present = present or present_card(spec.index or 0 if spec else 0)
    if present is None:
        from trainer.memory.host import HostCard

        return HostCard()
    from trainer.memory.cuda import CudaCard

    return CudaCard(present, cap=spec)
