"""Addresses and networks as octets: the look-up of shared interfaces, and the source check."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import ip_network
from socket import AF_INET, inet_pton
from typing import Generic, TypeVar

Value = TypeVar("Value")


@lru_cache(4096)
def parse_prefix(text: str) -> tuple[bytes, int]:
    """-> network address as octets, length in bits. Raises `ValueError`. Each is asked for several times in a row."""
    if text.endswith("/32"):
        try:  # one host, as nearly all are: a network object would cost ten times as much
            return inet_pton(AF_INET, text[:-3]), 32
        except OSError:
            pass
    network = ip_network(text, strict=False)
    return network.network_address.packed, network.prefixlen


def contains(address: bytes, network: bytes, bits: int) -> bool:
    """Whether `address` (4 or 16 octets) is in a network of the same family."""
    if len(address) != len(network):
        return False
    octets, rest = divmod(bits, 8)
    if address[:octets] != network[:octets]:
        return False
    return not rest or (address[octets] ^ network[octets]) >> (8 - rest) == 0


def is_link_local(address: bytes) -> bool:
    """An address of fe80::/10."""
    return len(address) == 16 and address[0] == 0xFE and address[1] & 0xC0 == 0x80


def allowed(address: bytes, prefixes: list[tuple[bytes, int]], link_local: bool = True) -> bool:
    """Whether an inner source address may come from a port: in its prefixes, or with `link_local` any of IPv6's."""
    if link_local and is_link_local(address):
        return True
    return any(contains(address, network, bits) for network, bits in prefixes)


class PrefixTable(Generic[Value]):
    """Longest-prefix look-up: one dict of hosts, then one dict for each prefix length in use, longest first."""

    __slots__ = ("hosts", "_lengths4", "_lengths6")

    def __init__(self) -> None:
        self.hosts: dict[bytes, Value] = {}
        """/32 and /128: the hot look-up reads this first."""
        self._lengths4: dict[int, dict[bytes, Value]] = {}
        self._lengths6: dict[int, dict[bytes, Value]] = {}

    def add(self, network: bytes, bits: int, value: Value) -> None:
        """A newer owner of the same prefix takes it over."""
        if bits == len(network) * 8:
            self.hosts[network] = value
            return
        lengths = self._lengths4 if len(network) == 4 else self._lengths6
        if bits in lengths:
            lengths[bits][network] = value
            return
        lengths[bits] = {network: value}
        ordered = sorted(lengths.items(), reverse=True)
        lengths.clear()
        lengths.update(ordered)

    def remove(self, network: bytes, bits: int, value: Value) -> None:
        """Nothing happens if another owner has it by now."""
        if bits == len(network) * 8:
            if self.hosts.get(network) is value:
                del self.hosts[network]
            return
        lengths = self._lengths4 if len(network) == 4 else self._lengths6
        table = lengths.get(bits)
        if table is None or table.get(network) is not value:
            return
        del table[network]
        if not table:
            del lengths[bits]

    def find(self, address: bytes) -> Value | None:
        """The value of the longest prefix that holds `address`."""
        value = self.hosts.get(address)
        if value is not None:
            return value
        size = len(address)
        if size not in (4, 16):
            return None
        lengths = self._lengths4 if size == 4 else self._lengths6
        for bits, table in lengths.items():
            octets, rest = divmod(bits, 8)
            if rest:
                mask = 0xFF00 >> rest & 0xFF
                key = address[:octets] + bytes((address[octets] & mask,)) + bytes(size - octets - 1)
            else:
                key = address[:octets] + bytes(size - octets)
            value = table.get(key)
            if value is not None:
                return value
        return None
