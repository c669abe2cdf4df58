"""A full disk is told as one, by whichever library met it; /dev/full is a real one, of no bytes."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
import torch

from trainer.checkpoint import write_tensors
from trainer.disk import disk_errors, disk_fault
from trainer.errors import DataError, UserError
from trainer.files import write_text, write_whole

FULL = Path("/dev/full")
needs_full = pytest.mark.skipif(not FULL.exists(), reason="/dev/full is Linux's")
WEIGHTS = {"weight": torch.zeros(100, 1000)}


@needs_full
def test_torch_on_a_full_disk_is_one_line(tmp_path: Path) -> None:
    told = r"cannot write .*: No space left on device; the same command goes on"
    with pytest.raises(UserError, match=told), disk_errors(tmp_path):
        write_tensors(FULL, WEIGHTS)


def test_a_file_that_was_written_in_vain_leaves_nothing_and_names_itself(tmp_path: Path) -> None:
    def fails(temporary: Path) -> None:
        write_text(temporary, "half")
        raise OSError(errno.ENOSPC, "No space left on device", str(temporary))

    with pytest.raises(UserError, match=r"cannot write .*\.a\.json"), disk_errors(tmp_path):
        write_whole(tmp_path / "a.json", fails)
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_is_another_s_is_named(tmp_path: Path) -> None:
    told = r"cannot open /theirs: Permission denied; the same command goes on"
    with pytest.raises(UserError, match=told), disk_errors(tmp_path):
        raise PermissionError(errno.EACCES, "Permission denied", "/theirs")


@pytest.mark.parametrize(
    "error",
    [OSError(errno.EPIPE, "Broken pipe"), PermissionError(errno.EPERM, "kill"), RuntimeError("shape")],
)
def test_what_is_not_about_the_disk_passes_through(error: Exception, tmp_path: Path) -> None:
    assert disk_fault(error) is None
    with pytest.raises(type(error)), disk_errors(tmp_path):
        raise error


def test_what_the_user_was_told_better_already_passes_through(tmp_path: Path) -> None:
    def tell() -> None:
        try:
            raise OSError(errno.EROFS, "Read-only file system")
        except OSError as error:
            raise DataError("set data.cache_dir", file="cache") from error

    with pytest.raises(DataError, match=r"set data\.cache_dir"), disk_errors(tmp_path):
        tell()
