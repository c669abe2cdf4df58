"""The bundled templates: `configs/*.yaml` of the checkout, or their copy inside the wheel."""

from __future__ import annotations

from pathlib import Path

from trainer.config.yaml import closest
from trainer.errors import ConfigError, Problem


def template_names() -> tuple[str, ...]:
    """Names of the bundled templates, sorted."""
    return bundled_names(_directory())


def template_path(name: str) -> Path:
    """File of the bundled template `name`. Raises ConfigError listing the names if there is none."""
    if name in template_names():
        return _directory() / f"{name}.yaml"
    known = template_names()
    near = closest(name, known)
    meant = f"; did you mean {near}?" if near else ""
    raise ConfigError([Problem(None, f"no template {name!r}{meant} (there are: {', '.join(known)})")])


def bundled_names(directory: Path) -> tuple[str, ...]:
    """Stems of the YAML files in `directory`, sorted."""
    return tuple(sorted(path.stem for path in directory.glob("*.yaml")))


def bundled_directory(package_file: str, *, name: str) -> Path:
    """Data directory `name` of the package whose `__init__.py` is `package_file`.

    A wheel carries it inside the package; a checkout has it beside the package.
    """
    package = Path(package_file).resolve().parent
    inside = package / name
    return inside if inside.is_dir() else package.parent / name


def _directory() -> Path:
    import trainer

    assert trainer.__file__ is not None
    return bundled_directory(trainer.__file__, name="configs")
