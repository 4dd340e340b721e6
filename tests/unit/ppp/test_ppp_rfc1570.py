"""Identification and Time-Remaining (RFC 1570), and the options of multilink, which we do not speak."""

from __future__ import annotations

import json

import pytest

from prol2tp.ppp import frame
from prol2tp.ppp.link import Link, Phase
from prol2tp.ppp.outputs import LinkDown, PeerSays
from tests.ppp_ends import End, packets, random_source

LCP = frame.LCP
MAGIC = b"\x05\x06\x01\x02\x03\x04"


def said(end: End) -> list[PeerSays]:
    return [output for output in end.all if isinstance(output, PeerSays)]


def told(end: End, code: int) -> list[bytes]:
    return [data for protocol, kind, _, data in packets(end.all) if (protocol, kind) == (LCP, code)]


def test_the_peer_is_told_who_we_are_when_lcp_is_open_and_not_before() -> None:
    end = End(identification="lns.example.com")
    end.hear(LCP, 1, 1, MAGIC)
    assert told(end, frame.IDENTIFICATION) == []
    end.acknowledge(LCP)
    assert told(end, frame.IDENTIFICATION) == [end.link.lcp.magic + b"lns.example.com"]
    end = End(local_ip="10.0.0.1", ipv6=False)
    end.open_lcp()
    assert told(end, frame.IDENTIFICATION) == []


def test_without_a_magic_number_the_field_is_zero() -> None:
    end = End(identification="x", magic=False)
    end.open_lcp()
    assert told(end, frame.IDENTIFICATION) == [b"\0\0\0\0x"]


def test_what_the_peer_says_it_is_comes_as_printable_text_once_a_minute_at_most() -> None:
    end = End(local_ip="10.0.0.1", ipv6=False)
    end.open_lcp()
    end.open_ip()
    end.hear(LCP, frame.IDENTIFICATION, 7, b"\0\0\0\0" + b"evil\n\x1b[31m \xff" + b"x" * 1000)
    ((output),) = said(end)
    assert output.kind == "identification" and output.text.isprintable() and output.text.isascii()
    assert output.text.startswith("evil\\n\\x1b[31m ") and len(output.text) < 1500
    for number in range(100):
        end.hear(LCP, frame.IDENTIFICATION, number, b"\0\0\0\0again")
    assert len(said(end)) == 1 and end.link.lcp.peer_identification == "again"
    end.hear(LCP, frame.TIME_REMAINING, 7, b"\0\0\0\0\0\0\1\0bye")
    assert said(end)[1:] == [PeerSays("time-remaining", "bye", 256)]
    end.wait(61)
    end.hear(LCP, frame.IDENTIFICATION, 8, b"\0\0\0\0later")
    assert said(end)[2:] == [PeerSays("identification", "later")]


@pytest.mark.parametrize(("code", "data"), [
    (frame.IDENTIFICATION, b""), (frame.IDENTIFICATION, b"\0\0\0"), (frame.TIME_REMAINING, b"\0" * 7),
])
def test_one_that_is_too_short_is_dropped(code: int, data: bytes) -> None:
    end = End(local_ip="10.0.0.1", ipv6=False)
    end.open_lcp()
    assert end.hear(LCP, code, 1, data) == []
    assert end.link.discards == 1 and said(end) == []


def test_it_may_come_before_lcp_is_open_and_changes_nothing() -> None:
    end = End(local_ip="10.0.0.1", ipv6=False)
    end.hear(LCP, frame.IDENTIFICATION, 1, b"\0\0\0\0early")
    assert end.link.phase is Phase.ESTABLISH and end.link.lcp.peer_identification == "early"
    end.open_lcp()
    assert end.link.phase is Phase.NETWORK


def test_the_peer_is_told_before_the_session_ends_and_then_it_ends() -> None:
    end = End(local_ip="10.0.0.1", ipv6=False, session_timeout=300.0, time_remaining=60.0)
    end.open_lcp()
    end.open_ip()
    end.wait(239)
    assert told(end, frame.TIME_REMAINING) == []
    end.wait(2)
    (data,) = told(end, frame.TIME_REMAINING)
    assert data[:4] == end.link.lcp.magic and data[4:8] == b"\0\0\0\x3c" and data[8:]
    end.wait(70)
    assert len(told(end, frame.TIME_REMAINING)) == 1
    assert end.down is not None and end.down.cause == "Session Timeout"


