"""Our frames as scapy reads them, and scapy's as we do: a second opinion on every length and every field."""

from __future__ import annotations

import random

import pytest
from scapy.layers import ppp as scapy

from prol2tp.ppp import chap, frame, options, pap
from tests.vectors.ppp import VALID

CONFIGURED = {frame.LCP, frame.IPCP}


def read_by_scapy(octets: bytes) -> scapy.PPP:
    return scapy.HDLC(octets)[scapy.PPP] if octets[:2] == b"\xff\x03" else scapy.PPP(octets)


@pytest.mark.parametrize("octets", VALID, ids=lambda octets: octets.hex()[:40])
def test_scapy_reads_our_frames_as_we_meant_them(octets: bytes) -> None:
    protocol, start = frame.read_header(octets)
    code, identifier, data = frame.read_packet(octets[start:])
    packet = read_by_scapy(octets)
    assert packet.proto == protocol
    if protocol in (frame.IPV6CP, frame.CCP):
        return  # scapy has no layer for them
    body = packet.payload
    assert (body.code, body.id, body.len) == (code, identifier, len(data) + 4)
    if protocol in CONFIGURED and code <= frame.CONFIGURE_REJECT:
        assert [(option.type, bytes(option)[2:]) for option in body.options] == options.read(data)
    elif protocol == frame.PAP and code == pap.AUTHENTICATE_REQUEST:
        assert (body.username, body.password) == pap.read_request(data)
    elif protocol == frame.CHAP and code in (chap.CHALLENGE, chap.RESPONSE):
        assert (body.value, body.optional_name) == chap.read_value(data)
    elif protocol == frame.LCP and code == frame.PROTOCOL_REJECT:
        assert body.rejected_protocol.to_bytes(2, "big") == data[:2]


def test_we_read_the_options_that_scapy_writes() -> None:
    rng = random.Random(4)
    for _ in range(500):
        mru, magic, accm = rng.randrange(1 << 16), rng.randrange(1 << 32), rng.randrange(1 << 32)
        written = scapy.PPP(proto=frame.LCP) / scapy.PPP_LCP_Configure(
            code=rng.randrange(1, 5),
            id=rng.randrange(256),
            options=[
                scapy.PPP_LCP_MRU_Option(max_recv_unit=mru),
                scapy.PPP_LCP_ACCM_Option(accm=accm),
                scapy.PPP_LCP_Auth_Protocol_Option(auth_protocol=frame.CHAP, algorithm=5),
                scapy.PPP_LCP_Magic_Number_Option(magic_number=magic),
            ],
        )
        octets = bytes(written)
        protocol, start = frame.read_header(octets)
        code, identifier, data = frame.read_packet(octets[start:])
        assert (protocol, code, identifier) == (frame.LCP, written.code, written.id)
        assert options.read(data) == [
            (1, mru.to_bytes(2, "big")),
            (2, accm.to_bytes(4, "big")),
            (3, b"\xc2\x23\x05"),
            (5, magic.to_bytes(4, "big")),
        ]


def test_we_read_the_authentication_that_scapy_writes() -> None:
    request = bytes(scapy.PPP_PAP_Request(id=3, username=b"u1", password=b"pw1"))
    code, identifier, data = frame.read_packet(request)
    assert (code, identifier, pap.read_request(data)) == (1, 3, (b"u1", b"pw1"))
    response = bytes(scapy.PPP_CHAP_ChallengeResponse(code=2, id=4, value=bytes(16), optional_name=b"u1"))
    code, identifier, data = frame.read_packet(response)
    assert (code, identifier, chap.read_value(data)) == (2, 4, (bytes(16), b"u1"))
