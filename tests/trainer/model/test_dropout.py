from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from torch import nn

from trainer.model.dropout import CheapDropout, dropout, use_cheap_dropout


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_elements_are_zeroed_at_the_rate_and_the_others_keep_the_mean(p: float, dtype: torch.dtype) -> None:
    torch.manual_seed(1)
    count = 1_000_003  # no multiple of four
    found = dropout(torch.ones(count, dtype=dtype), p)
    assert found.shape == (count,)
    assert found.dtype == dtype
    deviation = (p * (1 - p) / count) ** 0.5
    assert float((found == 0).float().mean()) == pytest.approx(p, abs=5 * deviation)
    scale = torch.tensor(1 / (1 - p)).to(dtype)
    torch.testing.assert_close(found[found != 0], scale.expand(int((found != 0).sum())), rtol=1e-4, atol=0)


def test_elements_are_dropped_one_by_one_and_not_together() -> None:
    """Four neighbours share a word of the generator: their fates must not."""
    torch.manual_seed(2)
    fates = (dropout(torch.ones(400_000), 0.5) == 0).view(-1, 4).float()
    apart = torch.corrcoef(fates.T) - torch.eye(4)
    assert apart.abs().max() < 0.02
    assert fates.mean(0).sub(0.5).abs().max() < 0.01


def test_gradients_go_where_values_went() -> None:
    torch.manual_seed(3)
    values = torch.randn(50, 7, requires_grad=True)
    found = dropout(values, 0.3)
    found.sum().backward()  # type: ignore[no-untyped-call]  # torch's own
    assert values.grad is not None
    torch.testing.assert_close(values.grad * values.detach(), found.detach())


def test_nothing_and_everything_can_be_dropped() -> None:
    values = torch.randn(9)
    assert dropout(values, 0.0) is values
    assert torch.equal(dropout(values, 1.0), torch.zeros(9))


def test_a_seed_gives_the_same_mask_again() -> None:
    masks = []
    for _ in range(2):
        torch.manual_seed(4)
        masks.append(dropout(torch.ones(30), 0.5))
    assert torch.equal(*masks)


def test_layers_of_a_network_draw_cheaply_and_are_silent_in_evaluation() -> None:
    net = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5), nn.Dropout1d(0.5))
    saved = deepcopy(net.state_dict())
    use_cheap_dropout(net)
    assert [type(part) for part in net] == [nn.Linear, CheapDropout, nn.Dropout1d]
    assert net.state_dict().keys() == saved.keys()
    values = torch.randn(3, 4)
    assert torch.equal(net[1].eval()(values), values)
    assert (net[1].train()(torch.ones(1000)) == 0).any()
