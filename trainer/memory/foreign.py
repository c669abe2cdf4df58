"""The one place that says what errors of others mean for memory: by type, then by their words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from trainer.errors import Unplannable

#: words in an error that is no torch.OutOfMemoryError -> where they come from. Libraries beside torch's
#: allocator take device memory of their own, and report in their own words that there was none.
OUT_OF_MEMORY = {
    # aten/src/ATen/cuda/Exceptions.cpp, _cublasGetErrorEnum
    "CUBLAS_STATUS_ALLOC_FAILED": "cuBLAS could not allocate",
    # the same file; a handle that cannot be created for want of memory is "not initialized"
    "CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate": "cuBLAS could not make its handle",
    # cuDNN API reference, cudnnStatus_t: up to version 8
    "CUDNN_STATUS_ALLOC_FAILED": "cuDNN could not allocate",
    # the same, from version 9
    "CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED": "cuDNN could not allocate on the device",
    "CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED": "cuDNN could not allocate on the host",
    # cudaErrorMemoryAllocation as cudaGetErrorString says it (CUDA runtime API): outside torch's allocator
    "CUDA error: out of memory": "the CUDA runtime could not allocate",
    # c10/core/impl/alloc_cpu.cpp: the host's memory, which a smaller micro-batch spares too
    "DefaultCPUAllocator: can't allocate memory": "the host has no memory left",
    "DefaultCPUAllocator: not enough memory": "the host has no memory left (Windows)",
}


def is_out_of_memory(error: BaseException) -> bool:
    """True if `error` says that a device or the host had no memory left."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in OUT_OF_MEMORY)


@contextmanager
def classified() -> Iterator[None]:
    """Inside, whatever says that memory ran out is a `torch.OutOfMemoryError`; other errors pass."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise torch.OutOfMemoryError(str(error) or "the host has no memory left") from error


@contextmanager
def planning(family: str) -> Iterator[None]:
    """Inside, models are run without numbers; what they raise because of that is `Unplannable`.

    torch's own errors for that (torch/_subclasses/fake_tensor.py) are RuntimeErrors, as are those that a
    model's code raises over sizes that follow from values.
    """
    try:
        yield
    except RuntimeError as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise Unplannable(
            f"model.name: the memory of {family} models cannot be planned: what they allocate depends on "
            f"the values in their tensors ({reason})"
        ) from error
