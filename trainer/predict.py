"""Labels for new texts from an exported model, loaded with plain transformers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer
from transformers.utils import logging

from trainer.data.batches import micro_batches
from trainer.errors import ModelError

#: the file `export` leaves beside the model
FACTS = "cp_search.json"

#: rows × longest text of one forward pass
TOKEN_BUDGET = 4096


class Predictor:
    """An exported model; several tasks are cut out of its logits.

    Raises:
        ModelError: `directory` holds no model that transformers can load.
    """

    def __init__(self, directory: Path) -> None:
        logging.set_verbosity_error()
        logging.disable_progress_bar()
        if not (directory / "config.json").is_file():
            raise ModelError(f"{directory} is no exported model: it has no config.json")
        try:
            self._model = AutoModelForSequenceClassification.from_pretrained(directory, dtype=torch.float32)
            self._tokenizer = AutoTokenizer.from_pretrained(directory)
        except (OSError, ValueError) as error:
            raise ModelError(f"{directory} cannot be loaded: {error}") from error
        self._model.eval()
        self.tasks = _tasks(directory, self._model.config.id2label)

    def predict(self, texts: Sequence[str]) -> list[dict[str, Any]]:
        """For every text, in order: {"text", task: {"label", "probability", "probabilities"}, …}."""
        if not texts:
            return []
        encoded = self._tokenizer(list(texts), truncation=True)["input_ids"]
        lengths_N = np.array([len(ids) for ids in encoded], dtype=np.int64)
        results: list[dict[str, Any]] = [{} for _ in texts]
        for rows in micro_batches(lengths_N, token_budget=TOKEN_BUDGET):
            logits_BC = self._logits([encoded[row] for row in rows])
            for row, logits_C in zip(rows, logits_BC, strict=True):
                results[row] = {"text": texts[row], **self._decide(logits_C)}
        return results

    @torch.inference_mode()
    def _logits(self, encoded: list[list[int]]) -> torch.Tensor:
        batch = self._tokenizer.pad({"input_ids": encoded}, return_tensors="pt")
        logits_BC: torch.Tensor = self._model(
            input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]
        ).logits
        return logits_BC

    def _decide(self, logits_C: torch.Tensor) -> dict[str, Any]:
        sizes = [len(classes) for classes in self.tasks.values()]
        parts = torch.split(logits_C, sizes)
        return {
            task: _decision(classes, part_C.softmax(0).tolist())
            for (task, classes), part_C in zip(self.tasks.items(), parts, strict=True)
        }


def _decision(classes: Sequence[str], probabilities: list[float]) -> dict[str, Any]:
    best = max(range(len(classes)), key=probabilities.__getitem__)
    return {
        "label": classes[best],
        "probability": probabilities[best],
        "probabilities": dict(zip(classes, probabilities, strict=True)),
    }


def _tasks(directory: Path, id2label: dict[int, str]) -> dict[str, list[str]]:
    """Task -> classes: from the export's own facts, else the one task that config.json names."""
    facts = directory / FACTS
    if facts.is_file():
        tasks: dict[str, list[str]] = json.loads(facts.read_text(encoding="utf-8"))["tasks"]
        return tasks
    return {"labels": [id2label[index] for index in sorted(id2label)]}
