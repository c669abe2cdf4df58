"""The storages a study can lie in, real ones, each behind the same few words."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import optuna
from optuna.storages import InMemoryStorage
from optuna.storages._grpc.server import make_server

from search.heart import Heart
from search.ownership import Ownership
from search.space import Space
from search.storage.storage import open_storage
from search.storage.url import sqlite_url
from search.study import StudyHandle, open_study
from tests.search.fakes import Bench, Listener
from tests.search.storage.postgres import free_port


@dataclass(frozen=True)
class Site:
    """A storage, and how a worker on some machine opens the study `fake` in it."""

    home: Path
    open: Callable[[Space], StudyHandle]

    def handle(self, *, trials: int = 4) -> StudyHandle:
        """The study as a worker of its own opens it."""
        bench = Bench(self.home)
        space = bench.space()
        budget = space.budget.model_copy(update={"trials": trials})
        return self.open(replace(space, budget=budget))

    def machine(self, name: str, *, trials: int = 4) -> Machine:
        """A worker in a directory of its own."""
        directory = self.home / name
        directory.mkdir(exist_ok=True)
        handle = self.handle(trials=trials)
        return Machine(directory, handle, Heart(handle, name=f"elsewhere:1:{name}", sleep=lambda _s: None))


@dataclass(frozen=True)
class Machine:
    """One worker, whose heart beats when the test says so."""

    directory: Path
    handle: StudyHandle
    heart: Heart

    @property
    def ownership(self) -> Ownership:
        """What takes its trials."""
        return Ownership(self.handle, self.directory, say=Listener().say, heart=self.heart)


@contextmanager
def sqlite_site(home: Path) -> Iterator[Site]:
    """A file."""
    url = sqlite_url(home / "fake.db")
    yield Site(home, lambda space: open_study(space, storage_url=url))


@contextmanager
def memory_site(home: Path) -> Iterator[Site]:
    """The memory of this process."""
    storage = InMemoryStorage()

    def opened(space: Space) -> StudyHandle:
        study = optuna.create_study(
            study_name="fake", storage=storage, direction="maximize", load_if_exists=True
        )
        return StudyHandle(study, space, "sqlite://")

    yield Site(home, opened)


@contextmanager
def served_site(home: Path) -> Iterator[Site]:
    """A file behind Optuna's gRPC proxy."""
    with grpc_server(sqlite_url(home / "served.db")) as url:
        yield Site(home, lambda space: open_study(space, storage_url=url))


@contextmanager
def grpc_server(storage_url: str) -> Iterator[str]:
    """The address at which the storage is served meanwhile."""
    port = free_port()
    pool = ThreadPoolExecutor(max_workers=16)
    server = make_server(open_storage(storage_url), "127.0.0.1", port, pool)
    server.start()
    try:
        yield f"grpc://127.0.0.1:{port}"
    finally:
        server.stop(grace=None).wait()
        pool.shutdown()
