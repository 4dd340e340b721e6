"""Host names to addresses, by the resolver of the system."""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.threads import deferToThread


def addresses_of(host: str) -> Deferred[Any]:
    """-> Deferred(list of addresses as text, the one to use first). A literal is answered at once; names go through the
    system's resolver, off the reactor's thread, and fail with `OSError`."""
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host)
        except OSError:
            continue
        return succeed([host])
    return deferToThread(_ask, host)


def _ask(host: str) -> list[str]:
    return [str(answer[4][0]) for answer in socket.getaddrinfo(host, None, type=socket.SOCK_DGRAM)]
