"""What `IDataPlane` promises, held by every kind of data path."""

from __future__ import annotations

import os
import random
import socket
import struct
from collections.abc import Callable, Mapping
from functools import partial

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import ensureDeferred
from zope.interface.verify import verifyObject

from prol2tp.dataplane import packets as rules
from prol2tp.dataplane.interface import (
    IN_USE,
    INVALID,
    NOT_FOUND,
    UNSUPPORTED,
    DataPathError,
    IDataPlane,
    NetifSpec,
    SessionSpec,
)
from prol2tp.ppp import compress
from tests.contract.dataplane_rig import LCP_ECHO, RIGS, ControlEnd, Rig, counter, marked, until

KINDS = [marked(kind) for kind in RIGS]
WIRES = [marked(kind) for kind in RIGS if kind != "memory"]
USER_KINDS = [marked(kind) for kind in RIGS if not kind.startswith("kernel")]
"""Those in whose hands each packet is. What the kernel does instead is in `tests/kernel/test_dataplane.py`."""
USER_WIRES = [marked(kind) for kind in RIGS if kind != "memory" and not kind.startswith("kernel")]


def over(rigs: Mapping[str, type]) -> Callable:
    """`on(*kinds)` runs an `async def test(rig)` on these of the rigs."""
    def on(*kinds):
        def decorate(test: Callable) -> Callable:
            @pytest.mark.parametrize("kind", kinds)
            @pytest_twisted.ensureDeferred
            async def run(kind: str) -> None:
                rig = rigs[kind]()
                await rig.open()
                try:
                    await ensureDeferred(test(rig)).addTimeout(60, reactor)
                finally:
                    await rig.close()

            run.__name__ = run.__qualname__ = test.__name__
            run.__doc__ = test.__doc__
            return run

        return decorate

    return on


on = over(RIGS)


def ipv4(source: str, destination: str, payload: bytes = b"payload", protocol: int = 17, df: bool = False,
         tos: int = 0) -> bytes:
    header = bytearray(struct.pack("!BBHHHBBH4s4s", 0x45, tos, 20 + len(payload), 7, 0x4000 if df else 0, 64, protocol,
                                   0, socket.inet_aton(source), socket.inet_aton(destination)))
    header[10:12] = rules.checksum(bytes(header)).to_bytes(2, "big")
    return bytes(header) + payload


def ipv6(source: str, destination: str, payload: bytes = b"payload", protocol: int = 17) -> bytes:
    return (struct.pack("!IHBB", 6 << 28, len(payload), protocol, 64) + socket.inet_pton(socket.AF_INET6, source)
            + socket.inet_pton(socket.AF_INET6, destination) + payload)


def syn(mss: int) -> bytes:
    return struct.pack("!HHIIBBHHHBBH", 1, 2, 3, 4, 0x60, 2, 512, 0, 0, 2, 4, mss)


def v4_frame(packet: bytes) -> bytes:
    return b"\xff\x03\x00\x21" + packet


def v6_frame(packet: bytes) -> bytes:
    return b"\xff\x03\x00\x57" + packet


UP = ipv4("10.0.0.1", "192.0.2.1")
DOWN = ipv4("192.0.2.1", "10.0.0.1")
UP6 = ipv6("2001:db8:1::5", "2001:db8::1")
DOWN6 = ipv6("2001:db8::1", "2001:db8:1::5")


def has(things: list, count: int) -> bool:
    return len(things) >= count


async def refused(answer, code: str) -> None:
    with pytest.raises(DataPathError) as caught:
        await answer
    assert caught.value.code == code
    assert caught.value.text


@on(*KINDS)
async def test_a_data_path_has_all_operations(rig: Rig) -> None:
    verifyObject(IDataPlane, rig.plane)
    assert rig.plane.name in ("memory", "user", "kernel")


@on(*KINDS)
async def test_a_listener_tells_its_real_port(rig: Rig) -> None:
    assert rig.listener.address[1] > 0
    assert rig.listener.control >= 0


@on(*KINDS)
async def test_an_address_is_listened_on_once(rig: Rig) -> None:
    await refused(rig.plane.listen(rig.listener.address), IN_USE)


@on(*WIRES)
async def test_an_address_of_another_process_is_refused(rig: Rig) -> None:
    await refused(rig.plane.listen(rig.peer_address()), IN_USE)
    await refused(rig.plane.listen(("300.1.1.1", 1701)), INVALID)


@on(*KINDS)
async def test_a_listener_with_tunnels_stays(rig: Rig) -> None:
    await refused(rig.plane.unlisten(rig.listener.id), IN_USE)
    await rig.plane.tunnel_delete(rig.tunnel)
    await rig.plane.unlisten(rig.listener.id)
    await refused(rig.plane.unlisten(rig.listener.id), NOT_FOUND)


@on(*KINDS)
async def test_what_is_not_there_is_not_found(rig: Rig) -> None:
    plane = rig.plane
    port = await rig.session()
    await refused(plane.tunnel_add(rig.tunnel_spec(listener=999)), NOT_FOUND)
    await refused(plane.tunnel_modify(999, rig.peer_address()), NOT_FOUND)
    await refused(plane.tunnel_delete(999), NOT_FOUND)
    await refused(plane.session_add(SessionSpec(999, 1, 1)), NOT_FOUND)
    await refused(plane.port_modify(999), NOT_FOUND)
    await refused(plane.port_delete(999), NOT_FOUND)
    await refused(plane.netif_attach(999, NetifSpec()), NOT_FOUND)
    await refused(plane.netif_modify(port), NOT_FOUND)
    await refused(plane.netif_detach(port), NOT_FOUND)
    await refused(plane.switch_add(port, 999), NOT_FOUND)
    await refused(plane.switch_delete(port), NOT_FOUND)
    assert await plane.counters([999]) == {}
    plane.port_send(999, LCP_ECHO)
    plane.port_receiver(999, print)


@on(*KINDS)
async def test_bad_specifications_are_refused_and_leave_nothing(rig: Rig) -> None:
    plane = rig.plane
    await refused(plane.tunnel_add(rig.tunnel_spec(tunnel_id=0)), INVALID)
    await refused(plane.tunnel_add(rig.tunnel_spec(tunnel_id=65536)), INVALID)
    await refused(plane.tunnel_add(rig.tunnel_spec(version=4)), UNSUPPORTED)
    await refused(plane.session_add(SessionSpec(rig.tunnel, 1, 1, pseudowire="ethernet")), UNSUPPORTED)
    await refused(rig.session(-100), INVALID)
    port = await rig.session()
    await refused(rig.session(), IN_USE)
    for spec in (NetifSpec(name="a/b"), NetifSpec(name="ppp%d%d"), NetifSpec(name="sixteen-letters0"),
                 NetifSpec(name=""), NetifSpec(mode="both"), NetifSpec(mtu=20), NetifSpec(prefixes=("10.0.0.0/33",)),
                 NetifSpec(protocols=("ipx",)), NetifSpec(punt=("ns",))):
        await refused(plane.netif_attach(port, spec), INVALID)
    assert rig.interfaces() == set()


