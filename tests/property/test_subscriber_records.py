"""Records of what a LAC says of its subscriber: any octets of a peer make a record that is sound, any JSON of a daemon
makes settings or one line of text."""

from __future__ import annotations

import json
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from prol2tp.daemons.prol2tpd import avps
from prol2tp.l2tp import compose, messages
from prol2tp.l2tp.messages import MessageError
from prol2tp.l2tp.settings import AccessLine, SessionSettings

MUTATIONS = 20_000
OCTETS = st.binary(max_size=40).map(bytes.hex)
U32 = st.integers(0, (1 << 32) - 1)
U64 = st.integers(0, (1 << 64) - 1)
PROXY = st.fixed_dictionaries({}, optional={
    "initial_received_confreq": OCTETS, "last_sent_confreq": OCTETS, "last_received_confreq": OCTETS,
    "authen_type": st.integers(0, 0xFFFF), "authen_name": OCTETS, "authen_challenge": OCTETS,
    "authen_id": st.integers(0, 0xFF), "authen_response": OCTETS})
NUMBERS = st.fixed_dictionaries({}, optional={
    str(number): U64 if number < 139 else U32 for number in (*range(129, 143), 254)})
LINE = st.fixed_dictionaries({}, optional={
    "circuit_id": OCTETS, "remote_id": OCTETS, "numbers": NUMBERS.filter(bool),
    "encapsulation": st.binary(min_size=3, max_size=3).map(bytes.hex)})
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(("circuit_id", "numbers", "129", "authen_type", "authen_name", "encapsulation", "x")), inner,
        max_size=4),
    max_leaves=8)


def full() -> SessionSettings:
    line = AccessLine(b"eth 1/2", b"", *range(1, 15), b"\x01\x02\x03", 1)
    return SessionSettings(
        line=line, initial_received_lcp_confreq=b"\x01\x04\x05\xdc", last_sent_lcp_confreq=b"\x03\x05\xc2\x23\x05",
        last_received_lcp_confreq=b"\x01\x04\x05\xd4", proxy_authen_type=2, proxy_authen_name=b"u1",
        proxy_authen_challenge=bytes(16), proxy_authen_id=9, proxy_authen_response=b"r" * 16,
        lcp_want_options=b"\x01\x04\x05\xd4", lcp_allow_options=b"\x02\x06\xff\xff\xff\xff")


def bodies() -> list[bytes]:
    return [messages.encode(compose.icrq(full(), 1, 1)), messages.encode(compose.iccn(full()))]


@settings(max_examples=200, deadline=None)
@given(proxy=PROXY, line=LINE)
def test_a_record_becomes_avps_and_the_same_record_again(proxy, line):
    call = SessionSettings()
    avps.put_proxy(call, proxy)
    avps.put_line(call, line)
    compose.check(call)
    request, connect = compose.icrq(call, 1, 1), compose.iccn(call)
    said = {key: value for key, value in proxy.items() if value != ""}  # an empty AVP says nothing
    assert avps.proxy_record(connect) == (said or None)
    assert avps.line_record(request) == (line or None)


@settings(max_examples=300, deadline=None)
@given(value=JSON)
def test_any_json_is_settings_or_a_line_of_text(value):
    for put in (avps.put_proxy, avps.put_line):
        try:
            put(SessionSettings(), value)
        except ValueError as error:
            assert len(str(error)) < 200 and "\n" not in str(error)


def test_damaged_avps_make_a_sound_record_or_a_message_error():
    choice = random.Random(5515)
    whole = bodies()
    seen = 0
    for _ in range(MUTATIONS):
        body = bytearray(choice.choice(whole))
        for _ in range(choice.randint(1, 2)):
            at = choice.randrange(8, len(body))
            how = choice.randrange(3)
            if how == 0:
                body[at] = choice.randrange(256)
            elif how == 1:
                del body[at:at + choice.randrange(1, 8)]
            else:
                body[at:at] = choice.randbytes(choice.randrange(1, 8))
            if len(body) < 9:
                break
        try:
            message = messages.decode(bytes(body))
        except MessageError:
            continue
        seen += 1
        proxy, line = avps.proxy_record(message), avps.line_record(message)
        json.dumps([proxy, line, avps.lcp_options(message)])
        call = SessionSettings()
        avps.put_proxy(call, proxy)
        avps.put_line(call, line)
        compose.check(call)
    assert seen > MUTATIONS // 20
