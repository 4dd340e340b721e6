"""Data messages and frames that overtook the request to make their session.

The peer may send as soon as it has answered our control message; that answer reaches the control plane, and its request
this one, a moment later. A first PPP frame lost here would cost the user a restart timer of three seconds.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterator
from typing import Any

HOLD = 1.0
"""Seconds after which a message is too old to be passed on."""

MOST_SESSIONS = 512
MOST_MESSAGES = 4
"""Bounds: sessions with messages held, and messages held for one. The oldest session gives way to a new one."""

LARGEST = 1600
"""Octets of a message; larger ones are no first frames."""


class Early:
    """Messages of unknown sessions by listener and header key. What is left over ages out as others come."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held: OrderedDict[tuple[int, Hashable], list[tuple[float, bytes, Any]]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._held)

    def keep(self, listener: int, key: Hashable, data: bytes, source: Any, now: float) -> bool:
        """-> whether the session was unknown a while ago already: it is not one that is just coming up."""
        if len(data) > LARGEST:
            return False
        again = False
        held = self._held
        messages = held.get((listener, key))
        if messages is None:
            if len(held) >= MOST_SESSIONS:
                held.popitem(last=False)
            messages = held[listener, key] = []
        elif now - messages[0][0] > HOLD:
            # what an id meant a while ago says nothing about now
            messages.clear()
            again = True
        if len(messages) < MOST_MESSAGES:
            messages.append((now, data, source))
        return again

    def take(self, listener: int, key: Hashable, now: float) -> Iterator[tuple[bytes, Any]]:
        """-> (datagram, source) in the order of arrival, and forget them."""
        for since, data, source in self._held.pop((listener, key), ()):
            if now - since <= HOLD:
                yield data, source
