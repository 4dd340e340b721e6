"""PPP with hostile peers: truncations, mutations and invented packets at every phase of a link."""

from __future__ import annotations

import random
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from prol2tp.common.wire import WireError
from prol2tp.ppp import ccp, dissect, frame, ipcp, ipv6cp, lcp, options
from prol2tp.ppp.auth import PEER_METHODS
from prol2tp.ppp.automaton import Automaton, Event, State
from prol2tp.ppp.link import Link, Phase
from prol2tp.ppp.outputs import AskAuthentication, NetworkUp, SendFrame
from prol2tp.ppp.settings import Grant, LinkSettings
from tests.vectors.ppp import SERVER, VALID, client, lns

MUTATIONS = 100_000
OUTPUTS_MAX = 12
"""What one frame may make a link say: the frames of all its protocols that start on it, and the facts."""


def feed(link: Link, octets: bytes, now: float) -> None:
    """One frame into the link: bounded output, every question answered at once."""
    link.receive(octets, now)
    said = link.outputs()
    assert len(said) <= OUTPUTS_MAX
    assert sum(len(output.frame) for output in said if isinstance(output, SendFrame)) <= 12 * 60 + 3 * len(
        octets
    )
    for output in said:
        if isinstance(output, AskAuthentication):
            answer = SERVER(output)
            if isinstance(answer, Grant):
                link.authenticated(answer, now)
            else:
                link.refused(answer, now)
            assert len(link.outputs()) <= OUTPUTS_MAX


def link_in(phase: Phase, settings: LinkSettings) -> Link:
    """A link brought to a phase by a well-behaved peer."""
    source = random.Random(5).randbytes
    link = Link(settings, source, trace=lambda kind, text: None)
    link.open(0.0)
    first = link.outputs()
    if phase is Phase.ESTABLISH:
        return link
    request = next(output.frame for output in first if isinstance(output, SendFrame))
    link.receive(frame.header(frame.LCP) + frame.packet(2, request[5], request[8:]), 0.0)
    link.receive(frame.header(frame.LCP) + frame.packet(1, 1, b"\x05\x06\x01\x02\x03\x04"), 0.0)
    assert link.phase is (Phase.AUTHENTICATE if settings.auth else Phase.NETWORK)
    if settings.auth and phase is Phase.NETWORK:
        link._demanded = None
        for method in link._proofs:
            method.stop()
        link._network_phase(0.0)
    for ncp in (link.ipcp, link.ipv6cp) if phase is Phase.NETWORK else ():
        assert ncp is not None
        ncp_request = options.write(ncp.asked.items())
        kind = (
            b"\x03\x06\x0a\x00\x00\x05" if ncp is link.ipcp else b"\x01\x0a\x01\x02\x03\x04\x05\x06\x07\x08"
        )
        header = frame.header(ncp.PROTOCOL)
        link.receive(header + frame.packet(2, ncp._identifier, ncp_request), 0.0)
        link.receive(header + frame.packet(1, 1, kind), 0.0)
    if phase is Phase.TERMINATE:
        link.close(0.0)
    link.outputs()
    return link


PHASES = (Phase.ESTABLISH, Phase.AUTHENTICATE, Phase.NETWORK, Phase.TERMINATE)


def test_the_corpus_has_all_codes_that_we_speak() -> None:
    seen = set()
    for octets in VALID:
        protocol, start = frame.read_header(octets)
        seen.add((protocol, octets[start]))
    assert {(frame.LCP, code) for code in range(1, 14)} <= seen
    assert {(frame.PAP, 1), (frame.PAP, 2)} <= seen
    assert {(frame.CHAP, code) for code in (1, 2, 3)} <= seen
    assert {(frame.EAP, code) for code in (1, 2, 3, 4)} <= seen
    assert {(frame.IPCP, code) for code in (1, 2, 3, 4)} <= seen
    assert {(frame.IPV6CP, code) for code in (1, 2)} <= seen


def test_every_truncation_of_every_frame_in_every_phase_is_survived() -> None:
    for make in (lns, client):
        for phase in PHASES:
            link = link_in(phase, make())
            for octets in VALID:
                for length in range(len(octets)):
                    if link.over or link.phase is not phase:
                        link = link_in(phase, make())
                    feed(link, octets[:length], 1.0)


