"""Control Message Authentication (RFC 3931 sections 4.3, 5.3 and 5.4.1)."""

import hashlib

import pytest

from prol2tp.l2tp.auth import hide
from prol2tp.l2tp.avp import HEADER, HIDDEN, LENGTH, MANDATORY
from prol2tp.l2tp.digest import HMAC_MD5, HMAC_SHA_1, DigestError, Digests, authentication_key, hiding_key
from prol2tp.l2tp.header import write_control as write_control_2
from prol2tp.l2tp.header3 import write_control
from prol2tp.l2tp.messages import encode as encode_2
from prol2tp.l2tp.messages3 import HELLO, MESSAGES, decode, encode
from tests.vectors import l2tp as vectors2
from tests.vectors import l2tp3 as vectors
from tests.vectors.l2tp3 import LOCAL_NONCE, REMOTE_NONCE, SECRET

BODY = 12
NAMES = list(vectors.MESSAGES)
NAMES_BUT_SCCRQ = [name for name in NAMES if name != "SCCRQ"]


def ends(secrets=(SECRET,), digest_type=HMAC_MD5, peer_secrets=None):
    """The digests of both ends of a connection, every nonce told."""
    here, there = Digests(secrets, digest_type), Digests(peer_secrets or secrets, digest_type)
    here.local_nonce = there.remote_nonce = LOCAL_NONCE
    here.remote_nonce = there.local_nonce = REMOTE_NONCE
    return here, there


def sealed(digests, name="HELLO", ns=5, nr=6):
    body = encode(vectors.MESSAGES[name][1], digests=digests.blank())
    return digests.seal(write_control(0x01020304, ns, nr, body))


def hmac_by_hand(hash_name, key, data):
    """RFC 2104, in its own words."""
    def digest(octets):
        return hashlib.new(hash_name, octets).digest()

    key = (digest(key) if len(key) > 64 else key).ljust(64, b"\0")
    inner, outer = bytes(octet ^ 0x36 for octet in key), bytes(octet ^ 0x5C for octet in key)
    return digest(outer + digest(inner + data))


def avp(attribute, value, bits=MANDATORY):
    return HEADER.pack(bits | len(value) + 6, 0, attribute) + value


def with_avps(avps, name="HELLO"):
    body, _ = vectors.MESSAGES[name]
    return write_control(0x01020304, 5, 6, body[:8] + avps + body[8:])


def test_the_keys_are_derived_from_the_secret():
    assert authentication_key(SECRET) == hmac_by_hand("md5", SECRET, b"\x02")
    assert hiding_key(SECRET) == hmac_by_hand("md5", SECRET, b"\x01") != authentication_key(SECRET)


@pytest.mark.parametrize("digest_type", [HMAC_MD5, HMAC_SHA_1])
@pytest.mark.parametrize("name", NAMES)
def test_a_message_with_a_digest_is_written_octet_for_octet(name, digest_type):
    here, _ = ends(digest_type=digest_type)
    body, _ = vectors.MESSAGES[name]
    digest = bytes.fromhex(vectors.DIGESTS[name][digest_type])
    written = sealed(here, name)
    assert written == with_avps(avp(59, bytes((digest_type,)) + digest), name)
    assert len(avp(59, bytes(1) + digest)) == (27 if digest_type else 23)
    assert len(written) == 12 + len(body) + (27 if digest_type else 23)


@pytest.mark.parametrize("digest_type", [HMAC_MD5, HMAC_SHA_1])
@pytest.mark.parametrize("name", NAMES)
def test_the_other_end_lets_it_pass_and_reads_it(name, digest_type):
    here, there = ends(digest_type=digest_type)
    message = sealed(here, name)
    assert there.check(message) == hiding_key(SECRET)
    ignored = []
    assert decode(message[BODY:], ignored=ignored) == vectors.MESSAGES[name][1]
    assert ignored == []


@pytest.mark.parametrize("name", NAMES)
def test_one_damaged_bit_anywhere_is_noticed(name):
    here, there = ends()
    message = sealed(here, name)
    for position in range(len(message)):
        damaged = bytearray(message)
        damaged[position] ^= 0x10
        with pytest.raises(DigestError):
            there.check(bytes(damaged))


