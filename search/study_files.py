"""Renaming and deleting a study: in its storage, and what lies on this machine of it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from optuna.trial import TrialState
from sqlalchemy.engine import make_url

from search.catalog import Catalog, Entry
from search.engine.child import CHILD_LOCK
from search.finish.place import FINISH_LOCK
from search.finish.turn import finisher
from search.heart import mark_of
from search.locks import is_held
from search.ownership import STUDY_LOCK, TRIAL_LOCK
from search.renaming import Renaming, name_taken, pending, place_of, require_whole
from search.storage.storage import storage_errors
from search.storage.url import sqlite_path, sqlite_url
from search.tenancy import SERVED, forget, shut
from trainer import UserError, show_size


def rename(entry: Entry, *, to: str, catalog: Catalog) -> list[str]:
    """Give the study another name; what was moved, in lines.

    A file that holds this study only is named after it, as is the directory of its trials.

    Raises:
        UserError: a worker is at it, the name is taken, or the storage cannot rename.
    """
    if make_url(entry.storage_url).get_backend_name() == "grpc":
        raise UserError(
            "gRPC cannot rename a study; do it where the database is, with --storage of its own URL"
        )
    home = entry.directory.parent
    other = pending(home)
    if other is not None:
        require_whole(other.to, home)
    # Kept by a renaming that is cut off, and read from whatever directory it is typed again.
    url = entry.storage_url if entry.file is None else sqlite_url(entry.file.resolve())
    renaming = Renaming(entry.name, to, home, url, _owns_file(entry))
    there = replace(catalog, studies_dir=home)
    with _nobody_comes(*_files(renaming), *_file_of(entry)):
        _require_nobody_at(entry)
        taken = any(new.exists() for _, new in renaming.moves)
        if taken or any(there.is_taken(to, one) for one in {url, there.url_for(to)}):
            raise name_taken(to)
        return renaming.carry_out()


def _files(renaming: Renaming) -> Iterator[Path]:
    """What nobody may begin to use under either name."""
    file = sqlite_path(renaming.storage_url)
    if file is not None:
        yield file
    if renaming.owns_file:
        yield from (renaming.home / f"{name}.db" for name in (renaming.old, renaming.to))


def _file_of(entry: Entry) -> list[Path]:
    return [entry.file] if entry.file is not None else []


def _owns_file(entry: Entry) -> bool:
    """Does a file beside its directory, named after it, hold this study only?"""
    named = entry.directory.with_name(f"{entry.name}.db")
    return entry.file is not None and entry.file.resolve() == named.resolve() and entry.is_alone


def go_on_renaming(study: str, *, to: str, catalog: Catalog) -> list[str] | None:
    """Do the rest of a renaming that was cut off, if it is this one; None: it is not."""
    home, name = place_of(study, catalog.studies_dir)
    found = pending(home, storage_url=catalog.storage_url)
    if found is None or (found.old, found.to) != (name, to):
        return None
    with _nobody_comes(*_files(found)):
        return found.carry_out()


def what_goes(entry: Entry) -> list[str]:
    """What `delete` would take away, in lines."""
    count = len(entry.study.get_trials(deepcopy=False))
    found = [f"study {entry.name} with {count} trials in {entry.place}"]
    if entry.file is not None and entry.is_alone:
        found.append(f"the file {entry.file}")
    if entry.directory.is_dir():
        found.append(
            f"the directory {entry.directory} ({show_size(_size(entry.directory))}: {_inside(entry)})"
        )
    return found


def delete(entry: Entry) -> None:
    """Take away what `what_goes` says.

    First the directory goes out of the way as a whole: a half of it is never taken for the study's.

    Raises:
        UserError: a worker is at it.
    """
    doomed = _doomed(entry.directory)
    with _nobody_comes(*_file_of(entry)):
        _require_nobody_at(entry)
        if entry.directory.is_dir():
            if doomed.is_dir():
                shutil.rmtree(doomed)
            entry.directory.rename(doomed)
        _delete_stored(entry)
    if doomed.is_dir():
        shutil.rmtree(doomed)


def _delete_stored(entry: Entry) -> None:
    if entry.file is not None and entry.is_alone:
        entry.file.unlink()
        forget(entry.file)
        return
    with storage_errors(entry.storage_url):
        entry.study._storage.delete_study(entry.study._study_id)


def delete_rest(study: str, *, catalog: Catalog) -> bool:
    """Take away what a deletion that was cut off has left of a study that is gone; False: nothing."""
    home, name = place_of(study, catalog.studies_dir)
    doomed = _doomed(home / name)
    if not doomed.is_dir():
        return False
    shutil.rmtree(doomed)
    file = home / f"{name}.db"
    with shut(file) as users:
        if not users and not file.exists():
            forget(file)
    return True


def _doomed(directory: Path) -> Path:
    return directory.with_name(f".{directory.name}.deleting")


def require_idle(entry: Entry) -> None:
    """Check that no worker is at the study, as far as can be seen from here.

    Raises:
        UserError: one is, or may be on another machine.
    """
    with _nobody_comes(*_file_of(entry)):
        _require_nobody_at(entry)


def _require_nobody_at(entry: Entry) -> None:
    """Check it of those who may be at a study without using a file."""
    for lock in _locks(entry.directory):
        if is_held(lock):
            raise UserError(f"somebody works on study {entry.name} ({lock.parent}); end that first")
    running = [trial for trial in entry.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))]
    elsewhere = [trial.number for trial in running if mark_of(trial)[0]]
    if elsewhere:
        raise UserError(
            f"a worker may be running trial {elsewhere[0]} of study {entry.name} on another machine; end it "
            "there with Ctrl-C, or let cp-search run take the trial over and end that"
        )
    host = finisher(entry.study)
    if host is not None:
        raise UserError(
            f"a worker on {host} may be making the final model of study {entry.name}; end it there with "
            "Ctrl-C, or let cp-search run take that over and end that"
        )


@contextmanager
def _nobody_comes(*files: Path) -> Iterator[None]:
    """Nobody begins to use one of the files while the block runs, and nobody does at its beginning.

    That says more than `_require_nobody_at`: a worker that waits for memory holds no trial, a server none.

    Raises:
        UserError: somebody does.
    """
    with ExitStack() as doors:
        # Always in the same order, so that no two wait for each other.
        for _, file in sorted({one.resolve(): one for one in files}.items()):
            for home in doors.enter_context(shut(file)):
                if home == SERVED:
                    raise UserError(f"{file} is served by cp-search storage serve; end that first")
                raise UserError(f"a worker uses {file}, with its trials in {home}; end that first")
        yield


def _locks(directory: Path) -> Iterator[Path]:
    yield directory / STUDY_LOCK
    yield directory / FINISH_LOCK
    yield from directory.glob(f"trial-*/{TRIAL_LOCK}")
    yield from directory.glob(f"**/{CHILD_LOCK}")  # of trials, and of the finish's parts


def _size(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())


def _inside(entry: Entry) -> str:
    count = len(list(entry.directory.glob("trial-*")))
    if (entry.directory / "final").is_dir():
        return f"{count} trials and the final model"
    return f"{count} trials"
