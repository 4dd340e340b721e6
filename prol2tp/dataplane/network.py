"""Addresses, routes and interface settings: what the system's network is told about a session's interface.

`INetwork` is the contract, `LinuxNetwork` the real one over netlink, `MemoryNetwork` the one for tests. Requests
are carried out in the order in which they are made, so a caller may make several and wait for all of them.
Everything fails with `net.netlink.NetlinkError`. What was set on an interface goes with the interface.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from ipaddress import IPv4Network, ip_address, ip_network
from typing import Any

from twisted.internet.defer import Deferred, DeferredLock, fail, inlineCallbacks, succeed
from zope.interface import Interface, implementer

from prol2tp.net import messages, netlink, rtnetlink, sysctl
from prol2tp.net.defaultroute import DefaultRoutes
from prol2tp.net.netlink import NetlinkError, NetlinkSocket, allow

DEFAULT_ROUTE = "0.0.0.0/0"
NETWORKS_AGE = 10.0
"""Seconds for which the networks of the system's interfaces are remembered (proxy ARP)."""


class INetwork(Interface):
    """The network settings of one namespace. Every operation returns a Deferred; None unless it says else."""

    def start():
        """Open what is needed."""

    def stop():
        """Close; what was set stays."""

    def link_set(ifindex: int, mtu: int | None = None, up: bool | None = None, link_local: bool | None = None,
                 master: int | None = None, alias: str | None = None, carrier: bool | None = None):
        """Change an interface. `link_local` False: the kernel makes no IPv6 link-local address of its own (must
        come before `up`). `master`: a VRF or bridge; 0 takes it out. `carrier`: whether a TUN or TAP
        has a cable."""

    def ipv6_set(name: str, accept_ra: bool, default_router: bool):
        """*At once, no Deferred.* Whether the interface takes addresses from router advertisements, and default routes
        too (`net.sysctl.ipv6_settings`). Raises `OSError`."""

    def address_add(ifindex: int, local: str, peer: str = "", routed: bool = True):
        """Our address; a length after a slash is taken as it is, without one it is the whole address. With `peer`
        the interface is point to point, and the kernel routes the peer's address to it, unless `routed` is False."""

    def address_delete(ifindex: int, local: str, peer: str = ""):
        """Take an address away that `address_add` set with the same arguments."""

    def route_add(prefix: str, ifindex: int, via: str = "", table: int = 0, metric: int = 0, onlink: bool = False,
                  beside: bool = False):
        """Route a network to an interface. `table` 0: the main one. `onlink`: the gateway `via` is behind the
        interface, whether there is a route to it or not. A route that is there already is an EEXIST; with `beside`
        only one to the same interface, and of several IPv4 routes the newest counts."""

    def route_delete(prefix: str, ifindex: int, via: str = "", table: int = 0, metric: int = 0):
        """Take a route away."""

    def rule_add(device: str, table: int, ipv6: bool = False, defaults: bool = True):
        """Let packets that come from a device look into a routing table first, without `defaults` not at its default
        routes. `lo`: packets of the system itself. A rule does not go with its device."""

    def rule_delete(device: str, table: int, ipv6: bool = False, defaults: bool = True):
        """Take such a rule away."""

    def vrf(name: str):
        """-> Deferred((index, table)) of a VRF device; ENODEV when there is none of that name, ENOTSUP when it is
        another kind of device."""

    def default_route_add(ifindex: int, via: str = "", ipv6: bool = False, replace: bool = False,
                          keep: str = ""):
        """-> Deferred(saved). A default route; with `replace` it comes before those that are there (metric 0), and
        `saved` is what `default_route_restore` needs. Without it an existing one is an EEXIST. `keep` is an address
        whose way must not change, such as the tunnel's peer: it gets a route of its own like the default route that
        it took."""

    def default_route_restore(saved: object):
        """Undo what `default_route_add` did beside its route, after that has gone."""

    def left_behind(saved: object):
        """-> list, at once: what of `default_route_add` stays in the main table when its interface goes and nobody
        restores, as (prefix, index, gateway)."""

    def proxy_arp_add(address: str):
        """-> Deferred(int). Answer ARP for an IPv4 address on the interface whose network it is in; its index, or
        0 if there is none."""

    def proxy_arp_delete(address: str, ifindex: int):
        """Take it away."""


def _host(address: str) -> str:
    return address if "/" in address else f"{address}/{ip_address(address).max_prefixlen}"


def refused(number: int, text: str = "") -> NetlinkError:
    """An error as the kernel would give it."""
    return NetlinkError(number, text or os.strerror(number))


