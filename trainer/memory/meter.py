"""Counting what tensors hold: every storage alive, as CUDA's allocator would round it."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, UntypedStorage
from torch.utils._python_dispatch import TorchDispatchMode

from trainer.memory.allocator import rounded

Event = Literal["alloc", "free"]
#: sink(event, storage number, bytes, not rounded); numbers count from 1 in order of first sight
Sink = Callable[[Event, int, int], None]


class _Watch(weakref.ref[UntypedStorage]):
    """A weak reference that remembers which storage it was and what it was counted as."""

    __slots__ = ("address", "counted", "number")

    address: int
    counted: int
    number: int


class LiveMeter(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's own
    """Follows every storage made inside `with meter:` until it is freed, in forward and backward.

    Views and in-place results share a storage and count once. Storages on the meta device are
    nothing. `limit` (bytes) may change at any time; the allocation that passes it is dropped again.

    Raises (from the operation that allocates):
        torch.OutOfMemoryError: more than `limit` would be alive.
    """

    def __init__(self, *, limit: int | None = None, sink: Sink | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch's own
        self.limit = limit
        self.live_bytes = 0
        self.peak_bytes = 0
        self._sink = sink
        self._watched: dict[int, _Watch] = {}
        self._number = 0
        self._away = 0

    def reset_peak(self) -> None:
        """Start a new peak from what is alive now."""
        self.peak_bytes = self.live_bytes

    @contextmanager
    def host(self) -> Iterator[None]:
        """What is made in here lies in host memory, beside the card, and is not counted."""
        self._away += 1
        try:
            yield
        finally:
            self._away -= 1

    def count(self, tensors: Iterable[Tensor]) -> None:
        """Count tensors that were made elsewhere.

        Raises:
            torch.OutOfMemoryError: they pass the limit. They stay counted, for they stay alive.
        """
        for tensor in tensors:
            grown = self._see(tensor)
            if grown and self.limit is not None and self.live_bytes > self.limit:
                raise torch.OutOfMemoryError(self._message(grown))

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """What torch calls for every operation, and wraps in each class that has one: `call` is for those."""
        return self.call(func, args, kwargs or {})

    def call(self, func: Any, args: tuple[Any, ...], keywords: Mapping[str, Any]) -> Any:
        """Run the operation and count what it made."""
        if self._away:
            return func(*args, **keywords)
        if torch.is_inference_mode_enabled():
            # Without autograd composite operations arrive whole; their parts allocate too.
            with self:
                parts = func.decompose(*args, **keywords)
            if parts is not NotImplemented:
                return parts
        made = func(*args, **keywords)
        before, peak = self.live_bytes, self.peak_bytes
        for item in made if isinstance(made, (tuple, list)) else (made,):
            if isinstance(item, Tensor):
                self._see(item)
        grown = self.live_bytes - before
        if grown > 0 and self.limit is not None and self.live_bytes > self.limit:
            message = self._message(grown)
            # The error's traceback keeps this frame: what it still names would stay alive.
            del made, item
            self.peak_bytes = peak  # a refused allocation was never held
            raise torch.OutOfMemoryError(message)
        return made

    def _see(self, tensor: Tensor) -> int:
        """Count the tensor's storage if it is new or resized; returns by how many bytes it grew."""
        if tensor.device.type == "meta" or tensor.layout is not torch.strided:
            return 0
        storage = tensor.untyped_storage()
        size = storage.nbytes()
        address = storage._cdata
        watch = self._watched.get(address)
        if watch is None:
            return self._add(storage, size)
        return self._resize(watch, size) if watch.counted != size else 0

    def _add(self, storage: UntypedStorage, size: int) -> int:
        self._number += 1
        watch = _Watch(storage, self._gone)
        watch.address, watch.counted, watch.number = storage._cdata, size, self._number
        self._watched[watch.address] = watch
        if size:
            self._tell("alloc", watch.number, size)
        return size

    def _resize(self, watch: _Watch, size: int) -> int:
        """A resize gives the old memory back after the new was taken, as a CUDA storage does."""
        grown, old = size - watch.counted, watch.counted
        self._number += 1
        if size:
            self._tell("alloc", self._number, size)
        if old:
            self._tell("free", watch.number, old)
        watch.counted, watch.number = size, self._number
        return grown

    def _gone(self, watch: _Watch) -> None:
        self._watched.pop(watch.address, None)
        if watch.counted:
            self._tell("free", watch.number, watch.counted)

    def _tell(self, event: Event, number: int, size: int) -> None:
        self.live_bytes += rounded(size) if event == "alloc" else -rounded(size)
        self.peak_bytes = max(self.peak_bytes, self.live_bytes)
        if self._sink is not None:
            self._sink(event, number, size)

    def _message(self, asked: int) -> str:
        """In the words of CUDA's allocator, which recovery reads the size from."""
        limit = self.limit or 0
        free = max(0, limit - (self.live_bytes - asked))
        return (
            f"CUDA out of memory. Tried to allocate {_sized(asked)}. The virtual card has a limit of "
            f"{_sized(limit)} of which {_sized(free)} is free."
        )


def _sized(size: int) -> str:
    """As format_size of c10/cuda/CUDACachingAllocator.cpp."""
    for unit, power in (("GiB", 30), ("MiB", 20), ("KiB", 10)):
        if size > 2**power:
            return f"{size / 2**power:.2f} {unit}"
    return f"{size} bytes"
