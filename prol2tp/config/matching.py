"""Which tunnel profile serves a request: by the peer's address and by the host name that it gives.

All criteria that a profile gives have to match. The longest prefix wins; among equal prefixes one that also
gives the host name. The cost is one look-up for each prefix length in use, however many profiles there are.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from prol2tp.config.types import IPNetwork

_EVERYONE: tuple[IPNetwork, ...] = (ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0"))


class ProfileIndex:
    """Names of profiles by criteria."""

    __slots__ = ("_by_length",)

    def __init__(self) -> None:
        # by version: prefix length -> network number -> host name or None -> profile
        self._by_length: dict[int, dict[int, dict[int, dict[str | None, str]]]] = {4: {}, 6: {}}

    def add(self, name: str, peers: Sequence[IPNetwork], host_names: Sequence[str]) -> str | None:
        """Enter a profile; a profile without criteria is not entered. The name of another profile with a
        criterion equal to one of this, if there is one."""
        if not peers and not host_names:
            return None
        for network in peers or _EVERYONE:
            lengths = self._by_length[network.version]
            networks = lengths.get(network.prefixlen)
            if networks is None:
                networks = lengths[network.prefixlen] = {}
                # longest first, so that look-up can stop at the first match
                self._by_length[network.version] = dict(sorted(lengths.items(), reverse=True))
            profiles = networks.setdefault(int(network.network_address), {})
            for host_name in host_names or (None,):
                other = profiles.setdefault(host_name, name)
                if other != name:
                    return other
        return None

    def find(self, peer_ip: str, host_name: str) -> str | None:
        """The profile for a peer, or None. An IPv4 address in IPv6 form counts as IPv4. Raises `ValueError`
        when `peer_ip` is no address."""
        address = ipaddress.ip_address(peer_ip)
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        number, bits = int(address), address.max_prefixlen
        for length, networks in self._by_length[address.version].items():
            profiles = networks.get(number >> (bits - length) << (bits - length))
            if profiles is not None:
                found = profiles.get(host_name) or profiles.get(None)
                if found is not None:
                    return found
        return None
