"""What the reader wants to know first: how good the model is, against what, by what luck, at what cost."""

from __future__ import annotations

from search.report.facts import RUNNING, StudyFacts
from search.report.page import Answer, Stat, Tone
from search.report.wording import UNKNOWN, score, signed, size, span, stored_text, with_span
from search.report.words import Words
from trainer import Interval


def answer(facts: StudyFacts, words: Words) -> Answer:
    """The headline, what it means, and the facts beside it."""
    headline, tone, lead = _verdict(facts, words)
    if facts.in_state(RUNNING):
        lead = (*lead, words("answer.running", trials=len(facts.in_state(RUNNING))))
    stats = (_model(facts, words), _score(facts, words), _baseline(facts, words), _luck(facts, words))
    return Answer(headline, tone, lead, (*stats, _cost(facts, words), _memory(facts, words)))


def _verdict(facts: StudyFacts, words: Words) -> tuple[str, Tone, tuple[str, ...]]:
    stored = facts.stored
    if stored.evaluation is not None:
        return _tested(stored.evaluation.f1_macro, stored.evaluation.rows, facts, words)
    final = stored.final
    if final is not None and final.model_dir is not None and final.eval_f1_macro is not None:
        return (
            words("answer.validated", score=score(final.eval_f1_macro)),
            "plain",
            (words("answer.no_test"),),
        )
    lead = () if final is None or final.model_dir else (_failure(final.status, final.error, words),)
    if facts.best is None:
        why = "answer.none_yet" if not facts.trials else "answer.none_complete"
        return words("answer.nothing"), "bad", (words(why), *lead)
    headline = words("answer.searched", number=facts.best.number, score=score(facts.best.value))
    return headline, "warn", (words("answer.no_finish"), *lead)


def _tested(found: Interval, rows: int, facts: StudyFacts, words: Words) -> tuple[str, Tone, tuple[str, ...]]:
    spread = words("answer.interval", span=span(found, words), level=round(100 * found.level))
    known = spread if found.low is not None else words("answer.no_interval")
    baseline = facts.stored.baseline
    if baseline is None:
        return words("answer.tested", score=score(found.value), rows=rows), "plain", (known,)
    ahead = baseline.difference
    values = {"score": score(found.value), "rows": rows, "ahead": score(abs(ahead.value))}
    if ahead.value < 0:
        return words("answer.below", **values), "bad", (words("answer.below_advice"), known)
    if ahead.low is not None and not ahead.above_noise:
        return (
            words("answer.tied", **values),
            "warn",
            (words("answer.tied_advice", ahead=values["ahead"]), known),
        )
    return words("answer.above", **values), "good", (known,)


def _failure(status: str, error: str | None, words: Words) -> str:
    return words("answer.final_failed", status=status, error=error or "")


def _model(facts: StudyFacts, words: Words) -> Stat:
    final = facts.stored.final
    name = facts.short_model_name or UNKNOWN
    if final is not None and final.model_dir is not None:
        return Stat(
            words("stat.model"), name, words("stat.model_of", number=final.trial, path=final.model_dir)
        )
    return Stat(words("stat.model"), name, words("stat.no_model"))


def _score(facts: StudyFacts, words: Words) -> Stat:
    evaluation, final = facts.stored.evaluation, facts.stored.final
    if evaluation is not None:
        return Stat(words("stat.test"), with_span(evaluation.f1_macro, words), words("stat.test_rows"))
    if final is not None and final.eval_f1_macro is not None:
        return Stat(words("stat.validation"), score(final.eval_f1_macro), words("stat.validation_rows"))
    value = facts.best.value if facts.best else None
    return Stat(words("stat.validation"), score(value), words("stat.search_rows"))


def _baseline(facts: StudyFacts, words: Words) -> Stat:
    baseline = facts.stored.baseline
    if baseline is None:
        return Stat(words("stat.baseline"), UNKNOWN, words("stat.no_baseline"))
    ahead = baseline.difference
    name = stored_text(baseline.name, words=words)
    detail = words("stat.ahead", ahead=signed(ahead.value), name=name)
    if ahead.low is not None:
        detail += words("stat.ahead_span", span=span(ahead, words))
    return Stat(words("stat.baseline"), with_span(baseline.assessment.f1_macro, words), detail)


def _luck(facts: StudyFacts, words: Words) -> Stat:
    confirmation = facts.stored.confirmation
    if confirmation is None or confirmation.luck is None:
        return Stat(words("stat.luck"), UNKNOWN, words("stat.no_luck"))
    detail = words("stat.luck_of", seeds=len(confirmation.seeds))
    return Stat(words("stat.luck"), signed(confirmation.luck), detail)


def _cost(facts: StudyFacts, words: Words) -> Stat:
    final = facts.stored.final
    runs = [
        run
        for c in (facts.stored.confirmation.candidates if facts.stored.confirmation else ())
        for run in c.runs
    ]
    total = facts.seconds + sum(run.seconds for run in runs) + (final.seconds if final else 0.0)
    detail = words("stat.cost_of", trials=len(facts.trials), search=words.duration(facts.seconds))
    if facts.saving.seconds:
        detail += words("stat.saved", saved=words.duration(facts.saving.seconds))
    return Stat(words("stat.cost"), words.duration(total), detail)


def _memory(facts: StudyFacts, words: Words) -> Stat:
    peaks = [trial.measured_bytes for trial in facts.trials if trial.measured_bytes]
    if not peaks:
        return Stat(words("stat.memory"), UNKNOWN, words("stat.no_memory"))
    limits = [trial.limit_bytes for trial in facts.trials if trial.limit_bytes]
    of = words("stat.memory_of", limit=size(max(limits))) if limits else ""
    return Stat(words("stat.memory"), size(max(peaks)), of)
