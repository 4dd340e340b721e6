"""MS-CHAP on a link, both roles (RFC 2433, RFC 2759): values, verdicts, another try."""

from __future__ import annotations

from typing import Any

import pytest

from prol2tp.ppp import frame, mppe, mschap
from prol2tp.ppp.link import Link, Phase
from prol2tp.ppp.outputs import AskAuthentication
from prol2tp.ppp.settings import Grant, LinkSettings
from tests.ppp_ends import End, Pair, random_source, users

CHAP = frame.CHAP
V1, V2 = b"\x03\x05\xc2\x23\x80", b"\x03\x05\xc2\x23\x81"
SERVER = users(u1="pw1")


def server(method: str = "mschapv2", **settings: Any) -> End:
    end = End(**({"auth": True, "auth_methods": (method,), "name": "lns", "local_ip": "10.0.0.1"} | settings))
    end.open_lcp()
    assert end.link.phase is Phase.AUTHENTICATE
    return end


def client(option: bytes = V2, **settings: Any) -> End:
    end = End(**({"user": "u1", "password": "pw1", "allow_methods": ("mschapv2", "mschapv1")} | settings))
    end.open_lcp(option)
    return end


def asks(end: End) -> list[AskAuthentication]:
    return [output for output in end.all if isinstance(output, AskAuthentication)]


def last(end: End, code: int) -> tuple[int, bytes]:
    """Identifier and data of the last CHAP packet of a code that the link sent."""
    header = b"\xc2\x23" + bytes((code,))
    octets = [o.frame for o in end.all if hasattr(o, "frame") and header in (o.frame[2:5], o.frame[:3])][-1]
    return octets[5], octets[8:]


def response_v2(challenge: bytes, password: str = "pw1", name: bytes = b"u1") -> bytes:
    peer_challenge = bytes(range(16))
    proof = mschap.nt_response(challenge, peer_challenge, name, mschap.nt_password_hash(password))
    return b"\x31" + peer_challenge + bytes(8) + proof + b"\0" + name


# we demand


def test_lcp_asks_for_the_algorithms_by_their_numbers() -> None:
    for method, number in (("mschapv1", 0x80), ("mschapv2", 0x81)):
        end = End(auth=True, auth_methods=(method,))
        assert b"\x03\x05\xc2\x23" + bytes((number,)) in end.last_request(frame.LCP)[3]


def test_a_response_asks_the_shell_with_all_that_proves_it_and_the_success_proves_us() -> None:
    end = server()
    identifier, data = last(end, 1)
    assert data[0] == 16 and data[17:] == b"lns"
    assert end.hear(CHAP, 2, identifier, response_v2(data[1:17])) == []
    (ask,) = asks(end)
    assert (ask.method, ask.user, ask.flags, ask.challenge, ask.peer_challenge) == (
        "mschapv2", b"u1", 0, data[1:17], bytes(range(16)),
    )  # fmt: skip
    grant = SERVER(ask)
    assert isinstance(grant, Grant)
    grant.message = "Welcome"
    said = end.call("authenticated", grant)
    assert said[0] == (CHAP, 3, identifier, f"{grant.authenticator_response} M=Welcome".encode())
    assert end.link.auth_done == ("mschapv2", "")
    assert end.link.mppe_keys == mppe.Keys(grant.mppe_send_key, grant.mppe_receive_key)


def test_a_grant_without_our_proof_is_the_callers_mistake() -> None:
    end = server()
    identifier, data = last(end, 1)
    end.hear(CHAP, 2, identifier, response_v2(data[1:17]))
    with pytest.raises(ValueError, match="authenticator_response"):
        end.call("authenticated", Grant())
    assert end.link.phase is Phase.AUTHENTICATE


@pytest.mark.parametrize("method", ["mschapv1", "mschapv2"])
@pytest.mark.parametrize("length", [0, 1, 16, 48, 50, 255])
def test_responses_of_another_length_are_dropped(method: str, length: int) -> None:
    end = server(method)
    identifier, _ = last(end, 1)
    end.hear(CHAP, 2, identifier, bytes((length,)) + bytes(length) + b"u1")
    assert asks(end) == [] and end.link.discards == 1


