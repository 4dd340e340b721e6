"""What `IDataPlane` promises about L2TPv3, held by every kind of data path, over UDP and over IP."""

from __future__ import annotations

import struct

import pytest

from prol2tp.dataplane import l2tpv3
from prol2tp.dataplane.interface import IN_USE, INVALID, UNSUPPORTED, NetifSpec, SessionSpec, TunnelSpec
from tests.contract.dataplane_rig import LCP_ECHO, ControlEnd, counter, marked, pause, until
from tests.contract.dataplane_rig3 import COOKIE, OURS, PEER_COOKIE, RIGS3, THEIRS, Third
from tests.contract.test_dataplane import ipv4, ipv6, over, refused, v4_frame, v6_frame

KINDS = [marked(kind) for kind in RIGS3]
WIRES = [marked(kind) for kind in RIGS3 if kind != "memory"]
USER_KINDS = [marked(kind) for kind in RIGS3 if not kind.startswith("kernel")]
"""As in `test_dataplane`."""
USER_WIRES = [marked(kind) for kind in RIGS3 if kind != "memory" and not kind.startswith("kernel")]
FRAME = bytes.fromhex("ffffffffffff 020000000001 0806") + bytes(46)
TAGGED = FRAME[:12] + bytes.fromhex("8100 6064") + FRAME[12:]
"""VLAN 100, priority 3."""


on = over(RIGS3)


def vlan(number: int, frame: bytes = TAGGED) -> bytes:
    return frame[:14] + struct.pack("!H", 0x6000 | number) + frame[16:]


@on(*KINDS)
async def test_bad_specifications_are_refused_and_leave_nothing(rig: Third) -> None:
    plane = rig.plane
    for spec in (rig.tunnel_spec(tunnel_id=0), rig.tunnel_spec(tunnel_id=1 << 32 - 1, peer_tunnel_id=0),
                 rig.tunnel_spec(encapsulation="ip" if rig.encapsulation == "udp" else "udp")):
        await refused(plane.tunnel_add(spec), INVALID)
    for change in ({"cookie": b"123"}, {"peer_cookie": bytes(16)}, {"vlan": 7}, {"pseudowire": "vlan", "vlan": 4095},
                   {"send_sequence": True}):
        await refused(rig.session(**change), INVALID)
    await refused(rig.session(pseudowire="hdlc"), UNSUPPORTED)
    await refused(rig.session(-OURS), INVALID)
    port = await rig.session(pseudowire="eth")
    await refused(rig.session(pseudowire="eth"), IN_USE)
    await refused(rig.plane.port_modify(port, rate_up=1000), UNSUPPORTED)
    await refused(rig.plane.port_compress(port, "predictor1"), UNSUPPORTED)
    await refused(plane.netif_attach(port, NetifSpec("all", "shared")), INVALID)
    await refused(plane.listen(("127.0.0.1", 0), "sctp"), INVALID)
    await refused(plane.listen(rig.listener.address, rig.encapsulation), IN_USE)
    assert rig.interfaces() == set()


@on(*KINDS)
async def test_ppp_passes_as_in_version_2(rig: Third) -> None:
    port = await rig.session(1)
    got: list[bytes] = []
    rig.plane.port_receiver(port, got.append)
    await rig.plane.counters()
    rig.peer_send(LCP_ECHO, 1)
    await until(lambda: got, "a frame")
    assert got == [LCP_ECHO]
    rig.plane.port_send(port, LCP_ECHO)
    assert await rig.peer_frames(1) == [(1, -1, LCP_ECHO)]
    netif = await rig.netif(port)
    rig.inject(netif, ipv4("192.0.2.1", "10.0.0.1"))
    rig.inject(netif, ipv6("2001:db8::9", "2001:db8:1::1"))
    assert [frame for _, _, frame in await rig.peer_frames(2)] == [
        v4_frame(ipv4("192.0.2.1", "10.0.0.1")), v6_frame(ipv6("2001:db8::9", "2001:db8:1::1"))]
    rig.peer_send(v4_frame(ipv4("10.0.0.1", "192.0.2.1")), 1)
    rig.peer_send(v4_frame(ipv4("10.9.9.9", "192.0.2.1")), 1)
    rig.peer_send(v6_frame(ipv6("2001:db8:1::5", "2001:db8::9")), 1)
    await rig.received(port, 4)
    assert await rig.packets(netif, 2) == [ipv4("10.0.0.1", "192.0.2.1"), ipv6("2001:db8:1::5", "2001:db8::9")]
    row = await rig.row(port)
    discards = 1 if rig.counts_discards else 0
    assert (counter(row, "tx_packets"), counter(row, "rx_discards"), counter(row, "rx_errors")) == (3, discards, 0)


