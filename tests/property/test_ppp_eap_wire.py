"""EAP with hostile peers and servers: mutated packets of every method in both roles; TLS is by an engine of the test's.
"""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prol2tp.common.wire import WireError
from prol2tp.ppp import eappacket, eaptls, frame
from prol2tp.ppp.eap import ROUNDS_MAX
from prol2tp.ppp.link import Link, Phase
from prol2tp.ppp.outputs import AskAuthentication, LinkDown, SendFrame
from prol2tp.ppp.settings import Grant, LinkSettings
from tests.ppp_ends import Pair, users

MUTATIONS = 40_000
SERVER = users(u1="pw1")


class FakeTLS:
    """Three flights of some length each way, in the clear: who says "good" at the end has proved himself."""

    def __init__(self, server: bool, size: int = 3000) -> None:
        self.failure, self.done, self.names = "", False, ()
        self.server, self.size, self.flights = server, size, 0

    def receive(self, records: bytes) -> bytes:
        self.flights += 1
        if records and not records.startswith(b"tls"):
            self.failure = "no TLS"
            return b"tls alert"
        if self.server and records == b"tls good":
            self.done, self.names = True, ("u1",)
            return b"tls welcome"
        if not self.server and records == b"tls welcome":
            self.done = True
            return b""
        if not self.server and self.flights > 1:
            return b"tls good"
        return b"tls" + bytes(self.size)

    def key_material(self) -> bytes:
        return bytes(range(64))


LNS = LinkSettings(
    auth=True, auth_methods=("eap",), name="lns", local_ip="10.0.0.1", eap_methods=("tls", "mschapv2", "md5"),
    tls=FakeTLS,
)  # fmt: skip
CLIENT = LinkSettings(
    user="u1", password="pw1", allow_methods=("eap",), eap_allow_methods=("tls", "mschapv2", "md5"), tls=FakeTLS
)


def certified(ask: AskAuthentication) -> Grant | str:
    if ask.method == "tls":
        return Grant(user="u1", peer_ip="10.0.0.9") if ask.certificate == ("u1",) else "no"
    return SERVER(ask)


def recorded() -> list[bytes]:
    """All EAP packets of whole exchanges by every method."""
    found: list[bytes] = []
    for method in ("tls", "mschapv2", "md5"):
        for password in ("pw1", "wrong"):
            pair = Pair(replace(LNS, eap_methods=(method,)), replace(CLIENT, password=password), answer=certified)
            transmit = pair._transmit

            def note(to: int, octets: bytes, transmit: Any = transmit) -> None:
                protocol, start = frame.read_header(octets)
                if protocol == frame.EAP:
                    found.append(octets[start:])
                transmit(to, octets)

            pair._transmit = note  # type: ignore[method-assign]
            pair.start()
            pair.run(20.0)
            assert method != "tls" or pair.is_up(0)
    return sorted(set(found))


VALID = recorded()


def test_the_corpus_has_every_code_and_method() -> None:
    assert {packet[0] for packet in VALID} == {1, 2, 3, 4}
    assert {packet[4] for packet in VALID if len(packet) > 4} >= {1, 4, 13, 26}


def mutate(rng: random.Random, packet: bytes) -> bytes:
    changed = bytearray(packet)
    for _ in range(rng.choice((0, 1, 1, 1, 2, 4))):
        place = rng.randrange(len(changed)) if changed else 0
        what = rng.randrange(6)
        if what == 0 and changed:
            changed[place] = rng.choice((0, 1, 2, 3, 4, 0x20, 0x40, 0x80, 0xC0, 0xFF, rng.randrange(256)))
        elif what == 1:
            del changed[place : place + rng.choice((1, 4, 200))]
        elif what == 2:
            changed[place:place] = rng.randbytes(rng.choice((1, 4, 40)))
        elif what == 3 and len(changed) > 5:
            changed[5:9] = rng.choice((b"\x80\xff\xff\xff", b"\xc0\0\0\0", b"\x40\0\0\0", b"\x80\0\0\0", b"\xa0\0\1\0"))
        elif what == 4 and len(changed) > 4:
            changed[4] = rng.choice((0, 1, 2, 3, 4, 6, 13, 21, 25, 26, 254, 255))
        else:
            del changed[place:]
    if rng.random() < 0.8 and len(changed) >= 4:
        changed[2:4] = len(changed).to_bytes(2, "big")
    return bytes(changed)


