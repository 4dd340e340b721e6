"""EAP on a link, both roles (RFC 3748): order, identifiers, repetitions, Nak, methods, pass-through."""

from __future__ import annotations

from hashlib import md5
from typing import Any

import pytest

from prol2tp.ppp import eap, eappacket, frame, mschap
from prol2tp.ppp.link import Phase
from prol2tp.ppp.outputs import AskAuthentication, SendFrame
from prol2tp.ppp.settings import Grant
from tests.ppp_ends import End, users

EAP, LCP = frame.EAP, frame.LCP
OPTION = b"\x03\x04\xc2\x27"
SERVER = users(u1="pw1")


def server(**settings: Any) -> End:
    end = End(**({"auth": True, "auth_methods": ("eap",), "name": "lns", "local_ip": "10.0.0.1"} | settings))
    end.open_lcp()
    assert end.link.phase is Phase.AUTHENTICATE
    return end


def client(**settings: Any) -> End:
    end = End(**({"user": "u1", "password": "pw1", "allow_methods": ("eap",)} | settings))
    end.open_lcp(OPTION)
    return end


def asks(end: End) -> list[AskAuthentication]:
    return [output for output in end.all if isinstance(output, AskAuthentication)]


def last(end: End) -> tuple[int, int, bytes]:
    """Code, identifier and data of the last EAP packet that the link sent."""
    for output in reversed(end.all):
        if isinstance(output, SendFrame):
            protocol, start = frame.read_header(output.frame)
            if protocol == EAP:
                return frame.read_packet(output.frame[start:])
    raise AssertionError("no EAP packet")


def identified(**settings: Any) -> tuple[End, int, bytes]:
    """A server that has heard who the peer is: with the identifier and data of its next Request."""
    end = server(**settings)
    code, identifier, data = last(end)
    assert (code, data) == (1, b"\x01")
    end.hear(EAP, 2, identifier, b"\x01u1")
    code, identifier, data = last(end)
    assert code == 1
    return end, identifier, data


def mschapv2(challenge: bytes, inner: int, password: str = "pw1", name: bytes = b"u1") -> bytes:
    peer_challenge = bytes(range(16))
    proof = mschap.nt_response(challenge, peer_challenge, name, mschap.nt_password_hash(password))
    value = b"\x31" + peer_challenge + bytes(8) + proof + b"\0" + name
    return b"\x1a" + eappacket.mschapv2_data(2, inner, value)


# we demand


def test_the_identity_is_asked_for_first_and_repeated_as_it_is() -> None:
    end = server(eap_max_requests=3)
    first = last(end)
    assert end.wait(3.0) == [(EAP, *first)]
    end.wait(30.0)
    assert end.down is not None and end.down.message == "no response to EAP Request"


def test_md5_asks_the_shell_as_chap_does_and_success_has_the_identifier_of_the_response() -> None:
    end, identifier, data = identified(eap_methods=("md5",))
    assert data[:2] == b"\x04\x10" and data[18:] == b"lns"
    digest = md5(bytes((identifier,)) + b"pw1" + data[2:18]).digest()
    assert end.hear(EAP, 2, identifier, b"\x04\x10" + digest + b"u1") == []
    (ask,) = asks(end)
    assert (ask.method, ask.user) == ("chap", b"u1")
    assert end.hear(frame.IPCP, 1, 1, b"\x03\x06\0\0\0\0") == []
    grant = SERVER(ask)
    assert isinstance(grant, Grant)
    said = end.call("authenticated", grant)
    assert said[0] == (EAP, 3, identifier, b"")
    assert end.link.phase is Phase.NETWORK and end.link.auth_done == ("eap", "") and end.link.user == "u1"