def test_a_refusal_is_told_in_the_words_of_the_rfc() -> None:
    end = server()
    identifier, data = last(end, 1)
    end.hear(CHAP, 2, identifier, response_v2(data[1:17], "wrong"))
    said = end.call("refused", "go away", error=647)
    assert (said[0][1], said[0][2]) == (4, identifier)
    assert said[0][3].startswith(b"E=647 R=0 C=") and said[0][3].endswith(b" V=3 M=go away")
    assert end.link.phase is Phase.TERMINATE


def test_an_lm_response_is_asked_for_without_a_proof() -> None:
    end = server("mschapv1")
    identifier, data = last(end, 1)
    assert data[0] == 8
    proof = mschap.challenge_response(data[1:9], mschap.nt_password_hash("pw1"))
    end.hear(CHAP, 2, identifier, b"\x31" + bytes(24) + proof + b"\x00u1")
    (ask,) = asks(end)
    assert (ask.response, ask.flags) == (b"", 0)
    assert SERVER(ask) == "no such user"


def test_who_is_refused_may_try_again_on_the_new_challenge_as_often_as_is_allowed() -> None:
    end = server(mschap_retries=2)
    identifier, data = last(end, 1)
    challenge = data[1:17]
    for number in range(3):
        right = response_v2(challenge, "wrong")
        end.hear(CHAP, 2, identifier, right)
        assert len(asks(end)) == number + 1
        said = end.call("refused", "no", retry=True)
        assert said[0][:3] == (CHAP, 4, identifier)
        text = said[0][3]
        assert text[:9] == (b"E=691 R=1" if number < 2 else b"E=691 R=0")
        if number < 2:
            assert end.hear(CHAP, 2, identifier, right) == [(CHAP, 4, identifier, text)]
            assert end.link.phase is Phase.AUTHENTICATE
        challenge = bytes.fromhex(text[12:44].decode())
        identifier += 1
    assert end.link.phase is Phase.TERMINATE


def test_the_second_try_lets_the_user_in() -> None:
    end = server()
    identifier, data = last(end, 1)
    end.hear(CHAP, 2, identifier, response_v2(data[1:17], "wrong"))
    ((_, _, _, text),) = end.call("refused", "no", retry=True)
    end.wait(10.0)
    challenge = bytes.fromhex(text[12:44].decode())
    end.hear(CHAP, 2, identifier + 1, response_v2(challenge))
    grant = SERVER(asks(end)[-1])
    assert isinstance(grant, Grant)
    said = end.call("authenticated", grant)
    assert said[0][:3] == (CHAP, 3, identifier + 1)
    assert end.link.phase is Phase.NETWORK and end.link.user == "u1"


def test_who_does_not_try_again_is_ended() -> None:
    end = server(auth_deadline=0.0)
    identifier, data = last(end, 1)
    end.hear(CHAP, 2, identifier, response_v2(data[1:17], "wrong"))
    end.call("refused", "no", retry=True)
    end.wait(60.0)
    assert end.down is not None and end.down.message == "the peer was refused, and does not try again"


def test_a_retry_is_not_offered_where_the_method_has_none() -> None:
    end = server("chap")
    identifier, _ = last(end, 1)
    end.hear(CHAP, 2, identifier, b"\x10" + bytes(16) + b"u1")
    said = end.call("refused", "no", retry=True)
    assert said[0] == (CHAP, 4, identifier, b"no") and end.link.phase is Phase.TERMINATE


@pytest.mark.parametrize("code", [5, 6, 7])
def test_a_change_of_password_is_refused(code: int) -> None:
    end = server()
    identifier, data = last(end, 1)
    assert end.hear(CHAP, code, identifier, bytes(582)) == [] and end.link.discards == 1
    end.hear(CHAP, 2, identifier, response_v2(data[1:17]))
    end.call("refused", "expired", error=648, retry=True)
    said = end.hear(CHAP, code, identifier + 1, bytes(582))
    assert said[0][:3] == (CHAP, 4, identifier + 1) and said[0][3].startswith(b"E=709 R=0")
    assert end.link.phase is Phase.TERMINATE


# the peer demands

CHALLENGE = bytes(range(100, 116))