def test_a_peer_may_use_either_hash():
    md5, _ = ends(digest_type=HMAC_MD5)
    _, sha_1 = ends(digest_type=HMAC_SHA_1)
    sha_1.check(sealed(md5))


def test_another_secret_is_wrong():
    here, there = ends(peer_secrets=(b"other",))
    with pytest.raises(DigestError, match="wrong"):
        there.check(sealed(here))


@pytest.mark.parametrize("name", NAMES_BUT_SCCRQ)
def test_a_message_of_another_connection_is_wrong(name):
    here, there = ends()
    message = sealed(here, name)
    there.local_nonce = b"another nonce of ours"
    with pytest.raises(DigestError, match="wrong"):
        there.check(message)


def test_a_message_that_comes_back_to_its_sender_is_wrong():
    here, _ = ends()
    with pytest.raises(DigestError, match="wrong"):
        here.check(sealed(here))


def test_another_transmission_has_another_digest():
    here, there = ends()
    first, again = sealed(here, nr=6), sealed(here, nr=7)
    assert first != again
    there.check(first)
    there.check(again)
    with pytest.raises(DigestError):
        there.check(first[:10] + again[10:12] + first[12:])


# missing


@pytest.mark.parametrize("name", NAMES)
def test_without_a_digest_nothing_passes(name):
    _, there = ends()
    with pytest.raises(DigestError, match="missing"):
        there.check(with_avps(b"", name))


def test_a_zlb_has_no_place_for_a_digest():
    _, there = ends()
    with pytest.raises(DigestError, match="missing"):
        there.check(write_control(5, 6, 7))


def test_a_digest_elsewhere_than_after_the_message_type_does_not_count():
    here, there = ends()
    right = sealed(here, "SLI")
    digest = right[20:43]
    with pytest.raises(DigestError, match="missing"):
        there.check(right[:20] + right[43:] + digest)


@pytest.mark.parametrize("name", ["SCCRQ", "SCCRP"])
def test_who_sets_up_a_connection_must_tell_a_nonce(name):
    here, there = ends()
    record = vectors.MESSAGES[name][1]
    record = type(record)(record.host_name, 1, 2, (5,))
    message = here.seal(write_control(0, 0, 0, encode(record, digests=here.blank())))
    with pytest.raises(DigestError, match="Nonce is missing"):
        there.check(message)


# doubled


def doubled(first, second):
    """HELLO with two digests, each the right one where it is None."""
    here, _ = ends()
    blank = avp(59, bytes(17))
    message = with_avps(blank + blank)
    key = authentication_key(SECRET)
    right = hmac_by_hand("md5", key, LOCAL_NONCE + REMOTE_NONCE + message)
    return with_avps(avp(59, b"\0" + (first or right)) + avp(59, b"\0" + (second or right)))


@pytest.mark.parametrize(("first", "second"), [(None, None), (None, b"x" * 16), (b"x" * 16, None)])
def test_of_two_digests_one_right_one_will_do(first, second):
    _, there = ends()
    assert there.check(doubled(first, second)) == hiding_key(SECRET)


def test_two_wrong_digests_are_wrong():
    _, there = ends()
    with pytest.raises(DigestError, match="wrong"):
        there.check(doubled(b"x" * 16, b"y" * 16))


def test_a_third_digest_is_an_avp_like_others():
    here, there = ends()
    blank = avp(59, bytes(17))
    message = with_avps(blank + blank + avp(59, b"\0" + b"z" * 16))
    right = hmac_by_hand("md5", authentication_key(SECRET), LOCAL_NONCE + REMOTE_NONCE + message)
    there.check(message[:27] + right + message[43:])
    assert decode(message[BODY:]) == HELLO()


def test_while_a_secret_changes_each_end_may_have_either():
    both, _ = ends((b"new", b"old"))
    message = sealed(both)
    assert message.count(avp(59, b"\0")[2:7]) == 2
    for secret in (b"new", b"old"):
        alone, peer = ends((secret,))
        assert peer.check(message) == hiding_key(secret)
        _, changing = ends((b"new", b"old"))
        assert changing.check(sealed(alone)) == hiding_key(secret)


