"""What the export is, and how it was checked."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class OnnxRecord:
    """model.onnx against torch. speed: torch seconds over ONNX seconds, same texts, on `threads` threads."""

    path: str
    texts: int
    largest_difference: float
    labels_equal: bool
    speed: float
    threads: int


@dataclass(frozen=True)
class ExportRecord:
    """The exported directory. difference: largest, of logits, between the trained and the reloaded model.

    reloaded_*: loaded in a fresh process and evaluated again: rows, macro-F1, rows with another label (0).
    """

    directory: str
    difference: float
    checked_texts: int
    reloaded_rows: int = 0
    reloaded_f1_macro: float | None = None
    reloaded_differing: int = 0
    onnx: OnnxRecord | None = None
