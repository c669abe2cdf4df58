"""A trial as the peers run it: `transformers.Trainer` with its best ordinary settings.

Each batch padded to its longest text, batches of like length (`group_by_length`), fused AdamW, and float32,
which is Trainer's default on every CPU.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import optuna
import torch
from sklearn.metrics import f1_score
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from benchmarks.race.log import Log
from benchmarks.race.rules import (
    EFFECTIVE_BATCH,
    EVALUATION,
    LEARNING_RATE,
    WARMUP,
    WEIGHT_DECAY,
    Rules,
)

#: evaluation keeps no gradients; a larger batch than in training is the ordinary choice
EVALUATION_BATCH = 64

#: what a user adds who knows that the CPU has matrix units for it
BF16 = {"bf16": True}


def suggest(trial: optuna.Trial) -> dict[str, Any]:
    """The race's space, as arguments of `TrainingArguments`."""
    return {
        "learning_rate": trial.suggest_float("learning_rate", *LEARNING_RATE, log=True),
        "per_device_train_batch_size": trial.suggest_categorical(
            "per_device_train_batch_size", EFFECTIVE_BATCH
        ),
        "weight_decay": trial.suggest_float("weight_decay", *WEIGHT_DECAY),
        "warmup_steps": trial.suggest_float("warmup_steps", *WARMUP),
    }


class Watch(TrainerCallback):  # type: ignore[misc]  # transformers is not checked
    """Shows every evaluation to `seen(macro_f1, evaluations so far)`."""

    def __init__(self, seen: Callable[[float, int], None]) -> None:
        self._seen = seen
        self._count = 0

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        """A trial of `hyperparameter_search` begins: it uses one Trainer for all."""
        self._count = 0

    def on_evaluate(self, *_: Any, metrics: Mapping[str, float], **__: Any) -> None:
        """An evaluation has its metrics."""
        self._count += 1
        self._seen(metrics[EVALUATION], self._count)


class Racer(Trainer):  # type: ignore[misc]  # transformers is not checked
    """A Trainer that notes how each trial ended, and trains under the race's card.

    number: the trial's, or that of the first of several in a row.
    """

    def __init__(self, *args: Any, rules: Rules, log: Log, number: int, **kwargs: Any) -> None:
        self.rules, self.race_log, self.number = rules, log, number
        super().__init__(*args, **kwargs)

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """As transformers does; an error goes on to the user."""
        try:
            with self.rules.open_card():
                result = super().train(*args, **kwargs)
        except optuna.TrialPruned:
            self.race_log.ended(self.number, "pruned")
            raise
        except torch.OutOfMemoryError:
            self.race_log.ended(self.number, "oom")
            raise
        else:
            self.race_log.ended(self.number, "finished")
            return result
        finally:
            self.number += 1


def trainer(rules: Rules, log: Log, *, number: int, params: Mapping[str, Any], **more: Any) -> Racer:
    """A Trainer for trial `number` with `params`; `more` goes to it as it is."""
    train, val, collator = _rows(rules.model, rules.data, rules.length)
    return Racer(
        rules=rules,
        log=log,
        number=number,
        args=_arguments(rules, params),
        model_init=lambda _=None: AutoModelForSequenceClassification.from_pretrained(rules.model),
        train_dataset=train,
        eval_dataset=val,
        data_collator=collator,
        compute_metrics=_metrics,
        **more,
    )


def _arguments(rules: Rules, params: Mapping[str, Any]) -> TrainingArguments:
    return TrainingArguments(
        output_dir=str(Path(rules.out) / "trainer"),
        use_cpu=True,
        seed=rules.seed,
        num_train_epochs=rules.epochs,
        per_device_eval_batch_size=EVALUATION_BATCH,
        optim="adamw_torch_fused",
        lr_scheduler_type="linear",
        train_sampling_strategy="group_by_length",
        eval_strategy="steps",
        eval_steps=1 / rules.evaluations_in_all,  # a share of all steps
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
        **params,
    )


@lru_cache(maxsize=1)
def _rows(model: str, data: str, length: int) -> tuple[Any, Any, DataCollatorWithPadding]:
    tokenizer = AutoTokenizer.from_pretrained(model)
    sets = [_examples(Path(data) / name, tokenizer, length) for name in ("train.jsonl", "val.jsonl")]
    return *sets, DataCollatorWithPadding(tokenizer)


def _examples(path: Path, tokenizer: Any, length: int) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    encoded = tokenizer([row["text"] for row in rows], truncation=True, max_length=length)["input_ids"]
    return [
        {"input_ids": ids, "attention_mask": [1] * len(ids), "labels": int(row["labels"])}
        for ids, row in zip(encoded, rows, strict=True)
    ]


def _metrics(prediction: Any) -> dict[str, float]:
    logits, labels = prediction
    return {"f1_macro": float(f1_score(labels, logits.argmax(-1), average="macro"))}
