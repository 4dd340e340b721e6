"""What the IPv6 cores of a link ask of their shell, in the order in which to carry it out."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class SendPacket:
    """One IPv6 packet to the subscriber."""

    packet: bytes = field(repr=False)


@dataclass(slots=True)
class AddressLeased:
    """The client has this address (IA_NA): route it to the link. The packet that tells the client follows."""

    address: str


@dataclass(slots=True)
class AddressReleased:
    """Given back, expired or withdrawn: no route any more."""

    address: str


@dataclass(slots=True)
class AddressDeclined:
    """The client found the address in use elsewhere; `AddressReleased` has come before. It is not leased again until
    the owner gives another lease."""

    address: str


@dataclass(slots=True)
class PrefixDelegated:
    """The client has this prefix (IA_PD): route it to the link. The packet that tells the client follows."""

    prefix: str


@dataclass(slots=True)
class PrefixReleased:
    """Given back, expired or withdrawn: no route any more."""

    prefix: str


Output = SendPacket | AddressLeased | AddressReleased | AddressDeclined | PrefixDelegated | PrefixReleased
