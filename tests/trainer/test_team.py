"""Steps shared out among the cores of a CPU: the same gradients, and bit for bit the same again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.trainer.data.test_batches import tokens_of
from tests.trainer.model.families import save_encoder
from tests.trainer.runs import Watcher, difference, make_config, weights_of
from trainer import team
from trainer.config.schema import Config, ModelConfig
from trainer.cutting import Packed
from trainer.data.batches import Batch, Indices
from trainer.data.packs import PackedBatch
from trainer.data.tasks import Task
from trainer.data.tokens import Tokens
from trainer.loss import MultiTaskLoss
from trainer.memory.foreign import classified
from trainer.model.build import build_model
from trainer.model.vocabulary import OccurringTokens, train_occurring_tokens
from trainer.optimizer import build_optimizer
from trainer.runner import run
from trainer.step import Precision, TrainStep
from trainer.team import Team, team_size

TASKS = [Task("labels", ("no", "yes"), 1.0)]
ROWS = 12
VOCABULARY = 60


@pytest.fixture
def two_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine of two cores, on which the small steps of the tests are worth sharing out."""
    monkeypatch.setattr(team, "LEAST_TOKENS", 16)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def texts() -> Tokens:
    """Texts of 3 to 30 tokens, special tokens included."""
    generator = np.random.default_rng(4)
    contents = [
        generator.integers(5, VOCABULARY, length).tolist() for length in generator.integers(1, 29, ROWS)
    ]
    tokens = tokens_of(*contents)
    return Tokens(tokens.ids, tokens.offsets, prefix=(2,), suffix=(3,), pad_id=0)


class Work:
    """A step of `builtin:tiny` on ROWS texts, alone or shared out."""

    def __init__(self, config: Config, *, dropout: float = 0.0, occurring: bool = False) -> None:
        torch.manual_seed(3)
        model = ModelConfig(name="builtin:tiny", dropout_rate=dropout)
        net = build_model(model, tasks=TASKS, vocabulary_size=VOCABULARY).train()
        if occurring:
            train_occurring_tokens(net.net, [np.array([0, 2, 3]), texts().ids.astype(np.int64)])
        assert net.use_packing()
        loss = MultiTaskLoss(TASKS, weights=[[1.0, 1.0]], label_smoothing=0.0)
        scaler = torch.amp.GradScaler("cpu", enabled=False)
        optimizer = build_optimizer(net, config)
        self.step = TrainStep(net, loss, optimizer, scaler, Precision("cpu"), max_grad_norm=1.0)
        split: Any = SimpleNamespace(tokens=texts(), labels_NT=np.arange(ROWS)[:, None] % 2)
        self.cutting = Packed(split, max_length=32)
        self.lengths_N = split.tokens.lengths(32)
        self.rows = np.argsort(-self.lengths_N, kind="stable")

    def batches(self, rows: Indices) -> Sequence[Batch | PackedBatch]:
        """In packs of at most 64 tokens."""
        return [self.cutting.batch(rows[cut]) for cut in self.cutting.cuts(self.lengths_N[rows], 64)]

    def alone(self) -> list[Tensor]:
        """Loss and gradients of the step as it is."""
        return self._found(self.step.gradients(self.batches(self.rows), [float(ROWS)]))

    def shared_out(self, by: Team) -> list[Tensor]:
        """The same, by a team."""
        return self._found(by.gradients(self.rows, self.batches, [float(ROWS)]))

    def _found(self, loss: Tensor) -> list[Tensor]:
        grads = [p.grad.clone() for p in self.step.model.parameters() if p.grad is not None]
        assert len(grads) == len(list(self.step.model.parameters()))
        self.step.forget()
        return [loss, *grads]


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return make_config(tmp_path)


