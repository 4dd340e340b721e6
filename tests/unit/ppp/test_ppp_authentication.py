"""PAP and CHAP in both roles (RFC 1334, RFC 1994), and when the shell is asked."""

from __future__ import annotations

from hashlib import md5
from typing import Any

import pytest

from prol2tp.ppp import chap, frame
from prol2tp.ppp.link import Phase
from prol2tp.ppp.outputs import AskAuthentication, LinkAuthenticated
from prol2tp.ppp.settings import Grant
from tests.ppp_ends import End

LCP, PAP, CHAP = frame.LCP, frame.PAP, frame.CHAP
REQUEST = b"\x02u1\x03pw1"


def server(method: str = "pap", **settings: Any) -> End:
    end = End(**({"auth": True, "auth_methods": (method,), "name": "lns", "local_ip": "10.0.0.1"} | settings))
    end.open_lcp()
    assert end.link.phase is Phase.AUTHENTICATE
    return end


def client(option: bytes = b"\x03\x04\xc0\x23", **settings: Any) -> End:
    end = End(**({"user": "u1", "password": "pw1"} | settings))
    end.open_lcp(option)
    return end


def asks(end: End) -> list[AskAuthentication]:
    return [output for output in end.all if isinstance(output, AskAuthentication)]


# PAP, we demand


def test_a_pap_request_asks_the_shell_once_and_starts_no_network_before_the_answer() -> None:
    end = server()
    assert end.hear(PAP, 1, 7, REQUEST) == []
    assert end.said == [AskAuthentication("pap", b"u1", 7, password=b"pw1")]
    assert end.hear(PAP, 1, 8, REQUEST) == [] and end.said == []
    assert end.hear(frame.IPCP, 1, 1, b"\x03\x06\0\0\0\0") == []
    said = end.call("authenticated", Grant(user="u1@example.com", peer_ip="10.0.0.7", message="Welcome"))
    assert said[0] == (PAP, 2, 8, b"\x07Welcome")
    assert LinkAuthenticated("u1@example.com") in end.said
    assert [packet[0] for packet in said[1:]] == [frame.IPCP, frame.IPV6CP]
    assert end.link.auth_done == ("pap", "")


def test_repeated_pap_requests_get_the_same_answer_again_also_when_the_link_is_up() -> None:
    end = server()
    end.hear(PAP, 1, 7, REQUEST)
    end.call("authenticated", Grant(message="Welcome"))
    assert end.hear(PAP, 1, 9, REQUEST) == [(PAP, 2, 9, b"\x07Welcome")]
    assert end.hear(PAP, 1, 10, b"\x05other\x01x") == [(PAP, 2, 10, b"\x07Welcome")]
    assert len(asks(end)) == 1


def test_a_refused_pap_user_is_told_and_the_link_ends() -> None:
    end = server()
    end.hear(PAP, 1, 7, REQUEST)
    said = end.call("refused", "no such user")
    assert said[0] == (PAP, 3, 7, b"\x0cno such user")
    assert (said[1][0], said[1][1]) == (LCP, frame.TERMINATE_REQUEST)
    end.wait(10.0)
    assert end.down is not None
    assert (end.down.cause, end.down.message) == ("Authentication Failed", "no such user")


def test_a_peer_that_sends_no_pap_request_is_ended_after_pap_timeout() -> None:
    end = server(pap_timeout=30.0)
    end.wait(29.0)
    assert end.link.phase is Phase.AUTHENTICATE
    end.wait(10.0)
    assert end.down is not None and end.down.cause == "Authentication Failed"


@pytest.mark.parametrize(
    "data", [b"", b"\x02u1", b"\x02u1\x04pw1", b"\xffu1\x03pw1", b"\x00", b"\x06u1\x03pw1\xff"]
)
def test_crafted_pap_lengths_are_dropped(data: bytes) -> None:
    end = server()
    assert end.hear(PAP, 1, 7, data) == []
    assert asks(end) == [] and end.link.discards == 1


