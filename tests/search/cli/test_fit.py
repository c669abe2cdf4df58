"""`cp-search fit` as a person and a script use it."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from search.cli.errors import USER_ERROR, exit_codes
from search.cli.fit import FitFlags, fit
from tests.conftest import CommandLine, picture

SMALL = {
    "model_type": "bert",
    "vocab_size": 1000,
    "hidden_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 512,
    "max_position_embeddings": 128,
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a config.json and nothing else."""
    directory = tmp_path_factory.mktemp("model")
    (directory / "config.json").write_text(json.dumps(SMALL))
    return directory


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"data.cache_dir={tmp_path_factory.mktemp('cache')}"


@contextmanager
def refused(capsys: pytest.CaptureFixture[str], *words: str) -> Iterator[None]:
    """The block ends with one line on stderr that holds `words`, and exit code 2."""
    import typer

    with pytest.raises(typer.Exit) as caught, exit_codes():
        yield
    assert caught.value.exit_code == USER_ERROR
    shown = capsys.readouterr()
    assert shown.out == ""
    (line,) = shown.err.splitlines()
    assert [word for word in words if word not in line] == []


def rows(capsys: pytest.CaptureFixture[str], **flags: Any) -> list[dict[str, Any]]:
    fit(FitFlags(**{"card": "4GiB", "seq": "64", "batch": "4", "json": True, **flags}))
    found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    return found


@pytest.mark.slow
def test_the_command_prints_a_table_of_what_fits(
    model: Path, cache: str, cp_search: CommandLine, tmp_path: Path
) -> None:
    before = picture(tmp_path)
    arguments = ["--model", str(model), "--card", "rtx3050", "--set", cache]
    result = cp_search("fit", *arguments, "--seq", "32,64", "--batch", "2,4,65536")
    assert result.returncode == 0
    assert picture(tmp_path) == before
    lines = [line.split() for line in result.stdout.splitlines() if line.strip()]
    assert ["tokens", "2", "4", "65536"] in lines
    (peaks,) = (line for line in lines if line[0] == "64" and "x" in line)
    assert float(peaks[1]) <= float(peaks[2]) < float(peaks[3])
    assert "x: does not fit" in result.stdout
    assert "CUDA context: 350 MiB, assumed" in result.stdout
    assert "not measured on a GPU" in result.stdout
    assert "Fixed: weights" in result.stdout
    assert "Planning 64 tokens" in result.stderr


@pytest.mark.slow
def test_json_is_a_list_of_rows_and_nothing_else(model: Path, cache: str, cp_search: CommandLine) -> None:
    arguments = ["--model", str(model), "--card", "4GiB", "--set", cache, "--json"]
    result = cp_search("fit", *arguments, "--seq", "32,64", "--batch", "2,4")
    found = json.loads(result.stdout)
    assert [(row["max_sequence_length"], row["micro_batch"]) for row in found] == [
        (32, 2),
        (32, 4),
        (64, 2),
        (64, 4),
    ]
    assert {row["limit_bytes"] for row in found} == {(4096 - 350) * 2**20}
    assert all(row["fits"] and row["measures"] == [] for row in found)


@pytest.mark.slow
def test_flags_decide_what_is_planned(model: Path, cache: str, capsys: pytest.CaptureFixture[str]) -> None:
    common: dict[str, Any] = {"model": str(model), "set": [cache]}
    kinds = [
        rows(capsys, **{**common, **flags})[0]
        for flags in (
            {},
            {"fp16": False},
            {"bf16": True},
            {"optimizer": "adamw_foreach"},
            {"optimizer": "adafactor"},
            {"attention": "eager"},
            {"checkpointing": "on"},
            {"set": [cache, "optimization.optimizer=Adafactor"]},
            {"set": [cache, "optimization.cpu_offload=true"]},
            {"set": [cache, "optimization.optimizer=Adafactor", "optimization.cpu_offload=true"]},
            {"set": [cache, "optimization.gradient_checkpointing=selective"]},
        )
    ]
    shown = [(row["precision"], row["optimizer"], row["attention"], row["checkpointing"]) for row in kinds]
    assert shown == [
        ("fp16", "adamw_fused", "sdpa", False),
        ("fp32", "adamw_fused", "sdpa", False),
        ("bf16", "adamw_fused", "sdpa", False),
        ("fp16", "adamw_foreach", "sdpa", False),
        ("fp16", "adafactor", "sdpa", False),
        ("fp16", "adamw_fused", "eager", False),
        ("fp16", "adamw_fused", "sdpa", True),
        ("fp16", "adafactor", "sdpa", False),
        ("fp16", "adamw_offload", "sdpa", False),
        ("fp16", "adafactor_offload", "sdpa", False),
        ("fp16", "adamw_fused", "sdpa", "selective"),
    ]
    assert all(row["measures"] == [] for row in kinds)


