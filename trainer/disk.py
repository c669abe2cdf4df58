"""The one place that says which errors mean a disk that is full or cannot be written, whoever raises them."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trainer.errors import CpSearchError, UserError

#: a full disk, a full quota, a read-only file system
_UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
#: a directory that is another's, or immutable; of other things than files these say something else
_FORBIDDEN = (errno.EACCES, errno.EPERM)
#: Rust's std::io::Error, which safetensors and tokenizers wrap in errors of their own
_RUST = {f"(os error {code})": code for code in _UNWRITABLE}


@contextmanager
def disk_errors(directory: Path) -> Iterator[None]:
    """Turn a full disk, or one that cannot be written, into one line; `directory`: where, if nothing says so.

    Raises:
        UserError: it is one of these.
    """
    try:
        yield
    except CpSearchError:
        raise
    except Exception as error:  # torch, numpy and safetensors have types of their own for it
        fault = disk_fault(error)
        if fault is None:
            raise
        raise UserError(_line(fault, directory)) from error


def disk_fault(error: BaseException) -> OSError | None:
    """What the system said of the disk, if `error` or what led to it is about that.

    torch raises an error about positions while it handles the system's own.
    """
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError):
            if seen.errno in _UNWRITABLE or (seen.errno in _FORBIDDEN and seen.filename):
                return seen
        elif (code := _rust_code(seen)) is not None:
            return OSError(code, os.strerror(code))
        seen = seen.__cause__ or seen.__context__
    return None


def _line(fault: OSError, directory: Path) -> str:
    where = fault.filename or directory
    if fault.errno in _FORBIDDEN:
        return f"cannot open {where}: {fault.strerror}; the same command goes on after that"
    return f"cannot write {where}: {fault.strerror}; the same command goes on after that"


def _rust_code(error: BaseException) -> int | None:
    return next((code for words, code in _RUST.items() if words in str(error)), None)
