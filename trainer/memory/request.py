"""What a plan is asked for: everything that decides how much memory a training step takes."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from trainer.config.schema import PrecisionName as PrecisionName
from trainer.memory.card import CUBLAS_WORKSPACE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transformers import PreTrainedConfig

    from trainer.config.schema import Checkpointing, Config
    from trainer.data.tasks import Task
    from trainer.memory.card import CardSpec

Attention = Literal["sdpa", "eager"]
OptimizerKind = Literal[
    "adamw_fused",
    "adamw_foreach",
    "adamw_loop",
    "adafactor",
    "adamw8bit",
    "adamw_offload",
    "adafactor_offload",
    "adamw_old",
    "adafactor_old",
]

#: an optimizer -> the same with its state in host memory
IN_HOST_MEMORY: dict[OptimizerKind, OptimizerKind] = {
    "adamw_fused": "adamw_offload",
    "adafactor": "adafactor_offload",
}

#: keys of a transformers configuration that no tensor of a training step depends on
_INDIFFERENT = {
    "_name_or_path",
    "architectures",
    "dtype",
    "id2label",
    "label2id",
    "problem_type",
    "torch_dtype",
    "transformers_version",
}


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
    length: the largest micro-batch. trained_layers: top layers that are not frozen; None: nothing is.
    accumulated: gradients are alive during forward (more than one micro-batch per optimizer step, or
    gradients zeroed instead of dropped). occurring: rows of the vocabulary that are trained, while the whole
    of it lies in host memory; None: it is trained whole.
    """

    encoder: str
    rows: int
    length: int
    sizes: tuple[int, ...] = (2,)
    pooling: str = "cls"
    precision: PrecisionName = "fp32"
    optimizer: OptimizerKind = "adamw_fused"
    attention: Attention = "sdpa"
    checkpointing: Checkpointing = False
    trained_layers: int | None = None
    accumulated: bool = False
    occurring: int | None = None
    software: Software = field(default_factory=Software)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for a key or a record."""
        return asdict(self)


def on_card(request: PlanRequest, card: CardSpec) -> PlanRequest:
    """`request` with the cuBLAS workspaces of `card`; a virtual one has none."""
    workspace = 0 if card.virtual else card.workspace_bytes
    return replace(request, software=replace(request.software, workspace_bytes=workspace))


def encoder_json(config: PreTrainedConfig) -> str:
    """`PlanRequest.encoder` of a transformers configuration: what decides memory, and nothing else.

    Names and labels are left out, and of dropout only whether there is any counts, so that all trials
    of a study ask the same few questions.
    """
    settings: dict[str, Any] = json.loads(config.to_json_string(use_diff=False))
    kept = {key: value for key, value in settings.items() if key not in _INDIFFERENT}
    for key, value in kept.items():
        if "dropout" in key and isinstance(value, float):
            kept[key] = 0.1 if value else 0.0
    return json.dumps(kept, sort_keys=True)


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
    sizes = tuple(len(task.classes) for task in tasks)
    return request_of(config, encoder=encoder_json(encoder), sizes=sizes, cuda=cuda)


def request_of(
    config: Config,
    *,
    encoder: str,
    sizes: tuple[int, ...],
    occurring: int | None = None,
    cuda: bool = True,
) -> PlanRequest:
    """As `request_for`, of an encoder that is known by its `encoder_json`; occurring: as `PlanRequest`'s."""
    optimization = config.optimization
    return PlanRequest(
        encoder=encoder,
        rows=config.micro_batch_size,
        length=config.model.max_sequence_length,
        sizes=sizes,
        pooling=config.model.pooling,
        precision=config.precision if cuda else "fp32",
        optimizer=_optimizer(config),
        attention="sdpa" if optimization.memory_efficient_attention else "eager",
        checkpointing=optimization.gradient_checkpointing,
        trained_layers=config.training.trained_layers,
        accumulated=config.accumulation_steps > 1,
        occurring=occurring,
        software=Software(cuda=cuda, workspace_bytes=CUBLAS_WORKSPACE if cuda else 0),
    )


def _optimizer(config: Config) -> OptimizerKind:
    kinds: dict[str, OptimizerKind] = {
        "AdamW": "adamw_fused",
        "Adafactor": "adafactor",
        "AdamW8bit": "adamw8bit",
    }
    kind = kinds[config.optimization.optimizer]
    return IN_HOST_MEMORY[kind] if config.optimization.cpu_offload else kind
