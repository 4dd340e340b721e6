"""What the cores of this package ask of their shell, in the order in which to carry it out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from prol2tp.radius.answer import Answer

if TYPE_CHECKING:
    from prol2tp.radius.dynauth import DynamicRequest


@dataclass(slots=True)
class OpenLane:
    """Make a UDP socket for `lane`, connected to `address` and `port`. Before the first Transmit on it."""

    lane: int
    address: str
    port: int
    source_address: str
    """Empty: the system's choice."""
    device: str
    """VRF or interface to bind to; empty: none."""


@dataclass(slots=True)
class CloseLane:
    lane: int


@dataclass(slots=True)
class Transmit:
    lane: int
    data: bytes


@dataclass(slots=True)
class Accepted:
    handle: int
    answer: Answer
    server: str


@dataclass(slots=True)
class Rejected:
    handle: int
    answer: Answer
    server: str
    """Empty: nobody was asked."""
    reason: str = ""
    """Not the server said no but we, for this reason."""


@dataclass(slots=True)
class Challenged:
    """Ask again with `answer.state`, and `server` preferred."""

    handle: int
    answer: Answer
    server: str


@dataclass(slots=True)
class AccountingAcknowledged:
    handle: int
    server: str


@dataclass(slots=True)
class NoAnswer:
    """No server answered in time, or the request could not be sent. The caller keeps an accounting record."""

    handle: int
    reason: str
    unsendable: bool = False
    """No server will ever get it: it cannot be written as a packet."""


@dataclass(slots=True)
class ServerDead:
    server: str
    kind: str
    """'auth' or 'acct'."""


@dataclass(slots=True)
class ServerAlive:
    server: str
    kind: str


@dataclass(slots=True)
class AnswerDropped:
    """An answer was not believed; said once in a while, so that a wrong secret is seen."""

    server: str
    kind: str
    reason: str


@dataclass(slots=True)
class Respond:
    """Dynamic authorization: a datagram to `peer`, from the address that it had asked."""

    data: bytes
    peer: tuple[str, int]
    local: tuple[str, int]


@dataclass(slots=True)
class Asked:
    """A verified Disconnect-Request or CoA-Request. Answer `acknowledge(handle, now)` or
    `refuse(handle, cause, now)`."""

    handle: int
    request: DynamicRequest


@dataclass(slots=True)
class Discarded:
    """Dynamic authorization: a datagram was dropped; said once for each sender and reason."""

    peer: tuple[str, int]
    reason: str


Output = (
    OpenLane
    | CloseLane
    | Transmit
    | Accepted
    | Rejected
    | Challenged
    | AccountingAcknowledged
    | NoAnswer
    | ServerDead
    | ServerAlive
    | AnswerDropped
    | Respond
    | Asked
    | Discarded
)
