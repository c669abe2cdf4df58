"""What a plan is asked for: everything that decides how much memory a training step takes."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transformers import PreTrainedConfig

    from trainer.config.schema import Config
    from trainer.data.tasks import Task

PrecisionName = Literal["fp32", "fp16", "bf16"]
Attention = Literal["sdpa", "eager"]
OptimizerKind = Literal[
    "adamw_fused",
    "adamw_foreach",
    "adamw_loop",
    "adafactor",
    "adamw8bit",
    "adamw_offload",
    "adamw_old",
    "adafactor_old",
]

#: aten/src/ATen/cuda/CublasHandlePool.cpp, parseChosenWorkspaceSize: ":4096:2:16:8" KiB before sm_90;
#: one for the main thread and one for autograd's
CUBLAS_WORKSPACE = 2 * 4096 * 1024 + 8 * 16 * 1024


@dataclass(frozen=True)
class Software:
    """What differs between versions and devices.

    cuda: CUDA's memory semantics; False: the CPU's, as a virtual card measures them. old_softmax: torch
    before 1.11. workspace_bytes: each of the two cuBLAS workspaces inside torch's allocator (0 before
    torch 1.11, where cuBLAS took its own). primed: the optimizer's state is allocated before the first step,
    as trainer.optimizer.prime does, not during it. zeroed: gradients are filled with zeros after a step, not
    dropped. expandable: PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True.
    """

    cuda: bool = True
    old_softmax: bool = False
    workspace_bytes: int = CUBLAS_WORKSPACE
    primed: bool = True
    zeroed: bool = False
    expandable: bool = False


@dataclass(frozen=True)
class PlanRequest:
    """One training step to plan.

    encoder: transformers' configuration as JSON, `model_type` included. sizes: classes per task. rows,
    length: the largest micro-batch. accumulated: gradients are alive during forward (more than one
    micro-batch per optimizer step, or gradients zeroed instead of dropped).
    """

    encoder: str
    rows: int
    length: int
    sizes: tuple[int, ...] = (2,)
    pooling: str = "cls"
    precision: PrecisionName = "fp32"
    optimizer: OptimizerKind = "adamw_fused"
    attention: Attention = "sdpa"
    checkpointing: bool = False
    accumulated: bool = False
    software: Software = field(default_factory=Software)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for a key or a record."""
        return asdict(self)


def encoder_json(config: PreTrainedConfig) -> str:
    """`PlanRequest.encoder` of a transformers configuration."""
    text: str = config.to_json_string(use_diff=False)
    return text


def request_for(
    config: Config, *, tasks: Sequence[Task], vocabulary_size: int | None = None, cuda: bool = True
) -> PlanRequest:
    """The step that training with `config` repeats, at its largest micro-batch; reads no weights.

    vocabulary_size: of a builtin model, which takes it from the training texts. cuda: planned for a GPU;
    False: for the CPU, as a virtual card measures it.

    Raises:
        ModelError: the model's configuration cannot be had.
    """
    from trainer.model.build import encoder_config

    encoder = encoder_config(config.model, tasks=tasks, vocabulary_size=vocabulary_size)
    optimization = config.optimization
    return PlanRequest(
        encoder=encoder_json(encoder),
        rows=config.micro_batch_size,
        length=config.model.max_sequence_length,
        sizes=tuple(len(task.classes) for task in tasks),
        pooling=config.model.pooling,
        precision="fp16" if config.training.fp16 and cuda else "fp32",
        optimizer="adafactor" if optimization.optimizer == "Adafactor" else "adamw_fused",
        attention="sdpa" if optimization.memory_efficient_attention else "eager",
        checkpointing=optimization.gradient_checkpointing,
        accumulated=config.accumulation_steps > 1,
        software=Software(cuda=cuda, workspace_bytes=CUBLAS_WORKSPACE if cuda else 0),
    )
