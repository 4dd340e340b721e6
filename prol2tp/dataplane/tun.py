"""TUN interfaces, made and removed on a thread of their own: the kernel makes the caller wait (20 ms to remove one)."""

from __future__ import annotations

import os
import queue
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from errno import EBUSY, EEXIST, EINVAL, ENODEV
from fcntl import ioctl
from struct import Struct
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.python.failure import Failure

from prol2tp.dataplane.interface import IN_USE, INVALID, SYSTEM, DataPathError
from prol2tp.dataplane.rtlink import LinkRequests

Result = TypeVar("Result")

DEVICE = "/dev/net/tun"
TUNSETIFF = 0x400454CA
IFF_TUN = 0x0001
IFF_TAP = 0x0002
IFF_NO_PI = 0x1000
IFF_TUN_EXCL = 0x8000
_IFREQ = Struct("16sH22x")
NAME_MAX = 15

GROUP_MAX = 64
"""Interfaces removed in one request: it holds the kernel's rtnl lock, which others want too."""


@dataclass(slots=True)
class TUN:
    """An open TUN interface. The descriptor does not block."""

    descriptor: int
    name: str
    ifindex: int

    def leave(self) -> None:
        """Called on the link thread before the interface is removed."""


def check_name(name: str) -> None:
    """Raises `DataPathError` for what cannot be an interface's name or pattern."""
    sample = name.replace("%d", "0", 1)
    if (not 0 < len(sample.encode()) <= NAME_MAX or sample in (".", "..") or "%" in sample or "/" in sample
            or ":" in sample or not sample.isprintable() or " " in sample):
        raise DataPathError(INVALID, f"{name!r} cannot be an interface name")


def open_tun(requests: LinkRequests, name: str, multicast: bool, queue_length: int, ethernet: bool = False) -> TUN:
    """Make an interface, a TAP for Ethernet. Blocks. Raises `DataPathError`."""
    try:
        descriptor = os.open(DEVICE, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise DataPathError(SYSTEM, f"{DEVICE}: {error.strerror}") from None
    try:
        request = bytearray(_IFREQ.pack(name.encode(), (IFF_TAP if ethernet else IFF_TUN) | IFF_NO_PI | IFF_TUN_EXCL))
        ioctl(descriptor, TUNSETIFF, request)
        made = bytes(request[:16]).split(b"\0", 1)[0].decode()
        ifindex = requests.index(made)
        requests.prepare(ifindex, multicast, queue_length)
    except OSError as error:
        os.close(descriptor)
        taken = error.errno in (EBUSY, EEXIST) or (error.errno == EINVAL and "%" not in name)
        raise DataPathError(IN_USE if taken else SYSTEM, f"interface {name}: {error.strerror}") from None
    except BaseException:
        os.close(descriptor)
        raise
    return TUN(descriptor, made, ifindex)


def close_tuns(requests: LinkRequests, tuns: list[TUN], group: int) -> None:
    """Remove interfaces. Blocks. Several go as one group."""
    for tun in tuns:
        tun.leave()
    if len(tuns) > 1:
        try:
            for tun in tuns:
                try:
                    requests.set_group(tun.ifindex, group)
                except OSError as error:
                    if error.errno != ENODEV:
                        raise
            requests.delete_group(group)
        except OSError:
            pass  # closing the descriptors does the same, slower
    for tun in tuns:
        os.close(tun.descriptor)



_Job = tuple[str, tuple[Any, ...], "Deferred[Any]"]
"""What, with what, and who waits for it."""


class LinkThread:
    """Makes and removes TUNs in the order asked for, off the reactor's thread: a name that is asked for after its
    removal is free by then. Deferreds fire on the reactor's thread.

    :param group_max: interfaces removed in one request.
    """

    def __init__(self, reactor: IReactorFromThreads, group_max: int = GROUP_MAX) -> None:
        self._reactor = reactor
        self._jobs: queue.SimpleQueue[_Job] = queue.SimpleQueue()
        self._group_max = group_max
        self._group = 0x40000000 | os.getpid()
        self._requests = LinkRequests()
        self._answers: deque[tuple[list[Deferred[Any]], Any]] = deque()
        self._told = False
        """The reactor has been called for what is in `_answers`."""
        self._thread = threading.Thread(target=self._run, name="links", daemon=True)
        self._thread.start()

    def open(self, name: str, multicast: bool, queue_length: int = 0, ethernet: bool = False) -> Deferred[TUN]:
        """`queue_length` 0: the kernel's default."""
        return self._ask("open", (name, multicast, queue_length, ethernet))

    def close(self, tun: TUN) -> Deferred[None]:
        """The descriptor must have left the poller."""
        return self._ask("close", (tun,))

    def call(self, work: Callable[..., Result], *arguments: object) -> Deferred[Result]:
        """Carry out `work` in its turn; what it raises fails the Deferred."""
        return self._ask("call", (work, *arguments))

    def after(self, work: Callable[..., Result], *arguments: object) -> Deferred[Result]:
        """As `call`, but other interfaces may be removed before, together with those that it comes after."""
        return self._ask("after", (work, *arguments))

    def stop(self) -> Deferred[None]:
        """Everything asked for before is done first."""
        return self._ask("stop", ())

    def _ask(self, what: str, arguments: tuple) -> Deferred:
        done: Deferred = Deferred()
        self._jobs.put((what, arguments, done))
        return done

    def _run(self) -> None:
        following: _Job | None = None
        while True:
            job = following or self._jobs.get()
            following = None
            what, arguments, done = job
            if what == "close":
                following = self._close(job)
                continue
            if what == "stop":
                self._requests.close()
                self._answer([done], None)
                return
            if what == "open":
                arguments = (open_tun, self._requests, *arguments)
            self._answer([done], self._carry_out(*arguments))

    def _close(self, job: _Job) -> _Job | None:
        """This one and those that wait behind it, and then what was to come after them. -> the job that follows."""
        tuns, waiting = [job[1][0]], [job[2]]
        after: list[_Job] = []
        following: _Job | None = None
        while len(tuns) < self._group_max and following is None:
            try:
                following = self._jobs.get_nowait()
            except queue.Empty:
                break
            if following[0] == "close":
                tuns.append(following[1][0])
                waiting.append(following[2])
                following = None
            elif following[0] == "after":
                after.append(following)
                following = None
        result = self._carry_out(close_tuns, self._requests, tuns, self._group)
        self._answer(waiting, result)
        for _, arguments, done in after:
            self._answer([done], self._carry_out(*arguments))
        return following

    def _answer(self, waiting: list[Deferred], result: object) -> None:
        self._answers.append((waiting, result))
        if not self._told:
            self._told = True
            self._reactor.callFromThread(self._give_answers)

    def _give_answers(self) -> None:
        """On the reactor's thread: all that has been done by now."""
        self._told = False  # first: what comes from here on calls again
        while self._answers:
            waiting, result = self._answers.popleft()
            for done in waiting:
                done.callback(result)  # a Failure goes to the errbacks

    @staticmethod
    def _carry_out(work: Callable[..., object], *arguments: object) -> object:
        try:
            return work(*arguments)
        except BaseException as error:
            return Failure(error)
