"""What the kernel's data path does in its own way, on a real kernel; the contract is in `tests/contract`."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from prol2tp.dataplane import l2tpv2
from prol2tp.dataplane.interface import (
    IN_USE,
    SYSTEM,
    UNSUPPORTED,
    Netif,
    NetifSpec,
    PPPoESpec,
    SessionSpec,
    TunnelSpec,
)
from prol2tp.dataplane.linux.channel import Channel
from prol2tp.net.ethernet import System
from prol2tp.pppoe.packets import SESSION, write_session
from tests.contract.dataplane_rig import LCP_ECHO, RIGS, ControlEnd, counter, features, pause, until
from tests.contract.dataplane_rig3 import OURS, RIGS3
from tests.contract.test_dataplane import (
    DOWN,
    OF_THE_INTERFACE,
    PUNTED,
    UP,
    ipv4,
    over,
    refused,
    syn,
    v4_frame,
    v6_frame,
)
from tests.contract.test_dataplane3 import FRAME

pytestmark = [pytest.mark.root, pytest.mark.kernel("l2tp", "l2tp_eth", "l2tp_ppp", "ppp", "pppoe", "ppp_mppe")]
on, on3 = over(RIGS), over(RIGS3)
PEER = bytes.fromhex("0200000000fe")
KEY, OTHER_KEY = bytes(range(16)), bytes(range(16, 32))
MPPE_128 = b"\x01\0\0\x40"
ROOT = Path(__file__).resolve().parents[2]


def kernel_sessions(rig: Any) -> int:
    """PPP sessions that the kernel has."""
    return rig.host.run("ip", "l2tp", "show", "session").stdout.count("Session ")


def test_the_guest_has_all_that_the_kernels_data_path_uses() -> None:
    found = features()
    assert found.reason == ""
    assert (found.ethernet, found.over_ip, found.pppoe, found.bridge, found.source_check) == (True,) * 5
    assert set(found.codecs) == {"deflate", "mppe"}


@on("kernel")
async def test_an_own_interface_is_the_kernels_and_a_shared_one_is_not(rig: Any) -> None:
    port, other = await rig.session(), await rig.session(1)
    netif = await rig.netif(port, name="mine")
    assert kernel_sessions(rig) == 1
    assert "ppp" in rig.host.run("ip", "-d", "link", "show", netif.name).stdout.partition("link/")[2][:4]
    await rig.netif(other, name="ours", mode="shared")
    assert kernel_sessions(rig) == 1
    await rig.plane.port_delete(port)
    assert kernel_sessions(rig) == 0


@on("kernel")
async def test_control_of_a_tunnel_that_the_kernel_has_reaches_the_daemon(rig: Any) -> None:
    await rig.netif(await rig.session())
    end = ControlEnd(rig.listener)
    message = bytes.fromhex("c802000c000b000000000000")
    rig.peer.sendto(message, rig.target())
    assert await end.receive() == (message, rig.peer_address())
    end.send(message, rig.peer_address(), rig.listener.address)
    assert (await rig.datagrams(1))[0][0] == message
    end.close()


@on("kernel-ipv6", "kernel-wildcard")
async def test_tunnels_over_ipv6_and_on_a_wildcard_address_carry_packets(rig: Any) -> None:
    netif = await rig.netif(await rig.session())
    assert kernel_sessions(rig) == 1
    rig.peer_send(v4_frame(UP))
    assert await rig.packets(netif, 1) == [UP]
    rig.inject(netif, DOWN)
    assert await rig.peer_frames(1) == [(0, -1, v4_frame(DOWN))]


@on("kernel")
async def test_a_second_tunnel_of_a_peer_works_beside_the_first(rig: Any) -> None:
    first = await rig.session()
    netif = await rig.netif(first, name="first")
    tunnel = await rig.plane.tunnel_add(rig.tunnel_spec(tunnel_id=12, peer_tunnel_id=23))
    port = await rig.plane.session_add(SessionSpec(tunnel, 150, 250))
    other = await rig.netif(port, name="second")
    rig.peer_send(v4_frame(UP))
    assert await rig.packets(netif, 1) == [UP]
    rig.peer.sendto(l2tpv2.plain(12, 150) + v4_frame(UP), rig.target())
    assert await rig.packets(other, 1) == [UP]
    rig.inject(other, DOWN)
    ((data, _),) = await rig.datagrams(1)
    assert data == l2tpv2.plain(23, 250) + v4_frame(DOWN)
    if not features().shared_address:
        await refused(rig.plane.session_add(SessionSpec(tunnel, 100, 251)), IN_USE)


@on("kernel")
async def test_a_peer_that_moves_is_followed(rig: Any) -> None:
    port = await rig.session()
    netif = await rig.netif(port)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as moved:
        moved.bind(("127.0.0.3", 4001))
        await rig.plane.tunnel_modify(rig.tunnel, ("127.0.0.3", 4001))
        rig.inject(netif, DOWN)
        moved.settimeout(5)
        assert moved.recv(2000) == l2tpv2.plain(22, 200) + v4_frame(DOWN)
        moved.sendto(l2tpv2.plain(11, 100) + v4_frame(UP), rig.target())
        assert await rig.packets(netif, 1) == [UP]


@on("kernel")
async def test_numbers_are_sent_and_late_packets_dropped(rig: Any) -> None:
    port = await rig.session(send_sequence=True, receive_sequence=True, lns=True)
    rig.plane.port_send(port, LCP_ECHO)
    assert await rig.peer_frames(1) == [(0, 0, LCP_ECHO)]
    netif = await rig.netif(port)
    rig.inject(netif, DOWN)
    assert await rig.peer_frames(1) == [(0, 1, v4_frame(DOWN))]
    packets = [ipv4("10.0.0.1", "192.0.2.1", bytes((number,))) for number in range(3)]
    for ns in (0, 1, 1, 0, 2):
        rig.peer_send(v4_frame(packets[ns]), ns=ns)
    assert await rig.packets(netif, 3) == packets
    row = await rig.row(port)
    # what the kernel calls them depends on its version
    assert counter(row, "rx_discards") + counter(row, "rx_errors") == 2
    await rig.plane.port_modify(port, send_sequence=False)
    rig.inject(netif, DOWN)
    assert await rig.peer_frames(1) == [(0, -1, v4_frame(DOWN))]


@on("kernel")
async def test_a_packet_that_is_lost_costs_at_most_the_next(rig: Any) -> None:
    port = await rig.session(receive_sequence=True, lns=True)
    netif = await rig.netif(port)
    packets = [ipv4("10.0.0.1", "192.0.2.1", bytes((number,))) for number in range(5)]
    for ns in (0, 2):
        rig.peer_send(v4_frame(packets[ns]), ns=ns)
    await pause(0.05)  # longer than the kernel waits for the packet that is missing
    for ns in (3, 4):
        rig.peer_send(v4_frame(packets[ns]), ns=ns)
    assert await rig.packets(netif, 3) == [packets[0], packets[3], packets[4]]


NUMBERED = {"pseudowire": "eth", "send_sublayer": True, "receive_sublayer": True}


@on3("kernel")
async def test_numbers_that_the_peer_alone_asks_for_are_not_the_kernels(rig: Any) -> None:
    netif = await rig.tap(await rig.session(send_sequence=True, **NUMBERED))
    assert kernel_sessions(rig) == 0
    for _ in range(2):
        rig.peer_send(FRAME)  # without a number; the kernel would end numbering for it
        assert await rig.packets(netif, 1) == [FRAME]
        rig.inject(netif, FRAME)
    assert [ns for _, ns, _ in await rig.peer_frames(2)] == [0, 1]


@on3("kernel")
async def test_who_wants_numbers_from_a_kernel_sends_some(rig: Any) -> None:
    port = await rig.session(receive_sequence=True, **NUMBERED)
    netif = await rig.tap(port)
    assert kernel_sessions(rig) == 1
    rig.inject(netif, FRAME)
    assert (await rig.peer_frames(1))[0][1] == 0
    rig.peer_send(FRAME, 0, 7)
    assert await rig.packets(netif, 1) == [FRAME]
    await rig.plane.port_modify(port, send_sequence=False, receive_sequence=False)
    rig.peer_send(FRAME)
    assert await rig.packets(netif, 1) == [FRAME]
    rig.inject(netif, FRAME)
    assert (await rig.peer_frames(1))[0][1] == -1


@on("kernel")
async def test_solicitations_reach_the_receiver_too(rig: Any) -> None:
    port = await rig.session()
    got: list[bytes] = []
    rig.plane.port_receiver(port, got.append)
    netif = await rig.netif(port, punt=("ra", "dhcpv6"))
    for packet in (*PUNTED, *OF_THE_INTERFACE):
        rig.peer_send(v6_frame(packet))
    assert await rig.packets(netif, len(PUNTED) + len(OF_THE_INTERFACE)) == [*PUNTED, *OF_THE_INTERFACE]
    await until(lambda: len(got) == len(PUNTED), "the punted frames")
    assert got == [v6_frame(packet) for packet in PUNTED]
    await rig.plane.netif_modify(port, punt=())
    rig.peer_send(v6_frame(PUNTED[0]))
    assert await rig.packets(netif, 1) == [PUNTED[0]]
    assert len(got) == len(PUNTED)


@on("kernel")
async def test_tcp_through_an_interface_is_clamped_by_one_rule(rig: Any) -> None:
    port = await rig.session()
    netif = await rig.netif(port, mtu=1400)
    run = rig.host.run
    run("ip", "link", "add", "up0", "type", "veth", "peer", "name", "up1")
    for device in ("up0", "up1"):
        run("ip", "link", "set", device, "up")
    run("ip", "address", "add", "192.0.2.254/24", "dev", "up0")
    run("ip", "route", "add", "10.0.0.1/32", "dev", netif.name)
    run("ip", "neighbour", "add", "192.0.2.1", "lladdr", "02:00:00:00:00:09", "dev", "up0")
    run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv4.conf.all.rp_filter=0",
        f"net.ipv4.conf.{netif.name}.rp_filter=0")
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800)) as far:
        far.bind(("up1", 0x0800))
        far.settimeout(5)
        rig.peer_send(v4_frame(ipv4("10.0.0.1", "192.0.2.1", syn(1460), 6)))
        packet = far.recv(2000)
    run("ip", "link", "delete", "up0")
    assert int.from_bytes(packet[-2:], "big") == (1360 if rig.plane.clamp is not None else 1460)


@on("kernel")
async def test_rates_are_not_the_data_paths_on_its_interfaces(rig: Any) -> None:
    limited, port = await rig.session(), await rig.session(1)
    await rig.plane.port_modify(limited, rate_up=1_000_000)
    await rig.netif(limited, name="limited")
    assert kernel_sessions(rig) == 0
    await rig.netif(port, name="free")
    await refused(rig.plane.port_modify(port, rate_up=1_000_000), UNSUPPORTED)
    await rig.plane.port_modify(port, rate_up=0, rate_down=0)


@on("kernel")
async def test_what_others_delete_is_reported(rig: Any) -> None:
    port = await rig.session()
    await rig.netif(port)
    rig.host.run("ip", "l2tp", "delete", "tunnel", "tunnel_id", "11")
    await until(lambda: rig.events.named("carrier_lost"), "carrier_lost")
    assert rig.events.named("carrier_lost") == [(port, "the kernel's session is gone")]
    await rig.plane.port_delete(port)


@on3("kernel")
async def test_sessions_that_others_delete_are_reported_alone(rig: Any) -> None:
    ppp, wire, other = [await rig.session(number, pseudowire=kind)
                        for number, kind in ((0, "ppp"), (1, "eth"), (2, "eth"))]
    await rig.netif(ppp)
    await rig.tap(wire, "eth-a")
    await rig.tap(other, "eth-b")
    for number in (0, 1):
        words = f"ip l2tp delete session tunnel_id {0x10001} session_id {OURS + number}"
        rig.host.run(*words.split())
    await until(lambda: rig.events.named("carrier_lost"), "carrier_lost")
    await until(lambda: rig.events.named("netif_gone"), "netif_gone")
    assert rig.events.named("carrier_lost") == [(ppp, "the kernel's session is gone")]
    assert rig.events.named("netif_gone") == [(wire, "eth-a")]
    rig.peer_send(FRAME, 2)
    rig.ethernet = "eth-b"
    assert await rig.packets(Netif("eth-b", 0), 1) == [FRAME]


async def ends(rig: Any, word: str, option: bytes, keys: tuple[bytes, bytes]
               ) -> tuple[list[int], list[int], list[Any]]:
    """Two ports of the data path that are each other's peer, with a codec there and back: tunnels, ports, interfaces.
    """
    if not hasattr(rig, "second"):
        rig.second = await rig.plane.listen(("127.0.0.7", 0))
        os.close(rig.second.control)
    tunnels, ports, netifs = [], [], []
    for number, (ours, theirs) in enumerate(((rig.listener, rig.second), (rig.second, rig.listener))):
        spec = TunnelSpec(ours.id, ours.address, theirs.address, 31 + number, 32 - number)
        tunnels.append(await rig.plane.tunnel_add(spec))
        ports.append(await rig.plane.session_add(SessionSpec(tunnels[-1], 41 + number, 42 - number)))
        await rig.plane.port_compress(ports[-1], word, word, option, option, *keys[::1 - 2 * number])
        netifs.append(await rig.netif(ports[-1], name=f"{word}{number}", source_check=False))
    return tunnels, ports, netifs


@on("kernel")
async def test_codecs_of_the_kernel_work_in_both_directions_and_begin_anew(rig: Any) -> None:
    for word, option in (("mppe", MPPE_128), ("deflate", b"\x78\0")):
        keys = (KEY, OTHER_KEY) if word == "mppe" else (b"", b"")
        tunnels, ports, netifs = await ends(rig, word, option, keys)
        for count in (1, 20, 3):
            for number, packet in ((0, ipv4("10.0.0.1", "192.0.2.1", b"again " * count * 9)),
                                   (1, ipv4("192.0.2.1", "10.0.0.1", b"and on " * count * 9))):
                rig.inject(netifs[number], packet)
                assert await rig.packets(netifs[1 - number], 1) == [packet]
        for number, port in enumerate(ports):
            await rig.plane.port_compress(port, word, word, option, option, *keys[::1 - 2 * number])
        rig.inject(netifs[0], UP)
        assert await rig.packets(netifs[1], 1) == [UP]
        assert counter(await rig.row(ports[0]), "tx_packets") == 4
        assert counter(await rig.row(ports[1]), "rx_packets") == 4
        for tunnel in tunnels:
            await rig.plane.tunnel_delete(tunnel)


@on("kernel")
async def test_encrypted_packets_are_not_those_that_were_sent(rig: Any) -> None:
    port = await rig.session()
    await rig.plane.port_compress(port, "mppe", "mppe", MPPE_128, MPPE_128, KEY, OTHER_KEY)
    await refused(rig.plane.netif_attach(port, NetifSpec("shared", "shared")), UNSUPPORTED)
    netif = await rig.netif(port)
    rig.inject(netif, DOWN)
    ((_, _, frame),) = await rig.peer_frames(1)
    assert frame[:4] == b"\xff\x03\x00\xfd" and frame[4] & 0x90 == 0x90 and DOWN[20:] not in frame
    # in the clear nothing passes
    rig.peer_send(v4_frame(UP))
    rig.peer_send(LCP_ECHO)
    got: list[bytes] = []
    rig.plane.port_receiver(port, got.append)
    await until(lambda: LCP_ECHO in got, "the control frame")


@on("kernel")
async def test_pppoe_and_l2tp_are_joined_in_the_kernel(rig: Any) -> None:
    with ethernet(rig) as (address, far):
        await joined_in_the_kernel(rig, address, far)


async def joined_in_the_kernel(rig: Any, address: bytes, far: socket.socket) -> None:
    handle = await rig.plane.ethernet_add("eth0")
    user = await rig.plane.pppoe_add(PPPoESpec(handle, PEER, 7))
    session = await rig.session()
    await rig.plane.switch_add(user, session)
    assert rig.plane.ports[user].carrier.bridged is not None
    far.send(write_session(address, PEER, (), 7, v4_frame(UP)[2:]))
    assert await rig.peer_frames(1) == [(0, -1, v4_frame(UP))]
    rig.peer_send(LCP_ECHO)
    received = far.recv(2000)
    while received[:6] != PEER:
        received = far.recv(2000)
    assert received[20:20 + len(LCP_ECHO) - 2] == LCP_ECHO[2:]
    assert (await rig.row(user))[:6] == (1, len(LCP_ECHO) - 2, 0, 1, len(UP) + 2, 0)
    assert (await rig.row(session))[:6] == (1, len(UP) + 4, 0, 1, len(LCP_ECHO), 0)
    await rig.plane.switch_delete(user)
    got: list[bytes] = []
    rig.plane.port_receiver(user, got.append)
    far.send(write_session(address, PEER, (), 7, LCP_ECHO[2:]))
    await until(lambda: got == [LCP_ECHO[2:]], "the frame of a port that is alone again")
    netif = await rig.netif(user, name="user")
    far.send(write_session(address, PEER, (), 7, v4_frame(UP)[2:]))
    assert await rig.packets(netif, 1) == [UP]
    assert counter(await rig.row(user), "rx_packets") == 3
    await rig.plane.ethernet_delete(handle)


@contextmanager
def ethernet(rig: Any) -> Iterator[tuple[bytes, socket.socket]]:
    """Interface eth0 of the rig's host: its address, and a socket at the other end of the cable."""
    run = rig.host.run
    run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "far0", "address", PEER.hex(":"))
    for device in ("eth0", "far0"):
        run("ip", "link", "set", device, "up")
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(SESSION)) as far:
        far.bind(("far0", SESSION))
        far.settimeout(5)
        yield System().address("eth0"), far
    run("ip", "link", "delete", "eth0")