def test_an_empty_name_and_password_are_asked_for_like_others() -> None:
    end = server()
    end.hear(PAP, 1, 7, b"\x00\x00")
    assert asks(end) == [AskAuthentication("pap", b"", 7)]


# PAP, the peer demands


def test_a_pap_request_is_repeated_with_new_identifiers_until_it_is_answered() -> None:
    end = client(pap_max_requests=4, auth_deadline=0.0)
    said = end.wait(8.0)
    requests = [p for p in end.all if hasattr(p, "frame") and p.frame[2:4] == b"\xc0\x23"]
    assert [p.frame[5] for p in requests] == [1, 2, 3]
    assert requests[0].frame[8:] == REQUEST
    assert said[-1][0] == PAP
    end.wait(30.0)
    assert end.down is not None and end.down.cause == "Authentication To Peer Failed"


@pytest.mark.parametrize("data", [b"", b"\x00", b"\x05Hello", b"\x20Hello"])
def test_a_pap_ack_is_taken_with_or_without_its_length_octet(data: bytes) -> None:
    end = client()
    end.hear(PAP, 2, 1, data)
    assert end.link.phase is Phase.NETWORK
    assert end.link.auth_done == ("", "pap")
    assert end.link.peer_message == data[1:].decode()


def test_a_pap_nak_ends_the_link_with_the_peers_words() -> None:
    end = client()
    end.hear(PAP, 3, 1, b"\x03no!")
    end.wait(10.0)
    assert end.down is not None
    assert (end.down.cause, end.down.message, end.down.by_peer) == (
        "Authentication To Peer Failed",
        "no!",
        True,
    )


# CHAP, we demand


def respond(end: End, secret: bytes = b"pw1", name: bytes = b"u1") -> tuple[int, bytes]:
    """Identifier and data of the right response to the last challenge."""
    octets = [o.frame for o in end.all if hasattr(o, "frame") and o.frame[2:5] == b"\xc2\x23\x01"][-1]
    challenge = octets[9 : 9 + octets[8]]
    return octets[5], b"\x10" + md5(octets[5:6] + secret + challenge).digest() + name


def test_chap_challenges_carry_our_name_and_are_repeated_as_they_are() -> None:
    end = server("chap")
    first = [o.frame for o in end.all if hasattr(o, "frame")][-1]
    assert first[4:6] == b"\x01\x01" and first[8] == 16 and first[25:] == b"lns"
    end.wait(3.0)
    assert end.said[0].frame == first
    end.wait(60.0)
    assert end.down is not None and end.down.cause == "Authentication Failed"


def test_a_chap_response_asks_the_shell_with_what_it_needs_to_verify() -> None:
    end = server("chap")
    identifier, data = respond(end)
    end.hear(CHAP, 2, identifier, data)
    (ask,) = asks(end)
    assert (ask.method, ask.user, ask.renewal) == ("chap", b"u1", False)
    assert chap.verify_md5(ask.identifier, b"pw1", ask.challenge, ask.response)
    assert not chap.verify_md5(ask.identifier, b"pw2", ask.challenge, ask.response)
    assert end.hear(CHAP, 2, identifier, data) == [] and len(asks(end)) == 1
    said = end.call("authenticated", Grant(message="Hi"))
    assert said[0] == (CHAP, 3, identifier, b"Hi")
    assert end.hear(CHAP, 2, identifier, data) == [(CHAP, 3, identifier, b"Hi")]


def test_a_response_to_another_challenge_is_dropped() -> None:
    end = server("chap")
    identifier, data = respond(end)
    end.hear(CHAP, 2, identifier + 1, data)
    assert asks(end) == [] and end.link.discards == 1


def test_a_refused_chap_user_gets_failure_and_the_link_ends() -> None:
    end = server("chap")
    identifier, data = respond(end, b"wrong")
    end.hear(CHAP, 2, identifier, data)
    said = end.call("refused", "bad secret")
    assert said[0] == (CHAP, 4, identifier, b"bad secret")
    assert end.link.phase is Phase.TERMINATE


