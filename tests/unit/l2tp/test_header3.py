"""L2TPv3 headers over UDP and IP (RFC 3931 sections 3.2.1, 4.1 and 4.6)."""

import pytest

from prol2tp.common.sequence import MODULUS_24, before
from prol2tp.common.wire import WireError
from prol2tp.l2tp import header
from prol2tp.l2tp.header import UnsupportedVersion
from prol2tp.l2tp.header3 import (
    OVER_IP,
    ControlHeader,
    DataHeader,
    WrongCookie,
    control_over_ip,
    read_control,
    read_data,
    read_session_id,
    version,
    write_control,
    write_data,
)
from tests.vectors.l2tp import PROL2TP_V3_SCCRQ, octets

HELLO = octets("c803 0014 01020304 0002 0003 8008 0000 0000 0006")
COOKIE_4 = bytes.fromhex("deadbeef")
COOKIE_8 = bytes.fromhex("0123456789abcdef")


def test_a_control_message_is_read_and_written_octet_for_octet():
    assert read_control(HELLO) == ControlHeader(0x01020304, 2, 3, start=0, body=12, end=20)
    assert write_control(0x01020304, 2, 3, HELLO[12:]) == HELLO


def test_over_ip_four_zeros_stand_before_it_that_its_length_does_not_count():
    data = OVER_IP + HELLO
    assert read_control(data, over_ip=True) == ControlHeader(0x01020304, 2, 3, start=4, body=16, end=24)
    assert control_over_ip(data)
    assert not control_over_ip(HELLO)
    with pytest.raises(WireError):
        read_control(HELLO, over_ip=True)
    with pytest.raises(WireError):
        read_control(data)


def test_the_real_sccrq_of_prol2tp_has_no_connection_yet():
    assert read_control(PROL2TP_V3_SCCRQ) == ControlHeader(0, 0, 0, 0, 12, 124)
    assert write_control(0, 0, 0, PROL2TP_V3_SCCRQ[12:]) == PROL2TP_V3_SCCRQ


def test_a_zlb_is_a_header_alone():
    zlb = write_control(0xFFFFFFFF, 65535, 7)
    assert zlb == octets("c803 000c ffffffff ffff 0007")
    found = read_control(zlb)
    assert found.body == found.end == 12


def test_octets_after_the_header_length_are_no_part_of_the_message():
    assert read_control(HELLO + b"padding").end == len(HELLO)


def test_reserved_header_bits_are_not_looked_at():
    data = bytes((HELLO[0] | 0x37, HELLO[1] | 0xF0)) + HELLO[2:]
    assert read_control(data) == read_control(HELLO)


@pytest.mark.parametrize("bits", ["4803", "8003", "8803", "c003", "0003"])
def test_a_control_message_has_type_length_and_sequence_bits(bits):
    with pytest.raises(WireError) as caught:
        read_control(bytes.fromhex(bits) + HELLO[2:])
    assert not isinstance(caught.value, UnsupportedVersion)


@pytest.mark.parametrize("number", [0, 1, 2, 4, 15])
def test_another_version_says_which(number):
    with pytest.raises(UnsupportedVersion) as caught:
        read_control(bytes((0xC8, number)) + HELLO[2:])
    assert caught.value.version == number
    assert version(bytes((0xC8, 0xF0 | number))) == number


def test_the_version_of_nothing_is_none_of_ours():
    assert [version(data) for data in (b"", b"\xc8")] == [0, 0]


def test_the_readers_of_the_two_versions_tell_each_other_s_messages():
    with pytest.raises(UnsupportedVersion) as caught:
        header.read_control(HELLO)
    assert caught.value.version == 3
    with pytest.raises(UnsupportedVersion) as caught:
        header.read_data(write_data(5))
    assert caught.value.version == 3
    with pytest.raises(UnsupportedVersion) as caught:
        read_session_id(header.write_data(5, 6) + bytes(8))
    assert caught.value.version == 2