@on(*WIRES)
async def test_a_tunnel_to_what_is_no_address_is_refused(rig: Rig) -> None:
    await refused(rig.plane.tunnel_add(rig.tunnel_spec(tunnel_id=12, peer=("nowhere", 1701))), INVALID)
    await refused(rig.plane.tunnel_add(rig.tunnel_spec(tunnel_id=12, peer=("127.0.0.9", 0))), INVALID)
    await refused(rig.plane.tunnel_modify(rig.tunnel, ("nowhere", 1701)), INVALID)
    port = await rig.session()
    rig.plane.port_send(port, LCP_ECHO)
    assert await rig.peer_frames(1) == [(0, -1, LCP_ECHO)]


DEFLATE = b"\x78\0"
FD = b"\xff\x03\0\xfd"
CCP = b"\xff\x03\x80\xfd"
COMPRESSORS = {"deflate": compress.DeflateCompressor, "predictor1": compress.Predictor1Compressor}
DECOMPRESSORS = {"deflate": compress.DeflateDecompressor, "predictor1": compress.Predictor1Decompressor}


def repeated(source: str, destination: str, count: int = 30) -> bytes:
    """A packet that can be made shorter."""
    return ipv4(source, destination, b"again and " * count)


def ccp(code: int, identifier: int = 1) -> bytes:
    return CCP + struct.pack("!BBH", code, identifier, 4)


async def compressed(rig: Rig, port: int, send: str = "deflate", receive: str = "deflate") -> None:
    options = {"deflate": DEFLATE}
    await rig.plane.port_compress(port, send, receive, options.get(send, b""), options.get(receive, b""))


@on(*USER_KINDS)
async def test_a_data_path_says_what_it_can_compress_with(rig: Rig) -> None:
    assert rig.plane.codecs == ("deflate", "predictor1")
    port = await rig.session()
    for values in (("bsd",), ("", "bsd"), ("mppe",), ("deflate", "stac", DEFLATE)):
        await refused(rig.plane.port_compress(port, *values), UNSUPPORTED)
    await refused(rig.plane.port_compress(port, "deflate", send_option=DEFLATE, receive_key=bytes(16)), UNSUPPORTED)
    await refused(rig.plane.port_compress(port, send_key=bytes(16)), UNSUPPORTED)
    for option in (b"", b"\x78", b"\x08\0", b"\x88\0", b"\x79\0"):
        await refused(rig.plane.port_compress(port, "deflate", send_option=option), INVALID)
    await refused(rig.plane.port_compress(port, "predictor1", send_option=DEFLATE), INVALID)
    await refused(rig.plane.port_compress(999, "predictor1"), NOT_FOUND)
    rig.plane.port_reset(999)
    other = await rig.session(1)
    await rig.plane.switch_add(port, other)
    await refused(rig.plane.port_compress(port, "predictor1"), IN_USE)


@on(*USER_KINDS)
async def test_packets_are_compressed_in_both_directions(rig: Rig) -> None:
    for number, word in enumerate(("deflate", "predictor1")):
        port = await rig.session(number)
        netif = await rig.netif(port, mode=("own", "shared")[number], name=f"pack{number}")
        await compressed(rig, port, word, word)
        theirs, ours = COMPRESSORS[word](), DECOMPRESSORS[word]()
        for count in (40, 3, 1, 0, 100):
            down = repeated("192.0.2.1", "10.0.0.1", count)
            rig.inject(netif, down)
            ((_, _, frame),) = await rig.peer_frames(1)
            if frame.startswith(FD):
                assert ours.decompress(frame[4:]) == b"\x21" + down
                assert len(frame) < len(down) or count < 40
            else:
                assert word == "deflate" and frame == v4_frame(down)
                ours.passed(0x21, down)
            up = repeated("10.0.0.1", "192.0.2.1", count)
            squeezed = theirs.compress(0x21, up)
            rig.peer_send(v4_frame(up) if squeezed is None else FD + squeezed, number)
            assert await rig.packets(netif, 1) == [up]
        row = await rig.row(port)
        assert (counter(row, "tx_packets"), counter(row, "rx_packets")) == (5, 5)
        assert counter(row, "tx_octets") < 1500 and counter(row, "rx_octets") < 1500


@on(*USER_KINDS)
async def test_one_direction_can_be_compressed_alone_and_compression_ends(rig: Rig) -> None:
    port = await rig.session()
    netif = await rig.netif(port)
    down, up = repeated("192.0.2.1", "10.0.0.1"), repeated("10.0.0.1", "192.0.2.1")
    await compressed(rig, port, "deflate", "")
    rig.inject(netif, down)
    assert (await rig.peer_frames(1))[0][2].startswith(FD)
    rig.peer_send(v4_frame(up))
    assert await rig.packets(netif, 1) == [up]
    await compressed(rig, port, "", "deflate")
    rig.inject(netif, down)
    assert (await rig.peer_frames(1))[0][2] == v4_frame(down)
    rig.peer_send(FD + compress.DeflateCompressor().compress(0x21, up))
    assert await rig.packets(netif, 1) == [up]
    await rig.plane.port_compress(port)
    got: list[bytes] = []
    rig.plane.port_receiver(port, got.append)
    rig.peer_send(v4_frame(up))
    assert await rig.packets(netif, 1) == [up]
    rig.peer_send(FD + b"anything")
    await until(lambda: got == [FD + b"anything"], "what is compressed with nothing goes to the receiver")


@on(*USER_KINDS)
async def test_network_packets_of_the_receiver_are_compressed_and_control_is_not(rig: Rig) -> None:
    port = await rig.session()
    got: list[bytes] = []
    rig.plane.port_receiver(port, got.append)
    await rig.plane.port_modify(port, pcomp=True, accomp=True)
    await compressed(rig, port)
    packet = ipv6("fe80::1", "ff02::1", b"\0" * 200, 58)
    for frame in (ccp(1), LCP_ECHO, b"\x57" + packet, v6_frame(packet)):
        rig.plane.port_send(port, frame)
    frames = [frame for _, _, frame in await rig.peer_frames(4)]
    assert frames[:2] == [ccp(1), LCP_ECHO]
    decompressor = compress.DeflateDecompressor()
    assert [decompressor.decompress(frame.removeprefix(b"\xfd")) for frame in frames[2:]] == [b"\x57" + packet] * 2
    compressor = compress.DeflateCompressor()
    rig.peer_send(b"\xfd" + compressor.compress(0x57, packet))
    rig.peer_send(LCP_ECHO)
    await until(lambda: got == [b"\x57" + packet, LCP_ECHO], "the frames")


