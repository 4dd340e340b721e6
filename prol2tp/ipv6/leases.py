"""Who on the link has which address and prefix: the resources that the owner gave, and the client's identity
associations that hold them.

One subscriber is behind a point-to-point link, perhaps with another DUID or IAID after a change of router. So a
resource that somebody else holds is free for whoever asks for it by Request, and is not for whoever renews.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network
from typing import Any, NamedTuple

from prol2tp.ipv6.dhcpv6 import IA, INFINITY
from prol2tp.ipv6.outputs import AddressLeased, AddressReleased, Output, PrefixDelegated, PrefixReleased
from prol2tp.ipv6.packet import UNSPECIFIED


@dataclass(slots=True)
class Lease:
    """What the owner gives to the link. Lifetimes and T1, T2 are seconds, `INFINITY` for ever."""

    addresses: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()
    preferred_lifetime: int = 3600
    valid_lifetime: int = 7200
    t1: int = 0
    """When the client is to renew; 0: half the preferred lifetime (RFC 8415 section 21.4)."""
    t2: int = 0
    """When the client is to rebind; 0: 0.8 of it."""

    def times(self) -> tuple[int, int]:
        """T1 and T2 as they are sent."""
        if self.preferred_lifetime == INFINITY:
            return self.t1 or INFINITY, self.t2 or INFINITY
        t1, t2 = self.t1 or self.preferred_lifetime // 2, self.t2 or self.preferred_lifetime * 4 // 5
        return min(t1, t2), t2


class Resource(NamedTuple):
    """An address (`length` 128, not `delegated`) or a prefix to delegate."""

    delegated: bool
    octets: bytes
    length: int

    def text(self) -> str:
        if self.delegated:
            return f"{IPv6Address(self.octets)}/{self.length}"
        return str(IPv6Address(self.octets))


@dataclass(slots=True)
class Binding:
    duid: bytes
    iaid: int
    expires_at: float
    """`inf` for ever."""


def resources(lease: Lease) -> tuple[Resource, ...]:
    """Raises `ValueError` for what is no address or prefix, or lifetimes that cannot be sent."""
    if not 0 <= lease.preferred_lifetime <= lease.valid_lifetime <= INFINITY:
        raise ValueError("preferred for longer than valid")
    if not 0 <= lease.t1 <= INFINITY or not 0 <= lease.t2 <= INFINITY:
        raise ValueError("T1 and T2: seconds of 32 bits")
    found = []
    for text in lease.addresses:
        found.append(Resource(False, IPv6Address(text).packed, 128))
    for text in lease.prefixes:
        network = IPv6Network(text)
        found.append(Resource(True, network.network_address.packed, network.prefixlen))
    return tuple(dict.fromkeys(found))


class Leases:
    """The bindings of one link. Changes append to `outputs`."""

    __slots__ = ("lease", "resources", "bindings", "declined", "_outputs")

    def __init__(self, lease: Lease, outputs: list[Output]) -> None:
        self.lease = lease
        self.resources = resources(lease)
        self.bindings: dict[Resource, Binding] = {}
        self.declined: set[Resource] = set()
        self._outputs = outputs

    def replace(self, lease: Lease) -> None:
        """Another lease: what it does not have is released at once."""
        wanted = resources(lease)
        self.lease, self.resources = lease, wanted
        for resource in [one for one in self.bindings if one not in wanted]:
            self.release(resource)
        self.declined = set()

    def allot(self, duid: bytes, ias: Sequence[IA], delegated: bool, take_over: bool) -> list[list[Resource]]:
        """For each IA what it holds or may have. Nothing is bound yet.

        What an IA of this client holds stays there; then what an IA names, by itself or by its length alone; then
        every IA without any gets one; the first gets the rest.
        """
        place = {ia.iaid: number for number, ia in enumerate(ias)}
        allotted: list[list[Resource]] = [[] for _ in ias]
        free: dict[Resource, None] = {}
        for resource in self.resources:
            if resource.delegated is not delegated or resource in self.declined:
                continue
            binding = self.bindings.get(resource)
            holder = place.get(binding.iaid) if binding is not None and binding.duid == duid else None
            if holder is not None:
                allotted[holder].append(resource)
            elif binding is None or take_over:
                free[resource] = None
        for number, ia in enumerate(ias):
            for item in ia.items:
                named = Resource(delegated, item.octets, item.length)
                if item.octets == UNSPECIFIED:
                    named = next((one for one in free if one.length == item.length), named)
                if named in free:
                    del free[named]
                    allotted[number].append(named)
        for given in allotted:
            if not given and free:
                given.append(next(iter(free)))
                del free[given[0]]
        if free:
            allotted[0] += free
        return allotted

    def bind(self, resource: Resource, duid: bytes, iaid: int, now: float) -> None:
        """For the lease's valid lifetime from now."""
        valid = self.lease.valid_lifetime
        known = resource in self.bindings
        self.bindings[resource] = Binding(duid, iaid, float("inf") if valid == INFINITY else now + valid)
        if not known:
            text = resource.text()
            self._outputs.append(PrefixDelegated(text) if resource.delegated else AddressLeased(text))

    def release(self, resource: Resource) -> None:
        del self.bindings[resource]
        self._released(resource)

    def _released(self, resource: Resource) -> None:
        text = resource.text()
        self._outputs.append(PrefixReleased(text) if resource.delegated else AddressReleased(text))

    def held(self, duid: bytes, ia: IA, delegated: bool) -> Iterator[Resource]:
        """What this IA holds."""
        for resource in self.resources:
            binding = self.bindings.get(resource)
            if binding is None or resource.delegated is not delegated:
                continue
            if binding.duid == duid and binding.iaid == ia.iaid:
                yield resource

    def expire(self, now: float) -> None:
        for resource in [one for one, binding in self.bindings.items() if binding.expires_at <= now]:
            self.release(resource)

    def clear(self) -> None:
        for resource in list(self.bindings):
            self.release(resource)

    def deadline(self) -> float | None:
        soonest = min((binding.expires_at for binding in self.bindings.values()), default=float("inf"))
        return None if soonest == float("inf") else soonest

    def to_record(self, now: float) -> dict[str, Any]:
        return {
            "bindings": [
                {
                    "delegated": resource.delegated,
                    "octets": resource.octets.hex(),
                    "length": resource.length,
                    "duid": binding.duid.hex(),
                    "iaid": binding.iaid,
                    "remaining": None if binding.expires_at == float("inf") else binding.expires_at - now,
                }
                for resource, binding in self.bindings.items()
            ],
            "declined": [resource.octets.hex() for resource in self.declined],
        }

    def restore(self, record: dict[str, Any], now: float) -> None:
        """Bindings of a record; those that the lease does not have any more are put out as released."""
        for row in record["bindings"]:
            resource = Resource(bool(row["delegated"]), bytes.fromhex(row["octets"]), int(row["length"]))
            if len(resource.octets) != 16:
                raise ValueError(f"address of {len(resource.octets)} octets")
            remaining = row["remaining"]
            expires_at = float("inf") if remaining is None else now + remaining
            if resource in self.resources:
                self.bindings[resource] = Binding(bytes.fromhex(row["duid"]), int(row["iaid"]), expires_at)
            else:
                self._released(resource)
        declined = set(record["declined"])
        self.declined = {
            one for one in self.resources if not one.delegated and one.octets.hex() in declined
        }