@implementer(INetwork)
class LinuxNetwork:
    """The network namespace that the process is in, over netlink.

    :param reactor: for the socket.
    :param open_socket: gives the `NetlinkSocket`.
    """

    name = "linux"

    def __init__(self, reactor: Any, open_socket: Callable[[Any], NetlinkSocket] = NetlinkSocket) -> None:
        self._reactor = reactor
        self._open = open_socket
        self._netlink: NetlinkSocket | None = None
        self._dumps = DeferredLock()
        """The kernel refuses a dump while it is at one for the same socket."""
        self._networks: list[tuple[IPv4Network, int]] = []
        self._networks_until = 0.0
        self._defaults = DefaultRoutes(self._request, self._dumps)

    def start(self) -> Deferred[None]:
        try:
            self._netlink = self._open(self._reactor)
        except OSError as error:
            return fail(refused(error.errno or errno.EIO))
        return succeed(None)

    def stop(self) -> Deferred[None]:
        if self._netlink is not None:
            self._netlink.close()
            self._netlink = None
        return succeed(None)

    def _request(self, kind: int, payload: bytes, flags: int = 0) -> Deferred[Any]:
        if self._netlink is None:
            return fail(refused(errno.ESHUTDOWN))
        return self._netlink.request(kind, payload, flags)

    def link_set(self, ifindex: int, mtu: int | None = None, up: bool | None = None,
                 link_local: bool | None = None, master: int | None = None, alias: str | None = None,
                 carrier: bool | None = None) -> Deferred[None]:
        done = self._request(rtnetlink.RTM_SETLINK, rtnetlink.link(ifindex, mtu, up, link_local, master, alias,
                                                                 carrier))
        if link_local is False:
            # a host without IPv6 makes no link-local addresses either
            done.addErrback(allow, errno.EAFNOSUPPORT)
        return done.addCallback(_nothing)

    def ipv6_set(self, name: str, accept_ra: bool, default_router: bool) -> None:
        sysctl.write(name, sysctl.ipv6_settings(accept_ra, default_router))

    def address_add(self, ifindex: int, local: str, peer: str = "", routed: bool = True) -> Deferred[None]:
        payload = rtnetlink.address(ifindex, local, peer, routed)
        return self._request(rtnetlink.RTM_NEWADDR, payload, _NEW).addCallback(_nothing)

    def address_delete(self, ifindex: int, local: str, peer: str = "") -> Deferred[None]:
        payload = rtnetlink.address(ifindex, local, peer)
        return self._request(rtnetlink.RTM_DELADDR, payload).addCallback(_nothing)

    def route_add(self, prefix: str, ifindex: int, via: str = "", table: int = 0, metric: int = 0,
                  onlink: bool = False, beside: bool = False) -> Deferred[None]:
        payload = rtnetlink.route(prefix, ifindex, via, table, metric, onlink)
        flags = netlink.NLM_F_CREATE if beside else _NEW
        return self._request(rtnetlink.RTM_NEWROUTE, payload, flags).addCallback(_nothing)

    def route_delete(self, prefix: str, ifindex: int, via: str = "", table: int = 0, metric: int = 0
                     ) -> Deferred[None]:
        payload = rtnetlink.route(prefix, ifindex, via, table, metric)
        return self._request(rtnetlink.RTM_DELROUTE, payload).addCallback(_nothing)

    def rule_add(self, device: str, table: int, ipv6: bool = False, defaults: bool = True) -> Deferred[None]:
        payload = rtnetlink.rule(device, table, ipv6, defaults)
        return self._request(rtnetlink.RTM_NEWRULE, payload, _NEW).addCallback(_nothing)

    def rule_delete(self, device: str, table: int, ipv6: bool = False, defaults: bool = True) -> Deferred[None]:
        payload = rtnetlink.rule(device, table, ipv6, defaults)
        return self._request(rtnetlink.RTM_DELRULE, payload).addCallback(_nothing)

    def vrf(self, name: str) -> Deferred[tuple[int, int]]:
        return self._request(rtnetlink.RTM_GETLINK, rtnetlink.link_by_name(name)).addCallback(_vrf)

    # what is rare: with pyroute2's messages

    def default_route_add(self, ifindex: int, via: str = "", ipv6: bool = False, replace: bool = False,
                          keep: str = "") -> Any:
        return self._defaults.add(ifindex, via, ipv6, replace, keep)

    def default_route_restore(self, saved: Any) -> Any:
        return self._defaults.restore(saved)

    def left_behind(self, saved: Any) -> list[tuple[str, int, str]]:
        return self._defaults.left_behind(saved)

    @inlineCallbacks
    def proxy_arp_add(self, address: str) -> Any:
        wanted = ip_address(address)
        best, length = 0, -1
        for network, ifindex in (yield self._local_networks()):
            if length < network.prefixlen and wanted in network:
                best, length = ifindex, network.prefixlen
        if best:
            yield self._request(rtnetlink.RTM_NEWNEIGH, messages.proxy(address, best),
                                netlink.NLM_F_CREATE | netlink.NLM_F_REPLACE)
        return best

    @inlineCallbacks
    def _local_networks(self) -> Any:
        """IPv4 networks that interfaces are in, with the interface's index; looked up again after a while, because
        the kernel lists the addresses of all links for it."""
        yield self._dumps.acquire()
        try:
            if self._reactor.seconds() >= self._networks_until:
                ask = messages.encoded("ifaddrmsg", {"family": rtnetlink.AF_INET}, [])
                parts = yield self._request(rtnetlink.RTM_GETADDR, ask, netlink.NLM_F_DUMP)
                found = [messages.decoded("ifaddrmsg", part) for part in parts if part[messages.LENGTH_AT] < 32]
                self._networks = [(IPv4Network(f"{one.get_attr('IFA_ADDRESS')}/{one['prefixlen']}", strict=False),
                                   one["index"]) for one in found]
                self._networks_until = self._reactor.seconds() + NETWORKS_AGE
        finally:
            self._dumps.release()
        return self._networks

    def proxy_arp_delete(self, address: str, ifindex: int) -> Deferred[None]:
        done = self._request(rtnetlink.RTM_DELNEIGH, messages.proxy(address, ifindex))
        return done.addErrback(allow, errno.ENOENT, errno.ENODEV).addCallback(_nothing)


