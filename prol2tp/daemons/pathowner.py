"""A daemon that can be without the data path for a while: it connects again for ever, and says when it is there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import inlineCallbacks

from prol2tp.daemons.base import CommonOptions, DaemonService
from prol2tp.daemons.logs import Log
from prol2tp.dataplane.client import PathClient

FIRST_DELAY, LAST_DELAY = 0.5, 30.0
"""Seconds between tries."""

OpenPath = Callable[[Any, str, str], Any]


class PathOwner(DaemonService):
    """:param open_path: `(reactor, run_dir, owner)` -> Deferred(IDataPlane), as `PathClient.connect`.

    Subclasses set `owner` and provide `IPathEvents`, whose `path_lost` calls `path_is_lost` and, when all is put in
    order, `try_again`.
    """

    owner = ""
    """Name towards pathd."""

    def __init__(self, options: CommonOptions, log: Log, reactor: Any,
                 open_path: OpenPath = PathClient.connect) -> None:
        super().__init__(options, log, reactor)
        self.path: Any = None
        """The data path in use; None: there is none."""
        self.ending = False
        """No more tries."""
        self._open_path = open_path
        self._lost = False
        """Since the last try to reach one."""
        self._retry: Any = None
        self._delay = FIRST_DELAY

    def path_ready(self, path: Any) -> Any:
        """It has answered: what must be read from it before it is used. May give a Deferred; what it raises makes us
        try again."""

    def use_path(self, path: Any) -> None:
        """From now on this one."""
        raise NotImplementedError

    @inlineCallbacks
    def connect_path(self) -> Any:
        """One try; others follow by themselves."""
        self._retry = None
        self._lost = False
        try:
            path = yield self._open_path(self.reactor, self.options["run-dir"], self.owner)
            yield path.start(self)
            yield self.path_ready(path)
        except Exception as error:
            self.log.error("no data path: {reason}", reason=error)
            self.try_again()
            return
        if self.ending:
            yield path.stop()
            return
        if self._lost:
            # `path_lost` has seen to the next try
            return
        self._delay = FIRST_DELAY
        self.path = path
        self.use_path(path)
        self.log.info("data path: {name}", name=path.name)

    def path_is_lost(self) -> None:
        """pathd has ended."""
        self._lost = True
        self.path = None

    def try_again(self) -> None:
        """In a while, each time a longer one."""
        if self.ending or self._retry is not None:
            return
        self._retry = self.reactor.callLater(self._delay, self.connect_path)
        self._delay = min(LAST_DELAY, self._delay * 2)

    def end_tries(self) -> None:
        """The daemon stops."""
        self.ending = True
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
