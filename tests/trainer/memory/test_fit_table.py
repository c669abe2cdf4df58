"""The table of what fits: each cell the first way that does, and how far each length goes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.trainer.memory.encoders import bert
from trainer.memory.card import CardSpec
from trainer.memory.fit_table import (
    ALWAYS,
    CHECKPOINTED,
    MOST_ROWS,
    OFFLOADED,
    PLAIN,
    FitQuestion,
    FitTable,
    ways_of,
)
from trainer.memory.fit_table import fit_table as planned
from trainer.memory.plan import MIB, Planner
from trainer.memory.plan_cache import PlanCache
from trainer.memory.request import PlanRequest, encoder_json


@pytest.fixture(scope="module")
def plans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for all tests: a trace takes a while."""
    return tmp_path_factory.mktemp("plans")


def question(limit_mib: int = 600, **changes: object) -> FitQuestion:
    encoder = encoder_json(bert(layers=2, width=256, vocabulary=40_000))
    request = PlanRequest(encoder, rows=1, length=1, precision="fp16")
    card = CardSpec("test", limit_mib * MIB, reserved_bytes=100 * MIB)
    asked = FitQuestion(request, card, lengths=(64,), batches=(1, 16, 64, 4096))
    return replace(asked, **changes)  # type: ignore[arg-type]  # fields of the dataclass


def table(asked: FitQuestion, directory: Path) -> FitTable:
    return planned(asked, cache=PlanCache(directory), progress=lambda _: None)


@pytest.mark.slow
def test_a_cell_takes_the_first_way_that_fits(plans: Path) -> None:
    plain, checkpointed = table(question(), plans).reach[64]
    asked = question(batches=(1, plain.largest + 2, checkpointed.largest, 4096))
    found = table(asked, plans)
    planner = Planner(PlanCache(plans))
    for cell in found.cells:
        fitting = [
            way
            for way in asked.ways
            if asked.fits(planner.plan(asked.request_at(64, rows=cell.request.rows, way=way)))
        ]
        assert cell.way == (fitting[0] if fitting else CHECKPOINTED)
        assert cell.fits == bool(fitting)
        assert cell.measures == cell.way.measures
    assert {cell.way.checkpointing for cell in found.cells} == {False, "selective", True}


@pytest.mark.slow
def test_the_largest_micro_batch_fits_and_the_next_does_not(plans: Path) -> None:
    asked = question()
    plain, checkpointed = table(asked, plans).reach[64]
    assert (plain.way, checkpointed.way) == (PLAIN, CHECKPOINTED)
    assert 0 < plain.largest < checkpointed.largest < MOST_ROWS
    assert plain.bytes_per_row > checkpointed.bytes_per_row > 0
    planner = Planner(PlanCache(plans))
    for one in (plain, checkpointed):
        last, over = (asked.request_at(64, rows=one.largest + more, way=one.way) for more in (0, 1))
        assert asked.fits(planner.plan(last))
        assert not asked.fits(planner.plan(over))


@pytest.mark.slow
def test_host_memory_is_tried_only_where_nothing_else_fits(plans: Path) -> None:
    asked = question(rescue=OFFLOADED)
    assert OFFLOADED not in {one.way for one in table(asked, plans).reach[64]}
    offloaded = Planner(PlanCache(plans)).plan(asked.request_at(64, rows=4, way=OFFLOADED))
    small = table(question(offloaded.needed_bytes // MIB + 1, rescue=OFFLOADED), plans)
    assert [one.largest > 0 for one in small.reach[64]] == [False, False, True]
    assert small.cells[0].fits
    assert small.cells[0].measures == ("gradient checkpointing", "optimizer state in host memory")
    assert small.cells[0].plan.optimizer_bytes < 0.01 * small.cells[0].plan.weights_bytes


@pytest.mark.slow
def test_gradients_stay_alive_below_the_effective_batch(plans: Path) -> None:
    asked = question(limit_mib=4000, batches=(16, 32), accumulates_below=32)
    cells = table(asked, plans).cells
    assert [cell.request.accumulated for cell in cells] == [True, False]
    never = table(replace(asked, accumulates_below=0), plans)
    assert cells[0].plan.tensor_peak_bytes > never.cells[0].plan.tensor_peak_bytes
    assert cells[1].plan == never.cells[1].plan


@pytest.mark.slow
def test_accumulation_leaves_less_room(plans: Path) -> None:
    alone = table(question(), plans).reach[64][0].largest
    several = table(question(accumulates_below=ALWAYS), plans).reach[64][0].largest
    assert 0 < several < alone


@pytest.mark.slow
def test_an_effective_batch_that_fits_in_one_piece_is_not_cut(plans: Path) -> None:
    alone = table(question(), plans).reach[64][0].largest
    assert table(question(accumulates_below=alone), plans).reach[64][0].largest == alone
    assert table(question(accumulates_below=alone + 1), plans).reach[64][0].largest < alone


@pytest.mark.slow
def test_what_earlier_runs_took_beyond_their_plans_is_allowed_for(plans: Path) -> None:
    alone = table(question(), plans).reach[64][0].largest
    assert table(question(calibration=1.2), plans).reach[64][0].largest < alone


def test_a_table_is_planned_once(tmp_path: Path) -> None:
    said: list[str] = []
    asked = question(ways=(PLAIN,))
    first = planned(asked, cache=PlanCache(tmp_path), progress=said.append)
    assert said == ["Planning 64 tokens"]
    again: list[str] = []
    assert planned(asked, cache=PlanCache(tmp_path), progress=again.append) == first
    assert again == []


@pytest.mark.slow
def test_rows_hold_what_a_script_needs(plans: Path) -> None:
    found = table(question(), plans)
    row = found.to_json()[0]
    assert list(row) == [
        "max_sequence_length",
        "micro_batch",
        "precision",
        "optimizer",
        "attention",
        "checkpointing",
        "tensor_peak_bytes",
        "peak_bytes",
        "device_bytes",
        "limit_bytes",
        "fits",
        "measures",
    ]
    assert (row["max_sequence_length"], row["micro_batch"], row["checkpointing"]) == (64, 1, False)
    assert row["tensor_peak_bytes"] < row["peak_bytes"] == row["device_bytes"] - 100 * MIB
    assert row["limit_bytes"] == 600 * MIB
    assert len(found.to_json()) == 4


@pytest.mark.parametrize(("asked", "count"), [(False, 3), ("selective", 2), (True, 1)])
def test_ways_begin_with_what_was_asked(asked: bool, count: int) -> None:
    ways = ways_of(asked)
    assert len(ways) == count
    assert ways[0].checkpointing == asked
    assert ways[-1] == CHECKPOINTED
