"""Headless Chromium in a namespace, driven over its pipe (--remote-debugging-pipe: JSON, each message ended by NUL)."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from tests.netns import Failed, Namespace
from tests.polling import readable

WORDS = ("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
         "--remote-debugging-pipe")


class Browser:
    """One page of it."""

    def __init__(self, host: Namespace) -> None:
        profile = host.world.path("chromium", "profile")
        profile.mkdir(parents=True, exist_ok=True)
        ours_out, theirs_in = os.pipe()[::-1]
        ours_in, theirs_out = os.pipe()
        words = host.argv("bash", "-c", f'exec "$@" 3<&{theirs_in} 4>&{theirs_out}', "chromium", *WORDS,
                          f"--user-data-dir={profile}", "about:blank")
        self._process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            pass_fds=(theirs_in, theirs_out), start_new_session=True, env=os.environ | {"HOME": str(profile)})
        os.close(theirs_in)
        os.close(theirs_out)
        self._in, self._out = ours_in, ours_out
        self._left = b""
        self._last = 0
        self._session = ""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """A command of the DevTools protocol, and its result."""
        self._last += 1
        message = {"id": self._last, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + 60
        while True:
            while b"\0" in self._left:
                text, _, self._left = self._left.partition(b"\0")
                answer = json.loads(text)
                if answer.get("id") == self._last:
                    if "error" in answer:
                        raise Failed(f"{method}: {answer['error']}")
                    return answer["result"]
            if not readable([self._in], end - time.monotonic()):
                raise Failed(f"{method}: no answer of Chromium")
            read = os.read(self._in, 1 << 20)
            if not read:
                raise Failed(f"{method}: Chromium has ended ({self._process.poll()})")
            self._left += read

    def screen(self, width: int, height: int, phone: bool = False, dark: bool = False) -> None:
        """What the page is shown on."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def open(self, address: str) -> None:
        self.call("Page.navigate", url=address)

    def value(self, expression: str) -> Any:
        """Of JavaScript; a promise is waited for."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in result:
            raise Failed(f"{expression}: {result['exceptionDetails']}")
        return result["result"].get("value")

    def picture(self, path: Path) -> None:
        """The whole page as PNG."""
        path.parent.mkdir(parents=True, exist_ok=True)
        data = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)["data"]
        path.write_bytes(base64.b64decode(data))

    def close(self) -> None:
        os.close(self._out)
        os.close(self._in)
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
