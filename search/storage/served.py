"""The client of a storage that is served by gRPC: Optuna's own, with a limit to its waiting."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from optuna.storages import GrpcStorageProxy
from optuna.storages._grpc.client import GrpcClientCache

from search.storage.answers import LOOK_S, Answers, Awaited, Unanswered

#: as Optuna has it; a connection of the channel's own, for gRPC would share one that leads nowhere any more;
#: and a server that is back is found within that time (grpc_arg_keys of gRPC's core)
_OPTIONS = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.max_reconnect_backoff_ms", 10_000),
)
#: seconds that a question is waited for in one go, which costs less than looking in between
_GLANCE_S = 0.5


class ServedStorage(GrpcStorageProxy):
    """The storage that `cp-search storage serve`, or Optuna's proxy server, serves at an address."""

    def __init__(self, *, host: str, port: int, answers: Answers) -> None:
        self._answers = answers
        super().__init__(host=host, port=port)

    def _setup(self) -> None:
        stub: Any = _Stub(self._connect, self._answers)
        self._stub, self._cache = stub, GrpcClientCache(stub)

    def _connect(self) -> Any:
        # Loaded when it is needed, which takes a moment; neither says its types.
        grpc: Any = importlib.import_module("grpc")
        calls: Any = importlib.import_module("optuna.storages._grpc.auto_generated.api_pb2_grpc")
        self._channel = grpc.insecure_channel(f"{self._host}:{self._port}", options=_OPTIONS)
        return calls.StorageServiceStub(self._channel)


class _Stub:
    """The server's calls, each given up when its answer takes too long; the next goes by a new connection."""

    def __init__(self, connect: Callable[[], Any], answers: Answers) -> None:
        self._connect = connect
        self._answers = answers
        self._stub = connect()

    def __getattr__(self, name: str) -> Callable[[Any], Any]:
        return lambda request: self._ask(name, request)

    def _ask(self, name: str, request: Any) -> Any:
        awaited, method = self._answers.expect(), getattr(self._stub, name)
        try:
            if name.startswith("Get"):
                with suppress(_NotYet):
                    return self._glance(method, request)
                awaited.require_time()
            return _hear(method.future(request), awaited)
        except Unanswered:
            # Whoever has it in hand on another thread gives it up by himself; the last one closes it.
            self._stub = self._connect()
            raise

    def _glance(self, method: Any, request: Any) -> Any:
        """Ask what changes nothing in one go. Raises _NotYet: the answer takes longer, ask once more."""
        grpc: Any = importlib.import_module("grpc")
        try:
            return method(request, timeout=min(_GLANCE_S, self._answers.limit_s))
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                raise _NotYet from error
            raise


class _NotYet(Exception):
    """An answer takes longer than a glance."""


def _hear(reply: Any, awaited: Awaited) -> Any:
    """The answer, which is given up when it takes too long."""
    waiting_on: Any = importlib.import_module("grpc").FutureTimeoutError
    try:
        while True:
            try:
                return reply.result(timeout=LOOK_S)
            except waiting_on:
                awaited.require_time()
    finally:
        reply.cancel()
