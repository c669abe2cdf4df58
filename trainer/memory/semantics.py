"""CUDA's memory behaviour for operations traced on the CPU.

Which tensors an operation keeps differs by device: on CUDA dropout keeps a bool mask where the CPU
keeps floats, attention is one kernel where the CPU (training with dropout) spells it out, and autocast
has another list of float32 operations. Functions are patched, not intercepted by a TorchFunctionMode: a
mode does not reach the forward that a checkpoint repeats inside backward.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import FunctionCtx

#: aten/src/ATen/native/transformers/attention.cpp, preprocess_mask: a bias is padded to this many columns
BIAS_ALIGNMENT = 16

#: operations that cuBLAS carries out -> the first of their arguments that is one of its matrices
_PRODUCTS: dict[object, int] = {
    torch.ops.aten.mm.default: 0,
    torch.ops.aten.bmm.default: 0,
    torch.ops.aten.addmm.default: 1,
    torch.ops.aten.baddbmm.default: 1,
}


@contextmanager
def cuda_semantics(*, old_softmax: bool = False) -> Iterator[None]:
    """Inside, functions called on CPU tensors keep what they would keep on CUDA.

    old_softmax: softmax keeps its input too, as torch did before 1.11 (derivatives.yaml of 1.8:
    `_softmax_backward_data(grad, result, dim, self)`).
    """
    softmax = _keeping_input(F.softmax) if old_softmax else F.softmax
    patches: dict[str, Callable[..., Tensor]] = {
        "dropout": _dropout,
        "scaled_dot_product_attention": _attention,
        "softmax": _in_float32(softmax),
        "layer_norm": _in_float32(F.layer_norm),
    }
    originals = {name: getattr(F, name) for name in patches}
    try:
        for name, function in patches.items():
            setattr(F, name, function)
        yield
    finally:
        for name, function in originals.items():
            setattr(F, name, function)


def copied_operands(operation: object, arguments: Sequence[Any]) -> list[Tensor]:
    """Matrices that cuBLAS cannot read as they lie: each is copied for as long as the product takes.

    aten/src/ATen/native/cuda/Blas.cpp, prepare_matrix_for_cublas: rows or columns must lie one after the
    other without overlap. The gradient of a sum does not: it is one number that is seen as a matrix.
    """
    first = _PRODUCTS.get(operation)
    return [] if first is None else [one for one in arguments[first:] if not _readable(one)]


def _readable(matrix: Tensor) -> bool:
    (rows, columns), (down, across) = matrix.shape[-2:], matrix.stride()[-2:]
    return (down == 1 and across >= max(1, rows)) or (across == 1 and down >= max(1, columns))


def _dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """aten/src/ATen/native/Dropout.cpp: on CUDA dropout is native_dropout, which keeps a bool mask."""
    if not training or p == 0:
        return input
    return torch.native_dropout(input, p, True)[0]


def _in_float32(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Under autocast on CUDA these run in float32 (aten/src/ATen/autocast_mode.h, AT_FORALL_FP32)."""

    def call(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return function(input.float() if torch.is_autocast_enabled("cpu") else input, *args, **kwargs)

    return call


def _attention(query: Tensor, key: Tensor, value: Tensor, **rest: Any) -> Tensor:
    """The memory-efficient kernel, which a mask always leads to; it keeps the output and logsumexp.

    aten/src/ATen/native/transformers/cuda/sdp_utils.cpp: flash attention takes no mask.
    """
    mask = rest.get("attn_mask")
    if torch.is_autocast_enabled("cpu"):
        dtype = torch.get_autocast_dtype("cpu")
        query, key, value = query.to(dtype), key.to(dtype), value.to(dtype)
    out, *_ = torch.ops.aten._scaled_dot_product_efficient_attention(
        query,
        key,
        value,
        None if mask is None else _bias(mask, query),
        torch.is_grad_enabled(),
        rest.get("dropout_p", 0.0),
        rest.get("is_causal", False),
        scale=rest.get("scale"),
    )
    result: Tensor = out
    return result


def _bias(mask: Tensor, query: Tensor) -> Tensor:
    """The mask as an additive bias in the type of `query`, made anew by every layer and padded.

    convert_boolean_attn_mask and preprocess_mask in aten/src/ATen/native/transformers/attention.cpp.
    """
    if mask.dtype == torch.bool:
        mask = torch.where(
            mask, torch.zeros((), dtype=query.dtype), torch.full((), -torch.inf, dtype=query.dtype)
        )
    batch, heads, rows, _ = query.shape
    columns = mask.shape[-1]
    if columns % BIAS_ALIGNMENT:
        mask = F.pad(mask, (0, BIAS_ALIGNMENT - columns % BIAS_ALIGNMENT))[..., :columns]
    return mask.expand(batch, heads, rows, columns)


def _keeping_input(softmax: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def call(input: Tensor, dim: int | None = None, **rest: Any) -> Tensor:
        output = softmax(input.detach(), dim, **rest)
        result: Tensor = _OldSoftmax.apply(output, input, dim)  # type: ignore[no-untyped-call]  # torch's own
        return result

    return call


class _OldSoftmax(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, output: Tensor, input: Tensor, dim: int) -> Tensor:
        ctx.save_for_backward(output, input)
        ctx.dim = dim  # type: ignore[attr-defined]  # any attribute may be set, says torch
        return output.view_as(output)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, Tensor, None]:
        output, _ = ctx.saved_tensors
        return None, torch._softmax_backward_data(grads[0], output, ctx.dim, output.dtype), None
