"""The automaton against RFC 1661 section 4.1, cell by cell, by what it does: frames, signals, counters, states."""

from __future__ import annotations

import pytest

from prol2tp.common.fsm import IllegalEvent
from prol2tp.ppp import frame, options
from prol2tp.ppp.automaton import REFUSALS_MAX, Automaton, Event, State
from prol2tp.ppp.lower import Lower, Signal
from prol2tp.ppp.settings import LinkSettings

# One line per state: what each event does there, then the next state. Written by state, where the RFC writes by event.
EXPECTED = {
    "Initial": "Up:>Closed Open:tls>Starting Close:>Initial",
    "Starting": "Up:irc,scr>Req-Sent Open:>Starting Close:tlf>Initial",
    "Closed": "Down:>Initial Open:irc,scr>Req-Sent Close:>Closed RCR+:sta>Closed RCR-:sta>Closed RCA:sta>Closed "
    "RCN:sta>Closed RTR:sta>Closed RTA:>Closed RUC:scj>Closed RXJ+:>Closed RXJ-:tlf>Closed RXR:>Closed",
    "Stopped": "Down:tls>Starting Open:>Stopped Close:>Closed RCR+:irc,scr,sca>Ack-Sent RCR-:irc,scr,scn>Req-Sent "
    "RCA:sta>Stopped RCN:sta>Stopped RTR:sta>Stopped RTA:>Stopped RUC:scj>Stopped RXJ+:>Stopped "
    "RXJ-:tlf>Stopped RXR:>Stopped",
    "Closing": "Down:>Initial Open:>Stopping Close:>Closing TO+:str>Closing TO-:tlf>Closed RCR+:>Closing "
    "RCR-:>Closing RCA:>Closing RCN:>Closing RTR:sta>Closing RTA:tlf>Closed RUC:scj>Closing RXJ+:>Closing "
    "RXJ-:tlf>Closed RXR:>Closing",
    "Stopping": "Down:>Starting Open:>Stopping Close:>Closing TO+:str>Stopping TO-:tlf>Stopped RCR+:>Stopping "
    "RCR-:>Stopping RCA:>Stopping RCN:>Stopping RTR:sta>Stopping RTA:tlf>Stopped RUC:scj>Stopping RXJ+:>Stopping "
    "RXJ-:tlf>Stopped RXR:>Stopping",
    "Req-Sent": "Down:>Starting Open:>Req-Sent Close:irc,str>Closing TO+:scr>Req-Sent TO-:tlf>Stopped "
    "RCR+:sca>Ack-Sent RCR-:scn>Req-Sent RCA:irc>Ack-Rcvd RCN:irc,scr>Req-Sent RTR:sta>Req-Sent RTA:>Req-Sent "
    "RUC:scj>Req-Sent RXJ+:>Req-Sent RXJ-:tlf>Stopped RXR:>Req-Sent",
    "Ack-Rcvd": "Down:>Starting Open:>Ack-Rcvd Close:irc,str>Closing TO+:scr>Req-Sent TO-:tlf>Stopped "
    "RCR+:sca,tlu>Opened RCR-:scn>Ack-Rcvd RCA:scr>Req-Sent RCN:scr>Req-Sent RTR:sta>Req-Sent RTA:>Req-Sent "
    "RUC:scj>Ack-Rcvd RXJ+:>Req-Sent RXJ-:tlf>Stopped RXR:>Ack-Rcvd",
    "Ack-Sent": "Down:>Starting Open:>Ack-Sent Close:irc,str>Closing TO+:scr>Ack-Sent TO-:tlf>Stopped "
    "RCR+:sca>Ack-Sent RCR-:scn>Req-Sent RCA:irc,tlu>Opened RCN:irc,scr>Ack-Sent RTR:sta>Req-Sent RTA:>Ack-Sent "
    "RUC:scj>Ack-Sent RXJ+:>Ack-Sent RXJ-:tlf>Stopped RXR:>Ack-Sent",
    "Opened": "Down:tld>Starting Open:>Opened Close:tld,irc,str>Closing RCR+:tld,scr,sca>Ack-Sent "
    "RCR-:tld,scr,scn>Req-Sent RCA:tld,scr>Req-Sent RCN:tld,scr>Req-Sent RTR:tld,zrc,sta>Stopping RTA:tld,scr>Req-Sent "
    "RUC:scj>Opened RXJ+:>Opened RXJ-:tld,irc,str>Stopping RXR:ser>Opened",
}


