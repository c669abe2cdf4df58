"""Optuna's storage in a database: with several writes in one transaction, or of a file to look into."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from optuna.storages import RDBStorage, _CachedStorage
from sqlalchemy import create_engine
from sqlalchemy.orm import scoped_session, sessionmaker

from search.storage.relay import Call


class DatabaseStorage(_CachedStorage):
    """Optuna's own, cached as `optuna.load_study` would have it."""

    def write_together(self, calls: Sequence[Call]) -> Any:
        """Make several writes about one trial: all are stored, or none is; the result of the last.

        Optuna's sessions take part in a transaction from outside, as SQLAlchemy's documentation has it for
        test suites (Session, join_transaction_mode).
        """
        sessions = self._backend.scoped_session
        sessions.remove()
        try:
            with self._backend.engine.connect() as connection, connection.begin() as transaction:
                sessions(bind=connection, join_transaction_mode="rollback_only")
                result = None
                for call in calls:
                    result = call.to(self)
                    if not transaction.is_active:
                        break
                else:
                    return result
        finally:
            sessions.remove()
        # Optuna passes over a row that another worker wrote at the same moment, but not in company.
        return [call.to(self) for call in calls][-1]


class FileStorage(RDBStorage):
    """A database that holds studies already, to look into: nothing in it is made, checked or migrated.

    Optuna's own constructor would ask Alembic for the schema's version, and write one where there is none;
    to import Alembic takes a quarter of the time of `cp-search status` (docs/decisions/0043).
    """

    def __init__(self, url: str, *, timeout_s: float) -> None:
        self.url = url
        self.engine_kwargs = {"connect_args": {"timeout": timeout_s}}
        self.skip_compatibility_check = True
        self.heartbeat_interval = self.grace_period = None
        self.heartbeat_stale_trial_callback = self.failed_trial_callback = None
        self.engine = create_engine(url, **self.engine_kwargs)
        self.scoped_session = scoped_session(sessionmaker(bind=self.engine))
