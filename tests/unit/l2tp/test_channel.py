"""The reliable control channel (RFC 2661 section 5.8, appendix A), on bytes alone."""

from __future__ import annotations

import json

from prol2tp.l2tp.channel import ACK_DELAY, QUEUE_LIMIT, Channel
from prol2tp.l2tp.context import Counters
from prol2tp.l2tp.settings import TunnelSettings


def make(window: int = 10, peer_window: int | None = 10, ns: int = 0, **settings: object) -> Channel:
    channel = Channel(TunnelSettings("h", rx_window_size=window, **settings), Counters(), 0.0)  # type: ignore[arg-type]
    channel.set_peer_window(peer_window)
    channel._una = channel.nr = ns
    return channel


def sent(channel: Channel) -> list[tuple[int, int, bytes]]:
    packets = [(ns, nr, body) for _, ns, nr, body in channel.outbox]
    channel.outbox.clear()
    return packets


def due(channel: Channel) -> float:
    when = channel.deadline()
    assert when is not None
    return when


def test_the_first_message_goes_out_alone_and_each_acknowledgement_opens_the_window_by_one() -> None:
    channel = make()
    for number in range(6):
        channel.send(7, bytes([number]), 0.0)
    assert sent(channel) == [(0, 0, b"\0")]
    channel.receive(0, 1, 0, b"", 0.1)
    assert sent(channel) == [(1, 0, b"\1"), (2, 0, b"\2")]
    channel.receive(0, 3, 0, b"", 0.2)
    assert sent(channel) == [(3, 0, b"\3"), (4, 0, b"\4"), (5, 0, b"\5")]
    assert channel.cwnd == 4


def test_four_acknowledged_messages_make_the_window_five() -> None:
    channel = make()
    for number in range(4):
        channel.send(0, b"m", number)
        channel.receive(0, number + 1, 0, b"", number)
    assert (channel.ns, channel.cwnd, channel.ssthresh, channel.tx_window) == (4, 5, 10, 10)


def test_the_window_never_exceeds_the_peers_and_is_four_when_the_peer_says_nothing() -> None:
    for peer_window, most in ((None, 4), (1, 1), (3, 3), (100, 10)):
        channel = make(peer_window=peer_window)
        for _ in range(30):
            channel.send(0, b"m", 0.0)
        acknowledged = 0
        for _ in range(12):
            acknowledged += len(sent(channel))
            channel.receive(0, acknowledged, 0, b"", 0.0)
            assert channel.cwnd <= most
        assert channel.cwnd == most


def test_after_a_loss_the_window_is_one_and_the_threshold_half() -> None:
    channel = make()
    for _ in range(20):
        channel.send(0, b"m", 0.0)
    channel.receive(0, 1, 0, b"", 0.0)
    channel.receive(0, 3, 0, b"", 0.0)
    channel.receive(0, 7, 0, b"", 0.0)
    assert channel.cwnd == 8
    sent(channel)
    channel.timeout(due(channel))
    assert (channel.cwnd, channel.ssthresh) == (1, 4)
    assert sent(channel) == [(7, 0, b"m")]
    channel.timeout(due(channel))
    assert (channel.cwnd, channel.ssthresh) == (1, 4)
    sent(channel)
    channel.receive(0, 8, 0, b"", 5.0)
    assert [ns for ns, _, _ in sent(channel)] == [8, 9]
    for nr in range(9, 12):
        channel.receive(0, nr, 0, b"", 5.0)
    assert channel.cwnd == 4  # slow start ends at the threshold
    channel.receive(0, 12, 0, b"", 5.0)
    assert channel.cwnd == 4
    for nr in range(13, 17):
        channel.receive(0, nr, 0, b"", 5.0)
    assert channel.cwnd == 5  # then a whole window for one more


def test_retransmission_starts_at_a_second_doubles_is_capped_and_ends() -> None:
    channel = make()
    channel.send(0, b"m", 100.0)
    times = []
    while not channel.dead:
        now = due(channel)
        channel.timeout(now)
        times.append(now - 100.0)
    assert times == [1, 3, 7, 15, 23, 31]
    assert len(sent(channel)) == 6
    assert channel.cycle() == 31
    assert channel.deadline() is None


