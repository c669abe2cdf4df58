"""How many trials at a time, and what each may use, on machines of all kinds."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import psutil
import pytest

from search.cgroup import Cgroup
from search.host import Host, Memory
from search.room import Planned, SpaceRoom
from search.seats import Seats, Wish, arrange
from tests.conftest import environment
from trainer import CardSpec, Room, show_size, write_text

GIB = 2**30


class Machine(Host):
    """A host with the cores and the memory it is told."""

    def __init__(self, cores: int, *, free_gib: float = 64) -> None:
        self._cores = cores
        self._free_bytes = int(free_gib * GIB)

    def cores(self) -> int:
        """As told."""
        return self._cores

    def memory(self) -> Memory:
        """As told."""
        return Memory(self._free_bytes, 128 * GIB)


def planned(*gib: float, limit: float = 3.5) -> SpaceRoom:
    rooms = [Room("fits" if g <= limit else "no", int(g * GIB), int(g * GIB), int(limit * GIB)) for g in gib]
    return SpaceRoom("card", tuple(Planned({"training.batch_size": n}, r) for n, r in enumerate(rooms)))


CARD = CardSpec("card", int(7.5 * GIB), GIB // 2, index=0)


@pytest.fixture(autouse=True)
def _no_threads_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)


def line(wish: Wish, machine: Machine, *cards: CardSpec, room: SpaceRoom | None = None) -> str:
    return arrange(wish, host=machine, cards=cards, room=room).line()


def test_on_a_cpu_the_cores_are_dealt_out_one_to_each_trial() -> None:
    assert line(Wish(trials=30), Machine(2)) == "2 trials at a time, 1 thread each"


def test_asked_for_fewer_trials_each_has_more_threads() -> None:
    assert line(Wish(jobs=2), Machine(8)) == "2 trials at a time, 4 threads each"


def test_one_trial_at_a_time_leaves_the_threads_to_torch() -> None:
    assert line(Wish(jobs=1), Machine(8)) == "1 trial at a time"


def test_a_sampler_is_left_at_least_three_rounds_to_learn_from() -> None:
    assert line(Wish(trials=6), Machine(64)) == "2 trials at a time, 32 threads each"
    assert line(Wish(trials=2), Machine(64)) == "1 trial at a time"


def test_host_memory_limits_how_many_trials_there_are() -> None:
    assert line(Wish(trials=30), Machine(8, free_gib=2.6)) == "2 trials at a time, 4 threads each"
    assert line(Wish(trials=30), Machine(8, free_gib=0.1)) == "1 trial at a time"


def test_the_first_trial_has_all_cores_and_only_until_they_are_dealt_out() -> None:
    seats = arrange(Wish(trials=30), host=Machine(4))
    first = seats.take(None)
    assert first is not None
    assert first.threads == 4
    assert (seats.open, seats.take(None)) == (1, None)
    seats.deal_out()
    assert [seat and seat.threads for seat in (seats.take(None) for _ in range(4))] == [1, 1, 1, None]


def test_the_first_trial_is_alone_only_where_that_gives_it_more(monkeypatch: pytest.MonkeyPatch) -> None:
    assert arrange(Wish(trials=30), host=Machine(1)).open == 1
    for wish in (Wish(jobs=2), Wish(jobs=4, trials=30)):
        assert arrange(wish, host=Machine(8)).open == wish.jobs
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert arrange(Wish(trials=30), host=Machine(4)).open == 4
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    (seat,) = [arrange(Wish(trials=30), host=Machine(4)).take(None)]
    assert seat is not None
    assert seat.threads == 3


def test_threads_the_user_has_set_are_not_exceeded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert line(Wish(jobs=2), Machine(16)) == "2 trials at a time, 2 threads each"


def test_on_a_card_as_many_trials_are_packed_as_the_smallest_plan_allows() -> None:
    found = arrange(Wish(trials=30), host=Machine(16), cards=[CARD], room=planned(2, 3, 9))
    assert found.line() == "3 trials at a time on card (8.00 GiB)"
    room = Room("fits", 3 * GIB, 3 * GIB, CARD.limit_bytes)
    first, second, third = (found.take(room) for _ in range(3))
    assert first is not None
    assert second is not None
    assert first.card is not None
    assert first.card.limit_bytes == 3 * GIB
    assert third is None
    found.give_back(first)
    assert found.take(room) is not None


def test_without_a_plan_there_is_one_trial_for_each_card_by_its_number() -> None:
    cards = [CardSpec("card", 3 * GIB, GIB, index=index) for index in range(2)]
    found = arrange(Wish(trials=30), host=Machine(16), cards=cards)
    assert found.count == 2
    seats = [found.take(None) for _ in range(3)]
    assert [seat and seat.card and seat.card.index for seat in seats] == [0, 1, None]
    assert seats[0] is not None
    assert seats[0].card == cards[0]


def test_a_single_trial_on_a_single_card_has_all_of_it() -> None:
    (seat,) = [Seats(1, cards=[CARD]).take(Room("fits", GIB, GIB, CARD.limit_bytes))]
    assert seat is not None
    assert seat.card == CARD


def test_a_virtual_card_is_shared_as_a_real_one_and_its_trials_share_the_cores() -> None:
    card = CardSpec("card", 4 * GIB, 0, virtual=True)
    found = arrange(Wish(trials=30), host=Machine(2), cards=[card], room=planned(1, 2))
    assert found.line() == "2 trials at a time, 1 thread each on card (4.00 GiB)"


def in_cgroup(directory: Path, groups: str, files: Mapping[str, str]) -> Host:
    """A machine whose control groups are `files` in `directory`; `groups`: those of this process."""
    write_text(directory / "own", groups)
    for name, text in files.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        write_text(directory / name, text)
    return Host(Cgroup(directory, own=directory / "own"))


V2 = "0::/\n"
V1 = "4:memory:/mine\n1:cpu,cpuacct:/mine\n0::/\n"


def test_the_limits_of_a_container_hold_before_those_of_its_machine(tmp_path: Path) -> None:
    files = {
        "memory.max": f"{GIB // 4}\n",
        "memory.current": f"{GIB // 8}\n",
        "memory.stat": f"anon 5\ninactive_file {GIB // 16}\n",
        "cpu.max": "100000 100000\n",
    }
    host = in_cgroup(tmp_path, V2, files)
    assert host.memory() == Memory(GIB // 8 + GIB // 16, GIB // 4)
    assert host.cores() == 1


def test_a_group_inside_another_has_what_both_allow(tmp_path: Path) -> None:
    files = {
        "mine/memory.max": f"{GIB // 4}\n",
        "mine/memory.current": f"{GIB // 8}\n",
        "mine/inner/memory.max": f"{GIB // 2}\n",
        "mine/inner/memory.current": "0\n",
    }
    assert in_cgroup(tmp_path, "0::/mine/inner\n", files).memory() == Memory(GIB // 8, GIB // 4)


def test_a_container_that_is_told_the_path_of_its_machine_has_its_limits(tmp_path: Path) -> None:
    files = {"memory.max": f"{GIB // 4}\n", "memory.current": "0\n"}
    assert in_cgroup(tmp_path, "0::/docker/1a2b\n", files).memory() == Memory(GIB // 4, GIB // 4)


def test_the_limits_of_the_first_version_hold_too(tmp_path: Path) -> None:
    files = {
        "memory/mine/memory.limit_in_bytes": f"{GIB // 4}\n",
        "memory/mine/memory.usage_in_bytes": f"{GIB // 8}\n",
        "memory/mine/memory.stat": f"inactive_file 1\ntotal_inactive_file {GIB // 16}\n",
        "memory/memory.limit_in_bytes": "9223372036854771712\n",
        "memory/memory.usage_in_bytes": "5\n",
        "cpu/mine/cpu.cfs_quota_us": "100000\n",
        "cpu/mine/cpu.cfs_period_us": "100000\n",
        "cpu/cpu.cfs_quota_us": "-1\n",
        "cpu/cpu.cfs_period_us": "100000\n",
    }
    host = in_cgroup(tmp_path, V1, files)
    assert host.memory() == Memory(GIB // 8 + GIB // 16, GIB // 4)
    assert host.cores() == 1


@pytest.mark.parametrize(
    ("groups", "files", "count"),
    [
        (V2, {"memory.events": "low 0\noom 3\noom_kill 2\noom_group_kill 0\n"}, 2),
        (V1, {"memory/mine/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 7\n"}, 7),
        (V1, {"memory/mine/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\n"}, None),
        ("", {}, None),
    ],
    ids=["second version", "first version", "an old kernel", "no groups"],
)
def test_what_the_oom_killer_ended_is_counted_by_the_group(
    tmp_path: Path, groups: str, files: Mapping[str, str], count: int | None
) -> None:
    assert in_cgroup(tmp_path, groups, files).oom_kills() == count


def test_a_container_without_limits_has_what_the_machine_has(tmp_path: Path) -> None:
    files = {"memory.max": "max\n", "memory.current": "5\n", "cpu.max": "max 100000\n"}
    assert in_cgroup(tmp_path, V2, files).memory().total_bytes == psutil.virtual_memory().total
    assert in_cgroup(tmp_path, "", {}).cores() >= 1


def test_what_a_process_holds_is_known_while_it_lives() -> None:
    assert (Host().held_bytes(psutil.Process().pid) or 0) > 10 * 2**20
    assert Host().held_bytes(2**22 + 1) is None


@pytest.mark.slow
def test_who_holds_most_of_the_memory_is_named_but_not_this_process_and_its_children() -> None:
    code = "import sys; much = b'x' * (600 * 2**20); print('held', flush=True); sys.stdin.read()"
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"held\n"
        size = show_size(Host().held_bytes(child.pid) or 0)
        assert size not in Host().others()
        look = "from search.host import Host; print(Host().others())"
        other = subprocess.run(
            [sys.executable, "-c", look], env=environment(), capture_output=True, text=True, check=True
        )
        assert size in other.stdout
        child.communicate()