def authenticating(role: str, rng: random.Random, passthrough: bool = False) -> Link:
    settings = replace(LNS, eap_passthrough=passthrough) if role == "authenticator" else CLIENT
    link = Link(replace(settings, auth_deadline=0.0), rng.randbytes, trace=lambda kind, text: None)
    link.open(0.0)
    request = next(output.frame for output in link.outputs() if isinstance(output, SendFrame))
    link.receive(frame.header(frame.LCP) + frame.packet(2, request[5], request[8:]), 0.0)
    wish = b"" if role == "authenticator" else b"\x03\x04\xc2\x27"
    link.receive(frame.header(frame.LCP) + frame.packet(1, 1, wish), 0.0)
    assert link.phase is Phase.AUTHENTICATE and link.eap is not None
    link.outputs()
    return link


def bounded(link: Link) -> None:
    """What an exchange holds for a peer that has not proved anything."""
    eap = link.eap
    assert eap is not None
    for conversation in (eap._tls, eap._peer_tls):
        if conversation is not None:
            assert len(conversation._heard) <= eaptls.MESSAGE_MAX


@pytest.mark.parametrize("role", ["authenticator", "peer"])
def test_mutated_packets_of_all_methods_are_survived_and_let_nobody_in_without_a_proof(role: str) -> None:
    rng = random.Random(f"eap {role}")
    link = authenticating(role, rng)
    proved = False
    deep = 0
    for number in range(MUTATIONS):
        if link.over or link.phase is not Phase.AUTHENTICATE or number % 50 == 0:
            assert link.phase is not Phase.NETWORK or proved
            link, proved = authenticating(role, rng), False
        octets = bytearray(mutate(rng, rng.choice(VALID)))
        eap = link.eap
        assert eap is not None
        if rng.random() < 0.8 and len(octets) > 1:
            octets[1] = eap._identifier if role == "authenticator" else (eap._response[1:2] or b"\7")[0]
            octets[1] = (octets[1] + (role == "peer" and octets[0] == 1)) & 0xFF
        link.receive(frame.header(frame.EAP) + bytes(octets), number * 0.01)
        said = link.outputs()
        assert len(said) <= 12
        bounded(link)
        deep += eap._tls is not None or eap._peer_tls is not None
        for output in said:
            if isinstance(output, AskAuthentication):
                answer = certified(output)
                proved = isinstance(answer, Grant)
                if isinstance(answer, Grant):
                    link.authenticated(answer, number * 0.01)
                else:
                    link.refused(answer, number * 0.01)
                link.outputs()
        if role == "peer":
            proved = proved or eap.peer_state.name in ("DONE", "OPEN")
    assert deep > 500


