"""A headless Chromium, steered by its DevTools protocol over a pair of pipes."""

import base64
import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--headless",
    "--no-sandbox",  # a container has none; it opens nothing but a file of ours
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-sync",
    "--no-default-browser-check",
    "--no-first-run",
    "--no-pings",
    "--remote-debugging-pipe",
)
PATIENCE_S = 60.0

# Chromium reads its pipe on 3 and writes on 4, which here belong to others.
LAUNCHER = (
    "import os, sys; os.dup2(int(sys.argv[1]), 3); os.dup2(int(sys.argv[2]), 4); "
    "os.execv(sys.argv[3], sys.argv[3:])"
)


def chromium_path() -> str:
    wanted = os.environ.get("SHOP_CHROMIUM")
    for name in [wanted] if wanted else NAMES:
        if path := shutil.which(name):
            return path
    raise AssertionError(
        f"no Chromium ({wanted or ', '.join(NAMES)}); scripts/chromium.sh installs one on Debian, "
        "SHOP_CHROMIUM names one that is not on the PATH"
    )


class Chromium:
    """A running browser: commands out, answers and events in."""

    def __init__(self, out: int, into: int, log: Path) -> None:
        self._out, self._into, self._log = out, into, log
        self._number = 0
        self._unread = b""
        self.events: list[dict[str, Any]] = []

    def ask(self, method: str, session: str | None = None, **params: Any) -> dict[str, Any]:
        self._number += 1
        number = self._number
        message = {"id": number, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        answer = self._read(lambda read: read.get("id") == number, method)
        assert "error" not in answer, f"{method}: {answer['error']}"
        result: dict[str, Any] = answer["result"]
        return result

    def wait_for(self, what: str, wanted: Callable[[dict[str, Any]], bool]) -> None:
        if not any(wanted(event) for event in self.events):
            self._read(wanted, what)

    def _read(self, wanted: Callable[[dict[str, Any]], bool], what: str) -> dict[str, Any]:
        ends = time.monotonic() + PATIENCE_S
        while True:
            message, found, rest = self._unread.partition(b"\0")
            if found:
                self._unread = rest
                read: dict[str, Any] = json.loads(message)
                if "id" not in read:
                    self.events.append(read)
                if wanted(read):
                    return read
                continue
            ready, _, _ = select.select([self._into], [], [], max(0.0, ends - time.monotonic()))
            more = os.read(self._into, 1 << 20) if ready else b""
            assert more, f"{what}: no answer from Chromium; {self._log.read_text()[-2000:]}"
            self._unread += more


class Tab:
    """A page in a browser of its own, with nothing that another has left."""

    def __init__(self, chromium: Chromium, *, width: int = 1280, height: int = 900) -> None:
        self._chromium = chromium
        context = chromium.ask("Target.createBrowserContext")["browserContextId"]
        target = chromium.ask("Target.createTarget", url="about:blank", browserContextId=context)
        attached = chromium.ask("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")
        self.ask("Page.setLifecycleEventsEnabled", enabled=True)
        self.ask(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 500,
        )

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        return self._chromium.ask(method, self._session, **params)

    def dark(self) -> None:
        scheme = {"name": "prefers-color-scheme", "value": "dark"}
        self.ask("Emulation.setEmulatedMedia", features=[scheme])

    def open(self, url: str) -> None:
        # A tab begins with a blank page, which is loaded too: the loader tells them apart.
        loader = self.ask("Page.navigate", url=url)["loaderId"]

        def loaded(event: dict[str, Any]) -> bool:
            params = event.get("params", {})
            return (params.get("loaderId"), params.get("name")) == (loader, "load")

        self._chromium.wait_for(url, loaded)

    def evaluate(self, expression: str) -> Any:
        answer = self.ask(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def screenshot(self, scale: float = 1.0) -> bytes:
        size = self.evaluate("({width: innerWidth, height: innerHeight})")
        clip = {"x": 0, "y": 0, **size, "scale": scale}
        return base64.b64decode(self.ask("Page.captureScreenshot", clip=clip)["data"])

    def requested(self) -> list[str]:
        """Every address that the page asked for, whether it got an answer or not."""
        sent = self._events("Network.requestWillBeSent")
        return [event["request"]["url"] for event in sent]

    def complaints(self) -> list[str]:
        """What the console was told, and what no code caught."""
        return [
            *(event["entry"]["text"] for event in self._events("Log.entryAdded")),
            *(str(event["args"]) for event in self._events("Runtime.consoleAPICalled")),
            *(str(event["exceptionDetails"]) for event in self._events("Runtime.exceptionThrown")),
        ]

    def _events(self, method: str) -> list[dict[str, Any]]:
        return [
            event["params"]
            for event in self._chromium.events
            if event["method"] == method and event.get("sessionId") == self._session
        ]


@contextmanager
def running_chromium(folder: Path, proxy: str) -> Iterator[Chromium]:
    """A browser that reaches the world, and this machine, through the proxy alone."""
    path, log = chromium_path(), folder / "chromium.log"
    their_in, our_out = _pipe()
    our_in, their_out = _pipe()
    flags = (
        *FLAGS,
        f"--user-data-dir={folder / 'profile'}",
        f"--proxy-server={proxy}",
        "--proxy-bypass-list=<-loopback>",
    )
    with log.open("wb") as file:
        process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-c", LAUNCHER, str(their_in), str(their_out), path, *flags],
            pass_fds=(their_in, their_out),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    os.close(their_in)
    os.close(their_out)
    try:
        yield Chromium(our_out, our_in, log)
    finally:
        # Told that nobody speaks to it any more, Chromium ends; what is left of it is killed.
        os.close(our_out)
        os.close(our_in)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _pipe() -> tuple[int, int]:
    """A pipe whose ends are not 3 and 4, which the launcher writes over."""
    ends = os.pipe()
    high = tuple(fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in ends)
    for end in ends:
        os.close(end)
    return high[0], high[1]
