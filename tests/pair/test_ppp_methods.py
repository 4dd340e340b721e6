"""Two ends with every combination of authentication methods, over good and bad lines."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import permutations

import pytest

from prol2tp.ppp import eappacket as eap
from prol2tp.ppp import frame
from prol2tp.ppp.challenge import ALGORITHMS
from prol2tp.ppp.link import Link, Phase
from prol2tp.ppp.outputs import AskAuthentication, LinkAuthenticated, LinkDown
from prol2tp.ppp.settings import Grant, LinkSettings
from tests.ppp_ends import Pair, random_source, users

METHODS = ("pap", "chap", "mschapv1", "mschapv2", "eap")
SERVER = users(u1="pw1", lns="both")

LNS = LinkSettings(auth=True, name="lns", local_ip="10.0.0.1")
CLIENT = LinkSettings(user="u1", password="pw1", allow_methods=METHODS)


def downs(pair: Pair, side: int) -> list[LinkDown]:
    return [fact for fact in pair.facts[side] if isinstance(fact, LinkDown)]


@pytest.mark.parametrize("theirs", METHODS)
@pytest.mark.parametrize("ours", METHODS)
def test_both_ends_prove_themselves_by_any_two_methods(ours: str, theirs: str) -> None:
    pair = Pair(
        replace(LNS, auth_methods=(ours,), user="lns", password="both", allow_methods=METHODS),
        replace(CLIENT, auth=True, auth_methods=(theirs,), local_ip="10.0.0.99", name="client"),
        answer=SERVER,
    )
    pair.start()
    pair.run(10.0)
    assert [link.auth_done for link in pair.links] == [(ours, theirs), (theirs, ours)]
    assert [link.user for link in pair.links] == ["u1", "lns"]
    assert pair.is_up(0) and pair.is_up(1)


@pytest.mark.parametrize("allowed", METHODS)
@pytest.mark.parametrize("wanted", list(permutations(METHODS, 2)), ids="-".join)
def test_the_best_of_what_both_have_is_taken_and_nothing_else(wanted: tuple[str, str], allowed: str) -> None:
    pair = Pair(replace(LNS, auth_methods=wanted), replace(CLIENT, allow_methods=(allowed,)), answer=SERVER)
    pair.start()
    pair.run(60.0)
    asked = [fact.method for fact in pair.facts[0] if isinstance(fact, AskAuthentication)]
    if allowed in wanted:
        assert pair.links[0].auth_done == (allowed, "")
    else:
        assert asked == [] and not pair.ups(0)
        assert [down.cause for down in downs(pair, 0)] == ["Authentication Failed"]


@pytest.mark.parametrize("method", ["mschapv1", "mschapv2", "eap"])
def test_who_leaves_instead_of_trying_another_password_was_refused(method: str) -> None:
    class Patient(Pair):
        def _ask(self, side: int, ask: AskAuthentication) -> None:
            self._later(0.05, lambda: self.do(side, lambda link: link.refused("no", self.now, retry=True)))

    pair = Patient(replace(LNS, auth_methods=(method,)), CLIENT)
    pair.start()
    pair.run(60.0)
    assert [(down.cause, down.message) for down in downs(pair, 0)] == [("Authentication Failed", "no")]
    assert [down.message for down in downs(pair, 1)] == ["no (authentication failure, 691)"]


@pytest.mark.parametrize("inner", [("md5", "mschapv2"), ("mschapv2", "md5"), ("md5",), ("mschapv2",)], ids="-".join)
@pytest.mark.parametrize("allowed", ["md5", "mschapv2"])
def test_the_method_inside_eap_is_one_that_both_have(inner: tuple[str, ...], allowed: str) -> None:
    pair = Pair(
        replace(LNS, auth_methods=("eap",), eap_methods=inner),
        replace(CLIENT, eap_allow_methods=(allowed,)),
        answer=SERVER,
    )
    pair.start()
    pair.run(60.0)
    assert pair.is_up(0) == (allowed in inner)
    methods = [fact.method for fact in pair.facts[0] if isinstance(fact, AskAuthentication)]
    assert methods == (["chap" if allowed == "md5" else allowed] if allowed in inner else [])


@pytest.mark.parametrize("method", METHODS)
def test_keys_for_encryption_are_the_same_at_both_ends(method: str) -> None:
    pair = Pair(replace(LNS, auth_methods=(method,)), CLIENT, answer=SERVER)
    pair.start()
    pair.run(5.0)
    ours, theirs = (link.mppe_keys for link in pair.links)
    if method in ("mschapv2", "eap"):
        assert ours is not None and theirs is not None
        assert (ours.send, ours.receive) == (theirs.receive, theirs.send)
    else:
        assert ours is None


@pytest.mark.parametrize("seed", range(300))
def test_any_line_ends_with_the_user_in_or_out_with_a_cause(seed: int) -> None:
    rate = (seed % 6) * 0.05
    method, inner = (("eap", "md5"), ("eap", "mschapv2"), ("mschapv2", "md5"))[seed % 3]
    good = seed % 4 != 0
    pair = Pair(
        replace(LNS, auth_methods=(method,), eap_methods=(inner,)),
        replace(CLIENT, password="pw1" if good else "wrong"),
        seed=seed,
        loss=rate,
        duplicate=rate,
        reorder=rate,
        answer=SERVER,
    )
    pair.start()
    pair.run(400.0, until=pair.settled)
    assert pair.settled()
    let_in = any(isinstance(fact, LinkAuthenticated) for fact in pair.facts[0])
    assert not let_in or good
    for side, link in enumerate(pair.links):
        assert link.over or let_in
        assert not link.over or downs(pair, side)[0].message
    if rate <= 0.1 and good:
        assert not pair.links[0].over


def test_nearly_every_eap_link_comes_up_through_twenty_percent_loss() -> None:
    up = 0
    for seed in range(60):
        pair = Pair(replace(LNS, auth_methods=("eap",)), CLIENT, seed=seed, loss=0.2, duplicate=0.1, answer=SERVER)
        pair.start()
        pair.run(300.0, until=lambda pair=pair: pair.is_up(0) and pair.is_up(1))
        up += pair.is_up(0) and pair.is_up(1)
    assert up >= 57


class Stripping(Pair):
    """Somebody on the way answers what the LNS demands with a Nak for something weaker, in the name of the client."""

    weaker = b"\x03\x04\xc0\x23"

    def _transmit(self, to: int, octets: bytes) -> None:
        demand = b"\x03\x05\xc2\x23\x81"
        if octets[:5] == b"\xff\x03\xc0\x21\x01" and demand in octets:
            identifier = octets[5]
            super()._transmit(1 - to, frame.header(frame.LCP) + frame.packet(3, identifier, self.weaker))
            return
        super()._transmit(to, octets)


def test_no_nak_makes_either_end_take_less_than_it_demands() -> None:
    pair = Stripping(
        replace(LNS, auth_methods=("mschapv2",)), replace(CLIENT, allow_methods=("mschapv2",)), answer=SERVER
    )
    pair.start()
    pair.run(120.0)
    assert not pair.ups(0) and pair.links[0].auth_done == ("", "")
    assert [down.cause for down in downs(pair, 0)] == ["Authentication Failed"]
    # with a weaker method in the list the list is what counts
    pair = Stripping(replace(LNS, auth_methods=("mschapv2", "pap")), CLIENT, answer=SERVER)
    pair.start()
    pair.run(60.0)
    assert pair.links[0].auth_done == ("pap", "")


class Relay:
    """A server behind the shell that speaks EAP itself: MD5-Challenge, as an AAA server would."""

    def __init__(self, challenge: bytes = bytes(range(16))) -> None:
        self.challenge = challenge

    def __call__(self, ask: AskAuthentication) -> Grant | bytes | str:
        _, identifier, data = frame.read_packet(ask.eap)
        if data[0] == eap.IDENTITY:
            return frame.packet(eap.REQUEST, (identifier + 1) & 255, b"\x1a\x01\x01\x00\x15\x10" + bytes(16))
        if data[0] == eap.NAK:
            return frame.packet(eap.REQUEST, (identifier + 1) & 255, b"\x04\x10" + self.challenge)
        proof = ALGORITHMS["chap"].question(identifier, self.challenge, data[2:18], data[18:])
        return SERVER(proof)


class PassThrough(Pair):
    def _ask(self, side: int, ask: AskAuthentication) -> None:
        answer = self.answer(ask)
        if isinstance(answer, bytes):
            self._later(0.05, lambda: self.do(side, lambda link: link.eap_request(answer, self.now)))
        elif isinstance(answer, Grant):
            self._later(0.05, lambda: self.do(side, lambda link: link.authenticated(answer, self.now)))
        else:
            self._later(0.05, lambda: self.do(side, lambda link: link.refused(answer, self.now)))


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("password", ["pw1", "wrong"])
def test_a_server_behind_the_link_runs_any_method_of_its_own(password: str, seed: int) -> None:
    rate = (seed % 4) * 0.1
    pair = PassThrough(
        replace(LNS, auth_methods=("eap",), eap_passthrough=True),
        replace(CLIENT, password=password, eap_allow_methods=("md5",)),
        seed=seed,
        loss=rate,
        duplicate=rate,
        answer=Relay(),  # type: ignore[arg-type]
    )
    pair.start()
    pair.run(300.0, until=pair.settled)
    if password == "wrong":
        assert not pair.ups(0) and pair.links[0].over
    elif rate < 0.2:
        assert pair.links[0].user == "u1" and pair.links[0].phase is Phase.NETWORK


@pytest.mark.parametrize("inner", ["md5", "mschapv2"])
def test_a_link_that_came_up_by_eap_goes_on_from_its_record(inner: str) -> None:
    settings = (
        replace(LNS, auth_methods=("eap",), eap_methods=(inner,), lcp_echo_interval=10.0, lcp_echo_failures=2),
        replace(CLIENT, lcp_echo_interval=10.0, lcp_echo_failures=2),
    )
    pair = Pair(*settings, answer=SERVER)
    pair.start()
    pair.run(5.0)
    saved = [json.loads(json.dumps(link.to_record(pair.now))) for link in pair.links]
    assert "pw1" not in repr(saved)
    pair.links = tuple(  # type: ignore[assignment]
        Link.from_record(record, one, random_source(3), pair.now)
        for record, one in zip(saved, settings, strict=True)
    )
    for side in (0, 1):
        assert pair.links[side].to_record(pair.now) == saved[side]
    pair.run(100.0)
    assert not any(link.over for link in pair.links)
    here, there = (link.eap for link in pair.links)
    assert here is not None and there is not None
    assert here.requests == there.requests_received == here.responses == there.responses_sent > 1
    # and the peer may still ask anew
    challenge = frame.header(frame.EAP) + frame.packet(eap.REQUEST, 99, b"\x04\x10" + bytes(16))
    pair.do(1, lambda link: link.receive(challenge, pair.now))
    assert there.responses_sent == here.responses + 1
