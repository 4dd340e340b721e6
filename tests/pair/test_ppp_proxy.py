"""A user is handed over by an access concentrator to the end that lets him in (RFC 2661 section 4.4.5)."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from prol2tp.common.wire import WireError
from prol2tp.ppp import frame, options
from prol2tp.ppp.auth import PEER_METHODS
from prol2tp.ppp.link import Phase
from prol2tp.ppp.outputs import AskAuthentication, LinkDown, NetworkUp, SendFrame
from prol2tp.ppp.proxy import ProxyRecord
from prol2tp.ppp.settings import LinkSettings
from tests.pair.proxied import CLIENT, OTHER, Handover
from tests.ppp_ends import packets, users

METHODS = ("pap", "chap", "mschapv1", "mschapv2")
SERVER = users(u1="pw1")
SEEDS = 200


def lac(*methods: str, **settings: Any) -> LinkSettings:
    base: dict[str, Any] = {"access": True, "auth": bool(methods), "auth_methods": methods or ("chap",), "mru": 1492,
                            "accomp": False, "pcomp": False, "name": "lac"}
    return LinkSettings(**(base | settings))


def client(**settings: Any) -> LinkSettings:
    base: dict[str, Any] = {"user": "u1", "password": "pw1", "allow_methods": METHODS, "usepeerdns": True, "mru": 1492}
    return LinkSettings(**(base | settings))


def lns(**settings: Any) -> LinkSettings:
    base: dict[str, Any] = {"auth": True, "auth_methods": METHODS, "name": "lns", "local_ip": "10.0.0.1"}
    return LinkSettings(**(base | settings))


def configure_requests(handover: Handover) -> int:
    return sum(1 for frame_ in handover.sent if frame_[:2] == b"\xc0\x21" and frame_[2] == 1)


class Watched(Handover):
    """Keeps what the end that takes over sends."""

    def __init__(self, *arguments: Any, **words: Any) -> None:
        super().__init__(*arguments, **words)
        self.sent: list[bytes] = []

    def _transmit(self, to: int, octets: bytes) -> None:
        if to == CLIENT and self.links[OTHER] is not self.lac:
            _, start = frame.read_header(octets)
            self.sent.append(octets[start - 2 :])
        super()._transmit(to, octets)


def run(*arguments: Any, seconds: float = 10.0, **words: Any) -> Watched:
    handover = Watched(*arguments, answer=words.pop("answer", SERVER), **words)
    handover.start()
    handover.run(seconds, handover.settled)
    return handover


def asked(handover: Handover) -> list[AskAuthentication]:
    return [fact for fact in handover.facts[OTHER] if isinstance(fact, AskAuthentication)]


@pytest.mark.parametrize("method", ("pap", "chap", "mschapv1"))
def test_a_user_is_in_without_any_packet_of_lcp_or_a_challenge_from_the_end_that_takes_over(method: str) -> None:
    handover = run(lac(method), client(), lns())
    assert handover.is_up(OTHER) and handover.is_up(CLIENT)
    assert handover.lns.proxied == (True, True)
    assert handover.lns.auth_done == (method, "") and handover.lns.user == "u1"
    assert (handover.lns.peer_mru, handover.lns.mtu, handover.lns.lcp.mru) == (1492, 1492, 1492)
    assert configure_requests(handover) == 0
    (question,) = asked(handover)
    assert (question.method, question.user) == (method, b"u1")
    first = handover.sent[0]
    assert first[:3] == ((b"\xc0\x23\x02") if method == "pap" else b"\xc2\x23\x03")
    assert first[3] == handover.asked_by_lac[0].identifier


def test_mschapv2_has_no_proxy_authen_type_and_is_asked_anew_on_the_proxied_lcp() -> None:
    handover = run(lac("mschapv2"), client(), lns())
    assert handover.record is not None and handover.record.authen_type is None
    assert handover.is_up(OTHER) and handover.lns.proxied == (True, False)
    assert handover.lns.auth_done == ("mschapv2", "")
    assert configure_requests(handover) == 0


def test_mschapv2_of_a_lac_that_hands_it_over_is_taken() -> None:
    def with_proof(record: ProxyRecord) -> ProxyRecord:
        ask = handover.asked_by_lac[0]
        return replace(record, authen_type=5, authen_name=ask.user, authen_challenge=ask.challenge,
                       authen_id=ask.identifier,
                       authen_response=ask.peer_challenge + bytes(8) + ask.response + bytes((ask.flags,)))

    handover = Watched(lac("mschapv2"), client(), lns(), answer=SERVER, change=with_proof)
    handover.start()
    handover.run(10.0, handover.settled)
    assert handover.is_up(OTHER) and handover.is_up(CLIENT)
    assert handover.lns.proxied == (True, True) and handover.lns.mppe_keys is not None


@pytest.mark.parametrize("inside", ("md5", "mschapv2"))
def test_eap_goes_on_with_its_method_after_the_identity_that_the_lac_has_heard(inside: str) -> None:
    handover = run(lac("eap"), client(allow_methods=("eap",)), lns(auth_methods=("eap",), eap_methods=(inside,)))
    assert handover.record is not None and handover.record.authen_type == 7
    assert handover.is_up(OTHER) and handover.lns.proxied == (True, True)
    assert handover.sent[0][:3] == b"\xc2\x27\x01" and handover.sent[0][6] == (4 if inside == "md5" else 26)


def test_a_wrong_password_is_refused_with_the_number_of_the_lacs_challenge() -> None:
    for method, code in (("pap", b"\xc0\x23\x03"), ("chap", b"\xc2\x23\x04")):
        handover = run(lac(method), client(password="wrong"), lns(), seconds=60.0)
        (there,) = [fact for fact in handover.facts[CLIENT] if isinstance(fact, LinkDown)]
        (here,) = [fact for fact in handover.facts[OTHER] if isinstance(fact, LinkDown)]
        assert here.cause == "Authentication Failed" and there.cause == "Authentication To Peer Failed"
        assert handover.sent[0][:3] == code and not handover.ups(CLIENT)


def test_lcp_without_authentication_is_challenged_when_the_lac_had_agreed_on_a_method() -> None:
    handover = run(lac("chap"), client(), lns(), change=ProxyRecord.without_authentication)
    assert handover.is_up(OTHER) and handover.lns.proxied == (True, False)
    (question,) = asked(handover)
    assert question.identifier != handover.asked_by_lac[0].identifier
    assert configure_requests(handover) == 0


def test_a_lac_that_has_not_asked_for_authentication_does_not_let_anybody_in() -> None:
    handover = run(lac(), client(), lns())
    assert handover.record is not None and handover.record.authen_type == 4
    assert handover.is_up(OTHER) and handover.lns.proxied == (False, False)
    assert handover.lns.proxy_refused == "the peer was not asked to authenticate itself"
    assert handover.lns.auth_done[0] and len(asked(handover)) == 1


def test_lcp_alone_is_taken_where_no_authentication_is_required() -> None:
    handover = run(lac(), client(), lns(auth=False, peer_ip="10.0.0.9"))
    assert handover.is_up(OTHER) and handover.lns.proxied == (True, False)
    assert configure_requests(handover) == 0


MISFITS = [
    ({"auth_methods": ("mschapv2",)}, "by a method that is not one of ours"),
    ({"auth": False, "peer_ip": "10.0.0.9"}, "the peer was asked to authenticate itself"),
    ({"mru": 1400}, "larger packets"),
]


def test_what_does_not_fit_the_settings_is_negotiated_anew() -> None:
    for settings, why in MISFITS:
        handover = run(lac("chap"), client(), lns(**settings))
        assert why in handover.lns.proxy_refused
        assert handover.is_up(OTHER) and handover.is_up(CLIENT)
        assert handover.lns.proxied == (False, False)
        methods = settings.get("auth_methods", METHODS) if settings.get("auth", True) else ("",)
        assert handover.lns.auth_done[0] in methods  # type: ignore[operator]
        assert handover.lns.lcp.mru <= settings.get("mru", 1500)  # type: ignore[operator]


def test_an_end_that_was_to_wait_for_the_peer_speaks_first_when_the_peer_has_done_with_the_lac() -> None:
    handover = run(lac("chap"), client(), lns(silent=True, auth_methods=("pap",)))
    assert handover.is_up(OTHER) and handover.lns.auth_done == ("pap", "")
    handover = run(lac("chap"), client(), lns(silent=True), change=ProxyRecord.without_lcp)
    assert handover.is_up(OTHER) and handover.lns.proxy_refused


def test_the_client_may_negotiate_lcp_anew_at_any_time_after() -> None:
    handover = run(lac("chap"), client(), lns())
    handover.run(2.0)
    lcp = handover.links[CLIENT].lcp

    def again(link: Any) -> None:
        lcp.lower_down(handover.now)
        lcp.lower_up(handover.now)
        link._settle(handover.now)

    handover.do(CLIENT, again)
    assert handover.lns.proxied == (True, True)
    handover.run(10.0)
    assert handover.is_up(OTHER) and handover.is_up(CLIENT)
    assert handover.lns.proxied == (False, False)
    assert len([up for up in handover.ups(OTHER) if up.protocol == "ip"]) == 2


def test_the_client_may_negotiate_anew_before_the_lac_has_its_answer() -> None:
    handover = Watched(lac("chap"), client(), lns(), answer=SERVER, answer_delay=1.0)
    handover.start()
    handover.run(5.0, lambda: bool(handover.asked_by_lac))
    lcp = handover.links[CLIENT].lcp

    def again(link: Any) -> None:
        lcp.lower_down(handover.now)
        lcp.lower_up(handover.now)
        link._settle(handover.now)

    handover.do(CLIENT, again)
    handover.run(20.0, handover.settled)
    assert len(handover.asked_by_lac) == 2
    assert handover.is_up(OTHER) and handover.lns.proxied == (True, True)
    assert asked(handover)[0].challenge == handover.asked_by_lac[1].challenge


def test_a_link_that_is_up_by_proxy_is_challenged_again_when_it_is_time() -> None:
    handover = run(lac("chap"), client(), lns(chap_interval=30.0))
    handover.run(100.0)
    questions = asked(handover)
    assert [question.renewal for question in questions] == [False, True, True, True]
    assert len({question.identifier for question in questions}) == 4
    assert handover.is_up(OTHER)


def test_all_come_up_over_lossy_lines() -> None:
    for seed in range(SEEDS):
        choice = random.Random(seed)
        method = choice.choice((*METHODS, "eap"))
        handover = run(
            lac(method), client(allow_methods=(method,)),
            lns(auth_methods=(method,) if choice.random() < 0.8 else ("eap", "pap", *METHODS[1:])),
            seed=seed, loss=0.15, duplicate=0.1, reorder=0.2, seconds=120.0,
            tunnel_delay=choice.choice((0.05, 0.5, 4.0)), answer_delay=choice.choice((0.02, 1.0)),
        )
        assert handover.is_up(OTHER) and handover.is_up(CLIENT), f"seed {seed}: {handover.facts}"
        assert handover.lns.auth_done[0] == method
        assert handover.lns.user == "u1"


def mutated(record: ProxyRecord, choice: random.Random) -> ProxyRecord:
    """Any part of it missing, cut, changed, or of another record."""
    methods = [method.option for method in PEER_METHODS.values()]
    for _ in range(choice.randint(1, 3)):
        name = choice.choice([one for one in ProxyRecord.__slots__])
        old = getattr(record, name)
        what = choice.randrange(6)
        value: Any
        if name in ("authen_type", "authen_id"):
            value = choice.choice((None, choice.randrange(300), choice.randrange(9)))
        elif what == 0 or old is None:
            value = None if choice.random() < 0.3 else choice.randbytes(choice.randrange(300))
        elif what == 1:
            value = old[: choice.randint(0, len(old))]
        elif what == 2 and old:
            at = choice.randrange(len(old))
            value = old[:at] + bytes((choice.randrange(256),)) + old[at + 1 :]
        elif what == 3 and name.endswith("confreq"):
            kept = [one for one in options.read(old) if one[0] != 3] if readable(old) else []
            value = options.write([*kept, (3, choice.choice(methods))])
        elif what == 4 and name.endswith("confreq") and readable(old):
            value = options.write([one for one in options.read(old) if choice.random() < 0.5])
        else:
            value = old * choice.randint(1, 3)
        record = replace(record, **{name: value})
    return record


def readable(data: bytes) -> bool:
    try:
        options.read(data)
    except WireError:
        return False
    return True


def test_no_change_of_the_record_lets_a_user_in_by_less_than_is_required() -> None:
    right, wrong = 0, 0
    for seed in range(3 * SEEDS):
        choice = random.Random(seed)
        method = choice.choice(METHODS)
        good = choice.random() < 0.5
        handover = run(
            lac(method), client(password="pw1" if good else "guess", allow_methods=METHODS),
            lns(auth_methods=choice.choice((METHODS, ("chap", "mschapv2"), (method,)))),
            seed=seed, seconds=200.0, change=lambda record: mutated(record, choice),  # noqa: B023
        )
        up = any(isinstance(fact, NetworkUp) for fact in handover.facts[OTHER])
        if up:
            right += 1
            assert handover.lns.auth_done[0] in handover.lns_settings.auth_methods
            assert SERVER(asked(handover)[-1]) != "no such user" and good, f"seed {seed}"
        else:
            wrong += 1
            downs = [fact for fact in handover.facts[OTHER] if isinstance(fact, LinkDown)]
            assert len(downs) == 1, f"seed {seed}: {handover.lns.phase} {handover.facts}"
            assert handover.links[OTHER].phase is Phase.DEAD
    assert right > SEEDS and wrong > SEEDS


def test_what_was_handed_over_hears_and_says_nothing_any_more() -> None:
    handover = run(lac("chap"), client(), lns())
    silent = handover.lac
    silent.receive(b"\xff\x03\xc0\x21\x05\x01\x00\x04", handover.now)
    silent.close(handover.now)
    silent.lower_down(handover.now)
    silent.timeout(handover.now)
    silent.refused("late", handover.now)
    assert silent.outputs() == [] and silent.deadline() is None
    assert packets([output for output in silent.outputs() if isinstance(output, SendFrame)]) == []