# CHAP, the peer demands

CHAP_OPTION = b"\x03\x05\xc2\x23\x05"


def test_a_challenge_is_answered_again_and_again_until_the_verdict() -> None:
    end = client(CHAP_OPTION)
    challenge = b"\x10" + bytes(range(16)) + b"lns"
    digest = md5(b"\x2a" + b"pw1" + bytes(range(16))).digest()
    assert end.hear(CHAP, 1, 42, challenge) == [(CHAP, 2, 42, b"\x10" + digest + b"u1")]
    assert end.wait(3.0) == [(CHAP, 2, 42, b"\x10" + digest + b"u1")]
    end.hear(CHAP, 3, 41, b"late")
    assert end.link.phase is Phase.AUTHENTICATE
    end.hear(CHAP, 3, 42, b"welcome")
    assert end.link.phase is Phase.NETWORK
    assert end.link.auth_done == ("", "chap")
    assert len(end.hear(CHAP, 1, 43, challenge)) == 1
    assert end.link.phase is Phase.NETWORK


def test_a_challenge_that_nobody_agreed_on_is_not_answered() -> None:
    end = End(user="u1", password="pw1")
    end.open_lcp()
    assert end.hear(CHAP, 1, 42, b"\x10" + bytes(16) + b"lns") == []


def test_our_own_challenge_reflected_is_not_answered() -> None:
    end = End(auth=True, auth_methods=("chap",), name="lns", user="u1", password="pw1")
    end.open_lcp(CHAP_OPTION)
    ours = [o.frame for o in end.all if hasattr(o, "frame") and o.frame[2:5] == b"\xc2\x23\x01"][-1]
    assert end.hear(CHAP, 1, ours[5], ours[8:]) == []
    assert len(end.hear(CHAP, 1, 9, b"\x10" + bytes(16) + b"peer")) == 1


@pytest.mark.parametrize("data", [b"", b"\x00name", b"\x10" + bytes(15), b"\xff" + bytes(100)])
@pytest.mark.parametrize("code", [1, 2])
def test_chap_values_that_are_empty_or_run_past_the_end_are_dropped(code: int, data: bytes) -> None:
    end = client(CHAP_OPTION) if code == 1 else server("chap")
    assert end.hear(CHAP, code, 1, data) == []
    assert end.link.discards == 1 and asks(end) == []


def test_an_overlong_name_costs_nothing() -> None:
    end = server("chap")
    identifier, data = respond(end, name=b"A" * 1400)
    end.hear(CHAP, 2, identifier, data)
    (ask,) = asks(end)
    assert ask.user == b"A" * 1400
    end.call("refused", "")
    assert end.link.phase is Phase.TERMINATE


# the link


def test_authentication_that_takes_too_long_ends_the_link() -> None:
    end = server("chap", auth_deadline=20.0)
    end.wait(19.0)
    assert end.link.phase is Phase.AUTHENTICATE
    end.wait(8.0)
    assert end.down is not None and end.down.message == "authentication took too long"
    end = client(CHAP_OPTION, auth_deadline=20.0)
    end.wait(30.0)
    assert end.down is not None and end.down.cause == "Authentication To Peer Failed"


def test_an_answer_to_an_old_question_is_never_taken_for_one_to_a_new_one() -> None:
    """The peer asks as one user, negotiates LCP anew while the server thinks, and asks as another."""
    end = server()
    end.hear(PAP, 1, 7, b"\x04good\x01g")
    end.hear(LCP, 1, 9, b"\x01\x04\x05\x78")
    end.acknowledge(LCP)
    assert end.link.phase is Phase.AUTHENTICATE
    end.hear(PAP, 1, 8, b"\x05admin\x01x")
    assert [ask.user for ask in asks(end)] == [b"good"]
    end.call("authenticated", Grant(user="good"))
    assert end.link.phase is Phase.AUTHENTICATE and end.link.user == ""
    assert [ask.user for ask in asks(end)] == [b"good", b"admin"]
    end.call("refused", "no")
    assert end.link.phase is Phase.TERMINATE


