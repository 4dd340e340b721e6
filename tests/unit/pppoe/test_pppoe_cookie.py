"""A cookie is good for the host, the place and the time that it was made for."""

from __future__ import annotations

import pytest

from prol2tp.pppoe import cookie
from tests.vectors.pppoe import AC, HOST

SECRET = bytes(range(32))
NONCE = b"12345678"


def given(now: float = 1000.9) -> bytes:
    return cookie.make(SECRET, HOST, "eth0", (100, 7), NONCE, now)


def test_a_cookie_is_good_as_long_as_it_lives_and_no_longer() -> None:
    made = given()
    assert len(made) == cookie.LENGTH
    for now, good in ((1000.0, True), (1030.99, True), (1031.0, False), (999.9, False), (5000.0, False)):
        assert cookie.check(made, SECRET, HOST, "eth0", (100, 7), 30, now) is good, now


def test_the_clock_may_pass_32_bits() -> None:
    made = given(2**32 - 1)
    assert cookie.check(made, SECRET, HOST, "eth0", (100, 7), 30, 2**32 + 5)


@pytest.mark.parametrize(("secret", "mac", "interface", "vids"), [
    (bytes(32), HOST, "eth0", (100, 7)),
    (SECRET, AC, "eth0", (100, 7)),
    (SECRET, HOST, "eth1", (100, 7)),
    (SECRET, HOST, "eth0", (100,)),
    (SECRET, HOST, "eth0", (7, 100)),
    (SECRET, HOST, "eth0", ()),
    (SECRET, HOST, "", (100, 7)),
])  # fmt: skip
def test_a_cookie_of_another_host_place_or_secret_is_bad(
    secret: bytes, mac: bytes, interface: str, vids: tuple[int, ...]
) -> None:
    assert cookie.check(given(), SECRET, HOST, "eth0", (100, 7), 30, 1001)
    assert not cookie.check(given(), secret, mac, interface, vids, 30, 1001)


def test_every_octet_and_the_length_count() -> None:
    made = given()
    for position in range(len(made)):
        bent = bytearray(made)
        bent[position] ^= 1
        assert not cookie.check(bytes(bent), SECRET, HOST, "eth0", (100, 7), 1e9, 1001)
        assert not cookie.check(made[:position], SECRET, HOST, "eth0", (100, 7), 1e9, 1001)
    assert not cookie.check(made + b"\0", SECRET, HOST, "eth0", (100, 7), 30, 1001)


def test_the_nonce_makes_two_cookies_of_one_second_differ() -> None:
    assert given() != cookie.make(SECRET, HOST, "eth0", (100, 7), b"abcdefgh", 1000.9)


def test_the_first_128_bits_are_those_of_hmac_sha_256() -> None:
    import hashlib
    import hmac

    head = (1000).to_bytes(4, "big") + NONCE
    place = head + HOST + b"\x02\x00\x64\x00\x07eth0"
    assert given() == head + hmac.new(SECRET, place, hashlib.sha256).digest()[:16]
