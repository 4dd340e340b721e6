"""What names the session on a link in a Disconnect-Request or CoA-Request."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from prol2tp.aaa.sessions import NONE, Names, one
from prol2tp.daemons.propppd.accounting_records import addresses_of
from prol2tp.daemons.propppd.radius import port_of

if TYPE_CHECKING:
    from prol2tp.daemons.propppd.link import PPPLink


def names_by(session_id: Callable[[Any], str]) -> Callable[[PPPLink], Names]:
    """For a `SessionIndex`. Links have no Acct-Multi-Session-Id: a request with one fits none.

    :param session_id: the Acct-Session-Id of a link.
    """

    def names_of(link: PPPLink) -> Names:
        port, authorization, has = port_of(link), link.authorization, addresses_of(link)
        address = has.ip_address or (link.lease.text if link.lease is not None else "")
        return (
            one(link.user), one(session_id(link)), one(address), one(has.interface_id),
            _both(authorization.ipv6_prefixes, has.ipv6_prefixes),
            _both(authorization.ipv6_addresses, has.ipv6_addresses),
            _both(authorization.delegated_prefixes, has.delegated_ipv6_prefixes),
            one(port.called_station_id), one(port.calling_station_id), one(port.nas_port),
            one(port.nas_port_id), one(authorization.chargeable_user_identity), NONE,
        )

    return names_of


def _both(granted: tuple[str, ...], given: tuple[str, ...]) -> tuple[str, ...]:
    """What the user was granted, leased or not, and what he has got out of pools."""
    if not granted or granted == given:
        return given
    return tuple(dict.fromkeys(granted + given))
