"""Several finished runs as one exported model: the mean of their probabilities.

`export_ensemble([run, run, …], to=DIR, texts=…)` writes it, `open_predictor(DIR)` loads it, as it loads an
export of one run. DIR holds `member-01/` and so on, each a whole export that plain transformers loads,
and `cp_search.json`, which names them and the rule. A decision rule that a member's export carries is in its
logits, so it is in its probabilities too.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from trainer.errors import CardTooSmall, ModelError, UserError
from trainer.experiment import load_run_config
from trainer.export import TOLERANCE, ExportDiffers, Exported, ExportExtras, export_model, require_replaceable
from trainer.files import write_json, write_text
from trainer.predict import FACTS, Predictor, Probabilities, Progress, predictions
from trainer.site import Site
from trainer.threshold import Threshold

#: how members become one, by the name that stands in `cp_search.json`
RULE = "mean of probabilities"

_CARD = """\
# Ensemble of {count} text classifiers

Made with cp-search. The probabilities of the models `{first}` to `{last}` are averaged, and the most
probable class is the answer. Each member's directory loads with plain transformers; all of them together with

    cp-search predict THIS_DIRECTORY "文字"

| task | classes, in label order |
|---|---|
"""


class EnsemblePredictor:
    """All members of an exported ensemble; the interface is `Predictor`'s.

    They stay on the card of `site` together; one that cannot hold them all takes them one after the other.

    Raises:
        ModelError: `directory` holds no ensemble, or a member that cannot be loaded.
        CardTooSmall: not even one of them fits.
    """

    def __init__(self, directory: Path, *, site: Site | None = None) -> None:
        facts = _facts(directory)
        if facts.get("rule") != RULE:
            raise ModelError(
                f"{directory} is no ensemble that this version knows: rule {facts.get('rule')!r}"
            )
        self._directories = [directory / name for name in facts["members"]]
        self._site = site or Site()
        self._members: list[Predictor] = []
        try:
            for one in self._directories:
                self._members.append(self._open(one))
        except CardTooSmall:
            self._members.clear()
        self.tasks: Mapping[str, list[str]] = facts["tasks"]

    def predict(
        self, texts: Sequence[str], *, thresholds: Sequence[Threshold] = (), progress: Progress | None = None
    ) -> list[dict[str, Any]]:
        """For every text, in order: {"text", task: {"label", "probability", "probabilities"}, …}."""
        found = self.probabilities(texts, progress=progress)
        return predictions(texts, tasks=self.tasks, probabilities=found, thresholds=thresholds)

    def probabilities(self, texts: Sequence[str], *, progress: Progress | None = None) -> Probabilities:
        """Task -> mean over the members [N, C], a row for each text in order."""
        try:
            found = [member.probabilities(texts, progress=progress) for member in self._members]
        except CardTooSmall:
            self._members.clear()
        if not self._members:
            self._site.say("The card cannot hold all members at once: one after the other")
            found = [self._open(one).probabilities(texts, progress=progress) for one in self._directories]
        return mean(found)

    def _open(self, directory: Path) -> Predictor:
        return Predictor(directory, site=self._site)


def open_predictor(directory: Path, *, site: Site | None = None) -> Predictor | EnsemblePredictor:
    """The exported model or ensemble in `directory`, on the card of `site` (None: the GPU if there is one).

    Raises:
        ModelError: there is neither. CardTooSmall: it does not fit.
    """
    kind = EnsemblePredictor if "members" in _facts(directory) else Predictor
    return kind(directory, site=site)


def mean(members: Sequence[Probabilities]) -> Probabilities:
    """Task -> mean of the members' probabilities [N, C]."""
    return {task: np.mean([member[task] for member in members], axis=0) for task in members[0]}


def export_run(run: Path, *, to: Path, texts: Sequence[str]) -> Exported:
    """`export_model`, or `export_ensemble` of its members where `run` averaged others.

    Raises:
        UserError, ExportDiffers: as those two do.
    """
    members = [Path(member).expanduser() for member in load_run_config(run).strategy.ensemble]
    if members:
        return export_ensemble(members, to=to, texts=texts)
    return export_model(run, to=to, texts=texts)


def export_ensemble(
    runs: Sequence[Path],
    *,
    to: Path,
    texts: Sequence[str],
    extras: Sequence[ExportExtras | None] = (),
    site: Site | None = None,
) -> Exported:
    """Write the final models of `runs` to `to` as one model, and load it back.

    texts: real texts on which each member, and the whole, must say what was trained. extras: each
    member's rule and what its card says. site: the card that what is loaded back computes on.

    Raises:
        UserError: fewer than two runs, runs of different tasks, or one that cannot be exported.
        ExportDiffers: what is loaded back says something else.
    """
    if len(runs) < 2:
        raise UserError("an ensemble needs two runs or more; export a single one by itself")
    require_replaceable(to)
    building = to.with_name(f".{to.name}.building")
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(parents=True)
    names = [f"member-{number:02d}" for number in range(1, len(runs) + 1)]
    members = [
        export_model(run, to=building / name, texts=texts, extras=one)
        for run, name, one in zip(runs, names, extras or [None for _ in runs], strict=True)
    ]
    tasks = _shared_tasks(runs, [_facts(member.directory)["tasks"] for member in members])
    write_json(building / FACTS, {"tasks": tasks, "members": names, "rule": RULE})
    write_text(building / "README.md", _card(tasks, names))
    _require_mean(building, names=names, texts=texts, site=site or Site())
    shutil.rmtree(to, ignore_errors=True)
    building.replace(to)
    return Exported(to, max(member.largest_difference for member in members), len(texts))


def _shared_tasks(runs: Sequence[Path], tasks: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    for run, found in zip(runs, tasks, strict=True):
        if list(found.items()) != list(tasks[0].items()):
            raise UserError(
                f"{run} was trained for {_show(found)}, but {runs[0]} for {_show(tasks[0])}; "
                "only runs of the same tasks and classes can be averaged"
            )
    return tasks[0]


def _show(tasks: Mapping[str, Sequence[str]]) -> str:
    return "; ".join(f"{task} ({', '.join(classes)})" for task, classes in tasks.items())


def _require_mean(directory: Path, *, names: Sequence[str], texts: Sequence[str], site: Site) -> None:
    together = EnsemblePredictor(directory, site=site).probabilities(texts)
    alone = mean([Predictor(directory / name, site=site).probabilities(texts) for name in names])
    apart = max(float(np.abs(together[task] - alone[task]).max(initial=0.0)) for task in alone)
    if not apart <= TOLERANCE:  # also NaN
        raise ExportDiffers(f"the ensemble's probabilities differ by {apart:.2g}; see {directory}")


def _card(tasks: Mapping[str, Sequence[str]], names: Sequence[str]) -> str:
    rows = "".join(f"| {task} | {', '.join(classes)} |\n" for task, classes in tasks.items())
    return _CARD.format(count=len(names), first=names[0], last=names[-1]) + rows


def _facts(directory: Path) -> dict[str, Any]:
    """What the export left beside the model; empty for a model that others made."""
    try:
        facts: dict[str, Any] = json.loads((directory / FACTS).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ModelError(f"{directory / FACTS} cannot be read: {error}") from error
    return facts
