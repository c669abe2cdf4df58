"""Where the finished model of a study lies, as machines know it that share its storage."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import FrozenTrial

from search.engine.local import LocalEngine
from search.finish import turn
from search.finish.final import Final
from search.finish.finish import finish, finish_once
from search.finish.place import FinishPlace
from search.finish.record import key_of, read_record, write_record
from search.finish.whereabouts import Whereabouts, models
from search.heart import Heart
from search.origin import write_origin
from search.run import RetrainOptions, retrain_study
from search.study import StudyHandle
from tests.search.finals import final
from tests.search.storage.storages import Site, served_site
from trainer import Silent


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with served_site(tmp_path) as site:
        yield site


class Trained:
    """Makes a model of the trial and the template as the finish does, once, but without training."""

    def __init__(self) -> None:
        self.made: list[str] = []

    def __call__(
        self, handle: StudyHandle, place: FinishPlace, *, chosen: FrozenTrial, **_rest: Any
    ) -> Final:
        """What lies there if it is of the same, else a new one."""
        home, template = place.study / "final", handle.space.finish.template
        key = key_of({"trial": chosen.number, "template": template})
        found = read_record(home / "final.json", Final, key=key)
        if found is not None and (home / "model").is_dir():
            return found
        (home / "model").mkdir(parents=True, exist_ok=True)
        one = replace(final(ours=0.8, baseline=0.7), trial=chosen.number, model_dir=str(home / "model"))
        write_record(home / "final.json", one, key=key)
        self.made.append(f"trial {chosen.number}, {template}, in {place.study.name}")
        return one


@pytest.fixture(autouse=True)
def trained(monkeypatch: pytest.MonkeyPatch) -> Trained:
    """In place of training; hearts beat without a pause."""
    monkeypatch.setattr(turn, "Heart", partial(Heart, beat_s=0.01, sleep=lambda _s: None))
    trained = Trained()
    monkeypatch.setattr("search.finish.finish._finish", trained)
    return trained


def studied(site: Site) -> StudyHandle:
    """The study, of which trial 1 is the best; nothing is confirmed."""
    handle = site.handle()
    for value in (0.6, 0.7) if not handle.trials() else ():
        handle.study.tell(handle.study.ask(), value)
    settings = handle.space.finish.model_copy(update={"confirm": None})
    return replace(handle, space=replace(handle.space, finish=settings))


def place(site: Site, name: str) -> FinishPlace:
    """The study's directory on one machine."""
    study = site.home / name
    study.mkdir(exist_ok=True)
    return FinishPlace(study, LocalEngine(), Silent())


def under(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    """From now on this machine is called so."""
    monkeypatch.setattr(socket, "gethostname", lambda: host)


def test_what_was_retrained_by_choice_is_not_the_model_that_other_machines_are_told_of(
    site: Site, trained: Trained
) -> None:
    handle, one, two = studied(site), place(site, "one"), place(site, "two")
    finish(handle, one, trial=0)
    other = replace(handle, space=handle.space.finished_with("fast_dev"))
    finish(other, one, own_template=False)
    assert models(handle.study, directory=one.study) == []
    assert isinstance(finish_once(handle, two), Final)
    assert trained.made[-1] == "trial 1, production, in two"


def test_nor_does_it_make_them_forget_the_study_s_own(site: Site) -> None:
    handle, one, two = studied(site), place(site, "one"), place(site, "two")
    finish_once(handle, one)
    finish(handle, two, trial=0)
    finish(replace(handle, space=handle.space.finished_with("fast_dev")), two, own_template=False)
    (known,) = models(handle.study, directory=two.study)
    assert known.lies_in(one.study)
    assert isinstance(finish_once(handle, two), Whereabouts)


def test_a_model_that_was_replaced_by_one_of_choice_is_told_of_no_more(site: Site) -> None:
    handle, one, two = studied(site), place(site, "one"), place(site, "two")
    finish_once(handle, one)
    finish(handle, one, trial=1)  # the same one
    assert isinstance(finish_once(handle, two), Whereabouts)
    finish(handle, one, trial=0)
    assert isinstance(finish_once(handle, two), Final)


def test_a_directory_is_the_same_in_every_container(
    site: Site, trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle, one = studied(site), place(site, "one")
    under(monkeypatch, "abc")
    assert isinstance(finish_once(handle, one), Final)
    under(monkeypatch, "def")
    assert isinstance(finish_once(handle, one), Final)
    assert len(trained.made) == 1
    shutil.rmtree(one.study / "final")
    assert models(handle.study, directory=one.study) == []
    assert isinstance(finish_once(handle, one), Final)
    assert len(trained.made) == 2, "to do it anew, the directory is deleted"
    assert [known.host for known in models(handle.study, directory=one.study)] == ["def"]
    under(monkeypatch, "ghi")
    assert isinstance(finish_once(handle, place(site, "two")), Whereabouts)


@pytest.mark.slow
@pytest.mark.parametrize(("template", "noted"), [("fast_dev", False), ("production", True), (None, True)])
def test_retrain_tells_the_others_only_of_a_model_with_the_space_s_own_template(
    site: Site, template: str | None, noted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("search.finish.finish.confirm", lambda _handle, _place: None)
    handle = studied(site)
    place(site, handle.name)
    write_origin(site.home / handle.name, handle.space, storage_url=handle.storage_url, settings={})
    retrain_study(handle.name, options=RetrainOptions(site.home, template=template))
    assert bool(models(handle.study, directory=site.home / handle.name)) is noted
