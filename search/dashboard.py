"""optuna-dashboard over every study of a directory or of a storage, behind a gate.

optuna-dashboard serves one storage, from the root of a server; `search.shelf.Shelf` is that storage. It
has no login and checks neither host nor origin; `search.board.gate` does.
See docs/decisions/0029-the-gate.md.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import optuna_dashboard
from rich.console import Console
from rich.text import Text

from search.board.gate import Gate, gated
from search.board.sources import Files, OneStorage, Sources, shown_of_file
from search.catalog import Catalog, Entry
from search.console import print_line
from search.shelf import Shelf
from search.storage.storage import quiet_optuna, storage_errors
from search.storage.url import masked
from trainer import UserError

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication


@dataclass(frozen=True)
class Place:
    """Where the dashboard is served. port: 0 takes a free one. read_only: not even notes are written."""

    host: str = "127.0.0.1"
    port: int = 8080
    read_only: bool = False


def serve(studies: Catalog, *, place: Place, study: str | None = None) -> None:
    """Show the studies of a directory or a storage until Ctrl-C; of `study` the address is printed.

    Raises:
        UserError: there is no such place or study, or the address cannot be had. StorageFault: the storage
            does not answer.
    """
    console = Console(stderr=True)

    def say(line: str) -> None:
        print_line(console, Text(line))

    entry = studies.find(study) if study is not None else None
    shelf = open_shelf(studies, entry)
    with open_server(shelf, place=place, say=say) as server:
        address = f"http://{place.host}:{server.server_port}/"
        if entry is None:
            where = masked(studies.storage_url) if studies.storage_url else studies.studies_dir
            say(f"Studies of {where}: {address}")
        else:
            say(f"Study {entry.name}: {address}dashboard/studies/{_number(shelf, entry)}")
        say(_login_line(place))
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            say("Closed.")


def open_shelf(studies: Catalog, entry: Entry | None = None) -> Shelf:
    """The studies, or those that lie where `entry` does.

    Raises:
        UserError: there is no such directory or storage. StorageFault: the storage does not answer.
    """
    quiet_optuna()
    return Shelf(_sources(studies, entry))


def _sources(studies: Catalog, entry: Entry | None) -> Sources:
    if entry is not None and entry.file is not None:
        return Files(entry.file.parent)
    url = entry.storage_url if entry is not None else studies.storage_url
    if url is not None:
        with storage_errors(url):
            return OneStorage(url, home=studies.studies_dir)
    if not studies.studies_dir.is_dir():
        raise UserError(f"no directory {studies.studies_dir}; name another with --studies-dir")
    return Files(studies.studies_dir)


def open_server(shelf: Shelf, *, place: Place, say: Callable[[str], None]) -> WSGIServer:
    """A server that listens and does not serve yet; on a free port, and says so, if its own is taken.

    Raises:
        UserError: the address cannot be had.
    """
    served = application(shelf, place=place)
    try:
        return _listen(place.host, place.port, served)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            where = f"{place.host}:{place.port}"
            raise UserError(
                f"cannot listen on {where}: {error.strerror}; try another --host or --port"
            ) from error
    server = _listen(place.host, 0, served)
    say(f"Port {place.port} is taken; {server.server_port} is free and used instead")
    return server


def application(shelf: Shelf, *, place: Place) -> WSGIApplication:
    """optuna-dashboard over the shelf, behind the gate."""
    dashboard: Any = optuna_dashboard.wsgi(shelf, artifact_store=shelf.gallery)
    return gated(dashboard, Gate(place.host, place.read_only))


def _listen(host: str, port: int, served: WSGIApplication) -> WSGIServer:
    return make_server(host, port, served, _Server, _QuietHandler)


def _number(shelf: Shelf, entry: Entry) -> int:
    shown = entry.name if entry.file is None else shown_of_file(entry.file, entry.name)
    return shelf.get_study_id_from_name(shown)


def _login_line(place: Place) -> str:
    writes = "look" if place.read_only else "look, and write notes"
    return f"There is no login: whoever reaches this address can {writes}. Ctrl-C ends it."


class _Server(ThreadingMixIn, WSGIServer):
    """One thread a request: a browser asks for many things at once."""

    daemon_threads = True


class _QuietHandler(WSGIRequestHandler):
    """Logs no requests: the terminal belongs to the user."""

    def log_message(self, format: str, *args: Any) -> None:
        """Drop the line."""
