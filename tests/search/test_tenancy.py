"""Who may use an SQLite file beside whom."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import pytest

from search import tenancy
from search.locks import is_held
from search.origin import write_origin
from search.run import RetrainOptions, retrain_study
from search.storage.url import sqlite_url
from search.tenancy import forget, shut, tenant
from tests.conftest import environment
from tests.search.fakes import Bench
from trainer import UserError

HOLD = """
import sys
from pathlib import Path
from search.tenancy import tenant
with tenant(sys.argv[1], home=Path(sys.argv[2])):
    print("in", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def url(tmp_path: Path) -> str:
    return sqlite_url(tmp_path / "one.db")


def test_workers_with_the_same_directory_share_a_file(url: str, tmp_path: Path) -> None:
    with tenant(url, home=tmp_path / "a"), tenant(url, home=tmp_path / "b" / ".." / "a"):
        pass


def test_a_worker_with_another_directory_is_refused_while_the_first_is_there(
    url: str, tmp_path: Path
) -> None:
    refused = pytest.raises(UserError, match=f"--studies-dir {tmp_path / 'a'}")
    with tenant(url, home=tmp_path / "a"), refused:
        ExitStack().enter_context(tenant(url, home=tmp_path / "b"))
    with tenant(url, home=tmp_path / "b"):
        pass


def test_a_file_is_served_or_worked_on_but_not_both(url: str, tmp_path: Path) -> None:
    with tenant(url, home=None):
        with pytest.raises(UserError, match="is served by cp-search storage serve"):
            ExitStack().enter_context(tenant(url, home=tmp_path))
        with pytest.raises(UserError, match="served already"):
            ExitStack().enter_context(tenant(url, home=None))
    with tenant(url, home=tmp_path), pytest.raises(UserError, match=r"a worker uses .* itself"):
        ExitStack().enter_context(tenant(url, home=None))


def test_a_file_and_a_directory_are_the_same_under_other_names(url: str, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "also-a").symlink_to(tmp_path / "a")
    (tmp_path / "link.db").symlink_to(tmp_path / "one.db")
    linked = sqlite_url(tmp_path / "link.db")
    refused = pytest.raises(UserError, match="a worker uses")
    with tenant(url, home=tmp_path / "a"), tenant(linked, home=tmp_path / "also-a"), refused:
        ExitStack().enter_context(tenant(linked, home=None))


def test_who_was_killed_uses_nothing(url: str, tmp_path: Path) -> None:
    words = [sys.executable, "-c", HOLD, url, str(tmp_path / "a")]
    pipe = subprocess.PIPE
    with subprocess.Popen(words, env=environment(), text=True, stdin=pipe, stdout=pipe) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "in\n"
        with pytest.raises(UserError, match="another worker"):
            ExitStack().enter_context(tenant(url, home=tmp_path / "b"))
        other.kill()
        other.wait()
    with tenant(url, home=tmp_path / "b"):
        pass
    assert [path.name for path in (tmp_path / ".one.db.users").iterdir()] == ["door"]


def test_nothing_is_left_where_the_file_is_deleted(url: str, tmp_path: Path) -> None:
    with tenant(url, home=tmp_path):
        pass
    forget(tmp_path / "one.db")
    assert list(tmp_path.iterdir()) == []


def test_other_storages_are_left_alone(tmp_path: Path) -> None:
    with tenant("grpc://somewhere:13000", home=tmp_path), tenant("sqlite://", home=None):
        pass
    assert list(tmp_path.iterdir()) == []


def test_nobody_comes_in_while_the_door_is_shut_and_who_is_in_is_known(url: str, tmp_path: Path) -> None:
    with tenant(url, home=tmp_path / "a"), shut(tmp_path / "one.db") as users:
        assert users == [str(tmp_path / "a")]
    came_in = threading.Event()

    def come() -> None:
        with tenant(url, home=tmp_path / "a"):
            came_in.set()

    with shut(tmp_path / "one.db") as users:
        assert users == []
        other = threading.Thread(target=come)
        other.start()
        assert not came_in.wait(0.2)
        # The last act of whoever deletes the file: the other one waits at a door that is no more.
        forget(tmp_path / "one.db")
    other.join()
    assert came_in.is_set()


def test_a_door_that_was_made_to_be_shut_is_taken_away_again(tmp_path: Path) -> None:
    with shut(tmp_path / "one.db"):
        assert list(tmp_path.iterdir()) != []
    assert list(tmp_path.iterdir()) == []


def test_who_came_in_just_before_the_door_was_shut_is_known_for_as_long_as_he_stays(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker, door = ExitStack(), tenancy._door

    def after_a_worker(entries: Path) -> AbstractContextManager[None]:
        monkeypatch.setattr(tenancy, "_door", door)
        worker.enter_context(tenant(url, home=tmp_path / "a"))
        return door(entries)

    with worker:
        monkeypatch.setattr(tenancy, "_door", after_a_worker)
        for _ in range(2):
            with shut(tmp_path / "one.db") as users:
                assert users == [str(tmp_path / "a")]


def test_who_leaves_while_he_is_looked_at_uses_nothing(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = ExitStack()

    def held_until_now(_lock: Path) -> bool:
        worker.close()
        return True

    worker.enter_context(tenant(url, home=tmp_path / "a"))
    monkeypatch.setattr("search.tenancy.is_held", held_until_now)
    with shut(tmp_path / "one.db") as users:
        assert users == []


@pytest.mark.skipif(os.name != "posix", reason="Windows deletes no file that is open")
def test_who_locks_a_door_that_was_just_taken_away_locks_the_new_one_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The least version of filelock is the first that looks whether what it has locked is still there."""
    import fcntl

    lock = fcntl.flock

    def after_its_deletion(descriptor: int, how: int) -> None:
        monkeypatch.setattr(fcntl, "flock", lock)
        forget(tmp_path / "one.db")
        lock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", after_its_deletion)
    with tenancy._door(tmp_path / ".one.db.users"):
        assert is_held(tmp_path / ".one.db.users" / "door"), "or two would be in at a time"


def test_a_retrain_that_waited_for_the_deletion_of_its_study_finds_none_and_makes_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(tmp_path)
    bench.directory.mkdir()
    write_origin(bench.directory, bench.open().space, storage_url=bench.url, settings={})

    @contextmanager
    def after_its_deletion(_url: str, *, home: Path) -> Iterator[None]:
        (tmp_path / "fake.db").unlink()
        yield

    monkeypatch.setattr("search.run.tenant", after_its_deletion)
    with pytest.raises(UserError, match="there is no such file"):
        retrain_study("fake", options=RetrainOptions(tmp_path))
    assert not (tmp_path / "fake.db").exists()
