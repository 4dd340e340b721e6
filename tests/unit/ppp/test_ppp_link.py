"""Phases, limits, causes and records of a link; frames."""

from __future__ import annotations

import json
import sys
import tracemalloc
from typing import Any

import pytest

from prol2tp.common.wire import WireError
from prol2tp.ppp import frame
from prol2tp.ppp.link import CAUSES, Link, Phase
from prol2tp.ppp.outputs import LinkDown, NetworkDown
from prol2tp.ppp.settings import Grant, LinkSettings
from tests.ppp_ends import End, packets, random_source

LCP = frame.LCP


def up(**settings: Any) -> End:
    end = End(**({"local_ip": "10.0.0.1", "ipv6": False} | settings))
    end.open_lcp(b"\x05\x06\1\2\3\4")
    end.open_ip()
    assert end.link.phase is Phase.NETWORK
    return end


def test_the_phases_are_traced_in_order() -> None:
    lines: list[str] = []
    end = up(trace=lambda kind, text: lines.append(text) if kind == "phase" else None)
    end.call("close")
    end.wait(10.0)
    assert lines == [
        "DEAD -> ESTABLISH",
        "ESTABLISH -> AUTHENTICATE",
        "AUTHENTICATE -> NETWORK",
        "NETWORK -> TERMINATE",
        "TERMINATE -> DEAD",
    ]


def test_close_sends_terminate_with_the_reason_twice_and_then_gives_up() -> None:
    end = up()
    ((_, code, identifier, data),) = end.call("close", cause="Admin Reset", message="maintenance")
    assert (code, data) == (frame.TERMINATE_REQUEST, b"maintenance")
    assert end.facts() == [NetworkDown("ip")]
    assert [packet[1:3] for packet in end.wait(10.0)] == [(frame.TERMINATE_REQUEST, identifier)]
    assert end.said[-1] == LinkDown("Admin Reset", "maintenance", False)
    assert end.link.deadline() is None


def test_the_first_cause_is_the_one_that_counts() -> None:
    end = up()
    end.call("close", cause="Idle Timeout")
    end.call("close", cause="Admin Reset")
    end.call("lower_down")
    assert end.down == LinkDown("Idle Timeout", CAUSES["Idle Timeout"].text, False)
    end.call("lower_down")
    assert sum(isinstance(output, LinkDown) for output in end.all) == 1


def test_a_lost_lower_layer_ends_the_link_at_once() -> None:
    end = up()
    assert end.call("lower_down") == []
    assert end.said == [NetworkDown("ip"), LinkDown("Lost Carrier", CAUSES["Lost Carrier"].text, False)]


def test_the_peers_terminate_is_answered_and_the_link_lingers_for_a_repeat() -> None:
    end = up()
    assert end.hear(LCP, frame.TERMINATE_REQUEST, 9, b"bye") == [(LCP, frame.TERMINATE_ACK, 9, b"")]
    assert end.facts() == [NetworkDown("ip")]
    assert end.hear(LCP, frame.TERMINATE_REQUEST, 9, b"bye") == [(LCP, frame.TERMINATE_ACK, 9, b"")]
    end.wait(4.0)
    assert end.down == LinkDown("Peer Request", "bye", True)


def test_a_link_closed_before_it_was_opened_is_down_and_stays_so() -> None:
    link = Link(LinkSettings(), random_source())
    link.close(1.0, "User Request")
    assert [type(output) for output in link.outputs()] == [LinkDown]
    with pytest.raises(ValueError):
        link.open(2.0)


def test_an_unknown_cause_and_settings_that_cannot_work_are_the_callers_mistake() -> None:
    with pytest.raises(ValueError):
        up().link.close(1.0, "whim")
    for wrong in (
        {"auth": True, "auth_methods": ()},
        {"user": "u" * 256},
        {"local_ip": "ten"},
        {"dns": ("x",)},
    ):
        with pytest.raises(ValueError):
            Link(LinkSettings(**wrong), random_source())  # type: ignore[arg-type]


