"""IPv6 Control Protocol (RFC 5072): each end gets an interface identifier that differs from the other's."""

from __future__ import annotations

from ipaddress import IPv6Address
from typing import Any

from prol2tp.ppp import frame, options
from prol2tp.ppp.automaton import Automaton
from prol2tp.ppp.lower import Lower
from prol2tp.ppp.settings import Grant, LinkSettings

INTERFACE_ID = 1

# IPv6-Compression-Protocol (2) is left out: it is answered with Configure-Reject
OPTIONS = options.table(
    #  type        name                    flag     format length more default
    (INTERFACE_ID, "Interface-Identifier", "ifid", "hex", 8, False, b""),
)

NONE = bytes(8)
_UNIVERSAL = 0x02 << 56
_LINK_LOCAL = b"\xfe\x80" + bytes(6)


def link_local(identifier: bytes) -> str:
    return str(IPv6Address(_LINK_LOCAL + identifier))


class IPV6CP(Automaton):
    __slots__ = ("our_identifier", "peer_identifier", "_solicited", "_proposed")

    NAME = "IPV6CP"
    PROTOCOL = frame.IPV6CP
    OPTIONS = OPTIONS

    def __init__(self, lower: Lower, settings: LinkSettings) -> None:
        super().__init__(lower, settings)
        self.our_identifier = settings.local_interface_id.to_bytes(8, "big")
        """All zero until one was drawn."""
        self.peer_identifier = settings.peer_interface_id.to_bytes(8, "big")
        """What the peer gets; all zero: what it asks for."""
        self._solicited = False
        self._proposed = NONE

    def assign(self, grant: Grant) -> None:
        given = grant.peer_interface_id
        self.peer_identifier = (self.settings.peer_interface_id if given is None else given).to_bytes(8, "big")

    def _draw(self) -> bytes:
        """A random identifier, not of universal scope (RFC 5072 section 4.1: u bit clear), unlike both of ours."""
        taken = (NONE, self.our_identifier, self.peer_identifier, self.asked.get(INTERFACE_ID))
        drawn = int.from_bytes(self.lower.random_bytes(8), "big") & ~_UNIVERSAL
        while drawn.to_bytes(8, "big") in taken:
            drawn = (drawn + 1) & (1 << 64) - 1 & ~_UNIVERSAL
        return drawn.to_bytes(8, "big")

    def begin(self) -> None:
        self._solicited = False
        if self.our_identifier == NONE:
            self.our_identifier = self._draw()
        self.asked[INTERFACE_ID] = self.our_identifier

    def naked(self, kind: int, data: bytes) -> None:
        """RFC 5072 section 4.1: take the suggestion, unless it is none, or our own comes back: then draw."""
        usable = len(data) == 8 and data not in (NONE, self._proposed, self.granted.get(INTERFACE_ID))
        self.asked[INTERFACE_ID] = data if usable else self._draw()

    def consider(self, kind: int, data: bytes) -> bytes | None:
        fixed = self.peer_identifier
        if fixed not in (NONE, data) and not self.settings.accept_remote:
            return fixed
        if data in (NONE, self.asked.get(INTERFACE_ID, self.our_identifier)):
            return self.propose(kind)
        return data

    def propose(self, kind: int) -> bytes | None:
        mine = self.asked.get(INTERFACE_ID, self.our_identifier)
        self._proposed = self.peer_identifier if self.peer_identifier not in (NONE, mine) else self._draw()
        return self._proposed

    def missing(self, granted: dict[int, bytes]) -> list[int]:
        """Asked for once; a peer that does not negotiate its identifier gets one on our side only."""
        if INTERFACE_ID in granted or self._solicited:
            return []
        self._solicited = True
        return [INTERFACE_ID]

    def addresses(self) -> tuple[str, str] | None:
        """Link-local addresses, ours and the peer's."""
        mine = self.asked.get(INTERFACE_ID, self.our_identifier)
        his = self.granted.get(INTERFACE_ID, self.peer_identifier)
        return link_local(mine), link_local(his)

    @property
    def dns(self) -> tuple[str, ...]:
        """IPv6CP carries no name servers."""
        return ()

    nbns = dns

    @property
    def want(self) -> tuple[str, ...]:
        return ("ifid",)

    allow = want

    def to_record(self, now: float) -> dict[str, Any]:
        record = super().to_record(now)
        record["identifiers"] = [self.our_identifier.hex(), self.peer_identifier.hex()]
        return record

    def restore(self, record: dict[str, Any], now: float) -> None:
        super().restore(record, now)
        self.our_identifier, self.peer_identifier = (bytes.fromhex(value) for value in record["identifiers"])
