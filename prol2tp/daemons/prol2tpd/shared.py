"""The tunnels that calls of proacd share: those of the configuration by name, and those that are made for calls by key.

A tunnel by key is opened with its first call from an ephemeral port, is tried once at each address that the peer's name
has, and goes `idle_timeout` after its last call. After a failure it is left alone for a moment: a crowd of calls then
costs one try.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import TYPE_CHECKING, Any

from prol2tp.config.problems import ConfigError
from prol2tp.config.prol2tpd import create_tunnel
from prol2tp.daemons.prol2tpd.instances import RETRY, ClientTunnel

if TYPE_CHECKING:
    from prol2tp.daemons.prol2tpd.plane import Plane

ORIGIN = "proacd"
IDLE = 30.0
"""Seconds without calls after which a tunnel by key is closed where its parameters do not say."""
LONGEST_KEY = 255

Key = tuple[str, Hashable]


class SharedTunnel(ClientTunnel):
    """A tunnel by key."""

    def __init__(self, tunnels: SharedTunnels, key: Key, config: Any) -> None:
        super().__init__(tunnels.plane, config, ORIGIN)
        self.key = key
        self._tunnels = tunnels

    @property
    def goes_on(self) -> bool:
        return not self.stopped and not self.unresolved and self._failures < self.addresses

    def went_down(self) -> None:
        if self._up_since is None and self.goes_on:
            self._timer.want(self.plane.clock.seconds())
        else:
            super().went_down()

    def finished(self) -> None:
        super().finished()
        self._tunnels.finished(self)


class SharedTunnels:
    """Finds or makes the tunnel for a call."""

    def __init__(self, plane: Plane) -> None:
        self.plane = plane
        self._by_key: dict[Key, SharedTunnel] = {}
        self._names: dict[str, dict[SharedTunnel, None]] = {}
        self._failed: dict[Key, SharedTunnel] = {}
        """Those that did not come up a moment ago, the oldest first."""
        self._started: dict[str, float] = {}
        """When tunnels of the configuration were started again for a call."""

    def __iter__(self) -> Iterator[SharedTunnel]:
        return iter(self._by_key.values())

    def __len__(self) -> int:
        return len(self._by_key)

    def named(self, name: str) -> SharedTunnel | None:
        """One whose key this is; of several the first."""
        return next(iter(self._names.get(name, ())), None)

    def find(self, wanted: Any) -> ClientTunnel:
        """The tunnel for the `tunnel` of a `call-row`. Raises `ValueError` with the reason."""
        if not isinstance(wanted, dict):
            raise ValueError("tunnel: must be an object")
        name, key = wanted.get("name"), wanted.get("key")
        if self.plane.config.system.deny_local_tunnel_creates:
            raise ValueError("deny_local_tunnel_creates is set")
        if isinstance(name, str) and key is None:
            return self._named(name)
        if isinstance(key, str) and name is None:
            return self._keyed(key, wanted.get("parameters"))
        raise ValueError("tunnel: must have a name, or a key and parameters")

    def _named(self, name: str) -> ClientTunnel:
        plane = self.plane
        instance = plane.instances.get(name)
        if instance is not None and instance.config.static:
            raise ValueError(f"tunnel {name!r} is static: it has no calls")
        if instance is None or instance.stopped:
            config = plane.config.tunnels.get(name)
            if config is None:
                raise ValueError(f"there is no tunnel named {name[:40]!r}")
            now = plane.clock.seconds()
            if instance is not None or now - self._started.get(name, now - RETRY) < RETRY:
                raise ValueError(f"tunnel {name!r} has just ended")
            self._started[name] = now
            instance = plane.start_instance(config)
        if instance.config.drain:
            raise ValueError(f"tunnel {name!r} takes no new sessions: drain is set")
        return instance

    def _keyed(self, key: str, parameters: Any) -> ClientTunnel:
        if not 0 < len(key) <= LONGEST_KEY or not key.isprintable():
            raise ValueError(f"tunnel: key must be 1 to {LONGEST_KEY} printable characters")
        texts = checked(parameters, "tunnel")
        whole: Key = key, frozenset(texts.items())
        tunnel = self._by_key.get(whole)
        if tunnel is None or tunnel.stopped:
            self._forget_failed()
            tunnel = self._failed.get(whole) or self._make(whole, key, texts)
        return tunnel

    def _make(self, whole: Key, key: str, texts: dict[str, str]) -> SharedTunnel:
        try:
            config = create_tunnel(self.plane.config, key, {**texts, "persist": "false"})
        except ConfigError as error:
            raise ValueError(f"tunnel: {one_line(error)}") from None
        if config.static:
            raise ValueError("tunnel: a static tunnel has no calls")
        if config.drain:
            raise ValueError("tunnel: drain is set")
        if not config.idle_timeout:
            config.idle_timeout = IDLE
        tunnel = self._by_key[whole] = SharedTunnel(self, whole, config)
        self._names.setdefault(key, {})[tunnel] = None
        tunnel.start()
        return tunnel

    def finished(self, tunnel: SharedTunnel) -> None:
        if self._by_key.get(tunnel.key) is tunnel:
            del self._by_key[tunnel.key]
        same = self._names.get(tunnel.name, {})
        same.pop(tunnel, None)
        if not same:
            self._names.pop(tunnel.name, None)
        if tunnel.failed_at is not None and not self.plane.stopping:
            self._forget_failed()
            self._failed[tunnel.key] = tunnel

    def _forget_failed(self) -> None:
        now = self.plane.clock.seconds()
        while self._failed:
            key, tunnel = next(iter(self._failed.items()))
            if now - (tunnel.failed_at or now) < RETRY:
                return
            del self._failed[key]


def checked(parameters: Any, what: str) -> dict[str, str]:
    """Parameters as text. Raises `ValueError`."""
    if not isinstance(parameters, dict) or not all(
            isinstance(name, str) and isinstance(value, str) for name, value in parameters.items()):
        raise ValueError(f"{what}: parameters must be an object of names and text")
    return parameters


def one_line(error: Exception) -> str:
    """A `ConfigError` without the lines of the file it would point at."""
    return " / ".join(line.strip() for line in str(error).splitlines() if line.strip(" ^\t"))
