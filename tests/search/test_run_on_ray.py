"""A whole run whose trials were on a Ray cluster: what follows on the machine of the one who typed it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from search.engine.local import LocalEngine
from search.finish.finish import finish_once
from search.finish.place import FinishPlace
from search.run import RunOptions, run_space
from search.space import load_space
from tests.search.cli.test_bad_input import SPACE
from tests.search.test_seats import Machine
from trainer import write_sample

pytestmark = pytest.mark.slow


def test_a_study_searched_on_ray_is_finished_with_the_seats_of_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray", reason="needs the extra ray")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("search.run.Host", lambda: Machine(3))
    places: list[FinishPlace] = []

    def watched(handle: Any, place: FinishPlace) -> Any:
        places.append(place)
        return finish_once(handle, place)

    monkeypatch.setattr("search.run.finish_once", watched)
    write_sample(tmp_path / "data", rows=120, seed=1)
    budget = {"trials": 9, "target": 0.001}  # the first one reaches it
    settings = {key: value for key, value in SPACE["set"].items() if key != "data.test_path"}
    ending = {"set": {"training.num_epochs": 1}}
    path = tmp_path / "space.yaml"
    text = yaml.safe_dump({**SPACE, "set": settings, "budget": budget, "finish": ending})
    path.write_text(text, encoding="utf-8")

    report = run_space(load_space(str(path)), options=RunOptions(engine="ray", jobs=1))

    (place,) = places
    assert (place.at_once, place.threads) == (3, 1), "the cluster had one seat"
    assert isinstance(place.engine, LocalEngine)
    assert report.final is not None
    assert report.final.status == "completed", report.final.error
    assert (tmp_path / "studies/good/final/model/model.safetensors").is_file()
