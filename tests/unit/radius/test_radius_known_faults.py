"""Shapes of faults that others have had in RADIUS, each by its name; and what is hidden in attributes."""

from __future__ import annotations

import hashlib

import pytest
from pyrad.packet import AccessAccept, AuthPacket

from prol2tp.common.wire import WireError
from prol2tp.ppp import mppe, mschap
from prol2tp.radius import packets
from prol2tp.radius.answer import Answer, Malformed, read
from prol2tp.radius.dictionary import DICTIONARY
from prol2tp.radius.outputs import NoAnswer
from tests.steps import steps
from tests.unit.radius.radius_server import Net, Server, server
from tests.unit.radius.test_radius_client import A, login

SECRET, AUTHENTICATOR = b"testing123", bytes(range(16))
HEADER = b"\x02\x07"


def packet(attributes: bytes, code: int = 2) -> bytes:
    """A signed answer with these octets as its attributes."""
    head = bytes((code, 7)) + (len(attributes) + 20).to_bytes(2, "big")
    return head + hashlib.md5(head + AUTHENTICATOR + attributes + SECRET).digest() + attributes


def answer(attributes: bytes) -> Answer:
    found = packets.decode(packet(attributes), SECRET)
    assert packets.reply_verified(found, 1, 7, AUTHENTICATOR, SECRET, False)
    return read(found)


ATTRIBUTES = (1, 6, 8, 9, 11, 12, 18, 22, 24, 25, 26, 27, 64, 66, 69, 79, 80, 88, 96, 97, 99, 123, 168, 255)


@pytest.mark.parametrize("kind", ATTRIBUTES)
@pytest.mark.parametrize("length", [0, 1, 3, 7, 0x80, 0xFF])
def test_cve_2022_24704_an_attribute_longer_or_shorter_than_it_says_costs_the_packet(kind: int, length: int) -> None:
    """accel-ppp: a length that was not checked against what there is."""
    with pytest.raises(WireError):
        packets.decode(packet(b"\x0b\x03x" + bytes((kind, length))), SECRET)


@pytest.mark.parametrize("kind", [one for one in ATTRIBUTES if one != packets.MESSAGE_AUTHENTICATOR])
def test_cve_2022_24704_values_of_any_length_are_read_or_refused(kind: int) -> None:
    for length in range(254):
        try:
            answer(bytes((kind, length + 2)) + b"\x41" * length)
        except WireError:
            continue


@pytest.mark.parametrize("inner", [
    b"\x1c\x00", b"\x1c\x01", b"\x1c\x00\x00\x00", b"\x1c\x01\x0a\x0a", b"\x1c\x06\x0a\x00\x00\x35\x1d\x00",
    b"\x1c\x06\x0a\x00\x00\x35\x1d\x01", b"\x1c\xff\x0a", b"\x1c",
])
@pytest.mark.parametrize("vendor", [311, 9, 14988, 14122, 529, 4242])
def test_cve_2020_28194_a_vendor_attribute_with_a_length_below_two_is_no_loop_and_no_value(
    vendor: int, inner: bytes
) -> None:
    """accel-ppp: a length of 0 or 1 went below zero."""
    value = vendor.to_bytes(4, "big") + inner
    said = answer(bytes((26, len(value) + 2)) + value)
    assert said.dns == () and said.ignored == ("Vendor-Specific",)


def test_a_packet_full_of_the_smallest_attributes_is_read_in_steps_of_its_size() -> None:
    """tcpdump had CVE-2003-1029: a length of 0 that is never left. Here every attribute takes two octets at least."""
    small = packet(b"\x0b\x02" * 200)
    large = packet(b"\x0b\x02" * 2000)
    assert steps(packets.decode, large, SECRET) < 15 * steps(packets.decode, small, SECRET)


def test_cve_2024_3596_an_accept_without_message_authenticator_is_not_believed() -> None:
    """BlastRADIUS: a Response Authenticator alone can be forged by who hears the request and shapes a Proxy-State."""

    class Unsigned(Server):
        def answer(self, data: bytes) -> bytes | None:
            request = AuthPacket(secret=self.secret, dict=DICTIONARY, packet=data)
            reply = request.CreateReply()
            reply.code = AccessAccept
            reply.message_authenticator = None
            return reply.ReplyPacket()

    net = Net([server("one", A)], {A: Unsigned()})
    handle = net.request(login())
    net.run(60)
    assert isinstance(net.result(handle), NoAnswer)
    assert net.client.counters.bad_authenticator > 0 and net.client.counters.access_accepts == 0


def test_cve_2024_3596_the_signature_of_every_request_comes_first() -> None:
    peer = Server()
    net = Net([server("one", A)], {A: peer})
    net.request(login())
    net.run(1)
    assert all(data[20:22] == b"\x50\x12" for data in peer.raw) and peer.raw


def test_a_reject_cannot_be_turned_into_an_accept_by_its_code() -> None:
    rejected = packet(b"", code=3)
    forged = packets.decode(b"\x02" + rejected[1:], SECRET)
    assert not packets.reply_verified(forged, 1, 7, AUTHENTICATOR, SECRET, False)


# hidden attributes


def hide(plain: bytes) -> bytes:
    """RFC 2865 section 5.2."""
    hidden, before = b"", AUTHENTICATOR
    for at in range(0, len(plain), 16):
        mask = hashlib.md5(SECRET + before).digest()
        before = bytes(one ^ other for one, other in zip(plain[at : at + 16], mask, strict=True))
        hidden += before
    return hidden


def vendor(number: int, value: bytes) -> bytes:
    inner = (311).to_bytes(4, "big") + bytes((number, len(value) + 2)) + value
    return bytes((26, len(inner) + 2)) + inner


def test_the_keys_of_mschapv1_are_read_and_are_those_that_the_user_computes() -> None:
    nt_hash = mschap.nt_password_hash("clientPass")
    hashed = mschap.hash_nt_password_hash(nt_hash)
    said = answer(vendor(12, hide(b"lanman12" + hashed + bytes(8))))
    assert said.mschap_mppe_keys == b"lanman12" + hashed + bytes(8)
    assert "lanman" not in repr(said)
    challenge = bytes.fromhex("102DB5DF085D3041")
    assert mppe.start_key_v1_of_server(hashed, challenge) == mppe.start_key_v1(nt_hash, challenge)


@pytest.mark.parametrize("length", [0, 1, 15, 17, 31, 33])
def test_keys_of_mschapv1_of_another_length_are_malformed(length: int) -> None:
    with pytest.raises(Malformed, match="MS-CHAP-MPPE-Keys"):
        answer(vendor(12, bytes(length)))


@pytest.mark.parametrize("number", [16, 17])
@pytest.mark.parametrize("value", [b"", b"\x80", b"\x80\x01", b"\x80\x01" + bytes(15), b"\x80\x01" + bytes(17)])
def test_salted_keys_of_another_length_are_malformed(number: int, value: bytes) -> None:
    with pytest.raises(Malformed):
        answer(vendor(number, value))


def test_a_salted_key_that_says_it_is_longer_than_it_is_is_malformed() -> None:
    for salt in range(40):
        value = b"\x80" + bytes((salt,)) + bytes(16)
        try:
            said = answer(vendor(16, value))
            assert len(said.mppe_send_key) <= 15
        except Malformed:
            pass