# what can never be right


@pytest.mark.parametrize("value", [
    b"", b"\x00", b"\x00" + bytes(15), b"\x00" + bytes(20), b"\x01" + bytes(16), b"\x02" + bytes(16),
    b"\xff" + bytes(20),
])
def test_a_digest_of_a_wrong_form_is_never_right(value):
    _, there = ends()
    with pytest.raises(DigestError):
        there.check(with_avps(avp(59, value)))


def test_a_hidden_digest_is_never_right():
    here, there = ends()
    message = bytearray(sealed(here))
    message[20] |= HIDDEN >> 8
    with pytest.raises(DigestError, match="wrong"):
        there.check(bytes(message))


@pytest.mark.parametrize("length", [0, 5, 6, LENGTH])
def test_a_digest_whose_length_lies_is_no_digest(length):
    here, there = ends()
    message = bytearray(sealed(here))
    message[20:22] = (MANDATORY | length).to_bytes(2, "big")
    with pytest.raises(DigestError, match="missing"):
        there.check(bytes(message))


@pytest.mark.parametrize("size", range(43))
def test_any_start_of_a_message_is_refused(size):
    here, there = ends()
    with pytest.raises(DigestError):
        there.check(sealed(here)[:size])


# without a secret


def test_without_a_secret_a_digest_may_be_missing_but_not_wrong():
    plain = Digests()
    assert plain.check(with_avps(b"")) == b""
    message = sealed(plain)
    assert plain.check(message) == b""
    with pytest.raises(DigestError, match="wrong"):
        plain.check(message[:-1] + b"\x07")


def test_without_a_secret_no_nonce_matters_and_nothing_is_hidden():
    plain, other = Digests(), Digests()
    plain.local_nonce, plain.remote_nonce = b"a", b"b"
    for name in NAMES:
        assert other.check(sealed(plain, name)) == b""
    assert plain.hiding_key == b""
    assert not plain.required


def test_who_has_no_secret_does_not_read_who_has_one():
    here, _ = ends()
    with pytest.raises(DigestError):
        Digests().check(sealed(here))


@pytest.mark.parametrize(("secrets", "digest_type"), [
    ((), 0), ((b"a", b"b", b"c"), 0), ((b"a",), 2), ((b"a", b""), 0), ((b"", b""), 0),
])
def test_secrets_that_protect_nothing_are_refused(secrets, digest_type):
    with pytest.raises(ValueError, match="secret"):
        Digests(secrets, digest_type)


# a request for both versions, hidden AVPs


def test_a_request_of_version_2_carries_the_digest_without_the_m_bit():
    here, there = Digests((SECRET,)), Digests((SECRET,))
    record = vectors2.MESSAGES["SCCRQ"][1]
    record = type(record)(record.protocol_version, "lac", 3, 1, control_message_authentication_nonce=LOCAL_NONCE)
    message = here.seal(write_control_2(0, 0, 0, 0, encode_2(record, digests=here.blank(mandatory=False))))
    assert message[20] & 0x80 == 0
    assert there.check(message) == hiding_key(SECRET)


def test_an_avp_is_hidden_under_the_derived_key():
    body = encode(vectors.MESSAGES["SLI"][1], hiding_key(SECRET), lambda size: b"r" * size, hide=True)
    plain = b"\x00\x04\x00\x00\x00\x05" + b"r" * 10
    assert avp(63, hide(63, plain, hiding_key(SECRET), b"r" * 16), MANDATORY | HIDDEN) in body
    assert decode(body, hiding_key(SECRET)) == vectors.MESSAGES["SLI"][1]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message.__name__)
def test_a_message_with_hidden_avps_and_digest_is_read_with_what_the_check_returns(message):
    here, there = ends()
    record = vectors.MESSAGES[message.__name__][1]
    body = encode(record, here.hiding_key, lambda size: b"r" * size, True, here.blank())
    wire = here.seal(write_control(1, 2, 3, body))
    assert decode(wire[BODY:], there.check(wire)) == record
