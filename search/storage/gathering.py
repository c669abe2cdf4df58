"""Writes about one trial, gathered while Optuna makes them, and stored in one transaction.

Every call of Optuna's storage is a transaction of its own; on SQLite each waits for the disk. See
docs/decisions/0035-fewer-transactions.md.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from search.storage.relay import Call, RelayStorage

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution


@contextmanager
def together(storage: BaseStorage) -> Iterator[None]:
    """Gather what this thread writes about a trial; it is stored when the trial's state is, or at the end.

    What is read meanwhile shows it. Nothing of it is stored if the block raises before.
    """
    if not isinstance(storage, GatheringStorage):
        yield
        return
    with storage.gather():
        yield


@dataclass
class _Gathered:
    """What waits to be written, and the trials that were read meanwhile as they will be then."""

    calls: list[Call] = field(default_factory=list)
    read: dict[int, FrozenTrial] = field(default_factory=dict)

    def add(self, call: Call) -> None:
        self.calls.append(call)
        if call.args[0] in self.read:
            _apply(call, self.read[call.args[0]])


class GatheringStorage(RelayStorage):
    """A storage whose writes about trials can be gathered, thread by thread."""

    def __init__(self, inner: BaseStorage) -> None:
        super().__init__(inner)
        self._local = threading.local()

    @contextmanager
    def gather(self) -> Iterator[None]:
        """As `together`. A gathering in a gathering is part of it."""
        if self._gathered is not None:
            yield
            return
        self._local.gathered = _Gathered()
        try:
            yield
            self._write()
        finally:
            self._local.gathered = None

    @property
    def _gathered(self) -> _Gathered | None:
        found: _Gathered | None = getattr(self._local, "gathered", None)
        return found

    def set_trial_param(
        self, trial_id: int, param_name: str, param_value_internal: float, distribution: BaseDistribution
    ) -> None:
        """As `BaseStorage`."""
        self._keep(Call("set_trial_param", (trial_id, param_name, param_value_internal, distribution)))

    def set_trial_intermediate_value(self, trial_id: int, step: int, intermediate_value: float) -> None:
        """As `BaseStorage`."""
        self._keep(Call("set_trial_intermediate_value", (trial_id, step, intermediate_value)))

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        """As `BaseStorage`."""
        self._keep(Call("set_trial_user_attr", (trial_id, key, value)))

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """As `BaseStorage`."""
        self._keep(Call("set_trial_system_attr", (trial_id, key, value)))

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        """As `BaseStorage`; stores what was gathered as well."""
        call = Call("set_trial_state_values", (trial_id,), {"state": state, "values": values})
        changed: bool = self._write(call)
        return changed

    def relay(self, call: Call) -> Any:
        """What is not asked of a single trial sees all that was gathered, stored."""
        gathered = self._gathered
        if gathered is None:
            return super().relay(call)
        if call.method == "get_trial":
            return self._read(call, gathered)
        self._write()
        return super().relay(call)

    def _keep(self, call: Call) -> None:
        gathered = self._gathered
        if gathered is None:
            super().relay(call)
        else:
            gathered.add(call)

    def _read(self, call: Call, gathered: _Gathered) -> FrozenTrial:
        trial_id = call.args[0]
        if trial_id not in gathered.read:
            found = copy.deepcopy(super().relay(call))
            for earlier in gathered.calls:
                if earlier.args[0] == trial_id:
                    _apply(earlier, found)
            gathered.read[trial_id] = found
        return gathered.read[trial_id]

    def _write(self, *last: Call) -> Any:
        """Write what was gathered, and `last`; the result of that."""
        gathered = self._gathered
        calls = [*(gathered.calls if gathered else ()), *last]
        if gathered is not None:
            self._local.gathered = _Gathered()
        if len(calls) > 1:
            return self.write_together(calls)
        return super().relay(calls[0]) if calls else None


def _apply(call: Call, trial: FrozenTrial) -> None:
    """What a write does to a trial that was read."""
    _, key, value, *more = call.args
    if call.method == "set_trial_user_attr":
        trial.user_attrs[key] = value
    elif call.method == "set_trial_system_attr":
        trial.system_attrs[key] = value
    elif call.method == "set_trial_intermediate_value":
        trial.intermediate_values[key] = value
    else:
        trial.params[key] = more[0].to_external_repr(value)
        trial.distributions[key] = more[0]
