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
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from trainer import onnx_model
from trainer.appraisal import Exported
from trainer.assess.rule import Rule
from trainer.ensemble_card import ensemble_card
from trainer.errors import CardTooSmall, ModelError, UserError
from trainer.experiment import load_run_config
from trainer.export import TOLERANCE, ExportDiffers, ExportExtras, export_model, require_replaceable
from trainer.files import write_json, write_text
from trainer.model_card import CardFacts
from trainer.onnx_model import OnnxBackend, OnnxCheck
from trainer.predict import FACTS, Predictor, Probabilities, Progress, predictions, require_model
from trainer.site import Site
from trainer.threshold import Threshold

#: how members become one, by the name that stands in `cp_search.json`
RULE = "mean of probabilities"

#: what a member's own card says of the whole
_MEMBER = CardFacts(
    search=("one member of the ensemble above this directory, which was evaluated as a whole",)
)


@dataclass(frozen=True)
class EnsembleExtras:
    """What an exported ensemble carries beside its members.

    rules: each member's, in its last layer; empty: plain argmax. facts: of the whole, for its card and
    cp_search.json.
    """

    rules: Sequence[Rule | None] = ()
    facts: CardFacts = field(default_factory=CardFacts)


class EnsemblePredictor:
    """All members of an exported ensemble; the interface is `Predictor`'s.

    They stay on the card of `site` together; one that cannot hold them all takes them one after the other.

    Raises:
        ModelError: `directory` holds no ensemble, or a member that cannot be loaded.
        CardTooSmall: not even one of them fits. UserError: `onnx`, and a member has no model.onnx.
    """

    def __init__(self, directory: Path, *, site: Site | None = None, onnx: bool = False) -> None:
        """onnx: compute with each member's model.onnx."""
        facts = _facts(directory)
        if facts.get("rule") != RULE:
            raise ModelError(
                f"{directory} is no ensemble that this version knows: rule {facts.get('rule')!r}"
            )
        self._directories = [directory / name for name in facts["members"]]
        self._site, self._onnx = site or Site(), onnx
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
        return _one(directory, site=self._site, onnx=self._onnx)


def open_predictor(
    directory: Path, *, site: Site | None = None, onnx: bool = False
) -> Predictor | EnsemblePredictor:
    """The exported model or ensemble in `directory`, on the card of `site` (None: the GPU if there is one).

    onnx: compute with model.onnx, on the CPU.

    Raises:
        ModelError: there is neither. CardTooSmall: it does not fit. UserError: there is no model.onnx.
    """
    kind = EnsemblePredictor if members_of(directory) else _one
    return kind(directory, site=site, onnx=onnx)


def members_of(directory: Path) -> list[str]:
    """The members of the ensemble exported to `directory`; empty for anything else."""
    members: list[str] = _facts(directory).get("members", [])
    return members


def _one(directory: Path, *, site: Site | None, onnx: bool) -> Predictor:
    require_model(directory)
    return Predictor(directory, backend=OnnxBackend(directory) if onnx else None, site=site)


def add_onnx(directory: Path, *, texts: Sequence[str]) -> OnnxCheck:
    """`onnx_model.add_onnx` for the model in `directory`, or for each member of an ensemble there.

    Of an ensemble the check tells the largest difference and the least speed of its members.

    Raises:
        UserError, OnnxDiffers: as that does.
    """
    names = members_of(directory)
    if not names:
        return onnx_model.add_onnx(directory, texts=texts)
    checks = [onnx_model.add_onnx(directory / name, texts=texts) for name in names]
    return replace(
        checks[0],
        path=directory / "member-*" / onnx_model.FILE,
        largest_difference=max(check.largest_difference for check in checks),
        speed=min(check.speed for check in checks),
    )


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
    extras: EnsembleExtras | None = None,
    site: Site | None = None,
) -> Exported:
    """Write the final models of `runs` to `to` as one model, and load it back.

    texts: real texts on which each member, and the whole, must say what was trained. site: the card
    that what is loaded back computes on.

    Raises:
        UserError: fewer than two runs, runs of different tasks, or one that cannot be exported.
        ExportDiffers: what is loaded back says something else.
    """
    if len(runs) < 2:
        raise UserError("an ensemble needs two runs or more; export a single one by itself")
    require_replaceable(to)
    extras = extras or EnsembleExtras()
    building = to.with_name(f".{to.name}.building")
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(parents=True)
    names = [f"member-{number:02d}" for number in range(1, len(runs) + 1)]
    members = [
        export_model(run, to=building / name, texts=texts, extras=ExportExtras(rule, _MEMBER))
        for run, name, rule in zip(runs, names, extras.rules or [None for _ in runs], strict=True)
    ]
    tasks = _shared_tasks(runs, [_facts(member.directory)["tasks"] for member in members])
    stated = {"tasks": tasks, "members": names, "rule": RULE, **extras.facts.as_dict()}
    write_json(building / FACTS, stated)
    card = ensemble_card(load_run_config(runs[0]), tasks=tasks, members=names, facts=extras.facts)
    write_text(building / "README.md", card)
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


def _facts(directory: Path) -> dict[str, Any]:
    """What the export left beside the model; empty for a model that others made."""
    try:
        facts: dict[str, Any] = json.loads((directory / FACTS).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ModelError(f"{directory / FACTS} cannot be read: {error}") from error
    return facts
