"""LCP: options of both directions, loopback, echo, rejects (RFC 1661 sections 5 and 6, RFC 1570)."""

from __future__ import annotations

from typing import Any

import pytest

from prol2tp.ppp import frame
from prol2tp.ppp.automaton import State
from prol2tp.ppp.lcp import LOOPS_MAX
from prol2tp.ppp.link import Phase
from prol2tp.ppp.outputs import LinkOpened
from tests.ppp_ends import End

LCP = frame.LCP


def quiet(**settings: Any) -> End:
    """An end that asks for nothing unless told."""
    return End(
        **(
            {"magic": False, "pcomp": False, "accomp": False, "ipv6": False, "local_ip": "10.0.0.1"}
            | settings
        )
    )


def test_the_request_carries_what_the_settings_ask_for_and_nothing_else() -> None:
    assert quiet().last_request(LCP)[3] == b""
    end = quiet(mru=1492, asyncmap=0, auth=True, auth_methods=("pap",), pcomp=True, accomp=True, magic=True)
    data = end.last_request(LCP)[3]
    assert data[:14] == b"\x01\x04\x05\xd4\x02\x06\x00\x00\x00\x00\x03\x04\xc0\x23"
    assert data[14:16] == b"\x05\x06" and data[20:] == b"\x07\x02\x08\x02"


def test_lcp_frames_have_the_full_header_even_after_compression_was_agreed() -> None:
    end = quiet(accomp=True, pcomp=True)
    end.open_lcp(b"\x07\x02\x08\x02")
    assert end.link.phase is Phase.NETWORK
    end.hear(LCP, frame.ECHO_REQUEST, 1, bytes(4))
    assert end.said[0].frame[:4] == b"\xff\x03\xc0\x21"
    end.wait(3.0)
    assert {output.frame[:2] for output in end.said} == {b"\x80\x21"}


def test_ff_03_is_sent_unless_the_peer_negotiated_it_away() -> None:
    end = quiet(accomp=True)
    end.open_lcp()
    assert [output.frame[:4] for output in end.said if hasattr(output, "frame")] == [b"\xff\x03\x80\x21"]


def test_frames_without_ff_03_are_taken_although_that_was_not_negotiated() -> None:
    end = quiet()
    end.hear_frame(b"\xc0\x21" + frame.packet(1, 1))
    end.hear_frame(b"\xc0\x21" + frame.packet(2, 1))
    assert end.link.phase is Phase.NETWORK


def test_options_that_we_do_not_have_are_rejected_in_their_order() -> None:
    end = quiet()
    mrru, callback, quality, discriminator = (
        b"\x11\x04\x05\xdc",
        b"\x0d\x03\x06",
        b"\x04\x08\xc0\x25\0\0\0\1",
        b"\x13\x03\x00",
    )
    said = end.hear(LCP, 1, 7, b"\x01\x04\x05\xd4" + mrru + callback + quality + discriminator)
    assert said == [(LCP, 4, 7, mrru + callback + quality + discriminator)]


def test_the_peers_mru_bounds_what_we_send() -> None:
    end = quiet(mtu=1450)
    end.open_lcp(b"\x01\x04\x05\x00")
    assert (end.link.peer_mru, end.link.mtu) == (1280, 1280)
    end = quiet(mtu=1450)
    end.open_lcp()
    assert (end.link.peer_mru, end.link.mtu) == (1500, 1450)


def test_an_mru_too_small_to_work_with_is_naked() -> None:
    assert quiet().hear(LCP, 1, 7, b"\x01\x04\x00\x10") == [(LCP, 3, 7, b"\x01\x04\x00\x80")]


def test_our_mru_gives_way_to_the_peers_nak() -> None:
    end = quiet(mru=1492)
    assert end.hear(LCP, 3, 1, b"\x01\x04\x05\x78") == [(LCP, 1, 2, b"\x01\x04\x05\x78")]


def test_our_accm_takes_the_peers_bits_too() -> None:
    end = quiet(asyncmap=0x80000000)
    assert end.hear(LCP, 3, 1, b"\x02\x06\x00\x0a\x00\x00") == [(LCP, 1, 2, b"\x02\x06\x80\x0a\x00\x00")]