@pytest.mark.parametrize("size", [1, 2, 3, 4, ROWS + 3])
@pytest.mark.parametrize("occurring", [False, True])
def test_a_step_that_is_shared_out_gives_the_same_loss_and_gradients(
    config: Config, size: int, occurring: bool
) -> None:
    work = Work(config, occurring=occurring)
    torch.testing.assert_close(work.shared_out(Team(work.step, size)), work.alone(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("size", [2, 3])
def test_the_same_seed_gives_the_same_gradients_bit_for_bit_whoever_ends_first(
    config: Config, size: int
) -> None:
    work = Work(config, dropout=0.3)
    by = Team(work.step, size)

    def again(seed: int) -> list[Tensor]:
        torch.manual_seed(seed)
        return work.shared_out(by)

    first = again(5)
    for _ in range(10):
        assert all(map(torch.equal, again(5), first))
    assert not torch.equal(again(6)[0], first[0])


def test_the_masks_of_two_members_differ(config: Config) -> None:
    work = Work(config, dropout=0.3)
    by, losses = Team(work.step, 2), []

    def same_rows(_share: Indices) -> Sequence[Batch | PackedBatch]:
        return work.batches(work.rows[:4])

    for member in by._members:
        gradients = member.gradients
        member.gradients = lambda *given, _own=gradients: losses.append(_own(*given)) or losses[-1]  # type: ignore[method-assign, func-returns-value]  # of this team only
    by.gradients(work.rows[:4], same_rows, [4.0])
    assert len({float(loss) for loss in losses}) == 2


def test_members_compute_with_the_weights_of_the_step_and_hold_no_second_ones(config: Config) -> None:
    work = Work(config, occurring=True)
    by = Team(work.step, 2)
    work.shared_out(by)
    before = [p.clone() for p in work.step.model.parameters()]
    by.gradients(work.rows, work.batches, [float(ROWS)])
    work.step.update()
    (other,) = by._members[1:]
    pairs = list(zip(work.step.model.parameters(), other.model.parameters(), strict=True))
    assert not any(torch.equal(now, then) for (now, _), then in zip(pairs, before, strict=True))
    assert all(ours.data_ptr() == theirs.data_ptr() for ours, theirs in pairs)
    assert all(theirs.grad is None for _, theirs in pairs)
    tables = [one.model.net.get_input_embeddings() for one in by._members]
    assert all(isinstance(table, OccurringTokens) for table in tables)
    assert len({table._whole_VD.data_ptr() for table in tables}) == 1


def test_memory_that_runs_out_under_a_member_leaves_nothing_of_the_others(config: Config) -> None:
    work = Work(config)
    by, expected = Team(work.step, 2), work.alone()

    def without_memory(rows: Indices) -> Sequence[Batch | PackedBatch]:
        if work.rows[0] in rows:
            raise torch.OutOfMemoryError("Tried to allocate 20.00 MiB")
        return work.batches(rows)

    with pytest.raises(torch.OutOfMemoryError), classified():
        by.gradients(work.rows, without_memory, [float(ROWS)])
    assert all(p.grad is None for member in by._members[1:] for p in member.model.parameters())
    work.step.forget()
    torch.testing.assert_close(work.shared_out(by), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("threads", "tokens", "size"),
    [
        (1, 10_000, 1),
        (2, 1_400, 2),
        (2, 300, 1),
        (8, 1_400, 4),
        (8, 700, 2),
        (64, 100_000, 4),
        (4, 0, 1),
        (6, 5_000, 3),
        (7, 5_000, 1),
        (4, 800, 2),
    ],
)
def test_a_team_is_no_larger_than_its_work(threads: int, tokens: float, size: int) -> None:
    assert team_size(threads, step_tokens=tokens, gradient_bytes=2**20) == size


@pytest.mark.parametrize(("mib", "size"), [(36, 4), (200, 2), (400, 2), (700, 1)])
def test_gradients_of_a_team_take_little_memory(mib: int, size: int) -> None:
    assert team_size(8, step_tokens=5_000, gradient_bytes=mib * 2**20) == size


def test_members_follow_what_a_callback_does_to_the_weights(config: Config) -> None:
    work = Work(config)
    by = Team(work.step, 2)
    work.shared_out(by)
    frozen, replaced = list(work.step.model.parameters())[-2:]
    frozen.requires_grad_(False)
    replaced.data = replaced.detach() + 1.0
    loss = by.gradients(work.rows, work.batches, [float(ROWS)])
    found = [None if p.grad is None else p.grad.clone() for p in work.step.model.parameters()]
    work.step.forget()
    expected = work.step.gradients(work.batches(work.rows), [float(ROWS)])
    torch.testing.assert_close(loss, expected, rtol=1e-4, atol=1e-6)
    assert found[-2] is None
    for ours, parameter in zip(found, work.step.model.parameters(), strict=True):
        if ours is not None:
            torch.testing.assert_close(ours, parameter.grad, rtol=1e-4, atol=1e-6)


def test_a_team_has_its_part_of_the_threads_and_leaves_the_caller_and_others_theirs(config: Config) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        work = Work(config)
        by, seen = Team(work.step, 2), []

        def noted(rows: Indices) -> Sequence[Batch | PackedBatch]:
            seen.append(torch.get_num_threads())
            return work.batches(rows)

        by.gradients(work.rows, noted, [float(ROWS)])
        with ThreadPoolExecutor(1) as born_later:
            others = born_later.submit(torch.get_num_threads).result()
        assert (seen, torch.get_num_threads(), others) == ([2, 2], 4, 4)
    finally:
        torch.set_num_threads(before)


def config_of_packs(directory: Path, **settings: Any) -> Config:
    save_encoder("bert", directory / "model", texts=["爛好的是不了人我在有他這中大來上國個到說們為"])
    return make_config(directory, model__name=str(directory / "model"), **settings)


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The members of each team that is made."""
    found: list[int] = []
    whole_init = Team.__init__

    def noted(self: Team, step: TrainStep, size: int) -> None:
        found.append(size)
        whole_init(self, step, size)

    monkeypatch.setattr(Team, "__init__", noted)
    return found


@pytest.mark.usefixtures("two_threads")
def test_a_run_on_two_cores_is_shared_out_and_goes_on_to_the_same_model(
    tmp_path: Path, sizes: list[int]
) -> None:
    config = config_of_packs(tmp_path, experiment__checkpoint_interval_s=0.0)
    run(config, directory=tmp_path / "whole")
    run(config, directory=tmp_path / "broken", observer=Watcher(stop_at=4))
    run(config, directory=tmp_path / "broken")
    assert sizes == [2, 2, 2]
    assert difference(weights_of(tmp_path / "broken"), weights_of(tmp_path / "whole")) == 0.0


@pytest.mark.usefixtures("two_threads")
def test_a_run_on_two_cores_learns_what_it_learns_on_one(tmp_path: Path) -> None:
    config = config_of_packs(tmp_path, model__dropout_rate=0.0)
    run(config, directory=tmp_path / "two")
    torch.set_num_threads(1)
    run(config, directory=tmp_path / "one")
    assert difference(weights_of(tmp_path / "two"), weights_of(tmp_path / "one")) < 1e-3


class Hooker:
    """A callback that listens to the model."""

    def on_train_begin(self, trainer: Any, **_: Any) -> None:
        """Before the first step."""
        trainer.model.register_forward_hook(lambda *_: None)


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize(
    "settings",
    [
        {"optimization__gradient_checkpointing": True},
        {"callbacks__custom": ["tests.trainer.test_team:Hooker"]},
    ],
    ids=["layers computed twice", "a hook in the model"],
)
def test_a_step_that_copies_would_compute_otherwise_is_not_shared_out(
    tmp_path: Path, sizes: list[int], settings: dict[str, Any]
) -> None:
    run(config_of_packs(tmp_path, training__num_epochs=1, **settings), directory=tmp_path / "run")
    assert sizes == []


@pytest.mark.usefixtures("two_threads")
def test_members_together_have_no_more_under_way_than_the_budget_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Micro-batches of 32 tokens: a step whose longest text has more than 16 is not shared out."""
    budgets: list[int] = []
    whole = Team.gradients

    def noted(self: Team, rows: Any, batches: Any, totals: Any) -> Tensor:
        budgets.append(batches.keywords["tokens"])
        assert all(len(batch.ids_T) <= 16 for batch in batches(rows))
        return whole(self, rows, batches, totals)

    monkeypatch.setattr(Team, "gradients", noted)
    config = config_of_packs(
        tmp_path, training__num_epochs=4, training__batch_size=1, training__effective_batch_size=4
    )
    steps = run(config, directory=tmp_path / "run").steps
    assert set(budgets) == {16}
    assert 0 < len(budgets) < steps
