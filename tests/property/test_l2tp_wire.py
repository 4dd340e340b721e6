"""L2TP messages made up at random, cut off anywhere, and damaged: what is written is read, and nothing else gets
out of the reader than a message or a `WireError`."""

import dataclasses
import os
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prol2tp.common.wire import WireError
from prol2tp.l2tp import avptable
from prol2tp.l2tp.avp import LONGEST_VALUE, read_avps, write_avp, write_hidden_avp, writer
from prol2tp.l2tp.header import CONTROL_LENGTH, read_control, read_data, write_control, write_data
from prol2tp.l2tp.messages import (
    ACCM,
    MESSAGES,
    CallErrors,
    DisconnectCause,
    MessageError,
    Q931Cause,
    ResultCode,
    decode,
    encode,
)
from tests.steps import steps
from tests.vectors import l2tp as vectors

SECRET = b"s3cret"
MUTATIONS = 100_000
LENGTHS = (b"\x80\x00", b"\x80\x05", b"\xc0\x06", b"\x83\xff")

U8 = st.integers(0, 0xFF)
U16 = st.integers(0, 0xFFFF)
U32 = st.integers(0, 0xFFFFFFFF)
U64 = st.integers(0, (1 << 64) - 1)
OCTETS = st.binary(max_size=100)
TEXT = OCTETS.map(lambda octets: octets.decode("utf-8", "surrogateescape")) | st.text(max_size=30).filter(
    lambda text: not any("\ud800" <= character <= "\udfff" for character in text)
)
VALUES = {
    avptable.U16: U16,
    avptable.U32: U32,
    avptable.U64: U64,
    avptable.TEXT: TEXT,
    avptable.NAME: TEXT.filter(bool),
    avptable.OCTETS: OCTETS,
    avptable.OCTETS_8: st.binary(min_size=8, max_size=8),
    avptable.OCTETS_16: st.binary(min_size=16, max_size=16),
    avptable.WINDOW: st.integers(1, 0xFFFF),
    avptable.LAST_OCTET: U8,
    avptable.PRESENCE: st.just(True),
    avptable.RESULT: st.builds(ResultCode, U16, U16, TEXT),
    avptable.Q931: st.builds(Q931Cause, U16, U8, TEXT),
    avptable.CALL_ERRORS: st.builds(CallErrors, U32, U32, U32, U32, U32, U32),
    avptable.ACCMS: st.builds(ACCM, U32, U32),
    avptable.DISCONNECT: st.builds(DisconnectCause, U16, U16, U8, TEXT),
    avptable.OCTETS_3: st.binary(min_size=3, max_size=3),
    avptable.FLAG: st.just(True),
    avptable.CONNECT_SPEED: st.lists(
        st.builds(avptable.ConnectSpeed, U16, U32, U32), min_size=1, max_size=5).map(tuple),
    avptable.CONNECT_SPEED_3: st.lists(
        st.builds(avptable.ConnectSpeed, U32, U64, U64), min_size=1, max_size=5).map(tuple),
    avptable.DIGEST: st.builds(avptable.MessageDigest, U8, st.binary(min_size=16, max_size=20)),
    avptable.TYPES: st.lists(U16, min_size=1, max_size=20).map(tuple),
    avptable.COOKIE: st.sampled_from((b"", bytes(4), b"\xff" * 4, bytes(range(8)))),
}
READABLE = [row for row in avptable.TABLE if row.format is not None and row.name != "Random Vector"]


def values_of(row):
    strategy = VALUES[row.format]
    return strategy.filter(bool) if row.field.startswith("assigned_") else strategy


def records(message):
    fields = {}
    for member in dataclasses.fields(message):
        strategy = values_of(avptable.BY_FIELD[member.name])
        if member.default is not dataclasses.MISSING:
            strategy = st.just(member.default) | strategy
        fields[member.name] = strategy
    return st.builds(message, **fields)


ANY_MESSAGE = st.one_of([records(message) for message in MESSAGES])


VALUE_OF_EVERY_AVP = st.fixed_dictionaries({row.field: values_of(row) for row in READABLE})


@settings(max_examples=60, deadline=None)
@given(values=VALUE_OF_EVERY_AVP)
def test_every_avp_of_the_table_is_read_as_it_was_written(values):
    body = b""
    for row in READABLE:
        clear = writer(row)(values[row.field])
        each = values[row.field] if row.format.each else (values[row.field],)
        assert clear == b"".join(write_avp(row, row.format.write(one)) for one in each)
        body += clear
    found = {}
    read_avps(body, 0, b"", found)
    assert found == values


@settings(max_examples=60, deadline=None)
@given(values=VALUE_OF_EVERY_AVP, random_vector=st.binary(min_size=1, max_size=40))
def test_every_avp_that_may_be_hidden_is_read_as_it_was_written(values, random_vector):
    hidable = [row for row in READABLE if row.hidable]
    body = write_avp(avptable.BY_FIELD["random_vector"], random_vector)
    for row in hidable:
        for one in values[row.field] if row.format.each else (values[row.field],):
            body += write_hidden_avp(row, row.format.write(one), SECRET, random_vector, os.urandom)
    found = {}
    read_avps(body, 0, SECRET, found)
    assert found == {"random_vector": random_vector} | {row.field: values[row.field] for row in hidable}


@settings(max_examples=300, deadline=None)
@given(message=ANY_MESSAGE, hide=st.booleans())
def test_every_message_is_read_as_it_was_written(message, hide):
    body = encode(message, SECRET, os.urandom, hide)
    assert decode(body, SECRET) == message


