"""Rows per second and peak memory of the data commands on many rows.

    python -m benchmarks.data --cold DIR --model DIR [--rows 1000000] [--steps check,split,tokenise]

Makes `--rows` rows of COLD's training comments, over and over, each with its number behind it, so that no
two texts are equal. Every step runs in a process of its own, whose peak resident memory is the kernel's count
(VmHWM; Linux). `tokenise` reads the file, makes tokens, and shows how far it is, as `cp-search train` does.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import cycle, islice
from pathlib import Path

from trainer import CheckRequest, Config, SplitRequest, check_data, import_cold, read_table, split_file

ROWS = 1_000_000
#: of resident memory, for tokenising `ROWS` rows
LIMIT_GIB = 1.5


@dataclass(frozen=True)
class Cost:
    """What one step took: wall and CPU time, and its process's peak, imports included."""

    seconds: float
    cpu_seconds: float
    peak_gib: float


@dataclass(frozen=True)
class Job:
    """One step's input: a file of rows, a directory for what it makes, the tokenizer's directory."""

    rows: Path
    work: Path
    model: str


def check(job: Job) -> None:
    """As `cp-search data check FILE`."""
    check_data(CheckRequest(files={str(job.rows): job.rows}, config=Config()))


def split(job: Job) -> None:
    """As `cp-search data split FILE DIR`."""
    split_file(job.rows, out=job.work / "split", request=SplitRequest(overwrite=True))


def read(job: Job) -> None:
    """The part of every step that reads the file."""
    read_table(job.rows)


def tokenise(job: Job) -> None:
    """As the start of a run on data that no run has seen."""
    from trainer.config.schema import ModelConfig
    from trainer.data.tokens import tokenise as make_tokens
    from trainer.model.build import load_tokenizer

    table = read_table(job.rows)
    tokenizer = load_tokenizer(ModelConfig(name=job.model), texts=table.texts)
    make_tokens(table.texts, tokenizer=tokenizer, cache_dir=job.work / "cache", progress=_shown)


def _shown(done: int, total: int) -> None:
    print(f"\r{done} of {total} rows", end="\n" if done == total else "", file=sys.stderr, flush=True)


STEPS: Mapping[str, Callable[[Job], None]] = {
    "read": read,
    "check": check,
    "split": split,
    "tokenise": tokenise,
}


def many_rows(cold: Path, *, rows: int) -> Iterator[str]:
    """Lines of JSON, each text with its number behind it."""
    with tempfile.TemporaryDirectory() as directory:
        import_cold(cold, out=Path(directory))
        texts = (Path(directory) / "train.jsonl").read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(islice(cycle(texts), rows)):
        row = json.loads(line)
        yield json.dumps({**row, "text": f"{row['text']}［{number}］"}, ensure_ascii=False) + "\n"


def cost_of(step: str, job: Job) -> Cost:
    """Do one step in this process."""
    begun = time.perf_counter()
    STEPS[step](job)
    return Cost(time.perf_counter() - begun, time.process_time(), _peak_gib())


def _peak_gib() -> float:
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    (kib,) = (line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
    return int(kib) / 2**20


def _in_a_process(step: str, job: Job) -> Cost:
    words = ["--step", step, "--file", str(job.rows), "--work", str(job.work), "--model", job.model]
    command = [sys.executable, "-m", "benchmarks.data", *words]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return Cost(**json.loads(done.stdout.splitlines()[-1]))


def compare(arguments: argparse.Namespace) -> None:
    """Make the rows, take every step, print a line each."""
    with tempfile.TemporaryDirectory() as directory:
        job = Job(Path(directory) / "rows.jsonl", Path(directory), arguments.model)
        with job.rows.open("w", encoding="utf-8", newline="\n") as stream:
            stream.writelines(many_rows(arguments.cold, rows=arguments.rows))
        print(f"{arguments.rows} rows, {job.rows.stat().st_size / 2**20:.0f} MiB", flush=True)
        for step in arguments.steps.split(","):
            cost = _in_a_process(step, job)
            print(_line(step, cost, rows=arguments.rows), flush=True)


def _line(step: str, cost: Cost, *, rows: int) -> str:
    times = f"{cost.seconds:7.1f} s ({cost.cpu_seconds:.1f} s of CPU)"
    limit = f" (limit {LIMIT_GIB} GiB for {ROWS} rows)" if step == "tokenise" else ""
    return f"{step:9}{rows / cost.seconds:10,.0f} rows/s {times}   peak {cost.peak_gib:.2f} GiB{limit}"


def main() -> None:
    """Read the arguments; run the comparison, or one step of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--cold", type=Path, help="directory with COLD's CSV files")
    parser.add_argument("--model", default="builtin:tiny", help="whose tokenizer to use")
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--steps", default=",".join(STEPS), help=f"of: {', '.join(STEPS)}")
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.step:
        job = Job(arguments.file, arguments.work, arguments.model)
        print(json.dumps(asdict(cost_of(arguments.step, job))))
    elif arguments.cold is None:
        parser.error("--cold: name the directory with COLD's CSV files")
    else:
        compare(arguments)


if __name__ == "__main__":
    main()
