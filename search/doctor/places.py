"""Where things are kept: disk, studies, cache, database, model hub."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from filelock import FileLock

from search.doctor.finding import Finding
from search.storage.storage import open_storage, storage_errors
from search.storage.url import masked
from trainer import CpSearchError

GIB = 2**30
#: a study of BERT-base keeps up to three checkpoints of about 1.2 GB of weights and optimizer state
LEAST_DISK_GIB = 5.0
_HUB_PATIENCE_S = 5.0


def places(studies_dir: Path, *, storage: str | None) -> Iterator[Finding]:
    """Disk, directories, databases, hub."""
    yield directory("Studies", studies_dir)
    yield directory("Cache", Path.home() / ".cache" / "cp-search")
    yield from (database(path) for path in sorted(studies_dir.glob("*.db")))
    if storage is not None:
        yield remote(storage)
    yield hub()


def directory(subject: str, path: Path) -> Finding:
    """Whether files can be written and locked where `path` is, or would be made; how much room there is."""
    parent = next(each for each in (path.absolute(), *path.absolute().parents) if each.exists())
    if not parent.is_dir():
        remedy = "move that file away, or name another directory"
        return Finding(subject, "fault", f"{path}: {parent} is no directory", remedy)
    problem = _write_problem(parent)
    if problem:
        remedy = "give yourself write access, or name another directory (--studies-dir)"
        return Finding(subject, "fault", f"{path}: {problem}", remedy)
    free = shutil.disk_usage(parent).free / GIB
    found = f"{path}: writable, {free:.1f} GiB free"
    if free < LEAST_DISK_GIB:
        return Finding(
            subject, "note", found, f"make room: checkpoints of a study want {LEAST_DISK_GIB:.0f} GiB"
        )
    return Finding(subject, "ok", found)


def database(path: Path) -> Finding:
    """An SQLite file: whole, and how many studies."""
    try:
        with sqlite3.connect(f"file:{path.resolve()}?mode=ro", uri=True, timeout=5) as connection:
            (verdict,) = connection.execute("PRAGMA quick_check").fetchone()
            (studies,) = connection.execute("SELECT COUNT(*) FROM studies").fetchone()
    except sqlite3.Error as error:
        remedy = "put a backup back, or move the file away: a new study is made in its place"
        return Finding("Database", "fault", f"{path}: {error}", remedy)
    if verdict != "ok":
        remedy = f"sqlite3 {path} .recover writes what can be saved; keep the file until that is done"
        return Finding("Database", "fault", f"{path}: {verdict}", remedy)
    return Finding("Database", "ok", f"{path}: whole, studies in it: {studies}")


def remote(url: str) -> Finding:
    """A storage named by URL."""
    try:
        with storage_errors(url):
            storage = open_storage(url, create=False)
            studies = len(storage.get_all_studies())
    except CpSearchError as error:
        return Finding("Storage", "fault", str(error), "check address, name and password, and that it runs")
    return Finding("Storage", "ok", f"{masked(url)}: answers, {studies} studies")


def hub() -> Finding:
    """Whether models can be fetched."""
    from huggingface_hub import constants

    endpoint = constants.ENDPOINT
    local = "models in the cache and in directories can be used"
    if constants.is_offline_mode():
        remedy = f"unset HF_HUB_OFFLINE to fetch others; {local}"
        return Finding("Model hub", "note", "HF_HUB_OFFLINE is set", remedy)
    try:
        with urlopen(Request(endpoint, method="HEAD"), timeout=_HUB_PATIENCE_S):
            return Finding("Model hub", "ok", f"{endpoint} answers")
    except HTTPError as error:
        return Finding("Model hub", "ok", f"{endpoint} answers ({error.code})")
    except OSError as error:
        remedy = f"check network and proxy, or set HF_ENDPOINT to a mirror; {local}"
        return Finding("Model hub", "note", f"{endpoint} cannot be reached: {error}", remedy)


def _write_problem(parent: Path) -> str | None:
    """Why files cannot be made, renamed and locked in `parent`; None when they can."""
    try:
        with tempfile.TemporaryDirectory(dir=parent) as place:
            written = Path(place) / "written"
            with FileLock(Path(place) / "lock", timeout=5):
                written.write_text("1", encoding="utf-8")
                written.replace(Path(place) / "renamed")
    except (OSError, NotImplementedError) as error:
        return f"cannot write or lock there ({error})"
    return None