def test_mschapv2_lets_the_peer_confirm_before_it_is_in() -> None:
    end, identifier, data = identified()
    assert data[:6] == bytes((26, 1, identifier, 0, 24, 16)) and data[22:] == b"lns"
    assert end.hear(EAP, 2, identifier, mschapv2(data[6:22], identifier)) == []
    grant = SERVER(asks(end)[-1])
    assert isinstance(grant, Grant)
    ((_, code, confirm, data),) = end.call("authenticated", grant)
    assert (code, data[:2]) == (1, b"\x1a\x03") and confirm == (identifier + 1) & 255
    assert data[5:].startswith(grant.authenticator_response.encode())
    assert end.link.phase is Phase.AUTHENTICATE
    assert end.wait(3.0) == [(EAP, 1, confirm, data)]
    said = end.hear(EAP, 2, confirm, b"\x1a\x03")
    assert said[0] == (EAP, 3, confirm, b"")
    assert end.link.phase is Phase.NETWORK and end.link.auth_done == ("eap", "")
    assert end.link.mppe_keys is not None


def test_a_peer_that_does_not_believe_us_is_not_let_in() -> None:
    end, identifier, data = identified()
    end.hear(EAP, 2, identifier, mschapv2(data[6:22], identifier))
    end.call("authenticated", SERVER(asks(end)[-1]))
    _, confirm, _ = last(end)
    said = end.hear(EAP, 2, confirm, b"\x1a\x04")
    assert said[0] == (EAP, 4, confirm, b"") and end.link.phase is Phase.TERMINATE


def test_a_refusal_of_mschapv2_is_told_in_words_then_by_failure() -> None:
    end, identifier, data = identified()
    end.hear(EAP, 2, identifier, mschapv2(data[6:22], identifier, "wrong"))
    ((_, code, telling, data),) = end.call("refused", "no")
    assert code == 1 and data[:2] == b"\x1a\x04" and b"E=691 R=0" in data and data.endswith(b" M=no")
    assert end.link.phase is Phase.AUTHENTICATE
    assert end.hear(EAP, 2, telling, mschapv2(bytes(16), 1)) == []
    said = end.hear(EAP, 2, telling, b"\x1a\x04")
    assert said[0] == (EAP, 4, telling, b"") and end.link.phase is Phase.TERMINATE
    end.wait(20.0)
    assert end.down is not None and (end.down.cause, end.down.message) == ("Authentication Failed", "no")


def test_a_peer_that_hears_no_refusal_is_ended_all_the_same() -> None:
    end, identifier, data = identified(auth_deadline=0.0)
    end.hear(EAP, 2, identifier, mschapv2(data[6:22], identifier, "wrong"))
    end.call("refused", "no")
    end.wait(60.0)
    assert end.down is not None and end.down.message == "no"


def test_another_password_is_taken_on_the_challenge_of_the_failure() -> None:
    end, identifier, data = identified(mschap_retries=1)
    end.hear(EAP, 2, identifier, mschapv2(data[6:22], identifier, "wrong"))
    ((_, _, telling, data),) = end.call("refused", "no", retry=True)
    challenge = bytes.fromhex(data[data.index(b"C=") + 2 :][:32].decode())
    end.hear(EAP, 2, telling, mschapv2(challenge, telling, "wrong again"))
    ((_, _, telling, data),) = end.call("refused", "no", retry=True)
    assert b"R=0" in data
    end, identifier, data = identified()
    end.hear(EAP, 2, identifier, mschapv2(data[6:22], identifier, "wrong"))
    ((_, _, telling, data),) = end.call("refused", "no", retry=True)
    challenge = bytes.fromhex(data[data.index(b"C=") + 2 :][:32].decode())
    end.hear(EAP, 2, telling, mschapv2(challenge, telling))
    grant = SERVER(asks(end)[-1])
    assert isinstance(grant, Grant)


def test_a_nak_gets_the_next_method_that_both_have() -> None:
    end, identifier, data = identified(eap_methods=("mschapv2", "md5"))
    ((_, code, _, data),) = end.hear(EAP, 2, identifier, b"\x03\x0d\x04")
    assert (code, data[:2]) == (1, b"\x04\x10")