@pytest.mark.parametrize(("session", "ahead", "seconds"), [(30.0, 60.0, 30), (30.0, 0.0, None), (0.0, 60.0, None)])
def test_a_short_session_is_told_of_at_once_and_one_without_end_never(
    session: float, ahead: float, seconds: int | None
) -> None:
    end = End(local_ip="10.0.0.1", ipv6=False, session_timeout=session, time_remaining=ahead)
    end.open_lcp()
    end.open_ip()
    end.wait(25)
    assert [int.from_bytes(data[4:8], "big") for data in told(end, frame.TIME_REMAINING)] == (
        [] if seconds is None else [seconds])  # fmt: skip


def test_a_limit_that_changes_moves_the_warning() -> None:
    end = End(local_ip="10.0.0.1", ipv6=False, session_timeout=300.0)
    end.open_lcp()
    end.open_ip()
    end.call("limit_session", 1000.0)
    end.wait(930)
    assert told(end, frame.TIME_REMAINING) == []
    end.wait(20)
    assert len(told(end, frame.TIME_REMAINING)) == 1
    end.call("limit_session", 0.0)
    end.wait(5000)
    assert not any(isinstance(output, LinkDown) for output in end.all)


def test_a_peer_that_rejects_the_codes_stays() -> None:
    end = End(session_timeout=100.0, identification="x")
    end.open_lcp()
    end.open_ip()
    for code in (frame.IDENTIFICATION, frame.TIME_REMAINING):
        end.hear(LCP, frame.CODE_REJECT, 9, frame.packet(code, 1, b"\0\0\0\0"))
    assert end.link.phase is Phase.NETWORK


def test_a_warning_outlives_the_daemon() -> None:
    end = End(local_ip="10.0.0.1", ipv6=False, session_timeout=300.0)
    end.open_lcp()
    end.open_ip()
    end.hear(LCP, frame.IDENTIFICATION, 1, b"\0\0\0\0peer")
    saved = json.loads(json.dumps(end.link.to_record(end.now + 100)))
    again = Link.from_record(saved, end.link.settings, random_source(2), 1000.0)
    assert again.to_record(1000.0) == saved and again.lcp.peer_identification == "peer"
    again.timeout(1145.0)
    assert [code for _, code, _, _ in packets(again.outputs())] == [frame.TIME_REMAINING]


MRRU, SHORT_SEQUENCE, ENDPOINT = b"\x11\x04\x05\xdc", b"\x12\x02", b"\x13\x09\x03abcdef"


def test_multilink_is_rejected_as_a_whole_and_the_link_comes_up_without() -> None:
    end = End(local_ip="10.0.0.1", ipv6=False)
    wishes = MRRU + SHORT_SEQUENCE + ENDPOINT
    ((_, code, identifier, data),) = end.hear(LCP, 1, 5, MAGIC + wishes)
    assert (code, identifier, data) == (frame.CONFIGURE_REJECT, 5, wishes)
    ((_, code, _, data),) = [p for p in end.hear(LCP, 1, 6, MAGIC) if p[1] == frame.CONFIGURE_ACK]
    assert data == MAGIC
    end.acknowledge(LCP)
    assert end.link.phase is Phase.NETWORK


@pytest.mark.parametrize("option", [
    b"\x11\x02", b"\x11\x03\x05", b"\x11\x05\x05\xdc\0", b"\x13\x02", b"\x13\x03\x01", b"\x13\x03\xff",
    b"\x13\xff" + b"\3" * 253, b"\x12\x03\0",
])
def test_options_of_multilink_of_any_length_are_rejected_and_harmless(option: bytes) -> None:
    """CVE-2026-58095 and -58096 of another implementation: an endpoint discriminator that is too short."""
    ((_, code, _, data),) = End().hear(LCP, 1, 5, option)
    assert (code, data) == (frame.CONFIGURE_REJECT, option)


def test_frames_of_multilink_are_rejected_as_a_protocol() -> None:
    end = End(local_ip="10.0.0.1", ipv6=False)
    end.open_lcp()
    end.open_ip()
    ((protocol, code, _, data),) = end.hear_frame(b"\xff\x03\x00\x3d\xc0\0\0\1\x21abc")
    assert (protocol, code, data[:2]) == (LCP, frame.PROTOCOL_REJECT, b"\x00\x3d")
