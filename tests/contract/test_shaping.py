"""What `IShaping` promises, held by the one in memory and by the kernel's (in a namespace of its own)."""

from __future__ import annotations

import fcntl
import json
import os
import re
import socket
import struct
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.task import deferLater
from zope.interface.verify import verifyObject

from prol2tp.dataplane.shaping import IShaping, LinuxShaping, MemoryShaping
from prol2tp.net import tc
from prol2tp.net.netlink import NetlinkError, NetlinkSocket
from tests.contract.test_network import inside

GROUP = 0x50001234
UNITS = {"": 1, "K": 1000, "M": 1_000_000, "G": 1_000_000_000}
NAMES = ("ppp-rate0", "ppp-rate1")


class Memory:
    def __init__(self) -> None:
        self.shaping: Any = MemoryShaping()
        self.index = dict(zip(NAMES, (11, 12), strict=True))

    def rates(self, way: str, name: str) -> list[int]:
        rate = self.shaping.limits.get((way, self.index[name]))
        return [] if rate is None else [rate]

    def remove(self, name: str) -> None: ...

    def close(self) -> None: ...


class Kernel:
    """A namespace with two TUN interfaces."""

    def __init__(self) -> None:
        self.namespace = f"p2t{os.getpid()}-rate"
        subprocess.run(["ip", "netns", "add", self.namespace], check=True)
        for name in NAMES:
            self.ip("tuntap", "add", name, "mode", "tun")
            self.ip("link", "set", name, "up")
        self.index = {name: self.links()[name]["ifindex"] for name in NAMES}
        self.shaping: Any = self.make()

    def make(self) -> LinuxShaping:
        return LinuxShaping(reactor, GROUP, self.open, self.blocking)

    def open(self, reactor: Any) -> NetlinkSocket:
        with inside(self.namespace):
            return NetlinkSocket(reactor)

    def blocking(self) -> socket.socket:
        with inside(self.namespace):
            made = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        made.settimeout(30)
        return made

    def ip(self, *words: str) -> str:
        return subprocess.run(["ip", "-n", self.namespace, *words], check=True, capture_output=True, text=True).stdout

    def tc(self, *words: str) -> str:
        done = subprocess.run(["tc", "-n", self.namespace, *words], check=True, capture_output=True, text=True)
        return done.stdout

    def links(self) -> dict[str, Any]:
        return {row["ifname"]: row for row in json.loads(self.ip("-d", "-j", "link", "show"))}

    def ifbs(self) -> set[str]:
        return {name for name, row in self.links().items() if row.get("linkinfo", {}).get("info_kind") == "ifb"}

    def classes(self, device: str) -> list[tuple[int, int]]:
        """Rate, and packets sent, of each class."""
        found = []
        for block in self.tc("-s", "class", "show", "dev", device).split("\nclass ")[:8]:
            match = re.search(r"rate (\d+)(|K|M|G)bit ceil (\S+) burst.*\n Sent \d+ bytes (\d+) pkt", block)
            if match is not None:
                assert match[3] == f"{match[1]}{match[2]}bit"
                found.append((int(match[1]) * UNITS[match[2]], int(match[4])))
        return found

    def queues(self, device: str) -> dict[str, Any]:
        return {row["kind"]: row for row in json.loads(self.tc("-j", "-s", "qdisc", "show", "dev", device))}

    def rates(self, way: str, name: str) -> list[int]:
        device = name
        if way == "ingress":
            found = [one for one in self.ifbs() if one == f"pifb{self.index[name]}"]
            if not found:
                assert "ingress" not in self.queues(name)
                return []
            (device,) = found
            shown = self.tc("filter", "show", "dev", name, "parent", "ffff:")
            assert f"mirred (Egress Redirect to device {device})" in shown
            link = self.links()[device]
            assert "UP" in link["flags"] and link["inet6_addr_gen_mode"] == "none"
        return [rate for rate, _ in self.classes(device)]

    def remove(self, name: str) -> None:
        self.ip("link", "del", name)

    def close(self) -> None:
        subprocess.run(["ip", "netns", "del", self.namespace], check=True)


@pytest.fixture(params=["memory", pytest.param("kernel", marks=pytest.mark.root)])
def rig(request: pytest.FixtureRequest) -> Iterator[Memory | Kernel]:
    made = Memory() if request.param == "memory" else Kernel()
    yield made
    pytest_twisted.blockon(made.shaping.stop())
    made.close()


@pytest.fixture
def kernel() -> Iterator[Kernel]:
    made = Kernel()
    yield made
    pytest_twisted.blockon(made.shaping.stop())
    made.close()


def test_it_is_what_the_interface_says(rig: Any) -> None:
    verifyObject(IShaping, rig.shaping)


