"""One training step under fake tensors: every allocation and free, without computing or holding anything."""

from __future__ import annotations

import gc
import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from transformers import AutoConfig, AutoModelForSequenceClassification
from transformers.initialization import no_init_weights
from transformers.utils import logging

from trainer.data.batches import Batch
from trainer.data.tasks import Task
from trainer.loss import MultiTaskLoss
from trainer.memory.allocator import Change, rounded
from trainer.memory.foreign import planning
from trainer.memory.meter import Event, LiveMeter
from trainer.memory.planned_optimizer import build_planned_optimizer, keep_gradients
from trainer.memory.request import PlanRequest
from trainer.memory.semantics import copied_operands, cuda_semantics
from trainer.memory.trace import Trace, in_order
from trainer.model.build import checkpoint_layers, has_efficient_attention
from trainer.model.classifier import Classifier
from trainer.model.layers import freeze
from trainer.model.vocabulary import train_rows
from trainer.optimizer import prime
from trainer.step import Precision, TrainStep

#: what C++ asks a fake tensor for its device by: most of all operations
_DEVICE = torch.ops.prim.device.default
_DTYPES = {"fp32": None, "fp16": torch.float16, "bf16": torch.bfloat16}


def rehearse(request: PlanRequest) -> Trace:
    """Run the training step that `request` describes under fake tensors.

    No weights are read or allocated.

    Raises:
        Unplannable: the model's code needs the values in its tensors.
    """
    with planning(_family(request)), FakeTensorMode():
        return _traced(request, [request.rows], _fake_meter(request))[request.rows]


def rehearse_rows(request: PlanRequest, *, rows: Sequence[int]) -> dict[int, Trace]:
    """`rehearse` at several micro-batches, with one model and one optimizer for all."""
    if not request.software.primed:  # the first step belongs to the trace, and has rows of its own
        return {number: rehearse(replace(request, rows=number)) for number in rows}
    with planning(_family(request)), FakeTensorMode():
        return _traced(request, rows, _fake_meter(request))


def _family(request: PlanRequest) -> str:
    return str(json.loads(request.encoder)["model_type"])


def measure(request: PlanRequest) -> Trace:
    """The same step over real tensors on the CPU: what `rehearse` is checked against."""
    return _traced(request, [request.rows], LiveMeter)[request.rows]


def _traced(request: PlanRequest, rows: Sequence[int], make_meter: type[LiveMeter]) -> dict[int, Trace]:
    software = request.software
    patches = cuda_semantics(old_softmax=software.old_softmax) if software.cuda else nullcontext()
    tape = Tape()
    with undisturbed(), patches:
        with no_init_weights() if issubclass(make_meter, FakeMeter) else nullcontext():
            model = random_model(request)
        with make_meter(sink=tape.write) as meter:
            rehearsal = _Rehearsal(request, model, meter, tape)
            return {number: rehearsal.trace(number) for number in rows}


def random_model(request: PlanRequest) -> Classifier:
    """The model of `request` with random weights, or under FakeTensorMode with none."""
    settings = json.loads(request.encoder)
    settings["num_labels"] = sum(request.sizes)
    config = AutoConfig.for_model(settings.pop("model_type"), **settings)
    attention = request.attention if has_efficient_attention(config) else "eager"
    arguments: dict[str, Any] = {"dtype": torch.float32, "attn_implementation": attention}
    net = AutoModelForSequenceClassification.from_config(config, **arguments)
    checkpoint_layers(net, request.checkpointing)
    freeze(net, trained_layers=request.trained_layers)
    if request.occurring is not None:
        train_rows(net, request.occurring)
    return Classifier(net, sizes=request.sizes, pooling=request.pooling)


class Tape:
    """Changes in order, with marks."""

    def __init__(self) -> None:
        self.changes: list[Change] = []
        self.backward: int | None = None

    def write(self, event: Event, number: int, size: int) -> None:
        """One change; a meter's `sink`."""
        self.changes.append((number, size if event == "alloc" else -size))


class FakeMeter(LiveMeter):  # type: ignore[no-untyped-call]  # torch's own
    """A meter that has an answer where a step (Adafactor's) asks a fake tensor for its value."""

    def call(self, func: Any, args: tuple[Any, ...], keywords: Mapping[str, Any]) -> Any:
        """As a `LiveMeter`."""
        if func is _DEVICE:
            return args[0].device
        if func is torch.ops.aten._local_scalar_dense.default:
            return 1.0 if args[0].dtype.is_floating_point else 1
        return super().call(func, args, keywords)


