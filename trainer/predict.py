"""Labels for new texts from an exported model, loaded with plain transformers."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoModelForSequenceClassification, AutoTokenizer
from transformers.utils import logging

from trainer.assess.rule import softmax, split_logits
from trainer.errors import ModelError
from trainer.site import Site
from trainer.threshold import Threshold, decide

if TYPE_CHECKING:
    from trainer.data.batches import Indices

#: the file `export` leaves beside the model
FACTS = "cp_search.json"

#: task -> probabilities [N, C] of its classes, in label order
Probabilities = Mapping[str, NDArray[np.floating[Any]]]

#: texts tokenised at once: enough to sort by length, and memory for a file of any size stays bounded
CHUNK = 16_384

Ints = NDArray[np.int64]
Floats = NDArray[np.floating[Any]]
Progress = Callable[[int, int], None]


class Backend(Protocol):
    """What computes: token ids and mask [B, L] in, logits [B, C] out."""

    def __call__(self, ids_BL: Ints, mask_BL: Ints) -> Floats:
        """Logits of one batch."""


class TorchBackend:
    """The exported weights in transformers, on the card of `site`."""

    def __init__(self, directory: Path, site: Site) -> None:
        """Raises ModelError: transformers cannot load `directory`. CardTooSmall: the card cannot hold it."""
        logging.set_verbosity_error()
        logging.disable_progress_bar()
        try:
            model = AutoModelForSequenceClassification.from_pretrained(directory, dtype=torch.float32)
        except (OSError, ValueError) as error:
            raise ModelError(f"{directory} cannot be loaded: {error}") from error
        self._device = site.card.device
        self._model = site.adopt(model.eval(), name=str(directory))

    def __call__(self, ids_BL: Ints, mask_BL: Ints) -> Floats:
        """Logits of one batch."""
        ids, mask = torch.from_numpy(ids_BL), torch.from_numpy(mask_BL)
        logits = self._model(input_ids=ids.to(self._device), attention_mask=mask.to(self._device)).logits
        found_BC: Floats = logits.float().cpu().numpy()
        return found_BC


class Predictor:
    """An exported model; several tasks are cut out of its logits.

    Its labels are those of the evaluation: the decision rule is in the exported weights.

    Raises:
        ModelError: `directory` holds no model that transformers can load.
        CardTooSmall: the card cannot hold its weights, or one text beside them.
    """

    def __init__(self, directory: Path, *, backend: Backend | None = None, site: Site | None = None) -> None:
        """backend: None computes with torch. site: the card it computes on; None: the GPU if there is one."""
        require_model(directory)
        self._name = str(directory)
        self._site = site or Site()
        self._backend = backend or TorchBackend(directory, self._site)
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(directory)
        except (OSError, ValueError) as error:
            raise ModelError(f"{directory} has no tokenizer that can be loaded: {error}") from error
        self._pad_id = int(self._tokenizer.pad_token_id or 0)
        self.tasks = _tasks(directory)

    def predict(
        self, texts: Sequence[str], *, thresholds: Sequence[Threshold] = (), progress: Progress | None = None
    ) -> list[dict[str, Any]]:
        """For every text, in order: {"text", task: {"label", "probability", "probabilities"}, …}."""
        found = self.probabilities(texts, progress=progress)
        return predictions(texts, tasks=self.tasks, probabilities=found, thresholds=thresholds)

    def probabilities(self, texts: Sequence[str], *, progress: Progress | None = None) -> Probabilities:
        """Task -> [N, C], a row for each text in order."""
        logits_NC = self.logits(texts, progress=progress)
        parts = split_logits(logits_NC.astype(np.float64), [len(classes) for classes in self.tasks.values()])
        return {task: softmax(part_NC) for task, part_NC in zip(self.tasks, parts, strict=True)}

    def logits(self, texts: Sequence[str], *, progress: Progress | None = None) -> Floats:
        """Float32 [N, C] in the order of the texts; `progress(done, total)` after every batch.

        Within a chunk of `CHUNK` texts batches are by length, longest first, of at most as many tokens with
        their padding as `site` allows: hardly any padding is computed.
        """
        logits_NC = np.empty((len(texts), sum(map(len, self.tasks.values()))), np.float32)
        done_N = np.zeros(len(texts), np.bool_)
        for start in range(0, len(texts), CHUNK):
            encoded = self._encoded(texts[start : start + CHUNK])

            def compute(rows: Indices, start: int = start, encoded: list[list[int]] = encoded) -> None:
                logits_NC[start + rows] = self._backend(*self._padded([encoded[row] for row in rows]))
                done_N[start + rows] = True
                if progress is not None:
                    progress(int(done_N.sum()), len(texts))

            lengths_N = np.array([len(ids) for ids in encoded], dtype=np.int64)
            self._site.over(lengths_N, compute, name=self._name)
        return logits_NC

    def _encoded(self, texts: Sequence[str]) -> list[list[int]]:
        found: list[list[int]] = self._tokenizer(
            list(texts), truncation=True, return_attention_mask=False, return_token_type_ids=False
        )["input_ids"]
        return found

    def _padded(self, encoded: Sequence[Sequence[int]]) -> tuple[Ints, Ints]:
        width = max(1, *(len(ids) for ids in encoded)) if len(encoded) > 1 else max(1, len(encoded[0]))
        ids_BL = np.full((len(encoded), width), self._pad_id, np.int64)
        mask_BL = np.zeros((len(encoded), width), np.int64)
        for row, ids in enumerate(encoded):
            ids_BL[row, : len(ids)] = ids
            mask_BL[row, : len(ids)] = 1
        return ids_BL, mask_BL


def require_model(directory: Path) -> None:
    """Raise `ModelError` if `directory` holds no exported model."""
    if not (directory / "config.json").is_file():
        raise ModelError(f"{directory} is no exported model: it has no config.json")


def predictions(
    texts: Sequence[str],
    *,
    tasks: Mapping[str, Sequence[str]],
    probabilities: Probabilities,
    thresholds: Sequence[Threshold] = (),
) -> list[dict[str, Any]]:
    """What `Predictor.predict` gives, of probabilities that are known."""
    described: list[dict[str, Any]] = [{"text": text} for text in texts]
    for task, classes in tasks.items():
        labels_N = decide(probabilities[task], [one for one in thresholds if one.task == task])
        for row, label, shares in zip(
            described, labels_N.tolist(), probabilities[task].tolist(), strict=True
        ):
            row[task] = {
                "label": classes[label],
                "probability": shares[label],
                "probabilities": dict(zip(classes, shares, strict=True)),
            }
    return described


def _tasks(directory: Path) -> Mapping[str, list[str]]:
    """Task -> classes: from the export's own facts, else the one task that config.json names."""
    facts = directory / FACTS
    if facts.is_file():
        tasks: dict[str, list[str]] = json.loads(facts.read_text(encoding="utf-8"))["tasks"]
        return tasks
    names = json.loads((directory / "config.json").read_text(encoding="utf-8")).get("id2label")
    if not names:
        raise ModelError(f"{directory} names no labels: neither {FACTS} nor id2label in its config.json")
    return {"labels": [names[key] for key in sorted(names, key=int)]}