@on("kernel")
async def test_control_frames_of_one_pppoe_session_do_not_keep_another_from_the_kernel(rig: Any) -> None:
    with ethernet(rig) as (address, far):
        handle = await rig.plane.ethernet_add("eth0")
        one, two = [await rig.plane.pppoe_add(PPPoESpec(handle, PEER, number)) for number in (7, 8)]
        await rig.netif(one, name="one")
        # as frames that come while the link thread is at work: they are found when it has done
        rig.plane._poller.remove(rig.plane.ethernets[handle].socket.fileno())
        far.send(write_session(address, PEER, (), 7, LCP_ECHO[2:]))
        attached = rig.plane.netif_attach(two, NetifSpec("two", protocols=("ip",), prefixes=("10.0.0.1/32",)))
        await until(lambda: attached.called, "the other session's interface")
        netif = await attached
        rig.interface_up(netif)
        far.send(write_session(address, PEER, (), 8, v4_frame(UP)[2:]))
        assert await rig.packets(netif, 1) == [UP]
        await rig.plane.ethernet_delete(handle)


@on("kernel")
async def test_a_fault_while_the_kernel_takes_a_session_is_told_and_leaves_it_in_user_space(rig: Any) -> None:
    with ethernet(rig) as (address, far):
        handle = await rig.plane.ethernet_add("eth0")
        user = await rig.plane.pppoe_add(PPPoESpec(handle, PEER, 7))
        with patch.object(Channel, "hide", side_effect=ZeroDivisionError):
            await refused(rig.plane.netif_attach(user, NetifSpec("user")), SYSTEM)
        got: list[bytes] = []
        rig.plane.port_receiver(user, got.append)
        await until(lambda: "00000007" not in rig.host.run("cat", "/proc/net/pppoe").stdout, "the kernel's session")
        far.send(write_session(address, PEER, (), 7, LCP_ECHO[2:]))
        await until(lambda: got == [LCP_ECHO[2:]], "the frame, in user space")
        netif = await rig.netif(user, name="user")
        far.send(write_session(address, PEER, (), 7, v4_frame(UP)[2:]))
        assert await rig.packets(netif, 1) == [UP]
        await rig.plane.ethernet_delete(handle)