@on(*USER_KINDS)
async def test_what_cannot_be_decompressed_is_reported_until_the_peer_begins_anew(rig: Rig) -> None:
    port = await rig.session()
    got: list[bytes] = []
    rig.plane.port_receiver(port, got.append)
    netif = await rig.netif(port)
    await compressed(rig, port)
    compressor = compress.DeflateCompressor()
    packets = [repeated("10.0.0.1", "192.0.2.1", 30 + count) for count in range(8)]
    for number, packet in enumerate(packets[:5]):
        squeezed = compressor.compress(0x21, packet)
        if number != 1:
            rig.peer_send(FD + squeezed)
    assert await rig.packets(netif, 1) == packets[:1]
    await rig.received(port, 4)
    await until(lambda: rig.events.named("decompression_failed"), "the report")
    assert rig.events.named("decompression_failed") == [(port,)]
    assert counter(await rig.row(port), "rx_errors") == 3
    compressor.reset()
    rig.peer_send(ccp(15))
    # at its heels: the receiver has not had its say
    rig.peer_send(FD + compressor.compress(0x21, packets[5]))
    assert await rig.packets(netif, 1) == packets[5:6]
    await until(lambda: got == [ccp(15)], "the Reset-Ack")
    rig.peer_send(FD + b"\0\7rubbish")
    await until(lambda: len(rig.events.named("decompression_failed")) == 2, "the next trouble")


@on(*KINDS)
async def test_the_history_of_what_is_sent_begins_anew_in_order_with_frames(rig: Rig) -> None:
    port = await rig.session()
    netif = await rig.netif(port)
    await compressed(rig, port)
    down = repeated("192.0.2.1", "10.0.0.1")
    rig.inject(netif, down)
    await rig.peer_frames(1)
    rig.plane.port_reset(port)
    rig.plane.port_send(port, ccp(15))
    assert (await rig.peer_frames(1))[0][2] == ccp(15)
    rig.inject(netif, down)
    frame = (await rig.peer_frames(1))[0][2]
    assert compress.DeflateDecompressor().decompress(frame[4:]) == b"\x21" + down


@on(*USER_KINDS)
async def test_compressed_packets_may_overtake_the_end_of_negotiation(rig: Rig) -> None:
    port = await rig.session()
    got: list[bytes] = []
    rig.plane.port_receiver(port, got.append)
    netif = await rig.netif(port)
    compressor = compress.DeflateCompressor()
    packets = [repeated("10.0.0.1", "192.0.2.1", 30 + count) for count in range(3)]
    frames = [FD + compressor.compress(0x21, packet) for packet in packets]
    rig.peer_send(ccp(2))
    rig.peer_send(frames[0])
    rig.peer_send(frames[1])
    await rig.received(port, 3)
    await compressed(rig, port)
    rig.peer_send(frames[2])
    assert await rig.packets(netif, 3) == packets
    assert got == [ccp(2)] and rig.events.named("decompression_failed") == []


@on(*USER_KINDS)
async def test_a_codec_that_may_lengthen_packets_takes_its_room_from_the_mtu(rig: Rig) -> None:
    port = await rig.session()
    netif = await rig.netif(port, mtu=1400)
    await compressed(rig, port, "predictor1", "")
    # the same at every run: now and then chance would let the predictor guess the option that is looked for below
    noise = random.Random(1978).randbytes(1396)
    rig.inject(netif, ipv4("192.0.2.1", "10.0.0.1", noise[: 1395 - 20], df=True))
    ((_, _, frame),) = await rig.peer_frames(1)
    assert len(frame) == 1404
    rig.inject(netif, ipv4("192.0.2.1", "10.0.0.1", noise[: 1396 - 20], df=True))
    (error,) = await rig.packets(netif, 1)
    assert error[20:22] == b"\x03\x04" and int.from_bytes(error[26:28], "big") == 1395
    rig.inject(netif, ipv4("192.0.2.1", "10.0.0.1", syn(1460), 6))
    ((_, _, frame),) = await rig.peer_frames(1)
    assert b"\x02\x04" + (1355).to_bytes(2, "big") in frame


@on(*KINDS)
async def test_control_frames_pass_in_both_directions(rig: Rig) -> None:
    one, two = await rig.session(1), await rig.session(2)
    got: list[tuple[int, bytes]] = []
    rig.plane.port_receiver(one, lambda frame: got.append((1, frame)))
    rig.plane.port_receiver(two, lambda frame: got.append((2, frame)))
    await rig.plane.counters()
    rig.peer_send(LCP_ECHO, 2)
    rig.peer_send(b"\xc0\x21\x09\x02\x00\x04", 1)
    await until(lambda: len(got) == 2, "two frames")
    assert got == [(2, LCP_ECHO), (1, b"\xc0\x21\x09\x02\x00\x04")]
    rig.plane.port_send(one, LCP_ECHO)
    rig.plane.port_send(two, b"\x21\x45")
    assert await rig.peer_frames(2) == [(1, -1, LCP_ECHO), (2, -1, b"\x21\x45")]
    row = await rig.row(one)
    assert row[:6] == (1, len(LCP_ECHO), 0, 1, 6, 0)
    assert row[-1] == -1


@on(*KINDS)
async def test_early_frames_wait_for_the_receiver_and_are_few(rig: Rig) -> None:
    port = await rig.session()
    for number in range(6):
        rig.peer_send(LCP_ECHO + bytes((number,)))
    await rig.received(port, 6)
    got: list[bytes] = []
    rig.plane.port_receiver(port, got.append)
    await until(lambda: len(got) == 4, "four early frames")
    rig.peer_send(LCP_ECHO)
    await until(lambda: len(got) == 5, "the next frame")
    assert got == [LCP_ECHO + bytes((number,)) for number in range(4)] + [LCP_ECHO]


@pytest.mark.parametrize("kind", [pytest.param("process", marks=pytest.mark.root),
                                  pytest.param("userspace", marks=pytest.mark.root)])
@pytest_twisted.ensureDeferred
async def test_lost_early_frames_are_reported(kind: str) -> None:
    rig = RIGS[kind]()
    await rig.open()
    try:
        port = await rig.session()
        for _ in range(6):
            rig.peer_send(LCP_ECHO)
        await until(lambda: rig.events.named("frames_lost"), "frames_lost")
        assert rig.events.named("frames_lost") == [(port, 2)]
    finally:
        await rig.close()


@on(*KINDS)
async def test_a_receiver_can_be_ended_and_set_again(rig: Rig) -> None:
    port = await rig.session()
    one: list[bytes] = []
    two: list[bytes] = []
    rig.plane.port_receiver(port, one.append)
    rig.plane.port_receiver(port, None)
    await rig.plane.counters()
    rig.peer_send(LCP_ECHO)
    await rig.received(port, 1)
    rig.plane.port_receiver(port, two.append)
    await until(lambda: two, "the frame that waited")
    assert (one, two) == ([], [LCP_ECHO])


