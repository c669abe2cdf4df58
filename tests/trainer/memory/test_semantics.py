"""CUDA's habits on the CPU: what is kept, and that results stay what they were."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from trainer.memory.meter import LiveMeter
from trainer.memory.rehearsal import CudaMeter, FakeMeter
from trainer.memory.semantics import copied_operands, cuda_semantics

MIB = 2**20


def kept(make: object, *, old_softmax: bool = False, dtype: torch.dtype | None = None) -> int:
    """Bytes alive after `make(x)` with x [4, 8, 128, 64], beyond x itself."""
    assert callable(make)
    with FakeTensorMode(), cuda_semantics(old_softmax=old_softmax), LiveMeter() as meter:
        x = torch.zeros(4, 8, 128, 64, requires_grad=True)
        before = meter.live_bytes
        with torch.autocast("cpu", dtype=dtype or torch.float16, enabled=dtype is not None):
            result = make(x)
        assert result is not None
        found: int = meter.live_bytes - before
    return found


def test_dropout_keeps_a_mask_of_one_byte_a_value() -> None:
    assert kept(lambda x: F.dropout(x, 0.1)) == 4 * MIB // 4 + MIB // 4


def test_dropout_that_drops_nothing_keeps_nothing() -> None:
    assert kept(lambda x: F.dropout(x, 0.1, training=False)) == 0
    assert kept(lambda x: F.dropout(x, 0.0)) == 0


def test_attention_keeps_its_output_and_no_scores() -> None:
    output, logsumexp = MIB, 4 * 8 * 128 * 4
    found = kept(lambda x: F.scaled_dot_product_attention(x, x, x, dropout_p=0.1))
    assert output + logsumexp <= found <= output + logsumexp + 2048


def test_attention_makes_a_bias_of_every_mask() -> None:
    def masked(x: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(x, x, x, attn_mask=torch.ones(4, 1, 128, 128, dtype=torch.bool))

    plain = kept(lambda x: F.scaled_dot_product_attention(x, x, x))
    assert kept(masked) - plain == pytest.approx(4 * 128 * 128 * 4, abs=2048)


def test_a_bias_is_padded_to_whole_vectors() -> None:
    def masked(x: Tensor) -> Tensor:
        short = x[:, :, :120]
        mask = torch.ones(4, 1, 120, 120, dtype=torch.bool)
        return F.scaled_dot_product_attention(short, short, short, attn_mask=mask)

    plain = kept(lambda x: F.scaled_dot_product_attention(x[:, :, :120], x[:, :, :120], x[:, :, :120]))
    assert kept(masked) - plain == pytest.approx(4 * 120 * 128 * 4, abs=2048)


def test_an_old_softmax_keeps_its_input_too() -> None:
    def scaled(x: Tensor) -> Tensor:
        return F.softmax(x * 2, dim=-1)

    assert kept(scaled) == MIB
    assert kept(scaled, old_softmax=True) == 2 * MIB


def test_under_autocast_softmax_runs_in_float32() -> None:
    assert kept(lambda x: F.softmax(x.half(), dim=-1), dtype=torch.float16) == MIB


def test_an_old_softmax_has_the_gradient_of_any_other() -> None:
    x = torch.randn(3, 5, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(3, 5, dtype=torch.float64)
    (expected,) = torch.autograd.grad((F.softmax(x, dim=-1) * weights).sum(), x)
    with cuda_semantics(old_softmax=True):
        (found,) = torch.autograd.grad((F.softmax(x, dim=-1) * weights).sum(), x)
    assert torch.equal(found, expected)


def test_functions_are_put_back_even_after_an_error() -> None:
    before = (F.dropout, F.softmax, F.layer_norm, F.scaled_dot_product_attention)
    with pytest.raises(TypeError), cuda_semantics():
        F.dropout("no tensor", training=True)  # type: ignore[arg-type]  # the error that is wanted
    assert (F.dropout, F.softmax, F.layer_norm, F.scaled_dot_product_attention) == before


def test_cublas_reads_matrices_by_rows_or_columns_and_with_gaps_as_they_lie() -> None:
    matrix = torch.zeros(4, 6)
    wide = torch.zeros(4, 3, 6)
    for readable in (matrix, matrix.T, wide[:, 0], wide.transpose(1, 2)):
        product = torch.ops.aten.bmm.default if readable.dim() == 3 else torch.ops.aten.mm.default
        assert copied_operands(product, (readable, readable)) == []


def test_the_gradient_of_a_sum_is_copied_before_cublas_multiplies_it() -> None:
    gradient, bias = torch.ones(()).expand(4, 6), torch.zeros(6)
    assert copied_operands(torch.ops.aten.mm.default, (gradient, torch.zeros(6, 2))) == [gradient]
    (copied,) = copied_operands(torch.ops.aten.addmm.default, (bias, torch.zeros(6, 4), gradient))
    assert copied is gradient
    assert copied_operands(torch.ops.aten.add.Tensor, (gradient, gradient)) == []


def test_a_copy_for_cublas_lives_as_long_as_the_product() -> None:
    def steps(meter: type[FakeMeter]) -> list[tuple[str, int]]:
        events: list[tuple[str, int]] = []
        with FakeTensorMode():
            gradient, weight = torch.ones(()).expand(256, 256), torch.zeros(256, 128)
            with meter(sink=lambda event, number, size: events.append((event, size))):
                made = gradient.mm(weight)
                del made
        return events

    copy, product = 256 * 256 * 4, 256 * 128 * 4
    assert steps(FakeMeter) == [("alloc", product), ("free", product)]
    assert steps(CudaMeter) == [("alloc", copy), ("alloc", product), ("free", copy), ("free", product)]