def test_a_server_behind_the_link_may_say_anything() -> None:
    rng = random.Random("eap server")
    link = authenticating("authenticator", rng, passthrough=True)
    for number in range(MUTATIONS // 4):
        eap = link.eap
        assert eap is not None
        if link.over or link.phase is not Phase.AUTHENTICATE or not eap.our_at and not link.asking:
            link = authenticating("authenticator", rng, passthrough=True)
            continue
        if link.asking:
            link.eap_request(mutate(rng, rng.choice(VALID)), number * 0.01)
        else:
            data = rng.choice((b"\x01u1", b"\x03\x04", b"\x0d\0", b"\x04\x10" + bytes(16)))
            packet = frame.packet(2, eap._identifier, data)
            link.receive(frame.header(frame.EAP) + packet, number * 0.01)
        assert len(link.outputs()) <= 6 and link.phase is not Phase.NETWORK


class Flood:
    """A conversation that is fed for ever."""

    def __init__(self) -> None:
        self.conversation = eaptls.Conversation(FakeTLS(True))

    def feed(self, data: bytes) -> bool:
        try:
            return self.conversation.receive(data, 1400) is not None
        except WireError:
            return False


def test_fragments_without_end_cost_no_more_than_a_message_may_have() -> None:
    flood = Flood()
    most = 0
    for _ in range(2000):
        flood.feed(b"\x40" + bytes(1000))
        most = max(most, len(flood.conversation._heard))
    assert eaptls.MESSAGE_MAX - 1000 <= most <= eaptls.MESSAGE_MAX


@pytest.mark.parametrize("data", [
    b"", b"\x80", b"\x80\0\0", b"\x80\0\0\0", b"\xc0\xff\xff\xff\xff" + bytes(10), b"\x80\0\1\0\1" + bytes(10), b"\x20",
    b"\xa0\0\0\0\1x", b"\x40", b"\xc0\0\0\0\5" + bytes(6), b"\x80\0\0\0\x20tls", b"\x80\0\0\0\2tls",
])  # fmt: skip
def test_cve_2018_11574_lengths_of_eap_tls_that_do_not_fit_are_dropped(data: bytes) -> None:
    """pppd: the length in the packet was believed, and what followed it was copied."""
    flood = Flood()
    assert not flood.feed(data) and flood.conversation._heard == b"" and not flood.conversation.begun
    assert flood.feed(b"tls"[:0] + b"\0tls")


@pytest.mark.parametrize("lie", [0, 1, 999, 1001, 1 << 16])
def test_cve_2018_11574_fragments_that_are_more_or_less_than_was_said_are_dropped(lie: int) -> None:
    flood = Flood()
    assert flood.feed(b"\xc0" + (1500).to_bytes(4, "big") + bytes(1000))
    assert not flood.feed(b"\0" + bytes(lie)) and flood.conversation._heard == b""


@settings(max_examples=200, deadline=None)
@given(st.binary(min_size=1, max_size=5000), st.integers(16, 1490))
def test_a_message_comes_through_in_fragments_whatever_fits(message: bytes, room: int) -> None:
    class Says(FakeTLS):
        def receive(self, records: bytes) -> bytes:
            heard.append(records)
            return message if not records else b""

    heard: list[bytes] = []
    here, there = eaptls.Conversation(Says(False)), eaptls.Conversation(Says(True))
    part = here.start(room)
    for _ in range(5000):
        assert len(part) <= room
        answer = there.receive(part, room)
        if heard[1:]:
            break
        assert answer == eaptls.EMPTY
        following = here.receive(answer, room)
        assert following is not None
        part = following
    assert heard == [b"", message]


def test_tls_that_never_ends_is_ended() -> None:
    class Endless(FakeTLS):
        def receive(self, records: bytes) -> bytes:
            return b"tls"

    pair = Pair(replace(LNS, tls=Endless, auth_deadline=0.0),
                replace(CLIENT, tls=Endless, eap_max_received=10_000, eap_allow_methods=("tls",)), answer=certified)
    pair.start()
    pair.run(600.0, until=pair.settled)
    (down,) = (fact for fact in pair.facts[0] if isinstance(fact, LinkDown))
    assert down.message == "TLS comes to no end"
    assert pair.links[0].eap is not None and pair.links[0].eap.requests <= ROUNDS_MAX


@given(st.binary(max_size=60))
def test_octets_are_an_mschapv2_packet_or_a_wire_error(data: bytes) -> None:
    try:
        opcode, content = eappacket.read_mschapv2(data)
        assert 0 <= opcode <= 255 and len(content) <= len(data)
    except WireError:
        pass