@on(*USER_WIRES)
async def test_all_header_forms_are_understood(rig: Rig) -> None:
    port = await rig.session(lns=True, receive_sequence=False)
    netif = await rig.netif(port)
    got: list[bytes] = []
    rig.plane.port_receiver(port, got.append)
    await rig.plane.counters()
    ns = 0
    expected = []
    for flags in range(16):
        length, sequence, offset, priority = flags & 1, flags & 2, flags & 4, flags & 8
        for form in (b"\xff\x03\x00\x21", b"\xff\x03\x21", b"\x00\x21", b"\x21"):
            packet = ipv4("10.0.0.1", "192.0.2.1", bytes((flags,)) * 40)
            header = struct.pack("!HH", 11, 100)
            if sequence:
                header += struct.pack("!HH", ns, 0)
                ns += 1
            if offset:
                header += struct.pack("!H", 5) + b"pad.."
            first = (0x40 if length else 0) | (0x08 if sequence else 0) | (0x02 if offset else 0) | priority >> 3
            head = bytes((first, 2))
            body = header + form + packet
            if length:
                head += struct.pack("!H", 4 + len(body))
                body += b"beyond the length"
            rig.peer.sendto(head + body, rig.target())
            expected.append(packet)
    assert await rig.packets(netif, len(expected)) == expected
    assert got == []
    row = await rig.row(port)
    assert counter(row, "rx_packets") == 64
    assert 0 <= row[-1] < 10


@on(*WIRES)
async def test_broken_headers_and_unknown_sessions_harm_nobody(rig: Rig) -> None:
    port = await rig.session()
    got: list[bytes] = []
    rig.plane.port_receiver(port, got.append)
    good = b"\x00\x02\x00\x0b\x00\x64" + LCP_ECHO
    for bad in (b"", b"\x00", b"\x00\x02\x00\x0b\x00", b"\x00\x03" + good[2:], b"\x40\x02\xff\xff" + good[2:],
                b"\x40\x02\x00\x03" + good[2:], b"\x02\x02\x00\x0b\x00\x64\xff\xff", b"\x08\x02\x00\x0b\x00\x64\x00",
                b"\x00\x02\x00\x0b\x00\x65" + LCP_ECHO, b"\x00\x02\x00\x0b\x00\x64", good):
        rig.peer.sendto(bad, rig.target())
    await until(lambda: got, "the good frame")
    assert got == [LCP_ECHO]
    assert counter(await rig.row(port), "rx_packets") == 1


@on(*KINDS)
async def test_packets_pass_between_interface_and_peer(rig: Rig) -> None:
    port = await rig.session()
    netif = await rig.netif(port)
    assert netif.name == "ppp0"
    for packet in (UP, UP6):
        rig.peer_send((v4_frame if packet is UP else v6_frame)(packet))
    assert await rig.packets(netif, 2) == [UP, UP6]
    rig.inject(netif, DOWN)
    rig.inject(netif, DOWN6)
    assert await rig.peer_frames(2) == [(0, -1, v4_frame(DOWN)), (0, -1, v6_frame(DOWN6))]
    row = await rig.row(port)
    size = len(UP) + len(UP6) + 8
    assert row[:6] == (2, size, 0, 2, size, 0)
    assert row[-1] >= 0


@on(*KINDS)
async def test_packets_before_the_interface_go_to_the_receiver(rig: Rig) -> None:
    port = await rig.session()
    got: list[bytes] = []
    rig.plane.port_receiver(port, got.append)
    await rig.plane.counters()
    rig.peer_send(v4_frame(UP))
    await until(lambda: got, "the packet")
    netif = await rig.netif(port)
    rig.peer_send(v4_frame(UP))
    rig.peer_send(LCP_ECHO)
    await until(lambda: len(got) == 2, "the control frame")
    assert got == [v4_frame(UP), LCP_ECHO]
    assert await rig.packets(netif, 1) == [UP]


@on(*KINDS)
async def test_protocols_that_are_not_open_do_not_pass(rig: Rig) -> None:
    port = await rig.session()
    netif = await rig.netif(port, protocols=("ip",))
    rig.peer_send(v6_frame(UP6))
    rig.peer_send(v4_frame(UP))
    assert await rig.packets(netif, 1) == [UP]
    rig.inject(netif, DOWN6)
    rig.inject(netif, DOWN)
    assert await rig.peer_frames(1) == [(0, -1, v4_frame(DOWN))]
    await rig.plane.netif_modify(port, protocols=("ipv6",))
    rig.peer_send(v4_frame(UP))
    rig.peer_send(v6_frame(UP6))
    assert await rig.packets(netif, 1) == [UP6]
    rig.inject(netif, DOWN)
    rig.inject(netif, DOWN6)
    assert await rig.peer_frames(1) == [(0, -1, v6_frame(DOWN6))]
    assert counter(await rig.row(port), "rx_discards") == (2 if rig.counts_discards else 0)


@on(*KINDS)
async def test_the_source_of_packets_is_checked(rig: Rig) -> None:
    port = await rig.session()
    netif = await rig.netif(port, prefixes=("10.0.0.1/32", "10.1.0.0/20", "2001:db8:1::/60"))
    accepted = [UP, ipv4("10.1.15.255", "192.0.2.1"), ipv6("2001:db8:1:f::1", "2001:db8::1"),
                ipv6("fe80::1", "ff02::2")]
    spoofed = [ipv4("10.0.0.2", "192.0.2.1"), ipv4("10.1.16.0", "192.0.2.1"),
               ipv6("2001:db8:1:10::1", "2001:db8::1")]
    for packet in spoofed + accepted:
        rig.peer_send((v4_frame if packet[0] >> 4 == 4 else v6_frame)(packet))
    assert await rig.packets(netif, len(accepted)) == accepted
    assert counter(await rig.row(port), "rx_discards") == (len(spoofed) if rig.counts_discards else 0)
    await rig.plane.netif_modify(port, prefixes=("10.0.0.2/32",))
    rig.peer_send(v4_frame(UP))
    rig.peer_send(v4_frame(spoofed[0]))
    assert await rig.packets(netif, 1) == [spoofed[0]]


@on(*KINDS)
async def test_on_a_shared_interface_nobody_speaks_with_anothers_link_local_address(rig: Rig) -> None:
    ports = [await rig.session(number) for number in (0, 1)]
    for number, port in enumerate(ports):
        prefixes = (f"fe80::{number}/128", f"10.0.0.{number}/32")
        netif = await rig.netif(port, name="users", mode="shared", prefixes=prefixes)
    mine = ipv6("fe80::1", "ff02::2")
    for packet in (ipv6("fe80::", "ff02::2"), ipv6("fe80::2", "ff02::2"), mine):
        rig.peer_send(v6_frame(packet), 1)
    assert await rig.packets(netif, 1) == [mine]
    assert counter(await rig.row(ports[1]), "rx_discards") == 2


@on(*KINDS)
async def test_without_source_check_all_sources_pass(rig: Rig) -> None:
    port = await rig.session()
    netif = await rig.netif(port, prefixes=(), source_check=False)
    packets = [ipv4("198.51.100.7", "192.0.2.1"), UP6]
    rig.peer_send(v4_frame(packets[0]))
    rig.peer_send(v6_frame(packets[1]))
    assert await rig.packets(netif, 2) == packets


