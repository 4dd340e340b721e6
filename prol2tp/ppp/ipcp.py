"""Internet Protocol Control Protocol (RFC 1332), with name server addresses (RFC 1877)."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address
from typing import Any

from prol2tp.ppp import frame, options
from prol2tp.ppp.automaton import Automaton
from prol2tp.ppp.lower import Lower
from prol2tp.ppp.settings import Grant, LinkSettings

IP_ADDRESS = 3
PRIMARY_DNS = 129
PRIMARY_NBNS = 130
SECONDARY_DNS = 131
SECONDARY_NBNS = 132

# IP-Addresses (1) and IP-Compression-Protocol (2, VJ) are left out: they are answered with Configure-Reject
OPTIONS = options.table(
    #  type      name          flag       format     length more default
    (IP_ADDRESS, "IP-Address", "negaddr", "address", 4, False, b""),
    (PRIMARY_DNS, "Primary-DNS-Address", "dns1", "address", 4, False, b""),
    (PRIMARY_NBNS, "Primary-NBNS-Address", "wins1", "address", 4, False, b""),
    (SECONDARY_DNS, "Secondary-DNS-Address", "dns2", "address", 4, False, b""),
    (SECONDARY_NBNS, "Secondary-NBNS-Address", "wins2", "address", 4, False, b""),
)

_NAME_SERVERS = (PRIMARY_DNS, PRIMARY_NBNS, SECONDARY_DNS, SECONDARY_NBNS)
NONE = b"\x00\x00\x00\x00"


@lru_cache(maxsize=1024)
def octets(address: str) -> bytes:
    """Raises `ValueError` for text that is no IPv4 address."""
    return IPv4Address(address).packed if address else NONE


def text(address: bytes) -> str:
    return "{}.{}.{}.{}".format(*address)


def is_host(address: bytes) -> bool:
    """Whether one end of a link may have this address: not 0/8, 127/8, multicast, reserved or broadcast."""
    return 0 < address[0] < 224 and address[0] != 127


class IPCP(Automaton):
    __slots__ = ("our_address", "peer_address", "_dns", "_nbns", "_solicited")

    NAME = "IPCP"
    PROTOCOL = frame.IPCP
    OPTIONS = OPTIONS

    def __init__(self, lower: Lower, settings: LinkSettings) -> None:
        super().__init__(lower, settings)
        self.our_address = octets(settings.local_ip)
        """What we ask for; all zero: whatever the peer gives."""
        self.peer_address = octets(settings.peer_ip)
        """What the peer gets; all zero: whatever it asks for."""
        self._dns = settings.dns[:2]
        self._nbns = settings.nbns[:2]
        self._solicited = False
        for address in self._dns + self._nbns:
            octets(address)

    def assign(self, grant: Grant) -> None:
        """Take what an authentication answer gives, and nothing that an earlier one gave."""
        settings = self.settings
        self.our_address = octets(settings.local_ip if grant.local_ip is None else grant.local_ip)
        self.peer_address = octets(settings.peer_ip if grant.peer_ip is None else grant.peer_ip)
        self._dns = (settings.dns if grant.dns is None else grant.dns)[:2]
        self._nbns = (settings.nbns if grant.nbns is None else grant.nbns)[:2]

    # our wishes

    def begin(self) -> None:
        self._solicited = False
        self.asked[IP_ADDRESS] = self.our_address
        if self.settings.usepeerdns:
            for kind in _NAME_SERVERS:
                self.asked[kind] = NONE

    def naked(self, kind: int, data: bytes) -> None:
        if len(data) != 4:
            self.rejected(kind)
        elif kind != IP_ADDRESS:
            self.asked[kind] = data
        elif is_host(data) and (self.settings.accept_local or self.our_address == NONE):
            self.asked[IP_ADDRESS] = data

    # the peer's wishes

    def consider(self, kind: int, data: bytes) -> bytes | None:
        if kind != IP_ADDRESS:
            return self._name_server(kind)
        mine = self.asked.get(IP_ADDRESS, self.our_address)
        if self.peer_address != NONE:
            taken = self.settings.accept_remote and is_host(data) and data != mine
            return data if taken else self.peer_address
        if self.settings.auth and not self.settings.accept_remote:
            return None  # an authenticated peer has no address of its own choice
        return data if is_host(data) and data != mine else None

    def _name_server(self, kind: int) -> bytes | None:
        servers = self._dns if kind in (PRIMARY_DNS, SECONDARY_DNS) else self._nbns
        place = 1 if kind in (SECONDARY_DNS, SECONDARY_NBNS) else 0
        return octets(servers[place]) if place < len(servers) else None

    def propose(self, kind: int) -> bytes | None:
        if kind == IP_ADDRESS:
            return self.peer_address if self.peer_address != NONE else None
        return self._name_server(kind)

    def missing(self, granted: dict[int, bytes]) -> list[int]:
        """Asked for once; a peer that does not negotiate its address still gets the one that we have for it."""
        if IP_ADDRESS in granted or self._solicited:
            return []
        self._solicited = True
        return [IP_ADDRESS]

    # what was agreed

    def addresses(self) -> tuple[str, str] | None:
        """Ours and the peer's; None when the protocol cannot be used as it is."""
        mine = self.asked.get(IP_ADDRESS, self.our_address)
        his = self.granted.get(IP_ADDRESS, self.peer_address)
        if mine == NONE:
            self.failure = "no IPv4 address for us"
        elif his == NONE and self.settings.auth:
            self.failure = "no IPv4 address for the peer"
        else:
            return text(mine), text(his)
        return None

    def _learnt(self, *kinds: int) -> tuple[str, ...]:
        values = (self.asked.get(kind, NONE) for kind in kinds)
        return tuple(text(value) for value in values if value != NONE)

    @property
    def dns(self) -> tuple[str, ...]:
        """Name servers learnt from the peer."""
        return self._learnt(PRIMARY_DNS, SECONDARY_DNS)

    @property
    def nbns(self) -> tuple[str, ...]:
        return self._learnt(PRIMARY_NBNS, SECONDARY_NBNS)

    # status

    @property
    def want(self) -> tuple[str, ...]:
        words = ["negaddr"]
        if self.peer_address != NONE:
            words.append("reqaddr")
        if self.settings.usepeerdns:
            words += options.flags(OPTIONS, _NAME_SERVERS)
        return tuple(words)

    @property
    def allow(self) -> tuple[str, ...]:
        return ("negaddr", *options.flags(OPTIONS, [kind for kind in _NAME_SERVERS if self._name_server(kind)]))

    def to_record(self, now: float) -> dict[str, Any]:
        record = super().to_record(now)
        record["addresses"] = [text(self.our_address), text(self.peer_address)]
        record["servers"] = [list(self._dns), list(self._nbns)]
        return record

    def restore(self, record: dict[str, Any], now: float) -> None:
        super().restore(record, now)
        self.our_address, self.peer_address = (octets(address) for address in record["addresses"])
        self._dns, self._nbns = (tuple(servers) for servers in record["servers"])
