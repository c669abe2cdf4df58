from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from trainer.processor import multiplies_bf16


@pytest.mark.parametrize(
    ("flags", "units"), [("fpu sse amx_bf16 amx_tile", True), ("fpu avx512_bf16 amx_int8", False), ("", False)]
)
def test_only_matrix_units_for_bfloat16_count(
    flags: str, units: bool, processor: Callable[[str], None]
) -> None:
    processor(flags)
    assert multiplies_bf16() is units


def test_where_nobody_says_what_the_processor_has_nothing_is_taken_for_granted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainer.processor.CPUINFO", tmp_path / "none")
    assert not multiplies_bf16()
    (tmp_path / "arm").write_text("Features : fp asimd bf16\n", encoding="utf-8")
    monkeypatch.setattr("trainer.processor.CPUINFO", tmp_path / "arm")
    assert not multiplies_bf16()