def test_an_acknowledgement_starts_the_retransmission_time_anew() -> None:
    channel = make()
    channel.send(0, b"a", 0.0)
    channel.timeout(1.0)
    channel.timeout(3.0)
    channel.send(0, b"b", 3.0)
    channel.receive(0, 1, 0, b"", 3.5)
    assert due(channel) == 4.5
    assert channel.retries == 0


def test_a_retransmission_keeps_ns_and_refreshes_nr() -> None:
    channel = make()
    channel.send(0, b"m", 0.0)
    assert sent(channel) == [(0, 0, b"m")]
    channel.receive(0, 0, 0, b"x", 0.5)
    channel.acknowledge(0.5)
    assert sent(channel) == []
    channel.timeout(1.0)
    assert sent(channel) == [(0, 1, b"m")]


def test_a_zlb_waits_a_moment_for_a_message_to_ride_on() -> None:
    channel = make()
    assert channel.receive(0, 0, 5, b"m", 1.0) == [(5, b"m")]
    channel.acknowledge(1.0)
    assert sent(channel) == []
    assert due(channel) == 1.0 + ACK_DELAY
    channel.send(0, b"answer", 1.01)
    assert sent(channel) == [(0, 1, b"answer")]
    channel.acknowledge(1.0 + ACK_DELAY)
    assert sent(channel) == []


def test_a_zlb_is_sent_when_its_time_has_come() -> None:
    channel = make()
    channel.receive(0, 0, 5, b"m", 1.0)
    channel.acknowledge(1.0 + ACK_DELAY)
    assert sent(channel) == [(0, 1, b"")]
    assert channel.deadline() is None


def test_four_messages_or_half_a_receive_window_are_acknowledged_at_once() -> None:
    for window, most in ((32, 4), (6, 3), (1, 1)):
        channel = make(window=window)
        for ns in range(most):
            assert sent(channel) == []
            channel.receive(ns, 0, 0, b"m", 1.0)
            channel.acknowledge(1.0)
        assert sent(channel) == [(0, most, b"")]


def test_a_sender_with_the_window_that_every_peer_has_is_not_held_up_by_delayed_acknowledgements() -> None:
    ours, theirs = make(window=32), make(peer_window=4)
    theirs.cwnd = 4
    for number in range(40):
        theirs.send(0, b"%d" % number, 0.0)
    for _ in range(10):
        for _, ns, nr, body in theirs.outbox.copy():
            ours.receive(ns, nr, 0, body, 0.0)
            ours.acknowledge(0.0)
        theirs.outbox.clear()
        for _, ns, nr, body in ours.outbox.copy():
            theirs.receive(ns, nr, 0, body, 0.0)
        ours.outbox.clear()
    assert ours.nr == 40


def test_a_zlb_takes_no_number_and_is_not_answered() -> None:
    channel = make()
    for ns in (0, 1, 5, 40000):
        assert channel.receive(ns, 0, 0, b"", 1.0) == []
    channel.acknowledge(10.0)
    assert sent(channel) == []
    assert channel.nr == 0 and channel.deadline() is None


def test_a_duplicate_is_acknowledged_at_once_and_not_delivered() -> None:
    channel = make()
    channel.receive(0, 0, 0, b"m", 1.0)
    channel.acknowledge(2.0)
    sent(channel)
    for _ in range(3):
        assert channel.receive(0, 0, 0, b"m", 2.0) == []
        channel.acknowledge(2.0)
        assert sent(channel) == [(0, 1, b"")]
    assert channel.counters.duplicates == 3


def test_what_is_out_of_order_waits_within_the_window_and_is_delivered_in_order() -> None:
    channel = make(window=4)
    assert channel.receive(2, 0, 0, b"c", 1.0) == []
    assert channel.receive(3, 0, 0, b"d", 1.0) == []
    assert channel.receive(4, 0, 0, b"e", 1.0) == []  # beyond the window: dropped
    assert channel.receive(0, 0, 0, b"a", 1.0) == [(0, b"a")]
    assert channel.receive(1, 0, 0, b"b", 1.0) == [(0, b"b"), (0, b"c"), (0, b"d")]
    assert channel.receive(4, 0, 0, b"e", 1.0) == [(0, b"e")]
    assert (channel.counters.out_of_order, channel.counters.discards) == (2, 1)


