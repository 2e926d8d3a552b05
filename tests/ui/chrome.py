"""A Chromium that is driven: pages opened over a socket, keys pressed, console and requests written down.

It speaks the DevTools protocol over two pipes, so that nothing beside Chromium is needed.
"""

from __future__ import annotations

import base64
import json
import os
import select
import subprocess
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from report.browser import CHROMIUM

_FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--disable-extensions", "--hide-scrollbars"),
    *("--remote-debugging-pipe", "--force-color-profile=srgb", "--disable-dev-shm-usage"),
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
]


class Chrome:
    """One browser with one tab.

    Attributes:
        console: What the page said: console lines, exceptions, and what its policy refused.
        asked: Addresses that it asked for.
    """

    def __init__(self, folder: Path) -> None:
        to_read, to_write = os.pipe()
        from_read, from_write = os.pipe()

        def wire() -> None:
            os.dup2(to_read, 3)
            os.dup2(from_write, 4)

        # The pipes may be numbered 3 and 4 here already: moved up, so that neither is overwritten.
        to_read, from_write = _up(to_read), _up(from_write)
        command = [str(CHROMIUM), *_FLAGS, f"--user-data-dir={folder / 'chrome'}", "about:blank"]
        self._process = subprocess.Popen(
            command, pass_fds=(3, 4), preexec_fn=wire, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        os.close(to_read)
        os.close(from_write)
        self._to, self._from = to_write, from_read
        self._poll = select.poll()  # select() takes no descriptor beyond 1,023
        self._poll.register(from_read, select.POLLIN)
        self._buffer = b""
        self._count = 0
        self._session = ""
        self._events: list[dict[str, Any]] = []
        self.console: list[str] = []
        self.asked: list[str] = []
        targets = self.send("Target.getTargets", own=False)["targetInfos"]
        page = next(t["targetId"] for t in targets if t["type"] == "page")
        self._session = self.send("Target.attachToTarget", targetId=page, flatten=True, own=False)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def close(self) -> None:
        self._process.kill()
        self._process.wait(10)
        os.close(self._to)
        os.close(self._from)

    # ------------------------------------------------------------ the wire

    def send(self, method: str, *, own: bool = True, **params: Any) -> dict[str, Any]:
        """Call a method and wait for its result."""
        self._count += 1
        mine = self._count
        message = {"id": mine, "method": method, "params": params}
        if own and self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + 60
        while True:
            found = self._next(end)
            if found.get("id") == mine:
                assert "error" not in found, (method, found["error"])
                result: dict[str, Any] = found["result"]
                return result

    def _next(self, end: float) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            ready = self._poll.poll(1000 * max(0.0, end - time.monotonic()))
            assert ready, "Chromium does not answer"
            data = os.read(self._from, 1 << 20)
            assert data, "Chromium ended"
            self._buffer += data
        text, _, self._buffer = self._buffer.partition(b"\0")
        found: dict[str, Any] = json.loads(text)
        self._heed(found)
        return found

    def _heed(self, event: dict[str, Any]) -> None:
        params = event.get("params", {})
        match event.get("method"):
            case "Runtime.consoleAPICalled":
                self.console.append(" ".join(str(a.get("value", a.get("description"))) for a in params["args"]))
            case "Runtime.exceptionThrown":
                self.console.append(str(params["exceptionDetails"].get("text")))
            case "Log.entryAdded":
                self.console.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")
            case "Network.requestWillBeSent":
                self.asked.append(params["request"]["url"])
            case _:
                pass
        if "method" in event:
            self._events.append(event)

    # ------------------------------------------------------------ what tests do

    def show(self, url: str, *, width: int = 1280, height: int = 900, dark: bool = False, mobile: bool = False) -> None:
        """Open an address and wait until it has loaded."""
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile)
        scheme = "dark" if dark else "light"
        self.send("Emulation.setEmulatedMedia", media="", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self._events.clear()
        self.send("Page.navigate", url=url)
        self.loaded()

    def loaded(self) -> None:
        """Wait until the page has loaded."""
        end = time.monotonic() + 60
        while not any(e.get("method") == "Page.loadEventFired" for e in self._events):
            self._next(end)
        self._events.clear()

    def run(self, script: str) -> Any:
        """The value of an expression in the page; promises are awaited."""
        found = self.send("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def key(self, name: str, *, shift: bool = False) -> None:
        """Press a key: Tab, Enter, Space, Escape or a letter."""
        codes = {"Tab": 9, "Enter": 13, "Space": 32, "Escape": 27, "ArrowDown": 40}
        text = {"Enter": "\r", "Space": " "}.get(name, name if len(name) == 1 else "")
        said = {
            "key": " " if name == "Space" else name,
            "code": name,
            "windowsVirtualKeyCode": codes.get(name, ord(name[0])),
            "modifiers": 8 if shift else 0,
        }
        self.send(
            "Input.dispatchKeyEvent",
            type="keyDown" if text else "rawKeyDown",
            **said,
            **({"text": text} if text else {}),
        )
        self.send("Input.dispatchKeyEvent", type="keyUp", **said)

    def click(self, selector: str) -> None:
        """Click the middle of an element, as a mouse does."""
        box = self.run(
            f"(()=>{{const e=document.querySelector({json.dumps(selector)});e.scrollIntoView({{block:'center'}});"
            "const r=e.getBoundingClientRect();return [r.x+r.width/2,r.y+r.height/2]})()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.send("Input.dispatchMouseEvent", type=kind, x=box[0], y=box[1], button="left", clickCount=1)

    def picture(self, path: Path) -> Path:
        """The whole page as a picture."""
        data = self.send("Page.captureScreenshot", format="png", captureBeyondViewport=True)["data"]
        path.write_bytes(base64.b64decode(data))
        return path

    def whole_picture(self, path: Path) -> Path:
        """The page from top to bottom."""
        size = self.send("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        data = self.send("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)["data"]
        path.write_bytes(base64.b64decode(data))
        return path

    def outside(self, base: str) -> list[str]:
        """Addresses that it asked for elsewhere."""
        host = urlsplit(base).netloc
        return [u for u in self.asked if u.startswith(("http", "ws")) and urlsplit(u).netloc != host]


def _up(fd: int) -> int:
    """The same end of a pipe under a number above those that Chromium wants."""
    import fcntl

    new = fcntl.fcntl(fd, fcntl.F_DUPFD, 10)
    os.close(fd)
    return new
