"""Programs of classic BPF for the kernel's data path, run by a machine of a few lines."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from struct import Struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prol2tp.dataplane.linux import filters
from prol2tp.dataplane.prefixes import allowed, parse_prefix
from prol2tp.net.ethernet import program
from prol2tp.pppoe.packets import SESSION
from tests.contract.test_dataplane import OF_THE_INTERFACE, PUNTED, UP, ipv4, ipv6

STEP = Struct("=HBBI")
SIZES = {0x00: 4, 0x08: 2, 0x10: 1}


def taken(steps: bytes, packet: bytes, packet_type: int = 0, tagged: bool = False) -> bool:
    """Whether a program takes a packet; what is read behind its end drops it."""
    special = {0xFFFFF004: packet_type, 0xFFFFF030: int(tagged)}
    lines = list(STEP.iter_unpack(steps))
    at = value = index = 0
    while True:
        code, yes, no, constant = lines[at]
        at += 1
        if code in (0x20, 0x28, 0x30, 0x40):
            if constant in special:
                value = special[constant]
                continue
            start = constant + (index if code == 0x40 else 0)
            size = SIZES[code & 0x18]
            if start + size > len(packet):
                return False
            value = int.from_bytes(packet[start:start + size], "big")
        elif code == 0xB1:
            index = (packet[constant] & 15) * 4
        elif code == 0x54:
            value &= constant
        elif code == 0x05:
            at += constant
        elif code in (0x15, 0x35):
            at += yes if (value == constant if code == 0x15 else value >= constant) else no
        else:
            assert code == 0x06
            return bool(constant)


def from_peer(packet: bytes) -> bytes:
    """As the pass filter of a unit sees it."""
    return (b"\0\0\0\x21" if packet[0] >> 4 == 4 else b"\0\0\0\x57") + packet


ADDRESSES = st.one_of(st.integers(0, 2**32 - 1).map(ip_address),
                      st.integers(0, 2**128 - 1).map(lambda number: ip_address(number.to_bytes(16, "big"))))


@given(st.lists(st.tuples(ADDRESSES, st.integers(0, 128)), max_size=6), ADDRESSES, st.data())
def test_a_source_passes_when_it_is_in_a_prefix(networks, address, data) -> None:
    prefixes = [parse_prefix(str(ip_network(f"{base}/{min(bits, base.max_prefixlen)}", strict=False)))
                for base, bits in networks]
    if prefixes and data.draw(st.booleans()):
        network, bits = data.draw(st.sampled_from(prefixes))
        spare = data.draw(st.integers(0, 2 ** (len(network) * 8 - bits) - 1))
        address = ip_address((int.from_bytes(network, "big") | spare).to_bytes(len(network), "big"))
    steps = filters.source_check(prefixes, False)
    packet = ipv4(str(address), "192.0.2.1") if address.version == 4 else ipv6(str(address), "2001:db8::1")
    assert taken(steps, from_peer(packet)) is allowed(address.packed, prefixes)
    # what we send, and what is no IP packet, passes
    assert taken(steps, b"\1" + from_peer(packet)[1:])
    assert taken(steps, b"\0\0\0\xfd" + bytes(40))


def test_without_a_source_only_solicitations_have_a_chance() -> None:
    packet = from_peer(ipv6("::", "ff02::2"))
    assert taken(filters.source_check([], True), packet)
    assert not taken(filters.source_check([], False), packet)


def test_too_many_prefixes_make_no_program() -> None:
    hosts = [parse_prefix(f"10.{number >> 8}.{number & 255}.1/32") for number in range(2000)]
    assert filters.source_check(hosts, False) == b""
    assert filters.pppoe_sessions(range(1, 400), b"") == b""
    assert filters.l2tp_ip_sessions(range(1, 400), False) == b""


def test_solicitations_are_seen_and_all_else_is_not() -> None:
    steps = filters.solicitations()
    assert all(taken(steps, packet) for packet in PUNTED)
    assert not any(taken(steps, packet, packet_type=4) for packet in PUNTED)
    assert not taken(steps, OF_THE_INTERFACE[0]) and not taken(steps, OF_THE_INTERFACE[1])


@pytest.mark.parametrize("tagged", [False, True])
def test_data_of_sessions_that_others_have_is_not_seen(tagged: bool) -> None:
    steps = filters.pppoe_sessions([7, 9], program(SESSION, tagged))

    def frame(session: int, protocol: int) -> bytes:
        return bytes(12) + b"\x88\x64\x11\0" + session.to_bytes(2, "big") + b"\0\x08" + protocol.to_bytes(2, "big")

    assert taken(steps, frame(7, 0x21)) and taken(steps, frame(9, 0x57))
    assert not taken(steps, frame(8, 0x21))
    assert taken(steps, frame(8, 0xC021))
    assert taken(steps, frame(8, 0x21), tagged=True)
    assert not taken(steps, frame(7, 0x21), packet_type=4)


@pytest.mark.parametrize("over_ipv6", [False, True])
def test_control_over_ip_is_seen_and_data_of_our_own_sessions(over_ipv6: bool) -> None:
    steps = filters.l2tp_ip_sessions([0x11000000], over_ipv6)
    head = b"" if over_ipv6 else UP[:20]
    for session, seen in ((0, True), (0x11000000, True), (0x11000001, False)):
        assert taken(steps, head + session.to_bytes(4, "big") + b"frame") is seen
