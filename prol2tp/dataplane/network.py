"""Addresses, routes and interface settings: what the system's network is told about a session's interface.

`INetwork` is the contract, `LinuxNetwork` the real one over netlink, `MemoryNetwork` the one for tests. Requests are
carried out in the order in which they are made, so a caller may make several and wait for all of them. Everything
fails with `net.netlink.NetlinkError`. What was set on an interface goes with the interface.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from ipaddress import ip_address, ip_interface, ip_network
from typing import Any

from twisted.internet.defer import Deferred, fail, inlineCallbacks, succeed
from zope.interface import Interface, implementer

from prol2tp.net import netlink
from prol2tp.net.netlink import NetlinkError, NetlinkSocket

TABLE_MAIN = 254


class INetwork(Interface):
    """The network settings of one namespace. Every operation returns a Deferred; None unless it says else."""

    def start():
        """Open what is needed."""

    def stop():
        """Close; what was set stays."""

    def link_set(ifindex: int, mtu: int | None = None, up: bool | None = None, link_local: bool | None = None,
                 master: int | None = None, alias: str | None = None):
        """Change an interface. `link_local` False: the kernel makes no IPv6 link-local address of its own (must come
        before `up`). `master`: a VRF or bridge; 0 takes it out."""

    def address_add(ifindex: int, local: str, peer: str = ""):
        """Our address; a length after a slash is taken as it is, without one it is the whole address. With `peer` the
        interface is point to point, and the kernel routes the peer's address to it."""

    def address_delete(ifindex: int, local: str, peer: str = ""):
        """Take an address away that `address_add` set with the same arguments."""

    def route_add(prefix: str, ifindex: int, via: str = "", table: int = 0, metric: int = 0):
        """Route a network to an interface. `table` 0: the main one. A route that is there already is an EEXIST."""

    def route_delete(prefix: str, ifindex: int, via: str = "", table: int = 0, metric: int = 0):
        """Take a route away."""

    def default_route_add(ifindex: int, via: str = "", ipv6: bool = False, replace: bool = False, keep: str = ""):
        """-> Deferred(saved). A default route; with `replace` the ones that are there (metric 0) give way, and
        `saved` is what `default_route_restore` needs. Without it an existing one is an EEXIST. `keep` is an address
        whose way must not change, such as the tunnel's peer: it gets a route like the one that gave way."""

    def default_route_restore(saved: object):
        """Put the replaced default routes back, after ours has gone. Ones whose interface is gone are left out."""

    def proxy_arp_add(address: str):
        """-> Deferred(int). Answer ARP for an IPv4 address on the interface whose network it is in; its index, or 0
        if there is none."""

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

    def start(self) -> Deferred[None]:
        # takes a quarter of a second and some megabytes, which only a daemon that sets addresses should pay
        global _pyroute2
        import pyroute2.netlink.rtnl as rtnl
        from pyroute2.netlink.rtnl import ifaddrmsg, ifinfmsg, ndmsg, rtmsg

        _pyroute2 = (ifinfmsg.ifinfmsg, ifaddrmsg.ifaddrmsg, rtmsg.rtmsg, ndmsg.ndmsg, rtnl)
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

    def _request(self, message: Any, kind: str, flags: int = 0) -> Deferred[Any]:
        if self._netlink is None:
            return fail(refused(errno.ESHUTDOWN))
        return self._netlink.request(message, getattr(_pyroute2[4], kind), flags)

    def link_set(self, ifindex: int, mtu: int | None = None, up: bool | None = None, link_local: bool | None = None,
                 master: int | None = None, alias: str | None = None) -> Deferred[None]:
        message = _pyroute2[0]()
        message["index"] = ifindex
        if up is not None:
            message["flags"] = _IFF_UP if up else 0
            message["change"] = _IFF_UP
        attributes: list[tuple[str, Any]] = []
        if mtu is not None:
            attributes.append(("IFLA_MTU", mtu))
        if master is not None:
            attributes.append(("IFLA_MASTER", master))
        if alias is not None:
            attributes.append(("IFLA_IFALIAS", alias))
        if link_local is not None:
            mode = {"attrs": [("IFLA_INET6_ADDR_GEN_MODE", 0 if link_local else 1)]}
            attributes.append(("IFLA_AF_SPEC", {"attrs": [("AF_INET6", mode)]}))
        message["attrs"] = attributes
        done = self._request(message, "RTM_SETLINK")
        if link_local is False:
            # a host without IPv6 makes no link-local addresses either
            done.addErrback(_allow, errno.EAFNOSUPPORT)
        return done.addCallback(_nothing)

    def _address(self, ifindex: int, local: str, peer: str) -> Any:
        ours = ip_interface(local)
        message = _pyroute2[1]()
        message["family"] = _FAMILY[ours.version]
        message["index"] = ifindex
        other = ip_interface(peer) if peer else ours
        message["prefixlen"] = other.network.prefixlen
        message["attrs"] = [("IFA_LOCAL", str(ours.ip)), ("IFA_ADDRESS", str(other.ip))]
        if ours.version == 6:
            # two nodes only: nobody to ask whether the address is free
            message["flags"] = _IFA_F_NODAD
        return message

    def address_add(self, ifindex: int, local: str, peer: str = "") -> Deferred[None]:
        message = self._address(ifindex, local, peer)
        return self._request(message, "RTM_NEWADDR", netlink.NLM_F_CREATE | netlink.NLM_F_EXCL).addCallback(_nothing)

    def address_delete(self, ifindex: int, local: str, peer: str = "") -> Deferred[None]:
        return self._request(self._address(ifindex, local, peer), "RTM_DELADDR").addCallback(_nothing)

    def _route(self, prefix: str, ifindex: int, via: str, table: int, metric: int) -> Any:
        network = ip_network(prefix, strict=False)
        table = table or TABLE_MAIN
        message = _pyroute2[2]()
        message["family"] = _FAMILY[network.version]
        message["dst_len"] = network.prefixlen
        message["table"] = table if table < 256 else 0
        message["proto"] = _RTPROT_STATIC
        message["type"] = _RTN_UNICAST
        message["scope"] = _RT_SCOPE_UNIVERSE if via or network.version == 6 else _RT_SCOPE_LINK
        attributes: list[tuple[str, Any]] = [("RTA_TABLE", table), ("RTA_OIF", ifindex)]
        if network.prefixlen:
            attributes.append(("RTA_DST", str(network.network_address)))
        if via:
            attributes.append(("RTA_GATEWAY", via))
        if metric:
            attributes.append(("RTA_PRIORITY", metric))
        message["attrs"] = attributes
        return message

    def route_add(self, prefix: str, ifindex: int, via: str = "", table: int = 0, metric: int = 0
                  ) -> Deferred[None]:
        message = self._route(prefix, ifindex, via, table, metric)
        return self._request(message, "RTM_NEWROUTE", netlink.NLM_F_CREATE | netlink.NLM_F_EXCL).addCallback(_nothing)

    def route_delete(self, prefix: str, ifindex: int, via: str = "", table: int = 0, metric: int = 0
                     ) -> Deferred[None]:
        return self._request(self._route(prefix, ifindex, via, table, metric), "RTM_DELROUTE").addCallback(_nothing)

    @inlineCallbacks
    def default_route_add(self, ifindex: int, via: str = "", ipv6: bool = False, replace: bool = False,
                          keep: str = "") -> Any:
        saved: list[Any] = []
        kept = None
        if replace:
            routes = yield self._default_routes(_FAMILY[6 if ipv6 else 4])
            if keep and (":" in keep) == ipv6 and (yield self._through(keep, routes)):
                fields, attributes = routes[0]
                kept = ({**fields, "dst_len": ip_address(keep).max_prefixlen}, [*attributes, ("RTA_DST", keep)])
                done = self._request(_message(*kept), "RTM_NEWROUTE", netlink.NLM_F_CREATE | netlink.NLM_F_EXCL)
                yield done.addErrback(_allow, errno.EEXIST)
            for route in routes:
                yield self._request(_message(*route), "RTM_DELROUTE").addErrback(_allow, errno.ESRCH)
                saved.append(route)
        try:
            yield self.route_add("::/0" if ipv6 else "0.0.0.0/0", ifindex, via)
        except NetlinkError:
            yield self.default_route_restore((saved, kept))
            raise
        return saved, kept

    @inlineCallbacks
    def _through(self, address: str, routes: list[Any]) -> Any:
        """Whether packets to the address take one of these default routes."""
        if not routes:
            return False
        ask = _pyroute2[2]()
        ask["family"] = _FAMILY[ip_address(address).version]
        ask["dst_len"] = ip_address(address).max_prefixlen
        ask["attrs"] = [("RTA_DST", address)]
        try:
            parts = yield self._request(ask, "RTM_GETROUTE")
        except NetlinkError:
            return False
        found = _pyroute2[2](parts[0])
        found.decode()
        return found.get_attr("RTA_GATEWAY") is not None and any(
            ("RTA_GATEWAY", found.get_attr("RTA_GATEWAY")) in attributes for _, attributes in routes)

    @inlineCallbacks
    def _default_routes(self, family: int) -> Any:
        """Default routes of the main table with metric 0: what `_message` makes them of."""
        ask = _pyroute2[2]()
        ask["family"] = family
        parts = yield self._request(ask, "RTM_GETROUTE", netlink.NLM_F_DUMP)
        routes = []
        for part in parts:
            route = _pyroute2[2](part)
            route.decode()
            if (route["dst_len"] or route["type"] != _RTN_UNICAST or route.get_attr("RTA_PRIORITY")
                    or (route.get_attr("RTA_TABLE") or route["table"]) != TABLE_MAIN):
                continue
            routes.append((
                {field: route[field] for field in _ROUTE_FIELDS},
                [(name, route.get_attr(name)) for name in _ROUTE_ATTRIBUTES if route.get_attr(name) is not None],
            ))
        return routes

    @inlineCallbacks
    def default_route_restore(self, saved: Any) -> Any:
        routes, kept = saved
        if kept is not None:
            yield self._request(_message(*kept), "RTM_DELROUTE").addErrback(_allow, errno.ESRCH, errno.ENODEV)
        for route in routes:
            done = self._request(_message(*route), "RTM_NEWROUTE", netlink.NLM_F_CREATE | netlink.NLM_F_APPEND)
            yield done.addErrback(_allow, errno.ENODEV, errno.ENETUNREACH, errno.EEXIST, errno.EINVAL, errno.ENETDOWN)

    @inlineCallbacks
    def proxy_arp_add(self, address: str) -> Any:
        ask = _pyroute2[1]()
        ask["family"] = _FAMILY[4]
        wanted = ip_address(address)
        best, length = 0, -1
        for part in (yield self._request(ask, "RTM_GETADDR", netlink.NLM_F_DUMP)):
            found = _pyroute2[1](part)
            found.decode()
            network = ip_network(f"{found.get_attr('IFA_ADDRESS')}/{found['prefixlen']}", strict=False)
            if length < network.prefixlen < network.max_prefixlen and wanted in network:
                best, length = found["index"], network.prefixlen
        if best:
            yield self._request(self._proxy(address, best), "RTM_NEWNEIGH",
                                netlink.NLM_F_CREATE | netlink.NLM_F_REPLACE)
        return best

    def _proxy(self, address: str, ifindex: int) -> Any:
        message = _pyroute2[3]()
        message["family"] = _FAMILY[4]
        message["ifindex"] = ifindex
        message["flags"] = _NTF_PROXY
        message["state"] = _NUD_PERMANENT
        message["attrs"] = [("NDA_DST", address)]
        return message

    def proxy_arp_delete(self, address: str, ifindex: int) -> Deferred[None]:
        done = self._request(self._proxy(address, ifindex), "RTM_DELNEIGH")
        return done.addErrback(_allow, errno.ENOENT, errno.ENODEV).addCallback(_nothing)


