"""Connections to PostgreSQL by psycopg, with a limit to their waiting: libpq has none once one is made."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from sqlalchemy.engine import URL

from search.storage.answers import LOOK_S, Answers, Unanswered, watched

#: the driver these are of
DRIVER = "psycopg"


def connector(url: URL, answers: Answers, *, timeout_s: int) -> Callable[[], Any]:
    """Makes SQLAlchemy's connections to `url`, each within `timeout_s`. Raises ImportError: no driver."""
    import psycopg
    from psycopg import waiting

    class Connection(psycopg.Connection[Any]):
        """One that is closed, and lost as by a network, when the server takes too long, or at Ctrl-C."""

        def wait(
            self, gen: Generator[Any, Any, Any], interval: float = LOOK_S, timeout: float | None = None
        ) -> Any:
            """As psycopg, which at Ctrl-C would first ask the server to stop."""
            more = {} if timeout is None else {"timeout": timeout}  # unknown to psycopg before 3.3
            try:
                return waiting.wait(in_time(gen), self.pgconn.socket, interval, **more)
            except (Unanswered, KeyboardInterrupt) as error:
                self.pgconn.finish()
                if isinstance(error, Unanswered):
                    raise psycopg.OperationalError(str(error)) from error
                raise

        @classmethod
        def _connect_gen(cls, *args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
            try:
                return (yield from in_time(super()._connect_gen(*args, **kwargs)))
            except Unanswered as error:
                raise psycopg.OperationalError(str(error)) from error

    def in_time(steps: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
        return watched(steps, none_ready=answers.expect().require_time)

    words, parameters = url.get_dialect()().create_connect_args(url)

    def connect() -> Any:
        return Connection.connect(*words, **{"connect_timeout": timeout_s, **parameters})

    return connect