@on(*USER_KINDS)
async def test_the_mss_is_lowered_in_both_directions(rig: Rig) -> None:
    port = await rig.session()
    netif = await rig.netif(port, mtu=1400)
    rig.peer_send(v4_frame(ipv4("10.0.0.1", "192.0.2.1", syn(1460), 6)))
    rig.peer_send(v6_frame(ipv6("2001:db8:1::5", "2001:db8::1", syn(1440), 6)))
    rig.peer_send(v6_frame(extended(ipv6("2001:db8:1::5", "2001:db8::1", syn(1440), 6))))
    up = await rig.packets(netif, 3)
    assert [int.from_bytes(packet[-2:], "big") for packet in up] == [1360, 1340, 1340]
    rig.inject(netif, ipv4("192.0.2.1", "10.0.0.1", syn(1460), 6))
    rig.inject(netif, ipv4("192.0.2.1", "10.0.0.1", syn(1200), 6))
    rig.inject(netif, extended(ipv6("2001:db8::1", "2001:db8:1::5", syn(1440), 6)))
    down = await rig.peer_frames(3)
    assert [int.from_bytes(frame[-2:], "big") for _, _, frame in down] == [1360, 1200, 1340]


@on(*KINDS)
async def test_the_mss_stays_where_no_clamp_is_wanted(rig: Rig) -> None:
    port = await rig.session()
    netif = await rig.netif(port, mtu=1400, mss_clamp=False)
    packet = ipv4("10.0.0.1", "192.0.2.1", syn(1460), 6)
    rig.peer_send(v4_frame(packet))
    assert await rig.packets(netif, 1) == [packet]


@on(*USER_KINDS)
async def test_packets_above_the_mtu_are_refused_or_cut(rig: Rig) -> None:
    port = await rig.session()
    netif = await rig.netif(port, mtu=1000)
    large = ipv4("192.0.2.1", "10.0.0.1", bytes(1200), df=True)
    rig.inject(netif, large)
    (answer,) = await rig.packets(netif, 1)
    assert answer[12:20] == large[16:20] + large[12:16]
    assert answer[20:22] == b"\x03\x04" and answer[26:28] == (1000).to_bytes(2, "big")
    assert counter(await rig.row(port), "tx_errors") == 1
    rig.inject(netif, ipv4("192.0.2.1", "10.0.0.1", bytes(1200)))
    frames = [frame for _, _, frame in await rig.peer_frames(2)]
    assert [len(frame) - 4 for frame in frames] == [996, 244]
    await rig.plane.netif_modify(port, mtu=1300)
    rig.inject(netif, large)
    assert await rig.peer_frames(1) == [(0, -1, v4_frame(large))]


@on(*KINDS)
async def test_large_ipv6_packets_are_always_refused(rig: Rig) -> None:
    port = await rig.session()
    netif = await rig.netif(port, mtu=1280, clear_df=True)
    rig.inject(netif, ipv6("2001:db8::1", "2001:db8:1::5", bytes(1300)))
    (answer,) = await rig.packets(netif, 1)
    assert answer[6] == 58 and answer[40] == 2 and answer[44:48] == (1280).to_bytes(4, "big")
    assert len(answer) <= 1280


@on(*KINDS)
async def test_clear_df_cuts_what_would_be_refused(rig: Rig) -> None:
    port = await rig.session()
    netif = await rig.netif(port, mtu=1000, clear_df=True)
    rig.inject(netif, ipv4("192.0.2.1", "10.0.0.1", bytes(1200), df=True))
    assert len(await rig.peer_frames(2)) == 2


@on(*USER_KINDS)
async def test_header_compression_towards_the_peer(rig: Rig) -> None:
    port = await rig.session()
    netif = await rig.netif(port)
    for options, head in (({"pcomp": True}, b"\xff\x03\x21"), ({"accomp": True}, b"\x21"),
                          ({"pcomp": False}, b"\x00\x21"), ({"accomp": False}, b"\xff\x03\x00\x21")):
        await rig.plane.port_modify(port, **options)
        rig.inject(netif, DOWN)
        assert await rig.peer_frames(1) == [(0, -1, head + DOWN)]


@on(*USER_WIRES)
async def test_ns_counts_up_when_we_send_it(rig: Rig) -> None:
    port = await rig.session(send_sequence=True, lns=True)
    netif = await rig.netif(port)
    rig.plane.port_send(port, LCP_ECHO)
    assert await rig.peer_frames(1) == [(0, 0, LCP_ECHO)]
    rig.inject(netif, DOWN)
    assert await rig.peer_frames(1) == [(0, 1, v4_frame(DOWN))]
    rig.peer_send(v4_frame(UP))
    assert await rig.packets(netif, 1) == [UP]
    rig.inject(netif, DOWN)
    assert await rig.peer_frames(1) == [(0, 2, v4_frame(DOWN))]
    await rig.plane.port_modify(port, send_sequence=False)
    rig.inject(netif, DOWN)
    assert await rig.peer_frames(1) == [(0, -1, v4_frame(DOWN))]


@on(*WIRES)
async def test_a_lac_follows_the_lns_in_sequencing(rig: Rig) -> None:
    port = await rig.session()
    netif = await rig.netif(port)
    rig.peer_send(v4_frame(UP), ns=0)
    await rig.packets(netif, 1)
    rig.inject(netif, DOWN)
    assert await rig.peer_frames(1) == [(0, 0, v4_frame(DOWN))]
    rig.peer_send(v4_frame(UP))
    await rig.packets(netif, 1)
    rig.inject(netif, DOWN)
    assert await rig.peer_frames(1) == [(0, -1, v4_frame(DOWN))]


@on(*USER_KINDS)
async def test_late_and_doubled_packets_are_dropped(rig: Rig) -> None:
    port = await rig.session(receive_sequence=True, lns=True)
    netif = await rig.netif(port)
    packets = [ipv4("10.0.0.1", "192.0.2.1", bytes((number,))) for number in range(8)]
    for ns in (65534, 65535, 0, 0, 65535, 3, 2, 4):
        rig.peer_send(v4_frame(packets[ns % 65534]), ns=ns)
    got = await rig.packets(netif, 5)
    assert [packet[-1] for packet in got] == [0, 1, 0, 3, 4]
    row = await rig.row(port)
    assert (counter(row, "rx_out_of_sequence"), counter(row, "rx_discards")) == (4, 3)


@on(*USER_WIRES)
async def test_reordered_packets_are_put_in_order_in_time(rig: Rig) -> None:
    port = await rig.session(receive_sequence=True, lns=True, reorder_timeout=0.2)
    netif = await rig.netif(port)
    packets = [ipv4("10.0.0.1", "192.0.2.1", bytes((number,))) for number in range(8)]
    for ns in (0, 2, 3, 1, 6, 5):
        rig.peer_send(v4_frame(packets[ns]), ns=ns)
    got = await rig.packets(netif, 6)
    assert [packet[-1] for packet in got] == [0, 1, 2, 3, 5, 6]


