"""Which tunnels are being set up: requests of the network (bounded), and our own (for the tie breaker)."""

from __future__ import annotations

from collections import OrderedDict

from prol2tp.l2tp import header3, messages3
from prol2tp.l2tp.context import Cause, Context
from prol2tp.l2tp.header import write_control
from prol2tp.l2tp.messages import ResultCode, StopCCN, encode
from prol2tp.l2tp.outputs import Address
from prol2tp.l2tp.tunnel import State, Tunnel
from prol2tp.l2tp.version3 import Version3

GRACE = 2.0
"""Seconds that a pending tunnel has for its handshake before a newer request may take its place."""

MOST_TUNNELS = (1 << 16) - 1


def refusal(peer_tunnel_id: int, cause: Cause, version: int = 2) -> bytes:
    """A StopCCN in answer to an SCCRQ (Ns 0) for which no tunnel is made; it is not sent again unless the SCCRQ is."""
    result = ResultCode(cause.result, cause.error, cause.message[:200])
    if version == Version3.number:
        return header3.write_control(peer_tunnel_id, 0, 1, messages3.encode(messages3.StopCCN(result)))
    return write_control(peer_tunnel_id, 0, 0, 1, encode(StopCCN(0, result)))


class Requests:
    """Pending tunnels are those of the network that were never established, refused ones too, until they are forgotten.

    All together are at most `max_pending`, those of one address a quarter of it. When there is no room, a new request
    takes the place of the oldest, if that had time enough; so a flood costs bounded memory and locks nobody out.
    """

    __slots__ = ("_context", "_max_pending", "_share", "_known", "_pending", "_by_address", "_opening")

    def __init__(self, context: Context, max_pending: int) -> None:
        self._context = context
        self.limit(max_pending)
        # (peer, its id, the version of its SCCRQ) -> our id, of every tunnel of the network
        self._known: dict[tuple[Address, int, int], int] = {}
        self._pending: OrderedDict[int, float] = OrderedDict()
        self._by_address: dict[str, OrderedDict[int, float]] = {}
        self._opening: dict[str, dict[int, None]] = {}  # address -> tunnels of ours in WAITCTLREPLY

    def limit(self, max_pending: int) -> None:
        """Another bound; what is pending already stays."""
        self._max_pending = max_pending
        self._share = max(1, max_pending // 4)

    def __len__(self) -> int:
        return len(self._pending)

    # requests of the network

    def find(self, peer: Address, peer_tunnel_id: int, version: int) -> int | None:
        return self._known.get((peer, peer_tunnel_id, version))

    def room_for(self, peer: Address, tunnels: int, now: float) -> int | None:
        """0: there is room. A tunnel id: drop that one first. None: no room."""
        if tunnels >= MOST_TUNNELS:
            return None
        of_address = self._by_address.get(peer[0])
        if of_address is not None and len(of_address) >= self._share:
            crowded = of_address
        elif len(self._pending) >= self._max_pending:
            crowded = self._pending
        else:
            return 0
        oldest, since = next(iter(crowded.items()), (None, now))
        return oldest if now - since >= GRACE else None

    def add(self, tunnel: Tunnel, peer_tunnel_id: int, now: float) -> None:
        tunnel.request_key = tunnel.request_key or (tunnel.peer, peer_tunnel_id, tunnel.version.number)
        self._known[tunnel.request_key] = tunnel.tunnel_id
        self._pending[tunnel.tunnel_id] = now
        self._by_address.setdefault(tunnel.peer[0], OrderedDict())[tunnel.tunnel_id] = now
        self._press()

    def _no_longer_pending(self, tunnel: Tunnel) -> None:
        if self._pending.pop(tunnel.tunnel_id, None) is None:
            return
        address = tunnel.peer[0]
        self._by_address[address].pop(tunnel.tunnel_id, None)
        if not self._by_address[address]:
            del self._by_address[address]
        self._press()

    def _press(self) -> None:
        self._context.pressed = len(self._pending) > self._share

    # our own

    def add_opening(self, tunnel: Tunnel) -> None:
        self._opening.setdefault(tunnel.peer[0], {})[tunnel.tunnel_id] = None

    def opening(self, address: str) -> list[int]:
        return list(self._opening.get(address, ()))

    def _no_longer_opening(self, tunnel: Tunnel) -> None:
        opening = self._opening.get(tunnel.peer[0])
        if opening is not None and tunnel.tunnel_id in opening:
            del opening[tunnel.tunnel_id]
            if not opening:
                del self._opening[tunnel.peer[0]]

    # both

    def moved_on(self, tunnel: Tunnel) -> None:
        """The tunnel may have changed its state."""
        if tunnel.lns:
            if tunnel.established:
                self._no_longer_pending(tunnel)
                tunnel.settled = True
        elif tunnel.state is not State.WAITCTLREPLY:
            self._no_longer_opening(tunnel)
            tunnel.settled = True

    def forget(self, tunnel: Tunnel) -> None:
        if tunnel.lns:
            self._no_longer_pending(tunnel)
            key = tunnel.request_key
            if self._known.get(key) == tunnel.tunnel_id:
                del self._known[key]
        else:
            self._no_longer_opening(tunnel)

    def restore(self, tunnel: Tunnel) -> None:
        if not tunnel.lns:
            if tunnel.state is State.WAITCTLREPLY:
                self.add_opening(tunnel)
            return
        self.add(tunnel, tunnel.peer_tunnel_id, tunnel.created_at)
        if tunnel.was_up:
            self._no_longer_pending(tunnel)
