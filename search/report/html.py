"""The page as one HTML file that needs nothing else: no network, no other file."""

from __future__ import annotations

from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined

from search.report.page import Page


def render_html(page: Page) -> str:
    """The page as HTML, everything inline, every text escaped."""
    # The name of the package is enough for the loader, also when installed from a wheel.
    environment = Environment(
        loader=PackageLoader("search.report", "assets"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    template = environment.get_template("page.html.j2")
    return template.render(page=page, style=_asset("page.css"), script=_asset("page.js"))


def _asset(name: str) -> str:
    return files("search.report").joinpath("assets", name).read_text(encoding="utf-8")
