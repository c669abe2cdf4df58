"""Do the tests notice when the code is wrong? Mutants of the search space and of memory planning.

    pip install cosmic-ray
    python -m benchmarks.mutants [--each 20] [--seed 8] [--modules search/space.py ...]

Changes one operator, number or condition at a time in a copy of the committed code and runs the module's own
tests against it. `|` in an annotation is no code, and mutants of it are left out. Of each module a sample
is tried, since a mutant takes as long as the tests; survivors are printed as the line they change.
"""

from __future__ import annotations

import argparse
import ast
import os
import random
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

#: module -> the tests that are about it, below tests/
MODULES = {
    "search/space.py": "search/test_space.py",
    "search/space_file.py": "search/test_space.py",
    "search/dimension.py": "search/test_space.py",
    "trainer/memory/allocator.py": "trainer/memory/test_allocator.py",
    "trainer/memory/calibration.py": "trainer/memory/test_calibration.py",
    "trainer/memory/card.py": "trainer/memory/test_card.py",
    "trainer/memory/meter.py": "trainer/memory/test_meter.py",
    "trainer/memory/recovery.py": "trainer/memory/test_recovery.py",
    "trainer/memory/fitting.py": "trainer/memory/test_fitting.py",
    "trainer/memory/plan.py": "trainer/memory/test_plan.py trainer/memory/test_arithmetic.py",
}
#: of the tests with one mutant
TIMEOUT_S = 300.0
#: row (from 1) and column (from 0)
Position = tuple[int, int]
ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Bench:
    """A copy of the committed code, and cosmic-ray's session about one module of it."""

    copy: Path
    session: Path
    config: Path

    def cosmic_ray(self, command: str) -> None:
        """`cosmic-ray COMMAND` on this session."""
        environment = {**os.environ, "PYTHONPATH": str(self.copy), "PYTHONDONTWRITEBYTECODE": "1"}
        program = Path(sys.executable).with_name("cosmic-ray")
        subprocess.run(
            [program, command, self.config, self.session], cwd=self.copy, env=environment, check=True
        )


def main() -> None:
    """Sample, try and report, module by module."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--each", type=int, default=20, help="mutants of each module")
    parser.add_argument("--seed", type=int, default=8)
    parser.add_argument("--modules", nargs="+", choices=MODULES, default=list(MODULES))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        copy = Path(directory) / "copy"
        subprocess.run(["git", "clone", "-q", ROOT, copy], check=True)
        tried = killed = 0
        for module in arguments.modules:
            found = _tried(module, copy, each=arguments.each, seed=arguments.seed)
            tried, killed = tried + len(found), killed + sum(end == "KILLED" for end, _ in found)
            print(f"{module}: {sum(end == 'KILLED' for end, _ in found)} of {len(found)} noticed", flush=True)
            for line in (line for end, line in found if end != "KILLED"):
                print(f"    not noticed: {line}", flush=True)
    print(f"{killed} of {tried} mutants noticed")


def _tried(module: str, copy: Path, *, each: int, seed: int) -> list[tuple[str, str]]:
    """How each mutant of a sample ended, and the line it made."""
    stem = copy.parent / module.replace("/", "_")
    bench = Bench(copy, stem.with_suffix(".sqlite"), stem.with_suffix(".toml"))
    tests = " ".join(f"tests/{name}" for name in MODULES[module].split())
    bench.config.write_text(
        f'[cosmic-ray]\nmodule-path = "{module}"\ntimeout = {TIMEOUT_S}\nexcluded-modules = []\n'
        f"test-command = \"{sys.executable} -m pytest -q -x -m 'not cold' {tests}\"\n"
        '[cosmic-ray.distributor]\nname = "local"\n',
        encoding="utf-8",
    )
    bench.cosmic_ray("init")
    spans = list(_annotations((copy / module).read_text(encoding="utf-8")))
    with sqlite3.connect(bench.session) as session:
        columns = "job_id, operator_name, start_pos_row, start_pos_col"
        rows = session.execute(f"select {columns} from mutation_specs order by 2, 3, 4, 1")
        jobs = [
            job
            for job, operator, *position in rows
            if not ("BitOr" in operator and any(start <= tuple(position) < end for start, end in spans))
        ]
        random.Random(seed).shuffle(jobs)
        marks = ",".join("?" * len(jobs[:each]))
        for table in ("work_items", "mutation_specs"):
            session.execute(f"delete from {table} where job_id not in ({marks})", jobs[:each])
    bench.cosmic_ray("exec")
    with sqlite3.connect(bench.session) as session:
        results = session.execute("select test_outcome, diff from work_results order by job_id").fetchall()
    return [(outcome, _made(diff)) for outcome, diff in results]


def _annotations(code: str) -> Iterator[tuple[Position, Position]]:
    """From where to where each annotation of a module goes."""
    for node in ast.walk(ast.parse(code)):
        for name in ("annotation", "returns"):
            found = getattr(node, name, None)
            if isinstance(found, ast.expr):
                yield (found.lineno, found.col_offset), (found.end_lineno or 0, found.end_col_offset or 0)


def _made(diff: str) -> str:
    lines = [line for line in diff.splitlines() if line.startswith("+") and not line.startswith("+++")]
    return " ".join(line[1:].strip() for line in lines)


if __name__ == "__main__":
    main()