def test_the_session_timeout_counts_from_the_network_phase_and_survives_a_renegotiation() -> None:
    end = up(session_timeout=50.0)
    end.wait(20.0)
    end.hear(LCP, 1, 9, b"\x01\x04\x05\x78")
    end.acknowledge(LCP)
    end.open_ip()
    end.wait(29.0)
    assert end.link.phase is Phase.NETWORK
    end.wait(10.0)
    assert end.down is not None and end.down.cause == "Session Timeout"


def test_the_idle_timeout_is_moved_by_activity() -> None:
    end = up(idle_timeout=30.0)
    for _ in range(5):
        end.wait(20.0)
        end.call("activity", 1.0)
    assert end.link.phase is Phase.NETWORK
    end.call("activity", 31.0)
    assert end.link.phase is Phase.TERMINATE
    end.wait(10.0)
    assert end.down is not None and end.down.cause == "Idle Timeout"


def test_a_link_without_activity_is_ended_by_its_own_deadline() -> None:
    end = up(idle_timeout=30.0)
    assert end.link.deadline() == end.now + 30.0
    end.wait(40.0)
    assert end.down is not None and end.down.cause == "Idle Timeout"


def test_frames_after_the_end_are_ignored() -> None:
    end = up()
    end.call("lower_down")
    assert end.hear(LCP, 1, 1) == []
    assert end.link.deadline() is None


def test_early_timeouts_do_nothing() -> None:
    end = up(lcp_echo_interval=30.0)
    assert end.call("timeout") == []


def test_malformed_frames_are_counted_and_change_nothing() -> None:
    end = up()
    for octets in (
        b"",
        b"\xff\x03",
        b"\xff\x03\xc0",
        b"\xff\x03\xc0\x21",
        b"\xc0\x21\x01\x01\x00\x03",
        b"\xc0\x21\x01\x01\xff\xff",
    ):
        assert end.hear_frame(octets) == []
    assert end.link.discards == 6
    assert end.link.phase is Phase.NETWORK


def test_padding_after_the_packet_is_ignored() -> None:
    end = End(magic=False, pcomp=False, accomp=False)
    assert end.hear_frame(b"\xff\x03\xc0\x21\x01\x01\x00\x04" + bytes(30)) == [(LCP, 2, 1, b"")]


def test_headers_are_read_in_every_form() -> None:
    assert frame.read_header(b"\xff\x03\x00\x21x") == (0x21, 4)
    assert frame.read_header(b"\xff\x03\x21x") == (0x21, 3)
    assert frame.read_header(b"\x00\x21x") == (0x21, 2)
    assert frame.read_header(b"\x21x") == (0x21, 1)
    assert frame.header(0x21, accomp=True, pcomp=True) == b"\x21"
    assert frame.header(LCP, accomp=True, pcomp=True) == b"\xff\x03\xc0\x21"
    for octets in (b"", b"\xff\x03", b"\x80", b"\xff\x03\x80"):
        with pytest.raises(WireError):
            frame.read_header(octets)


def authenticated(**settings: Any) -> End:
    base: dict[str, Any] = {
        "auth": True,
        "auth_methods": ("pap",),
        "local_ip": "10.0.0.1",
        "lcp_echo_interval": 30.0,
    }
    end = End(**(base | settings))
    end.open_lcp(b"\x05\x06\1\2\3\4\x08\x02\x01\x04\x05\x78")
    end.hear(frame.PAP, 1, 7, b"\x02u1\x06sEcrEt")
    end.call(
        "authenticated", Grant(peer_ip="10.0.0.99", session_timeout=100.0, dns=("9.9.9.9",), message="Hi")
    )
    end.open_ip()
    end.hear(frame.IPV6CP, 1, 1, b"\x01\x0a" + bytes(range(1, 9)))
    end.acknowledge(frame.IPV6CP)
    return end


