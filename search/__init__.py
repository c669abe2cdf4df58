"""Many training runs: a search space goes in, the best model comes out.

The public surface of the package; `search.cli` is the command line. Names load on first use, so
that commands which need no tensors (`--help`, `status`) never import torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from search.catalog import Catalog as Catalog
    from search.catalog import Entry as Entry
    from search.draft import Draft as Draft
    from search.draft import DraftRequest as DraftRequest
    from search.draft import draft_space as draft_space
    from search.report.compose import compose as compose
    from search.report.facts import StudyFacts as StudyFacts
    from search.report.gather import gather as gather
    from search.report.html import render_html as render_html
    from search.report.markdown import render_markdown as render_markdown
    from search.report.page import Page as Page
    from search.report.summary import StudyReport as StudyReport
    from search.report.words import Words as Words
    from search.report.words import words_in as words_in
    from search.run import RetrainOptions as RetrainOptions
    from search.run import RunOptions as RunOptions
    from search.run import retrain_study as retrain_study
    from search.run import run_space as run_space
    from search.space import Space as Space
    from search.space import load_space as load_space
    from search.storage.storage import open_storage as open_storage

#: module -> what of it is public
HOMES = {
    "search.catalog": ["Catalog", "Entry"],
    "search.draft": ["Draft", "DraftRequest", "draft_space"],
    "search.report.compose": ["compose"],
    "search.report.facts": ["StudyFacts"],
    "search.report.gather": ["gather"],
    "search.report.html": ["render_html"],
    "search.report.markdown": ["render_markdown"],
    "search.report.page": ["Page"],
    "search.report.summary": ["StudyReport"],
    "search.report.words": ["Words", "words_in"],
    "search.run": ["RetrainOptions", "RunOptions", "retrain_study", "run_space"],
    "search.space": ["Space", "load_space"],
    "search.storage.storage": ["open_storage"],
}
_HOME_OF = {name: home for home, names in HOMES.items() for name in names}

__all__ = sorted(_HOME_OF)  # derived from HOMES, which is the one list


def __getattr__(name: str) -> Any:
    """Load `name` from its home module on first use."""
    if name not in _HOME_OF:
        raise AttributeError(f"module 'search' has no attribute {name!r}")
    value = getattr(import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value
