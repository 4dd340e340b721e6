"""Answers of the shell that are neither yes nor no: nobody could be asked, and who runs EAP."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from prol2tp.ppp import eappacket, frame
from prol2tp.ppp.link import Link, Phase
from prol2tp.ppp.outputs import AskAuthentication
from prol2tp.ppp.settings import Grant
from tests.ppp_ends import End, random_source
from tests.unit.ppp import test_ppp_authentication as chap_md5
from tests.unit.ppp import test_ppp_eap as eap
from tests.unit.ppp import test_ppp_mschap_link as mschap

CHAP, EAP = frame.CHAP, frame.EAP


def asks(end: End) -> list[AskAuthentication]:
    return [output for output in end.all if isinstance(output, AskAuthentication)]


def online(method: str, **settings: Any) -> End:
    """A peer that is in, and has answered the challenge that came after the interval."""
    end = mschap.server(method, **{"chap_interval": 60.0, "ipv6": False} | settings)
    respond(end, method)
    grant = mschap.SERVER(asks(end)[-1])
    assert isinstance(grant, Grant)
    end.call("authenticated", grant)
    end.open_ip()
    end.wait(61)
    respond(end, method)
    assert asks(end)[-1].renewal and end.link.phase is Phase.NETWORK
    return end


def respond(end: End, method: str) -> tuple[int, bytes]:
    if method == "chap":
        identifier, data = chap_md5.respond(end)
    else:
        identifier, challenge = mschap.last(end, 1)
        data = mschap.response_v2(challenge[1:17])
    end.hear(CHAP, 2, identifier, data)
    return identifier, data


def test_after_no_answer_a_peer_by_md5_hears_success_and_is_asked_again_when_it_is_time() -> None:
    end = online("chap")
    identifier, data = chap_md5.respond(end)
    ((_, code, about, _),) = end.call("unanswered")
    assert (code, about) == (3, identifier) and end.link.phase is Phase.NETWORK
    assert end.hear(CHAP, 2, identifier, data) == [(CHAP, 3, identifier, b"")]
    assert [code for _, code, _, _ in end.wait(61)] == [1]
    assert end.link.user == "u1"


def test_after_no_answer_a_peer_by_mschapv2_hears_nothing_and_is_asked_again_when_it_is_time() -> None:
    end = online("mschapv2")
    identifier, challenge = mschap.last(end, 1)
    assert end.call("unanswered") == []
    assert end.hear(CHAP, 2, identifier, mschap.response_v2(challenge[1:17])) == []
    assert len(asks(end)) == 2 and end.link.phase is Phase.NETWORK
    ((_, code, again, _),) = end.wait(61)
    assert code == 1 and again != identifier
    respond(end, "mschapv2")
    grant = mschap.SERVER(asks(end)[-1])
    assert isinstance(grant, Grant) and end.call("authenticated", grant)[0][1] == 3


def test_the_answer_to_the_next_challenge_counts() -> None:
    end = online("mschapv2")
    end.call("unanswered")
    end.wait(61)
    respond(end, "mschapv2")
    end.call("refused", "no")
    assert end.link.phase is Phase.TERMINATE


def test_who_was_never_in_cannot_stay_without_an_answer() -> None:
    end = mschap.server("mschapv2", chap_interval=60.0)
    respond(end, "mschapv2")
    with pytest.raises(ValueError, match="not in yet"):
        end.call("unanswered")
    assert end.link.asking and end.link.phase is Phase.AUTHENTICATE


def test_an_answer_that_comes_after_the_link_started_anew_changes_nothing() -> None:
    end = online("mschapv2")
    end.hear(frame.LCP, 1, 77, b"\x05\x06abcd")
    end.call("unanswered")
    assert end.link.phase is not Phase.NETWORK


def test_a_challenge_that_nobody_judged_outlives_the_daemon() -> None:
    end = online("mschapv2")
    end.call("unanswered")
    saved = json.loads(json.dumps(end.link.to_record(end.now)))
    again = Link.from_record(saved, end.link.settings, random_source(4), end.now)
    assert again.to_record(end.now) == saved
    assert again.deadline() == end.link.deadline()


def test_a_verdict_on_a_later_response_of_ours_that_never_comes_does_not_end_the_link() -> None:
    end = mschap.client()
    identifier = 5
    ((_, code, _, response),) = end.hear(CHAP, 1, identifier, b"\x10" + bytes(range(16)) + b"lns")
    assert code == 2
    end.wait(40)
    assert end.link.over or end.link.phase is Phase.TERMINATE  # never proved: we give up
    end = chap_md5.End(user="u1", password="pw1", local_ip="10.0.0.9", ipv6=False)
    end.open_lcp(b"\x03\x05\xc2\x23\x05")
    end.hear(CHAP, 1, 1, b"\x10" + bytes(16) + b"lns")
    end.hear(CHAP, 3, 1)
    end.open_ip()
    end.hear(CHAP, 1, 2, b"\x10" + bytes(range(16)) + b"lns")
    end.wait(100)
    assert end.link.phase is Phase.NETWORK
    end.hear(CHAP, 1, 3, b"\x10" + bytes(range(1, 17)) + b"lns")
    end.hear(CHAP, 4, 3, b"no")
    assert end.link.phase is Phase.TERMINATE


# who runs EAP


def identified(**settings: Any) -> End:
    """The shell is asked who runs EAP for u1."""
    end = eap.server(eap_passthrough=True, **settings)
    end.hear(EAP, 2, eap.last(end)[1], b"\x01u1")
    assert asks(end)[-1].method == "eap"
    return end


@pytest.mark.parametrize("method", ["md5", "mschapv2"])
def test_a_user_of_ours_is_asked_by_the_methods_here(method: str) -> None:
    end = identified(eap_methods=(method,))
    ((_, code, identifier, data),) = end.call("eap_local")
    assert code == 1 and data[0] == eappacket.EAP_METHODS[method]
    end.hear(EAP, 2, identifier, b"\x03\x63")
    assert end.link.phase is Phase.TERMINATE and len(asks(end)) == 1  # its Nak is for us, not for a server


def test_who_has_no_method_here_refuses() -> None:
    end = identified(eap_methods=("tls",))
    ((_, code, _, _), *_) = end.call("eap_local")
    assert code == 4 and end.link.phase is Phase.TERMINATE


def test_a_server_that_has_begun_keeps_the_exchange() -> None:
    end = identified()
    end.call("eap_request", frame.packet(1, 50, b"\x15\x20"))
    end.hear(EAP, 2, 50, b"\x15\0")
    with pytest.raises(ValueError, match="does not change hands"):
        end.call("eap_local")


def test_the_answer_about_eap_fits_no_other_question() -> None:
    end = chap_md5.server("chap")
    end.hear(CHAP, 2, *chap_md5.respond(end))
    for name in ("eap_local", "eap_request"):
        with pytest.raises(ValueError, match="method chap"):
            end.call(name, *([b"\1\2\0\5\4"] if name == "eap_request" else []))
    assert end.link.asking


def test_a_link_that_started_anew_asks_anew_who_runs_eap() -> None:
    end = identified()
    end.hear(frame.LCP, 1, 99, b"\x05\x06abcd")
    end.acknowledge(frame.LCP)
    end.call("eap_local")  # the answer to the old question
    assert end.link.phase is Phase.AUTHENTICATE
    end.hear(EAP, 2, eap.last(end)[1], b"\x01u2")
    assert [ask.user for ask in asks(end)] == [b"u1", b"u2"]


def test_each_wait_of_a_server_is_for_its_own_request() -> None:
    end = identified()
    end.call("eap_request", frame.packet(1, 50, b"\x15\x20"), wait=20.0)
    assert end.wait(19) == [] and [code for _, code, _, _ in end.wait(2)] == [1]
    end.hear(EAP, 2, 50, b"\x15\0")
    end.call("eap_request", frame.packet(1, 51, b"\x15\x20"))
    assert [identifier for _, _, identifier, _ in end.wait(4)] == [51]


def test_settings_with_and_without_pass_through_are_checked() -> None:
    settings = identified().link.settings
    assert replace(settings, eap_methods=()).eap_passthrough
    with pytest.raises(ValueError, match="none of eap_methods"):
        Link(replace(settings, eap_passthrough=False, eap_methods=()), random_source(1))
