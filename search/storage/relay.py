"""A storage that passes on to another what it is asked: the base of those that do something on the way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from optuna.storages import BaseStorage


@dataclass(frozen=True)
class Call:
    """One call of a storage, not made yet."""

    method: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any] = field(default_factory=dict)

    def to(self, storage: BaseStorage) -> Any:
        """Make it."""
        return getattr(storage, self.method)(*self.args, **self.kwargs)


@runtime_checkable
class Transactional(Protocol):
    """A storage that can make several writes about one trial in one transaction."""

    def write_together(self, calls: Sequence[Call]) -> Any:
        """All are stored, or none is; the result of the last."""


def relayed(method: str) -> Callable[..., Any]:
    """The method of a storage that hands its call to `relay`."""

    def call(self: RelayStorage, *args: Any, **kwargs: Any) -> Any:
        return self.relay(Call(method, args, kwargs))

    return call


class RelayStorage(BaseStorage):
    """Passes every call to `inner` by way of `relay`."""

    def __init__(self, inner: BaseStorage) -> None:
        self.inner = inner

    def relay(self, call: Call) -> Any:
        """Make a call on `inner`."""
        return call.to(self.inner)

    def write_together(self, calls: Sequence[Call]) -> Any:
        """Make several writes about one trial, in one transaction where `inner` has some; the last result."""
        if isinstance(self.inner, Transactional):
            return self.inner.write_together(calls)
        return [self.relay(call) for call in calls][-1]

    create_new_study = relayed("create_new_study")
    delete_study = relayed("delete_study")
    set_study_user_attr = relayed("set_study_user_attr")
    set_study_system_attr = relayed("set_study_system_attr")
    get_study_id_from_name = relayed("get_study_id_from_name")
    get_study_name_from_id = relayed("get_study_name_from_id")
    get_study_directions = relayed("get_study_directions")
    get_study_user_attrs = relayed("get_study_user_attrs")
    get_study_system_attrs = relayed("get_study_system_attrs")
    get_all_studies = relayed("get_all_studies")
    create_new_trial = relayed("create_new_trial")
    set_trial_param = relayed("set_trial_param")
    get_trial_id_from_study_id_trial_number = relayed("get_trial_id_from_study_id_trial_number")
    set_trial_state_values = relayed("set_trial_state_values")
    set_trial_intermediate_value = relayed("set_trial_intermediate_value")
    set_trial_user_attr = relayed("set_trial_user_attr")
    set_trial_system_attr = relayed("set_trial_system_attr")
    get_trial = relayed("get_trial")
    get_all_trials = relayed("get_all_trials")
    get_best_trial = relayed("get_best_trial")
