"""What is written whole leaves nothing behind for long, whoever dies in the middle."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import environment
from trainer.files import sweep, write_text, write_whole

#: writes half of the file it is given, and dies of a power cut
DIES = """
import os, signal, sys
from pathlib import Path
from trainer.files import write_whole

def half(temporary):
    temporary.write_text("half", encoding="utf-8")
    os.kill(os.getpid(), signal.SIGKILL)

write_whole(Path(sys.argv[1]), half)
"""

dies = pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX's")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file whose writer has died over its new content."""
    path = tmp_path / "[a].json"
    path.write_text("old", encoding="utf-8")
    subprocess.run([sys.executable, "-c", DIES, str(path)], env=environment(), check=False)
    assert names(tmp_path) != ["[a].json"]
    assert path.read_text(encoding="utf-8") == "old"
    return path


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


@dies
def test_who_writes_a_file_next_removes_what_died_writing_it(file: Path) -> None:
    write_text(file, "new")
    assert names(file.parent) == ["[a].json"]
    assert file.read_text(encoding="utf-8") == "new"


@dies
def test_what_died_writing_another_file_is_left_to_whoever_has_the_directory(file: Path) -> None:
    write_text(file.with_name("b.json"), "new")
    assert len(names(file.parent)) == 3
    sweep(file.parent)
    assert names(file.parent) == ["[a].json", "b.json"]


def test_what_a_living_process_or_another_machine_writes_is_left_alone(tmp_path: Path) -> None:
    file, seen = tmp_path / "a.json", list[str]()

    def note(temporary: Path) -> None:
        seen.append(temporary.name)
        temporary.write_text("first", encoding="utf-8")

    write_whole(file, note)
    of_parent = seen[0].replace(f".{os.getpid()}.", f".{os.getppid()}.")
    elsewhere = ".a.json.00000000.999999999.tmp"
    for name in (of_parent, elsewhere):
        (tmp_path / name).write_text("half", encoding="utf-8")
    write_text(file, "new")
    assert names(tmp_path) == sorted([of_parent, elsewhere, "a.json"])


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has several namespaces of process ids")
def test_what_a_container_with_this_machine_s_name_writes_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, seen = tmp_path / "a.json", list[str]()

    def note(temporary: Path) -> None:
        seen.append(temporary.name)
        temporary.write_text("first", encoding="utf-8")

    with monkeypatch.context() as container:
        container.setattr(Path, "readlink", lambda _path: Path("pid:[4711]"))
        write_whole(file, note)
    half = tmp_path / seen[0].replace(f".{os.getpid()}.", ".999999999.")
    half.write_text("half", encoding="utf-8")
    write_text(file, "new")
    assert names(tmp_path) == sorted([half.name, "a.json"])


def test_all_of_a_file_is_on_the_disk_before_it_takes_the_place_of_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, flushed = tmp_path / "a.json", list[tuple[int, int, str]]()
    file.write_text("old", encoding="utf-8")

    def note(descriptor: int) -> None:
        found = os.fstat(descriptor)
        flushed.append((found.st_ino, found.st_size, file.read_text(encoding="utf-8")))

    monkeypatch.setattr(os, "fsync", note)
    write_text(file, "newer")
    assert flushed == [(file.stat().st_ino, len("newer"), "old")]


def test_what_is_below_a_directory_is_swept_if_that_is_meant(tmp_path: Path) -> None:
    building = tmp_path / "checkpoints" / ".last.4711.tmp"
    building.mkdir(parents=True)
    (building / "weights").write_text("half", encoding="utf-8")
    sweep(tmp_path)
    assert building.is_dir()
    sweep(tmp_path, below=True)
    assert names(tmp_path / "checkpoints") == []