def state_named(name: str) -> State:
    return State[name.upper().replace("-", "_")]


def expectation(state: str, event: str) -> tuple[list[str], State] | None:
    for cell in EXPECTED[state].split():
        word, _, rest = cell.partition(":")
        if word == event:
            actions, _, target = rest.partition(">")
            return (actions.split(",") if actions else []), state_named(target)
    return None


class Example(Automaton):
    """Knows one option of two octets, wants 7 in it, and takes any value but 0, for which it suggests 9."""

    __slots__ = ()
    NAME = "EXAMPLE"
    PROTOCOL = 0x8031
    OPTIONS = options.table(
        (1, "Number", "number", "number", 2, False, b"\x00\x09"), (2, "Flag", "flag", "flag", 0, False, b"")
    )

    def begin(self) -> None:
        self.asked[1] = b"\x00\x07"

    def consider(self, kind: int, data: bytes) -> bytes | None:
        return b"\x00\x09" if data == b"\x00\x00" else data

    def naked(self, kind: int, data: bytes) -> None:
        if len(data) == 2:
            self.asked[kind] = data


def example(state: State = State.INITIAL, **settings: float) -> Example:
    automaton = Example(Lower(bytes, None), LinkSettings(**settings))  # type: ignore[arg-type]
    automaton.state = automaton.previous = state
    return automaton


def sent(automaton: Automaton) -> list[tuple[int, int, bytes]]:
    frames = [output.frame for output in automaton.lower.queue]  # type: ignore[union-attr]
    automaton.lower.queue.clear()
    return [frame.read_packet(octets[4:]) for octets in frames]


ANSWERS = {"RCR+": 2, "RCR-": 3, "RTR": 6, "RUC": 7, "RXR": 10}
SENDING = {1: "scr", 2: "sca", 3: "scn", 4: "scn", 5: "str", 6: "sta", 7: "scj", 10: "ser"}
SIGNALS = {Signal.UP: "tlu", Signal.DOWN: "tld", Signal.FINISHED: "tlf"}


@pytest.mark.parametrize("event", [event.value for event in Event])
@pytest.mark.parametrize("state", list(EXPECTED))
def test_every_cell_of_the_rfc_table(state: str, event: str) -> None:
    automaton = example(state_named(state))
    automaton._counter = 5
    expected = expectation(state, event)
    message = (ANSWERS.get(event, 6), 77, b"")
    if expected is None:
        with pytest.raises(IllegalEvent):
            automaton.fire(Event(event), 1.0, message)
        assert automaton.state is state_named(state)
        return
    automaton.fire(Event(event), 1.0, message)
    actions, target = expected
    assert automaton.state is target
    frames = [SENDING[code] for code, _, _ in sent(automaton)]
    assert frames == [action for action in actions if action in SENDING.values()]
    signals = [SIGNALS[signal] for _, signal, _ in automaton.lower.signals]
    assert signals == [action for action in actions if action in SIGNALS.values()]
    counter = 5
    if "irc" in actions:
        counter = 2 if "str" in actions else 10
    if "zrc" in actions:
        counter = 0
    counter -= sum(action in ("scr", "str") for action in actions)
    assert automaton._counter == counter
    running = automaton.restart_at is not None
    assert running is any(action in ("scr", "str", "zrc") for action in actions)


def up(**settings: float) -> Example:
    automaton = example(**settings)
    automaton.open(0.0)
    automaton.lower_up(0.0)
    return automaton


def control(code: int, identifier: int, data: bytes = b"") -> bytes:
    return frame.packet(code, identifier, data)


