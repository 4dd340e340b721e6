"""AVPs of the access line and messages about connect speeds (RFC 5515), LCP options (RFC 3437): octets by hand."""

import pytest

from prol2tp.l2tp import compose, messages, messages3
from prol2tp.l2tp.avptable import ACCM, ConnectSpeed
from prol2tp.l2tp.messages import CSUN, ICCN, ICRQ, OCCN, SLI, MessageError, decode, encode
from prol2tp.l2tp.settings import AccessLine, SessionSettings
from tests.vectors.l2tp import octets

ICRQ_LINE = octets("""
    8008 0000 0000 000a
    8008 0000 000e 0001
    800a 0000 000f 00000002
    0006 0000 0062                          ; Connect Speed Update Enable
    000d 0de9 0001 65746820312f32           ; Agent Circuit ID
    0009 0de9 0002 637065                   ; Agent Remote ID
    000e 0de9 0081 00000000000f4240         ; Actual Data Rate Upstream
    000e 0de9 0082 00000003b9aca000         ; Actual Data Rate Downstream
    000a 0de9 008e 00000010                 ; Actual Interleaving Delay Downstream
    0009 0de9 0090 010203                   ; Access Loop Encapsulation
    000a 0de9 00fe 00000001                 ; IWF Session
""")
ICRQ_RECORD = ICRQ(
    1, 2, connect_speed_update_enable=True, agent_circuit_id=b"eth 1/2", agent_remote_id=b"cpe",
    actual_data_rate_upstream=1_000_000, actual_data_rate_downstream=16_000_000_000,
    actual_interleaving_delay_downstream=16, access_loop_encapsulation=bytes((1, 2, 3)), iwf_session=1,
)


def test_a_line_is_read_and_written_octet_for_octet():
    ignored: list[str] = []
    assert decode(ICRQ_LINE, ignored=ignored) == ICRQ_RECORD and ignored == []
    assert encode(ICRQ_RECORD).hex() == ICRQ_LINE.hex()


def test_what_is_wrong_about_a_line_costs_the_call_nothing():
    broken = ICRQ_LINE.replace(octets("0009 0de9 0090 010203"), octets("000a 0de9 0090 01020304"))
    ignored: list[str] = []
    found = decode(broken, ignored=ignored)
    assert found.access_loop_encapsulation is None and found.agent_circuit_id == b"eth 1/2"
    assert len(ignored) == 1 and "Access Loop Encapsulation" in ignored[0]


def test_a_line_of_the_settings_becomes_an_icrq_of_either_version():
    line = AccessLine(b"eth 1/2", b"cpe", actual_data_rate_upstream=1_000_000,
                      actual_data_rate_downstream=16_000_000_000, actual_interleaving_delay_downstream=16,
                      access_loop_encapsulation=bytes((1, 2, 3)), iwf_session=1)
    settings = SessionSettings(bearer_type=0, line=line, speed_updates=True)
    assert compose.icrq(settings, 1, 2) == ICRQ_RECORD
    assert "agent_circuit_id" not in compose.access_line(SessionSettings())


@pytest.mark.parametrize(("line", "why"), [
    (AccessLine(agent_circuit_id=b"x" * 1001), "longer"),
    (AccessLine(actual_data_rate_upstream=1 << 64), "does not fit"),
    (AccessLine(maximum_interleaving_delay_upstream=1 << 32), "does not fit"),
    (AccessLine(minimum_data_rate_upstream=-1), "does not fit"),
    (AccessLine(access_loop_encapsulation=b"12"), "not 3"),
])
def test_a_line_that_does_not_fit_is_refused_while_there_is_a_caller(line, why):
    with pytest.raises(ValueError, match=why):
        compose.check(SessionSettings(line=line))


def test_lcp_options_are_read_and_written_octet_for_octet():
    body = octets("""
        8008 0000 0000 000c
        800a 0000 0018 00000001
        800a 0000 0013 00000001
        000a 0000 0031 010405d4             ; LCP Want Options
        000c 0000 0032 020600000000         ; LCP Allow Options
    """)
    settings = SessionSettings(tx_connect_speed=1, lcp_want_options=bytes.fromhex("010405d4"),
                               lcp_allow_options=bytes.fromhex("020600000000"))
    record = ICCN(1, 1, lcp_want_options=settings.lcp_want_options, lcp_allow_options=settings.lcp_allow_options)
    assert decode(body) == record == compose.iccn(settings) and encode(record).hex() == body.hex()
    assert compose.occn(settings) == OCCN(1, 1, lcp_want_options=settings.lcp_want_options,
                                          lcp_allow_options=settings.lcp_allow_options)


def test_what_lcp_came_to_stands_in_set_link_info():
    body = octets("""
        8008 0000 0000 0010
        8010 0000 0023 0000 ffffffff 00000000
        000a 0000 0033 010405d4
        0009 0000 0034 0304c0
    """)
    record = SLI(ACCM(0xFFFFFFFF, 0), bytes.fromhex("010405d4"), bytes.fromhex("0304c0"))
    assert decode(body) == record and encode(record).hex() == body.hex()


def test_speeds_of_several_calls_stand_in_one_message_also_hidden():
    message = CSUN((ConnectSpeed(1, 2, 3), ConnectSpeed(4, 5, 6), ConnectSpeed(1, 7, 8)))
    for hide in (False, True):
        assert decode(encode(message, b"s", lambda size: b"r" * size, hide), b"s") == message


def test_of_speeds_only_what_is_whole_is_read():
    body = octets("""
        0008 0000 0000 001c
        000e 0000 0061 0000 002a 00989680           ; too short
        0012 0000 0061 0000 002a 00989680 000f4240
    """)
    assert decode(body) == CSUN((ConnectSpeed(42, 10_000_000, 1_000_000),))


@pytest.mark.parametrize("codec", [messages, messages3])
def test_a_message_about_speeds_with_none_is_malformed(codec):
    with pytest.raises(MessageError) as caught:
        codec.decode(octets("0008 0000 0000 001c"))
    assert caught.value.message_type == 28 and not caught.value.for_call
