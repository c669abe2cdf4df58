from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from trainer.seal import damage, seal


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    for name, content in {"a": b"x" * 3_000_000, "b": b"", "c": b"text"}.items():
        (tmp_path / name).write_bytes(content)
    seal(tmp_path)
    return tmp_path


def one_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def one_byte_less(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def test_what_was_written_is_undamaged(sealed: Path) -> None:
    assert damage(sealed) is None


@pytest.mark.parametrize("harm", [one_bit, one_byte_less, Path.unlink], ids=lambda f: f.__name__)
@pytest.mark.parametrize("name", ["a", "c"])
def test_every_change_to_a_file_is_seen(sealed: Path, name: str, harm: Callable[[Path], None]) -> None:
    harm(sealed / name)
    assert damage(sealed) == f"{name} is not what was written"


def test_a_file_that_was_empty_may_not_have_grown(sealed: Path) -> None:
    (sealed / "b").write_bytes(b"more")
    assert damage(sealed) == "b is not what was written"


@pytest.mark.parametrize("content", [None, "{", "[]", "\xff"])
def test_without_a_readable_seal_nothing_is_trusted(sealed: Path, content: str | None) -> None:
    path = sealed / "checksums.json"
    path.unlink() if content is None else path.write_text(content, encoding="latin-1")
    assert str(damage(sealed)).startswith("its checksums.json ")
