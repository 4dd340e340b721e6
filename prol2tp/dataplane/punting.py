"""IPv6 packets that the peer means for our daemon, not for the interface: Router Solicitations and DHCPv6. Pure.

They are told apart by what they are, whatever the peer puts before them; how often a port may hand them up is bounded.
"""

from __future__ import annotations

from collections.abc import Iterable

from prol2tp.common.bucket import Bucket
from prol2tp.dataplane.packets import ICMPV6, UDP, upper_layer6
from prol2tp.dataplane.prefixes import is_link_local

PUNTS = ("ra", "dhcpv6")
"""What `NetifSpec.punt` may name."""

SOLICITATION = b"\x85"
"""First octet of a Router Solicitation: ICMPv6 type 133."""
DHCPV6_SERVER = b"\x02\x23"
"""UDP port 547 (RFC 8415 section 7.2)."""
ALL_ROUTERS = b"\xff\x02" + bytes(13) + b"\x02"
ALL_DHCP_RELAY_AGENTS_AND_SERVERS = b"\xff\x02" + bytes(10) + b"\0\x01\0\x02"
UNSPECIFIED = bytes(16)

BURST = 20
INTERVAL = 0.1
"""Of a port: so many at once, then one each interval (seconds); a client asks once in some seconds."""


class Punting:
    """What one port hands up."""

    __slots__ = ("_ra", "_dhcpv6", "_bucket")

    def __init__(self, words: Iterable[str], now: float) -> None:
        words = tuple(words)
        self._ra = "ra" in words
        self._dhcpv6 = "dhcpv6" in words
        self._bucket = Bucket(BURST, INTERVAL, now)

    def wants(self, packet: bytes) -> bool:
        """Whether an IPv6 packet, 40 octets or more, is one of them: a Router Solicitation to all routers or to a
        link-local address (RFC 4861 section 4.1), or UDP to the DHCPv6 server's port on either."""
        destination = packet[24:40]
        direct = is_link_local(destination)
        if self._dhcpv6 and (direct or destination == ALL_DHCP_RELAY_AGENTS_AND_SERVERS):
            protocol, start = upper_layer6(packet)
            if protocol == UDP and packet[start + 2:start + 4] == DHCPV6_SERVER:
                return True
        if self._ra and (direct or destination == ALL_ROUTERS):
            protocol, start = upper_layer6(packet)
            return protocol == ICMPV6 and packet[start:start + 1] == SOLICITATION
        return False

    def source_allowed(self, packet: bytes) -> bool:
        """Whether its source is one that a host may have before it has any other: a link-local address, or for
        a Router Solicitation none at all."""
        source = packet[8:24]
        return is_link_local(source) or (source == UNSPECIFIED and upper_layer6(packet)[0] == ICMPV6)

    def admits(self, now: float) -> bool:
        """Whether the port may hand up one more now; it counts as done then."""
        return self._bucket.take(now)