_pyroute2: tuple[Any, ...] = ()
_FAMILY = {4: 2, 6: 10}
_IFF_UP = 1
_IFA_F_NODAD = 2
_RTPROT_STATIC, _RTN_UNICAST, _RT_SCOPE_UNIVERSE, _RT_SCOPE_LINK = 4, 1, 0, 253
_NTF_PROXY, _NUD_PERMANENT = 8, 128
_ROUTE_FIELDS = ("family", "dst_len", "src_len", "tos", "table", "proto", "scope", "type")
_ROUTE_ATTRIBUTES = ("RTA_TABLE", "RTA_OIF", "RTA_GATEWAY", "RTA_PREFSRC", "RTA_METRICS", "RTA_MULTIPATH", "RTA_VIA",
                     "RTA_PREF")


def _message(fields: dict[str, int], attributes: list[tuple[str, Any]]) -> Any:
    """A route message."""
    message = _pyroute2[2]()
    for name, value in fields.items():
        message[name] = value
    message["attrs"] = attributes
    return message


def _nothing(_: Any) -> None:
    return None


def _allow(failure: Any, *numbers: int) -> None:
    failure.trap(NetlinkError)
    if failure.value.errno not in numbers:
        raise failure.value


@implementer(INetwork)
class MemoryNetwork:
    """Remembers what it was told. `requests` counts operations; an entry in `refuse` (operation name: errno) fails
    them.

    :param interfaces: indexes that exist; None: any.
    """

    name = "memory"

    def __init__(self, interfaces: set[int] | None = None) -> None:
        self.interfaces = interfaces
        self.links: dict[int, dict[str, Any]] = {}
        self.addresses: dict[tuple[int, str], str] = {}
        self.routes: dict[tuple[str, int, int], tuple[int, str]] = {}
        self.proxies: set[tuple[str, int]] = set()
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
        self.routes = {key: value for key, value in self.routes.items() if value[0] != ifindex}

    def _error(self, operation: str, ifindex: int) -> NetlinkError | None:
        self.requests += 1
        if operation in self.refuse:
            return refused(self.refuse[operation])
        if self.interfaces is not None and ifindex not in self.interfaces:
            return refused(errno.ENODEV)
        return None

    def link_set(self, ifindex: int, mtu: int | None = None, up: bool | None = None, link_local: bool | None = None,
                 master: int | None = None, alias: str | None = None) -> Deferred[None]:
        if error := self._error("link_set", ifindex):
            return fail(error)
        given = {"mtu": mtu, "up": up, "link_local": link_local, "master": master, "alias": alias}
        self.links.setdefault(ifindex, {}).update((key, value) for key, value in given.items() if value is not None)
        return succeed(None)

    def address_add(self, ifindex: int, local: str, peer: str = "") -> Deferred[None]:
        if error := self._error("address_add", ifindex):
            return fail(error)
        key = (ifindex, f"{_host(local)} {_host(peer)}" if peer else _host(local))
        if key in self.addresses:
            return fail(refused(errno.EEXIST))
        self.addresses[key] = peer
        return succeed(None)

    def address_delete(self, ifindex: int, local: str, peer: str = "") -> Deferred[None]:
        if error := self._error("address_delete", ifindex):
            return fail(error)
        key = (ifindex, f"{_host(local)} {_host(peer)}" if peer else _host(local))
        if self.addresses.pop(key, None) is None:
            return fail(refused(errno.EADDRNOTAVAIL))
        return succeed(None)

    def route_add(self, prefix: str, ifindex: int, via: str = "", table: int = 0, metric: int = 0
                  ) -> Deferred[None]:
        if error := self._error("route_add", ifindex):
            return fail(error)
        key = (str(ip_network(prefix, strict=False)), table, metric)
        if key in self.routes:
            return fail(refused(errno.EEXIST))
        self.routes[key] = (ifindex, via)
        return succeed(None)

    def route_delete(self, prefix: str, ifindex: int, via: str = "", table: int = 0, metric: int = 0
                     ) -> Deferred[None]:
        if error := self._error("route_delete", ifindex):
            return fail(error)
        key = (str(ip_network(prefix, strict=False)), table, metric)
        if self.routes.get(key) != (ifindex, via):
            return fail(refused(errno.ESRCH))
        del self.routes[key]
        return succeed(None)

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
