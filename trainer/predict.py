"""Labels for new texts from an exported model, loaded with plain transformers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoModelForSequenceClassification, AutoTokenizer
from transformers.utils import logging

from trainer.data.batches import micro_batches
from trainer.errors import ModelError

#: the file `export` leaves beside the model
FACTS = "cp_search.json"

#: task -> probabilities [N, C] of its classes, in label order
Probabilities = Mapping[str, NDArray[np.float32]]

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
        return predictions(texts, tasks=self.tasks, probabilities=self.probabilities(texts))

    def probabilities(self, texts: Sequence[str]) -> Probabilities:
        """Task -> [N, C], a row for each text in order."""
        logits_NC = torch.empty(len(texts), sum(map(len, self.tasks.values())))
        if texts:
            encoded = self._tokenizer(list(texts), truncation=True)["input_ids"]
            lengths_N = np.array([len(ids) for ids in encoded], dtype=np.int64)
            for rows in micro_batches(lengths_N, token_budget=TOKEN_BUDGET):
                logits_NC[torch.from_numpy(rows)] = self._logits([encoded[row] for row in rows])
        parts = torch.split(logits_NC, [len(classes) for classes in self.tasks.values()], dim=1)
        return {task: part_NC.softmax(dim=1).numpy() for task, part_NC in zip(self.tasks, parts, strict=True)}

    @torch.inference_mode()
    def _logits(self, encoded: list[list[int]]) -> torch.Tensor:
        batch = self._tokenizer.pad({"input_ids": encoded}, return_tensors="pt")
        logits_BC: torch.Tensor = self._model(
            input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]
        ).logits
        return logits_BC


def predictions(
    texts: Sequence[str], *, tasks: Mapping[str, Sequence[str]], probabilities: Probabilities
) -> list[dict[str, Any]]:
    """What `Predictor.predict` gives, of probabilities that are known."""
    return [
        {
            "text": text,
            **{
                task: _decision(classes, probabilities[task][row].tolist()) for task, classes in tasks.items()
            },
        }
        for row, text in enumerate(texts)
    ]


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
