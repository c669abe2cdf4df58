"""The profile of a step lays every operation to one kind."""

from __future__ import annotations

import pytest
import torch

from benchmarks.step_profile import KINDS, REST, shares


def test_shares_are_of_all_the_time_largest_first_and_what_is_unknown_is_the_rest() -> None:
    found = shares({"aten::mm": 3.0, "aten::addmm": 3.0, "aten::gelu": 1.5, "aten::new": 0.5, "other": 2.0})
    assert list(found.items()) == [("matrix products", 0.6), (REST, 0.25), ("GELU", 0.15)]


def test_every_operation_of_a_kind_is_one_of_torch_s_and_of_no_other_kind() -> None:
    names = [name for kind in KINDS.values() for name in kind]
    assert [name for name in names if not hasattr(torch.ops.aten, name)] == []
    assert len(set(names)) == len(names)
    assert sum(shares({f"aten::{name}": 1.0 for name in names}).values()) == pytest.approx(1.0)
