"""optuna-dashboard over every study of a directory, behind a gate.

optuna-dashboard serves one storage, from the root of a server; `search.shelf.Shelf` is that storage. It
has no login and checks neither host nor origin; `search.board.gate` does.
See docs/decisions/0029-the-gate.md.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import optuna_dashboard
from rich.console import Console
from rich.text import Text

from search.board.gate import Gate, gated
from search.console import print_line
from search.shelf import Shelf
from search.status import locate_study
from search.storage import sqlite_path
from search.study import quiet_optuna
from trainer import UserError

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication


@dataclass(frozen=True)
class Place:
    """Where the dashboard is served. port: 0 takes a free one. read_only: not even notes are written."""

    host: str = "127.0.0.1"
    port: int = 8080
    read_only: bool = False


def serve(studies_dir: Path, *, place: Place, study: str | None = None) -> None:
    """Show the studies of `studies_dir` until Ctrl-C; of `study` the address is printed.

    Raises:
        UserError: there is no such directory or study, or the address cannot be had.
    """
    console = Console(stderr=True)

    def say(line: str) -> None:
        print_line(console, Text(line))

    if study is not None:
        studies_dir, study = _found(study, studies_dir)
    with open_server(studies_dir, place=place, say=say) as server:
        address = f"http://{place.host}:{server.server_port}/"
        if study is None:
            say(f"Studies of {studies_dir}: {address}")
        else:
            number = Shelf(studies_dir).get_study_id_from_name(study)
            say(f"Study {study}: {address}dashboard/studies/{number}")
        say(_login_line(place))
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            say("Closed.")


def open_server(studies_dir: Path, *, place: Place, say: Callable[[str], None]) -> WSGIServer:
    """A server that listens and does not serve yet; on a free port, and says so, if its own is taken.

    Raises:
        UserError: as `serve`.
    """
    if not studies_dir.is_dir():
        raise UserError(f"no directory {studies_dir}; name another with --studies-dir")
    served = application(studies_dir, place=place)
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


def application(studies_dir: Path, *, place: Place) -> WSGIApplication:
    """optuna-dashboard over the studies of a directory, behind the gate."""
    quiet_optuna()
    shelf = Shelf(studies_dir)
    dashboard: Any = optuna_dashboard.wsgi(shelf, artifact_store=shelf.gallery)
    return gated(dashboard, Gate(place.host, place.read_only))


def _listen(host: str, port: int, served: WSGIApplication) -> WSGIServer:
    return make_server(host, port, served, _Server, _QuietHandler)


def _found(study: str, studies_dir: Path) -> tuple[Path, str]:
    """The directory and the name of a study that is in an SQLite file."""
    file = sqlite_path(locate_study(study, studies_dir))
    if file is None or not file.is_file():
        raise UserError(f"{study}: this dashboard shows SQLite files; optuna-dashboard URL shows the others")
    return file.parent, file.stem


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
