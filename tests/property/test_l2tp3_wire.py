"""L2TPv3 messages made up at random, cut off anywhere, and damaged: what is written is read, what is damaged does not
pass the digest, and nothing else gets out of the readers than a message or a `WireError`."""

import dataclasses
import os
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prol2tp.common.sequence import MODULUS_24, before, distance
from prol2tp.common.wire import WireError
from prol2tp.l2tp import avptable
from prol2tp.l2tp.avp import LONGEST_VALUE, MessageError, read_avps, recognized, write_avp, write_hidden_avp, writer
from prol2tp.l2tp.digest import HMAC_MD5, HMAC_SHA_1, DigestError, Digests
from prol2tp.l2tp.header3 import OVER_IP, read_control, read_data, read_session_id, write_control, write_data
from prol2tp.l2tp.messages3 import MESSAGES, decode, encode
from tests.property.test_l2tp_wire import OCTETS, U16, U32, VALUES, mutated, values_of
from tests.steps import steps
from tests.vectors import l2tp as vectors2
from tests.vectors import l2tp3 as vectors

SECRET = b"s3cret"
MUTATIONS = 100_000
READABLE = [row for row in avptable.OF_VERSION_3 if row.format is not None and row.name != "Random Vector"]
KNOWN = recognized(avptable.OF_VERSION_3, 0)
BY_FIELD = {row.field: row for row in avptable.OF_VERSION_3}
COOKIES = VALUES[avptable.COOKIE]


def value_of(message, name):
    """Any value; an id that may be 0 here too."""
    row = BY_FIELD[name]
    return values_of(row).filter(bool) if name in message.nonzero else VALUES[row.format]


def records(message):
    members = {}
    for member in dataclasses.fields(message):
        strategy = value_of(message, member.name)
        required = member.default is dataclasses.MISSING
        members[member.name] = strategy if required else st.just(member.default) | strategy
    return st.builds(message, **members)


ANY_MESSAGE = st.one_of([records(message) for message in MESSAGES])
ANY_NONCE = st.binary(min_size=1, max_size=40)
VALUE_OF_EVERY_AVP = st.fixed_dictionaries({row.field: VALUES[row.format] for row in READABLE})


def ends(secrets, digest_type, local=b"local", remote=b"remote"):
    here, there = Digests(secrets, digest_type), Digests(secrets, digest_type)
    here.local_nonce = there.remote_nonce = local
    here.remote_nonce = there.local_nonce = remote
    return here, there


@settings(max_examples=60, deadline=None)
@given(values=VALUE_OF_EVERY_AVP)
def test_every_avp_of_version_3_is_read_as_it_was_written(values):
    body = b""
    for row in READABLE:
        clear = writer(row)(values[row.field])
        each = values[row.field] if row.format.each else (values[row.field],)
        assert clear == b"".join(write_avp(row, row.format.write(one)) for one in each)
        body += clear
    found = {}
    read_avps(body, 0, b"", found, None, KNOWN)
    assert found == values


@settings(max_examples=60, deadline=None)
@given(values=VALUE_OF_EVERY_AVP, key=ANY_NONCE)
def test_every_avp_that_may_be_hidden_is_read_as_it_was_written(values, key):
    hidable = [row for row in READABLE if row.hidable]
    body = write_avp(avptable.BY_FIELD["random_vector"], b"vector")
    for row in hidable:
        for one in values[row.field] if row.format.each else (values[row.field],):
            body += write_hidden_avp(row, row.format.write(one), key, b"vector", os.urandom)
    found = {}
    read_avps(body, 0, key, found, None, KNOWN)
    assert found == {"random_vector": b"vector"} | {row.field: values[row.field] for row in hidable}


@settings(max_examples=300, deadline=None)
@given(message=ANY_MESSAGE, hide=st.booleans(), digest_type=st.sampled_from((HMAC_MD5, HMAC_SHA_1)), nonce=ANY_NONCE)
def test_every_message_passes_its_digest_and_is_read_as_it_was_written(message, hide, digest_type, nonce):
    if message.number in {1, 2}:
        message.control_message_authentication_nonce = nonce
    here, there = ends((SECRET,), digest_type, nonce)
    body = encode(message, here.hiding_key, os.urandom, hide, here.blank())
    wire = here.seal(write_control(1, 2, 3, body))
    assert decode(wire[12:], there.check(wire)) == message


@settings(max_examples=300, deadline=None)
@given(body=st.binary(max_size=200))
def test_any_octets_are_a_message_or_a_message_error(body):
    read_body(body)


@settings(max_examples=300, deadline=None)
@given(start=st.sampled_from((b"", b"\xc8\x03\x00\x14")), rest=st.binary(max_size=40), over_ip=st.booleans())
def test_any_datagram_has_a_header_or_a_wire_error(start, rest, over_ip):
    read_datagram(start + rest, over_ip)


@given(connection_id=U32, ns=U16, nr=U16, body=OCTETS, over_ip=st.booleans())
def test_every_control_header_is_read_as_it_was_written(connection_id, ns, nr, body, over_ip):
    prefix = OVER_IP if over_ip else b""
    data = prefix + write_control(connection_id, ns, nr, body)
    found = read_control(data + b"rest", over_ip)
    assert found == (connection_id, ns, nr, len(prefix), len(prefix) + 12, len(data))


@given(
    session_id=U32.filter(bool), cookie=COOKIES, sublayer=st.booleans(), ns=st.none() | st.integers(0, MODULUS_24 - 1),
    over_ip=st.booleans(), payload=OCTETS,
)
def test_every_data_header_is_read_as_it_was_written(session_id, cookie, sublayer, ns, over_ip, payload):
    ns = ns if sublayer else None
    data = write_data(session_id, cookie, sublayer, ns, over_ip) + payload
    assert read_session_id(data, over_ip) == session_id
    found = read_data(data, cookie, sublayer, over_ip)
    assert found.ns == ns
    assert data[found.start:] == payload


