"""A finish in words: the verdict first, then confirmation, scores, slices, rule and export, a line each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from search.finish.confirmation import Candidate, Confirmation
    from search.finish.final import Final
    from trainer import Assessment, Comparison, Interval, Slice

#: slices of rows that deserve no accusation are shown where they have at least so many rows
_FEWEST = 20


def verdict(final: Final) -> str:
    """How the model stands against the baseline, in one line; empty where nothing was compared."""
    found = final.comparison
    if found is None or final.evaluation is None:
        return ""
    return standing(final.evaluation.f1_macro, found.assessment.f1_macro, ahead=found.difference)


def standing(ours: Interval, theirs: Interval, *, ahead: Interval) -> str:
    """The same of the macro-F1 on test of the model and of the baseline, and their difference."""
    scores = f"test macro-F1 {ours} against {theirs}"
    if ahead.value < 0:
        return f"BELOW THE BASELINE by {-ahead.value:.4f}{_sure(ahead)}: {scores} of TF-IDF; do not ship it"
    return f"Above the baseline by {ahead.value:.4f}{_sure(ahead)}: {scores} of TF-IDF"


def closing_lines(final: Final) -> list[str]:
    """Everything a person wants to know of the model, beside the verdict."""
    return [
        *_confirmed(final.confirmation),
        *_scores(final),
        *_accused(final.evaluation, final.comparison),
        *_rule(final),
        *_ensemble(final),
        *_export(final),
        *(labelled("Note", note) for note in final.notes),
    ]


def labelled(name: str, text: str) -> str:
    """A line in two columns."""
    return f"{name:<11} {text}"


def candidate_line(candidate: Candidate) -> str:
    """`trial 3: 0.8123 ± 0.0041 (0.8011 to 0.8235) over 3 fresh seeds; the search saw 0.8250; 40 s a run`."""
    if candidate.mean is None:
        return f"trial {candidate.trial}: no run completed"
    scatter = "" if candidate.deviation is None else f" ± {candidate.deviation:.4f}"
    count = sum(run.value is not None for run in candidate.runs)
    ends = _ends(candidate.mean)
    tied = ", tied with the first" if candidate.tied else ""
    mean = f"{candidate.mean.value:.4f}{scatter}{ends}"
    value = f"{mean} over one fresh seed" if count == 1 else f"{mean} over {count} fresh seeds"
    return (
        f"trial {candidate.trial}: {value}; the search saw {candidate.search_value:.4f}; "
        f"{candidate.seconds:.0f} s a run{tied}"
    )


def _confirmed(found: Confirmation | None) -> Iterator[str]:
    if found is None:
        return
    for candidate in found.candidates:
        yield labelled("Confirmed", candidate_line(candidate))
    if found.luck is not None:
        yield labelled("Luck", f"{found.luck:+.4f}: the search's best value minus its mean over fresh seeds")
    if found.cheaper is not None:
        yield labelled("Cheaper", f"trial {found.cheaper} is tied and needs less: {found.cheaper_reason}")
    if any(candidate.tied for candidate in found.candidates):
        yield labelled("", found.tie_rule)


def _scores(final: Final) -> Iterator[str]:
    if final.template:
        how = f"with the template {final.template} on the rows of {final.retrained_on}"
        yield labelled("Retrained", f"trial {final.trial}, {how}")
    if final.eval_f1_macro is not None:
        yield labelled(
            "Validation", f"f1_macro {final.eval_f1_macro:.4f}  (the epoch was chosen on these rows)"
        )
    if final.evaluation is None:
        return
    rows = f"{final.evaluation.rows} rows nothing was chosen on; 95% by {final.evaluation.f1_macro.method}"
    yield labelled("Test", f"f1_macro {final.evaluation.f1_macro}")
    yield labelled("", rows)
    for task in final.evaluation.tasks:
        if len(final.evaluation.tasks) > 1:
            yield labelled("", f"{task.name} f1_macro {task.f1_macro}")
    if final.comparison is not None:
        strength = ", ".join(f"C={value:g}" for value in dict.fromkeys(final.comparison.strength.values()))
        note = f"{final.comparison.name}; {strength}, chosen on {final.comparison.chosen_on}"
        yield labelled("Baseline", f"f1_macro {final.comparison.assessment.f1_macro}")
        yield labelled("", note)
        yield labelled("Difference", f"{final.comparison.difference}, paired on the same rows")


def _accused(ours: Assessment | None, theirs: Comparison | None) -> Iterator[str]:
    """Slices none of whose rows deserves another class than the first."""
    if ours is None:
        return
    beside = {_name(one): one for one in theirs.assessment.slices} if theirs else {}
    for found in ours.slices:
        accused = found.falsely_accused
        if accused is None or found.rows < _FEWEST:
            continue
        other = beside.get(_name(found))
        against = f"; the baseline {other.flagged.value:.1%}" if other else ""
        share, low, high = (f"{part:.1%}" for part in (accused.value, accused.low, accused.high))
        where = f"{found.column} = {found.value}"
        yield labelled(
            "Slice", f"{where}: {share} of {found.rows} rows falsely accused ({low} to {high}){against}"
        )


def _rule(final: Final) -> Iterator[str]:
    for task in final.rule.tasks if final.rule else []:
        yield labelled("Rule", f"of {task.task}")
        yield from (labelled("", reason) for reason in task.reason.split("; "))


def _ensemble(final: Final) -> Iterator[str]:
    if final.ensemble is not None:
        yield labelled("Ensemble", f"{len(final.ensemble.members)} members {final.ensemble.reason}")


def _export(final: Final) -> Iterator[str]:
    if final.model_dir is None:
        return
    alone = final.ensemble is None or not final.ensemble.kept
    how = "loads with plain transformers" if alone else "an ensemble"
    yield labelled("Model", f"{final.model_dir}  ({how})")
    if final.export is not None and final.export.reloaded_f1_macro is not None:
        value, rows = final.export.reloaded_f1_macro, final.export.reloaded_rows
        ties = final.export.reloaded_differing
        but = f", {ties} near-ties aside" if ties else ""
        yield labelled("", f"loaded in a fresh process it gives the same on {rows} rows{but}: {value:.4f}")
    yield labelled("Experiment", final.experiment_dir)


def _sure(ahead: Interval) -> str:
    if ahead.low is None or ahead.high is None:
        return ""
    if ahead.low > 0 or ahead.high < 0:
        return _ends(ahead)
    return f"{_ends(ahead)}, within noise"


def _ends(found: Interval) -> str:
    return "" if found.low is None else f" ({found.low:.4f} to {found.high:.4f})"


def _name(found: Slice) -> tuple[str, str, str]:
    return found.column, found.value, found.task
