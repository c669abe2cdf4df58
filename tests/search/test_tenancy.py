"""Who may use an SQLite file beside whom."""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from search.storage import sqlite_url
from search.tenancy import forget, tenant
from tests.conftest import environment
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
