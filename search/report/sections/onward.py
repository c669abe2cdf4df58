"""What to ship and what to type next: the best configuration, the export, the commands."""

from __future__ import annotations

from search.report.facts import StudyFacts
from search.report.page import Block, Code, Paragraph, Section
from search.report.reach import directory_flag, flags
from search.report.sections.decision import export
from search.report.words import Words


def configuration(facts: StudyFacts, words: Words) -> Section:
    """The best configuration as YAML; says so where there is none."""
    if facts.config is None:
        key = "config.none" if facts.best is None else "config.lost"
        return Section("configuration", words("config.title"), (Paragraph(words(key)),))
    lead = words(f"config.of_{facts.config_source}")
    code = Code(words("config.file"), facts.config, syntax="yaml")
    return Section("configuration", words("config.title"), (Paragraph(lead), code))


def onward(facts: StudyFacts, words: Words) -> Section:
    """The exported model, and the commands that go on from here."""
    blocks: list[Block] = export(facts, words)
    found = flags(facts.directory, facts.storage)
    commands = [
        f"cp-search status {facts.name}{found}",
        f"cp-search dashboard {facts.name}{found}",
        f"cp-search tensorboard {facts.name}{directory_flag(facts.directory)}",
    ]
    final = facts.stored.final
    if final is not None and final.model_dir is not None:
        commands.insert(0, f'cp-search predict {final.model_dir} "你的文字"')
    elif facts.best is not None:
        commands.insert(0, f"cp-search retrain {facts.name}{found}")
    blocks.append(Code(words("onward.commands"), "\n".join(commands) + "\n", syntax="sh"))
    return Section("onward", words("onward.title"), tuple(blocks))
