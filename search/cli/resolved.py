"""What `--dry-run` shows: YAML with the origin of each value, and the dimensions of a space."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from search.cli.single_run import Limits, choose_gpu
from search.language import translated

if TYPE_CHECKING:
    from search.space import Space
    from trainer import Resolved

_SECTION = re.compile(r"(\w+):")
_KEY = re.compile(r"  (\w+):")


def annotated_yaml(resolved: Resolved) -> str:
    """The configuration as YAML; a value that is no default has its origin in a comment."""
    from trainer import dump_config

    return "".join(_annotated(dump_config(resolved.config).splitlines(), resolved.origins))


def on_card(resolved: Resolved, *, limits: Limits) -> Resolved:
    """`resolved` as a run within `limits` would train it, by the card's rules and the plan."""
    from trainer import under_card_rules

    choose_gpu(limits.gpu)
    return under_card_rules(resolved, card=limits.spec())


def resolved_json(resolved: Resolved) -> dict[str, Any]:
    """For JSON: the configuration, and key path -> where its value comes from."""
    return {"config": resolved.config.model_dump(mode="json"), "origins": dict(resolved.origins)}


def space_lines(space: Space, base: Resolved) -> list[str]:
    """A space for a person: its `base` configuration, what is searched over it, and the budget.

    What is said of them in comments is in the person's language.
    """
    lines = [_comment(f"study {space.name}: every trial starts from")]
    lines += annotated_yaml(base).splitlines()
    lines += [_comment("and is given a value for each of")]
    lines += [f"{key}: {_flow(dimension.as_dict())}" for key, dimension in space.search.items()]
    budget = space.budget.model_dump(exclude_none=True)
    return [*lines, *map(_comment, [f"until {_flow(budget)}", *space.notes])]


def _comment(text: str) -> str:
    return f"# {translated(text)}"


def _flow(value: Mapping[str, Any]) -> str:
    """A mapping on one line of YAML."""
    import yaml

    return yaml.safe_dump(dict(value), default_flow_style=True, sort_keys=False, width=10_000).strip()


def _annotated(lines: list[str], origins: Mapping[str, str]) -> Iterator[str]:
    section = ""
    for line in lines:
        if match := _SECTION.match(line):
            section = match[1]
        key = _KEY.match(line)
        origin = origins.get(f"{section}.{key[1]}", "default") if key else "default"
        yield f"{line}\n" if origin == "default" else f"{line:<44} # {origin}\n"