def test_an_answer_that_comes_after_the_end_does_nothing() -> None:
    end = server()
    end.hear(PAP, 1, 7, REQUEST)
    end.call("lower_down")
    assert end.call("authenticated", Grant(user="u1")) == [] and end.said == []
    assert end.call("refused", "no") == [] and end.said == []


def test_a_grant_sets_addresses_mtu_and_timeouts() -> None:
    end = server(mtu=1500)
    end.hear(PAP, 1, 7, REQUEST)
    end.call(
        "authenticated",
        Grant(local_ip="10.1.0.1", peer_ip="10.1.0.9", dns=("1.1.1.1",), mtu=1400, session_timeout=50.0),
    )
    assert end.link.mtu == 1400
    assert end.last_request(frame.IPCP)[3] == b"\x03\x06\x0a\x01\0\x01"
    ((_, code, _, data),) = end.hear(frame.IPCP, 1, 1, b"\x03\x06\0\0\0\0\x81\x06\0\0\0\0")
    assert (code, data) == (3, b"\x03\x06\x0a\x01\0\x09\x81\x06\x01\x01\x01\x01")


def test_an_authenticated_user_without_an_address_gets_no_ip() -> None:
    end = server()
    end.hear(PAP, 1, 7, REQUEST)
    end.call("authenticated", Grant())
    assert end.hear(frame.IPCP, 1, 1, b"\x03\x06\x0a\0\0\x63")[0][1] == 4


def test_eap_and_lengths_of_cve_2020_8597_never_reach_anything() -> None:
    """An EAP MD5-Challenge with an overlong name: EAP is not spoken, in no phase and for no length."""
    eap = b"\x01\x05\x04\x14\x04\x10" + bytes(16) + b"A" * 1024
    for end in (server("chap"), client(CHAP_OPTION)):
        assert end.hear_frame(b"\xff\x03\xc2\x27" + eap) == []
        assert end.link.discards == 1
    end = End()
    end.open_lcp()
    ((protocol, code, _, data),) = end.hear_frame(b"\xff\x03\xc2\x27" + eap)
    assert (protocol, code, data[:2]) == (LCP, frame.PROTOCOL_REJECT, b"\xc2\x27")


@pytest.mark.parametrize("option", [b"\x13\x02", b"\x13\x03\x01", b"\x13\x17\x03" + bytes(20)])
def test_endpoint_discriminators_of_any_length_are_rejected_unread(option: bytes) -> None:
    end = End()
    assert end.hear(LCP, 1, 1, option) == [(LCP, 4, 1, option)]


@pytest.mark.parametrize("option", [b"\x13\x00", b"\x13\x01", b"\x13"])
def test_endpoint_discriminators_too_short_for_an_option_are_dropped(option: bytes) -> None:
    end = End()
    assert end.hear(LCP, 1, 1, option) == []
    assert end.link.discards == 1


def test_secrets_are_not_in_the_trace() -> None:
    lines: list[str] = []
    for option in (b"\x03\x04\xc0\x23", CHAP_OPTION):
        end = End(user="u1", password="sEcrEt", trace=lambda kind, text: lines.append(text))
        end.open_lcp(option)
        end.hear(CHAP, 1, 42, b"\x10" + bytes(16) + b"lns")
    end = End(auth=True, auth_methods=("pap",), trace=lambda kind, text: lines.append(text))
    end.open_lcp()
    end.hear(PAP, 1, 7, b"\x02u1\x06sEcrEt")
    assert any("password hidden" in line for line in lines)
    assert not any("sEcrEt" in line or b"sEcrEt".hex() in line for line in lines)


