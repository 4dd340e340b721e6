"""Records between daemons and prol2tp-pathd."""

from __future__ import annotations

import dataclasses
import random

import pytest

from prol2tp.common.wire import WireError
from prol2tp.dataplane import records
from prol2tp.dataplane.interface import (
    IDataPlane,
    IPathEvents,
    NetifSpec,
    PPPoESpec,
    SessionSpec,
    TtySpec,
    TunnelSpec,
)

SAMPLES = {
    "u8": 2, "u16": 513, "u32": 70000, "i32": -1, "f64": 0.5, "bool": True, "maybe": None, "maybe_u32": 1400,
    "octets": b"\0\x78\xff",
    "text": "ppp%d é", "texts": ("ip", "ipv6"), "maybe_texts": (), "address": ("2001:db8::1", 1701),
    "u32s": [1, 2, 3],
    "tags": ((0x88A8, 7), (0x8100, 0xFFFF)),
    "rows": {7: (1, 2, 3, 4, 5, 6, 7, 1 << 40, -1.0), 8: (0,) * 8 + (2.5,)},
}


def sample(fields: records.Fields) -> list:
    return [SAMPLES[kind] for _, kind in fields]


@pytest.mark.parametrize("operation", records.OPERATIONS, ids=lambda operation: operation.name)
def test_requests_and_replies_come_back_as_they_were(operation: records.Operation) -> None:
    values, reply = sample(operation.request), sample(operation.reply)
    datagram = records.encode_request(5, operation.name, values) + records.encode_reply(5, operation.name, reply)
    (kind, code, identifier, body), (kind2, code2, _, body2) = records.split(datagram)
    assert (kind, kind2, identifier) == (records.REQUEST, records.REPLY, 5)
    assert records.decode_request(code, body) == (operation, values)
    assert records.decode_reply(code2, body2) == reply


@pytest.mark.parametrize("event", records.EVENTS, ids=lambda event: event.name)
def test_events_come_back_as_they_were(event: records.Operation) -> None:
    values = sample(event.request)
    ((kind, code, _, body),) = records.split(records.encode_event(event.name, values))
    assert kind == records.EVENT
    assert records.decode_event(code, body) == (event, values)
    assert event.name in IPathEvents


def test_every_operation_of_the_contract_has_a_record() -> None:
    names = {operation.name for operation in records.OPERATIONS} - {"hello"}
    assert names == set(IDataPlane) - {"name", "codecs", "notes", "instance", "port_send"}


@pytest.mark.parametrize("fields, spec", [(records.TUNNEL_FIELDS, TunnelSpec), (records.SESSION_FIELDS, SessionSpec),
                                          (records.NETIF_FIELDS, NetifSpec), (records.PPPOE_FIELDS, PPPoESpec),
                                          (records.TTY_FIELDS, TtySpec)])
def test_specifications_are_sent_field_by_field(fields: records.Fields, spec: type) -> None:
    assert [name for name, _ in fields] == [field.name for field in dataclasses.fields(spec)]


def test_frames_and_errors_share_a_datagram() -> None:
    datagram = (records.encode_frame(9, b"\xff\x03\xc0\x21") + records.encode_frame(10, b"")
                + records.encode_error(3, "listen", "in-use", "taken"))
    frame, empty, error = records.split(datagram)
    assert frame == (records.FRAME, 0, 9, b"\xff\x03\xc0\x21")
    assert empty == (records.FRAME, 0, 10, b"")
    assert error[0] == records.ERROR
    assert records.decode_error(error[3]) == ("in-use", "taken")


def test_optional_values_keep_all_three_states() -> None:
    for value in (None, True, False):
        body = records.split(records.encode_request(1, "port_modify", (1, value, *[None] * 7)))[0][3]
        assert records.decode_request(records.BY_NAME["port_modify"].code, body)[1][1] is value
    for texts in (None, (), ("10.0.0.0/8",)):
        body = records.split(records.encode_request(1, "netif_modify", (1, None, texts, None, texts)))[0][3]
        assert records.decode_request(records.BY_NAME["netif_modify"].code, body)[1] == [1, None, texts, None, texts]


@pytest.mark.parametrize("values", [(-1,), ("x",), (1, 2), (), (1 << 32,), (None,)])
def test_values_that_do_not_fit_are_the_callers_mistake(values: tuple) -> None:
    with pytest.raises(ValueError):
        records.encode_request(1, "unlisten", values)


def test_a_record_that_is_too_long_is_refused() -> None:
    with pytest.raises(ValueError):
        records.encode_request(1, "counters", (False, range(20000)))
    assert len(records.encode_request(1, "counters", (False, range(records.PORTS_MAX)))) <= records.DATAGRAM_MAX
    rows = {port: (0,) * 8 + (0.0,) for port in range(records.ROWS_MAX)}
    assert len(records.encode_reply(1, "counters", (rows,))) <= records.DATAGRAM_MAX


def test_every_truncation_is_an_error() -> None:
    record = records.encode_request(1, "netif_attach", sample(records.BY_NAME["netif_attach"].request))
    for length in range(1, len(record)):
        with pytest.raises(WireError):
            records.split(record[:length])
    _, code, _, body = records.split(record)[0]
    for length in range(len(body)):
        with pytest.raises(WireError):
            records.decode_request(code, body[:length])
    with pytest.raises(WireError):
        records.decode_request(code, body + b"x")


def test_a_hundred_thousand_mutations_give_nothing_but_wire_errors() -> None:
    chance = random.Random(3)
    originals = [records.encode_request(1, operation.name, sample(operation.request))
                 for operation in records.OPERATIONS]
    originals += [records.encode_reply(1, operation.name, sample(operation.reply)) for operation in records.OPERATIONS]
    originals += [records.encode_event(event.name, sample(event.request)) for event in records.EVENTS]
    originals += [records.encode_error(1, "start", "gone", "text"), records.encode_frame(1, b"\xc0\x21abc")]
    good = bad = 0
    for _ in range(100_000):
        octets = bytearray(chance.choice(originals) + chance.choice(originals))
        for _ in range(chance.randint(1, 4)):
            octets[chance.randrange(len(octets))] = chance.choice((0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)))
        try:
            for kind, code, _, body in records.split(bytes(octets)):
                if kind == records.REQUEST:
                    records.decode_request(code, body)
                elif kind in (records.REPLY, records.PART):
                    records.decode_reply(code, body)
                elif kind == records.EVENT:
                    records.decode_event(code, body)
                elif kind == records.ERROR:
                    records.decode_error(body)
            good += 1
        except WireError:
            bad += 1
    assert good > 1000 and bad > 1000
