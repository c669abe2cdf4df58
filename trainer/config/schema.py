"""The configuration of one run: frozen sections, every key described.

Values are checked here; files, line numbers, templates and precedence are `loader`'s business.
Derived numbers (the effective batch) are properties, so that no rule is written twice.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Rate = Annotated[float, Field(ge=0.0, lt=1.0)]
#: Text that is not empty, as the type of a key.
Name = Annotated[str, Field(min_length=1)]

Pooling = Literal["cls", "mean", "last4"]
Scheduler = Literal["cosine", "linear", "polynomial", "constant"]
Checkpointing = bool | Literal["selective"]
ClassWeights = Literal["none", "sqrt", "balanced"]
OptimizerName = Literal["AdamW", "Adafactor", "AdamW8bit"]
PrecisionName = Literal["fp32", "fp16", "bf16"]


BUILTIN_TASKS = frozenset({"toxicity", "bullying", "role", "emotion", "labels"})


class Section(BaseModel):
    """Base of every section: frozen, no unknown keys, no silent conversions."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class TaskConfig(Section):
    """One classification task declared by the user."""

    classes: list[Name] = Field(min_length=2, description="class names, in label order")
    weight: float = Field(1.0, gt=0, description="weight of the task in the loss and in eval_f1_macro")


class ModelConfig(Section):
    """What is trained."""

    name: Name = Field("hfl/chinese-macbert-base", description="hub id, local directory, or builtin:tiny")
    num_labels: int = Field(2, ge=2, description="classes of the single task `labels`")
    dropout_rate: Rate = Field(0.1, description="dropout of encoder, attention and head")
    hidden_size: int | None = Field(None, ge=1, description="checked against the model; null: not checked")
    max_sequence_length: int = Field(128, ge=8, description="tokens kept of a text, special tokens included")
    use_multitask: bool = Field(
        True, description="train every task the data has labels for, not only the first"
    )
    tasks: dict[Name, TaskConfig] | None = Field(
        None, description="tasks beyond the built-in toxicity, bullying, role, emotion"
    )
    task_weights: dict[Name, Annotated[float, Field(gt=0)]] | None = Field(
        None, description="task -> weight in loss and eval_f1_macro; null: the tasks' own"
    )
    pooling: Pooling = Field(
        "cls",
        description="which hidden states the head sees; last4: of the last four layers, and "
        "such a model cannot be exported",
    )

    @field_validator("task_weights")
    @classmethod
    def _names_tasks(cls, weights: dict[str, float] | None, info: ValidationInfo) -> dict[str, float] | None:
        if "tasks" not in info.data:  # invalid itself, and reported as such
            return weights
        known = BUILTIN_TASKS | set(info.data["tasks"] or {})
        if unknown := sorted(set(weights or {}) - known):
            raise ValueError(f"unknown tasks {', '.join(unknown)} (there are: {', '.join(sorted(known))})")
        return weights


class DataConfig(Section):
    """Where the rows come from."""

    train_path: Name | None = Field(None, description="training rows (JSON array or JSON Lines)")
    val_path: Name | None = Field(None, description="validation rows: every choice is made on these")
    test_path: Name | None = Field(None, description="test rows: read once, at the end")
    cache_dir: Name | None = Field(None, description="token cache; null: ~/.cache/cp-search")
    num_workers: int = Field(0, ge=0, description="accepted, not used: tokenizers have threads of their own")
    pin_memory: bool = Field(True, description="page-locked host memory for copies to the GPU")
    prefetch_factor: int = Field(2, ge=1, description="accepted, not used: batches are made when needed")


