"""Dockerfile and compose file, as far as they can be judged without an engine to build them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import yaml

from tests.conftest import ROOT

BIN = Path(sys.executable).parent


def test_the_dockerfile_has_no_fault_that_hadolint_knows() -> None:
    result = subprocess.run(
        [BIN / "hadolint", ROOT / "Dockerfile"], capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stdout) == (0, "")


def test_the_compose_file_is_of_the_compose_specification() -> None:
    command = [str(BIN / "check-jsonschema"), "--builtin-schema", "vendor.compose-spec", "compose.yaml"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout


def test_every_port_is_published_on_this_machine_only() -> None:
    services = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"]
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_no_password_stands_in_a_command() -> None:
    services = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"]
    for service in services.values():
        assert "PASSWORD" not in " ".join(map(str, service.get("command", [])))


def test_the_dashboard_stands_behind_our_gate_and_its_command_is_one_of_ours() -> None:
    service = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"]["dashboard"]
    assert "entrypoint" not in service
    command, *flags = map(str, service["command"])
    assert command == "dashboard"
    shown = subprocess.run(
        [sys.executable, "-m", "search.cli", command, *flags, "--help"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert shown.returncode == 0, shown.stderr


def test_one_worker_has_all_cards_for_two_would_share_one() -> None:
    worker = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"]["worker"]
    (devices,) = worker["deploy"]["resources"]["reservations"]["devices"]
    assert devices["count"] == "all"
    assert "--jobs" not in worker["command"]  # auto: a trial on each card


def test_the_compose_file_says_which_files_its_own_space_reads() -> None:
    text = (ROOT / "compose.yaml").read_text(encoding="utf-8")
    head = text.split("\nname:")[0]
    default = re.search(r"\$\{SPACE:-(\S+?)\}", text)
    assert default is not None
    named = yaml.safe_load((ROOT / default[1]).read_text(encoding="utf-8"))["set"]
    for word in (default[1], *(value for key, value in named.items() if key.startswith("data."))):
        assert word in head


def test_everything_the_dockerfile_copies_exists() -> None:
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    sources = [word for line in lines if line.startswith("COPY ") for word in line.split()[1:-1]]
    assert [name for name in sources if not (ROOT / name).exists()] == []
