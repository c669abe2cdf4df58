"""On a card too the rows of tokens that occur are trained; the plan counts them, and no others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.cases import quick
from tests.trainer.model.families import family_config, save_encoder
from tests.trainer.runs import Watcher, difference, make_config, metrics_of, weights_of, write_rows
from trainer.config.schema import Config
from trainer.data.read import read_table
from trainer.export import export_model
from trainer.memory.card import CardSpec
from trainer.model import vocabulary
from trainer.outcome import Outcome
from trainer.room import Room, Shapes, plan_rooms
from trainer.runner import run
from trainer.strategy.stages import earlier_stages

TABLE = "bert.embeddings.word_embeddings.weight"
#: characters of no row, beside those of all
OTHERS = "".join(chr(0x4E00 + index) for index in range(7000))
ROWS = "的是不了人我在有他這中大來上國個到說們為爛好0123456789"
ROOMY = CardSpec("roomy", 2**33, virtual=True)
#: holds what training takes of the rows, and not what it takes of the whole vocabulary with every measure
SNUG = CardSpec("snug", 1_750_000, virtual=True)
#: one epoch and two steps more
STOP = 7


def with_vocabulary(directory: Path, **settings: Any) -> Config:
    """An encoder most of whose vocabulary occurs in no row.

    Training the whole gives the same to the bit: without decay, which other rows would feel, and with no
    clipping, for which the norm is summed in another order.
    """
    encoder = directory / "encoder"
    if not encoder.exists():
        save_encoder("bert", encoder, texts=[ROWS, OTHERS])
    usual: dict[str, Any] = {
        "model__name": str(encoder),
        "training__batch_size": 4,
        "training__effective_batch_size": 8,
        "training__weight_decay": 0.0,
        "optimization__max_grad_norm": 1e9,
    }
    return make_config(directory, **{**usual, **settings})


def with_test(directory: Path) -> str:
    """Test rows, half of them with characters that occur in no other row."""
    path = directory / "test.jsonl"
    rows = [{"text": f"的是{OTHERS[index * 9] * (index % 2)}好", "labels": index % 2} for index in range(8)]
    path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    return str(path)


def room(config: Config, card: CardSpec) -> Room:
    (found,) = plan_rooms([config], card=card)
    return found


def summary_of(directory: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((directory / "training_summary.json").read_text(encoding="utf-8"))
    return found


@pytest.fixture
def whole(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Plans and runs on cards are of the whole vocabulary, until it is undone."""
    monkeypatch.setattr(vocabulary, "planned_rows", lambda _ids, **_size: None)
    return monkeypatch


def same_files(left: Path, right: Path) -> None:
    found, expected = weights_of(left), weights_of(right)
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
    assert metrics_of(left)[-1]["eval_loss"] == metrics_of(right)[-1]["eval_loss"]
    assert summary_of(left)["test"] == summary_of(right)["test"]


def test_a_card_too_small_for_the_vocabulary_trains_what_a_large_one_does(
    tmp_path: Path, whole: pytest.MonkeyPatch
) -> None:
    config = with_vocabulary(tmp_path, data__test_path=with_test(tmp_path))
    assert run(config, directory=tmp_path / "refused", card=SNUG).status == "oom"
    assert run(config, directory=tmp_path / "whole", card=ROOMY).status == "completed"
    whole.undo()
    outcome = run(config, directory=tmp_path / "rows", card=SNUG)
    assert (outcome.status, outcome.oom_events) == ("completed", [])
    same_files(tmp_path / "rows", tmp_path / "whole")
    (pretrained,) = (
        value
        for name, value in load_file(tmp_path / "encoder" / "model.safetensors").items()
        if "word_embeddings" in name
    )
    changed = (weights_of(tmp_path / "rows")[TABLE] != pretrained).any(1)
    assert len(changed) > 7000
    assert 10 < int(changed.sum()) < 60
    texts = read_table(tmp_path / "test.jsonl").texts
    export_model(tmp_path / "rows", to=tmp_path / "model", texts=texts)  # which compares


@pytest.mark.parametrize("offload", [False, True])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_the_planned_peak_is_the_measured_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, offload: bool, checkpointing: bool
) -> None:
    monkeypatch.setattr(vocabulary, "PLANNED_STEP", 1)  # as many rows as there are
    config = with_vocabulary(
        tmp_path,
        model__max_sequence_length=12,  # shorter than most texts: the largest micro-batch is met
        optimization__cpu_offload=offload,
        optimization__gradient_checkpointing=checkpointing,
    )
    outcome = run(config, directory=tmp_path / "run", card=ROOMY)
    assert outcome.predicted_peak_bytes == outcome.measured_peak_bytes


def test_a_plan_is_of_no_more_than_a_step_of_rows_too_many(tmp_path: Path) -> None:
    outcome = run(
        with_vocabulary(tmp_path, model__max_sequence_length=12), directory=tmp_path / "run", card=ROOMY
    )
    assert outcome.predicted_peak_bytes is not None
    assert outcome.measured_peak_bytes is not None
    spare = outcome.predicted_peak_bytes - outcome.measured_peak_bytes
    width, copies = 32, 4  # weights, gradients, two moments
    assert 0 <= spare < vocabulary.PLANNED_STEP * width * copies * 4