def test_a_protocol_that_we_do_not_have_is_naked_with_the_one_that_we_prefer() -> None:
    eap, ms_chap = b"\x03\x04\xc2\x27", b"\x03\x05\xc2\x23\x81"
    end = quiet(user="u", password="p", allow_methods=("chap", "pap"))
    assert end.hear(LCP, 1, 7, eap) == [(LCP, 3, 7, b"\x03\x05\xc2\x23\x05")]
    assert end.hear(LCP, 1, 8, ms_chap) == [(LCP, 3, 8, b"\x03\x05\xc2\x23\x05")]
    assert end.hear(LCP, 1, 9, b"\x03\x04\xc0\x23") == [(LCP, 2, 9, b"\x03\x04\xc0\x23")]


def test_authentication_is_rejected_by_an_end_that_has_no_name() -> None:
    assert quiet().hear(LCP, 1, 7, b"\x03\x04\xc0\x23") == [(LCP, 4, 7, b"\x03\x04\xc0\x23")]


def test_a_demand_for_authentication_follows_the_peers_suggestion_when_it_is_ours_too() -> None:
    end = quiet(auth=True, auth_methods=("chap", "pap"))
    assert end.hear(LCP, 3, 1, b"\x03\x04\xc0\x23") == [(LCP, 1, 2, b"\x03\x04\xc0\x23")]


@pytest.mark.parametrize("code", [3, 4])
def test_a_peer_that_refuses_every_method_that_we_demand_ends_the_link_at_once(code: int) -> None:
    end = quiet(auth=True, auth_methods=("chap", "pap"))
    end.hear(LCP, code, 1, b"\x03\x05\xc2\x23\x05")
    said = end.hear(LCP, code, 2, b"\x03\x04\xc0\x23")
    assert [packet[1] for packet in said] == [frame.TERMINATE_REQUEST]
    end.hear(LCP, frame.TERMINATE_ACK, said[0][2])
    assert end.down is not None
    assert (end.down.cause, end.down.by_peer) == ("Authentication Failed", True)


def test_the_link_never_opens_without_the_authentication_that_we_demand() -> None:
    end = quiet(auth=True, auth_methods=("pap",))
    end.hear(LCP, 4, 1, b"\x03\x04\xc0\x23")
    end.hear(LCP, 1, 1)
    end.hear(LCP, 2, 2)
    end.wait(60.0)
    assert not any(isinstance(output, LinkOpened) for output in end.all)
    assert end.down is not None


def test_a_magic_number_of_zero_is_naked_with_one() -> None:
    ((_, code, _, data),) = quiet(magic=True).hear(LCP, 1, 7, b"\x05\x06\0\0\0\0")
    assert code == 3 and data[:2] == b"\x05\x06" and any(data[2:])


def test_our_own_magic_number_is_naked_and_in_the_end_means_a_loop() -> None:
    end = quiet(magic=True)
    frames = [output.frame for output in end.said]
    for _ in range(200):
        if end.down is not None or not frames:
            break
        said: list[bytes] = []
        for octets in frames:
            end.hear_frame(octets)
            said += [output.frame for output in end.said if hasattr(output, "frame")]
        frames = said
    assert end.down is not None
    assert end.down.cause == "Loopback"
    naks = [output for output in end.all if hasattr(output, "frame") and output.frame[4] == 3]
    assert len(naks) <= LOOPS_MAX


def test_echo_requests_are_answered_with_our_magic_number_and_only_when_opened() -> None:
    end = quiet(magic=True)
    assert end.hear(LCP, frame.ECHO_REQUEST, 5, b"\1\2\3\4data") == []
    end.open_lcp(b"\x05\x06\1\2\3\4")
    assert end.hear(LCP, frame.ECHO_REQUEST, 5, b"\1\2\3\4data") == [
        (LCP, frame.ECHO_REPLY, 5, end.link.lcp.magic + b"data")
    ]


def test_discard_identification_and_time_remaining_are_taken_in_silence_and_traced() -> None:
    lines: list[str] = []
    end = quiet(trace=lambda kind, text: lines.append(text))
    end.open_lcp()
    for code in (frame.DISCARD_REQUEST, frame.IDENTIFICATION, frame.TIME_REMAINING):
        assert end.hear(LCP, code, 5, b"\0\0\0\0\0\0\0\x3cMSRASV5.20") == []
    assert any("Identification" in line and "MSRASV5.20" in line for line in lines)
    assert any("Time-Remaining" in line and "60 s" in line for line in lines)
    assert end.link.discards == 0


