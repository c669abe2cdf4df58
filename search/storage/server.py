"""A storage for machines that cannot reach the database themselves: Optuna's gRPC proxy."""

from __future__ import annotations

import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from optuna.storages import BaseStorage, run_grpc_proxy_server

from search.storage.storage import open_storage, quiet_optuna, storage_errors
from search.storage.url import masked
from search.tenancy import tenant
from trainer import UserError

#: calls answered at the same time
_THREADS = 16
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def serve_storage(storage_url: str, *, host: str, port: int, say: Callable[[str], None]) -> None:
    """Let workers use the storage at `storage_url` as grpc://host:port, until Ctrl-C.

    Raises:
        UserError: the storage cannot be opened, the address cannot be had, or a worker uses the file itself.
    """
    quiet_optuna()
    with storage_errors(storage_url):
        storage = open_storage(storage_url, say=say)
    _require_free(host, port)
    with tenant(storage_url, home=None):
        _serve(storage, storage_url, host=host, port=port, say=say)


def _serve(
    storage: BaseStorage, storage_url: str, *, host: str, port: int, say: Callable[[str], None]
) -> None:
    say(f"Serving {masked(storage_url)} at grpc://{host}:{port}")
    say("There is no login and no encryption: whoever reaches this address can read and delete studies.")
    if host in _LOOPBACK:
        say("It can be reached from this machine only; --host 0.0.0.0 lets others in. Ctrl-C ends it.")
    try:
        run_grpc_proxy_server(
            storage, host=host, port=port, thread_pool=ThreadPoolExecutor(max_workers=_THREADS)
        )
    except KeyboardInterrupt:
        say("Closed.")


def _require_free(host: str, port: int) -> None:
    """gRPC itself tells of a taken port in its log only."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        raise UserError(f"cannot listen on {host}:{port}: {error.strerror}; try another --port") from error
