"""One headless Chromium run at a time: what a page says on the console, asks of the network and looks like."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

CHROMIUM = next((p for n in ("chromium", "chromium-browser", "google-chrome") if (p := shutil.which(n))), None)
needs_browser = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium on PATH: install chromium to run browser tests"
)

_FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--disable-extensions", "--hide-scrollbars"),
    *("--enable-logging=stderr", "--v=0", "--host-resolver-rules=MAP * ~NOTFOUND"),
]
_ITS_OWN = (".google.com", ".googleapis.com", ".gstatic.com")  # Chromium asks these for itself, on any page


@dataclass(frozen=True)
class Visit:
    """What came of opening a page: its DOM after scripts ran, console lines, addresses asked for."""

    dom: str
    console: list[str]
    requests: list[str]


def run(folder: Path, page: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    """Chromium on a file, with a fresh profile inside the test's folder."""
    command = [CHROMIUM, *_FLAGS, f"--user-data-dir={folder / 'profile'}", *flags, page.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)


def visit(folder: Path, page: Path) -> Visit:
    """Open a page and write down what it did."""
    log = folder / "net.json"
    done = run(folder, page, f"--log-net-log={log}", "--dump-dom")
    lines = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return Visit(done.stdout, lines, _requests(log))


def _requests(log: Path) -> list[str]:
    text = log.read_text()
    try:
        events = json.loads(text)["events"]
    except json.JSONDecodeError:  # cut short at exit: complete all but the last event
        events = json.loads(text[: text.rstrip().rstrip(",").rfind("\n")].rstrip().rstrip(",") + "]}")["events"]
    urls = {str(e.get("params", {}).get("url", "")) for e in events}
    asked = {u for u in urls if u.startswith(("http:", "https:", "ws:", "wss:", "ftp:"))}
    return sorted(u for u in asked if not (urlsplit(u).hostname or "").endswith(_ITS_OWN))
