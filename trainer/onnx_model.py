"""An exported model as ONNX: written, checked against torch on real texts, and timed beside it."""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from trainer.assess.rule import split_logits
from trainer.errors import CpSearchError, UserError
from trainer.files import write_whole
from trainer.predict import Floats, Ints, Predictor

FILE = "model.onnx"
#: how far the logits of both may lie apart; float32 sums in another order
TOLERANCE = 1e-3
_ROUNDS = 3
_EXAMPLES = ["文字", "兩行不一樣長的文字"]


class OnnxDiffers(CpSearchError):
    """The ONNX model does not say what the torch model says."""


@dataclass(frozen=True)
class OnnxCheck:
    """An ONNX model beside its original. largest_difference: of logits. differing: texts with another label.

    speed: torch over ONNX seconds, the median of alternating rounds, both on `threads` threads."""

    path: Path
    texts: int
    largest_difference: float
    differing: int
    speed: float
    threads: int


class OnnxBackend:
    """model.onnx of an exported directory, on the CPU."""

    def __init__(self, directory: Path, *, threads: int | None = None) -> None:
        """Raises UserError: onnxruntime is not installed, or there is no model.onnx."""
        runtime = _runtime()
        if not (directory / FILE).is_file():
            raise UserError(f"{directory} holds no {FILE}; make one with cp-search export … --onnx")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads or 0
        self._session = runtime.InferenceSession(
            directory / FILE, options, providers=["CPUExecutionProvider"]
        )

    def __call__(self, ids_BL: Ints, mask_BL: Ints) -> Floats:
        """Logits of one batch."""
        found_BC: Floats = self._session.run(None, {"input_ids": ids_BL, "attention_mask": mask_BL})[0]
        return found_BC


def require_onnx() -> None:
    """Check that what --onnx needs is installed.

    Raises:
        UserError: it is not; the message says how to get it.
    """
    _runtime()
    try:
        import onnxscript  # noqa: F401  # torch.onnx.export needs it
    except ModuleNotFoundError as error:
        raise UserError(_MISSING) from error


def add_onnx(directory: Path, *, texts: Sequence[str]) -> OnnxCheck:
    """Write `directory`/model.onnx from the exported model there, and hold it against torch on `texts`.

    Raises:
        UserError: onnx, onnxscript or onnxruntime is not installed. OnnxDiffers: logits lie further apart
            than `TOLERANCE`, or a label differs; the file is not left.
    """
    require_onnx()
    write_whole(directory / FILE, lambda temporary: _export(directory, temporary))
    threads = torch.get_num_threads()
    models = [Predictor(directory), Predictor(directory, backend=OnnxBackend(directory, threads=threads))]
    logits, seconds = _timed(models, texts)
    apart = float(np.abs(logits[0] - logits[1]).max())
    sizes = [len(classes) for classes in models[0].tasks.values()]
    labels = [np.stack([part_NC.argmax(1) for part_NC in split_logits(one, sizes)]) for one in logits]
    differing = int((labels[0] != labels[1]).any(axis=0).sum())
    if not apart <= TOLERANCE or differing:
        (directory / FILE).unlink()
        raise OnnxDiffers(
            f"ONNX and torch differ: logits by up to {apart:.2g} (allowed {TOLERANCE:g}), {differing} labels"
        )
    return OnnxCheck(directory / FILE, len(texts), apart, differing, seconds[0] / seconds[1], threads)


def _timed(models: Sequence[Predictor], texts: Sequence[str]) -> tuple[list[Floats], list[float]]:
    """Each model's logits, and the median seconds of alternating rounds after one to warm up."""
    logits = [model.logits(texts) for model in models]
    rounds = []
    for _ in range(_ROUNDS):
        taken = []
        for model in models:
            started = time.perf_counter()
            model.logits(texts)
            taken.append(time.perf_counter() - started)
        rounds.append(taken)
    return logits, [float(seconds) for seconds in np.median(rounds, axis=0)]


class _LogitsOnly(nn.Module):
    """Tensors in, one tensor out: what an ONNX graph is."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Logits_BC."""
        logits: Tensor = self.net(input_ids=input_ids, attention_mask=attention_mask).logits
        return logits


def _export(directory: Path, path: Path) -> None:
    net = AutoModelForSequenceClassification.from_pretrained(
        directory, dtype=torch.float32, attn_implementation="eager"
    ).eval()
    batch = AutoTokenizer.from_pretrained(directory)(_EXAMPLES, padding=True, return_tensors="pt")
    sizes = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch's own making, about its own parts
        torch.onnx.export(
            _LogitsOnly(net),
            (batch["input_ids"], batch["attention_mask"]),
            str(path),
            input_names=["input_ids", "attention_mask"],
            output_names=["logits"],
            dynamic_shapes={"input_ids": sizes, "attention_mask": sizes},
            dynamo=True,
            external_data=False,
            verbose=False,
        )


_MISSING = "ONNX needs onnx, onnxscript and onnxruntime; install them with pip install 'cp-search[onnx]'"


def _runtime() -> Any:
    try:
        import onnxruntime
    except ModuleNotFoundError as error:
        raise UserError(_MISSING) from error
    return onnxruntime