@pytest.mark.parametrize("wanted", [b"", b"\x00", b"\x0d", b"\x04", b"\x1a", b"\x01\x02\x03"])
def test_a_nak_never_leads_below_what_is_demanded(wanted: bytes) -> None:
    """Downgrade: the peer wants MD5, or what we have just offered, or nothing."""
    end, identifier, _ = identified(eap_methods=("mschapv2",))
    said = end.hear(EAP, 2, identifier, b"\x03" + wanted)
    assert said[0] == (EAP, 4, identifier, b"") and end.link.phase is Phase.TERMINATE
    assert asks(end) == []


def test_responses_that_fit_no_request_are_dropped() -> None:
    end, identifier, _ = identified()
    for bad in (identifier - 1, identifier + 1):
        assert end.hear(EAP, 2, bad & 255, b"\x01u1") == []
    for data in (b"", b"\x01u1", b"\x04\x10" + bytes(16), b"\x1a", b"\x1a\x02", b"\x1a\x02\0\0\3", b"\x1a\x03"):
        assert end.hear(EAP, 2, identifier, data) == []
    assert end.link.discards == 9 and end.link.phase is Phase.AUTHENTICATE and asks(end) == []
    end = server()
    assert end.hear(EAP, 2, last(end)[1], b"\x03\x04") == [] and end.link.discards == 1


def test_a_response_that_comes_twice_is_asked_about_once() -> None:
    end, identifier, data = identified()
    response = mschapv2(data[6:22], identifier)
    end.hear(EAP, 2, identifier, response)
    end.hear(EAP, 2, identifier, response)
    assert len(asks(end)) == 1


# pass-through


def test_pass_through_gives_the_shell_whole_packets_and_the_peer_the_answers() -> None:
    end = server(eap_passthrough=True)
    _, identifier, _ = last(end)
    assert end.hear(EAP, 2, identifier, b"\x01u1@example.com") == []
    (ask,) = asks(end)
    assert (ask.method, ask.user) == ("eap", b"u1@example.com")
    assert ask.eap == frame.packet(2, identifier, b"\x01u1@example.com")
    request = frame.packet(1, 77, b"\x19\x20")
    assert end.call("eap_request", request) == [(EAP, 1, 77, b"\x19\x20")]
    assert end.wait(3.0) == [(EAP, 1, 77, b"\x19\x20")]
    end.hear(EAP, 2, 77, b"\x03\x0d")
    assert asks(end)[-1].eap == frame.packet(2, 77, b"\x03\x0d") and asks(end)[-1].user == b"u1@example.com"
    end.call("eap_request", frame.packet(1, 78, b"\x0d\x20"))
    end.hear(EAP, 2, 77, b"\x03\x0d")
    assert len(asks(end)) == 2
    end.hear(EAP, 2, 78, b"\x0d\0" + bytes(1400))
    said = end.call("authenticated", Grant(user="u1", mppe_send_key=b"s" * 16, mppe_receive_key=b"r" * 16))
    assert said[0] == (EAP, 3, 78, b"") and end.link.phase is Phase.NETWORK
    assert end.link.auth_done == ("eap", "") and end.link.mppe_keys == (b"s" * 16, b"r" * 16)


def test_a_refusal_in_pass_through_is_a_failure() -> None:
    end = server(eap_passthrough=True)
    _, identifier, _ = last(end)
    end.hear(EAP, 2, identifier, b"\x01u1")
    assert end.call("refused", "no")[0] == (EAP, 4, identifier, b"")
    assert end.link.phase is Phase.TERMINATE


@pytest.mark.parametrize(
    "packet",
    [b"", b"\x01\x02\x00\x04", b"\x02\x02\x00\x05\x0d", b"\x01\x02\x00\x06\x0d", b"\x01\x02\x05\xdd" + bytes(1497)],
)
def test_what_a_server_should_not_say_ends_the_link(packet: bytes) -> None:
    end = server(eap_passthrough=True)
    end.hear(EAP, 2, last(end)[1], b"\x01u1")
    said = end.call("eap_request", packet)
    assert said[0][:2] == (EAP, 4) and end.link.phase is Phase.TERMINATE


