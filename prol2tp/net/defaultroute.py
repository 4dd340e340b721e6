"""Default routes that come before those of the system, and the way to an address that must not change with them."""

from __future__ import annotations

import errno
from collections.abc import Callable
from ipaddress import ip_address
from typing import Any

from twisted.internet.defer import Deferred, DeferredLock, inlineCallbacks

from prol2tp.net import messages, netlink, rtnetlink
from prol2tp.net.netlink import NetlinkError, allow

_NEW = netlink.NLM_F_CREATE | netlink.NLM_F_EXCL


class DefaultRoutes:
    """Of the main table.

    :param request: `NetlinkSocket.request`.
    :param dumps: of that socket: the kernel refuses a dump while it is at one.
    """

    def __init__(self, request: Callable[..., Deferred[Any]], dumps: DeferredLock) -> None:
        self._request = request
        self._dumps = dumps
        self._pinned: dict[str, tuple[int, Any]] = {}
        """Addresses that we gave a route of their own: how many asked for it, and the route."""

    @inlineCallbacks
    def add(self, ifindex: int, via: str, ipv6: bool, replace: bool, keep: str) -> Any:
        """As `INetwork.default_route_add`."""
        saved: list[Any] = []
        kept = ""
        if replace:
            routes = yield self._default_routes(rtnetlink.AF_INET6 if ipv6 else rtnetlink.AF_INET)
            if keep and (":" in keep) == ipv6 and (yield self._pin(keep, routes)):
                kept = keep
            for route in routes if ipv6 else ():
                yield self._request(rtnetlink.RTM_DELROUTE, messages.route(*route)).addErrback(allow, errno.ESRCH)
                saved.append(route)
        # IPv4: without NLM_F_EXCL ours is put before the others of its metric, and they count again when its
        # interface has gone, also when we are not there to see it. IPv6 has no such order.
        flags = netlink.NLM_F_CREATE if replace and not ipv6 else _NEW
        try:
            yield self._request(rtnetlink.RTM_NEWROUTE,
                                rtnetlink.route("::/0" if ipv6 else "0.0.0.0/0", ifindex, via), flags)
        except NetlinkError:
            yield self.restore((saved, kept))
            raise
        return saved, kept

    @inlineCallbacks
    def _pin(self, address: str, routes: list[Any]) -> Any:
        """Keep the way to an address that takes one of these default routes. -> whether there is something to undo."""
        if address not in self._pinned:
            way = yield self._through(address, routes)
            if way is None:
                return False
            fields, attributes = way
            route = {**fields, "dst_len": ip_address(address).max_prefixlen}, [*attributes, ("RTA_DST", address)]
            try:
                yield self._request(rtnetlink.RTM_NEWROUTE, messages.route(*route), _NEW)
            except NetlinkError as error:
                if error.errno != errno.EEXIST:
                    raise
            else:
                self._pinned[address] = (0, route)
            if address not in self._pinned:
                return False  # the system's own route, which is not ours to remove
        users, route = self._pinned[address]
        self._pinned[address] = (users + 1, route)
        return True

    @inlineCallbacks
    def _unpin(self, address: str) -> Any:
        users, route = self._pinned.get(address, (0, None))
        if users > 1:
            self._pinned[address] = (users - 1, route)
        elif users:
            del self._pinned[address]
            done = self._request(rtnetlink.RTM_DELROUTE, messages.route(*route))
            yield done.addErrback(allow, errno.ESRCH, errno.ENODEV)

    @inlineCallbacks
    def _through(self, address: str, routes: list[Any]) -> Any:
        """The one of these default routes that packets to the address take, or None."""
        if not routes:
            return None
        wanted = ip_address(address)
        family = rtnetlink.AF_INET if wanted.version == 4 else rtnetlink.AF_INET6
        ask = messages.route({"family": family, "dst_len": wanted.max_prefixlen}, [("RTA_DST", address)])
        try:
            parts = yield self._request(rtnetlink.RTM_GETROUTE, ask)
        except NetlinkError:
            return None
        answer = messages.decoded("rtmsg", parts[0])
        hop = answer.get_attr("RTA_GATEWAY"), answer.get_attr("RTA_OIF")
        return next((route for route in routes if hop in messages.hops(dict(route[1]))), None)

    @inlineCallbacks
    def _default_routes(self, family: int) -> Any:
        """Default routes of the main table with metric 0: what `_route` makes them of."""
        parts = yield self._dumps.run(self._request, rtnetlink.RTM_GETROUTE, messages.route({"family": family}, []),
                                      netlink.NLM_F_DUMP)
        routes = []
        for part in parts:
            if part[messages.LENGTH_AT]:
                continue  # to decode them all would take seconds where there are many links
            route = messages.decoded("rtmsg", part)
            table = route.get_attr("RTA_TABLE") or route["table"]
            if (route["dst_len"] or route["type"] != rtnetlink.RTN_UNICAST or table != rtnetlink.TABLE_MAIN
                    or route.get_attr("RTA_PRIORITY")):
                continue
            routes.append((
                {field: route[field] for field in messages.ROUTE_FIELDS},
                [(name, value) for name in messages.ROUTE_ATTRIBUTES if (value := route.get_attr(name)) is not None],
            ))
        return routes

    @inlineCallbacks
    def restore(self, saved: Any) -> Any:
        """As `INetwork.default_route_restore`."""
        routes, kept = saved
        if kept:
            yield self._unpin(kept)
        for route in routes:
            done = self._request(rtnetlink.RTM_NEWROUTE, messages.route(*route),
                                 netlink.NLM_F_CREATE | netlink.NLM_F_APPEND)
            yield done.addErrback(allow, errno.ENODEV, errno.ENETUNREACH, errno.EEXIST, errno.EINVAL, errno.ENETDOWN)

    def left_behind(self, saved: Any) -> list[tuple[str, int, str]]:
        """As `INetwork.left_behind`."""
        kept = saved[1] if saved is not None else ""
        if not kept or kept not in self._pinned:
            return []
        attributes = dict(self._pinned[kept][1][1])
        # without index and gateway, which one with several next hops has not, the kernel takes any
        prefix = f"{kept}/{ip_address(kept).max_prefixlen}"
        return [(prefix, attributes.get("RTA_OIF") or 0, attributes.get("RTA_GATEWAY") or "")]