class TrainingConfig(Section):
    """How it is trained."""

    num_epochs: int = Field(10, ge=1, description="passes over the training rows")
    learning_rate: float = Field(2e-5, gt=0, description="peak learning rate of the encoder")
    weight_decay: float = Field(0.01, ge=0, description="decoupled; not on biases and LayerNorm")
    fp16: bool = Field(True, description="mixed precision: fp16 on a GPU, bfloat16 on a CPU with AMX")
    bf16: bool = Field(
        False,
        description="mixed precision in bfloat16, in place of fp16 (Ampere or newer, or a CPU with AMX)",
    )
    gradient_accumulation_steps: int = Field(1, ge=1, description="batches per optimizer step")
    batch_size: int = Field(16, ge=1, description="largest micro-batch at max_sequence_length")
    effective_batch_size: int | None = Field(
        None, ge=1, description="examples per optimizer step; decides over gradient_accumulation_steps"
    )
    auto_batch_size: bool = Field(False, description="start from the largest micro-batch that fits")
    lr_scheduler: Scheduler = Field("cosine", description="shape of the learning rate after warmup")
    warmup_ratio: Fraction = Field(0.1, description="share of all optimizer steps spent warming up")
    dataloader_drop_last: bool = Field(False, description="drop the last, smaller effective batch")
    class_weights: ClassWeights = Field("none", description="loss weights from the training counts")
    label_smoothing: Rate = Field(0.0, description="cross-entropy label smoothing")
    layer_lr_decay: float = Field(1.0, gt=0, le=1, description="rate factor per layer below the top")
    head_lr_multiplier: float = Field(1.0, gt=0, description="learning rate of the heads over the encoder's")
    trained_layers: int | None = Field(
        None,
        ge=0,
        description="top encoder layers that are trained, besides the heads; null: all, and embeddings",
    )
    evaluations_per_epoch: int = Field(1, ge=1, description="evaluations, evenly spaced, in each epoch")

    @model_validator(mode="before")
    @classmethod
    def _bf16_takes_the_place_of_the_default(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("bf16") is True and "fp16" not in values:
            return {**values, "fp16": False}
        return values

    @field_validator("bf16")
    @classmethod
    def _one_half_precision(cls, bf16: bool, info: ValidationInfo) -> bool:
        if bf16 and info.data.get("fp16"):
            raise ValueError("fp16 and bf16 are two precisions; keep one and set the other to false")
        return bf16


class OptimizationConfig(Section):
    """The optimizer and what it may cost."""

    optimizer: OptimizerName = Field(
        "AdamW", description="the optimizer; AdamW8bit keeps an eighth of the state ([8bit] extra)"
    )
    gradient_checkpointing: Checkpointing = Field(
        False, description="recompute activations in backward; selective: of every other layer"
    )
    max_grad_norm: float = Field(1.0, gt=0, description="gradient clipping by global norm")
    memory_efficient_attention: bool = Field(True, description="scaled-dot-product attention, not eager")
    cpu_offload: bool = Field(False, description="keep optimizer state in CPU memory (GPU only)")

    @field_validator("cpu_offload")
    @classmethod
    def _has_a_host_optimizer(cls, offload: bool, info: ValidationInfo) -> bool:
        if offload and info.data.get("optimizer") == "AdamW8bit":
            raise ValueError("AdamW8bit keeps its state on the card; use AdamW with cpu_offload, or neither")
        return offload


class CallbacksConfig(Section):
    """What watches the run."""

    early_stopping_patience: int | None = Field(
        3, ge=1, description="evaluations without improvement before stopping; null: never"
    )
    early_stopping_metric: Name = Field(
        "eval_f1_macro",
        description="picks the best evaluation, as eval_f1_weighted, eval_mcc, eval_loss, or of one task "
        "eval_toxicity_mcc, would; `evaluation` takes the last",
    )
    early_stopping_mode: Literal["max", "min"] = Field("max", description="is more of it better?")
    save_top_k: int = Field(1, ge=0, description="best checkpoints kept")
    save_best_only: bool = Field(True, description="no checkpoint for evaluations that are not the best")
    monitor_gpu_memory: bool = Field(True, description="memory in the live line and TensorBoard")
    tensorboard_log_dir: Name | None = Field(None, description="null: tensorboard/ in the run's directory")
    loggers: list[Literal["tensorboard", "mlflow", "wandb"]] = Field(
        ["tensorboard"], description="where metrics go besides metrics.json; nothing is sent anywhere"
    )
    custom: list[Name] = Field([], description="user callbacks as module:Class")


class ExperimentConfig(Section):
    """Where it goes and how it is repeated."""

    name: str = Field("", description="empty: made up from model and data")
    output_dir: Name = Field("experiments", description="parent of the experiment directories")
    seed: int = Field(42, ge=0, lt=2**32, description="weights, order and dropout follow from it")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="of run.log")
    resume_from_checkpoint: Name | None = Field(None, description="checkpoint directory to continue from")
    checkpoint_interval_s: float = Field(
        120.0, ge=0, description="least time between two checkpoints for resuming, taken after evaluations"
    )
    save_final_model: bool = Field(True, description="write the best evaluation's weights to final_model.pt")
    save_predictions: bool = Field(False, description="write the best evaluation's predictions")