@on(*KINDS)
async def test_a_frame_with_another_cookie_than_ours_is_an_error(rig: Third) -> None:
    for number, cookie in enumerate((b"", b"1234", b"12345678")):
        port = await rig.session(number, pseudowire="eth", cookie=cookie, peer_cookie=cookie)
        netif = await rig.tap(port, f"eth-{number}")
        over_ip = rig.encapsulation == "ip"
        if cookie:
            for wrong in (bytes(len(cookie)), cookie[:-1] + b"x", b""):
                rig.peer_send_raw(l2tpv3.head(OURS + number, wrong, over_ip) + (FRAME if wrong else b""))
        rig.peer_send(FRAME, number)
        assert await rig.packets(netif, 1) == [FRAME]
        row = await rig.row(port)
        # over IP the kernel does not count what is too short for a cookie
        wrong_frames = 3 if rig.counts_discards or not over_ip else 2
        assert counter(row, "rx_packets") == 1 and counter(row, "rx_errors") == (wrong_frames if cookie else 0)
        rig.inject(netif, FRAME)
        assert await rig.peer_frames(1) == [(number, -1, FRAME)]


@on(*KINDS)
async def test_reserved_bits_of_the_header_mean_nothing(rig: Third) -> None:
    port = await rig.session(pseudowire="eth")
    netif = await rig.tap(port)
    head = l2tpv3.head(OURS, COOKIE, rig.encapsulation == "ip")
    if rig.encapsulation == "udp":
        head = bytes((0x7F, 0xF3, 0xFF, 0xFF)) + head[4:]
    rig.peer_send_raw(head + FRAME)
    assert await rig.packets(netif, 1) == [FRAME]


@on(*USER_KINDS)
async def test_ethernet_frames_of_every_size_pass_both_ways(rig: Third) -> None:
    port = await rig.session(pseudowire="eth")
    netif = await rig.tap(port)
    frames = [FRAME[:14], FRAME, TAGGED, FRAME + bytes(1400)]
    for frame in frames:
        rig.peer_send(frame)
    assert await rig.packets(netif, 4) == frames
    for frame in frames[1:]:
        rig.inject(netif, frame)
    assert [frame for _, _, frame in await rig.peer_frames(3)] == frames[1:]
    rig.peer_send(FRAME[:13])
    await rig.received(port, 5)
    row = await rig.row(port)
    assert (counter(row, "rx_packets"), counter(row, "rx_errors"), counter(row, "tx_packets")) == (5, 1, 3)
    assert counter(row, "tx_octets") == sum(map(len, frames[1:])) and row[-1] >= 0


@on(*KINDS)
async def test_a_vlan_pseudowire_carries_its_vlan_alone_and_gives_it_our_number(rig: Third) -> None:
    port = await rig.session(pseudowire="vlan", vlan=200)
    netif = await rig.tap(port)
    for frame in (FRAME, vlan(100), vlan(200), vlan(201)):
        rig.inject(netif, frame)
    assert await rig.peer_frames(1) == [(0, -1, vlan(200))]
    rig.peer_send(FRAME)
    rig.peer_send(vlan(100))
    await rig.received(port, 2)
    (frame,) = await rig.packets(netif, 1)
    assert frame == vlan(200)
    row = await rig.row(port)
    assert (counter(row, "tx_packets"), counter(row, "rx_errors")) == (1, 1)


@on(*KINDS)
async def test_a_vlan_pseudowire_without_a_number_carries_all_tagged_frames(rig: Third) -> None:
    port = await rig.session(pseudowire="vlan")
    netif = await rig.tap(port)
    for frame in (FRAME, vlan(100), vlan(200)):
        rig.inject(netif, frame)
    assert [frame for _, _, frame in await rig.peer_frames(2)] == [vlan(100), vlan(200)]
    rig.peer_send(vlan(7))
    assert await rig.packets(netif, 1) == [vlan(7)]


@on(*USER_WIRES)
async def test_numbers_of_24_bits_stand_in_the_sublayer(rig: Third) -> None:
    port = await rig.session(pseudowire="eth", send_sublayer=True, receive_sublayer=True, send_sequence=True,
                             receive_sequence=True)
    netif = await rig.tap(port)
    for _ in range(3):
        rig.inject(netif, FRAME)
    assert [ns for _, ns, _ in await rig.peer_frames(3)] == [0, 1, 2]
    for ns in (0xFFFFFE, 0xFFFFFF, 0, 0xFFFFFF, 1):
        rig.peer_send(FRAME, 0, ns)
    assert len(await rig.packets(netif, 4)) == 4
    row = await rig.row(port)
    assert (counter(row, "rx_out_of_sequence"), counter(row, "rx_discards")) == (1, 1)
    # an agreed number that is not there means nothing
    rig.peer_send(FRAME)
    assert await rig.packets(netif, 1) == [FRAME]
    await rig.plane.port_modify(port, send_sequence=False, receive_sequence=False)
    rig.inject(netif, FRAME)
    assert (await rig.peer_frames(1))[0][1] == -1