@pytest_twisted.ensureDeferred
async def test_both_ways_are_limited_changed_and_freed(rig: Any) -> None:
    one, two = NAMES
    await rig.shaping.start()
    abilities = await rig.shaping.probe()
    assert abilities.egress and abilities.ingress, str(abilities)
    await rig.shaping.egress(rig.index[one], 8_000_000)
    await rig.shaping.ingress(rig.index[one], 2_000_000)
    assert (rig.rates("egress", one), rig.rates("ingress", one)) == ([8_000_000], [2_000_000])
    assert (rig.rates("egress", two), rig.rates("ingress", two)) == ([], [])
    await rig.shaping.egress(rig.index[one], 100_000_000)
    await rig.shaping.ingress(rig.index[one], 64_000)
    assert (rig.rates("egress", one), rig.rates("ingress", one)) == ([100_000_000], [64_000])
    await rig.shaping.egress(rig.index[one], 0)
    await rig.shaping.ingress(rig.index[one], 0)
    if isinstance(rig, Kernel):
        await settled(rig.shaping)
    assert (rig.rates("egress", one), rig.rates("ingress", one)) == ([], [])
    await rig.shaping.egress(rig.index[one], 0)


@pytest.mark.parametrize("rate", [1, 1000, 64_000, 10_000_000_000, 100_000_000_000])
@pytest_twisted.ensureDeferred
async def test_the_slowest_and_the_fastest_rates_are_taken(rig: Any, rate: int) -> None:
    await rig.shaping.start()
    await rig.shaping.probe()
    index = rig.index[NAMES[0]]
    await rig.shaping.egress(index, rate)
    await rig.shaping.ingress(index, rate)
    wanted = rate if isinstance(rig, Memory) else max(rate, tc.SLOWEST)
    assert (rig.rates("egress", NAMES[0]), rig.rates("ingress", NAMES[0])) == ([wanted], [wanted])


@pytest_twisted.ensureDeferred
async def test_nothing_is_left_of_an_interface_that_has_gone(rig: Any) -> None:
    await rig.shaping.start()
    await rig.shaping.probe()
    for name in NAMES:
        await rig.shaping.egress(rig.index[name], 1_000_000)
        await rig.shaping.ingress(rig.index[name], 1_000_000)
    rig.remove(NAMES[0])
    rig.shaping.removed(rig.index[NAMES[0]])
    if isinstance(rig, Memory):
        assert rig.rates("egress", NAMES[0]) == rig.rates("ingress", NAMES[0]) == []
        assert rig.rates("egress", NAMES[1]) == rig.rates("ingress", NAMES[1]) == [1_000_000]
        return
    await settled(rig.shaping)
    assert rig.ifbs() == {f"pifb{rig.index[NAMES[1]]}"}
    await rig.shaping.stop()
    assert rig.ifbs() == set()


async def settled(shaping: Any) -> None:
    await deferLater(reactor, 0.05, lambda: None)  # type: ignore[arg-type]
    while shaping._removing is not None:
        await deferLater(reactor, 0.01, lambda: None)  # type: ignore[arg-type]


@pytest.mark.root
@pytest_twisted.ensureDeferred
async def test_what_a_predecessor_left_is_removed_at_the_start(kernel: Kernel) -> None:
    await kernel.shaping.start()
    await kernel.shaping.probe()
    await kernel.shaping.ingress(kernel.index[NAMES[0]], 1_000_000)
    kernel.ip("link", "add", "other", "type", "ifb")
    assert f"pifb{kernel.index[NAMES[0]]}" in kernel.ifbs()
    kernel.shaping._netlink.close()
    kernel.shaping = kernel.make()
    await kernel.shaping.start()
    assert kernel.ifbs() == {"other"}
    await kernel.shaping.ingress(kernel.index[NAMES[1]], 1_000_000)
    assert kernel.rates("ingress", NAMES[1]) == [1_000_000]


@pytest.mark.root
@pytest_twisted.ensureDeferred
async def test_an_interface_with_a_discipline_of_somebody_else_keeps_it(kernel: Kernel) -> None:
    await kernel.shaping.start()
    await kernel.shaping.probe()
    kernel.tc("qdisc", "add", "dev", NAMES[0], "root", "handle", "9:", "tbf", "rate", "1mbit", "burst", "10k",
              "limit", "10k")
    kernel.tc("qdisc", "add", "dev", NAMES[0], "ingress")
    with pytest.raises(NetlinkError):
        await kernel.shaping.egress(kernel.index[NAMES[0]], 5_000_000)
    with pytest.raises(NetlinkError):
        await kernel.shaping.ingress(kernel.index[NAMES[0]], 5_000_000)
    assert {"tbf", "ingress"} <= set(kernel.queues(NAMES[0]))
    kernel.tc("qdisc", "replace", "dev", NAMES[0], "root", "handle", "1:", "htb")
    with pytest.raises(NetlinkError):
        await kernel.shaping.egress(kernel.index[NAMES[0]], 5_000_000)
    assert "htb" in kernel.queues(NAMES[0]) and kernel.classes(NAMES[0]) == []


