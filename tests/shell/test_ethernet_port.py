"""The Ethernet port on a real cable: what the kernel does to VLAN tags, and how discovery gets through."""

from __future__ import annotations

import secrets
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from prol2tp.net.ethernet import EthernetPort
from prol2tp.pppoe.client import Host
from prol2tp.pppoe.discovery import AccessConcentrator
from prol2tp.pppoe.outputs import SessionOpened
from prol2tp.pppoe.packets import BROADCAST, PADI, SESSION, VlanTag, read, write, write_session
from prol2tp.pppoe.settings import ConcentratorSettings, HostSettings, InterfaceSettings
from tests.netns import Namespace, World
from tests.pppoe_station import Loop, Station

pytestmark = pytest.mark.root

Q, AD = 0x8100, 0x88A8
SHAPES: list[tuple[VlanTag, ...]] = [
    (), (VlanTag(Q, 7),), (VlanTag(AD, 7),), (VlanTag(Q, 100), VlanTag(Q, 7)), (VlanTag(AD, 100), VlanTag(Q, 7)),
    (VlanTag(Q, 0x6000),), (VlanTag(0x9100, 5), VlanTag(0x9100, 7)),
]  # fmt: skip


def named(vlans: tuple[VlanTag, ...]) -> str:
    return "-".join(f"{tag.tpid:x}.{tag.vid}" for tag in vlans) or "plain"


@pytest.fixture
def cable() -> Iterator[tuple[Namespace, Namespace, Loop]]:
    loop = Loop()
    with World() as world:
        ac, host = world.namespace("ac"), world.namespace("host")
        world.cable(ac, host, [], [], mtu=1508)
        yield ac, host, loop
        loop.close()


def test_frames_arrive_with_the_tags_that_they_were_sent_with(cable: tuple[Namespace, Namespace, Loop]) -> None:
    ac, host, loop = cable
    frames: list[bytes] = []
    with ac.inside():
        port = EthernetPort(loop, "eth0", lambda frame, interface: frames.append(frame))  # type: ignore[arg-type]
    with host.inside():
        sender = EthernetPort(loop, "eth0", lambda frame, interface: None)  # type: ignore[arg-type]
    for vlans in SHAPES:
        sender.send(write(PADI(BROADCAST, sender.address, vlans, service_names=(b"",))))
    sender.send(write_session(port.address, sender.address, (), 5, b"\xc0\x21"))
    sender.send(write_session(port.address, sender.address, (VlanTag(Q, 1), VlanTag(Q, 2)), 5, b"\xc0\x21"))
    sender.send(write(PADI(BROADCAST, sender.address, service_names=(b"last",))))
    loop.pump(lambda: len(frames) == len(SHAPES) + 1, 5, "all frames")
    got = {read(frame).vlans for frame in frames}
    assert got == set(SHAPES)
    assert (port.mtu, port.received, port.receive_errors, sender.send_errors) == (1508, len(SHAPES) + 1, 0, 0)
    port.close()
    sender.close()


def test_a_port_without_tags_is_not_fooled_by_a_tag_that_the_kernel_drops(
    cable: tuple[Namespace, Namespace, Loop]
) -> None:
    ac, host, loop = cable
    frames: list[bytes] = []
    with ac.inside():
        port = EthernetPort(loop, "eth0", lambda frame, _: frames.append(frame), tagged=False)  # type: ignore[arg-type]
    with host.inside():
        sender = EthernetPort(loop, "eth0", lambda frame, interface: None)  # type: ignore[arg-type]
    for vlans in SHAPES:
        sender.send(write(PADI(BROADCAST, sender.address, vlans, service_names=(named(vlans).encode(),))))
    sender.send(write(PADI(BROADCAST, sender.address, service_names=(b"last",))))
    loop.pump(lambda: frames and b"last" in frames[-1], 5, "the last frame")
    names = {read(frame).service_names[0] for frame in frames}
    assert names == {b"plain", b"8100.0", b"last"}
    port.close()
    sender.close()


