"""Card, driver and host, with a script that plays nvidia-smi."""

from __future__ import annotations

import os
from pathlib import Path

import psutil
import pytest

from search.doctor import hardware
from search.doctor.hardware import Driver, Gpu, Torch, ask_driver, card, free_memory, host, parse_gpus
from search.host import Host
from search.seats import GUESSED_BYTES, SPARE_BYTES

RTX = Gpu("NVIDIA GeForce RTX 3050 Laptop GPU", "551.23", 4096, 3900)
CPU_BUILD = Torch("2.13.0+cpu", None, 0)
CUDA_BUILD = Torch("2.13.0+cu130", "13.0", 0)


def play_nvidia_smi(directory: Path, script: str) -> str:
    """An executable that answers like the driver's tool."""
    tool = directory / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    tool.chmod(0o755)
    return str(tool)


def test_rows_of_the_driver_s_table_become_cards() -> None:
    table = "NVIDIA A100-SXM4-40GB, 535.104.05, 40960, 40300\nTesla T4, 535.104.05, 15360, 15000\n"
    first, second = parse_gpus(table)
    assert first == Gpu("NVIDIA A100-SXM4-40GB", "535.104.05", 40960, 40300)
    assert second.name == "Tesla T4"


def test_without_the_driver_s_tool_there_is_no_card_and_no_problem() -> None:
    assert ask_driver(None) == Driver()


def test_the_driver_is_asked(tmp_path: Path) -> None:
    tool = play_nvidia_smi(tmp_path, f"echo '{RTX.name}, 551.23, 4096, 3900'")
    assert ask_driver(tool) == Driver(gpus=(RTX,))


def test_a_driver_that_does_not_match_its_library_is_a_fault_with_its_own_words(tmp_path: Path) -> None:
    tool = play_nvidia_smi(
        tmp_path, "echo 'Failed to initialize NVML: Driver/library version mismatch'; exit 18"
    )
    finding = card(ask_driver(tool), CUDA_BUILD)
    assert finding.state == "fault"
    assert "Driver/library version mismatch" in finding.found
    assert finding.remedy is not None
    assert "restart" in finding.remedy


def test_a_card_with_a_torch_built_for_cpus_is_a_fault_that_says_what_to_install() -> None:
    finding = card(Driver(gpus=(RTX,)), CPU_BUILD)
    assert finding.state == "fault"
    assert "built for CPUs only" in finding.found
    assert "2.13.0" in str(finding.remedy)


def test_a_card_whose_driver_is_too_old_is_a_fault_that_names_the_cuda_version() -> None:
    finding = card(Driver(gpus=(RTX,)), CUDA_BUILD)
    assert finding.state == "fault"
    assert "CUDA 13.0" in str(finding.remedy)


def test_no_card_is_a_note_not_a_fault() -> None:
    assert card(Driver(), CPU_BUILD).state == "note"


def test_a_card_that_torch_can_use_is_well() -> None:
    assert card(Driver(gpus=(RTX,)), Torch("2.13.0", "13.0", 1)).state == "ok"


@pytest.mark.parametrize(("free_mib", "state"), [(3900, "ok"), (1200, "note")])
def test_memory_that_others_hold_is_noted(free_mib: int, state: str) -> None:
    assert free_memory(Gpu("T4", "1", 4096, free_mib)).state == state


@pytest.mark.parametrize(("available_gib", "state"), [(8, "ok"), (1, "fault")])
def test_too_little_host_memory_is_a_fault(available_gib: int, state: str) -> None:
    assert host(available_gib * 2**30, cores=2).state == state


def test_enough_host_memory_is_what_a_trial_needs_to_be_seated() -> None:
    enough = SPARE_BYTES + GUESSED_BYTES
    assert host(enough, cores=2).state == "ok"
    short = host(enough - 1, cores=2)
    assert short.state == "fault"
    assert "1.5 GiB" in str(short.remedy)


def test_the_cores_are_those_that_a_search_counts_also_where_the_system_knows_no_affinity(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(psutil.Process, "cpu_affinity", raising=False)  # macOS has neither
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(hardware, "this_torch", lambda: CPU_BUILD)
    *_, found = hardware.hardware()
    assert found.found.endswith(f" {Host().cores()} cores")
