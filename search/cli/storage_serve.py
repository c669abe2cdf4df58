"""`cp-search storage serve`: a storage for other machines."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from search.cli.flags import Command
from search.cli.output import say
from search.cli.settings import StorageFlag

#: the SQLite file below --studies-dir that is served if no storage is named
SERVED = "served.db"


@dataclass(frozen=True)
class StorageServeFlags:
    """Options of `storage serve`."""

    storage: StorageFlag = None
    studies_dir: Annotated[Path, typer.Option(help=f"Without --storage: serve {SERVED} here.")] = Path(
        "studies"
    )
    host: Annotated[str, typer.Option(help="Address to listen on; there is no login.")] = "127.0.0.1"
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 13000


def storage_serve(flags: StorageServeFlags) -> None:
    """Let workers on other machines use a storage.

    They say --storage grpc://HOST:PORT. Ctrl-C ends it; workers wait for ten minutes until it is back.
    """
    from search.storage.server import serve_storage
    from search.storage.url import sqlite_url

    url = flags.storage or sqlite_url(flags.studies_dir / SERVED)
    serve_storage(url, host=flags.host, port=flags.port, say=partial(say, err=True))


COMMAND = Command(
    name="serve",
    flags=StorageServeFlags,
    body=storage_serve,
    examples=("cp-search storage serve --host 192.168.1.5 --port 13000",),
)