@pytest.mark.root
@pytest_twisted.ensureDeferred
async def test_a_burst_above_the_rate_waits_and_then_is_dropped(kernel: Kernel) -> None:
    """Both ways: into the interface, and out of it as the user's packets come in."""
    rate, size = 1_000_000, 1000
    await kernel.shaping.start()
    await kernel.shaping.probe()
    with inside(kernel.namespace):
        device = os.open("/dev/net/tun", os.O_RDWR)
        fcntl.ioctl(device, 0x400454CA, struct.pack("16sH", NAMES[0].encode(), 0x1001))
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        kernel.ip("addr", "add", "192.0.2.1", "peer", "192.0.2.2", "dev", NAMES[0])
        receiver.bind(("192.0.2.1", 9))
        index = kernel.index[NAMES[0]]
        await kernel.shaping.egress(index, rate)
        await kernel.shaping.ingress(index, rate)
        payload = bytes(size - 28)
        for _ in range(200):
            sender.sendto(payload, ("192.0.2.2", 9))
        packet = udp_packet("192.0.2.2", "192.0.2.1", 9, payload)
        for _ in range(200):
            os.write(device, packet)
        for name in (NAMES[0], f"pifb{index}"):
            queue = kernel.queues(name)["bfifo" if "bfifo" in kernel.queues(name) else "fq_codel"]
            assert queue["drops"] > 100, name
            ((_, sent),) = kernel.classes(name)
            # the burst at once, and what has left the queue since
            assert 10 <= sent <= 200 - queue["drops"], name
        # a change keeps what waits and what was counted
        before = kernel.classes(NAMES[0])[0][1]
        await kernel.shaping.egress(index, 2 * rate)
        assert kernel.classes(NAMES[0])[0][1] >= before
        assert kernel.rates("egress", NAMES[0]) == [2 * rate]
    finally:
        os.close(device)
        sender.close()
        receiver.close()


def udp_packet(source: str, target: str, port: int, payload: bytes) -> bytes:
    ends = socket.inet_aton(source) + socket.inet_aton(target)
    head = struct.pack("!BBHHHBBH", 0x45, 0, 28 + len(payload), 0, 0, 64, 17, 0) + ends
    total = sum(struct.unpack("!10H", head))
    total = (total & 0xFFFF) + (total >> 16)
    head = head[:10] + struct.pack("!H", ~(total + (total >> 16)) & 0xFFFF) + head[12:]
    return head + struct.pack("!HHHH", 4000, port, 8 + len(payload), 0) + payload


@pytest.mark.root
@pytest_twisted.ensureDeferred
async def test_a_subscriber_costs_the_same_few_messages_however_many_there_are(kernel: Kernel) -> None:
    await kernel.shaping.start()
    await kernel.shaping.probe()
    await settled(kernel.shaping)
    counts = []
    for number in range(5):
        kernel.ip("tuntap", "add", f"many{number}", "mode", "tun")
        index = kernel.links()[f"many{number}"]["ifindex"]
        before = kernel.shaping.requests
        await kernel.shaping.egress(index, 1_000_000)
        await kernel.shaping.ingress(index, 1_000_000)
        counts.append(kernel.shaping.requests - before)
    assert counts == [11] * 5
    before = kernel.shaping.requests
    await kernel.shaping.egress(index, 2_000_000)
    assert kernel.shaping.requests - before == 2


@pytest.mark.root
@pytest_twisted.ensureDeferred
async def test_a_kernel_without_ifb_can_still_shape_what_goes_out(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = tc.device
    monkeypatch.setattr(tc, "device", lambda kind, *rest: device("nosuchkind" if kind == "ifb" else kind, *rest))
    await kernel.shaping.start()
    found = await kernel.shaping.probe()
    assert (found.egress, found.ingress) == (True, False)
    assert "to users by htb, queues" in str(found) and "no ifb device" in str(found)
    index = kernel.index[NAMES[0]]
    await kernel.shaping.egress(index, 1_000_000)
    assert kernel.rates("egress", NAMES[0]) == [1_000_000]
    assert await kernel.shaping.probe() is found
    with pytest.raises(NetlinkError):
        await kernel.shaping.ingress(index, 1_000_000)
    await settled(kernel.shaping)
    monkeypatch.undo()
    assert (await kernel.shaping.probe(again=True)).ingress
    await settled(kernel.shaping)
    assert not any(name.startswith("pifb") for name in kernel.links())