def test_a_link_that_is_up_is_the_same_after_it_was_written_and_read_back() -> None:
    end = authenticated()
    end.wait(35.0)
    text = json.dumps(end.link.to_record(end.now))
    assert "sEcrEt" not in text
    later = 5000.0
    link = Link.from_record(json.loads(text), end.link.settings, random_source(9), later)
    assert json.loads(json.dumps(link.to_record(later))) == json.loads(text)
    for name in ("phase", "mtu", "peer_mru", "user", "auth_done", "run_count"):
        assert getattr(link, name) == getattr(end.link, name)
    assert link.outputs() == []
    before, after = end.link.deadline(), link.deadline()
    assert before is not None and after is not None
    assert after - later == pytest.approx(before - end.now)
    for octets in (
        frame.header(LCP) + frame.packet(frame.ECHO_REQUEST, 4, b"\1\2\3\4x"),
        frame.header(frame.PAP) + frame.packet(1, 9, b"\x02u1\x06sEcrEt"),
        frame.header(frame.IPCP) + frame.packet(1, 9, b"\x03\x06\0\0\0\0\x81\x06\0\0\0\0"),
        frame.header(frame.CCP) + frame.packet(1, 1),
        frame.header(LCP) + frame.packet(frame.TERMINATE_REQUEST, 8),
    ):
        end.hear_frame(octets)
        link.receive(octets, later)
        assert [packet[:2] for packet in packets(link.outputs())] == [
            packet[:2] for packet in packets(end.said)
        ]


def test_only_a_link_that_is_up_is_saved_and_only_a_record_is_read() -> None:
    with pytest.raises(ValueError):
        End().link.to_record(1.0)
    saved = authenticated().link.to_record(100.0)
    saved["version"] = 99
    with pytest.raises(ValueError):
        Link.from_record(saved, LinkSettings(), random_source(), 1.0)


def test_a_rechallenge_in_flight_when_the_daemon_ends_is_sent_again_by_the_next() -> None:
    from tests.unit.ppp.test_ppp_authentication import respond

    end = End(auth=True, auth_methods=("chap",), local_ip="10.0.0.1", chap_interval=60.0, name="lns")
    end.open_lcp()
    identifier, data = respond(end)
    end.hear(frame.CHAP, 2, identifier, data)
    end.call("authenticated", Grant(peer_ip="10.0.0.99"))
    end.open_ip()
    end.wait(60.0)
    end.hear(frame.CHAP, 2, *respond(end))
    link = Link.from_record(
        json.loads(json.dumps(end.link.to_record(end.now))), end.link.settings, random_source(), 0.0
    )
    assert link.deadline() == 0.0
    link.timeout(0.0)
    assert [(packet[0], packet[1]) for packet in packets(link.outputs())][:1] == [(frame.CHAP, 1)]


def test_every_cause_has_a_radius_cause_and_an_exit_code_of_pppd() -> None:
    for word, cause in CAUSES.items():
        assert cause.word == word and 1 <= cause.acct_terminate_cause <= 18
        assert cause.exit_code and cause.text


def test_an_open_link_is_under_eight_kibibytes() -> None:
    authenticated()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        links = []
        for _ in range(50):
            end = authenticated()
            links.append(end.link)
            del end
        size = (tracemalloc.get_traced_memory()[0] - before) / len(links)
    finally:
        tracemalloc.stop()
    assert 1000 < size < 8192


def test_a_link_is_freed_without_the_collector() -> None:
    import gc

    end = authenticated()
    link = end.link
    del end
    gc.collect()
    gc.disable()
    try:
        assert sys.getrefcount(link) == 2
        freed: list[int] = []

        class Watch:
            def __del__(self) -> None:
                freed.append(1)

        link.settings.extra["watch"] = Watch()  # type: ignore[assignment]
        del link
        assert freed == [1]
    finally:
        gc.enable()