@pytest.mark.parametrize(
    ("first", "then"),
    [
        *(("whole", "rows"), ("rows", "host")),
        *quick(
            ("rows", "whole"),
            others=[("rows", "rows"), ("host", "rows"), ("offloaded", "rows"), ("rows", "offloaded")],
        ),
    ],
)
def test_a_checkpoint_goes_on_on_any_card_and_on_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: str, then: str
) -> None:
    # A CPU without a card takes packs, whose dropout is drawn otherwise.
    settings: dict[str, Any] = {"experiment__checkpoint_interval_s": 0.0, "model__dropout_rate": 0.0}
    config = with_vocabulary(tmp_path, **settings)

    offloaded = with_vocabulary(tmp_path, **settings, optimization__cpu_offload=True)

    def trained(how: str, name: str, **more: Any) -> Outcome:
        with monkeypatch.context() as patch:
            if how == "whole":
                patch.setattr(vocabulary, "planned_rows", lambda _ids, **_size: None)
            card = {"whole": ROOMY, "rows": SNUG, "offloaded": SNUG, "host": None}[how]
            asked = offloaded if how == "offloaded" else config
            return run(asked, directory=tmp_path / name, card=card, **more)

    assert trained(first, "broken", observer=Watcher(stop_at=STOP)).status == "interrupted"
    state = torch.load(tmp_path / "broken" / "checkpoints" / "last" / "state.pt", weights_only=True)
    assert any(one["exp_avg"].shape[0] > 7000 for one in state["optimizer"]["state"].values())
    assert trained(then, "broken").status == "completed"
    assert trained("whole", "unbroken").status == "completed"
    apart = difference(weights_of(tmp_path / "broken"), weights_of(tmp_path / "unbroken"))
    # With packs the same sums are made in another order.
    assert apart < 1e-4 if "host" in (first, then) else apart == 0


def test_a_study_plans_a_trial_as_it_runs(tmp_path: Path) -> None:
    config = with_vocabulary(tmp_path)
    before = room(config, SNUG)
    outcome = run(config, directory=tmp_path / "run", card=SNUG)
    assert before.verdict == "fits"
    assert before.predicted_bytes == outcome.predicted_peak_bytes
    assert list(before.measures) == outcome.measures


@pytest.mark.parametrize("optimizer", ["AdamW", "Adafactor"])
def test_frozen_rows_are_held_like_trained_ones_and_take_less(tmp_path: Path, optimizer: str) -> None:
    settings = {"model__max_sequence_length": 12, "optimization__optimizer": optimizer}
    everything = with_vocabulary(tmp_path, **settings)
    frozen = with_vocabulary(tmp_path, **settings, training__trained_layers=1)
    assert room(frozen, ROOMY).needed_bytes < room(everything, ROOMY).needed_bytes
    assert Shapes().shape(frozen).occurring == 256
    outcomes = [
        run(frozen, directory=tmp_path / name, card=card) for name, card in (("s", SNUG), ("r", ROOMY))
    ]
    assert [outcome.status for outcome in outcomes] == ["completed"] * 2
    assert outcomes[0].predicted_peak_bytes is not None
    assert outcomes[0].measured_peak_bytes is not None
    assert outcomes[0].measured_peak_bytes <= outcomes[0].predicted_peak_bytes


def with_more_tokens(path: Path) -> str:
    """Rows with 400 characters that the others have not."""
    write_rows(path, 40)
    with path.open("a", encoding="utf-8") as stream:
        for start in range(0, 400, 50):  # a text is cut after 64 tokens
            stream.write(json.dumps({"text": OTHERS[start : start + 50], "labels": 0}) + "\n")
    return str(path)


def test_a_run_in_stages_is_planned_by_the_one_that_needs_most(tmp_path: Path) -> None:
    config = with_vocabulary(tmp_path)
    before = {"train_path": with_more_tokens(tmp_path / "more.jsonl"), "val_path": config.data.val_path}
    staged = with_vocabulary(tmp_path, strategy__two_stage=before)
    (first,) = earlier_stages(staged)
    plain, of_first, of_both = room(config, ROOMY), room(first.config, ROOMY), room(staged, ROOMY)
    assert plain.needed_bytes < of_first.needed_bytes == of_both.needed_bytes
    between = CardSpec("between", (plain.needed_bytes + of_first.needed_bytes) // 2, virtual=True)
    measured = [one for one in room(staged, between).measures if "gradient checkpointing" in one]
    assert measured
    assert not set(measured) & set(room(config, between).measures)
    least = [room(one, CardSpec("none", 1, virtual=True)).needed_bytes for one in (config, first.config)]
    small = CardSpec("small", sum(least) // 2, virtual=True)
    assert (room(config, small).verdict, room(staged, small).verdict) == ("fits", "no")


def test_rows_of_more_tokens_are_planned_with_more(tmp_path: Path) -> None:
    config, shapes = with_vocabulary(tmp_path), Shapes()
    more = with_more_tokens(tmp_path / "more.jsonl")
    larger = config.model_copy(update={"data": config.data.model_copy(update={"train_path": more})})
    assert [shapes.shape(one).occurring for one in (config, larger, config)] == [256, 512, 256]


@pytest.mark.parametrize(
    "settings",
    [
        {"optimization__optimizer": "Adafactor"},
        {"model__name": "bare"},
        {"model__name": "other"},
    ],
    ids=["Adafactor", "no tokenizer", "another model's tokenizer"],
)
def test_all_rows_are_planned_where_all_are_trained_or_tokens_are_not_known(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    family_config("bert", vocabulary_size=7000).save_pretrained(tmp_path / "bare")
    save_encoder("bert", tmp_path / "other", texts=[ROWS, OTHERS])
    family_config("bert", vocabulary_size=300).save_pretrained(tmp_path / "other")
    if "model__name" in settings:
        settings = {"model__name": str(tmp_path / settings["model__name"])}
    assert Shapes().shape(with_vocabulary(tmp_path, **settings)).occurring is None