@settings(max_examples=300, deadline=None)
@given(body=st.binary(max_size=200))
def test_any_octets_are_a_message_or_a_message_error(body):
    read_body(body)


@settings(max_examples=300, deadline=None)
@given(data=st.binary(max_size=40))
def test_any_datagram_has_a_header_or_a_wire_error(data):
    read_datagram(data)


@given(tunnel_id=U16, session_id=U16, ns=U16, nr=U16, body=OCTETS)
def test_every_control_header_is_read_as_it_was_written(tunnel_id, session_id, ns, nr, body):
    data = write_control(tunnel_id, session_id, ns, nr, body)
    assert read_control(data + b"rest") == (len(data), tunnel_id, session_id, ns, nr)


@given(
    ids=st.tuples(U16, U16), length=st.booleans(), ns=st.none() | U16, offset=st.none() | st.integers(0, 300),
    payload=OCTETS,
)
def test_every_data_header_is_read_as_it_was_written(ids, length, ns, offset, payload):
    data = write_data(*ids, len(payload) if length else None, ns, 0, offset) + payload
    header = read_data(data)
    assert (header.tunnel_id, header.session_id, header.ns) == (*ids, ns)
    assert data[header.start:header.end] == payload


def read_body(body):
    try:
        message = decode(body, SECRET, [])
    except MessageError as error:
        assert str(error)
        assert error.result == 2 and error.error in (2, 3, 8)
        return None
    assert type(message) in MESSAGES
    assert decode(encode(message)) == message
    return message


def read_datagram(data):
    try:
        header = read_control(data)
    except WireError:
        try:
            payload = read_data(data)
        except WireError:
            return
        assert 0 <= payload.start <= payload.end <= len(data)
        return
    body = data[CONTROL_LENGTH:header.length]
    if body:
        read_body(body)


def corpus():
    """Every hand-made message, in clear and with all hidden that may be."""
    source = random.Random(2661)
    bodies = []
    for body, message in vectors.MESSAGES.values():
        bodies += [body, encode(message, SECRET, source.randbytes, hide=True)]
    return bodies


def test_every_truncation_of_every_message_is_a_message_or_a_wire_error():
    for body in corpus():
        for size in range(len(body)):
            read_body(body[:size])
        data = write_control(1, 2, 3, 4, body)
        for size in range(len(data)):
            with pytest.raises(WireError):
                read_control(data[:size])


def test_a_message_cut_inside_an_avp_is_never_accepted():
    body, _ = vectors.MESSAGES["SCCRQ"]
    ends, position = set(), 0
    while position < len(body):
        position += int.from_bytes(body[position:position + 2], "big") & 0x3FF
        ends.add(position)
    for size in set(range(len(body))) - ends:
        with pytest.raises(MessageError):
            decode(body[:size])


def mutated(source, body):
    """A copy with one to four faults: flipped bits, new, lost and doubled octets, false lengths."""
    octets = bytearray(body)
    for _ in range(source.randint(1, 4)):
        position = source.randrange(len(octets)) if octets else 0
        kind = source.randrange(7)
        if not octets or kind == 0:
            octets[position:position] = source.randbytes(source.randint(1, 8))
        elif kind == 1:
            octets[position] ^= 1 << source.randrange(8)
        elif kind == 2:
            octets[position] = source.choice((0, 1, 5, 6, 7, 0x7F, 0x80, 0xC0, 0xFF))
        elif kind == 3:
            del octets[position:position + source.randint(1, 8)]
        elif kind == 4:
            octets += octets[position:position + 40]
        elif kind == 5:
            octets[position:position + 2] = source.choice(LENGTHS)
        else:
            del octets[position:]
    return bytes(octets)


def test_a_hundred_thousand_damaged_messages_raise_nothing_but_wire_errors_and_take_few_steps():
    source = random.Random(2661)
    bodies = corpus()
    accepted, longest = 0, 0
    for number in range(MUTATIONS):
        body = mutated(source, bodies[number % len(bodies)])
        accepted += read_body(body) is not None
        if number % 100 == 0:
            longest = max(longest, steps(read_body, body))
    assert 1000 < accepted < MUTATIONS
    assert 0 < longest < 20_000


def test_damaged_datagrams_raise_nothing_but_wire_errors():
    source = random.Random(3931)
    datagrams = [write_control(1, 2, 3, 4, body) for body in corpus()] + [vectors.PROL2TP_V3_SCCRQ]
    datagrams += [write_data(1, 2, 5, 6, 7, 3) + b"hello", write_data(1, 2) + b"hello"]
    for number in range(20_000):
        read_datagram(mutated(source, datagrams[number % len(datagrams)]))


@pytest.mark.parametrize("filler", [
    b"\x00" * 6,
    b"\x80\x06\x00\x00\x03\xe7",                            # unrecognized, mandatory
    b"\x00\x06\x00\x00\x03\xe7",                            # unrecognized
    b"\x80\x06\x00\x00\x00\x16",                            # one known AVP over and over
    b"\x00\x12\x00\x00\x00\x61" + bytes(12),               # of which there may be several
    b"\x80\x07\x00\x00\x00\x24\x01\xc0\x08\x00\x00\x00\x08\x00\x00",     # hidden, under ever new vectors
    b"\xc3\xff\x00\x00\x00\x08" + b"x" * LONGEST_VALUE,    # hidden, long, no vector
])
def test_the_largest_datagram_of_anything_is_read_in_bounded_steps(filler):
    body, _ = vectors.MESSAGES["ICRQ"]
    body += filler * ((65000 - len(body)) // len(filler))
    assert 0 < steps(read_body, body) < 20 * len(body)
