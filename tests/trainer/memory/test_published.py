"""The plan against figures that others measured on a GPU; no constant is fitted to them."""

from __future__ import annotations

import pytest

from trainer.memory.plan import MIB, plan
from trainer.memory.published import CONTEXT_MIB, Published, published


@pytest.mark.slow
@pytest.mark.parametrize("row", published(), ids=lambda row: row.setting)
def test_a_published_figure_is_met_within_four_percent(row: Published) -> None:
    planned = plan(row.request).device_bytes(CONTEXT_MIB * MIB) / MIB
    assert planned == pytest.approx(row.device_mib, rel=0.04)