def test_a_flood_of_numbers_is_bounded_by_the_receive_window() -> None:
    channel = make(window=10)
    for ns in range(1, 65536):
        channel.receive(ns, 0, 0, bytes(1000), 1.0)
    assert len(channel._early) < 10


def test_numbers_wrap_in_both_directions() -> None:
    ours, theirs = make(ns=65530), make(ns=65530)
    received: list[bytes] = []
    for number in range(20):
        ours.send(0, b"%d" % number, 0.0)
    for _ in range(40):
        for _, ns, nr, body in ours.outbox:
            received += [whole for _, whole in theirs.receive(ns, nr, 0, body, 0.0)]
        ours.outbox.clear()
        theirs.acknowledge(9.0)
        for _, ns, nr, body in theirs.outbox:
            ours.receive(ns, nr, 0, body, 0.0)
        theirs.outbox.clear()
    assert received == [b"%d" % number for number in range(20)]
    assert (ours.ns, theirs.nr) == (14, 14)


def test_an_nr_for_what_was_never_sent_is_counted_and_changes_nothing() -> None:
    channel = make()
    channel.send(0, b"m", 0.0)
    channel.receive(0, 2, 0, b"", 0.0)
    channel.receive(0, 20000, 0, b"", 0.0)
    assert channel.queued == 1 and channel.counters.bad_nr == 2


def test_an_old_nr_is_no_acknowledgement() -> None:
    channel = make(ns=100)
    channel.send(0, b"m", 0.0)
    channel.receive(0, 99, 0, b"", 0.0)
    channel.receive(0, (100 - 32768) % 65536, 0, b"", 0.0)
    assert channel.queued == 1


def test_one_acknowledgement_covers_all_before_it_even_after_a_timeout() -> None:
    channel = make()
    channel.send(0, b"a", 0.0)
    channel.receive(0, 1, 0, b"", 0.0)
    channel.send(0, b"b", 0.0)
    channel.send(0, b"c", 0.0)
    channel.timeout(1.0)
    channel.receive(0, 3, 0, b"", 1.1)
    assert channel.drained and channel.ns == 3 and channel.deadline() is None


def test_a_queue_that_the_peer_does_not_acknowledge_is_bounded() -> None:
    channel = make()
    for _ in range(QUEUE_LIMIT + 1):
        channel.send(0, b"m", 0.0)
    assert channel.dead


def test_a_stopped_channel_only_acknowledges() -> None:
    channel = make()
    channel.send(0, b"a", 0.0)
    channel.send(0, b"b", 0.0)
    sent(channel)
    channel.receive(0, 0, 0, b"stop", 0.5)
    channel.stop()
    channel.acknowledge(0.7)
    assert sent(channel) == [(1, 1, b"")]
    channel.receive(0, 0, 0, b"stop", 1.5)
    channel.acknowledge(1.5)
    assert sent(channel) == [(1, 1, b"")]
    assert channel.deadline() is None


def test_what_was_never_sent_can_be_dropped_without_a_gap_in_the_numbers() -> None:
    channel = make()
    for body in (b"a", b"b", b"c"):
        channel.send(0, body, 0.0)
    channel.drop_unsent()
    channel.send(0, b"last", 0.0)
    channel.receive(0, 1, 0, b"", 0.1)
    assert [(ns, body) for ns, _, body in sent(channel)] == [(0, b"a"), (1, b"last")]


def test_a_channel_is_written_and_read_back_in_mid_flight() -> None:
    channel = make()
    for number in range(5):
        channel.send(number, b"m%d" % number, 0.0)
    channel.receive(0, 1, 0, b"x", 0.5)
    channel.receive(3, 1, 9, b"early", 0.625)
    sent(channel)
    channel.timeout(1.5)
    sent(channel)
    record = json.loads(json.dumps(channel.to_record(2.0)))
    again = Channel.from_record(record, channel.settings, Counters(), 5002.0)
    assert again.to_record(5002.0) == record
    assert due(again) - 5002.0 == due(channel) - 2.0
    assert again.receive(1, 3, 0, b"y", 5002.1) == channel.receive(1, 3, 0, b"y", 2.1)
    assert sent(again) == sent(channel)
