"""A CUDA device that is not here, as torch would describe it."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch


@dataclass(frozen=True)
class Device:
    """What is asked of torch.cuda.get_device_properties."""

    name: str
    total_memory: int
    major: int
    minor: int


def pretend(device: Device, monkeypatch: pytest.MonkeyPatch, *, hip: str | None = None) -> None:
    """`device` is the only one here. hip: the version of AMD's software that torch was built for."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _index: device)
    monkeypatch.setattr(torch.version, "hip", hip)