def test_a_server_does_not_ask_for_ever() -> None:
    end = server(eap_passthrough=True, auth_deadline=0.0)
    _, identifier, _ = last(end)
    end.hear(EAP, 2, identifier, b"\x01u1")
    for number in range(eap.ROUNDS_MAX):
        end.call("eap_request", frame.packet(1, number, b"\x0d"))
        end.hear(EAP, 2, number, b"\x0d")
    assert end.link.phase is Phase.TERMINATE


def test_an_eap_packet_is_no_answer_to_another_question() -> None:
    end = End(auth=True, auth_methods=("pap",))
    end.open_lcp()
    end.hear(frame.PAP, 1, 7, b"\x02u1\x03pw1")
    with pytest.raises(ValueError, match="pap"):
        end.call("eap_request", frame.packet(1, 1, b"\x0d"))
    assert end.link.asking


# the peer demands


def test_identity_notification_and_nak() -> None:
    end = client(eap_allow_methods=("mschapv2", "md5"))
    assert end.hear(EAP, 1, 9, b"\x01who?") == [(EAP, 2, 9, b"\x01u1")]
    assert end.hear(EAP, 1, 10, b"\x02hello") == [(EAP, 2, 10, b"\x02")]
    assert end.link.peer_message == "hello"
    assert end.hear(EAP, 1, 11, b"\x0d\x20") == [(EAP, 2, 11, b"\x03\x1a\x04")]
    assert end.hear(EAP, 1, 12, b"\xfe\0\0\0\0\0\0\x0d") == [(EAP, 2, 12, b"\x03\x1a\x04")]
    end = client(eap_allow_methods=())
    assert end.hear(EAP, 1, 9, b"\x04\x10" + bytes(16)) == [(EAP, 2, 9, b"\x03\0")]


def test_a_request_that_comes_twice_gets_the_same_response() -> None:
    end = client()
    request = b"\x1a" + eappacket.mschapv2_data(1, 5, b"\x10" + bytes(range(16)) + b"lns")
    first = end.hear(EAP, 1, 5, request)
    assert end.hear(EAP, 1, 5, request) == first
    assert end.link.eap is not None and end.link.eap.requests_received == 1


def test_md5_is_answered_and_only_then_success_is_taken() -> None:
    end = client()
    end.hear(EAP, 1, 1, b"\x01")
    end.hear(EAP, 3, 1)
    assert end.link.phase is Phase.AUTHENTICATE  # nothing was proved
    digest = md5(b"\x02pw1" + bytes(16)).digest()
    assert end.hear(EAP, 1, 2, b"\x04\x10" + bytes(16) + b"lns") == [(EAP, 2, 2, b"\x04\x10" + digest + b"u1")]
    end.hear(EAP, 3, 1)
    assert end.link.phase is Phase.AUTHENTICATE
    end.hear(EAP, 3, 2)
    assert end.link.phase is Phase.NETWORK and end.link.auth_done == ("", "eap")


def through_mschapv2(end: End, password: str = "pw1") -> bytes:
    challenge = bytes(range(16))
    request = b"\x1a" + eappacket.mschapv2_data(1, 5, b"\x10" + challenge + b"lns")
    ((_, code, identifier, data),) = end.hear(EAP, 1, 5, request)
    assert (code, identifier, data[:6], data[55:]) == (2, 5, b"\x1a\x02\x05\x00\x38\x31", b"u1")
    nt_hash = mschap.nt_password_hash(password)
    said = mschap.authenticator_response(nt_hash, data[30:54], data[6:22], challenge, b"u1")
    return b"\x1a" + eappacket.mschapv2_data(3, 5, said.encode() + b" M=Welcome")


