"""The command line, ended at a known moment: when it touches a certain file, never by a clock.

`hook/sitecustomize.py` strikes from inside, in whichever process of the command the moment comes.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from tests.conftest import environment

HOOK = Path(__file__).parent / "hook"
#: exit code, as `subprocess` has it, of a command that lost its worker
KILLED = -signal.SIGKILL
#: for a command on a busy machine
_LONGEST_S = 900
#: for what a command is to say; shorter than a test may take, which would end it without a word
_SILENT_S = 300


@dataclass(frozen=True)
class Moment:
    """When, and what happens then.

    event, path: an audit event ("open", "os.rename") and a pattern for a path it names. after: at the event
    after that one, when the first is done. victim: who is killed: "everything" (a power cut), "worker",
    "self" (whoever touches the file), "another" (the process whose id is `filler`), or stopped with all
    it has begun: "frozen" (the same); or what is spoiled: "disk", `filler` takes the rest of it;
    "mount", nothing below `filler` can be written any more; "clock", it is set by the seconds in `filler`,
    as in .../clock-3600.
    """

    event: str
    path: str
    victim: str = "everything"
    after: bool = False
    filler: str = ""

    @property
    def environment(self) -> dict[str, str]:
        """What makes the hook wait for this moment."""
        path = f"{HOOK}{os.pathsep}{environment()['PYTHONPATH']}"
        return {"FATAL": json.dumps(asdict(self)), "PYTHONPATH": path}


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str


def run(home: Path, *arguments: str, moment: Moment | None = None) -> Ended:
    """`cp-search` in `home`, and what came of it; no process of it is left."""
    return wait_for(begin(cp_search(*arguments), home=home, moment=moment))


def cp_search(*arguments: str) -> list[str]:
    """The command line of `cp-search`."""
    return [sys.executable, "-m", "search.cli", *arguments]


def scripted_search(home: Path, job: str, *, text: str) -> list[str]:
    """The command line of a search on `Bench(home)`; the expression `job` makes a job of a directory.

    What a user can mend, and what ends a study, is its last line on stderr; it exits with 1 then.
    """
    code = (
        "import sys; from pathlib import Path; from functools import partial\n"
        "from tests.search.fakes import *; from trainer import CpSearchError\n"
        "if __name__ == '__main__':\n"
        f"    try: print(Bench(Path({str(home)!r})).search({job}, text={text!r}).trials)\n"
        "    except CpSearchError as error: sys.exit(str(error))"
    )
    return [sys.executable, "-c", code]


def begin(command: Sequence[str], *, home: Path, moment: Moment | None = None) -> subprocess.Popen[str]:
    """`command` in `home`, begun, in a session of its own."""
    return subprocess.Popen(
        command,
        cwd=home,
        env={**environment(), **(moment.environment if moment else {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        start_new_session=True,
    )


def read_until(process: subprocess.Popen[str], *words: str) -> str:
    """What a command says until it has said all of `words`; the error, where it does not, has it all."""
    output = process.stderr or process.stdout
    assert output is not None
    said, missing = "", set(words)
    killer = threading.Timer(_SILENT_S, os.killpg, (process.pid, signal.SIGKILL))
    killer.start()
    try:
        for line in output:
            said += line
            missing = {one for one in missing if one not in line}
            if not missing:
                return said
    finally:
        killer.cancel()
    code = process.wait(_SILENT_S)
    raise AssertionError(f"it never said {missing} and ended with {code}:\n{said}")


def wait_for(process: subprocess.Popen[str]) -> Ended:
    """The end of a command and of all its processes: orphans may write their checkpoints first."""
    out, err = process.communicate(timeout=_LONGEST_S)
    _, alive = psutil.wait_procs(family(process.pid), timeout=_LONGEST_S)
    assert not alive, f"these outlived their command: {alive}"
    return Ended(process.returncode, out, err)


def family(session: int) -> list[psutil.Process]:
    """The living processes of a session."""
    return [one for one in psutil.process_iter() if _session(one.pid) == session]


def _session(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return None
