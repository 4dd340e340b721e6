"""MS-CHAP and MPPE against the vectors of the RFCs."""

from __future__ import annotations

import pytest

from prol2tp.ppp import mppe, mschap

NAME = b"User"
PASSWORD = "clientPass"
AUTHENTICATOR_CHALLENGE = bytes.fromhex("5B5D7C7D7B3F2F3E3C2C602132262628")
PEER_CHALLENGE = bytes.fromhex("21402324255E262A28295F2B3A337C7E")
NT_HASH = bytes.fromhex("44EBBA8D5312B8D611474411F56989AE")
NT_RESPONSE = bytes.fromhex("82309ECD8D708B5EA08FAA3981CD83544233114A3D85D6DF")


def test_rfc_2759_section_9_2() -> None:
    assert mschap.nt_password_hash(PASSWORD) == NT_HASH
    assert mschap.hash_nt_password_hash(NT_HASH).hex() == "41c00c584bd2d91c4017a2a12fa59f3f"
    assert mschap.challenge_hash(PEER_CHALLENGE, AUTHENTICATOR_CHALLENGE, NAME).hex() == "d02e4386bce91226"
    assert mschap.nt_response(AUTHENTICATOR_CHALLENGE, PEER_CHALLENGE, NAME, NT_HASH) == NT_RESPONSE
    said = mschap.authenticator_response(NT_HASH, NT_RESPONSE, PEER_CHALLENGE, AUTHENTICATOR_CHALLENGE, NAME)
    assert said == "S=407A5589115FD0D6209F510FE9C04566932CDA56"


def test_rfc_2433_appendix_b_2() -> None:
    """Password MyPw, challenge 102DB5DF085D3041."""
    challenge = bytes.fromhex("102DB5DF085D3041")
    nt_hash = mschap.nt_password_hash("MyPw")
    assert nt_hash.hex().upper() == "FC156AF7EDCD6C0EDDE3337D427F4EAC"
    response = bytes.fromhex("4E9D3C8F9CFD385D5BF4D3246791956CA4C351AB409A3D61")
    assert mschap.challenge_response(challenge, nt_hash) == response
    assert mschap.verify_v1(nt_hash, challenge, response)
    assert not mschap.verify_v1(nt_hash, challenge, response[:-1])


def test_a_domain_in_front_of_the_name_is_not_hashed() -> None:
    for name in (b"User", b"DOMAIN\\User"):
        assert mschap.verify_v2(NT_HASH, NT_RESPONSE, PEER_CHALLENGE, AUTHENTICATOR_CHALLENGE, name)
    assert not mschap.verify_v2(NT_HASH, NT_RESPONSE, PEER_CHALLENGE, AUTHENTICATOR_CHALLENGE, b"user")
    assert not mschap.verify_v2(NT_HASH, b"", PEER_CHALLENGE, AUTHENTICATOR_CHALLENGE, NAME)


@pytest.mark.parametrize(
    ("bits", "start", "session"),
    [
        (40, "8b7cdc149b993a1b", "d1269ec49fa62e3e"),
        (56, "8b7cdc149b993a1b", "d15c00c49fa62e3e"),
        (128, "8b7cdc149b993a1ba118cb153f56dccb", "405cb2247a7956e6e211007ae27b22d4"),
    ],
)
def test_rfc_3079_section_3_5(bits: int, start: str, session: str) -> None:
    assert mppe.master_key(NT_HASH, NT_RESPONSE).hex() == "fdece3717a8c838cb388e527ae3cdd31"
    keys = mppe.start_keys_v2(NT_HASH, NT_RESPONSE, authenticator=True)
    assert keys.send[: len(start) // 2].hex() == start
    assert mppe.session_key(keys.send, bits).hex() == session
    client = mppe.start_keys_v2(NT_HASH, NT_RESPONSE, authenticator=False)
    assert (client.send, client.receive) == (keys.receive, keys.send)
    assert keys.send.hex() not in repr(keys) and str(keys.send) not in f"{keys}"


def test_rfc_3079_section_2_5_3() -> None:
    """128 bits from version 1: password clientPass, challenge 102DB5DF085D3041."""
    start = mppe.start_key_v1(NT_HASH, bytes.fromhex("102DB5DF085D3041"))
    assert start.hex() == "a8947850cfc0acc1d1789fb62ddcddb0"
    assert mppe.session_key(start, 128).hex() == "59d159bc09f76f1da2a86a28ffec0b1e"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"E=691 R=0 C=00112233445566778899AABBCCDDEEFF V=3 M=no", "no (authentication failure, 691)"),
        (b"E=648 R=0 V=3", "password expired (648)"),
        (b"E=691 R=1", "authentication failure (691)"),
        (b"E=12345678901234", "error (1234567890)"),
        (b"E=7 R=0 V=3 M=a\nb", "a\\nb (error, 7)"),
        (b"go away\x1b", "go away\\x1b"),
        (b"", ""),
    ],
)
def test_failures_are_read_for_people(data: bytes, reason: str) -> None:
    assert mschap.failure_reason(data) == reason


def test_failures_are_written_as_the_rfc_has_them() -> None:
    assert (
        mschap.failure_text("bad", 691, True, bytes(range(16)))
        == b"E=691 R=1 C=000102030405060708090A0B0C0D0E0F V=3 M=bad"
    )
    assert mschap.failure_text("", 691, False, bytes(8)) == b"E=691 R=0 C=0000000000000000 V=3"
