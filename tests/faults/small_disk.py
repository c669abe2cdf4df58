"""A small disk of one's own, in a mount namespace that goes with the test: to be filled, or to be locked."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

#: a namespace of users as well, so that it takes no root
_UNSHARE = ("unshare", "--map-root-user", "--mount")
_NSENTER = ("nsenter", "--preserve-credentials", "--user", "--mount")


class SmallDisk:
    """A tmpfs over `path`, seen by the commands that are run inside, and by this process through `seen`."""

    def __init__(self, path: Path, *, size: str) -> None:
        """Mount it, or skip the test where that is not allowed."""
        self.path = path
        path.mkdir(parents=True, exist_ok=True)
        if shutil.which("unshare") is None or shutil.which("nsenter") is None:
            pytest.skip("a small disk takes unshare and nsenter of util-linux")
        mount = f"mount -t tmpfs -o size={size} tmpfs '{path}' && echo mounted && exec cat"
        self._holder = subprocess.Popen(
            [*_UNSHARE, "sh", "-c", mount],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert self._holder.stdout is not None
        if self._holder.stdout.readline() != b"mounted\n":
            self.close()
            pytest.skip("this machine lets nobody mount a tmpfs of his own")

    @property
    def seen(self) -> Path:
        """The disk as this process reaches it."""
        return Path(f"/proc/{self._holder.pid}/root{self.path}")

    def inside(self, *command: str) -> list[str]:
        """The command line that runs `command` inside, in the disk's parent directory."""
        enter = [*_NSENTER, "--target", str(self._holder.pid)]
        return [*enter, "sh", "-c", 'cd "$0" && exec "$@"', str(self.path.parent), *command]

    def remount(self, how: str) -> None:
        """`ro` or `rw`."""
        subprocess.run(self.inside("mount", "-o", f"remount,{how}", str(self.path)), check=True)

    def close(self) -> None:
        """Let go of it; its content is lost."""
        self._holder.communicate()
