"""The URL of a storage: what kind it is, and how it is shown and kept without its password."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

#: parameters of a URL that are passwords
_SECRETS = ("password", "sslpassword")


def is_local(storage_url: str) -> bool:
    """A file, shared by whoever shares its directory; not a server that other machines reach as well."""
    return parsed(storage_url).get_backend_name() == "sqlite"


def sqlite_url(path: Path) -> str:
    """The storage URL of an SQLite file."""
    return URL.create("sqlite", database=str(path)).render_as_string()


def existing_url(path: Path) -> str:
    """The storage URL of an SQLite file that must exist: opening it makes no file."""
    # Quoted twice: for SQLite's URI (https://www.sqlite.org/uri.html) here, for SQLAlchemy's URL below.
    uri = path.resolve().as_uri()  # of a Windows drive, too
    return URL.create("sqlite", database=uri, query={"mode": "rw", "uri": "true"}).render_as_string()


def sqlite_path(storage_url: str) -> Path | None:
    """The file of a plain SQLite URL; None for every other."""
    try:
        url = parsed(storage_url)
    except ArgumentError:
        return None
    plain = (
        url.get_backend_name() == "sqlite" and not url.query and url.database not in (None, "", ":memory:")
    )
    return Path(str(url.database)) if plain else None


def masked(storage_url: str) -> str:
    """`storage_url` without its password."""
    try:
        return _without_secrets(parsed(storage_url)).render_as_string(hide_password=True)
    except ArgumentError:
        return "the given URL"


def without_password(storage_url: str) -> str:
    """`storage_url` as it may be kept: its driver asks PGPASSWORD or ~/.pgpass for the password."""
    url = _without_secrets(parsed(storage_url))
    return URL.create(
        url.drivername, url.username, None, url.host, url.port, url.database, url.query
    ).render_as_string()


def parsed(storage_url: str) -> URL:
    """Its parts. Raises ArgumentError, which does not repeat the URL: there may be a password in it."""
    try:
        return make_url(storage_url)
    except ValueError:
        raise ArgumentError(
            "the part after the host is no port; an @ or : in a password is written %40 or %3A"
        ) from None


def _without_secrets(url: URL) -> URL:
    """Without the passwords that libpq takes as parameters (its documentation, 34.1.2)."""
    return url.difference_update_query(_SECRETS)