class EarlierStage(Section):
    """A stage of `strategy.progressive` before the last one, which is the configuration itself."""

    max_sequence_length: int | None = Field(
        None, ge=8, description="tokens kept of a text in this stage; null: model.max_sequence_length"
    )
    trained_layers: int | None = Field(
        None,
        ge=0,
        description="top layers trained in this stage, 0: the heads; null: training.trained_layers",
    )
    num_epochs: int = Field(1, ge=1, description="passes over the training rows in this stage")


class PretrainConfig(Section):
    """What `strategy.two_stage` trains on first."""

    train_path: Name = Field(description="rows to pre-train on; their tasks may be others")
    val_path: Name = Field(description="rows that pick the best evaluation of the pre-training")
    num_epochs: int | None = Field(None, ge=1, description="null: training.num_epochs")
    learning_rate: float | None = Field(None, gt=0, description="null: training.learning_rate")
    num_labels: int | None = Field(None, ge=2, description="null: model.num_labels")


class StrategyConfig(Section):
    """A run of more than one stage, or one that averages other runs; at most one of the keys."""

    progressive: list[EarlierStage] = Field(
        [], description="stages of shorter texts or fewer layers before the run"
    )
    two_stage: PretrainConfig | None = Field(None, description="labelled rows to pre-train on")
    ensemble: list[Name] = Field(
        [], description="experiment directories whose probabilities are averaged; nothing is trained"
    )

    @field_validator("two_stage", "ensemble")
    @classmethod
    def _stands_alone(cls, value: Any, info: ValidationInfo) -> Any:
        if value and (others := [key for key in cls.model_fields if info.data.get(key)]):
            raise ValueError(f"{others[0]} is set too; a run has one strategy, keep one of them")
        return value


class Config(Section):
    """Everything one run depends on."""

    model: ModelConfig = ModelConfig()
    data: DataConfig = DataConfig()
    training: TrainingConfig = TrainingConfig()
    optimization: OptimizationConfig = OptimizationConfig()
    callbacks: CallbacksConfig = CallbacksConfig()
    experiment: ExperimentConfig = ExperimentConfig()
    strategy: StrategyConfig = StrategyConfig()

    @property
    def effective_batch_size(self) -> int:
        """Examples per optimizer step."""
        training = self.training
        asked = training.effective_batch_size
        return asked or training.batch_size * training.gradient_accumulation_steps

    @property
    def precision(self) -> PrecisionName:
        """Arithmetic of forward and backward where there is a GPU."""
        if self.training.bf16:
            return "bf16"
        return "fp16" if self.training.fp16 else "fp32"

    @property
    def accumulation_steps(self) -> int:
        """Micro-batches per optimizer step if every text were of full length."""
        return math.ceil(self.effective_batch_size / self.micro_batch_size)

    @property
    def micro_batch_size(self) -> int:
        """Largest micro-batch, in full-length examples; never above the effective batch."""
        return min(self.training.batch_size, self.effective_batch_size)


def key_paths() -> dict[str, Any]:
    """Every key path of the schema ("training.learning_rate") with its pydantic field."""
    return {
        f"{section}.{key}": field
        for section, outer in Config.model_fields.items()
        for key, field in outer.annotation.model_fields.items()  # type: ignore[union-attr]  # sections are models
    }