CRASHING = """
import sys, time
from twisted.internet import reactor
from prol2tp.dataplane.linux.plane import KernelDataPlane
from prol2tp.dataplane.linux.probe import probe
from prol2tp.dataplane.interface import NetifSpec, PPPoESpec, SessionSpec, TunnelSpec
from prol2tp.dataplane.plane import NoEvents
from twisted.internet.defer import inlineCallbacks

@inlineCallbacks
def run():
    plane = KernelDataPlane(reactor, probe())
    yield plane.start(NoEvents())
    listener = yield plane.listen(("127.0.0.1", 1701))
    raw = yield plane.listen(("127.0.0.1", 0), "ip")
    ports = []
    for number, (version, kind) in enumerate(((2, "ppp"), (3, "eth"), (3, "ppp"))):
        one, peer = (raw, ("127.0.0.2", 0)) if kind == "eth" else (listener, ("127.0.0.2", 1700 + number))
        spec = TunnelSpec(one.id, one.address, peer, 2 + number, 2 + number, version)
        spec.encapsulation = "ip" if kind == "eth" else "udp"
        tunnel = yield plane.tunnel_add(spec)
        port = yield plane.session_add(SessionSpec(tunnel, 5 + number, 5, kind))
        yield plane.netif_attach(port, NetifSpec(f"crash{number}"))
        ports.append(port)
    shared = yield plane.session_add(SessionSpec(tunnel, 9, 9))
    yield plane.netif_attach(shared, NetifSpec("crash3", "shared"))
    cable = yield plane.ethernet_add("eth0")
    user = yield plane.pppoe_add(PPPoESpec(cable, bytes.fromhex("0200000000fe"), 7))
    yield plane.netif_attach(user, NetifSpec("crash4"))
    joined = yield plane.pppoe_add(PPPoESpec(cable, bytes.fromhex("0200000000fe"), 8))
    yield plane.switch_add(joined, (yield plane.session_add(SessionSpec(tunnel, 10, 10))))
    yield plane.port_compress(ports[0], "mppe", "mppe", *[bytes.fromhex("01000040")] * 2, *[bytes(16)] * 2)
    print(f"up {len(plane.kernel)}", flush=True)

run().addErrback(lambda failure: print(failure.getTraceback(), flush=True))
reactor.run()
"""


@on("kernel")
async def test_nothing_is_left_of_a_process_that_was_killed(rig: Any) -> None:
    def kernel_tables() -> str:
        return run("cat", "/proc/net/pppoe", "/proc/net/pppol2tp").stdout

    run = rig.host.run
    run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "far0")
    run("ip", "link", "set", "eth0", "up")
    before = kernel_tables()
    process = subprocess.Popen([sys.executable, "-c", CRASHING], stdout=subprocess.PIPE, text=True, cwd=ROOT,
                               env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert process.stdout is not None
    # all but the one with the shared interface, which is a TUN
    assert process.stdout.readline() == "up 6\n"
    assert rig.interfaces() == {"eth0", "far0", *(f"crash{number}" for number in range(5))}
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    await until(lambda: rig.interfaces() == {"eth0", "far0"}, "the interfaces are gone")
    run("ip", "link", "delete", "eth0")
    await until(lambda: run("ip", "l2tp", "show", "tunnel").stdout == "", "the tunnels are gone")
    assert run("ip", "l2tp", "show", "session").stdout == ""
    assert kernel_tables() == before
    assert "prol2tp_mss" not in run("nft", "list", "tables").stdout or rig.plane.clamp is not None
