"""What trials ask of a cluster's nodes, and how many of them it holds at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from search.engine.job import ProbeJob, TrainJob
from search.engine.local import LocalEngine
from search.engine.ray import Needs, RayEngine
from search.placing import Placing, open_engine, seats_on
from search.room import Planned, RoomBook, SpaceRoom
from search.seats import GUESSED_BYTES, Wish
from search.space import Space, load_space
from trainer import Room, UserError

GIB = 2**30
SPACE = """
name: placed
base: fast_dev
set: {model.name: "builtin:tiny"}
search:
  training.batch_size: {type: categorical, choices: [4, 8, 16]}
budget: {trials: 90}
"""


class Cluster(RayEngine):
    """Nodes with these resources, without Ray."""

    def __init__(self, *nodes: dict[str, float]) -> None:
        self._ray = self
        self._nodes = nodes

    def nodes(self) -> list[dict[str, Any]]:
        """As Ray tells of them."""
        return [{"Resources": resources, "Alive": True} for resources in self._nodes]


@pytest.fixture
def space(tmp_path: Path) -> Space:
    path = tmp_path / "placed.yaml"
    path.write_text(SPACE, encoding="utf-8")
    return load_space(str(path))


def room(needed_gib: float, verdict: Any = "fits") -> Room:
    return Room(verdict, int(needed_gib * GIB), int(needed_gib * GIB), int(3.5 * GIB))


def book(space: Space, *rooms: Room) -> RoomBook:
    """Plans for batches of 4, 8 and 16."""
    planned = tuple(
        Planned({"training.batch_size": batch}, room) for batch, room in zip((4, 8, 16), rooms, strict=True)
    )

    def ask(_configs: Any) -> list[Room]:
        raise AssertionError("all were planned before")

    return RoomBook(space, SpaceRoom("card", planned), ask=ask)


def job(space: Space, *, batch: int) -> TrainJob:
    return TrainJob(space.trial_config({"training.batch_size": batch}), "trial-0000")


def test_on_gpus_a_trial_asks_for_its_share_of_a_card_cuda_included(space: Space) -> None:
    rooms = book(space, room(0.5), room(1.75), room(4, "tight"))
    placing = Placing(gpus=True, rooms=rooms, reserved_bytes=GIB // 2)
    assert [placing(job(space, batch=batch)).gpus for batch in (4, 8, 16)] == [0.25, 0.57, 1.0]
    assert placing(ProbeJob("probe")).gpus == 1.0


def test_without_gpus_a_trial_asks_for_host_memory_as_planned(space: Space) -> None:
    placing = Placing(rooms=book(space, room(1), room(2), room(3)))
    assert placing(job(space, batch=8)) == Needs(memory_bytes=GUESSED_BYTES + 2 * GIB)
    assert placing(ProbeJob("probe")) == Needs(memory_bytes=GUESSED_BYTES)


def test_a_cluster_has_seats_for_the_largest_trial_that_was_planned_and_may_run(space: Space) -> None:
    node = {"CPU": 8.0, "memory": 16.0 * GIB}
    placing = Placing(rooms=book(space, room(1), room(3), room(9, "no")))
    assert seats_on(Cluster(node, node), placing, Wish(trials=90)).count == 8
    assert seats_on(Cluster(node, node), Placing(), Wish(trials=90)).count == 16, "1 GiB: nothing was planned"


def test_on_gpus_there_is_a_seat_for_each_unless_a_number_is_named(space: Space) -> None:
    cluster = Cluster({"CPU": 16.0, "GPU": 2.0, "memory": 64.0 * GIB})
    placing = Placing(gpus=True, rooms=book(space, *[room(0.5)] * 3))
    assert seats_on(cluster, placing, Wish(trials=90)).count == 2
    assert seats_on(cluster, placing, Wish(jobs=4, trials=90)).count == 4


@pytest.mark.parametrize(("share", "slots"), [(0.4, 4), (0.57, 2), (0.5, 4), (0.1, 20), (1.0, 2), (2.0, 1)])
def test_a_share_is_of_one_gpu_never_of_two(share: float, slots: int) -> None:
    assert Cluster({"CPU": 40.0, "GPU": 2.0}).slots(Needs(gpus=share)) == slots


def test_a_third_of_the_budget_and_a_named_number_decide_over_the_cluster() -> None:
    cluster = Cluster({"CPU": 8.0, "memory": 16.0 * GIB})
    assert seats_on(cluster, Placing(), Wish(trials=9)).count == 3
    assert seats_on(cluster, Placing(), Wish(trials=2)).count == 1
    assert seats_on(cluster, Placing(), Wish(jobs=11, trials=9)).count == 11
    assert seats_on(Cluster(), Placing(), Wish()).count == 1


def test_an_engine_is_opened_by_its_name() -> None:
    with open_engine("local", None, Placing()) as engine:
        assert isinstance(engine, LocalEngine)


@pytest.mark.parametrize(
    ("name", "address", "words"),
    [
        ("slurm", None, "--engine slurm: use local or ray"),
        ("local", "auto", "--address is that of a Ray cluster; add --engine ray"),
    ],
)
def test_an_engine_that_makes_no_sense_is_refused(name: str, address: str | None, words: str) -> None:
    with pytest.raises(UserError, match=words), open_engine(name, address, Placing()):
        pass
