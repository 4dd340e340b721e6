"""Somebody on the way rewrites what two ends negotiate: neither takes less than it requires, whatever comes."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from prol2tp.ppp import ccp, frame, options
from prol2tp.ppp.auth import PEER_METHODS
from prol2tp.ppp.link import Link, Phase
from prol2tp.ppp.outputs import CompressionDown, CompressionUp, LinkDown, NetworkDown, NetworkUp
from prol2tp.ppp.settings import Grant, LinkSettings
from tests.ppp_ends import Pair, users

SERVER = users(u1="pw1", lns="both")
LNS = LinkSettings(
    auth=True, auth_methods=("mschapv2",), name="lns", local_ip="10.0.0.1", codecs=("mppe",), mppe_required=True
)
CLIENT = LinkSettings(
    user="u1", password="pw1", allow_methods=("mschapv2",), codecs=("mppe",), mppe_required=True
)
WEAKER = [bytes((3, len(method.option) + 2)) + method.option for method in PEER_METHODS.values()]
MPPE = [bits.to_bytes(4, "big") for bits in (0x01000040, 0x01000020, 0x01000080, 0x40, 0x20, 0, 0x01000000, 0x010000E1)]


class Rewriting(Pair):
    """Answers in the name of either end, drops what it does not like, and changes options in what passes."""

    power = 0.5

    def _transmit(self, to: int, octets: bytes) -> None:
        protocol, start = frame.read_header(octets)
        if self.random.random() > self.power or protocol not in (frame.LCP, frame.CCP):
            super()._transmit(to, octets)
            return
        code, identifier, data = frame.read_packet(octets[start:])
        what = self.random.randrange(4)
        header = frame.header(protocol)
        if what == 0 and code == frame.CONFIGURE_REQUEST:
            self._send(1 - to, header + self._refusal(protocol, identifier, data))
        elif what == 1 and code in (1, 2, 3):
            self._send(to, header + frame.packet(code, identifier, self._changed(protocol, data)))
        elif what == 2 and protocol == frame.CCP:
            rejected = frame.CCP.to_bytes(2, "big") + octets[start:]
            self._send(1 - to, frame.header(frame.LCP) + frame.packet(frame.PROTOCOL_REJECT, identifier, rejected))
        elif what == 3 and code == frame.CONFIGURE_REQUEST and self.random.random() < 0.5:
            self._send(1 - to, header + frame.packet(frame.CONFIGURE_ACK, identifier, data))
        else:
            super()._transmit(to, octets)

    def _send(self, to: int, octets: bytes) -> None:
        super()._transmit(to, octets)

    def _refusal(self, protocol: int, identifier: int, data: bytes) -> bytes:
        wishes = options.read(data)
        if not wishes:
            return frame.packet(frame.CONFIGURE_ACK, identifier, data)
        if self.random.random() < 0.5:
            rejected = self.random.sample(wishes, self.random.randint(1, len(wishes)))
            return frame.packet(frame.CONFIGURE_REJECT, identifier, options.write(rejected))
        weaker = self.random.choice(WEAKER)
        if protocol == frame.CCP:
            weaker = options.write([(ccp.MPPE, self.random.choice(MPPE))])
        return frame.packet(frame.CONFIGURE_NAK, identifier, weaker)

    def _changed(self, protocol: int, data: bytes) -> bytes:
        if protocol == frame.CCP:
            return options.write([(ccp.MPPE, self.random.choice(MPPE))]) if self.random.random() < 0.7 else b""
        kept = b"".join(options.write([one]) for one in options.read(data) if one[0] != 3)
        return kept + (self.random.choice(WEAKER) if self.random.random() < 0.7 else b"")


def check(pair: Pair, side: int, settings: LinkSettings) -> None:
    """What has happened at this end is what its settings allow."""
    link = pair.links[side]
    encrypted = False
    for fact in pair.facts[side]:
        if isinstance(fact, CompressionUp):
            encrypted = fact.send == fact.receive == "mppe"
            for option in (fact.send_option, fact.receive_option):
                bits = int.from_bytes(option, "big")
                allowed = [ccp.STRENGTHS[one] for one in settings.mppe_strengths]
                assert bits & 0xE0 in allowed and (bits & ccp.STATELESS or settings.mppe_stateful)
            assert len(fact.send_key) == len(fact.receive_key) == 16
        elif isinstance(fact, NetworkUp):
            assert encrypted or not settings.mppe_required
            assert not settings.auth or link.user or link.over
    demanded, promised = link.auth_done
    assert demanded in ("", *settings.auth_methods) and promised in ("", *settings.allow_methods)
    assert link.phase is not Phase.NETWORK or bool(demanded) == settings.auth


@pytest.mark.parametrize("seed", range(250))
def test_nothing_on_the_way_makes_either_end_take_less_than_it_requires(seed: int) -> None:
    strengths = ((128,), (128, 56), (56, 40), (40,))[seed % 4]
    settings = (replace(LNS, mppe_strengths=strengths), replace(CLIENT, mppe_strengths=strengths))
    if seed % 5 == 4:
        settings = (replace(settings[0], auth_methods=("mschapv2", "mschapv1")),
                    replace(settings[1], allow_methods=("mschapv1", "mschapv2", "chap")))  # fmt: skip
    pair = Rewriting(*settings, seed=seed, answer=SERVER)
    pair.power = (seed % 10) / 10
    pair.start()
    pair.run(120.0, until=pair.settled)
    for side in (0, 1):
        check(pair, side, settings[side])
    if pair.power == 0:
        assert pair.is_up(0) and pair.is_up(1)


def test_most_of_the_attacks_come_far_enough_to_matter() -> None:
    ups = compressed = 0
    for seed in range(60):
        pair = Rewriting(LNS, CLIENT, seed=seed, answer=SERVER)
        pair.power = 0.2
        pair.start()
        pair.run(120.0, until=pair.settled)
        ups += pair.is_up(0)
        compressed += any(isinstance(fact, CompressionUp) for fact in pair.facts[0])
    assert ups > 5 and compressed > 5


# the one end requires, and the other does what it likes


def ended(pair: Pair, side: int) -> LinkDown:
    pair.start()
    pair.run(120.0, until=pair.settled)
    assert not pair.ups(side)
    return next(fact for fact in pair.facts[side] if isinstance(fact, LinkDown))


@pytest.mark.parametrize("side", [0, 1], ids=["authenticator", "peer"])
@pytest.mark.parametrize(
    ("others", "reason"),
    [
        ({"codecs": ()}, "the peer rejects CCP"),
        ({"codecs": ("deflate",), "mppe_required": False}, ""),
        ({"mppe_strengths": (40,)}, ""),
        ({"mppe_strengths": (56, 40)}, ""),
    ],
    ids=["no CCP", "compression only", "40 bits", "56 bits"],
)
def test_a_peer_that_encrypts_less_is_left_with_a_reason_before_any_network(
    side: int, others: dict[str, Any], reason: str
) -> None:
    both = [LNS, CLIENT]
    both[1 - side] = replace(both[1 - side], **({"mppe_required": False} | others))
    down = ended(Pair(*both, answer=SERVER), side)
    assert down.cause == "Negotiation Failed" and "encryption (MPPE) is required" in down.message
    assert reason in down.message


@pytest.mark.parametrize("side", [0, 1], ids=["authenticator", "peer"])
@pytest.mark.parametrize("method", ["pap", "chap"])
def test_a_method_that_gives_no_keys_ends_a_link_that_must_be_encrypted(side: int, method: str) -> None:
    both = [replace(LNS, auth_methods=(method,), mppe_required=False),
            replace(CLIENT, allow_methods=(method,), mppe_required=False)]  # fmt: skip
    both[side] = replace(both[side], mppe_required=True)
    down = ended(Pair(*both, answer=SERVER), side)
    assert down.message == "encryption (MPPE) is required, and authentication gave no keys"


def test_an_accept_without_keys_ends_a_link_that_must_be_encrypted() -> None:
    def forgetful(ask: Any) -> Grant | str:
        answer = SERVER(ask)
        if isinstance(answer, Grant):
            answer.mppe_send_key = answer.mppe_receive_key = b""
        return answer

    down = ended(Pair(LNS, replace(CLIENT, mppe_required=False), answer=forgetful), 0)
    assert down.message == "encryption (MPPE) is required, and authentication gave no keys"


def granted(**values: Any) -> Any:
    def answer(ask: Any) -> Grant | str:
        grant = SERVER(ask)
        if isinstance(grant, Grant):
            for name, value in values.items():
                setattr(grant, name, value)
        return grant

    return answer


def test_a_server_may_demand_encryption_that_the_settings_do_not() -> None:
    free = replace(LNS, mppe_required=False)
    demanding = granted(mppe_required=True)
    for client, up in ((CLIENT, True), (replace(CLIENT, codecs=(), mppe_required=False), False)):
        pair = Pair(free, client, answer=demanding)
        pair.start()
        pair.run(60.0, until=pair.settled)
        assert pair.is_up(0) == up
        if up:
            assert pair.links[0].ccp is not None and pair.links[0].ccp.encrypts
    down = ended(Pair(replace(free, codecs=()), CLIENT, answer=demanding), 0)
    assert "the data path has none" in down.message


def test_a_server_can_allow_fewer_strengths_and_never_more() -> None:
    strong = replace(LNS, mppe_strengths=(128, 40))
    weak = replace(CLIENT, mppe_strengths=(40,), mppe_required=False)
    pair = Pair(strong, weak, answer=SERVER)
    pair.start()
    pair.run(60.0, until=pair.settled)
    assert pair.is_up(0)
    down = ended(Pair(strong, weak, answer=granted(mppe_strengths=(128,))), 0)
    assert "encryption (MPPE) is required" in down.message
    down = ended(Pair(LNS, weak, answer=granted(mppe_strengths=(128, 56, 40))), 0)
    assert "encryption (MPPE) is required" in down.message
    down = ended(Pair(LNS, CLIENT, answer=granted(mppe_strengths=())), 0)
    assert down.message == "encryption (MPPE) is required, and no strength of its keys is allowed"


def test_a_demand_of_a_server_outlives_the_daemon_with_the_link() -> None:
    settings = replace(LNS, mppe_required=False)
    pair = Pair(settings, CLIENT, answer=granted(mppe_required=True, mppe_strengths=(128,)))
    pair.start()
    pair.run(30.0, until=pair.settled)
    again = Link.from_record(pair.links[0].to_record(pair.now), settings, random.Random(1).randbytes, pair.now)
    assert again.ccp is not None and again.ccp.required
    again.receive(frame.header(frame.CCP) + frame.packet(frame.TERMINATE_REQUEST, 9), pair.now)
    kinds = [type(output) for output in again.outputs()]
    assert CompressionDown in kinds and NetworkDown in kinds
    when = again.deadline()
    assert when is not None
    again.timeout(when)
    assert again.phase is Phase.TERMINATE
