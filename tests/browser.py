"""A browser without a window, by way of chromedriver and the WebDriver protocol: what a page shows and asks for."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
)  # fmt: skip
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
"""How the protocol marks an element."""
KEYS = {"Tab": "\ue004", "Enter": "\ue007", " ": " "}


class Browser:
    """A session of a browser."""

    def __init__(self, server: str, folder: Path) -> None:
        self._server = server
        flags = [*FLAGS, f"--user-data-dir={folder}"]
        options = {"goog:chromeOptions": {"args": flags, "binary": shutil.which("chromium")}}
        options["goog:loggingPrefs"] = {"browser": "ALL", "performance": "ALL"}
        self._session = self._ask("POST", "", {"capabilities": {"alwaysMatch": options}})["sessionId"]

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        session = f"/{self._session}" if hasattr(self, "_session") else ""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self._server}/session{session}{path}", data, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["value"]

    def open(self, address: str) -> None:
        """Go to a page, and wait until it is loaded."""
        self._ask("POST", "/url", {"url": address})

    def run(self, script: str, *arguments: Any) -> Any:
        """Run a function's body in the page, and return what it returns."""
        return self._ask("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def press(self, key: str) -> None:
        """Press a key, in whatever has the focus."""
        keys = [{"type": kind, "value": KEYS[key]} for kind in ("keyDown", "keyUp")]
        self._ask("POST", "/actions", {"actions": [{"type": "key", "id": "keyboard", "actions": keys}]})

    def resize(self, width: int, height: int) -> None:
        """Make the window so large."""
        self._ask("POST", "/window/rect", {"width": width, "height": height})

    def emulate(self, scheme: str) -> None:
        """Let pages see that the user wants a light, or a dark, scheme."""
        features = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        self._ask("POST", "/goog/cdp/execute", {"cmd": "Emulation.setEmulatedMedia", "params": features})

    def console(self) -> list[str]:
        """Return what the page's console says: errors, and what its policy has stopped."""
        return [str(entry["message"]) for entry in self._ask("POST", "/se/log", {"type": "browser"})]

    def asked_for(self) -> list[str]:
        """Return the addresses that pages asked for, but for ``data:`` and what the browser's first page is made of."""
        entries = self._ask("POST", "/se/log", {"type": "performance"})
        sent = [json.loads(entry["message"])["message"] for entry in entries]
        found = [one["params"]["request"]["url"] for one in sent if one["method"] == "Network.requestWillBeSent"]
        return [address for address in found if not address.startswith(("data:", "chrome"))]

    def close(self) -> None:
        """End the session, and the browser."""
        self._ask("DELETE", "")


@contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """Start a browser with a profile of its own in ``folder``; the test is skipped where there is none."""
    if shutil.which("chromium") is None or shutil.which("chromedriver") is None:
        pytest.skip("chromium and chromium-driver are not installed")
    server = subprocess.Popen(
        ["chromedriver", "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert server.stdout is not None
        port = next(found[1] for line in server.stdout if (found := re.search(r"successfully on port (\d+)", line)))
        session = Browser(f"http://127.0.0.1:{port}", folder)
        try:
            yield session
        finally:
            session.close()
    finally:
        server.terminate()
        server.wait()
