"""Names are looked up off the reactor's thread, some at a time, and nobody waits for the last ones."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from typing import Any

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet.defer import DeferredList

from prol2tp.net import names

SLOW = """
import socket, time
from twisted.internet import reactor
from prol2tp.net.names import addresses_of
asked = []
socket.getaddrinfo = lambda *arguments, **words: asked.append(1) or time.sleep(600)
addresses_of("nobody.example.net")
def look():
    reactor.stop() if asked else reactor.callLater(0.01, look)
reactor.callWhenRunning(look)
reactor.run()
print("ended")
"""


@ensureDeferred
async def test_an_address_is_itself_and_a_name_has_its_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await names.addresses_of("192.0.2.1") == ["192.0.2.1"]
    assert await names.addresses_of("2001:db8::1") == ["2001:db8::1"]
    assert "127.0.0.1" in await names.addresses_of("localhost")

    def nobody(*arguments: Any, **words: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", nobody)
    with pytest.raises(OSError, match="not known"):
        await names.addresses_of("nobody.example.net")


@ensureDeferred
async def test_some_names_are_looked_up_at_a_time_and_all_are_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    going, most, lock = [0], [0], threading.Lock()
    let = threading.Semaphore(0)

    def answer(host: str, *arguments: Any, **words: Any) -> list[Any]:
        with lock:
            going[0] += 1
            most[0] = max(most[0], going[0])
            if going[0] == names.MOST:
                let.release(100)
        let.acquire()
        with lock:
            going[0] -= 1
        return [(socket.AF_INET, 0, 0, "", (f"192.0.2.{host[1:]}", 0))] * 2

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    found = await DeferredList([names.addresses_of(f"n{number}") for number in range(30)])
    assert [result for _, result in found] == [[f"192.0.2.{number}"] for number in range(30)]
    assert most[0] == names.MOST


def test_a_look_up_without_an_answer_does_not_keep_the_process() -> None:
    done = subprocess.run([sys.executable, "-c", SLOW], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "ended\n"), done.stderr
