"""Tunnel attributes of an Access-Accept (RFC 2868): one group per tag, best first."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from prol2tp.common.wire import WireError
from prol2tp.radius import packets, values
from prol2tp.radius.dictionary import ATTRIBUTES, Key

LARGEST_TAG = 0x1F
NO_PREFERENCE = 0xFFFFFF
"""Groups without Tunnel-Preference come last."""


@dataclass(slots=True)
class TunnelGroup:
    """One tunnel that the user's session may be put into."""

    tag: int
    type: int | None = None
    medium: int | None = None
    client_endpoint: str = ""
    server_endpoint: str = ""
    password: bytes = field(default=b"", repr=False)
    private_group_id: str = ""
    assignment_id: str = ""
    """Sessions with the same one share a tunnel."""
    preference: int = NO_PREFERENCE
    """Lower is better; equal ones share the load."""
    client_auth_id: str = ""
    server_auth_id: str = ""


_FIELDS = {
    "Tunnel-Type": "type",
    "Tunnel-Medium-Type": "medium",
    "Tunnel-Client-Endpoint": "client_endpoint",
    "Tunnel-Server-Endpoint": "server_endpoint",
    "Tunnel-Password": "password",
    "Tunnel-Private-Group-ID": "private_group_id",
    "Tunnel-Assignment-ID": "assignment_id",
    "Tunnel-Preference": "preference",
    "Tunnel-Client-Auth-ID": "client_auth_id",
    "Tunnel-Server-Auth-ID": "server_auth_id",
}


class TunnelReader:
    """Collects the attributes of one packet.

    Attributes with tag 0 hold for every group that does not say otherwise; alone they are a group of their own.
    """

    __slots__ = ("_packet", "_groups")

    KEYS: ClassVar[dict[Key, tuple[str, bool, bool]]] = {
        ATTRIBUTES[name].key: (to, ATTRIBUTES[name].type == "integer", ATTRIBUTES[name].salted)
        for name, to in _FIELDS.items()
    }

    def __init__(self, packet: packets.Packet) -> None:
        self._packet = packet
        self._groups: dict[int, dict[str, object]] = {}

    def read(self, key: Key, value: bytes) -> None:
        """Raises `WireError`."""
        name, number, salted = self.KEYS[key]
        found: object
        if number:
            tag, found = values.exactly(value, 4)[0], int.from_bytes(value[1:], "big")
            if tag > LARGEST_TAG:
                raise WireError("bad tag")
        elif salted:
            # the tag is always there (RFC 2868 section 3.5); some leave it out, which the length shows
            tagged = len(value) % 16 != 2
            tag = value[0] if tagged and value and value[0] <= LARGEST_TAG else 0
            found = packets.salted(self._packet, value[1:] if tagged else value)
        else:
            tagged = bool(value) and value[0] <= LARGEST_TAG
            tag = value[0] if tagged else 0
            found = values.text(value[1:] if tagged else value)
        # the first counts
        self._groups.setdefault(tag, {}).setdefault(name, found)

    def groups(self) -> tuple[TunnelGroup, ...]:
        shared = self._groups.pop(0, {})
        if not self._groups:
            self._groups[0] = {}
        made = [TunnelGroup(tag, **{**shared, **own}) for tag, own in self._groups.items()]  # type: ignore[arg-type]
        return tuple(sorted(made, key=lambda group: (group.preference, group.tag)))
