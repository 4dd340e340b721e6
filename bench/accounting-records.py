"""What an accounting record costs propppd, from the link's timer to the server's acknowledgement on the disk.

    python bench/accounting-records.py [DIRECTORY]

Links are stand-ins, everything behind them is real: records, queue, sender, client, sockets; the server is a process of
its own that answers at once. For each load: Interim-Updates a second and CPU of the process for one, with the queue's
thread. The directory must be on the disk in question, not a tmpfs.
"""

from __future__ import annotations

import hashlib
import os
import socket
import sys
import tempfile
import time
from types import SimpleNamespace
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import inlineCallbacks, succeed
from twisted.internet.task import deferLater, react

from prol2tp.config.propppd import load
from prol2tp.config.radius import Radius
from prol2tp.daemons.logs import Level, Log
from prol2tp.daemons.propppd.accounting_service import AccountingService
from prol2tp.daemons.propppd.authorization import Authorization
from prol2tp.daemons.propppd.carriers import L2TPSession
from prol2tp.daemons.propppd.followers import Followers
from prol2tp.daemons.propppd.radius import RadiusUsers
from prol2tp.net.radius import RadiusPort
from prol2tp.ppp.outputs import NetworkUp
from prol2tp.radius.client import RadiusClient
from prol2tp.radius.servers import ServerSettings

SECRET = b"testing123"
LOADS = ((1_000, 5.0), (10_000, 12.0), (20_000, 13.0))
"""Links, seconds between the Interim-Updates of each."""
ROUNDS = 2


def serve(sock: socket.socket) -> None:
    """A RADIUS server that acknowledges everything."""
    while True:
        data, peer = sock.recvfrom(4096)
        head = b"\x05" + data[1:2] + b"\x00\x14"
        sock.sendto(head + hashlib.md5(head + data[4:20] + SECRET).digest(), peer)


def stand_in(links: Any, number: int) -> Any:
    carrier = L2TPSession(
        f"1/{number}", number, "subscribers", tunnel_id=1, session_id=number, lns=True, peer_address="192.0.2.9",
        local_address="192.0.2.1", calling_number="0123456789", peer_host_name="lac", host_name="lns",
        call_serial_number=number)
    network = NetworkUp("ip", "10.0.0.1", f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}")
    return SimpleNamespace(
        links=links, number=number, serial=number, carrier=carrier, port=number,
        user=f"user{number}@example.com", ipv6=None,
        authorization=Authorization(source="RADIUS", classes=(b"0123456789abcdef",)), up=True, ended=False,
        profile=links.profile, seconds_up=0.0, up_since=reactor.seconds(), accounting=None, name=f"session-{number}",
        core=SimpleNamespace(ipcp=True), cause="", totals=(),
        interface=SimpleNamespace(network=lambda protocol: network if protocol == "ip" else None))


@inlineCallbacks
def measure(directory: str, port: int, count: int, interval: float) -> Any:
    client = RadiusClient([ServerSettings("r", "127.0.0.1", SECRET, 0, port)], os.urandom, reactor.seconds())
    radius_port = RadiusPort(reactor, client)
    users = RadiusUsers(radius_port, time.time)
    profile = load('profile "subscribers" { auth true }', "bench").profiles["subscribers"]
    counters = (100, 200, 0, 300, 400, 0, 0, 0, 1.0)
    dataplane = SimpleNamespace(
        instance="bench", counters=lambda ports: succeed(dict.fromkeys(ports, counters)))
    links = SimpleNamespace(clock=reactor, wall=time.time, followers=Followers(), dataplane=dataplane,
                            profile=profile, by_number={}, for_all=lambda links, action: None)
    service = AccountingService(reactor, links, users, radius_port, f"{directory}/{count}.sqlite",
                                Log("bench", Level.CRITICAL), lambda *words, **data: None)
    radius = Radius("bench", interim_interval=interval)
    radius.servers["r"] = SimpleNamespace(acct_port=port, realms=())  # type: ignore[assignment]
    yield service.configure(radius)
    began, cpu = time.perf_counter(), time.process_time()
    for number in range(1, count + 1):
        link = stand_in(links, number)
        service.accounting.link_admitted(link)
        service.accounting.link_up(link)
        if number % 50 == 0:
            yield deferLater(reactor, 0)
    while service.queue.status.depth or service.queue.status.appended < count:
        yield deferLater(reactor, 0.01)
    wall, cpu = time.perf_counter() - began, time.process_time() - cpu
    print(f"{count:6} links: Starts {count / wall:5.0f}/s, {cpu / count * 1e6:4.0f} us CPU; ", end="", flush=True)
    yield deferLater(reactor, interval)
    before, cpu, began = client.counters.accounting_updates, time.process_time(), time.perf_counter()
    yield deferLater(reactor, ROUNDS * interval)
    sent = client.counters.accounting_updates - before
    wall, cpu = time.perf_counter() - began, time.process_time() - cpu
    print(f"updates {sent / wall:5.0f}/s (of {count / interval / 0.95:.0f}), {cpu / max(sent, 1) * 1e6:4.0f} us CPU, "
          f"{service.queue.status.depth} wait")
    service.accounting.stop()
    yield service.stop()
    radius_port.stop()


@inlineCallbacks
def main(_: Any, parent: str = "/var/tmp") -> Any:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    child = os.fork()
    if not child:
        try:
            serve(sock)
        finally:
            os._exit(0)
    port = sock.getsockname()[1]
    sock.close()
    try:
        with tempfile.TemporaryDirectory(dir=parent) as directory:
            for load_ in LOADS:
                yield measure(directory, port, *load_)
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)


if __name__ == "__main__":
    react(main, sys.argv[1:])