def test_mschapv2_is_over_when_both_have_proved_themselves() -> None:
    end = client()
    success = through_mschapv2(end)
    end.hear(EAP, 3, 5)
    assert end.link.phase is Phase.AUTHENTICATE  # an EAP-Success instead of the proof
    assert end.hear(EAP, 1, 6, success) == [(EAP, 2, 6, b"\x1a\x03")]
    assert end.link.peer_message == "Welcome"
    end.hear(EAP, 3, 6)
    assert end.link.phase is Phase.NETWORK and end.link.mppe_keys is not None


def test_an_authenticator_that_does_not_know_our_password_is_left() -> None:
    end = client()
    success = through_mschapv2(end, "other")
    end.hear(EAP, 1, 6, success)
    assert end.link.phase is Phase.TERMINATE


def test_a_lost_success_is_made_up_for_by_the_network_protocols() -> None:
    end = client()
    end.hear(frame.IPCP, 1, 1, b"\x03\x06\x0a\0\0\1")
    assert end.link.phase is Phase.AUTHENTICATE
    end.hear(EAP, 1, 6, through_mschapv2(end))
    end.hear(frame.IPCP, 1, 1, b"\x03\x06\x0a\0\0\1")
    assert end.link.phase is Phase.NETWORK


def test_a_method_is_not_changed_for_another_in_the_middle() -> None:
    """Downgrade: MSCHAPv2 is begun, and then the easy one is asked for."""
    end = client()
    through_mschapv2(end)
    assert end.hear(EAP, 1, 6, b"\x04\x10" + bytes(16) + b"lns") == []
    assert end.hear(EAP, 1, 6, b"\x01") == []
    assert end.link.discards == 2


def test_a_failure_ends_the_link_with_what_was_said_before() -> None:
    end = client()
    through_mschapv2(end)
    text = b"E=648 R=0 C=" + b"0" * 32 + b" V=3 M=too old"
    assert end.hear(EAP, 1, 6, b"\x1a" + eappacket.mschapv2_data(4, 5, text)) == [(EAP, 2, 6, b"\x1a\x04")]
    end.hear(EAP, 4, 5)
    assert end.link.phase is Phase.AUTHENTICATE
    end.hear(EAP, 4, 6)
    end.wait(10.0)
    assert end.down is not None and end.down.message == "too old (password expired, 648)"


def test_a_peer_that_asks_for_ever_or_not_at_all_is_left() -> None:
    end = client(auth_deadline=0.0)
    end.wait(30.0)
    assert end.down is not None and end.down.message == "EAP comes to no end"
    end = client(eap_max_received=5, auth_deadline=0.0)
    for number in range(6):
        end.hear(EAP, 1, number, b"\x01")
    assert end.link.phase is Phase.TERMINATE


def test_our_own_challenge_reflected_is_not_answered() -> None:
    end = End(auth=True, auth_methods=("eap",), eap_methods=("md5",), user="u1", password="pw1", allow_methods=("eap",))
    end.open_lcp(OPTION)
    _, identifier, _ = last(end)
    end.hear(EAP, 2, identifier, b"\x01u1")
    _, identifier, data = last(end)
    assert end.hear(EAP, 1, identifier, data) == []
    assert len(end.hear(EAP, 1, identifier, b"\x04\x10" + bytes(16) + b"lns")) == 1


def test_a_new_authentication_of_a_link_that_is_up_does_not_disturb_it() -> None:
    end = client(local_ip="10.0.0.98")
    end.hear(EAP, 1, 6, through_mschapv2(end))
    end.hear(EAP, 3, 6)
    end.open_ip()
    end.hear(EAP, 1, 7, b"\x02hello again")
    end.wait(60.0)
    assert end.link.phase is Phase.NETWORK
    digest = md5(b"\x09pw1" + bytes(16)).digest()
    assert end.hear(EAP, 1, 9, b"\x04\x10" + bytes(16)) == [(EAP, 2, 9, b"\x04\x10" + digest + b"u1")]
    end.hear(EAP, 4, 9)
    assert end.link.phase is Phase.TERMINATE