def mutate(rng: random.Random, octets: bytes) -> bytes:
    changed = bytearray(octets)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        if not changed:
            break
        place = rng.randrange(len(changed))
        what = rng.randrange(6)
        if what == 0:
            changed[place] = rng.randrange(256)
        elif what == 1:
            changed[place] ^= 1 << rng.randrange(8)
        elif what == 2:
            changed[place] = rng.choice((0, 1, 2, 4, 127, 128, 254, 255))
        elif what == 3:
            del changed[place]
        elif what == 4:
            changed[place:place] = rng.randbytes(rng.randrange(1, 5))
        else:
            changed[place:place] = changed[place : place + 20]
    return bytes(changed)


def test_a_hundred_thousand_mutations_are_survived() -> None:
    rng = random.Random(20261123)
    fresh = {(phase, make): link_in(phase, make()) for phase in PHASES for make in (lns, client)}
    keys = list(fresh)
    now = 1.0
    for number in range(MUTATIONS):
        key = keys[number % len(keys)]
        link = fresh[key]
        if link.over or number % 97 == 0:
            link = fresh[key] = link_in(*((key[0], key[1]())))
            now = 1.0
        feed(link, mutate(rng, rng.choice(VALID)), now)
        if number % 11 == 0:
            when = link.deadline()
            assert (when is None) == link.over or link.phase is Phase.NETWORK
            if when is not None:
                now = max(now, when)
                link.timeout(now)
                assert len(link.outputs()) <= OUTPUTS_MAX
                after = link.deadline()
                assert after is None or after > now


@given(st.binary(max_size=64))
def test_any_octets_are_described_and_read_or_refused(data: bytes) -> None:
    for protocol in (frame.LCP, frame.CCP, frame.IPCP, frame.IPV6CP, frame.PAP, frame.CHAP, frame.EAP, 0x1234):
        assert "\n" not in dissect.describe(protocol, data)
    try:
        assert options.write(options.read(data)) == data
    except WireError:
        pass


@given(st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=253)), max_size=8))
def test_options_come_back_as_they_were_written(values: list[tuple[int, bytes]]) -> None:
    assert options.read(options.write(values)) == values


@given(st.sampled_from(sorted(frame.PROTOCOL_NAMES)), st.booleans(), st.booleans(), st.binary(max_size=40))
def test_frames_come_back_however_they_are_compressed(
    protocol: int, accomp: bool, pcomp: bool, data: bytes
) -> None:
    octets = frame.header(protocol, accomp, pcomp) + data
    number, start = frame.read_header(octets)
    assert (number, octets[start:]) == (protocol, data)


AUTOMATA = {"ccp": ccp.CCP, "lcp": lcp.LCP, "ipcp": ipcp.IPCP, "ipv6cp": ipv6cp.IPV6CP}


@given(
    st.sampled_from(sorted(AUTOMATA)),
    st.lists(
        st.tuples(
            st.integers(0, 14),
            st.integers(0, 3),
            st.binary(max_size=24),
            st.sampled_from((0.0, 0.5, 3.0, 40.0)),
        ),
        max_size=30,
    ),
)
@settings(max_examples=300, deadline=None)
def test_state_by_event_the_laws_hold(name: str, story: list[tuple[int, int, bytes, float]]) -> None:
    """After any story: the timer runs in the states in which the RFC has it run, and in no other."""
    link = Link(client(), random.Random(3).randbytes)
    link.settings.codecs = ("deflate", "mppe", "predictor1", "bsd")
    automaton: Automaton = AUTOMATA[name](link._lower, link.settings)
    automaton.open(0.0)
    automaton.lower_up(0.0)
    now = 0.0
    for code, identifier, data, wait in story:
        now += wait
        automaton.timeout(now)
        try:
            automaton.receive(frame.packet(code, identifier, data), now)
        except WireError:
            pass
        link._lower.signals.clear()
        timed = automaton.state.value in (4, 5, 6, 7, 8)
        assert (automaton.restart_at is not None) == timed
        assert automaton.state not in (State.INITIAL, State.STARTING)
    automaton.lower_down(now)
    assert automaton.restart_at is None
    assert automaton.state in (State.INITIAL, State.STARTING)


def test_the_tables_have_no_row_for_a_state_or_event_that_is_not_there() -> None:
    assert all(isinstance(state, State) and isinstance(event, Event) for state, event in Automaton.TABLE)
    legal = len(Automaton.TABLE)
    assert legal == 120


