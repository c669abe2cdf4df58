from __future__ import annotations

import json
import socket
import struct
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from tests.trainer.runs import Watcher, make_config, metrics_of
from trainer.errors import ConfigError
from trainer.loggers import require_loggers
from trainer.memory.card import CardSpec
from trainer.runner import run


def logged(raw: bytes) -> Iterator[bytes]:
    """The records of a .wandb file: a header of 7 bytes, then LevelDB's log format in blocks of 32 KiB."""
    position, joined = 7, b""
    while position + 7 <= len(raw):
        _, length, kind = struct.unpack_from("<IHB", raw, position)
        if not kind:  # the rest of the block is empty
            position = (position // 2**15 + 1) * 2**15
            continue
        joined += raw[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # whole, or the last piece
            yield joined
            joined = b""
        if 2**15 - position % 2**15 < 7:
            position = (position // 2**15 + 1) * 2**15


@pytest.fixture
def _no_network(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No name is looked up, from any thread, but this machine's."""
    asked: list[Any] = []
    plain = socket.getaddrinfo

    def look_up(host: Any, *rest: Any, **choices: Any) -> Any:
        if host not in (None, "localhost", "127.0.0.1", "::1"):
            asked.append(host)
            raise socket.gaierror(f"no network: {host}")
        return plain(host, *rest, **choices)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    yield
    assert asked == []


@pytest.mark.slow
@pytest.mark.usefixtures("_no_network")
def test_mlflow_holds_the_metrics_and_the_configuration_also_after_a_resume(tmp_path: Path) -> None:
    client_of = pytest.importorskip("mlflow.tracking").MlflowClient
    config = make_config(tmp_path, callbacks__loggers=["mlflow"], experiment__checkpoint_interval_s=0.0)
    run(config, directory=tmp_path / "runs" / "one", observer=Watcher(stop_at=6))
    assert run(config, directory=tmp_path / "runs" / "one").status == "completed"
    client = client_of(tracking_uri=f"sqlite:///{tmp_path / 'runs' / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("cp-search")
    (found,) = client.search_runs([experiment.experiment_id])
    assert found.data.params["training.learning_rate"] == "0.001"
    told = {point.step: point.value for point in client.get_metric_history(found.info.run_id, "eval_loss")}
    expected = {int(row["step"]): row["eval_loss"] for row in metrics_of(tmp_path / "runs" / "one")}
    assert told == pytest.approx(expected)
    assert found.info.status == "FINISHED"


@pytest.mark.slow
@pytest.mark.usefixtures("_no_network")
def test_wandb_writes_an_offline_run(tmp_path: Path) -> None:
    pytest.importorskip("wandb")
    record_class = import_module("wandb.proto.wandb_internal_pb2").Record
    home = tmp_path / "run"
    config = make_config(tmp_path, callbacks__loggers=["wandb"])
    assert run(config, directory=home).status == "completed"
    (file,) = home.glob("wandb/offline-run-*/run-*.wandb")
    losses = []
    for data in logged(file.read_bytes()):
        record = record_class()
        record.ParseFromString(data)
        for item in record.history.item:
            if "eval_loss" in (item.key, *item.nested_key):
                losses.append(json.loads(item.value_json))
    assert losses == pytest.approx([row["eval_loss"] for row in metrics_of(home)])


def test_tensorboard_shows_what_memory_was_planned_and_taken_and_what_made_it_fit(tmp_path: Path) -> None:
    events = import_module("tensorboard.backend.event_processing.event_accumulator")
    card = CardSpec("small", 2**30, virtual=True)  # small enough for the rules of small cards
    outcome = run(make_config(tmp_path, training__num_epochs=1), directory=tmp_path / "run", card=card)
    shown = events.EventAccumulator(str(tmp_path / "run" / "tensorboard")).Reload()
    peaks = {name: shown.Scalars(f"memory/{name}_peak_gib")[-1].value for name in ("predicted", "measured")}
    assert peaks["predicted"] == pytest.approx((outcome.predicted_peak_bytes or 0) / 2**30)
    assert peaks["measured"] == pytest.approx((outcome.measured_peak_bytes or 0) / 2**30)
    assert shown.Scalars("memory/oom_halvings")[-1].value == 0
    (measures,) = shown.Tensors("memory/measures/text_summary")
    assert measures.tensor_proto.string_val[0].decode().split("\n\n") == outcome.measures != []


def test_no_logger_is_a_choice_too(tmp_path: Path) -> None:
    run(make_config(tmp_path, callbacks__loggers=[]), directory=tmp_path / "run")
    assert not (tmp_path / "run" / "tensorboard").exists()


def test_a_logger_that_is_not_installed_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.loggers.find_spec", lambda name: None if name == "wandb" else object())
    with pytest.raises(ConfigError, match=r"callbacks\.loggers: wandb is not .*'cp-search\[wandb\]'"):
        require_loggers(["tensorboard", "wandb"])