@pytest.mark.slow
def test_accumulation_follows_from_the_effective_batch_or_the_flag(
    model: Path, cache: str, capsys: pytest.CaptureFixture[str]
) -> None:
    common = {"model": str(model), "batch": "8"}
    eight = [cache, "training.batch_size=8"]
    alone = rows(capsys, **common, set=eight)
    effective = rows(capsys, **common, set=[*eight, "training.effective_batch_size=32"])
    flag = rows(capsys, **common, set=[cache], steps_accumulated=4)
    assert flag == effective
    assert alone[0]["tensor_peak_bytes"] < flag[0]["tensor_peak_bytes"]
    assert rows(capsys, **common, set=[cache]) == alone


@pytest.mark.slow
def test_a_stated_context_leaves_less_room(
    model: Path, cache: str, capsys: pytest.CaptureFixture[str]
) -> None:
    common = {"model": str(model), "set": [cache]}
    for context, mib in (("500MiB", 500), ("0", 0), ("1GiB", 1024)):
        (row,) = rows(capsys, **common, context=context)
        assert row["limit_bytes"] == (4096 - mib) * 2**20
        assert row["device_bytes"] == row["peak_bytes"] + mib * 2**20


@pytest.mark.slow
def test_the_configuration_itself_has_a_cell_and_a_line(
    model: Path, cache: str, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = [cache, "model.max_sequence_length=48", "training.batch_size=6"]
    flags = FitFlags(model=str(model), card="4GiB", batch=None, seq="48", set=settings)
    fit(flags)
    assert "This configuration, 48 tokens by 6:" in capsys.readouterr().out


@pytest.mark.slow
def test_a_narrow_terminal_keeps_every_number(
    model: Path, cache: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from search.cli.fit_view import show_fit
    from trainer import FitOptions, load_config, plan_fit, planned_card

    resolved = load_config(overrides={"model.name": str(model), "data.cache_dir": cache.split("=")[1]})
    options = FitOptions(lengths=(64,), batches=(1, 2, 4, 8, 16, 32))
    table = plan_fit(resolved, card=planned_card("4GiB"), options=options, progress=lambda _: None)
    stream = io.StringIO()
    show_fit(table, resolved, console=Console(file=stream, width=80, force_terminal=True, no_color=True))
    assert "…" not in stream.getvalue()
    assert stream.getvalue().count("0.") >= 6


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"card": "rtx3051"}, ["rtx3051", "did you mean rtx3050"]),
        ({"card": "huge"}, ["neither a size"]),
        ({"model": "hfl/chinese-macbert-bas"}, ["did you mean hfl/chinese-macbert-base", "config.json"]),
        ({"model": "./nowhere"}, ["./nowhere"]),
        ({"seq": "512"}, ["--seq 512", "128 positions"]),
        ({"seq": "0"}, ["--seq 0", "from 1"]),
        ({"seq": "-5"}, ["--seq -5"]),
        ({"seq": "long"}, ["--seq long", "whole numbers"]),
        ({"seq": ""}, ["--seq"]),
        ({"batch": "0"}, ["--batch 0", "from 1"]),
        ({"batch": "1,,2"}, ["--batch 1,,2"]),
        ({"batch": "999999999"}, ["--batch 999999999", "65536"]),
        ({"steps_accumulated": 0}, ["--steps-accumulated 0"]),
        ({"optimizer": "adamw_fusd"}, ["adamw_fusd", "did you mean adamw_fused"]),
        ({"attention": "flash"}, ["--attention", "sdpa"]),
        ({"checkpointing": "maybe"}, ["--checkpointing", "auto"]),
        ({"bf16": True, "fp16": True}, ["--bf16", "exclude"]),
        ({"bf16": True, "card": "t4"}, ["--bf16: t4 has no bfloat16", "7.5", "training.fp16"]),
        ({"set": ["training.bf16=true"], "card": "p100"}, ["training.bf16 (flag): p100 has no", "6.0"]),
        ({"context": "lots"}, ["context lots", "500MiB"]),
        ({"context": "rtx3050"}, ["context rtx3050", "500MiB"]),
        ({"context": "5GiB"}, ["context 5GiB", "nothing is left"]),
        ({"set": ["model.max_sequence_length=300"], "seq": None}, ["300", "128 positions"]),
        ({"set": ["model.hidden_size=64"]}, ["model.hidden_size", "128 wide"]),
        ({"set": ["model.max_sequence_lenght=64"]}, ["did you mean model.max_sequence_length"]),
        ({"template": "nonesuch"}, ["no template"]),
    ],
)
def test_bad_input_is_one_line(
    model: Path, capsys: pytest.CaptureFixture[str], flags: dict[str, Any], words: list[str]
) -> None:
    with refused(capsys, *words):
        fit(FitFlags(**{"model": str(model), "card": "4GiB", "seq": "64", "batch": "2", **flags}))