def test_a_peer_that_answers_at_random_for_ever_does_not_negotiate_for_ever() -> None:
    """A peer that answers each of our frames at once, mutated: the link ends or opens within a bounded talk."""
    for seed in range(60):
        rng = random.Random(seed)
        link = Link(client(), rng.randbytes)
        link.open(0.0)
        now = 0.0
        heard = 0
        while not link.over and now < 1000.0 and heard < 5000:
            frames = [output.frame for output in link.outputs() if isinstance(output, SendFrame)]
            for octets in frames:
                _, start = frame.read_header(octets)
                answer = bytearray(octets)
                if octets[start] == frame.CONFIGURE_REQUEST:
                    answer[start] = rng.choice((2, 3, 4))
                link.receive(bytes(answer) if rng.random() < 0.7 else mutate(rng, bytes(answer)), now)
                heard += 1
            when = link.deadline()
            if not frames:
                if when is None:
                    break
                now = max(now, when)
                link.timeout(now)
        assert link.over or link.phase is Phase.NETWORK, (seed, link.phase, link.lcp.state)
        assert heard < 5000


MICROSOFT = ("mschapv2", "mschapv1", "eap")


def proving(method: str, we_are: str) -> Link:
    """A link in the midst of an exchange of a method."""
    settings = lns() if we_are == "authenticator" else client()
    settings.auth = we_are == "authenticator"
    settings.user, settings.password = "u1", "pw1"
    settings.auth_methods = settings.allow_methods = (method,)
    link = Link(settings, random.Random(6).randbytes, trace=lambda kind, text: None)
    link.open(0.0)
    request = next(output.frame for output in link.outputs() if isinstance(output, SendFrame))
    link.receive(frame.header(frame.LCP) + frame.packet(2, request[5], request[8:]), 0.0)
    option = PEER_METHODS[method].option
    wish = b"" if settings.auth else bytes((3, len(option) + 2)) + option
    link.receive(frame.header(frame.LCP) + frame.packet(1, 1, wish), 0.0)
    assert link.phase is Phase.AUTHENTICATE
    link.outputs()
    return link


def test_a_hundred_thousand_mutations_of_authentication_are_survived_and_let_nobody_in() -> None:
    """Identifiers are set right more often than not, so that the mutations come deep."""
    rng = random.Random(20261124)
    corpus = [octets for octets in VALID if frame.read_header(octets)[0] in (frame.CHAP, frame.EAP)]
    keys = [(method, role) for method in MICROSOFT for role in ("authenticator", "peer")]
    fresh = {key: proving(*key) for key in keys}
    now = 1.0
    for number in range(MUTATIONS):
        key = keys[number % len(keys)]
        link = fresh[key]
        if link.over or link.phase is not Phase.AUTHENTICATE or number % 61 == 0:
            assert key[1] == "peer" or link.phase is not Phase.NETWORK
            link = fresh[key] = proving(*key)
        octets = bytearray(mutate(rng, rng.choice(corpus)))
        if rng.random() < 0.7 and len(octets) > 5:
            method = link.eap if key[0] == "eap" else link.chap
            octets[5] = method._identifier  # type: ignore[union-attr]
        feed(link, bytes(octets), now)
        assert link._demanded is None or link.phase is not Phase.NETWORK


def test_a_hundred_thousand_mutations_of_ccp_never_bring_a_network_up_without_encryption() -> None:
    rng = random.Random(20261125)
    corpus = [octets for octets in VALID if frame.read_header(octets)[0] in (frame.CCP, frame.IPCP)]
    link = None
    now = 1.0
    ups = 0
    for number in range(MUTATIONS):
        if link is None or link.over or link.phase is not Phase.NETWORK or number % 61 == 0:
            required = LinkSettings(local_ip="10.0.0.1", codecs=("mppe", "deflate"), mppe_required=number % 2 == 0)
            link = link_in(Phase.AUTHENTICATE, replace(required, auth=True, auth_methods=("pap",)))
            link.receive(frame.header(frame.PAP) + frame.packet(1, 1, b"\x02u1\x03pw1"), now)
            link.authenticated(Grant(peer_ip="10.0.0.99", mppe_send_key=b"s" * 16, mppe_receive_key=b"r" * 16), now)
            link.outputs()
        assert link.ccp is not None
        octets = bytearray(mutate(rng, rng.choice(corpus)))
        if rng.random() < 0.6 and len(octets) > 5:
            octets[5] = link.ccp._identifier
        if rng.random() < 0.2:
            octets[4:] = frame.packet(rng.choice((1, 2)), link.ccp._identifier, options.write(link.ccp.asked.items()))
        link.receive(bytes(octets), now)
        ups += link.ccp.encrypts and link.ccp.announced
        for output in link.outputs():
            assert not isinstance(output, NetworkUp) or not link.settings.mppe_required or link.ccp.encrypts
    assert ups > 100