@on(*USER_KINDS)
async def test_packets_above_the_rate_of_a_port_are_dropped_and_control_is_not(rig: Rig) -> None:
    plane = rig.plane
    await refused(plane.port_modify(999, rate_up=1), NOT_FOUND)
    ports = [await rig.session(number) for number in range(2)]
    # so slow that what passes is the burst alone: 23 packets of 1400 octets out of 30
    for number, (port, mode) in enumerate(zip(ports, ("own", "shared"), strict=True)):
        for rate in (-1, 10**14):
            await refused(plane.port_modify(port, rate_down=rate), INVALID)
        got: list[bytes] = []
        plane.port_receiver(port, got.append)
        netif = await rig.netif(port, mode=mode, name=f"rate{number}")
        await plane.port_modify(port, rate_up=80, rate_down=80)
        up, down = (ipv4(*pair, bytes(1380)) for pair in (("10.0.0.1", "192.0.2.1"), ("192.0.2.1", "10.0.0.1")))
        for _ in range(30):
            rig.peer_send(v4_frame(up), number)
        rig.peer_send(LCP_ECHO, number)
        assert await rig.packets(netif, 23) == [up] * 23
        await until(partial(has, got, 1), "the control frame")
        for _ in range(30):
            rig.inject(netif, down)
        await rig.counted(port, "tx_errors", 7)
        plane.port_send(port, LCP_ECHO)
        frames = [frame for _, _, frame in await rig.peer_frames(24)]
        assert frames == [v4_frame(down)] * 23 + [LCP_ECHO]
        row = await rig.row(port)
        assert (counter(row, "rx_discards"), counter(row, "tx_errors"), counter(row, "tx_packets")) == (7, 7, 24)
        # without a limit all pass again
        await plane.port_modify(port, rate_up=0, rate_down=0)
        for _ in range(30):
            rig.peer_send(v4_frame(up), number)
            rig.inject(netif, down)
        assert await rig.packets(netif, 30) == [up] * 30
        assert [frame for _, _, frame in await rig.peer_frames(30)] == [v4_frame(down)] * 30
        await plane.netif_detach(port)


SOLICITATION = b"\x85\0\0\0\0\0\0\0\1\1abcdef"
LINK_LOCAL, ALL_ROUTERS, ALL_SERVERS = "fe80::5", "ff02::2", "ff02::1:2"


def solicit(port: int = 547) -> bytes:
    return struct.pack("!HHHH", 546, port, 12, 0) + b"\1abc"


def extended(packet: bytes) -> bytes:
    """With a Destination Options header before what it carries."""
    return (packet[:4] + (int.from_bytes(packet[4:6], "big") + 8).to_bytes(2, "big") + b"\x3c" + packet[7:40]
            + packet[6:7] + b"\0\1\4\0\0\0\0" + packet[40:])


PUNTED = [
    ipv6(LINK_LOCAL, ALL_ROUTERS, SOLICITATION, 58), ipv6("::", ALL_ROUTERS, SOLICITATION[:8], 58),
    ipv6("2001:db8:1::5", "fe80::1", SOLICITATION, 58), ipv6(LINK_LOCAL, ALL_SERVERS, solicit()),
    ipv6(LINK_LOCAL, "fe80::1", solicit()), ipv6("2001:db8:1::5", ALL_SERVERS, solicit()),
    extended(ipv6(LINK_LOCAL, ALL_SERVERS, solicit())),
]
OF_THE_INTERFACE = [
    ipv6("2001:db8:1::5", ALL_ROUTERS, b"\x86" + SOLICITATION[1:], 58),
    ipv6("2001:db8:1::5", ALL_SERVERS, solicit(546)),
    ipv6("2001:db8:1::5", "2001:db8::1", solicit()), ipv6("2001:db8:1::5", "2001:db8::1", SOLICITATION, 58),
    ipv6("2001:db8:1::5", "ff02::1", SOLICITATION, 58),
]


@on(*USER_KINDS)
async def test_solicitations_and_dhcpv6_go_to_the_receiver_when_the_port_is_told_so(rig: Rig) -> None:
    for number, (mode, check) in enumerate((("own", True), ("own", False), ("shared", True))):
        port = await rig.session(number)
        got: list[bytes] = []
        rig.plane.port_receiver(port, got.append)
        netif = await rig.netif(port, mode=mode, name=f"punt{number}", source_check=check, punt=("ra", "dhcpv6"))
        for packet in (*PUNTED, *OF_THE_INTERFACE):
            rig.peer_send(v6_frame(packet), number)
        assert await rig.packets(netif, len(OF_THE_INTERFACE)) == OF_THE_INTERFACE
        await until(partial(has, got, len(PUNTED)), "the punted frames")
        assert got == [v6_frame(packet) for packet in PUNTED]
        assert counter(await rig.row(port), "rx_discards") == 0
        rig.plane.port_send(port, v6_frame(DOWN6))
        assert await rig.peer_frames(1) == [(number, -1, v6_frame(DOWN6))]


@on(*USER_KINDS)
async def test_what_is_punted_can_be_changed_and_ended(rig: Rig) -> None:
    port = await rig.session()
    got: list[bytes] = []
    rig.plane.port_receiver(port, got.append)
    netif = await rig.netif(port)
    solicitation, message = PUNTED[0], PUNTED[3]
    rig.peer_send(v6_frame(solicitation))
    assert await rig.packets(netif, 1) == [solicitation]
    await rig.plane.netif_modify(port, punt=("dhcpv6",))
    rig.peer_send(v6_frame(message))
    rig.peer_send(v6_frame(solicitation))
    assert await rig.packets(netif, 1) == [solicitation]
    await until(lambda: got == [v6_frame(message)], "the punted frame")
    # before IPv6 is open too: the receiver knows what to do with them
    await rig.plane.netif_modify(port, protocols=("ip",), punt=("ra",))
    rig.peer_send(v6_frame(solicitation))
    await until(lambda: len(got) == 2, "the punted frame")
    await rig.plane.netif_modify(port, protocols=("ipv6",), punt=())
    rig.peer_send(v6_frame(message))
    assert await rig.packets(netif, 1) == [message]
    assert len(got) == 2


@on(*USER_KINDS)
async def test_nobody_speaks_with_anothers_address_to_the_receiver(rig: Rig) -> None:
    port = await rig.session()
    got: list[bytes] = []
    rig.plane.port_receiver(port, got.append)
    await rig.netif(port, punt=("ra", "dhcpv6"))
    for packet in (ipv6("2001:db8:2::5", ALL_ROUTERS, SOLICITATION, 58), ipv6("2001:db8:2::5", ALL_SERVERS, solicit()),
                   ipv6("::", ALL_SERVERS, solicit())):
        rig.peer_send(v6_frame(packet))
    await rig.received(port, 3)
    assert counter(await rig.row(port), "rx_discards") == 3
    assert got == []


@on(*KINDS)
async def test_a_flood_of_solicitations_reaches_the_receiver_thinned_out(rig: Rig) -> None:
    port = await rig.session()
    got: list[bytes] = []
    rig.plane.port_receiver(port, got.append)
    await rig.netif(port, punt=("ra",))
    for _ in range(100):
        rig.peer_send(v6_frame(PUNTED[0]))
    await rig.received(port, 100)
    discards = counter(await rig.row(port), "rx_discards")
    assert discards >= 50
    await until(lambda: len(got) == 100 - discards, "what was let through")