def challenged(end: End) -> tuple[bytes, bytes]:
    """Peer challenge and NT-Response."""
    ((_, code, identifier, data),) = end.hear(CHAP, 1, 42, b"\x10" + CHALLENGE + b"lns")
    assert (code, identifier, data[0], data[50:]) == (2, 42, 49, b"u1")
    return data[1:17], data[25:49]


def proof(peer_challenge: bytes, response: bytes, password: str = "pw1") -> bytes:
    nt_hash = mschap.nt_password_hash(password)
    return mschap.authenticator_response(nt_hash, response, peer_challenge, CHALLENGE, b"u1").encode()


def test_we_answer_and_take_only_a_success_by_one_who_knows_our_password() -> None:
    end = client()
    said = challenged(end)
    assert challenged(end) == said  # a challenge that comes twice is answered as before
    end.hear(CHAP, 3, 42, proof(*said) + b" M=Welcome")
    assert end.link.phase is Phase.NETWORK
    assert (end.link.auth_done, end.link.peer_message) == (("", "mschapv2"), "Welcome")
    nt_hash = mschap.nt_password_hash("pw1")
    assert end.link.mppe_keys == mppe.start_keys_v2(nt_hash, said[1], authenticator=False)


@pytest.mark.parametrize("text", [b"", b"S=", b"S=" + b"0" * 40, b"\xff" * 42, b"M=Welcome"])
def test_a_success_that_proves_nothing_ends_the_link(text: bytes) -> None:
    end = client()
    challenged(end)
    end.hear(CHAP, 3, 42, text)
    assert end.link.phase is Phase.TERMINATE and end.link.mppe_keys is None
    end.wait(10.0)
    assert end.down is not None and not end.down.by_peer
    assert "does not know our password" in end.down.message


def test_a_failure_ends_the_link_with_the_peers_words() -> None:
    end = client()
    challenged(end)
    end.hear(CHAP, 4, 42, b"E=648 R=1 C=00112233445566778899AABBCCDDEEFF V=3 M=too old")
    end.wait(10.0)
    assert end.down is not None and end.down.message == "too old (password expired, 648)"


@pytest.mark.parametrize(("option", "length"), [(V2, 8), (V2, 15), (V2, 17), (V1, 16), (V1, 7)])
def test_challenges_of_another_length_are_not_answered(option: bytes, length: int) -> None:
    end = client(option)
    assert end.hear(CHAP, 1, 42, bytes((length,)) + bytes(length) + b"lns") == []
    assert end.link.discards == 1


def test_version_1_is_not_spoken_unless_it_is_allowed() -> None:
    end = End(user="u1", password="pw1")
    assert end.hear(frame.LCP, 1, 1, V1) == [(frame.LCP, frame.CONFIGURE_NAK, 1, b"\x03\x05\xc2\x23\x05")]
    end = End(user="u1", password="pw1", allow_methods=("mschapv2",))
    for asked in (V1, b"\x03\x05\xc2\x23\x05", b"\x03\x04\xc0\x23", b"\x03\x05\xc2\x23\x82"):
        assert end.hear(frame.LCP, 1, 1, asked) == [(frame.LCP, frame.CONFIGURE_NAK, 1, V2)]


def test_a_link_that_is_up_goes_on_with_rechallenges_after_a_restart() -> None:
    settings = LinkSettings(auth=True, auth_methods=("mschapv2",), name="lns", local_ip="10.0.0.1", chap_interval=30.0)
    pair = Pair(settings, LinkSettings(user="u1", password="pw1", allow_methods=("mschapv2",)), answer=SERVER)
    pair.start()
    pair.run(5.0)
    saved = [link.to_record(pair.now) for link in pair.links]
    nt_hash = mschap.nt_password_hash("pw1").hex()
    assert nt_hash not in repr(saved) and "pw1" not in repr(saved)
    keys = pair.links[1].mppe_keys
    assert keys is not None and keys.send.hex() not in repr(saved)
    pair.links = tuple(  # type: ignore[assignment]
        Link.from_record(record, link.settings, random_source(9), pair.now)
        for record, link in zip(saved, pair.links, strict=True)
    )
    pair.run(70.0)
    renewals = [fact for fact in pair.facts[0] if isinstance(fact, AskAuthentication)]
    assert [ask.renewal for ask in renewals] == [False, True, True]
    assert not any(link.over for link in pair.links)
