"""Optuna's storage in a database, with several writes in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from optuna.storages import _CachedStorage

from search.relay import Call


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
