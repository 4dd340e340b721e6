"""The only code that drains a core: call it, carry its outputs out in order, keep its one timer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from prol2tp.net.deadlines import LazyTimer

_log = Logger(namespace="net")


class Core(Protocol):
    """The part of a protocol core that its driver uses."""

    def outputs(self) -> list[Any]: ...

    def deadline(self) -> float | None: ...

    def timeout(self, now: float) -> None: ...


class Driver:
    """Drives one core.

    :param actions: {output type: function of the output}. An action may call the core again through this driver (an
        answer to a question); what that puts out is carried out after what is already queued. An action that raises
        is logged and costs only its own output.
    """

    __slots__ = ("core", "_actions", "_clock", "_timer", "_draining")

    def __init__(self, core: Core, actions: Mapping[type, Callable[[Any], Any]], clock: IReactorTime) -> None:
        self.core = core
        self._actions = actions
        self._clock = clock
        self._timer = LazyTimer(clock, self._timeout)
        self._draining = False

    def now(self) -> float:
        return self._clock.seconds()

    def call(self, method: Callable[..., Any], *arguments: Any, **keywords: Any) -> Any:
        """Call a method of the core with `now` filled in by keyword, then drain."""
        result = method(*arguments, now=self._clock.seconds(), **keywords)
        self.drain()
        self.reschedule()
        return result

    def drain(self) -> None:
        """Carry out all that the core has put out. Within an action this does nothing: the outer drain goes on."""
        if self._draining:
            return
        self._draining = True
        actions = self._actions
        core = self.core
        try:
            while outputs := core.outputs():
                for output in outputs:
                    try:
                        actions[type(output)](output)
                    except Exception:
                        _log.failure("carrying out {output}", output=type(output).__name__)
        finally:
            self._draining = False

    def reschedule(self) -> None:
        """Set the timer to the core's deadline; callers that feed many packets in a row do it once at the end."""
        if not self._draining:
            self._timer.want(self.core.deadline())

    def stop(self) -> None:
        self._timer.stop()

    def _timeout(self, now: float) -> None:
        try:
            self.core.timeout(now)
        except Exception:  # a fault of ours must not stop time for all
            _log.failure("timeout of {core}", core=type(self.core).__name__)
        self.drain()
        self.reschedule()