@pytest.mark.parametrize("length", [0, 11, 21, 65535])
def test_the_length_lies_between_header_and_datagram(length):
    with pytest.raises(WireError):
        read_control(HELLO[:2] + length.to_bytes(2, "big") + HELLO[4:])


@pytest.mark.parametrize(("text", "cookie", "sublayer", "ns", "over_ip"), [
    ("0003 0000 2846f181", b"", False, None, False),
    ("0003 0000 2846f181 deadbeef", COOKIE_4, False, None, False),
    ("0003 0000 2846f181 0123456789abcdef", COOKIE_8, False, None, False),
    ("0003 0000 2846f181 00000000", b"", True, None, False),
    ("0003 0000 2846f181 0123456789abcdef 40ffffff", COOKIE_8, True, 0xFFFFFF, False),
    ("2846f181", b"", False, None, True),
    ("2846f181 deadbeef", COOKIE_4, False, None, True),
    ("2846f181 deadbeef 40000000", COOKIE_4, True, 0, True),
])
def test_data_is_written_and_read_octet_for_octet(text, cookie, sublayer, ns, over_ip):
    data = write_data(0x2846F181, cookie, sublayer, ns, over_ip)
    assert data == octets(text)
    assert read_session_id(data + b"frame", over_ip) == 0x2846F181
    assert read_data(data + b"frame", cookie, sublayer, over_ip) == DataHeader(ns, len(data))


@pytest.mark.parametrize("over_ip", [False, True])
@pytest.mark.parametrize("cookie", [COOKIE_4, COOKIE_8])
def test_a_cookie_is_checked_octet_by_octet(cookie, over_ip):
    for position in range(len(cookie)):
        wrong = bytearray(cookie)
        wrong[position] ^= 1
        with pytest.raises(WrongCookie):
            read_data(write_data(5, bytes(wrong), over_ip=over_ip) + b"frame", cookie, False, over_ip)
    for shorter in range(len(cookie)):
        with pytest.raises(WrongCookie):
            read_data((write_data(5, over_ip=over_ip) + cookie)[:-1 - shorter], cookie, False, over_ip)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 6, 7, 9])
def test_a_cookie_of_another_length_is_the_caller_s_mistake(size):
    with pytest.raises(ValueError, match="cookie"):
        write_data(5, bytes(size))


@pytest.mark.parametrize("over_ip", [False, True])
def test_session_0_has_no_data(over_ip):
    with pytest.raises(ValueError, match="Session ID"):
        write_data(0, over_ip=over_ip)
    with pytest.raises(WireError):
        read_session_id((b"" if over_ip else octets("0003 0000")) + bytes(8), over_ip)


def test_a_control_message_is_no_data():
    with pytest.raises(WireError):
        read_session_id(HELLO)


def test_reserved_bits_of_data_are_not_looked_at():
    data = octets("7ff3 ffff 00000005 bf000007")
    assert read_session_id(data) == 5
    assert read_data(data, sublayer=True) == DataHeader(None, 12)
    assert read_data(octets("0003 0000 00000005 ff000007"), sublayer=True) == DataHeader(7, 12)


def test_a_number_needs_a_sublayer_and_wraps_at_24_bits():
    with pytest.raises(ValueError, match="sublayer"):
        write_data(5, ns=1)
    assert write_data(5, sublayer=True, ns=MODULUS_24) == write_data(5, sublayer=True, ns=0)


@pytest.mark.parametrize("size", range(12))
def test_data_that_is_cut_off_is_refused(size):
    data = write_data(5, sublayer=True, ns=1)[:size]
    with pytest.raises(WireError):
        read_session_id(data)
        read_data(data, sublayer=True)


def test_numbers_of_data_are_compared_over_half_of_24_bits():
    half = MODULUS_24 // 2
    assert before(0, 1, MODULUS_24)
    assert before(MODULUS_24 - 1, 0, MODULUS_24)
    assert before(5, 5 + half - 1, MODULUS_24)
    assert not before(5, 5 + half, MODULUS_24)
    assert not before(5, 5, MODULUS_24)
    assert not before(0, MODULUS_24 - 1, MODULUS_24)