def test_echo_failures_end_the_link_and_an_answer_sets_them_back() -> None:
    end = quiet(lcp_echo_interval=10.0, lcp_echo_failures=2, magic=True, passive=False)
    end.open_lcp()
    end.open_ip()
    echo = end.wait(10.0)[-1]
    assert echo[1] == frame.ECHO_REQUEST
    end.hear(LCP, frame.ECHO_REPLY, echo[2], bytes(4))
    assert end.link.lcp.echo_pending == 0
    end.wait(20.0)
    assert end.down is None
    end.wait(10.0)
    assert end.link.phase is Phase.TERMINATE
    end.wait(6.0)
    assert end.down is not None and end.down.cause == "Peer Dead"


def test_adaptive_echo_is_silent_while_the_peer_is_not() -> None:
    end = quiet(lcp_echo_interval=10.0, lcp_echo_failures=2, lcp_echo_adaptive=True)
    end.open_lcp()
    end.open_ip()
    for _ in range(5):
        end.hear(LCP, frame.DISCARD_REQUEST, 1, bytes(4))
        assert end.wait(10.0) == []
    assert [packet[1] for packet in end.wait(10.0)] == [frame.ECHO_REQUEST]


def test_an_unknown_protocol_is_rejected_when_the_network_phase_is_reached_and_not_before() -> None:
    end = quiet(auth=True)
    assert end.hear(frame.CCP, 1, 1) == []
    end.open_lcp()
    assert end.hear(frame.CCP, 1, 1) == []
    end = quiet()
    end.open_lcp(b"\x01\x04\x00\x80")
    octets = frame.packet(1, 1, bytes(300))
    ((_, code, _, data),) = end.hear_frame(b"\xff\x03\x80\xfd" + octets)
    assert code == frame.PROTOCOL_REJECT
    assert data == b"\x80\xfd" + octets[:122]


def test_the_protocol_of_a_disabled_network_is_rejected_and_so_is_its_data() -> None:
    end = quiet()
    end.open_lcp()
    ((_, code, _, data),) = end.hear(frame.IPV6CP, 1, 1, b"\x01\x0a" + bytes(8))
    assert (code, data[:2]) == (frame.PROTOCOL_REJECT, b"\x80\x57")
    ((_, code, _, data),) = end.hear_frame(b"\xff\x03\x00\x57" + bytes(40))
    assert (code, data[:2]) == (frame.PROTOCOL_REJECT, b"\x00\x57")


def test_a_request_in_opened_negotiates_anew_and_networks_go_down_and_up() -> None:
    end = quiet()
    end.open_lcp()
    end.open_ip()
    assert end.link.ipcp is not None and end.link.ipcp.state is State.OPENED
    said = end.hear(LCP, 1, 9, b"\x01\x04\x05\x78")
    assert [packet[1] for packet in said] == [1, 2]
    assert [type(fact).__name__ for fact in end.facts()] == ["NetworkDown"]
    assert end.link.phase is Phase.ESTABLISH
    end.acknowledge(LCP)
    assert end.link.phase is Phase.NETWORK
    assert end.link.peer_mru == 1400
    end.open_ip()
    assert "NetworkUp" in [type(fact).__name__ for fact in end.facts()]


def test_silent_waits_for_the_peer_and_passive_outlives_the_last_try() -> None:
    end = quiet(silent=True)
    assert end.said == [] and end.link.deadline() is None
    assert [packet[1] for packet in end.hear(LCP, 1, 1)] == [1, 2]
    end = quiet(passive=True)
    assert len(end.wait(100.0)) == 9
    assert end.down is None and end.link.deadline() is None
    assert [packet[1] for packet in end.hear(LCP, 1, 1)] == [1, 2]
    end = quiet()
    end.wait(29.0)
    assert end.down is None
    end.wait(2.0)
    assert end.down is not None and end.down.cause == "Negotiation Failed"