def test_without_a_gpu_a_card_must_be_named(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    with refused(capsys, "no GPU", "--card", "rtx3050", "4GiB"):
        fit(FitFlags(model=str(model)))


FAMILIES: dict[str, dict[str, Any]] = {
    "albert": {"embedding_size": 32},
    "deberta-v2": {"relative_attention": True, "position_buckets": 16, "pos_att_type": ["p2c", "c2p"]},
    "electra": {"embedding_size": 32},
    "modernbert": {
        "pad_token_id": 0,
        "cls_token_id": 1,
        "sep_token_id": 2,
        "bos_token_id": 1,
        "eos_token_id": 2,
    },
    "mpnet": {},
    "roberta": {"max_position_embeddings": 130, "pad_token_id": 1},
    "xlm-roberta": {"max_position_embeddings": 130, "pad_token_id": 1},
}


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_families_of_encoders_are_planned_from_their_config_json(
    tmp_path: Path, cache: str, capsys: pytest.CaptureFixture[str], family: str
) -> None:
    settings = {**SMALL, **FAMILIES[family], "model_type": family}
    (tmp_path / "config.json").write_text(json.dumps(settings))
    (row,) = rows(capsys, model=str(tmp_path), set=[cache])
    assert row["fits"]
    assert row["attention"] == ("eager" if family in ("deberta-v2", "mpnet") else "sdpa")


@pytest.mark.slow
def test_checkpointing_is_not_offered_to_a_family_that_has_none(
    tmp_path: Path, cache: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.json").write_text(json.dumps({**SMALL, **FAMILIES["albert"], "model_type": "albert"}))
    (row,) = rows(capsys, model=str(tmp_path), set=[cache], card="600MiB", batch="512")
    assert row["checkpointing"] is False
    with refused(capsys, "gradient_checkpointing", "albert", "set it to false"):
        fit(FitFlags(card="4GiB", model=str(tmp_path), set=[cache], checkpointing="on"))


@pytest.mark.slow
def test_software_of_another_age_is_planned_as_it_used_memory(
    model: Path, cache: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def peak(**flags: Any) -> int:
        (row,) = rows(capsys, model=str(model), set=[cache], attention="eager", batch="64", **flags)
        return int(row["tensor_peak_bytes"])

    today = peak()
    assert peak(software="old-softmax") > today
    assert peak(software="old-softmax,zeroed-gradients") > peak(software="old-softmax")
    with refused(capsys, "--software", "old-softmx", "did you mean old-softmax?"):
        fit(FitFlags(card="4GiB", model=str(model), set=[cache], software="old-softmx"))