def opened() -> Example:
    automaton = up()
    automaton.receive(control(1, 50, b"\x01\x04\x00\x05"), 0.0)
    automaton.receive(control(2, 1, b"\x01\x04\x00\x07"), 0.0)
    assert automaton.state is State.OPENED
    sent(automaton)
    automaton.lower.signals.clear()
    return automaton


def test_a_silent_peer_gets_ten_requests_with_one_identifier_and_then_it_is_over() -> None:
    automaton = up()
    now = 0.0
    while automaton.restart_at is not None:
        now = automaton.restart_at
        automaton.timeout(now)
    assert [identifier for _, identifier, _ in sent(automaton)] == [1] * 10
    assert now == 30.0
    assert automaton.state is State.STOPPED
    assert automaton.failed
    assert automaton.retransmits == 9


def test_a_nak_changes_the_request_and_its_identifier() -> None:
    automaton = up()
    automaton.receive(control(3, 1, b"\x01\x04\x00\x08"), 0.0)
    assert sent(automaton) == [(1, 1, b"\x01\x04\x00\x07"), (1, 2, b"\x01\x04\x00\x08")]


def test_an_answer_counts_once_and_only_for_the_last_request() -> None:
    automaton = up()
    for identifier, data in ((9, b"\x01\x04\x00\x07"), (1, b"\x01\x04\x00\x06")):
        with pytest.raises(frame.WireError):
            automaton.receive(control(2, identifier, data), 0.0)
    automaton.receive(control(2, 1, b"\x01\x04\x00\x07"), 0.0)
    assert automaton.state is State.ACK_RCVD
    with pytest.raises(frame.WireError):
        automaton.receive(control(2, 1, b"\x01\x04\x00\x07"), 0.0)
    assert automaton.state is State.ACK_RCVD


def test_a_doubled_answer_in_opened_does_not_take_the_protocol_down() -> None:
    automaton = opened()
    with pytest.raises(frame.WireError):
        automaton.receive(control(2, 1, b"\x01\x04\x00\x07"), 0.1)
    assert automaton.state is State.OPENED


def test_a_request_doubled_by_the_network_is_acknowledged_again_without_going_down() -> None:
    automaton = opened()
    automaton.receive(control(1, 50, b"\x01\x04\x00\x05"), 0.5)
    assert sent(automaton) == [(2, 50, b"\x01\x04\x00\x05")]
    assert automaton.state is State.OPENED


def test_the_same_request_after_a_restart_interval_negotiates_anew() -> None:
    automaton = opened()
    automaton.receive(control(1, 50, b"\x01\x04\x00\x05"), 3.0)
    assert [code for code, _, _ in sent(automaton)] == [1, 2]
    assert automaton.state is State.ACK_SENT
    assert automaton.lower.signals == [(automaton, Signal.DOWN, None)]


def test_unknown_options_and_options_listed_twice_are_rejected_as_they_came() -> None:
    automaton = up()
    sent(automaton)
    automaton.receive(control(1, 3, b"\x01\x04\x00\x00\x63\x03\x01\x01\x04\x00\x05"), 0.0)
    assert sent(automaton) == [(4, 3, b"\x63\x03\x01\x01\x04\x00\x05")]


def test_an_option_of_wrong_length_gets_a_nak_of_the_right_length_or_a_reject() -> None:
    automaton = up()
    sent(automaton)
    automaton.receive(control(1, 3, b"\x01\x03\x05"), 0.0)
    automaton.receive(control(1, 4, b"\x02\x03\x05"), 0.0)
    assert sent(automaton) == [(3, 3, b"\x01\x04\x00\x09"), (4, 4, b"\x02\x03\x05")]


@pytest.mark.parametrize(
    "data", [b"\x01\x00", b"\x01\x01", b"\x01", b"\x01\x05\x00\x01", b"\x01\x04\x00\x05\x02"]
)
def test_options_whose_lengths_do_not_add_up_are_dropped_whole(data: bytes) -> None:
    automaton = up()
    sent(automaton)
    with pytest.raises(frame.WireError):
        automaton.receive(control(1, 3, data), 0.0)
    assert sent(automaton) == []