@on(*KINDS)
async def test_a_shared_interface_chooses_the_port_by_destination(rig: Rig) -> None:
    spec = {"name": "subs", "mode": "shared", "protocols": ("ip", "ipv6")}
    ports = []
    netifs = []
    for number in range(20):
        ports.append(await rig.session(number))
        netifs.append(await rig.netif(ports[-1], prefixes=(f"10.0.0.{number}/32", f"10.9.{number * 4}.0/22",
                                                           f"2001:db8:0:{number:x}00::/56"), **spec))
    wide = await rig.session(30)
    await rig.netif(wide, prefixes=("10.9.0.0/16",), **spec)
    assert {netif.name for netif in netifs} == {"subs"}
    assert rig.interfaces() == {"subs"}
    for number in (0, 7, 19):
        for packet in (ipv4("192.0.2.1", f"10.0.0.{number}"), ipv4("192.0.2.1", f"10.9.{number * 4 + 3}.9")):
            rig.inject(netifs[0], packet)
            assert await rig.peer_frames(1) == [(number, -1, v4_frame(packet))]
        packet = ipv6("2001:db8::1", f"2001:db8:0:{number:x}12::1")
        rig.inject(netifs[0], packet)
        assert await rig.peer_frames(1) == [(number, -1, v6_frame(packet))]
    packet = ipv4("192.0.2.1", "10.9.250.1")
    rig.inject(netifs[0], ipv4("192.0.2.1", "10.8.0.1"))
    rig.inject(netifs[0], packet)
    assert await rig.peer_frames(1) == [(30, -1, v4_frame(packet))]
    await rig.plane.netif_modify(ports[7], prefixes=("10.0.0.77/32",))
    rig.inject(netifs[0], ipv4("192.0.2.1", "10.0.0.7"))
    packet = ipv4("192.0.2.1", "10.0.0.77")
    rig.inject(netifs[0], packet)
    assert await rig.peer_frames(1) == [(7, -1, v4_frame(packet))]
    up = ipv4("10.0.0.19", "192.0.2.1")
    rig.peer_send(v4_frame(ipv4("10.0.0.18", "192.0.2.1")), 19)
    rig.peer_send(v4_frame(up), 19)
    assert await rig.packets(netifs[0], 1) == [up]
    for port in ports:
        await rig.plane.port_delete(port)
    assert rig.interfaces() == {"subs"}
    await rig.plane.netif_detach(wide)
    assert rig.interfaces() == set()


@on(*KINDS)
async def test_many_ask_for_a_shared_interface_at_once(rig: Rig) -> None:
    ports = [await rig.session(number) for number in range(10)]
    answers = [rig.plane.netif_attach(port, NetifSpec(name="subs", mode="shared")) for port in ports]
    leaving = rig.plane.port_delete(ports[3])
    names = []
    for number, answer in enumerate(answers):
        try:
            names.append((await answer).name)
        except DataPathError as error:
            assert number == 3 and error.code == NOT_FOUND
    await leaving
    assert set(names) == {"subs"} and len(names) >= 9
    await rig.plane.tunnel_delete(rig.tunnel)
    assert rig.interfaces() == set()


@on(*KINDS)
async def test_interface_names(rig: Rig) -> None:
    ports = [await rig.session(number) for number in range(4)]
    assert (await rig.netif(ports[0], name="vpn%d")).name == "vpn0"
    assert (await rig.netif(ports[1], name="vpn%d")).name == "vpn1"
    assert (await rig.netif(ports[2], name="fixed")).name == "fixed"
    await refused(rig.plane.netif_attach(ports[3], NetifSpec(name="fixed")), IN_USE)
    await refused(rig.plane.netif_attach(ports[2], NetifSpec()), IN_USE)
    assert rig.interfaces() == {"vpn0", "vpn1", "fixed"}
    gone = rig.plane.port_delete(ports[2])
    again = await rig.netif(ports[3], name="fixed")
    await gone
    assert again.name == "fixed"
    assert rig.interfaces() == {"vpn0", "vpn1", "fixed"}


@on(*WIRES)
async def test_the_kernel_makes_no_address_of_its_own(rig: Rig) -> None:
    port = await rig.session()
    netif = await rig.netif(port, multicast=False)
    shown = rig.host.run("ip", "-d", "link", "show", netif.name).stdout
    assert "inet6" not in rig.host.run("ip", "address", "show", netif.name).stdout
    assert "addrgenmode none" in shown
    assert "MULTICAST" not in shown
    assert netif.ifindex == int(shown.split(":")[0])


@on(*WIRES)
async def test_an_interface_that_somebody_removes_is_reported(rig: Rig) -> None:
    port = await rig.session()
    netif = await rig.netif(port)
    rig.host.run("ip", "link", "delete", netif.name)
    await until(lambda: rig.events.named("netif_gone"), "netif_gone")
    assert rig.events.named("netif_gone") == [(port, netif.name)]
    await refused(rig.plane.netif_detach(port), NOT_FOUND)
    assert (await rig.plane.netif_attach(port, NetifSpec())).name == netif.name


@on(*KINDS)
async def test_an_interface_leaves_and_the_port_stays(rig: Rig) -> None:
    port = await rig.session()
    await rig.netif(port)
    await rig.plane.netif_detach(port)
    assert rig.interfaces() == set()
    rig.plane.port_send(port, LCP_ECHO)
    assert await rig.peer_frames(1) == [(0, -1, LCP_ECHO)]
    assert (await rig.netif(port)).name == "ppp0"


@on(*KINDS)
async def test_final_counters_are_given_and_stay_readable(rig: Rig) -> None:
    port = await rig.session()
    await rig.netif(port)
    rig.plane.port_send(port, LCP_ECHO)
    final = await rig.plane.port_delete(port)
    assert final[:2] == (1, len(LCP_ECHO))
    assert rig.interfaces() == set()
    assert await rig.plane.counters([port]) == {port: final}
    assert await rig.plane.counters() == {}
    await refused(rig.plane.port_delete(port), NOT_FOUND)
    assert await rig.session() != port


@on(*KINDS)
async def test_a_tunnel_takes_its_ports_with_it(rig: Rig) -> None:
    ports = [await rig.session(number) for number in range(5)]
    for port in ports:
        await rig.netif(port)
    await rig.plane.tunnel_delete(rig.tunnel)
    assert rig.interfaces() == set()
    assert set(await rig.plane.counters(ports)) == set(ports)
    assert await rig.plane.counters() == {}


@on(*USER_KINDS)
async def test_joined_ports_pass_frames_unread(rig: Rig) -> None:
    one, two = await rig.session(1), await rig.session(2)
    rig.peer_send(LCP_ECHO, 1)
    await rig.received(one, 1)
    await rig.plane.switch_add(one, two)
    assert await rig.peer_frames(1) == [(2, -1, LCP_ECHO)]
    for frame in (v4_frame(UP), b"\x12garbage"):
        rig.peer_send(frame, 2)
        assert await rig.peer_frames(1) == [(1, -1, frame)]
    await refused(rig.plane.netif_attach(one, NetifSpec()), IN_USE)
    await refused(rig.plane.switch_add(two, one), IN_USE)
    await rig.plane.switch_delete(two)
    got: list[bytes] = []
    rig.plane.port_receiver(one, got.append)
    await rig.plane.counters()
    rig.peer_send(LCP_ECHO, 1)
    await until(lambda: got, "a frame for the receiver")
    await rig.plane.switch_add(one, two)
    await rig.plane.port_delete(one)
    await refused(rig.plane.switch_delete(two), NOT_FOUND)


