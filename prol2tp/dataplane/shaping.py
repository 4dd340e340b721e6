"""Rate limits of interfaces: what the system's traffic control is told.

`IShaping` is the contract, `LinuxShaping` the real one over netlink, `MemoryShaping` the one for tests. Operations on
one interface must not overlap; those on different ones may. They fail with `net.netlink.NetlinkError`.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from struct import Struct
from typing import Any, NamedTuple
from zlib import crc32

from twisted.internet.defer import Deferred, DeferredList, fail, inlineCallbacks, succeed
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from zope.interface import Interface, implementer

from prol2tp.net import netlink, rtnetlink, tc
from prol2tp.net.netlink import NetlinkError, NetlinkSocket

_log = Logger(namespace="shaping")

_PROBE = "pifbp{:x}"
_WINDOW = 16
"""Requests at a time: to make a device takes the kernel most of a millisecond, and others wait meanwhile."""
_PROBE_KINDS = ("ifb", "dummy", "bridge")
"""The first one that the kernel makes is used: the others can only show whether it has htb."""
_NAME = "pifb{}"
"""IFB device of an interface, by its index."""
_NEW = netlink.NLM_F_CREATE | netlink.NLM_F_EXCL
_CHANGE = netlink.NLM_F_CREATE | netlink.NLM_F_REPLACE
AT_ONCE = 100
"""Devices that are removed together."""
_GONE = (errno.ENODEV, errno.ENOENT, errno.EINVAL)
_HEADER_LENGTH = 16
_CODE = Struct("=i")


def group_of(run_dir: str) -> int:
    """The group of devices of the daemon whose run directory it is: no other has that directory."""
    return 0x50000000 | crc32(os.path.abspath(run_dir).encode()) & 0x0FFFFFFE


class Abilities(NamedTuple):
    """What the kernel can do."""

    egress: bool = False
    """HTB: packets to the user can be shaped."""
    ingress: bool = False
    """IFB devices: packets from the user can be shaped too."""
    queue: str = "bfifo"
    """The queue below: `fq_codel` or `bfifo`."""
    reason: str = ""
    """Why not."""

    def __str__(self) -> str:
        if not self.egress:
            return f"the kernel cannot shape ({self.reason})"
        both = "to users by htb and from users by htb on ifb devices" if self.ingress else "to users by htb"
        return f"{both}, queues: {self.queue}" + (f" ({self.reason})" if self.reason else "")


class IShaping(Interface):
    """Rate limits of interfaces. Every operation returns a Deferred."""

    def start():
        """Open what is needed, and remove what a predecessor left."""

    def stop():
        """Remove all devices that were made for it; queues go with their interfaces."""

    def probe(again: bool = False):
        """-> Deferred(Abilities). Found out at the first time, and `again` when asked to."""

    def egress(ifindex: int, rate: int):
        """Limit what goes out of an interface, anew or to another rate. bit/s; 0: no limit any more. Packets that wait
        are not lost when a rate changes."""

    def ingress(ifindex: int, rate: int):
        """The same for what comes in."""

    def removed(ifindex: int) -> None:
        """*At once.* The interface is gone: forget it, and take away what was made for it beside. Not while an
        operation on it is under way."""


@implementer(IShaping)
class LinuxShaping:
    """The network namespace that the process is in, over netlink.

    :param group: marks our devices, so that they can be found and removed at once; the next number marks those that
        are about to go. No other process may use it.
    :param make_socket: makes the socket of a netlink family, for the removal of devices.
    """

    def __init__(self, reactor: Any, group: int, open_socket: Callable[[Any], NetlinkSocket] | None = None,
                 make_socket: Callable[[], socket.socket] | None = None) -> None:
        self._reactor = reactor
        self._group = group
        self._open = open_socket or _own_socket
        self._make = make_socket or _blocking_socket
        self._netlink: NetlinkSocket | None = None
        self._blocking: socket.socket | None = None
        self._abilities: Abilities | None = None
        self._asked: list[Deferred[Abilities]] = []
        self._egress: set[int] = set()
        self._ingress: dict[int, int] = {}
        """Interface -> its IFB device."""
        self._dead: list[int] = []
        """IFB devices that have to go."""
        self._removing: Deferred[None] | None = None

    @property
    def requests(self) -> int:
        """Netlink messages sent."""
        return self._netlink.requests if self._netlink is not None else 0

    @inlineCallbacks
    def start(self) -> Any:
        try:
            self._netlink = self._open(self._reactor)
            self._blocking = self._make()
        except OSError as error:
            raise NetlinkError(error.errno or errno.EIO, error.strerror or str(error)) from None
        for group in (self._group, self._group + 1):
            yield self._request(tc.RTM_DELLINK, tc.of_group(group)).addErrback(_allow, *_GONE, errno.EPERM)

    @inlineCallbacks
    def stop(self) -> Any:
        if self._netlink is None or self._blocking is None:
            return
        if self._removing is not None:
            yield self._removing
        if self._ingress or self._dead:
            self._ingress.clear()
            yield self._in_thread(self._group)
        self._netlink.close()
        self._netlink = None
        self._blocking.close()
        self._blocking = None

    def _request(self, kind: int, payload: bytes, flags: int = 0) -> Deferred[list[bytes]]:
        if self._netlink is None:
            return fail(NetlinkError(errno.ESHUTDOWN, os.strerror(errno.ESHUTDOWN)))
        return self._netlink.request(kind, payload, flags)

    # what the kernel can do

    def probe(self, again: bool = False) -> Deferred[Abilities]:
        if self._abilities is not None and not again:
            return succeed(self._abilities)
        done: Deferred[Abilities] = Deferred()
        self._asked.append(done)
        if len(self._asked) == 1:
            self._probe().addErrback(_failed).addCallback(self._probed)
        return done

    def _probed(self, abilities: Abilities) -> None:
        self._abilities = abilities
        asked, self._asked = self._asked, []
        for one in asked:
            one.callback(abilities)

    @inlineCallbacks
    def _probe(self) -> Any:
        """Try it all on a device that carries nothing."""
        reason, device = "", 0
        for kind in _PROBE_KINDS:
            try:
                device = yield self._new_device(kind, _PROBE.format(self._group & 0xFFFFFFF))
                break
            except NetlinkError as error:
                reason = reason or f"no ifb device: {error.text}"
        if not device:
            return Abilities(reason=reason)
        try:
            found = yield self._try(device)
        finally:
            self._kill(device)
        return found._replace(ingress=False, reason=reason) if reason and found.egress else found

    @inlineCallbacks
    def _try(self, device: int) -> Any:
        try:
            yield self._request(tc.RTM_NEWQDISC, tc.htb(device), _NEW)
            yield self._request(tc.RTM_NEWTCLASS, tc.htb_class(device, 1_000_000), _NEW)
        except NetlinkError as error:
            return Abilities(reason=f"no htb: {error.text}")
        queue, reason = "fq_codel", ""
        try:
            yield self._request(tc.RTM_NEWQDISC, tc.fq_codel(device, 1_000_000, new=True), _NEW)
        except NetlinkError:
            queue = "bfifo"
            try:
                yield self._request(tc.RTM_NEWQDISC, tc.bfifo(device, 1_000_000), _NEW)
            except NetlinkError as error:
                return Abilities(reason=f"no queue: {error.text}")
        try:
            yield self._request(tc.RTM_NEWQDISC, tc.ingress(device), _NEW)
            yield self._request(tc.RTM_NEWTFILTER, tc.redirect(device, device), _NEW)
        except NetlinkError as error:
            reason = f"nothing from users: {error.text}"
        return Abilities(True, not reason, queue, reason)

    # interfaces

    @inlineCallbacks
    def egress(self, ifindex: int, rate: int) -> Any:
        if rate:
            yield self._shape(ifindex, rate, ifindex not in self._egress)
            self._egress.add(ifindex)
        elif ifindex in self._egress:
            self._egress.discard(ifindex)
            yield self._request(tc.RTM_DELQDISC, tc.root(ifindex)).addErrback(_allow, *_GONE)

    @inlineCallbacks
    def _shape(self, ifindex: int, rate: int, new: bool) -> Any:
        fair = self._abilities is not None and self._abilities.queue == "fq_codel"
        leaf = tc.fq_codel(ifindex, rate, new) if fair else tc.bfifo(ifindex, rate)
        flags = _NEW if new else _CHANGE
        if new:
            # by itself: what fails here belongs to somebody else, and nothing of that may be touched
            yield self._request(tc.RTM_NEWQDISC, tc.htb(ifindex), flags)
        try:
            yield _all([self._request(tc.RTM_NEWTCLASS, tc.htb_class(ifindex, rate), flags),
                        self._request(tc.RTM_NEWQDISC, leaf, flags)])
        except NetlinkError:
            if new:
                yield self._request(tc.RTM_DELQDISC, tc.root(ifindex)).addErrback(_allow, *_GONE)
            raise

    @inlineCallbacks
    def ingress(self, ifindex: int, rate: int) -> Any:
        device = self._ingress.get(ifindex)
        if rate and device is not None:
            yield self._shape(device, rate, False)
        elif rate:
            yield self._lead_through(ifindex, rate)
        elif device is not None:
            del self._ingress[ifindex]
            yield self._request(tc.RTM_DELQDISC, tc.ingress(ifindex)).addErrback(_allow, *_GONE)
            self._kill(device)

    @inlineCallbacks
    def _lead_through(self, ifindex: int, rate: int) -> Any:
        device = yield self._new_device("ifb", _NAME.format(ifindex))
        self._ingress[ifindex] = device
        ours = False
        try:
            # the device has to be ready before packets are led to it
            yield self._shape(device, rate, True)
            yield _all([
                self._request(rtnetlink.RTM_SETLINK, rtnetlink.link(device, up=True, link_local=False))
                .addErrback(self._without_ipv6, device),
                self._request(tc.RTM_NEWQDISC, tc.ingress(ifindex), _NEW),
            ])
            ours = True
            yield self._request(tc.RTM_NEWTFILTER, tc.redirect(ifindex, device), _NEW)
        except NetlinkError:
            del self._ingress[ifindex]
            if ours:
                yield self._request(tc.RTM_DELQDISC, tc.ingress(ifindex)).addErrback(_allow, *_GONE)
            self._kill(device)
            raise

    def _without_ipv6(self, failure: Any, device: int) -> Deferred[list[bytes]]:
        failure.trap(NetlinkError)
        if failure.value.errno != errno.EAFNOSUPPORT:
            return failure  # type: ignore[no-any-return]
        return self._request(rtnetlink.RTM_SETLINK, rtnetlink.link(device, up=True))

    @inlineCallbacks
    def _new_device(self, kind: str, name: str) -> Any:
        """-> its index."""
        made = self._request(tc.RTM_NEWLINK, tc.device(kind, name, self._group), _NEW)
        found = self._request(tc.RTM_GETLINK, tc.link_named(name))
        results = yield DeferredList([made, found], consumeErrors=True)
        if not results[0][0]:
            raise results[0][1].value
        if not results[1][0]:
            raise results[1][1].value
        return tc.ifindex_of(results[1][1][0])

    def removed(self, ifindex: int) -> None:
        self._egress.discard(ifindex)
        device = self._ingress.pop(ifindex, None)
        if device is not None:
            self._kill(device)

    # devices that go

    def _kill(self, device: int) -> None:
        """To remove a device takes the kernel milliseconds, many of them together not much more: they are gathered in
        a group, which is removed on a thread. Not too many: meanwhile every other request waits."""
        self._dead.append(device)
        if self._removing is None:
            self._removing = Deferred()
            self._reactor.callLater(0, self._round)

    def _round(self) -> None:
        some, self._dead = self._dead[:AT_ONCE], self._dead[AT_ONCE:]
        if not some:
            done, self._removing = self._removing, None
            if done is not None:
                done.callback(None)
            return
        moved = DeferredList([self._request(rtnetlink.RTM_SETLINK, tc.to_group(device, self._group + 1))
                              for device in some], consumeErrors=True)
        moved.addCallback(lambda _: self._in_thread(self._group + 1)).addCallback(lambda _: self._round())

    def _in_thread(self, group: int) -> Deferred[None]:
        assert self._blocking is not None
        done = deferToThreadPool(self._reactor, self._reactor.getThreadPool(), _delete, self._blocking, group)

        def failed(failure: Any) -> None:
            if not (failure.check(NetlinkError) and failure.value.errno in _GONE):
                _log.warn("removing ifb devices: {reason}", reason=failure.getErrorMessage())

        return done.addErrback(failed)


def _own_socket(reactor: Any) -> NetlinkSocket:
    return NetlinkSocket(reactor, _WINDOW)


def _blocking_socket() -> socket.socket:
    made = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
    made.bind((0, 0))
    made.settimeout(60)
    return made


def _delete(made: socket.socket, group: int) -> None:
    """On a thread: remove all devices of a group."""
    payload = tc.of_group(group)
    flags = netlink.NLM_F_REQUEST | netlink.NLM_F_ACK
    made.send(netlink.HEADER.pack(_HEADER_LENGTH + len(payload), tc.RTM_DELLINK, flags, 1, 0) + payload)
    (code,) = _CODE.unpack_from(made.recv(4096), _HEADER_LENGTH)
    if code:
        code = -code
        raise NetlinkError(code, os.strerror(code))


@inlineCallbacks
def _all(steps: list[Deferred[Any]]) -> Any:
    """Wait for all; the first failure counts."""
    results = yield DeferredList(steps, consumeErrors=True)
    for good, result in results:
        if not good:
            raise result.value


def _failed(failure: Any) -> Abilities:
    return Abilities(reason=failure.getErrorMessage())


def _allow(failure: Any, *numbers: int) -> None:
    failure.trap(NetlinkError)
    if failure.value.errno not in numbers:
        raise failure.value


@implementer(IShaping)
class MemoryShaping:
    """Remembers what it was told; an entry in `refuse` ('egress' or 'ingress': error number) fails an operation."""

    def __init__(self, abilities: Abilities | None = None) -> None:
        self.abilities = abilities or Abilities(True, True)
        self.limits: dict[tuple[str, int], int] = {}
        self.refuse: dict[str, int] = {}
        self.operations = 0

    def start(self) -> Deferred[None]:
        return succeed(None)

    def stop(self) -> Deferred[None]:
        self.limits.clear()
        return succeed(None)

    def probe(self, again: bool = False) -> Deferred[Abilities]:
        return succeed(self.abilities)

    def egress(self, ifindex: int, rate: int) -> Deferred[None]:
        return self._set("egress", ifindex, rate)

    def ingress(self, ifindex: int, rate: int) -> Deferred[None]:
        return self._set("ingress", ifindex, rate)

    def _set(self, way: str, ifindex: int, rate: int) -> Deferred[None]:
        self.operations += 1
        if way in self.refuse:
            return fail(NetlinkError(self.refuse[way], os.strerror(self.refuse[way])))
        if rate:
            self.limits[way, ifindex] = rate
        else:
            self.limits.pop((way, ifindex), None)
        return succeed(None)

    def removed(self, ifindex: int) -> None:
        for way in ("egress", "ingress"):
            self.limits.pop((way, ifindex), None)
