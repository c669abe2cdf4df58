"""The page as Markdown (GitHub's): tables in place of charts."""

from __future__ import annotations

import re
from collections.abc import Iterator

from search.report.page import Block, Cell, Code, Figure, Page, Paragraph, Table

#: what Markdown, or the HTML in it, would read as markup
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|#~&])")


def render_markdown(page: Page) -> str:
    """The page as Markdown, every text escaped."""
    lines = [f"# {_plain(page.title)}", "", _plain(page.about), "", f"**{_plain(page.answer.headline)}**", ""]
    for sentence in page.answer.lead:
        lines += [_plain(sentence), ""]
    for stat in page.answer.stats:
        detail = f" ({_plain(stat.detail)})" if stat.detail else ""
        lines.append(f"- {_plain(stat.name)}: **{_plain(stat.value)}**{detail}")
    for section in page.sections:
        lines += ["", f"## {_plain(section.title)}", ""]
        for block in section.blocks:
            lines += [*_block(block), ""]
    lines += ["---", ""]
    for sentence in page.footer:
        lines += [_plain(sentence), ""]
    return "\n".join(lines).rstrip() + "\n"


def _block(block: Block) -> Iterator[str]:
    if isinstance(block, Paragraph):
        yield _plain(block.text)
    elif isinstance(block, Table):
        yield from _table(block)
    elif isinstance(block, Figure):
        if block.table is not None:
            yield from _table(block.table)
        else:
            yield from (_plain(chart.description) for chart in block.charts)
    else:
        yield from _code(block)


def _code(block: Code) -> Iterator[str]:
    # A fence longer than any run of backticks in the text.
    longest = max((len(run) for run in re.findall(r"`+", block.text)), default=0)
    fence = "`" * max(3, longest + 1)
    yield from (f"{fence}{block.syntax}", block.text.rstrip("\n"), fence)


def _table(table: Table) -> Iterator[str]:
    yield from (f"**{_plain(table.caption)}**", "")
    yield _row([_plain(heading) for heading in table.headings])
    yield _row(["---:" if column in table.numbers else "---" for column in range(len(table.headings))])
    yield from (_row([_cell(cell) for cell in cells]) for cells in table.rows)


def _row(texts: list[str]) -> str:
    return f"| {' | '.join(texts)} |"


def _cell(cell: Cell) -> str:
    return _plain(cell.text)


def _plain(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))