class CudaMeter(FakeMeter):  # type: ignore[no-untyped-call]  # torch's own
    """A fake meter that also counts what cuBLAS is given copies of, while it computes."""

    def call(self, func: Any, args: tuple[Any, ...], keywords: Mapping[str, Any]) -> Any:
        """Run the operation beside its copies, and count all of it."""
        clone, dense = torch.ops.aten.clone.default, {"memory_format": torch.contiguous_format}
        copies = [super(CudaMeter, self).call(clone, (one,), dense) for one in copied_operands(func, args)]
        made = super().call(func, args, keywords)
        del copies
        return made


def _fake_meter(request: PlanRequest) -> type[FakeMeter]:
    return CudaMeter if request.software.cuda else FakeMeter


class _Rehearsal:
    """Builds the step's parts in the order a run does, and runs it."""

    def __init__(self, request: PlanRequest, model: Classifier, meter: LiveMeter, tape: Tape) -> None:
        self.request = request
        self.model = model
        self.meter = meter
        self.tape = tape
        meter.count([*model.parameters(), *model.buffers()])
        self._weights = meter.live_bytes
        model.train()
        self._step = self._made()
        if request.software.primed:
            prime(self._step.optimizer)
        else:
            self._once(request.rows)
        self._state = meter.live_bytes - self._weights
        self._fixed = in_order(tape.changes)
        self._next = 1 + max(number for number, _ in tape.changes)

    def trace(self, rows: int) -> Trace:
        """One more step, with micro-batches of `rows`."""
        tape = self.tape
        start, tape.backward = len(tape.changes), None
        gradients = self._once(rows)
        middle = tape.backward or start
        # Storages are numbered on from step to step; in a trace every step is the first.
        shift = min(number for number, _ in tape.changes[start:]) - self._next
        return Trace(
            weights_bytes=self._weights,
            gradients_bytes=gradients,
            optimizer_bytes=self._state,
            fixed=self._fixed,
            forward=in_order([(number - shift, size) for number, size in tape.changes[start:middle]]),
            backward=in_order([(number - shift, size) for number, size in tape.changes[middle:]]),
        )

    def _once(self, rows: int) -> int:
        """One optimizer step; returns the bytes of its gradients."""
        with _mark_backward(self.tape):
            self._step.gradients(self._batches(rows), [1.0] * len(self.request.sizes))
        gradients = sum(rounded(grad.untyped_storage().nbytes()) for grad in self._gradients())
        self._step.update()
        return gradients

    def _gradients(self) -> Iterator[torch.Tensor]:
        return (p.grad for p in self.model.parameters() if p.grad is not None)

    def _made(self) -> TrainStep:
        sizes = self.request.sizes
        tasks = [Task(str(index), tuple(map(str, range(size))), 1.0) for index, size in enumerate(sizes)]
        loss = MultiTaskLoss(tasks, weights=[[1.0] * size for size in sizes], label_smoothing=0.0)
        optimizer = build_planned_optimizer(self.model, self.request.optimizer, host=self.meter.host)
        if self.request.software.zeroed:
            keep_gradients(optimizer)
        # The scaler's own tensors are a few scalars; enabled, it would ask fake tensors for values.
        scaler = torch.amp.GradScaler("cpu", enabled=False)
        precision = Precision("cpu", _DTYPES[self.request.precision])
        return TrainStep(self.model, loss, optimizer, scaler, precision, max_grad_norm=1.0)

    def _batches(self, rows: int) -> list[Batch]:
        return [self._batch(rows) for _ in range(2 if self.request.accumulated else 1)]

    def _batch(self, rows: int) -> Batch:
        length = self.request.length
        mask_BL = torch.ones((rows, length), dtype=torch.int64)
        mask_BL[0, -1] = 0  # a batch without padding would need no mask, and less memory
        ids_BL = torch.zeros((rows, length), dtype=torch.int64)
        return Batch(ids_BL, mask_BL, torch.zeros((rows, len(self.request.sizes)), dtype=torch.int64))


@contextmanager
def _mark_backward(tape: Tape) -> Iterator[None]:
    """Notes where the first backward begins: there a second cuBLAS workspace comes to be."""
    original = torch.Tensor.backward

    def backward(tensor: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        if tape.backward is None:
            tape.backward = len(tape.changes)
        return original(tensor, *args, **kwargs)  # type: ignore[no-untyped-call]  # torch's own

    torch.Tensor.backward = backward  # type: ignore[method-assign,assignment]  # put back below
    try:
        yield
    finally:
        torch.Tensor.backward = original  # type: ignore[method-assign]  # as it was


@contextmanager
def undisturbed() -> Iterator[None]:
    """No advice from transformers on training, and no frees at the garbage collector's whim."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        collecting = gc.isenabled()
        gc.disable()
        try:
            yield
        finally:
            logging.set_verbosity(verbosity)
            if collecting:
                gc.enable()
