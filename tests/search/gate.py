"""A way to a server that can be shut: whoever is on it keeps his connection and hears nothing."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class Gate:
    """Relays TCP connections on `port` to a server on this machine."""

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._entry = threading.Event()
        self._entry.set()
        self._ways: list[threading.Event] = []
        threading.Thread(target=self._let_in, daemon=True).start()

    def freeze(self) -> None:
        """As a process that is stopped: connections stay, also new ones are taken, nothing is answered."""
        self._entry.clear()
        self.hang()

    def hang(self) -> None:
        """As a machine that went away without a word, and is back: what was connected leads nowhere."""
        for way in self._ways:
            way.clear()

    def thaw(self) -> None:
        """All that was sent meanwhile arrives."""
        for event in (self._entry, *self._ways):
            event.set()

    def close(self) -> None:
        """Nobody comes in any more."""
        self._listener.close()
        self.thaw()

    def _let_in(self) -> None:
        with suppress(OSError):  # closed
            while True:
                here, _ = self._listener.accept()
                self._entry.wait()
                there = socket.create_connection(("127.0.0.1", self._server_port))
                way = threading.Event()
                way.set()
                self._ways.append(way)
                for source, target in ((here, there), (there, here)):
                    threading.Thread(target=_relay, args=(source, target, way), daemon=True).start()


def _relay(source: socket.socket, target: socket.socket, way: threading.Event) -> None:
    with suppress(OSError):  # one end is gone
        while data := source.recv(65536):
            way.wait()
            target.sendall(data)
    way.wait()
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


@contextmanager
def gate_to(server_port: int) -> Iterator[Gate]:
    """A gate that is open, until the context ends."""
    gate = Gate(server_port)
    try:
        yield gate
    finally:
        gate.close()
