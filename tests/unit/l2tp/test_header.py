"""L2TPv2 headers (RFC 2661 section 3.1)."""

import itertools

import pytest

from prol2tp.common.wire import WireError
from prol2tp.l2tp.header import (
    ControlHeader,
    UnsupportedVersion,
    is_control,
    read_control,
    read_data,
    write_control,
    write_data,
)
from tests.vectors.l2tp import PROL2TP_V3_SCCRQ, octets

HELLO = octets("c802 0014 0001 0000 0002 0003 8008 0000 0000 0006")


def test_a_control_message_is_read_and_written_octet_for_octet():
    assert read_control(HELLO) == ControlHeader(length=20, tunnel_id=1, session_id=0, ns=2, nr=3)
    assert write_control(1, 0, 2, 3, HELLO[12:]) == HELLO


def test_a_zlb_is_a_header_alone():
    zlb = write_control(9, 0, 65535, 7)
    assert zlb == octets("c802 000c 0009 0000 ffff 0007")
    assert read_control(zlb).length == 12


def test_octets_after_the_header_length_are_no_part_of_the_message():
    header = read_control(HELLO + b"padding")
    assert header.length == len(HELLO)


def test_reserved_header_bits_are_not_looked_at():
    data = bytes((HELLO[0] | 0x34, HELLO[1] | 0xF0)) + HELLO[2:]
    assert read_control(data) == read_control(HELLO)


@pytest.mark.parametrize("first", ["4802", "8802", "c002", "ca02", "c902"])
def test_a_control_header_must_have_t_l_and_s_and_neither_o_nor_p(first):
    with pytest.raises(WireError):
        read_control(bytes.fromhex(first) + HELLO[2:])


@pytest.mark.parametrize("length", [0, 1, 11, 21, 65535])
def test_a_header_length_outside_the_datagram_is_refused(length):
    with pytest.raises(WireError):
        read_control(HELLO[:2] + length.to_bytes(2, "big") + HELLO[4:])


@pytest.mark.parametrize("size", range(12))
def test_a_datagram_shorter_than_a_control_header_is_refused(size):
    with pytest.raises(WireError):
        read_control(HELLO[:size])


@pytest.mark.parametrize("version", [0, 1, 3, 4, 15])
def test_another_version_is_told_apart(version):
    with pytest.raises(UnsupportedVersion) as caught:
        read_control(bytes((HELLO[0], version)) + HELLO[2:])
    assert caught.value.version == version


def test_a_real_sccrq_of_version_3_is_recognized_as_such():
    with pytest.raises(UnsupportedVersion) as caught:
        read_control(PROL2TP_V3_SCCRQ)
    assert caught.value.version == 3


def test_the_t_bit_tells_control_from_data():
    assert is_control(HELLO)
    assert not is_control(write_data(1, 2) + b"x")
    assert not is_control(b"")


@pytest.mark.parametrize(
    ("length", "ns", "offset", "priority"),
    list(itertools.product((False, True), (None, 0, 65535), (None, 0, 3), (False, True))),
)
def test_every_combination_of_data_header_fields_comes_back(length, ns, offset, priority):
    payload = b"\xff\x03\xc0\x21payload"
    head = write_data(1, 65535, len(payload) if length else None, ns, 5, offset, priority)
    header = read_data(head + payload)
    assert header[:5] == (1, 65535, ns, None if ns is None else 5, priority)
    assert (head + payload)[header.start:header.end] == payload


def test_a_data_header_is_laid_out_as_the_rfc_draws_it():
    assert write_data(1, 2) == octets("0002 0001 0002")
    assert write_data(1, 2, 4, 6, 0, 2, True) == octets("4b02 0014 0001 0002 0006 0000 0002 0000")


def test_the_data_length_cuts_off_what_follows():
    data = write_data(1, 2, 3) + b"abcdef"
    header = read_data(data)
    assert data[header.start:header.end] == b"abc"


def test_no_part_of_a_full_data_header_is_enough():
    data = write_data(1, 2, 0, 6, 0, 2)
    for size in range(len(data)):
        with pytest.raises(WireError):
            read_data(data[:size])


@pytest.mark.parametrize("text", [
    "4002 0000 0001 0002",             # Length 0
    "4002 0007 0001 0002",             # Length less than the header
    "4002 0009 0001 0002",             # Length beyond the datagram
    "0202 0001 0002 ffff 00",          # offset beyond the datagram
    "4202 000a 0001 0002 0001 00",     # offset beyond Length
    "c802 000c 0001 0002 0000 0000",   # a control message
])
def test_a_data_header_that_points_outside_is_refused(text):
    with pytest.raises(WireError):
        read_data(octets(text))


def test_data_of_another_version_is_told_apart():
    with pytest.raises(UnsupportedVersion):
        read_data(octets("0003 0001 0002 00"))
