"""Why PPP links ended: a record of each in a bounded history."""

from __future__ import annotations

from typing import Any

from prol2tp.control.paging import texts_page
from prol2tp.daemons.propppd.followers import Follower
from prol2tp.daemons.propppd.link import PPPLink
from prol2tp.dataplane.interface import COUNTERS
from prol2tp.ppp.causes import CAUSES, acct_terminate_cause
from prol2tp.radius.accounting import AccountingRequest
from prol2tp.spool.history import History

FILE = "propppd-history.sqlite"


_KINDS = {"l2tp": "pppol2tp", "pppoe": "pppoe"}
"""Of links, by the first word of their NAS-Port-Id."""


class LinkHistory(Follower):
    """What has ended."""

    def __init__(self, history: History) -> None:
        self.history = history
        self._ends: dict[PPPLink, dict[str, Any]] = {}
        """Of links that have ended, until their final counters are known."""

    def link_ended(self, link: PPPLink) -> None:
        """Follower."""
        self._ends[link] = self._row(link)

    def link_counted(self, link: PPPLink) -> None:
        """Follower."""
        row = self._ends.pop(link, None)
        if row is None:
            return
        row["counters"] = dict(zip(COUNTERS, link.totals, strict=False)) if link.totals else None
        tunnel, session = link.carrier.numbers
        self.history.add(row, kind="link", tunnel=tunnel, session=session, peer=row["peer"], user=row["user"])

    def left_over(self, stop: AccountingRequest) -> None:
        """A session of a former run, which was killed: what accounting knows of it."""
        cause = CAUSES["NAS Reboot"]
        kind, _, id = stop.port.nas_port_id.partition(" ")
        seconds = float(stop.session_time or 0)
        user = stop.user if isinstance(stop.user, str) else stop.user.decode("utf-8", "replace")
        row = {
            "ended_at": float(stop.event_timestamp), "created_at": stop.event_timestamp - seconds,
            "seconds_up": seconds, "name": "", "type": _KINDS.get(kind, "tty"), "id": id if kind in _KINDS else "",
            "profile": "", "user": user, "peer": stop.port.calling_station_id, "interface": "",
            "address": stop.addresses.ip_address, "delegated": list(stop.addresses.delegated_ipv6_prefixes),
            "cause": cause.word, "acct_terminate_cause": cause.acct_terminate_cause, "message": cause.text,
            "last_state": "NETWORK", "authentication": "", "counters": _counters(stop),
        }
        self.history.add(row, kind="link", peer=row["peer"], user=user)

    @staticmethod
    def _row(link: PPPLink) -> dict[str, Any]:
        links = link.links
        given = link.ipv6.given if link.ipv6 is not None else None
        refusal = f"refused: {link.refusal}" if link.refusal and not link.seconds_up else ""
        return {
            "ended_at": links.wall(), "created_at": link.created_at, "seconds_up": link.seconds_up,
            "name": link.name, "type": link.carrier.kind, "id": link.carrier.id, "profile": link.carrier.ppp_profile,
            "user": link.user_at_end, "peer": link.carrier.peer, "interface": link.interface_name,
            "address": link.lease.text if link.lease is not None else "",
            "delegated": [str(one) for one in given.delegated] if given else [],
            "cause": link.cause, "acct_terminate_cause": acct_terminate_cause(link.cause),
            "message": refusal or link.message,
            "last_state": link.core.phase.name, "authentication": link.radius, "counters": None,
        }

    def page(self, cursor: str | None, limit: int | None, user: str | None) -> dict[str, Any]:
        """The answer of ListHistory."""
        match = {"user": user} if user is not None else {}
        return texts_page(cursor, limit, lambda before, most, room: self.history.read(before, most, room, **match))


def _counters(stop: AccountingRequest) -> dict[str, int] | None:
    """What accounting counts, and nothing else."""
    if stop.input_octets is None:
        return None
    known = {"rx_octets": stop.input_octets, "tx_octets": stop.output_octets, "rx_packets": stop.input_packets,
             "tx_packets": stop.output_packets}
    return {name: known.get(name) or 0 for name in COUNTERS}
