"""Where the bundled files are found."""

from __future__ import annotations

from pathlib import Path

from trainer.config.templates import bundled_directory, bundled_names


def test_a_checkout_has_the_data_files_beside_the_package(tmp_path: Path) -> None:
    (tmp_path / "package").mkdir()
    (tmp_path / "configs").mkdir()
    found = bundled_directory(str(tmp_path / "package" / "__init__.py"), name="configs")
    assert found == tmp_path / "configs"


def test_a_wheel_has_the_data_files_inside_the_package_and_they_come_first(tmp_path: Path) -> None:
    (tmp_path / "package" / "configs").mkdir(parents=True)
    (tmp_path / "configs").mkdir()
    found = bundled_directory(str(tmp_path / "package" / "__init__.py"), name="configs")
    assert found == tmp_path / "package" / "configs"


def test_only_yaml_files_are_names(tmp_path: Path) -> None:
    for name in ("b.yaml", "a.yaml", "notes.txt"):
        (tmp_path / name).touch()
    assert bundled_names(tmp_path) == ("a", "b")
