from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.trainer.runs import Watcher, make_config
from trainer.loop import Loop
from trainer.memory.card import CardSpec
from trainer.memory.foreign import classified, is_out_of_memory
from trainer.runner import run

CUBLAS = "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"
ROOMY = CardSpec("roomy", 2**33, virtual=True)


class Greedy:
    """Micro-batches of more than four rows find no room for what cuBLAS takes beside the allocator."""

    def on_train_begin(self, trainer: Loop, **kwargs: Any) -> None:
        def refuse(module: nn.Module, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> None:
            if len(keywords.get("input_ids", arguments[0] if arguments else ())) > 4:
                raise RuntimeError(CUBLAS)

        trainer.model.net.register_forward_pre_hook(refuse, with_kwargs=True)


class Broken:
    """Something else is wrong on the device."""

    def on_train_begin(self, trainer: Loop, **kwargs: Any) -> None:
        def refuse(module: nn.Module, arguments: tuple[Any, ...]) -> None:
            raise RuntimeError("CUDA error: device-side assert triggered")

        trainer.model.net.register_forward_pre_hook(refuse)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory."),
        MemoryError(),
        RuntimeError(CUBLAS),
        RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be reported at some other call"),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:118] err == 0. DefaultCPUAllocator: can't allocate memory: "
            "you tried to allocate 17179869184 bytes. Error code 12 (Cannot allocate memory)"
        ),
    ],
)
def test_errors_that_mean_out_of_memory_become_one_type(error: Exception) -> None:
    assert is_out_of_memory(error)
    with pytest.raises(torch.OutOfMemoryError), classified():
        raise error


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("CUDA error: device-side assert triggered"),
        RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasSgemm( handle)`"),
        ValueError("CUBLAS_STATUS_ALLOC_FAILED"),
    ],
)
def test_other_errors_stay_what_they_are(error: Exception) -> None:
    assert not is_out_of_memory(error)
    with pytest.raises(type(error)), classified():
        raise error


@pytest.mark.slow
def test_a_library_that_finds_no_memory_makes_micro_batches_smaller(tmp_path: Path) -> None:
    config = make_config(tmp_path, training__num_epochs=1, callbacks__custom=[f"{__name__}:Greedy"])
    watcher = Watcher()
    outcome = run(config, directory=tmp_path / "run", card=ROOMY, observer=watcher)
    assert outcome.status == "completed"
    assert any("OOM detected, reducing batch size from 8 to 4" in line for line in watcher.lines)


def test_another_fault_of_the_device_is_no_reason_to_try_again(tmp_path: Path) -> None:
    config = make_config(tmp_path, training__num_epochs=1, callbacks__custom=[f"{__name__}:Broken"])
    with pytest.raises(RuntimeError, match="device-side assert"):
        run(config, directory=tmp_path / "run", card=ROOMY, observer=Watcher())
