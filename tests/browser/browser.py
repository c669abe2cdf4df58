"""One page in Chromium: opened in a colour scheme and at a width, and what went on in it meanwhile."""

from __future__ import annotations

import json
from typing import Any

from selenium.webdriver import Chrome, Keys
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.support.wait import WebDriverWait

SCHEMES = ("light", "dark")
#: impacts of axe that fail a test
_GRAVE = ("serious", "critical")


class Browser:
    """A driver with the few things the tests ask of it."""

    def __init__(self, driver: Chrome) -> None:
        self.driver = driver

    def open(self, address: str, *, scheme: str = "light", width: int = 1200) -> None:
        """Load a page as a new visitor sees it."""
        self.logs()
        self.requests()
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        self.driver.get(address)

    def run(self, script: str, *arguments: Any) -> Any:
        """What a script returns."""
        return self.driver.execute_script(script, *arguments)

    def wait_for(self, script: str) -> Any:
        """The first true value of an expression."""
        return WebDriverWait(self.driver, 30).until(lambda driver: driver.execute_script(f"return {script}"))

    def logs(self) -> list[str]:
        """Errors and warnings of the console since the last call."""
        found = self._log("browser")
        return [entry["message"] for entry in found if entry["level"] in ("SEVERE", "WARNING")]

    def _log(self, kind: str) -> list[dict[str, Any]]:
        entries: list[dict[str, Any]] = self.driver.get_log(kind)  # type: ignore[no-untyped-call]  # selenium's
        return entries

    def requests(self) -> list[str]:
        """Addresses asked for since the last call."""
        messages = [json.loads(entry["message"])["message"] for entry in self._log("performance")]
        sent = [one["params"] for one in messages if one["method"] == "Network.requestWillBeSent"]
        return [one["request"]["url"] for one in sent]

    def violations(self, axe: str) -> list[str]:
        """What axe finds grave, a line each."""
        self.driver.execute_script(axe)
        found = self.driver.execute_async_script("axe.run().then(arguments[arguments.length - 1])")
        return [
            f"{rule['id']} ({rule['impact']}): {node['html'][:120]}"
            for rule in found["violations"]
            if rule["impact"] in _GRAVE
            for node in rule["nodes"]
        ]

    def grave_rules(self, axe: str) -> set[str]:
        """The rules of axe that the page breaks gravely."""
        return {line.partition(" ")[0] for line in self.violations(axe)}

    def press(self, key: str = Keys.TAB) -> str:
        """Press a key; the text of what has the focus then."""
        ActionChains(self.driver).send_keys(key).perform()
        return str(self.run("return document.activeElement.innerText || document.activeElement.tagName"))