@on(*KINDS)
async def test_frames_without_an_interface_are_dropped_and_counted(rig: Third) -> None:
    port = await rig.session(pseudowire="eth")
    rig.peer_send(FRAME)
    await rig.received(port, 1)
    assert counter(await rig.row(port), "rx_discards") == 1


@on(*KINDS)
async def test_the_first_frames_may_overtake_the_request_for_their_session(rig: Third) -> None:
    rig.spec = SessionSpec(rig.tunnel, OURS + 5, THEIRS + 5, cookie=COOKIE, peer_cookie=PEER_COOKIE)
    rig.peer_send(LCP_ECHO, 5)
    for _ in range(5):
        await pause()
        await rig.plane.counters()
    port = await rig.session(5)
    got: list[bytes] = []
    rig.plane.port_receiver(port, got.append)
    await until(lambda: got, "the early frame")
    assert got == [LCP_ECHO]


@on(*WIRES)
async def test_frames_from_another_address_are_errors_and_reported(rig: Third) -> None:
    if rig.encapsulation == "ip" or rig.ipv6:
        other = rig.peer  # its address cannot be another one here: the id is
        port = await rig.session()
        rig.peer_send_raw(l2tpv3.head(OURS + 99, COOKIE, rig.encapsulation == "ip") + LCP_ECHO)
        await rig.plane.counters()
        assert counter(await rig.row(port), "rx_packets") == 0 and other.fileno() >= 0
        return
    import socket
    port = await rig.session()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.bind(("127.0.0.3", 1701))
        stranger.sendto(rig.datagram_of(LCP_ECHO, 0, -1), rig.target())
        await until(lambda: rig.events.named("peer_moved"), "the report")
    assert counter(await rig.row(port), "rx_errors") == 1


@on(*WIRES)
async def test_control_messages_reach_the_daemon_and_its_answers_the_peer(rig: Third) -> None:
    over_ip = rig.encapsulation == "ip"
    message = bytes.fromhex("c803 000c 00000000 0000 0000")
    end = ControlEnd(rig.listener)
    try:
        rig.peer_send_raw((bytes(4) if over_ip else b"") + message)
        data, source = await end.receive()
        assert data == message and source[0] == rig.peer_address()[0]
        assert source[1] == rig.peer_address()[1]
        end.send(message, rig.peer_address(), (rig.target()[0], rig.listener.address[1]))
        ((answer, _),) = await rig.datagrams(1)
        assert answer == (bytes(4) if over_ip else b"") + message
    finally:
        end.close()


@on("memory", *[pytest.param(kind, marks=pytest.mark.root) for kind in ("userspace", "process")])
async def test_both_versions_live_on_one_listener(rig: Third) -> None:
    old = TunnelSpec(rig.listener.id, rig.listener.address, rig.peer_address(), 11, 22)
    tunnel = await rig.plane.tunnel_add(old)
    second = await rig.plane.session_add(SessionSpec(tunnel, 100, 200))
    third = await rig.session()
    got: list[tuple[int, bytes]] = []
    rig.plane.port_receiver(second, lambda frame: got.append((2, frame)))
    rig.plane.port_receiver(third, lambda frame: got.append((3, frame)))
    await rig.plane.counters()
    rig.peer_send_raw(struct.pack("!HHH", 2, 11, 100) + LCP_ECHO)
    rig.peer_send(LCP_ECHO)
    await until(lambda: len(got) == 2, "both frames")
    assert sorted(got) == [(2, LCP_ECHO), (3, LCP_ECHO)]
    await rig.plane.tunnel_delete(tunnel)
    assert set(await rig.plane.counters()) == {third}


@on(*KINDS)
async def test_garbage_costs_nothing(rig: Third) -> None:
    port = await rig.session(pseudowire="eth")
    netif = await rig.tap(port)
    start = b"" if rig.encapsulation == "ip" else l2tpv3.OVER_UDP
    for data in (start, start + b"\0", start + bytes(3), start + struct.pack("!I", OURS),
                 start + struct.pack("!I", OURS) + COOKIE, start + struct.pack("!I", OURS) + COOKIE[:5]):
        rig.peer_send_raw(data)
    rig.peer_send(FRAME)
    assert await rig.packets(netif, 1) == [FRAME]
    await rig.plane.tunnel_delete(rig.tunnel)
    assert rig.interfaces() == set()
