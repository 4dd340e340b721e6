"""The phases of a link (RFC 1661 section 3.2), and what it needs to get through them."""

from __future__ import annotations

from enum import Enum

from prol2tp.ppp.auth import PEER_METHODS
from prol2tp.ppp.eappacket import EAP_METHODS
from prol2tp.ppp.settings import LinkSettings


class Phase(Enum):
    DEAD = 0
    ESTABLISH = 1
    AUTHENTICATE = 2
    NETWORK = 3
    TERMINATE = 4


def check(settings: LinkSettings) -> None:
    """Raises `ValueError` for settings with which no link can work."""
    if settings.auth and not any(name in PEER_METHODS for name in settings.auth_methods):
        raise ValueError("auth is set, but none of auth_methods is known")
    if settings.auth and "eap" in settings.auth_methods and not (settings.eap_passthrough or settings.access):
        known = [name for name in settings.eap_methods if name in EAP_METHODS and (name != "tls" or settings.tls)]
        if not known:
            raise ValueError("eap is one of auth_methods, but none of eap_methods is known")
    if settings.access and settings.user:
        raise ValueError("access and user: an access concentrator does not prove who it is to a peer it hands over")
    for name in ("user", "password"):
        if len(getattr(settings, name).encode()) > 255:
            raise ValueError(f"{name} is longer than 255 octets")
    if not 0 < settings.mru < 1 << 16 or settings.mtu <= 0:
        raise ValueError("mru or mtu out of range")
