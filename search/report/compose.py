"""From facts to a page in one language."""

from __future__ import annotations

from search.report.facts import StudyFacts
from search.report.page import Page
from search.report.sections.answer import answer
from search.report.sections.confirmation import confirmation
from search.report.sections.course import course, learning
from search.report.sections.decision import decision, mistakes
from search.report.sections.onward import configuration, onward
from search.report.sections.quality import quality
from search.report.sections.room import room
from search.report.sections.values import values
from search.report.wording import UNKNOWN
from search.report.words import Words

#: words the templates use by themselves
_LABELS = ("contents", "copy", "copied", "table", "scroll", "answer", "skip")


def compose(facts: StudyFacts, words: Words, *, texts: bool = True) -> Page:
    """The page of a study. texts: show the texts of error examples."""
    sections = (
        quality(facts, words),
        confirmation(facts, words),
        course(facts, words),
        values(facts, words),
        learning(facts, words),
        room(facts, words),
        configuration(facts, words),
        decision(facts, words),
        mistakes(facts, words, texts=texts),
        onward(facts, words),
    )
    return Page(
        title=facts.name,
        about=words(
            "page.about",
            model=facts.short_model_name or UNKNOWN,
            started=facts.started or UNKNOWN,
            last=facts.last_activity or UNKNOWN,
        ),
        language=words.language,
        answer=answer(facts, words),
        sections=tuple(section for section in sections if section is not None),
        footer=_footer(facts, words),
        labels={name: words(f"label.{name}") for name in (*_LABELS, "eyebrow")},
    )


def _footer(facts: StudyFacts, words: Words) -> tuple[str, ...]:
    versions = ", ".join(f"{name} {version}" for name, version in facts.versions.items())
    made = words("page.from", storage=facts.storage, directory=facts.directory)
    return (made, words("page.versions", versions=versions)) if versions else (made,)
