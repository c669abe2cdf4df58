"""Chromium without a head, and axe to put into its pages."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service

from tests.browser.browser import Browser

_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    binary, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if binary is None or driver is None:
        pytest.skip("no Chromium here: apt-get install chromium chromium-driver")
    options = Options()
    options.binary_location = binary
    for flag in (*_FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    # Chromium asks for nothing through a proxy; the driver is on this machine.
    opened = webdriver.Chrome(options=options, service=Service(driver))
    yield Browser(opened)
    opened.quit()


@pytest.fixture(scope="session")
def axe() -> str:
    """The script of axe-core, of the version in package.json, installed once into the user's cache."""
    here = Path(__file__).with_name("package.json")
    version = json.loads(here.read_text(encoding="utf-8"))["dependencies"]["axe-core"]
    base = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    cache = base / "cp-search-tests" / f"axe-core-{version}"
    script = cache / "node_modules" / "axe-core" / "axe.min.js"
    if not script.is_file():
        _install(here, cache)
    return script.read_text(encoding="utf-8")


def _install(package: Path, cache: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("no npm here to install axe-core with: apt-get install npm")
    cache.mkdir(parents=True, exist_ok=True)
    shutil.copy(package, cache / "package.json")
    words = [npm, "install", "--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock"]
    done: Any = subprocess.run(words, cwd=cache, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode:
        pytest.skip(f"npm cannot install axe-core: {done.stderr.strip().splitlines()[-1:]}")