def test_status_words_are_those_of_pppd_in_its_order() -> None:
    end = End(auth=True, auth_methods=("pap", "chap"), mru=1492, asyncmap=0, user="u", password="p")
    lcp = end.link.lcp
    assert lcp.want == ("pap", "chap", "asyncmap", "magic", "mru", "pcomp", "accomp")
    assert lcp.allow == ("pap", "chap", "asyncmap", "magic", "mru", "pcomp", "accomp")
    assert lcp.got == ()
    end.open_lcp(b"\x02\x06\0\0\0\0\x05\x06\1\2\3\4\x07\x02\x08\x02")
    assert lcp.got == ("pap", "asyncmap", "magic", "mru", "pcomp", "accomp")
    assert lcp.his == ("asyncmap", "magic", "pcomp", "accomp")


def test_options_of_wrong_length_are_naked_with_what_is_right_or_rejected() -> None:
    end = quiet()
    assert end.hear(LCP, 1, 1, b"\x01\x03\x05") == [(LCP, 3, 1, b"\x01\x04\x05\xdc")]
    assert end.hear(LCP, 1, 2, b"\x02\x03\x05") == [(LCP, 3, 2, b"\x02\x06\xff\xff\xff\xff")]
    assert end.hear(LCP, 1, 3, b"\x07\x03\x05") == [(LCP, 4, 3, b"\x07\x03\x05")]
    assert end.hear(LCP, 1, 4, b"\x03\x03\xc0") == [(LCP, 4, 4, b"\x03\x03\xc0")]


def test_a_nak_of_wrong_length_takes_our_option_away() -> None:
    end = quiet(mru=1492, pcomp=True)
    assert end.hear(LCP, 3, 1, b"\x01\x03\x05\x07\x03\x01") == [(LCP, 1, 2, b"")]
    assert end.link.lcp.mru == 1500


def test_a_flag_that_is_naked_is_not_asked_for_again() -> None:
    assert quiet(pcomp=True).hear(LCP, 3, 1, b"\x07\x02") == [(LCP, 1, 2, b"")]


def test_a_rejected_magic_number_is_zero_from_then_on() -> None:
    end = quiet(magic=True)
    end.hear(LCP, 4, 1, end.last_request(LCP)[3])
    end.open_lcp()
    assert end.hear(LCP, frame.ECHO_REQUEST, 5, bytes(4)) == [(LCP, frame.ECHO_REPLY, 5, bytes(4))]


def test_echo_replies_with_our_own_magic_number_are_no_sign_of_life() -> None:
    end = quiet(magic=True, lcp_echo_interval=10.0, lcp_echo_failures=2)
    end.open_lcp()
    end.open_ip()
    for _ in range(3):
        for packet in end.wait(10.0):
            if packet[1] == frame.ECHO_REQUEST:
                end.hear(LCP, frame.ECHO_REPLY, packet[2], packet[3])
    end.wait(10.0)
    assert end.down is not None and end.down.cause == "Loopback"


@pytest.mark.parametrize(
    "code", [frame.ECHO_REQUEST, frame.ECHO_REPLY, frame.PROTOCOL_REJECT, frame.CODE_REJECT]
)
def test_packets_without_their_fields_are_dropped(code: int) -> None:
    end = quiet()
    end.open_lcp()
    assert end.hear(LCP, code, 1) == []
    assert end.link.discards == 1


def test_a_peer_that_rejects_lcp_itself_ends_the_link() -> None:
    end = quiet()
    end.open_lcp()
    end.hear(LCP, frame.PROTOCOL_REJECT, 1, b"\xc0\x21")
    end.wait(10.0)
    assert end.down is not None
    assert (end.down.cause, end.down.message) == ("Negotiation Failed", "the peer rejects LCP")


def test_a_peer_that_rejects_the_authentication_it_agreed_to_ends_the_link() -> None:
    end = quiet(auth=True, auth_methods=("chap",))
    end.open_lcp()
    end.hear(LCP, frame.PROTOCOL_REJECT, 1, b"\xc2\x23")
    end.wait(10.0)
    assert end.down is not None and end.down.cause == "Authentication Failed"
    end = quiet(user="u", password="p")
    end.open_lcp(b"\x03\x04\xc0\x23")
    end.hear(LCP, frame.PROTOCOL_REJECT, 1, b"\xc0\x23")
    end.wait(10.0)
    assert end.down is not None and end.down.cause == "Authentication To Peer Failed"


def test_a_link_without_any_network_is_of_no_use_and_ends() -> None:
    end = quiet(ip=False)
    end.open_lcp()
    end.wait(10.0)
    assert end.down is not None and end.down.message == "no network protocol is enabled"
