from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from trainer.processor import CPUINFO, lends_tiles, multiplies_bf16


@pytest.mark.parametrize(
    ("flags", "units"),
    [("fpu sse amx_bf16 amx_tile", True), ("fpu avx512_bf16 amx_int8", False), ("", False)],
)
def test_only_matrix_units_for_bfloat16_count(
    flags: str, units: bool, processor: Callable[[str], None]
) -> None:
    processor(flags)
    assert multiplies_bf16() is units


@pytest.mark.parametrize(
    ("limit", "units"),
    [("AVX512_CORE_BF16", False), ("avx2", False), ("AVX512_CORE_AMX", True), ("default", True), ("", True)],
)
def test_a_limit_on_what_may_be_used_is_heeded(
    limit: str, units: bool, processor: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    processor("amx_bf16")
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", limit)
    assert multiplies_bf16() is units


def test_a_flag_whose_registers_the_kernel_does_not_lend_is_not_enough(
    processor: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    processor("amx_bf16")
    monkeypatch.setattr("trainer.processor.lends_tiles", lambda: False)
    assert not multiplies_bf16()


def test_the_kernel_is_asked_and_agrees_with_torch() -> None:
    if multiplies_bf16():
        assert torch.cpu._is_amx_tile_supported()
    else:
        assert not (lends_tiles() and "amx_bf16" in CPUINFO.read_text("utf-8"))


def test_where_nobody_says_what_the_processor_has_nothing_is_taken_for_granted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainer.processor.CPUINFO", tmp_path / "none")
    assert not multiplies_bf16()
    (tmp_path / "arm").write_text("Features : fp asimd bf16\n", encoding="utf-8")
    monkeypatch.setattr("trainer.processor.CPUINFO", tmp_path / "arm")
    assert not multiplies_bf16()
