"""The gate in front of a web application that has no login and checks nothing itself.

It answers only to its own names (a web page that rebinds its DNS name to 127.0.0.1 is refused), lets
nothing write but pages of its own, and of these only what is harmless.
"""

from __future__ import annotations

import ipaddress
import json
import re
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

_READING = ("GET", "HEAD")
#: what may be written: notes of studies and trials
_NOTES = re.compile(r"/api/studies/\d+(/\d+)?/note/?")
#: sent by browsers with every request (https://www.w3.org/TR/fetch-metadata/); none: typed by the user
_OWN_SITES = ("same-origin", "none")
#: another site may link to a page, and nothing else
_NAVIGATION = "navigate"
_HEADERS = (
    ("X-Frame-Options", "DENY"),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
)


@dataclass(frozen=True)
class Gate:
    """host: the address that is listened on. read_only: notes cannot be written either."""

    host: str
    read_only: bool = False

    def refusal(self, environ: WSGIEnvironment) -> tuple[str, str] | None:
        """Status and reason why a request is not let through; None for one that is."""
        if not self.is_own(environ.get("HTTP_HOST", "")):
            return "403 Forbidden", "this dashboard answers only to its own host name; see --host"
        reading = environ["REQUEST_METHOD"] in _READING
        if not _from_here(environ, reading=reading):
            return "403 Forbidden", "this request comes from another site"
        if reading:
            return None
        if self.read_only:
            return "405 Method Not Allowed", "this dashboard was started with --read-only"
        if environ["REQUEST_METHOD"] == "PUT" and _NOTES.fullmatch(environ.get("PATH_INFO", "")):
            return None
        return "405 Method Not Allowed", "only notes can be written here; cp-search study does the rest"

    def is_own(self, host_header: str) -> bool:
        """Is it a name of this server: what it listens on, localhost, this machine's name, a plain address?

        A plain address is no name that somebody else's DNS could have pointed here.
        """
        try:
            name = urlsplit(f"//{host_header}").hostname
        except ValueError:
            return False
        own = {self.host.lower(), "localhost", socket.gethostname().lower()}
        return name is not None and (name in own or _is_address(name))


def gated(application: WSGIApplication, gate: Gate) -> WSGIApplication:
    """`application` behind `gate`."""

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        refusal = gate.refusal(environ)
        if refusal is not None:
            status, reason = refusal
            start_response(status, [("Content-Type", "application/json"), *_HEADERS])
            return [json.dumps({"reason": reason}).encode()]
        return application(environ, _hardened(start_response))

    return answer


def _hardened(start_response: StartResponse) -> Callable[..., Any]:
    """Answers get our headers, and lose the one that would let other sites read artifacts."""

    def start(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
        kept = [pair for pair in headers if pair[0].lower() != "access-control-allow-origin"]
        return start_response(status, [*kept, *_HEADERS], *more)

    return start


def _from_here(environ: WSGIEnvironment, *, reading: bool) -> bool:
    """Not from a page of another site. What is no browser says nothing of sites, and may pass."""
    site = environ.get("HTTP_SEC_FETCH_SITE")
    if site is not None and site not in _OWN_SITES:
        return reading and environ.get("HTTP_SEC_FETCH_MODE") == _NAVIGATION
    origin = environ.get("HTTP_ORIGIN")
    return origin is None or urlsplit(origin).netloc == environ.get("HTTP_HOST")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
