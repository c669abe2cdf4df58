"""Which arithmetic a card has, and what is refused for it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.trainer.memory.device import Device, pretend
from trainer.config.schema import Config, TrainingConfig
from trainer.errors import UserError
from trainer.layout import laid_out, spec_of
from trainer.memory.arithmetic import lacks_bf16, require_arithmetic
from trainer.memory.card import CardSpec, known_cards, parse_card, present_card, sized_card
from trainer.memory.fitting import Shape

BF16 = Config(training=TrainingConfig(bf16=True))


def test_bf16_is_missing_on_every_known_card_before_ampere_and_on_no_other() -> None:
    lacking = {name for name in known_cards() if lacks_bf16(parse_card(name))}
    assert lacking == {"gtx1650", "rtx2060", "rtx2080ti", "t4", "p100", "v100-16", "v100-32"}


def test_of_a_card_that_is_a_size_nobody_knows_and_nothing_is_refused() -> None:
    require_arithmetic(BF16, parse_card("4GiB"))


def test_a_size_beside_a_known_name_is_a_card_of_that_kind() -> None:
    assert lacks_bf16(sized_card("T4", "4GiB"))
    assert sized_card("h100-80", "4GiB").workspace_bytes == parse_card("h100-80").workspace_bytes
    assert sized_card("the old one", "4GiB") == parse_card("4GiB")


@pytest.mark.parametrize("virtual", [False, True])
def test_a_run_in_bf16_is_refused_by_key_and_told_what_to_use(virtual: bool) -> None:
    with pytest.raises(UserError, match=r"training\.bf16: t4 has no bfloat16 .* 7\.5.* use training\.fp16"):
        laid_out(BF16, shape=Shape("{}", (2,)), spec=parse_card("t4", virtual=virtual))


def test_fp16_and_fp32_are_to_be_had_on_every_card() -> None:
    for config in (Config(), Config(training=TrainingConfig(fp16=False))):
        require_arithmetic(config, parse_card("p100"))


def test_a_device_that_is_here_decides_beside_the_card_that_was_named() -> None:
    present = CardSpec("Tesla T4", 2**34, index=0, capability=7.5)
    for named in ("rtx3050", "4GiB"):
        spec = spec_of(parse_card(named), present)
        assert spec is not None
        assert spec.capability == 7.5
    newer = replace(present, capability=8.6)
    spec = spec_of(parse_card("t4"), newer)
    assert spec is not None
    assert spec.capability == 7.5


@pytest.mark.parametrize(("version", "hip", "capability"), [((7, 5), None, 7.5), ((10, 3), "6.2", None)])
def test_the_device_here_is_asked_for_its_capability_unless_it_is_one_of_amd(
    monkeypatch: pytest.MonkeyPatch, version: tuple[int, int], hip: str | None, capability: float | None
) -> None:
    device = Device("Some GPU", total_memory=2**33, major=version[0], minor=version[1])
    pretend(device, monkeypatch, hip=hip)
    found = present_card()
    assert found is not None
    assert found.capability == capability