def test_a_port_for_session_frames_gets_those_alone(cable: tuple[Namespace, Namespace, Loop]) -> None:
    ac, host, loop = cable
    frames: list[bytes] = []
    with ac.inside():
        port = EthernetPort(loop, "eth0", lambda frame, _: frames.append(frame), ethertype=SESSION)  # type: ignore[arg-type]
    with host.inside():
        sender = EthernetPort(loop, "eth0", lambda frame, interface: None)  # type: ignore[arg-type]
    sender.send(write(PADI(BROADCAST, sender.address, service_names=(b"",))))
    wanted = [write_session(port.address, sender.address, vlans, 5, b"\xc0\x21" + bytes(1498)) for vlans in SHAPES[:2]]
    for frame in wanted:
        sender.send(frame)
    loop.pump(lambda: len(frames) == 2, 5, "session frames")
    assert frames == wanted
    port.close()
    sender.close()


@pytest.mark.parametrize("vlans", SHAPES[:5], ids=named)
def test_both_cores_meet_in_every_kind_of_vlan(
    cable: tuple[Namespace, Namespace, Loop], vlans: tuple[VlanTag, ...]
) -> None:
    ac, host, loop = cable
    server, client = Station(loop, ac, "eth0"), Station(loop, host, "eth0")
    now = time.monotonic()
    core = AccessConcentrator(ConcentratorSettings("ac"), secrets.token_bytes)
    core.configure_interface("eth0", InterfaceSettings(server.port.address, vlans=None, mtu=server.port.mtu), now)
    server.core = core
    ours = Host("eth0", HostSettings(client.port.address, vlans=vlans, mtu=client.port.mtu), secrets.token_bytes, now)
    client.core = ours
    ours.open(now)
    loop.pump(lambda: client.of(SessionOpened), 5, "a session")
    (opened,), (theirs,) = server.of(SessionOpened), client.of(SessionOpened)
    assert opened.vlans == vlans and theirs.max_payload == opened.max_payload == 1500
    assert theirs.key.session_id == opened.key.session_id


def test_an_interface_that_goes_down_is_told_and_works_again_when_up(
    cable: tuple[Namespace, Namespace, Loop]
) -> None:
    ac, host, loop = cable
    frames: list[bytes] = []
    lost: list[int] = []
    with ac.inside():
        port = EthernetPort(
            loop, "eth0", lambda frame, _: frames.append(frame), lost=lambda: lost.append(1)  # type: ignore[arg-type]
        )
    with host.inside():
        sender = EthernetPort(loop, "eth0", lambda frame, interface: None)  # type: ignore[arg-type]
    ac.run("ip", "link", "set", "eth0", "down")
    loop.pump(lambda: lost, 5, "the end of the link")
    port.send(bytes(60))
    assert port.send_errors == 1
    ac.run("ip", "link", "set", "eth0", "up")
    carrier = Path("/sys/class/net/eth0/carrier")
    loop.pump(lambda: ac.run("cat", carrier, check=False).stdout.strip() == "1", 5, "a carrier")
    frame = write(PADI(BROADCAST, sender.address, service_names=(b"",)))
    sender.send(frame)
    loop.pump(lambda: frames, 5, "a frame")
    assert frames == [frame]
    port.close()
    sender.close()


def test_what_the_kernel_drops_while_nobody_reads_is_counted(cable: tuple[Namespace, Namespace, Loop]) -> None:
    ac, host, loop = cable
    frames: list[bytes] = []
    with ac.inside():
        port = EthernetPort(loop, "eth0", lambda frame, _: frames.append(frame))  # type: ignore[arg-type]
    with host.inside():
        sender = EthernetPort(loop, "eth0", lambda frame, interface: None)  # type: ignore[arg-type]
    # the smallest that the kernel gives
    port._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)  # type: ignore[attr-defined]
    assert port.dropped() == 0
    padi = write(PADI(BROADCAST, sender.address, service_names=(b"",)))
    for _ in range(100):
        sender.send(padi)
    dropped = port.dropped()
    assert 0 < dropped < 100
    loop.pump(lambda: len(frames) == 100 - dropped, 5, "those that were not dropped")
    assert port.dropped() == dropped
    port.close()
    sender.close()
