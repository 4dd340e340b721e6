"""L2TP of the kernel over generic netlink (linux/l2tp.h): tunnels on our sockets, and sessions in them.

All requests block for a moment, so they belong on the link thread.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from struct import Struct

NETLINK_GENERIC = 16
_CONTROLLER, _GET_FAMILY = 16, 3
_FAMILY_ID, _FAMILY_NAME, _GROUPS = 1, 2, 7
_GROUP_NAME, _GROUP_ID = 1, 2
_NLMSG_ERROR = 2
_F_REQUEST, _F_ACK = 0x01, 0x04
_NESTED = 0x3FFF  # mask: the flag bits of an attribute's type off
_NLMSG = Struct("=IHHII")
_GENL = Struct("=BBH")
_NLA = Struct("=HH")
_U8, _U16, _U32, _U64, _INT = (Struct("=" + kind) for kind in "BHIQi")

TUNNEL_CREATE, TUNNEL_DELETE, SESSION_CREATE, SESSION_DELETE, SESSION_MODIFY, SESSION_GET = 1, 2, 5, 6, 7, 8

PW_TYPE, ENCAP_TYPE, L2SPEC_TYPE, PROTO_VERSION, IFNAME, CONN_ID, PEER_CONN_ID = 1, 2, 5, 7, 8, 9, 10
SESSION_ID, PEER_SESSION_ID, COOKIE, PEER_COOKIE = 11, 12, 15, 16
RECV_SEQ, SEND_SEQ, LNS_MODE, RECV_TIMEOUT, FD, STATS = 18, 19, 20, 22, 23, 30
_FORMS = {
    PW_TYPE: _U16, ENCAP_TYPE: _U16, L2SPEC_TYPE: _U8, PROTO_VERSION: _U8, CONN_ID: _U32, PEER_CONN_ID: _U32,
    SESSION_ID: _U32, PEER_SESSION_ID: _U32, RECV_SEQ: _U8, SEND_SEQ: _U8, LNS_MODE: _U8, RECV_TIMEOUT: _U64, FD: _INT,
}  # fmt: skip
"""Attributes that are numbers; the others are octets."""
PW_ETH, PW_PPP = 5, 7
ENCAP_UDP, ENCAP_IP = 0, 1
L2SPEC_NONE, L2SPEC_DEFAULT = 0, 1


@dataclass(slots=True)
class Stats:
    """What the kernel has counted for a session. Octets are without L2TP header."""

    tx_packets: int = 0
    tx_octets: int = 0
    tx_errors: int = 0
    rx_packets: int = 0
    rx_octets: int = 0
    rx_errors: int = 0
    rx_out_of_sequence: int = 0
    rx_discards: int = 0


_STAT_ATTRIBUTES = (1, 2, 3, 4, 5, 8, 7, 6)
"""TX_PACKETS, TX_BYTES, TX_ERRORS, RX_PACKETS, RX_BYTES, RX_ERRORS, RX_OOS_PACKETS, RX_SEQ_DISCARDS."""


def attribute(kind: int, value: bytes | int) -> bytes:
    octets = value if isinstance(value, bytes) else _FORMS[kind].pack(value)
    return _NLA.pack(4 + len(octets), kind) + octets + bytes(-len(octets) % 4)


def attributes(data: bytes) -> dict[int, bytes]:
    """What follows one another in `data`, by type."""
    found = {}
    at = 0
    while at + 4 <= len(data):
        length, kind = _NLA.unpack_from(data, at)
        if length < 4:
            break
        found[kind & _NESTED] = data[at + 4:at + length]
        at += (length + 3) & ~3
    return found


class GenericSocket:
    """A blocking generic netlink socket bound to the family l2tp. Methods raise `OSError`.

    :ivar group: number of the multicast group that hears of tunnels and sessions.
    """

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_GENERIC)
        try:
            self.socket.bind((0, 0))
            self._sequence = 0
            self.family, self.group = self._resolve()
        except OSError:
            self.socket.close()
            raise

    def close(self) -> None:
        self.socket.close()

    def _resolve(self) -> tuple[int, int]:
        found = self._ask(_CONTROLLER, _GET_FAMILY, 1, attribute(_FAMILY_NAME, b"l2tp\0"))
        group = 0
        for entry in attributes(found.get(_GROUPS, b"")).values():
            fields = attributes(entry)
            if fields.get(_GROUP_NAME, b"").rstrip(b"\0") == b"l2tp":
                group = _U32.unpack(fields[_GROUP_ID])[0]
        return _U16.unpack(found[_FAMILY_ID])[0], group

    def _ask(self, family: int, command: int, version: int, body: bytes, flags: int = _F_REQUEST | _F_ACK
             ) -> dict[int, bytes]:
        """-> attributes of the answer, if there is one before the acknowledgement."""
        self._sequence += 1
        payload = _GENL.pack(command, version, 0) + body
        self.socket.send(_NLMSG.pack(_NLMSG.size + len(payload), family, flags, self._sequence, 0) + payload)
        answer: dict[int, bytes] = {}
        while True:
            data = self.socket.recv(65536)
            at = 0
            while at + _NLMSG.size <= len(data):
                length, kind, _, sequence, _ = _NLMSG.unpack_from(data, at)
                body = data[at + _NLMSG.size:at + length]
                at += (length + 3) & ~3
                if sequence != self._sequence:
                    continue
                if kind != _NLMSG_ERROR:
                    answer = attributes(body[_GENL.size:])
                    continue
                code = -_INT.unpack_from(body)[0]
                if code:
                    raise OSError(code, os.strerror(code))
                return answer

    def _l2tp(self, command: int, fields: dict[int, bytes | int]) -> dict[int, bytes]:
        body = b"".join([attribute(kind, value) for kind, value in fields.items()])
        return self._ask(self.family, command, 1, body)

    # -- requests --

    def tunnel_create(self, descriptor: int, version: int, tunnel_id: int, peer_tunnel_id: int, over_ip: bool) -> None:
        """A tunnel on a connected socket of ours, which must stay open as long as it."""
        self._l2tp(TUNNEL_CREATE, {
            CONN_ID: tunnel_id, PEER_CONN_ID: peer_tunnel_id, PROTO_VERSION: version,
            ENCAP_TYPE: ENCAP_IP if over_ip else ENCAP_UDP, FD: descriptor})

    def tunnel_delete(self, tunnel_id: int) -> None:
        self._l2tp(TUNNEL_DELETE, {CONN_ID: tunnel_id})

    def session_create(self, tunnel_id: int, session_id: int, peer_session_id: int,
                       **fields: bytes | int) -> None:
        """`fields`: names of attributes in lower case."""
        more = {globals()[name.upper()]: value for name, value in fields.items()}
        self._l2tp(SESSION_CREATE, {CONN_ID: tunnel_id, SESSION_ID: session_id, PEER_SESSION_ID: peer_session_id,
                                    **more})

    def session_modify(self, tunnel_id: int, session_id: int, **fields: int) -> None:
        """As `session_create`."""
        more: dict[int, bytes | int] = {globals()[name.upper()]: value for name, value in fields.items()}
        self._l2tp(SESSION_MODIFY, {CONN_ID: tunnel_id, SESSION_ID: session_id, **more})

    def session_delete(self, tunnel_id: int, session_id: int) -> None:
        self._l2tp(SESSION_DELETE, {CONN_ID: tunnel_id, SESSION_ID: session_id})

    def session_get(self, tunnel_id: int, session_id: int) -> tuple[str, Stats]:
        """-> its interface, empty where there is none, and what was counted."""
        found = self._l2tp(SESSION_GET, {CONN_ID: tunnel_id, SESSION_ID: session_id})
        stats = attributes(found.get(STATS, b""))
        numbers = [_U64.unpack(stats[kind])[0] if kind in stats else 0 for kind in _STAT_ATTRIBUTES]
        return found.get(IFNAME, b"").rstrip(b"\0").decode(errors="replace"), Stats(*numbers)


def deleted(data: bytes) -> list[tuple[int, int]]:
    """-> (tunnel id, session id) of each deletion in a datagram of the multicast group; session 0: the tunnel."""
    gone = []
    at = 0
    while at + _NLMSG.size + _GENL.size <= len(data):
        length = _NLMSG.unpack_from(data, at)[0]
        if length < _NLMSG.size + _GENL.size:
            break
        command = data[at + _NLMSG.size]
        if command in (TUNNEL_DELETE, SESSION_DELETE):
            found = attributes(data[at + _NLMSG.size + _GENL.size:at + length])
            session = found.get(SESSION_ID, bytes(4)) if command == SESSION_DELETE else bytes(4)
            gone.append((_U32.unpack(found.get(CONN_ID, bytes(4)))[0], _U32.unpack(session)[0]))
        at += (length + 3) & ~3
    return gone