@given(number=st.integers(0, MODULUS_24 - 1), ahead=st.integers(1, MODULUS_24 // 2 - 1))
def test_of_two_numbers_less_than_half_the_space_apart_one_is_before_the_other(number, ahead):
    other = (number + ahead) % MODULUS_24
    assert before(number, other, MODULUS_24)
    assert not before(other, number, MODULUS_24)
    assert distance(number, other, MODULUS_24) == ahead


def read_body(body, key=SECRET):
    try:
        message = decode(body, key, [])
    except MessageError as error:
        assert str(error)
        assert error.result == 2 and error.error in (2, 3, 8)
        return None
    assert type(message) in MESSAGES
    assert decode(encode(message)) == message
    return message


def read_datagram(data, over_ip):
    try:
        header = read_control(data, over_ip)
    except WireError:
        try:
            assert read_session_id(data, over_ip)
            payload = read_data(data, b"", True, over_ip)
        except WireError:
            return
        assert 0 <= payload.start <= len(data)
        return
    assert 0 <= header.start < header.body <= header.end <= len(data)
    if header.body < header.end:
        read_body(data[header.body:header.end])


def corpus():
    """Every hand-made message, in clear and with all hidden that may be."""
    source = random.Random(3931)
    bodies = [vectors2.PROL2TP_V3_SCCRQ[12:]]
    for body, message in vectors.MESSAGES.values():
        bodies += [body, encode(message, SECRET, source.randbytes, hide=True)]
    return bodies


def test_every_truncation_of_every_message_is_a_message_or_a_wire_error():
    for body in corpus():
        for size in range(len(body)):
            read_body(body[:size])
        for prefix in (b"", OVER_IP):
            data = prefix + write_control(1, 3, 4, body)
            for size in range(len(data)):
                with pytest.raises(WireError):
                    read_control(data[:size], bool(prefix))


def test_a_message_cut_inside_an_avp_is_never_accepted():
    for body, _ in vectors.MESSAGES.values():
        ends_of_avps, position = set(), 0
        while position < len(body):
            position += int.from_bytes(body[position:position + 2], "big") & 0x3FF
            ends_of_avps.add(position)
        for size in set(range(len(body))) - ends_of_avps:
            with pytest.raises(MessageError):
                decode(body[:size])


def test_a_hundred_thousand_damaged_messages_raise_nothing_but_wire_errors_and_take_few_steps():
    source = random.Random(3931)
    bodies = corpus()
    accepted, longest = 0, 0
    for number in range(MUTATIONS):
        body = mutated(source, bodies[number % len(bodies)])
        accepted += read_body(body) is not None
        if number % 100 == 0:
            longest = max(longest, steps(read_body, body))
    assert 1000 < accepted < MUTATIONS
    assert 0 < longest < 20_000


@pytest.mark.parametrize("secrets", [(SECRET,), (SECRET, b"former")], ids=len)
def test_no_damaged_message_passes_its_digest(secrets):
    source = random.Random(2104)
    here, there = ends(secrets, HMAC_SHA_1)
    wires = [
        here.seal(write_control(1, 2, 3, encode(message, digests=here.blank())))
        for name, (_, message) in vectors.MESSAGES.items()
    ]
    passed = 0
    for number in range(20_000):
        wire = wires[number % len(wires)]
        damaged = mutated(source, wire)
        try:
            there.check(damaged)
        except DigestError:
            continue
        # one whole digest of two may be left, and is of all but the digests
        passed += 1
        size = 27 * len(secrets)
        assert (damaged[:20], damaged[20 + size:]) == (wire[:20], wire[20 + size:])
    assert passed < 5000


def test_damaged_datagrams_raise_nothing_but_wire_errors():
    source = random.Random(3931)
    datagrams = [(write_control(1, 3, 4, body), False) for body in corpus()]
    datagrams += [(OVER_IP + data, True) for data, _ in datagrams]
    datagrams += [(write_data(1, b"", True, 5, ip) + b"hello", ip) for ip in (False, True)]
    for number in range(20_000):
        data, over_ip = datagrams[number % len(datagrams)]
        read_datagram(mutated(source, data), over_ip)


@pytest.mark.parametrize("filler", [
    b"\x80\x17\x00\x00\x00\x3b\x00" + bytes(16),            # digests
    b"\x80\x16\x00\x00\x00\x49" + bytes(16),                # nonces
    b"\x00\x06\x00\x00\x00\x3a",                            # unrecognized
    b"\xc3\xff\x00\x00\x00\x42" + b"x" * LONGEST_VALUE,     # hidden, long, no vector
    b"\x83\xfe\x00\x00\x00\x3e" + bytes(LONGEST_VALUE - 1),  # long lists
    b"\x80\x00\x00\x00\x00\x49",                            # no length
])
def test_the_largest_datagram_of_anything_is_read_and_checked_in_bounded_steps(filler):
    body, _ = vectors.MESSAGES["SCCRP"]
    body += filler * ((65000 - len(body)) // len(filler))
    wire = write_control(1, 2, 3, body)
    _, there = ends((SECRET, b"former"), HMAC_MD5)
    assert 0 < steps(read_body, body) < 20 * len(body)
    with pytest.raises(DigestError):
        there.check(wire)
    with pytest.raises(DigestError):
        there.check(wire[:20] + 2 * (b"\x80\x17\x00\x00\x00\x3b\x00" + bytes(16)) + wire[20:])
