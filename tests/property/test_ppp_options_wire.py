"""Every option of every PPP protocol with hostile content: any type, length and value, in every code with options."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from prol2tp.common.wire import WireError
from prol2tp.ppp import ccp, dissect, frame, ipcp, ipv6cp, lcp, options
from prol2tp.ppp.automaton import Automaton
from prol2tp.ppp.link import Link
from prol2tp.ppp.outputs import SendFrame
from prol2tp.ppp.settings import LinkSettings
from prol2tp.ppp.states import State

PROTOCOLS: dict[str, Any] = {"lcp": lcp.LCP, "ccp": ccp.CCP, "ipcp": ipcp.IPCP, "ipv6cp": ipv6cp.IPV6CP}
TRIES = 25_000
ALL = LinkSettings(
    auth=True, auth_methods=("mschapv2", "chap"), allow_methods=("chap", "pap", "eap"), user="u1", password="pw1",
    mru=1400, asyncmap=0, local_ip="10.0.0.1", peer_ip="10.0.0.2", dns=("9.9.9.9",), usepeerdns=True,
    codecs=("deflate", "mppe", "predictor1", "bsd"), mppe_strengths=(128, 56, 40),
)  # fmt: skip


def started(name: str, source: Callable[[int], bytes]) -> Automaton:
    """One of the protocols, its first Configure-Request sent."""
    link = Link(ALL, source)
    automaton: Automaton = PROTOCOLS[name](link._lower, link.settings)
    if isinstance(automaton, ccp.CCP):
        automaton.keyed = True
    automaton.open(0.0)
    automaton.lower_up(0.0)
    link._lower.queue.clear()
    return automaton


def option(rng: random.Random, automaton: Automaton) -> bytes:
    """One option, right or wrong, of a type that is known more often than not; sometimes of a wrong length octet."""
    kind = rng.choice((*automaton.OPTIONS, *automaton.OPTIONS, rng.randrange(256)))
    known = automaton.OPTIONS.get(kind)
    length = rng.choice((0, 1, 2, 3, 4, 6, 8, 16, 40, 253)) if known is None or rng.random() < 0.4 else known.length
    data = rng.choice((
        bytes(length), b"\xff" * length, rng.randbytes(length), (known.default if known else b"")[:length],
        automaton.asked.get(kind, b""), b"\xc2\x23\x81"[:length],
    ))  # fmt: skip
    declared = len(data) + 2 if rng.random() < 0.9 else rng.randrange(256)
    return bytes((kind, declared & 0xFF)) + data


def answers(automaton: Automaton) -> list[tuple[int, int, bytes]]:
    """What it has sent, as packets; every one can be read again."""
    found = []
    for output in automaton.lower.queue:
        if isinstance(output, SendFrame):
            protocol, start = frame.read_header(output.frame)
            assert protocol == automaton.PROTOCOL
            found.append(frame.read_packet(output.frame[start:]))
    automaton.lower.queue.clear()
    return found


def check_answer(automaton: Automaton, identifier: int, data: bytes, sent: list[tuple[int, int, bytes]]) -> None:
    """RFC 1661 section 5: one answer, its options in the form of the request's, an Ack the request itself."""
    said = [one for one in sent if one[0] in (2, 3, 4) and one[1] == identifier]
    if not said:
        return
    ((code, _, content),) = said
    wished = options.read(data)
    if code == frame.CONFIGURE_ACK:
        assert content == data
        for kind, value in wished:
            assert kind in automaton.OPTIONS and automaton.OPTIONS[kind].fits(value)
    elif code == frame.CONFIGURE_REJECT:
        rejected = options.read(content)
        assert rejected and all(one in wished for one in rejected)
    else:
        for kind, value in options.read(content):
            assert automaton.OPTIONS[kind].fits(value)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_any_options_in_any_code_are_answered_by_the_rules_or_dropped(name: str) -> None:
    rng = random.Random(f"options of {name}")
    automaton = started(name, rng.randbytes)
    opened = 0
    for number in range(TRIES):
        if automaton.state not in (State.REQ_SENT, State.ACK_RCVD, State.ACK_SENT, State.OPENED) or number % 40 == 0:
            automaton = started(name, rng.randbytes)
        code = rng.choice((1, 1, 1, 2, 3, 4))
        identifier = automaton._identifier if code > 1 else rng.randrange(256)
        data = b"".join(option(rng, automaton) for _ in range(rng.choice((0, 1, 1, 1, 2, 3, 6))))
        if code == 2 and rng.random() < 0.5:
            data = options.write(automaton.asked.items())
        information = frame.packet(code, identifier, data)
        assert "\n" not in dissect.describe(automaton.PROTOCOL, information)
        try:
            automaton.receive(information, number * 2.0)
        except WireError:
            pass
        sent = answers(automaton)
        assert len(sent) <= 3
        if code == 1:
            check_answer(automaton, identifier, data, sent)
        opened += automaton.state is State.OPENED
        automaton.lower.signals.clear()
        for kind, value in automaton.asked.items():
            assert automaton.OPTIONS[kind].fits(value)
    assert opened > 50


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_option_of_every_length_is_answered(name: str) -> None:
    """Type and length exhaustively, with three fillings: known options of a bad length are Nak'd with a good value or
    rejected, unknown ones rejected."""
    rng = random.Random(1)
    for kind in range(256):
        for length in (*range(12), 128, 253):
            for filling in (b"\0", b"\xff", b"\x45"):
                automaton = started(name, rng.randbytes)
                data = bytes((kind, length + 2)) + filling * length
                automaton.receive(frame.packet(1, 9, data), 0.0)
                sent = answers(automaton)
                check_answer(automaton, 9, data, sent)
                (answer,) = [one for one in sent if one[1] == 9 and one[0] in (2, 3, 4)]
                known = automaton.OPTIONS.get(kind)
                if known is None:
                    assert answer[0] == frame.CONFIGURE_REJECT and answer[2] == data
                elif not known.fits(data[2:]):
                    assert answer[0] != frame.CONFIGURE_ACK
