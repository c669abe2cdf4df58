"""optuna-dashboard over every study of a directory, to look at only.

optuna-dashboard serves one storage, from the root of a server; `search.shelf.Shelf` is that storage. It
has no login and checks no origin (a DELETE sent by any web page would remove a study), so nothing but
reading is let through.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import optuna_dashboard
from rich.console import Console
from rich.text import Text

from search.console import print_line
from search.shelf import Shelf
from search.study import quiet_optuna
from trainer import UserError

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

_READING = ("GET", "HEAD")
_REFUSAL = b'{"reason": "This view of the studies is read-only."}'


def serve(studies_dir: Path, *, host: str = "127.0.0.1", port: int = 8080) -> None:
    """Show the studies of `studies_dir` at http://host:port until Ctrl-C.

    Raises:
        UserError: there is no such directory, or the address cannot be had.
    """
    console = Console(stderr=True)
    with open_server(studies_dir, host=host, port=port) as server:
        print_line(console, Text(f"Studies of {studies_dir}: http://{host}:{server.server_port}/"))
        print_line(console, Text("There is no login: whoever reaches this address can look. Ctrl-C ends it."))
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print_line(console, Text("Closed."))


def open_server(studies_dir: Path, *, host: str, port: int) -> WSGIServer:
    """A server that listens and does not serve yet; port 0 takes a free one.

    Raises:
        UserError: as `serve`.
    """
    if not studies_dir.is_dir():
        raise UserError(f"no directory {studies_dir}; name another with --studies-dir")
    try:
        return make_server(host, port, application(studies_dir), _Server, _QuietHandler)
    except OSError as error:
        raise UserError(f"cannot listen on {host}:{port}: {error.strerror}; try another --port") from error


def application(studies_dir: Path) -> WSGIApplication:
    """optuna-dashboard over the studies of a directory, without anything that writes."""
    quiet_optuna()
    dashboard: Any = optuna_dashboard.wsgi(Shelf(studies_dir))

    def reading_only(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] not in _READING:
            start_response("405 Method Not Allowed", [("Content-Type", "application/json"), ("Allow", "GET")])
            return [_REFUSAL]
        answer: Iterable[bytes] = dashboard(environ, start_response)
        return answer

    return reading_only


class _Server(ThreadingMixIn, WSGIServer):
    """One thread a request: a browser asks for many things at once."""

    daemon_threads = True


class _QuietHandler(WSGIRequestHandler):
    """Logs no requests: the terminal belongs to the user."""

    def log_message(self, format: str, *args: Any) -> None:
        """Drop the line."""
