"""A job that is polled, on a node that cannot use its directory."""

from __future__ import annotations

import errno
import os
import platform
from pathlib import Path

import pytest

from search.engine.job import Said
from search.engine.mailbox import Mailbox, unusable
from search.engine.ray import _AtHome
from tests.search.engine.contract import Talker
from tests.search.fakes import Scripted


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Below it no directory can be made, by root neither."""
    (tmp_path / "file").touch()
    return tmp_path / "file"


def test_a_directory_that_cannot_be_made_on_a_node_is_the_users_to_mend(file: Path) -> None:
    mailbox = Mailbox()
    found, trace = mailbox.run(Scripted(str(file / "trial-0000")))
    assert (found["status"], found["error_kind"], trace) == ("failed", "user", None)
    assert found["error"].startswith(f"the node {platform.node()} cannot use {file / 'trial-0000'}: ")
    assert mailbox.poll(0) is None, "it is over"


def test_nor_can_one_work_where_the_command_was_typed_if_that_cannot_be_made(
    file: Path, tmp_path: Path
) -> None:
    mailbox = Mailbox()
    found, trace = mailbox.run(_AtHome(Talker(str(tmp_path / "trial")), home=str(file / "home")))
    assert (found["error_kind"], trace) == ("user", None)
    assert found["error"].startswith(f"the node {platform.node()} cannot use {file / 'home'}: ")


@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        (errno.EACCES, "let the user that Ray runs as write there, or take the node out of the cluster"),
        (errno.EPERM, "let the user that Ray runs as write there, or take the node out of the cluster"),
        (errno.EROFS, "let the user that Ray runs as write there, or take the node out of the cluster"),
        (errno.ENOSPC, "make room there, and the same command goes on"),
        (errno.EIO, "the same command goes on after that"),
    ],
)
def test_the_remedy_is_that_of_what_the_system_says(code: int, remedy: str) -> None:
    told = unusable(Path("studies"), OSError(code, os.strerror(code)))
    assert told == f"the node {platform.node()} cannot use studies: {os.strerror(code)}; {remedy}"


def test_an_error_without_a_number_is_told_in_its_own_words() -> None:
    told = unusable(Path("studies"), OSError("no locks here"))
    assert told.endswith(" cannot use studies: no locks here; the same command goes on after that")


def test_a_crash_comes_with_its_traceback(tmp_path: Path) -> None:
    def crash() -> None:
        raise ValueError("the encoder has a hole")

    mailbox = Mailbox()
    found, trace = mailbox.run(Scripted(str(tmp_path), values=(), says="done", after=crash))
    assert found["error_kind"] == "crash"
    assert trace is not None
    assert "the encoder has a hole" in trace
    assert mailbox.poll(0) == [Said("done")]