# shapes of known faults


@pytest.mark.parametrize("length", [0, 255, 256, 1024, 1400])
def test_cve_2020_8597_names_of_any_length_after_an_md5_value(length: int) -> None:
    end, identifier, _ = identified(eap_methods=("md5",))
    end.hear(EAP, 2, identifier, b"\x04\x10" + bytes(16) + b"A" * length)
    (ask,) = asks(end)
    assert ask.user == (b"A" * length or b"u1")
    end = client()
    ((_, code, _, data),) = end.hear(EAP, 1, 5, b"\x04\x10" + bytes(16) + b"A" * length)
    assert code == 2 and data.endswith(b"u1") and len(data) == 20


@pytest.mark.parametrize("code", [1, 2, 3, 4, 5, 0])
def test_cve_2020_8597_eap_that_nobody_agreed_on(code: int) -> None:
    end = End(auth=True, auth_methods=("chap",), user="u1", password="pw1")
    end.open_lcp(b"\x03\x05\xc2\x23\x05")
    assert end.hear(EAP, code, 1, b"\x04\x10" + bytes(16) + b"A" * 1024) == []
    assert end.link.discards == 1 and end.link.eap is None


@pytest.mark.parametrize("data", [b"\x04", b"\x04\0", b"\x04\x11" + bytes(16), b"\x04\xff" + bytes(200)])
def test_values_that_are_empty_or_run_past_the_end_are_dropped(data: bytes) -> None:
    end, identifier, _ = identified(eap_methods=("md5",))
    assert end.hear(EAP, 2, identifier, data) == [] and asks(end) == []
    end = client()
    assert end.hear(EAP, 1, 5, data) == [] and end.link.discards == 1


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"\1", b"\1\5", b"\1\5\0", b"\1\5\0\3", b"\1\5\xff\xff", b"\1\5\0\4", b"\1\5\0\5\x10"),
        *(b"\3", b"\4", b"\7\5\0\4"),
    ],
)
def test_cve_2018_11574_lengths_inside_a_method_that_do_not_fit_are_dropped(data: bytes) -> None:
    end = client()
    assert end.hear(EAP, 1, 5, b"\x1a" + data) == [] and end.link.discards == 1
    end, identifier, _ = identified()
    assert end.hear(EAP, 2, identifier, b"\x1a" + data) == [] and asks(end) == []


def test_requests_and_responses_without_a_type_are_dropped() -> None:
    end = client()
    assert end.hear(EAP, 1, 5) == [] and end.hear(EAP, 1, 5, b"") == []
    assert end.link.discards == 2
    end = server()
    assert end.hear(EAP, 2, last(end)[1]) == [] and end.link.discards == 1


def test_a_link_that_could_ask_for_nothing_inside_eap_is_not_made() -> None:
    with pytest.raises(ValueError, match="eap_methods"):
        End(auth=True, auth_methods=("eap",), eap_methods=("tls",))


def test_secrets_and_proofs_are_not_in_the_trace() -> None:
    lines: list[str] = []
    end = client(password="sEcrEt", trace=lambda kind, text: lines.append(text))
    end.hear(EAP, 1, 4, b"\x01")
    end.hear(EAP, 1, 6, through_mschapv2(end, "sEcrEt"))
    end.hear(EAP, 3, 6)
    assert end.link.phase is Phase.NETWORK and any("MSCHAPv2 56 octets" in line for line in lines)
    assert end.link.mppe_keys is not None
    hidden = [b"sEcrEt", mschap.nt_password_hash("sEcrEt"), *end.link.mppe_keys, end.link.eap._value[24:48]]  # type: ignore[union-attr]
    for line in lines:
        assert not any(secret.hex() in line.lower() or repr(secret)[2:-1] in line for secret in hidden)