_NEW = netlink.NLM_F_CREATE | netlink.NLM_F_EXCL


def _vrf(parts: list[bytes]) -> tuple[int, int]:
    found = rtnetlink.vrf(parts[0]) if parts else None
    if found is None:
        raise refused(errno.ENOTSUP, "this device is no VRF")
    return found


def _nothing(_: Any) -> None:
    return None


@implementer(INetwork)
class MemoryNetwork:
    """Remembers what it was told. `requests` counts operations; an entry in `refuse` (operation name: errno)
    fails them.

    :param interfaces: indexes that exist; None: any.
    """

    name = "memory"

    def __init__(self, interfaces: set[int] | None = None) -> None:
        self.interfaces = interfaces
        self.links: dict[int, dict[str, Any]] = {}
        self.addresses: dict[tuple[int, str], str] = {}
        self.routes: dict[tuple[str, int, int], tuple[int, str]] = {}
        """The one that counts for each (prefix, table, metric)."""
        self.beside: dict[tuple[str, int, int], list[tuple[int, str]]] = {}
        """Older ones to other interfaces, the newest last."""
        self.unrouted: set[tuple[int, str]] = set()
        """Addresses that were added without the route to the peer."""
        self.rules: set[tuple[str, int, bool]] = set()
        self.vrfs: dict[str, tuple[int, int]] = {}
        """VRF devices: index and table."""
        self.proxies: set[tuple[str, int]] = set()
        self.settings: dict[str, dict[str, str]] = {}
        """Of `ipv6_set`, by interface."""
        self.networks: dict[str, int] = {}
        """Networks for proxy ARP: prefix to interface index."""
        self.refuse: dict[str, int] = {}
        self.requests = 0

    def start(self) -> Deferred[None]:
        return succeed(None)

    def stop(self) -> Deferred[None]:
        return succeed(None)

    def removed(self, ifindex: int) -> None:
        """The interface is gone, and all that was set on it."""
        if self.interfaces is not None:
            self.interfaces.discard(ifindex)
        self.links.pop(ifindex, None)
        self.addresses = {key: value for key, value in self.addresses.items() if key[0] != ifindex}
        self.unrouted = {key for key in self.unrouted if key[0] != ifindex}
        for key in list(self.routes):
            self._unroute(key, lambda route: route[0] == ifindex)

    def _error(self, operation: str, ifindex: int) -> NetlinkError | None:
        self.requests += 1
        if operation in self.refuse:
            return refused(self.refuse[operation])
        if self.interfaces is not None and ifindex not in self.interfaces:
            return refused(errno.ENODEV)
        return None

    def link_set(self, ifindex: int, mtu: int | None = None, up: bool | None = None,
                 link_local: bool | None = None, master: int | None = None, alias: str | None = None,
                 carrier: bool | None = None) -> Deferred[None]:
        if error := self._error("link_set", ifindex):
            return fail(error)
        given = {"mtu": mtu, "up": up, "link_local": link_local, "master": master, "alias": alias,
                 "carrier": carrier}
        link = self.links.setdefault(ifindex, {})
        link.update((key, value) for key, value in given.items() if value is not None)
        return succeed(None)

    def ipv6_set(self, name: str, accept_ra: bool, default_router: bool) -> None:
        self.settings[name] = sysctl.ipv6_settings(accept_ra, default_router)

    def address_add(self, ifindex: int, local: str, peer: str = "", routed: bool = True) -> Deferred[None]:
        if error := self._error("address_add", ifindex):
            return fail(error)
        key = (ifindex, f"{_host(local)} {_host(peer)}" if peer else _host(local))
        if key in self.addresses:
            return fail(refused(errno.EEXIST))
        self.addresses[key] = peer
        if not routed:
            self.unrouted.add(key)
        return succeed(None)

    def address_delete(self, ifindex: int, local: str, peer: str = "") -> Deferred[None]:
        if error := self._error("address_delete", ifindex):
            return fail(error)
        key = (ifindex, f"{_host(local)} {_host(peer)}" if peer else _host(local))
        self.unrouted.discard(key)
        if self.addresses.pop(key, None) is None:
            return fail(refused(errno.EADDRNOTAVAIL))
        return succeed(None)

    def route_add(self, prefix: str, ifindex: int, via: str = "", table: int = 0, metric: int = 0,
                  onlink: bool = False, beside: bool = False) -> Deferred[None]:
        if error := self._error("route_add", ifindex):
            return fail(error)
        key = (str(ip_network(prefix, strict=False)), table, metric)
        if key in self.routes:
            older = [*self.beside.get(key, ()), self.routes[key]]
            if not beside or any(index == ifindex for index, _ in older):
                return fail(refused(errno.EEXIST))
            self.beside[key] = older
        self.routes[key] = (ifindex, via)
        return succeed(None)

    def route_delete(self, prefix: str, ifindex: int, via: str = "", table: int = 0, metric: int = 0
                     ) -> Deferred[None]:
        if error := self._error("route_delete", ifindex):
            return fail(error)
        key = (str(ip_network(prefix, strict=False)), table, metric)
        if not self._unroute(key, lambda route: route == (ifindex, via)):
            return fail(refused(errno.ESRCH))
        return succeed(None)

    def _unroute(self, key: tuple[str, int, int], gone: Callable[[tuple[int, str]], bool]) -> bool:
        """Remove routes; an older one counts again. -> whether there was one."""
        known = [*self.beside.pop(key, ()), *([self.routes.pop(key)] if key in self.routes else ())]
        left = [route for route in known if not gone(route)]
        if left:
            self.routes[key] = left.pop()
        if left:
            self.beside[key] = left
        return len(left) + (key in self.routes) < len(known)

    def rule_add(self, device: str, table: int, ipv6: bool = False, defaults: bool = True) -> Deferred[None]:
        self.requests += 1
        if "rule_add" in self.refuse:
            return fail(refused(self.refuse["rule_add"]))
        if (device, table, ipv6) in self.rules:
            return fail(refused(errno.EEXIST))
        self.rules.add((device, table, ipv6))
        return succeed(None)

    def rule_delete(self, device: str, table: int, ipv6: bool = False, defaults: bool = True) -> Deferred[None]:
        self.requests += 1
        if (device, table, ipv6) not in self.rules:
            return fail(refused(errno.ENOENT))
        self.rules.discard((device, table, ipv6))
        return succeed(None)

    def vrf(self, name: str) -> Deferred[tuple[int, int]]:
        self.requests += 1
        return succeed(self.vrfs[name]) if name in self.vrfs else fail(refused(errno.ENODEV))

    def default_route_add(self, ifindex: int, via: str = "", ipv6: bool = False, replace: bool = False,
                          keep: str = "") -> Deferred[Any]:
        key = ("::/0" if ipv6 else "0.0.0.0/0", 0, 0)
        saved = [(key, self.routes.pop(key))] if replace and key in self.routes else []
        pinned = None
        if saved and keep and (":" in keep) == ipv6:
            pinned = (_host(keep), 0, 0)
            self.routes[pinned] = saved[0][1]
        done = self.route_add(key[0], ifindex, via)

        def failed(failure: Any) -> Any:
            return self.default_route_restore((saved, pinned)).addCallback(lambda _: failure)

        return done.addCallbacks(lambda _: (saved, pinned), failed)

    def default_route_restore(self, saved: Any) -> Deferred[None]:
        self.requests += 1
        routes, pinned = saved
        self.routes.pop(pinned, None)
        for key, value in routes:
            self.routes.setdefault(key, value)
        return succeed(None)

    def left_behind(self, saved: Any) -> list[tuple[str, int, str]]:
        pinned = saved[1] if saved is not None else None
        return [(pinned[0], *self.routes[pinned])] if pinned in self.routes else []

    def proxy_arp_add(self, address: str) -> Deferred[int]:
        wanted = ip_address(address)
        found = next((index for prefix, index in self.networks.items() if wanted in ip_network(prefix)), 0)
        if error := self._error("proxy_arp_add", found) if found else None:
            return fail(error)
        if found:
            self.proxies.add((address, found))
        return succeed(found)

    def proxy_arp_delete(self, address: str, ifindex: int) -> Deferred[None]:
        self.requests += 1
        self.proxies.discard((address, ifindex))
        return succeed(None)
