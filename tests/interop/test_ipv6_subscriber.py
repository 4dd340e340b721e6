"""Real clients on a TUN interface beside our cores: the kernel's address configuration, and Debian's dhcpcd."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from fcntl import ioctl
from struct import pack

import pytest

from prol2tp.ipv6.leases import Lease
from prol2tp.ipv6.outputs import AddressLeased, AddressReleased, PrefixDelegated, PrefixReleased, SendPacket
from prol2tp.ipv6.ra import Advertiser
from prol2tp.ipv6.server import DHCPv6Server
from tests.ipv6_ends import ADDRESS, ADVERTISED, OURS, PREFIX, SETTINGS, THEIRS
from tests.netns import Failed, Namespace, World
from tests.polling import readable

TUNSETIFF = 0x400454CA
IFF_TUN_NO_PI = 0x1001


class Ours:
    """Our end of the link: both cores on the descriptor of the client's TUN interface, in real time."""

    def __init__(self, client: Namespace) -> None:
        with client.inside():
            self.descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
            ioctl(self.descriptor, TUNSETIFF, pack("16sH22x", b"ppp0", IFF_TUN_NO_PI))
        now = time.monotonic()
        self.advertiser = Advertiser(ADVERTISED, OURS, os.urandom)
        self.server = DHCPv6Server(SETTINGS, Lease((ADDRESS,), (PREFIX,), 60, 120, t1=3), OURS, now)
        self.said: list[object] = []

    def close(self) -> None:
        os.close(self.descriptor)

    def drain(self) -> None:
        for output in (*self.advertiser.outputs(), *self.server.outputs()):
            if isinstance(output, SendPacket):
                os.write(self.descriptor, output.packet)
            else:
                self.said.append(output)

    def run(self, done: Callable[[], bool], what: str, seconds: float = 20) -> None:
        """Serve until `done`, which is asked a few times a second."""
        end = time.monotonic() + seconds
        asked = 0.0
        while (now := time.monotonic()) < end:
            if readable([self.descriptor], 0.05):
                data = os.read(self.descriptor, 2000)
                if not self.advertiser.receive(data, now):
                    self.server.receive(data, now)
            for core in (self.advertiser, self.server):
                if (deadline := core.deadline()) is not None and deadline <= now:
                    core.timeout(now)
            self.drain()
            if now - asked > 0.3:
                asked = now
                if done():
                    return
        raise Failed(f"not within {seconds:g} s: {what}; {self.said} {self.server.counters}")


@pytest.fixture
def world() -> Iterator[World]:
    with World() as world:
        yield world


@pytest.fixture
def link(world: World) -> Iterator[tuple[Namespace, Ours]]:
    """A client whose kernel leaves link-local addresses to us, as PPP does."""
    client = world.namespace("client")
    ours = Ours(client)
    client.run("ip", "link", "set", "ppp0", "addrgenmode", "none", "up")
    client.run("ip", "addr", "add", THEIRS, "peer", OURS, "dev", "ppp0", "nodad")
    yield client, ours
    ours.close()


@pytest.mark.root
def test_the_kernel_takes_address_route_and_mtu_of_our_advertisement_and_drops_the_router_at_the_end(link) -> None:
    client, ours = link
    client.run("sysctl", "-qw", "net.ipv6.conf.ppp0.accept_ra=2")
    client.run("ip", "link", "set", "ppp0", "addrgenmode", "random")
    ours.advertiser.open(time.monotonic())

    def shown(*words: str) -> str:
        return client.run("ip", "-6", *words).stdout

    ours.run(lambda: "2001:db8:1:2:" in shown("addr", "show", "dev", "ppp0"), "an address of the prefix")
    route = shown("route", "show", "default")
    assert f"via {OURS} dev ppp0" in route and "mtu 1460" in route
    assert "2001:db8:1:2::/64" not in shown("route", "show", "proto", "ra"), "the prefix is not on-link"
    ours.advertiser.close(time.monotonic())
    ours.run(lambda: shown("route", "show", "default") == "", "no default router any more")


@pytest.mark.root
@pytest.mark.interop("dhcpcd-base")
def test_dhcpcd_gets_an_address_and_a_prefix_renews_them_and_gives_them_back(world: World, link) -> None:
    client, ours = link
    client.run("ip", "link", "add", "lan0", "type", "veth", "peer", "name", "lan1")
    client.run("ip", "link", "set", "lan1", "up")
    config = world.file(
        "dhcpcd.conf",
        "ipv6only\nnoipv6rs\nnoipv4ll\nallowinterfaces ppp0 lan0\npersistent\n"
        "option domain_name_servers, domain_search\n"
        "interface ppp0\nipv6rs\nia_na 1\nia_pd 2 lan0/1/64\n",
    )
    state, run = world.path("state", "x").parent, world.path("run", "x").parent
    (run / "dhcpcd").mkdir()
    mounts = {state: "/var/lib/dhcpcd", run: "/run"}
    settings = type(ADVERTISED)(managed=True, other=True)
    ours.advertiser.update(settings, 0.0)
    dhcpcd = client.spawn("dhcpcd", "-B", "-d", "-c", "/bin/true", "-f", config, "ppp0", mounts=mounts)
    ours.advertiser.open(time.monotonic())

    def addresses(device: str) -> str:
        return client.run("ip", "-6", "addr", "show", "dev", device).stdout

    try:
        ours.run(lambda: ADDRESS in addresses("ppp0"), "the address of the lease")
        ours.run(lambda: "2001:db8:100:1:" in addresses("lan0"), "an address of the prefix on the LAN")
    except Failed as failed:
        raise Failed(f"{failed}\n{world.report()}") from None
    assert set(map(type, ours.said)) == {AddressLeased, PrefixDelegated}
    assert PrefixDelegated(PREFIX) in ours.said
    bound_until = ours.server.deadline()
    ours.run(lambda: ours.server.deadline() != bound_until, "a renewal at T1")
    assert len(ours.said) == 2
    asked: list[None] = []

    def released() -> bool:
        # dhcpcd 9 loses the signal now and then when it is busy
        if len(asked) % 5 == 0 and dhcpcd.running():
            dhcpcd.popen.send_signal(signal.SIGALRM)
        asked.append(None)
        return not ours.server.leases.bindings

    ours.run(released, "a release")
    assert AddressReleased(ADDRESS) in ours.said and PrefixReleased(PREFIX) in ours.said
    assert ours.server.counters.bad == 0