@pytest.mark.parametrize(
    ("protocol", "code"), [(PAP, 1), (PAP, 2), (PAP, 3), (PAP, 9), (CHAP, 2), (CHAP, 3), (CHAP, 9)]
)
def test_authentication_that_nobody_asked_for_is_dropped(protocol: int, code: int) -> None:
    end = End()
    end.open_lcp()
    assert end.hear(protocol, code, 1, REQUEST) == []
    assert end.link.discards == 1 and asks(end) == [] and end.link.phase is Phase.NETWORK


def test_a_second_user_on_a_link_has_nothing_of_what_the_first_was_granted() -> None:
    end = server(mtu=1500, session_timeout=0.0)
    end.hear(PAP, 1, 7, REQUEST)
    end.call("authenticated", Grant("u1", "10.1.0.1", "10.1.0.9", ("1.1.1.1",), mtu=1400, peer_interface_id=5))
    end.hear(LCP, 1, 9, b"\x01\x04\x05\xd0")
    end.acknowledge(LCP)
    end.hear(PAP, 1, 8, REQUEST)
    end.call("authenticated", Grant("u2"))
    assert end.link.user == "u2" and end.link.mtu == 1488
    assert end.last_request(frame.IPCP)[3] == b"\x03\x06\x0a\0\0\x01"
    assert end.hear(frame.IPCP, 1, 1, b"\x03\x06\x0a\x01\0\x09")[0][1] == frame.CONFIGURE_REJECT
    assert end.hear(frame.IPCP, 1, 2, b"\x81\x06\x01\x01\x01\x01")[0][1] == frame.CONFIGURE_REJECT
    assert end.hear(frame.IPV6CP, 1, 1, b"\x01\x0a" + bytes(7) + b"\x06")[0][1] == frame.CONFIGURE_ACK


def test_the_answer_to_a_question_of_before_a_renegotiation_is_of_no_use() -> None:
    end = server()
    end.hear(PAP, 1, 7, REQUEST)
    assert end.link.asking
    end.hear(LCP, 1, 9, b"\x01\x04\x05\x78")
    end.acknowledge(LCP)
    assert not end.link.asking


@pytest.mark.parametrize(
    ("octets", "name"),
    [
        (b"DOMAIN\\user", "DOMAIN\\user"),
        ("jürgen müller".encode(), "jürgen müller"),
        (b"a\nb", "a\\nb"),
        (b"\x1b[2J", "\\x1b[2J"),
        (b"\xff", "\ufffd"),
        ("a\u202eb".encode(), "a\\u202eb"),
        (b"x" * 300, "x" * 255),
    ],
)
def test_names_are_read_as_the_peer_means_them_and_never_with_control_characters(octets: bytes, name: str) -> None:
    assert frame.name(octets) == name


def test_a_peer_cannot_put_off_its_authentication_by_negotiating_lcp_again_and_again() -> None:
    end = server("chap", auth_deadline=60.0)
    for turn in range(2, 9):
        end.wait(15.0)
        if end.link.phase is Phase.TERMINATE or end.link.over:
            break
        end.hear(LCP, 1, turn, b"\x01\x04\x05" + bytes((turn,)))
        end.acknowledge(LCP)
    end.wait(7.0)
    assert end.now <= 100.0 + 75.0 + 7.0
    assert end.down is not None and end.down.message == "authentication took too long"


def test_the_time_for_authentication_starts_anew_once_a_peer_was_let_in() -> None:
    end = server(auth_deadline=60.0)
    end.hear(PAP, 1, 7, REQUEST)
    end.call("authenticated", Grant(peer_ip="10.0.0.9"))
    end.open_ip(b"\x0a\0\0\x09")
    end.wait(100.0)
    end.hear(LCP, 1, 9, b"\x01\x04\x05\x78")
    end.acknowledge(LCP)
    end.wait(20.0)
    assert end.link.phase is Phase.AUTHENTICATE
