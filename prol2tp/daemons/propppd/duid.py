"""The DUID of our DHCPv6 server: one for all links, the same over restarts."""

from __future__ import annotations

import os
from collections.abc import Callable

from prol2tp.daemons.logs import Log

NAME = "propppd-duid"
"""File in the state directory, in hexadecimal."""
DUID_UUID = b"\0\4"
"""RFC 6355."""
_LENGTH = 18


class ServerDUID:
    """Read at first use, or made and written then. Without a state directory it lasts until the next start."""

    def __init__(self, directory: str, log: Log, random_bytes: Callable[[int], bytes] = os.urandom) -> None:
        self._path = os.path.join(directory, NAME)
        self._log = log
        self._random_bytes = random_bytes
        self._value = b""

    def __call__(self) -> bytes:
        if not self._value:
            self._value = self._read() or self._make()
        return self._value

    def _read(self) -> bytes:
        try:
            with open(self._path, encoding="ascii") as file:
                value = bytes.fromhex(file.read(100))
        except FileNotFoundError:
            return b""
        except (OSError, ValueError) as error:
            self._log.warning("DUID of the DHCPv6 server: {path}: {error}", path=self._path, error=error)
            return b""
        if len(value) != _LENGTH or not value.startswith(DUID_UUID):
            self._log.warning("DUID of the DHCPv6 server: {path}: not a DUID-UUID; made anew", path=self._path)
            return b""
        return value

    def _make(self) -> bytes:
        # a UUID of version 4 (RFC 9562 section 5.4)
        uuid = int.from_bytes(self._random_bytes(16), "big")
        uuid = uuid & ~(0xF << 76) & ~(3 << 62) | 4 << 76 | 2 << 62
        value = DUID_UUID + uuid.to_bytes(16, "big")
        try:
            os.makedirs(os.path.dirname(self._path), mode=0o750, exist_ok=True)
            with open(self._path + ".new", "w", encoding="ascii") as file:
                file.write(value.hex() + "\n")
            os.replace(self._path + ".new", self._path)
        except OSError as error:
            self._log.warning("DUID of the DHCPv6 server: {path}: {error}; it changes at the next start",
                              path=self._path, error=error.strerror)
        return value
