"""The one shape of a state machine here: a literal table {(state, event): Row}, and one place that walks it.

Laws: only `Machine.fire` changes `state`; an action may emit outputs but may not fire its own machine; an event that
the table does not have for the state raises `IllegalEvent`, and the state stays.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any, ClassVar, NamedTuple


class IllegalEvent(Exception):
    """No row for this state and event."""


class Row(NamedTuple):
    """`action(machine, message, now)` or None, and the state after it."""

    action: Callable[..., Any] | None
    state: Enum


class Machine:
    """Base of every protocol state machine. Subclasses set TABLE, NAME and the initial state."""

    __slots__ = ("state", "state_since", "left", "_firing")

    TABLE: ClassVar[dict[tuple[Enum, Enum], Row]]
    NAME: ClassVar[str] = "FSM"

    def __init__(self, state: Enum, now: float) -> None:
        self.state = state
        self.state_since = now
        self.left = state
        """The state before this one."""
        self._firing = False

    def fire(self, event: Enum, now: float, message: Any = None) -> None:
        """Run the row of (state, event): the state changes first, so that outputs of the action show the new one."""
        old = self.state
        row = self.TABLE.get((old, event))
        if row is None:
            raise IllegalEvent(f"{self.NAME}: event {event.name} in state {old.name}")
        if self._firing:
            raise AssertionError(f"{self.NAME}: {event.name} fired from inside an action")
        self._firing = True
        try:
            if row.state is not old:
                self.left = old
                self.state = row.state
                self.state_since = now
            self.traced(event, old, row.state)
            if row.action is not None:
                row.action(self, message, now)
        finally:
            self._firing = False

    def traced(self, event: Enum, old: Enum, new: Enum) -> None:
        """Called for every event; overridden by machines that report to a trace."""