def test_naks_turn_into_rejects_after_max_failure() -> None:
    automaton = up()
    sent(automaton)
    for identifier in range(8):
        automaton.receive(control(1, identifier, b"\x01\x04\x00\x00"), 0.0)
    assert [code for code, _, _ in sent(automaton)] == [3] * 5 + [4] * 3
    assert automaton.naks == automaton.naks_since_ack == 5


def test_a_peer_that_naks_for_ever_is_given_up() -> None:
    automaton = up()
    answers = 0
    while automaton.state is State.REQ_SENT:
        identifier = sent(automaton)[-1][1]
        answers += 1
        automaton.receive(control(3, identifier, b"\x63\x04\x00\x01"), 0.0)
    assert answers == 5 + REFUSALS_MAX + 1
    assert automaton.state is State.STOPPED
    assert automaton.failed


def test_a_peer_that_acknowledges_but_never_asks_is_given_up() -> None:
    automaton = up()
    now = 0.0
    requests = 0
    while automaton.restart_at is not None:
        for code, identifier, data in sent(automaton):
            if code == frame.CONFIGURE_REQUEST:
                requests += 1
                automaton.receive(control(2, identifier, data), now)
        now = automaton.restart_at or now
        automaton.timeout(now)
    assert automaton.state is State.STOPPED
    assert requests == 101


def test_code_reject_of_a_nak_does_not_go_round_and_round() -> None:
    automaton = up()
    automaton.receive(control(1, 3, b"\x01\x04\x00\x00"), 0.0)
    nak = control(*sent(automaton)[-1])
    automaton.receive(control(7, 9, nak), 0.0)
    assert automaton.state is State.REQ_SENT
    automaton.receive(control(1, 4, b"\x01\x04\x00\x00"), 0.0)
    assert sent(automaton) == [(4, 4, b"\x01\x04\x00\x00")]


@pytest.mark.parametrize("code", [1, 2, 4])
def test_code_reject_of_a_code_that_we_cannot_do_without_ends_the_protocol(code: int) -> None:
    automaton = opened()
    automaton.receive(control(7, 9, control(code, 1)), 0.0)
    assert automaton.state is State.STOPPING
    assert automaton.failed


@pytest.mark.parametrize("code", [5, 6, 7, 9, 12, 200])
def test_code_reject_of_other_codes_is_harmless_and_not_answered(code: int) -> None:
    automaton = opened()
    automaton.receive(control(7, 9, control(code, 1)), 0.0)
    assert automaton.state is State.OPENED
    assert sent(automaton) == []


def test_an_unknown_code_is_rejected_with_its_packet_cut_to_the_peers_mru() -> None:
    automaton = opened()
    automaton.lower.peer_mru = 20
    automaton.receive(control(99, 5, bytes(60)), 0.0)
    assert sent(automaton) == [(7, 1, control(99, 5, bytes(60))[:16])]


def test_terminate_is_sent_twice_and_then_it_is_over() -> None:
    automaton = opened()
    automaton.close(0.0)
    automaton.timeout(3.0)
    automaton.timeout(6.0)
    assert [code for code, _, _ in sent(automaton)] == [5, 5]
    assert automaton.state is State.CLOSED


def test_rejected_options_are_not_asked_for_again_until_the_next_negotiation() -> None:
    automaton = up()
    automaton.receive(control(4, 1, b"\x01\x04\x00\x07"), 0.0)
    assert sent(automaton)[-1] == (1, 2, b"")
    with pytest.raises(frame.WireError):
        automaton.receive(control(4, 2, b"\x01\x04\x00\x07"), 0.0)


def test_a_record_brings_the_same_state_back() -> None:
    automaton = opened()
    other = example()
    other.restore(automaton.to_record(10.0), 500.0)
    assert other.state is State.OPENED
    assert other.asked == automaton.asked
    assert other.granted == automaton.granted
    assert other.to_record(500.0) == automaton.to_record(10.0)