@on(*WIRES)
async def test_data_from_elsewhere_is_dropped_and_reported_once(rig: Rig) -> None:
    port = await rig.session()
    netif = await rig.netif(port)
    family = rig.peer.family
    with socket.socket(family, socket.SOCK_DGRAM) as other:
        other.bind((rig.peer_address()[0], 0))
        moved = other.getsockname()[:2]
        for _ in range(10):
            other.sendto(b"\x00\x02\x00\x0b\x00\x64" + v4_frame(UP), rig.target())
        rig.peer_send(v4_frame(UP6 and UP))
        assert await rig.packets(netif, 1) == [UP]
        await until(lambda: rig.events.named("peer_moved"), "peer_moved")
        assert rig.events.named("peer_moved") == [(rig.tunnel, moved)]
        assert counter(await rig.row(port), "rx_errors") == 10
        await rig.plane.tunnel_modify(rig.tunnel, moved)
        other.sendto(b"\x00\x02\x00\x0b\x00\x64" + v4_frame(UP), rig.target())
        assert await rig.packets(netif, 1) == [UP]
        other.setblocking(False)
        rig.inject(netif, DOWN)
        got: list[bytes] = []

        def arrived() -> bool:
            try:
                got.append(other.recv(65535))
            except BlockingIOError:
                return False
            return True

        await until(arrived, "a packet at the new address")
        assert got[0].endswith(DOWN)


@on(*WIRES)
async def test_control_datagrams_reach_the_daemon_and_data_does_not(rig: Rig) -> None:
    control = ControlEnd(rig.listener)
    try:
        port = await rig.session()
        got: list[bytes] = []
        rig.plane.port_receiver(port, got.append)
        await rig.plane.counters()
        for number in range(20):
            rig.peer.sendto(b"\xc8\x02control%d" % number, rig.target())
            rig.peer_send(LCP_ECHO)
        peer = rig.peer.getsockname()[:2]
        for number in range(20):
            assert await control.receive() == (b"\xc8\x02control%d" % number, peer)
        await until(lambda: len(got) == 20, "twenty frames")
        control.send(b"\xc8\x02answer", peer, rig.target())
        ((answer, source),) = await rig.datagrams(1)
        assert answer == b"\xc8\x02answer"
        assert source[1] == rig.listener.address[1]
        if rig.listener.relay:
            assert control.local == rig.target()
    finally:
        control.close()


@on(*WIRES)
async def test_the_split_lives_on_when_the_daemon_closes_its_end(rig: Rig) -> None:
    port = await rig.session()
    got: list[bytes] = []
    rig.plane.port_receiver(port, got.append)
    await rig.plane.counters()
    os.close(rig.listener.control)
    rig.listener.control = os.open("/dev/null", os.O_RDONLY)
    rig.peer.sendto(b"\xc8\x02control", rig.target())
    for _ in range(10):
        rig.peer_send(LCP_ECHO)
    await until(lambda: len(got) == 10, "ten frames")


@pytest.mark.root
@pytest.mark.parametrize("tos", [0, 0xB8, -1])
@pytest.mark.parametrize("kind", ["userspace", "wildcard", "ipv6"])
@pytest_twisted.ensureDeferred
async def test_the_ds_field_of_outer_packets(kind: str, tos: int) -> None:
    rig = RIGS[kind]()
    if rig.ipv6:
        rig.peer.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVTCLASS, 1)
    else:
        rig.peer.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
    await rig.open(tos=tos)
    try:
        port = await rig.session()
        netif = await rig.netif(port)
        rig.inject(netif, ipv4("192.0.2.1", "10.0.0.1", tos=0x28))
        got: list = []

        def arrived() -> bool:
            try:
                got.append(rig.peer.recvmsg(65535, 64))
            except BlockingIOError:
                return False
            return True

        await until(arrived, "the packet")
        ((_, _, value),) = got[0][1]
        assert value[0] == (0x28 if tos < 0 else tos)
    finally:
        await rig.close()


@pytest.mark.root
@pytest.mark.parametrize("kind", ["userspace", "wildcard", "ipv6", "relay"])
@pytest_twisted.ensureDeferred
async def test_a_tunnel_with_its_own_socket_options_still_receives(kind: str) -> None:
    rig = RIGS[kind]()
    await rig.open(pmtu_discovery=True, udp_checksum=False)
    try:
        port = await rig.session()
        netif = await rig.netif(port)
        if rig.ipv6:
            rig.peer.setsockopt(socket.IPPROTO_UDP, 102, 1)  # UDP_NO_CHECK6_RX
        rig.inject(netif, DOWN)
        assert await rig.peer_frames(1) == [(0, -1, v4_frame(DOWN))]
        for _ in range(10):
            rig.peer_send(v4_frame(UP))
        assert await rig.packets(netif, 10) == [UP] * 10
    finally:
        await rig.close()


@pytest.mark.root
@pytest_twisted.ensureDeferred
async def test_a_narrow_outer_path_is_told_to_the_sender() -> None:
    rig = RIGS["userspace"]()
    await rig.open(pmtu_discovery=True)
    try:
        rig.host.run("ip", "link", "set", "lo", "mtu", "1300")
        port = await rig.session()
        netif = await rig.netif(port)
        rig.inject(netif, ipv4("192.0.2.1", "10.0.0.1", bytes(1400), df=True))
        (answer,) = await rig.packets(netif, 1)
        assert answer[20:22] == b"\x03\x04"
        assert answer[26:28] == (1300 - 28 - 6 - 4).to_bytes(2, "big")
    finally:
        await rig.close()


@pytest.mark.root
@pytest_twisted.ensureDeferred
async def test_datagrams_that_the_kernel_had_no_room_for_are_reported() -> None:
    rig = RIGS["userspace"]()
    await rig.open()
    try:
        port = await rig.session()
        (listener,) = rig.plane.listeners.values()
        listener.data.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        for _ in range(200):
            rig.peer_send(LCP_ECHO)
        await until(lambda: rig.events.named("overload"), "overload")
        ((dropped,),) = rig.events.named("overload")
        assert dropped == 200 - counter(await rig.row(port), "rx_packets") > 100
    finally:
        await rig.close()


@on(*KINDS)
async def test_counters_of_very_many_ports_come_together(rig: Rig) -> None:
    ports = [rig.plane.session_add(SessionSpec(rig.tunnel, 1000 + number, 1000 + number)) for number in range(3000)]
    ids = [await port for port in ports]
    rows = await rig.plane.counters()
    assert set(rows) == set(ids)
    assert await rig.plane.counters(ids[:2000]) == dict(list(rows.items())[:2000])
