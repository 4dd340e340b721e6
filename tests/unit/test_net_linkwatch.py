"""What rtnetlink tells of links, as octets."""

from __future__ import annotations

import random
import struct

from prol2tp.net.linkwatch import IFF_RUNNING, IFF_UP, RTM_DELLINK, RTM_NEWLINK, changes


def message(kind: int, ifindex: int, flags: int, family: int = 0, attributes: bytes = b"") -> bytes:
    body = struct.pack("=BxHiII", family, 1, ifindex, flags, 0xFFFFFFFF) + attributes
    whole = struct.pack("=IHHII", 16 + len(body), kind, 0, 0, 0) + body
    return whole + bytes(-len(whole) % 4)


def test_changes_are_read_one_by_one() -> None:
    datagram = (message(RTM_NEWLINK, 3, IFF_UP | IFF_RUNNING, attributes=bytes(5)) + message(RTM_NEWLINK, 4, 0)
                + message(RTM_DELLINK, 3, IFF_UP))
    assert changes(datagram) == [(3, IFF_UP | IFF_RUNNING), (4, 0), (3, None)]


def test_bridges_and_other_messages_are_left_out() -> None:
    assert changes(message(RTM_NEWLINK, 3, IFF_UP, family=7) + message(20, 3, IFF_UP)) == []


def test_what_is_cut_off_is_survived() -> None:
    whole = message(RTM_NEWLINK, 3, IFF_UP)
    for length in range(len(whole)):
        assert changes(whole[:length]) == []
    choice = random.Random(1)
    for _ in range(2000):
        changes(choice.randbytes(choice.randrange(80)))
