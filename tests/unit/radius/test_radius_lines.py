"""Lines of subscribers (RFC 4679) in requests, from records of other daemons."""

from __future__ import annotations

import json

from prol2tp.pppoe.tags import ACCESS_LOOP_ENCAPSULATION, LINE_NUMBERS
from prol2tp.radius import access, accounting, packets
from prol2tp.radius.access import AccessRequest
from prol2tp.radius.accounting import AccountingRequest
from prol2tp.radius.attributes import Nas, Port
from prol2tp.radius.dictionary import ATTRIBUTES, BY_KEY
from prol2tp.radius.lines import NUMBERS, line_attributes

LINE = {"circuit_id": b"eth 1/0:7".hex(), "remote_id": b"\xff\x00home".hex(),
        "numbers": {"129": 1_000_000, "130": 20_000_000}, "encapsulation": "010203"}


def test_the_numbers_of_rfc_4679_are_those_of_pppoe_by_the_same_names() -> None:
    assert {kind: BY_KEY[key].name for kind, key in NUMBERS.items()} == LINE_NUMBERS
    assert ATTRIBUTES["Access-Loop-Encapsulation"].key == (3561, ACCESS_LOOP_ENCAPSULATION)


def test_a_line_goes_into_access_and_accounting_requests_and_through_a_file() -> None:
    port = Port(line=line_attributes(LINE))
    request = AccessRequest(b"u", "pap", nas=Nas(identifier="lac"), port=port)
    sent = dict(packets.attributes(packets.decode(access.encode(request, 1, bytes(16), b"x"), b"x")))
    wanted = {(3561, 1): b"eth 1/0:7", (3561, 2): b"\xff\x00home", (3561, 129): (1_000_000).to_bytes(4, "big"),
              (3561, 130): (20_000_000).to_bytes(4, "big"), (3561, 144): b"\x01\x02\x03"}
    assert {key: value for key, value in sent.items() if isinstance(key, tuple)} == wanted
    record = AccountingRequest("Start", "1", 1, port=port)
    again = accounting.from_record(json.loads(json.dumps(accounting.to_record(record))))
    told = dict(packets.attributes(packets.decode(accounting.encode(again, 0, 1, b"x")[0], b"x")))
    assert {key: value for key, value in told.items() if isinstance(key, tuple)} == wanted


def test_what_a_record_says_badly_is_left_out() -> None:
    bad = {"circuit_id": "xyz", "remote_id": 7, "numbers": {"129": -1, "130": "5", "1": 1, "x": 1, "131": 1 << 32,
                                                                "9" * 5000: 1}, "encapsulation": "01"}
    assert line_attributes(bad) == () == line_attributes(None) == line_attributes({"numbers": [1]})
    assert len(line_attributes({"circuit_id": "00" * 600})[0][1]) == 247
