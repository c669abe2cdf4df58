"""The card and its driver, the host's memory and cores."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

from search.doctor.finding import Finding
from search.host import Host
from search.seats import GUESSED_BYTES, SPARE_BYTES

GIB = 2**30
#: less than this share of a card free means that something else uses it
_FREE_SHARE = 0.8
_QUERY = ("--query-gpu=name,driver_version,memory.total,memory.free", "--format=csv,noheader,nounits")
_PATIENCE_S = 10


@dataclass(frozen=True)
class Gpu:
    """A row of nvidia-smi; sizes in MiB."""

    name: str
    driver: str
    total_mib: int
    free_mib: int


@dataclass(frozen=True)
class Driver:
    """What the driver's own tool answers. problem: why it could not; None when it did, or is not there."""

    gpus: tuple[Gpu, ...] = ()
    problem: str | None = None


@dataclass(frozen=True)
class Torch:
    """What torch says of itself. cuda: the CUDA version it was built with; devices: how many it can use."""

    version: str
    cuda: str | None
    devices: int


def hardware() -> Iterator[Finding]:
    """Card, driver, host."""
    driver = ask_driver(shutil.which("nvidia-smi"))
    yield card(driver, this_torch())
    yield from (free_memory(gpu) for gpu in driver.gpus)
    here = Host()
    yield host(here.memory().available_bytes, cores=here.cores())


def this_torch() -> Torch:
    """The torch of this interpreter; imports it."""
    import torch

    devices = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return Torch(torch.__version__, torch.version.cuda, devices)


def ask_driver(tool: str | None) -> Driver:
    """The NVIDIA GPUs of this machine, as `tool` (nvidia-smi; None: not installed) lists them."""
    if tool is None:
        return Driver()
    try:
        done = subprocess.run(
            [tool, *_QUERY], capture_output=True, text=True, timeout=_PATIENCE_S, check=False
        )
    except subprocess.TimeoutExpired:
        return Driver(problem=f"nvidia-smi did not answer within {_PATIENCE_S} s")
    if done.returncode:
        said = (done.stdout or done.stderr).strip().splitlines()
        return Driver(problem=f"nvidia-smi: {said[0] if said else f'exit code {done.returncode}'}")
    return Driver(gpus=parse_gpus(done.stdout))


def parse_gpus(table: str) -> tuple[Gpu, ...]:
    """Rows of `nvidia-smi --query-gpu=... --format=csv,noheader,nounits`."""
    rows = [[cell.strip() for cell in line.split(",")] for line in table.splitlines() if line.strip()]
    return tuple(Gpu(name, driver, int(total), int(free)) for name, driver, total, free in rows)


def card(driver: Driver, torch: Torch) -> Finding:
    """Whether torch can use what the driver shows."""
    names = ", ".join(
        f"{gpu.name} ({gpu.total_mib / 1024:.0f} GiB, driver {gpu.driver})" for gpu in driver.gpus
    )
    if torch.devices:
        return Finding("Card", "ok", f"{names or f'{torch.devices} CUDA devices'}; CUDA {torch.cuda}")
    if driver.problem:
        return Finding(
            "Card", "fault", driver.problem, "restart the machine; if it stays, reinstall the driver"
        )
    if not driver.gpus:
        remedy = "cp-search fit --card rtx3050 plans for a card that is elsewhere"
        return Finding("Card", "note", "no NVIDIA GPU: training runs on the CPU, slower", remedy)
    if torch.cuda is None:
        remedy = f"install a CUDA build of torch {torch.version.partition('+')[0]} (pytorch.org, Get Started)"
        return Finding("Card", "fault", f"{names}, but torch {torch.version} is built for CPUs only", remedy)
    remedy = f"update the NVIDIA driver to one that supports CUDA {torch.cuda}, then restart the machine"
    return Finding("Card", "fault", f"{names}, but torch cannot use it", remedy)


def free_memory(gpu: Gpu) -> Finding:
    """Whether something else holds the card's memory."""
    found = f"{gpu.free_mib / 1024:.1f} of {gpu.total_mib / 1024:.1f} GiB free on {gpu.name}"
    if gpu.free_mib >= _FREE_SHARE * gpu.total_mib:
        return Finding("Card memory", "ok", found)
    remedy = "close what uses it (nvidia-smi lists the processes), or plan for less with card: {memory: ...}"
    return Finding("Card memory", "note", found, remedy)


def host(available_bytes: int, *, cores: int) -> Finding:
    """Memory and cores of the machine."""
    found = f"{available_bytes / GIB:.1f} GiB of memory available, {cores} cores"
    least_bytes = SPARE_BYTES + GUESSED_BYTES  # what a search needs to seat one trial
    if available_bytes >= least_bytes:
        return Finding("Host", "ok", found)
    remedy = f"close other programs: a trial needs about {least_bytes / GIB:.1f} GiB"
    return Finding("Host", "fault", found, remedy)
