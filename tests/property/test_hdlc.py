"""Framing of asynchronous lines: what was framed comes out again, and nothing else does."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prol2tp.ppp import hdlc
from prol2tp.ppp.hdlc import ALL, Deframer, Framer, fcs16
from tests.steps import steps

FRAMES = st.binary(min_size=2, max_size=400)
ACCMS = st.integers(0, ALL)
ALSO = st.frozensets(st.sampled_from(sorted(set(range(256)) - hdlc.NEVER_ESCAPED)), max_size=40)
LCP_REQUEST = b"\xff\x03\xc0\x21\x01\x01\x00\x08\x03\x04\xc0\x23"
LCP_ECHO = b"\xff\x03\xc0\x21\x09\x01\x00\x08\x00\x01\x02\x03"


def table_fcs(data: bytes) -> bytes:
    """RFC 1662 appendix C.2, as it is written there."""
    table = []
    for octet in range(256):
        value = octet
        for _ in range(8):
            value = value >> 1 ^ 0x8408 if value & 1 else value >> 1
        table.append(value)
    fcs = 0xFFFF
    for octet in data:
        fcs = fcs >> 8 ^ table[(fcs ^ octet) & 0xFF]
    return (fcs ^ 0xFFFF).to_bytes(2, "little")


def portions(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({cut % (len(data) + 1) for cut in cuts})
    return [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]


@given(st.binary(max_size=300))
def test_the_fcs_is_that_of_the_rfc(data):
    assert fcs16(data) == table_fcs(data)


def test_the_fcs_of_the_standard_check_value():
    assert fcs16(b"123456789") == (0x906E).to_bytes(2, "little")


@given(st.lists(FRAMES, max_size=6), ACCMS, ALSO, st.lists(st.integers(0, 5000), max_size=8))
def test_frames_come_out_as_they_went_in_whatever_the_portions(frames, accm, also, cuts):
    framer, deframer = Framer(also), Deframer(1500)
    framer.set_accm(accm)
    deframer.set_accm(accm)
    line = b"".join(map(framer.frame, frames))
    found = [frame for portion in portions(line, cuts) for frame in deframer.feed(portion)]
    assert found == frames
    assert deframer.errors == 0


@given(FRAMES, ACCMS, ALSO)
def test_no_octet_that_has_to_be_escaped_is_on_the_line(data, accm, also):
    framer = Framer(also)
    framer.set_accm(accm)
    forbidden = {octet for octet in range(32) if accm >> octet & 1} | {hdlc.FLAG} | also
    assert not (forbidden - {hdlc.ESCAPE}) & set(unescaped(framer.frame(data)[1:-1]))


def unescaped(line: bytes) -> list[int]:
    """The octets that stand for themselves."""
    found, at = [], 0
    while at < len(line):
        if line[at] == hdlc.ESCAPE:
            at += 2
            continue
        found.append(line[at])
        at += 1
    return found


@given(FRAMES, st.integers(1, ALL), st.data())
def test_control_characters_that_the_line_puts_in_are_dropped(data, accm, draw):
    framer, deframer = Framer(), Deframer(1500)
    framer.set_accm(accm)
    deframer.set_accm(accm)
    line = bytearray(framer.frame(data))
    noise = [octet for octet in range(32) if accm >> octet & 1]
    for place in draw.draw(st.lists(st.integers(0, len(line)), max_size=5)):
        line.insert(place, draw.draw(st.sampled_from(noise)))
    assert deframer.feed(bytes(line)) == [data]


@given(FRAMES)
def test_whatever_is_escaped_is_understood(data):
    # but for the octet whose escape is an abort; others may come as control characters
    line = b"".join(bytes((octet,)) if octet == 0x5E else bytes((hdlc.ESCAPE, octet ^ hdlc.INVERTED))
                    for octet in data + fcs16(data))
    deframer = Deframer(1500)
    deframer.set_accm(0)
    assert deframer.feed(b"~" + line + b"~") == [data]


@settings(max_examples=300)
@given(st.binary(max_size=600), st.lists(st.integers(0, 5000), max_size=5))
def test_noise_never_raises_and_leaves_the_next_frame_alone(noise, cuts):
    deframer = Deframer(100)
    deframer.set_accm(0)
    for portion in portions(noise, cuts):
        for frame in deframer.feed(portion):
            assert 2 <= len(frame) <= 100
    assert deframer.feed(b"~" + Framer().frame(LCP_REQUEST))[-1:] == [LCP_REQUEST]


@given(FRAMES, st.data())
def test_a_frame_with_one_bit_wrong_is_not_taken_for_it(data, draw):
    line = bytearray(Framer().frame(data))
    bit = draw.draw(st.integers(8, len(line) * 8 - 9))
    line[bit // 8] ^= 1 << bit % 8
    deframer = Deframer(1500)
    assert data not in deframer.feed(bytes(line))


@pytest.mark.parametrize("accm", [0, 0x000A0000, ALL])
def test_lcp_packets_that_configure_go_with_the_whole_map_whatever_was_agreed(accm):
    framer = Framer()
    framer.set_accm(accm)
    for request in (LCP_REQUEST, LCP_REQUEST[2:]):
        inside = framer.frame(request)[1:-1]
        assert min(inside) >= 0x20
    assert (min(framer.frame(LCP_ECHO)[1:-1]) >= 0x20) == (accm == ALL)


def test_an_abort_drops_the_frame_and_is_counted():
    deframer = Deframer(1500)
    line = Framer().frame(LCP_REQUEST)
    assert deframer.feed(line[:-3] + b"\x7d~" + line) == [LCP_REQUEST]
    assert (deframer.aborted, deframer.errors) == (1, 1)


def test_an_escaped_escape_before_the_flag_is_no_abort():
    deframer = Deframer(1500)
    deframer.set_accm(0)
    assert deframer.feed(b"~abc\x7d\x7d~") == []
    assert (deframer.aborted, deframer.bad_fcs) == (0, 1)


def test_what_is_too_short_says_nothing_and_is_not_counted():
    deframer = Deframer(1500)
    deframer.set_accm(0)
    assert deframer.feed(b"~~~a~bc~def~") == []
    assert deframer.errors == 0


def test_a_wrong_fcs_is_counted():
    deframer = Deframer(1500)
    line = Framer().frame(LCP_REQUEST)
    assert deframer.feed(line[:8] + b"x" + line[8:] + line) == [LCP_REQUEST]
    assert deframer.bad_fcs == 1


def test_a_frame_without_end_costs_a_bounded_buffer_and_the_next_is_taken():
    deframer = Deframer(100)
    deframer.set_accm(0)
    for _ in range(1000):
        deframer.feed(b"a" * 100)
        assert len(deframer._pending) <= 2 * 102
    assert deframer.feed(b"rest~" + Framer().frame(LCP_REQUEST)) == [LCP_REQUEST]
    assert deframer.too_long == 1


def test_a_frame_above_the_largest_is_dropped():
    deframer = Deframer(100)
    deframer.set_accm(0)
    framer = Framer()
    framer.set_accm(0)
    assert deframer.feed(framer.frame(b"a" * 100)) == [b"a" * 100]
    assert deframer.feed(framer.frame(b"a" * 101)) == []
    assert deframer.too_long == 1


@pytest.mark.parametrize("octet", [0x20, 0x3F, 0x5D, 0x5E])
def test_octets_whose_escape_would_mean_something_else_are_refused(octet):
    with pytest.raises(ValueError, match=f"0x{octet:02x}"):
        Framer(frozenset((octet,)))


def test_framing_costs_steps_for_escapes_and_not_for_octets():
    framer = Framer()
    framer.set_accm(0)
    small, large = b"a" * 100, b"a" * 10000
    assert steps(framer.frame, large) < steps(framer.frame, small) + 20
    line = framer.frame(large)
    one, other = Deframer(20000), Deframer(20000)
    assert steps(other.feed, line) < steps(one.feed, framer.frame(small)) + 20
