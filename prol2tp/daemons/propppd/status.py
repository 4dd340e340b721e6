"""The daemon's state as the records of the control protocol (`control/commands/propppd.py`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from prol2tp import __version__
from prol2tp.control.commands.propppd import LINK_KINDS
from prol2tp.control.commands.propppd_status import RADIUS_COUNTS
from prol2tp.control.paging import page
from prol2tp.daemons import traffic
from prol2tp.daemons.logs import Level, Log
from prol2tp.daemons.propppd.accounting_service import AccountingService
from prol2tp.daemons.propppd.addresses import Pool
from prol2tp.daemons.propppd.authorization import place
from prol2tp.daemons.propppd.directory import Directory
from prol2tp.daemons.propppd.link import PPPLink
from prol2tp.daemons.propppd.links import Links
from prol2tp.daemons.propppd.prefixes import PrefixPool
from prol2tp.daemons.propppd.rates import DOWN, UP, Rates
from prol2tp.daemons.propppd.tallies import Tallies
from prol2tp.ppp import chap, eap, eappeer, pap
from prol2tp.ppp.automaton import Automaton
from prol2tp.ppp.link import Phase
from prol2tp.radius.client import RadiusClient
from prol2tp.radius.counters import DynamicCounters
from prol2tp.radius.values import Route

MOST_FOUND = 1000
SUPPORT = "https://github.com/prol2tp/prol2tp"
LICENSE = "open source, MIT"

_SYSLOG_LEVEL = {Level.CRITICAL: 2, Level.ERROR: 3, Level.WARNING: 4, Level.NOTICE: 5, Level.INFO: 6, Level.DEBUG: 7}
_DYNAMIC = {"disconnect_requests", "disconnect_responses", "coa_requests", "coa_responses"}
_AUTHENTICATING = (Phase.AUTHENTICATE, Phase.NETWORK)

PAP_OURS = {pap.PeerState.CLOSED: "CLOSED", pap.PeerState.AUTHREQ: "AUTHREQ", pap.PeerState.OPEN: "OPEN",
            pap.PeerState.BADAUTH: "BADAUTH"}
PAP_PEERS = {pap.OurState.CLOSED: "CLOSED", pap.OurState.LISTEN: "LISTEN", pap.OurState.ASKED: "LISTEN",
             pap.OurState.OPEN: "OPEN", pap.OurState.BADAUTH: "BADAUTH"}
CHAP_LOCAL = {
    chap.OurState.CLOSED: (), chap.OurState.CHALLENGED: ("started", "timeout"), chap.OurState.ASKED: ("started",),
    chap.OurState.OPEN: ("started", "done"), chap.OurState.BADAUTH: ("started", "failed"),
    chap.OurState.RETRY: ("started", "timeout"), chap.OurState.UNANSWERED: ("started", "done"),
}
CHAP_PEER = {
    chap.PeerState.CLOSED: (), chap.PeerState.LISTEN: ("started",), chap.PeerState.RESPONDED: ("started", "timeout"),
    chap.PeerState.OPEN: ("started", "done"), chap.PeerState.BADAUTH: ("started", "failed"),
}


class ConfigCounts:
    """Configuration files read."""

    __slots__ = ("updates", "failures")

    def __init__(self) -> None:
        self.updates = 1
        self.failures = 0


class Status:
    """Records of the daemon and its links."""

    def __init__(self, links: Links, configs: ConfigCounts, config_file: str, log: Log,
                 radius: RadiusClient | None = None, dynamic: DynamicCounters | None = None,
                 accounting: AccountingService | None = None, rates: Rates | None = None,
                 tallies: Tallies | None = None,
                 directory: Directory | None = None) -> None:
        self._links = links
        self._tallies = tallies or Tallies()
        self._directory = directory or Directory()
        self._dynamic = dynamic
        self._log = log
        self._radius = radius
        self._accounting = accounting
        self._rates = rates
        self._configs = configs
        self._config_file = config_file
        self._started_at = links.wall()

    def system(self) -> dict[str, Any]:
        """A `status` record."""
        links, counts = self._links, self._links.counts
        return {
            "version": __version__,
            "support": SUPPORT,
            "license": LICENSE,
            "ppp": {
                "instances": len(links),
                "create_requests": counts.create_requests, "create_failures": counts.create_failures,
                "destroy_requests": counts.destroy_requests, "destroy_failures": counts.destroy_failures,
            },
            "radius": self._radius_counts(),
            "accounting_queue": self._accounting.record() if self._accounting is not None else None,
            "events": {"created": counts.created, "destroyed": counts.destroyed, "up": counts.up,
                       "down": counts.down},
            "config": {"updates": self._configs.updates, "failures": self._configs.failures},
            "log_level": self._log.level.name.lower(),
            "started_at": self._started_at,
            "config_file": self._config_file,
            "filters": self._filters(),
            "rate_limits": self._rate_limits(),
            "setup": self._tallies.setup.record(),
            "ends": self._tallies.ends.record(),
        }

    def _radius_counts(self) -> dict[str, int]:
        """A `radius-counts` record."""
        record = {field.name: 0 for field in RADIUS_COUNTS.fields}
        client = self._radius
        if self._dynamic is not None:
            for name in _DYNAMIC:
                record[name] = getattr(self._dynamic, name)
            record["dynamic_discards"] = self._dynamic.discards
        if client is not None:
            for name in record.keys() - _DYNAMIC - {"dynamic_discards"}:
                record[name] = getattr(client.counters, name, 0)
            record["auth_in_progress"] = client.auth_in_progress
            record["accounting_in_progress"] = client.acct_in_progress
        return record

    def pools(self, cursor: str | None, limit: int | None) -> dict[str, Any]:
        """A page of `pool-row` records."""
        links = self._links
        pools: dict[int, Pool] = dict(enumerate((*links.addresses.pools.values(), *links.prefixes.pools.values())))
        return page(pools, cursor, limit, lambda key: pool_row(pools[key]))

    def list(self, filter: str | None, cursor: str | None, limit: int | None) -> dict[str, Any]:
        """A page of `link-row` records."""
        by_number = self._links.by_number

        def row(number: int) -> dict[str, Any] | None:
            link = by_number[number]
            return None if filter and link.up != (filter == "up") else self.row(link)

        return page(self._links.roll, cursor, limit, row)

    def of_user(self, user: str) -> Sequence[dict[str, Any]]:
        """`link-row` records."""
        return [self.row(link) for link in self._directory.find(user)[:MOST_FOUND]]

    def traffic(self, limit: int | None) -> dict[str, Any]:
        """The answer of ShowTraffic. Raises `Invalid`."""
        traffic = self._links.traffic
        most = traffic.ask(limit)
        by_number = self._links.by_number
        # some may have ended since they were measured
        found = [(link, rates) for number, rates in traffic.busiest if (link := by_number.get(number)) is not None]
        return {"traffic": traffic.record(), "links": [_busy(link, rates) for link, rates in found[:most]]}

    def row(self, link: PPPLink) -> dict[str, Any]:
        """A `link-row` record."""
        return {
            "name": link.name, "interface": link.interface_name, "duration": self._duration(link), "up": link.up,
            "state": state(link), "user": link.shown_user, "id": link.carrier.id,
        }

    def _duration(self, link: PPPLink) -> float:
        return round(self._links.clock.seconds() - link.up_since, 3) if link.up else 0

    def link(self, link: PPPLink, counters: Sequence[Any] | None = None) -> dict[str, Any]:
        """A `link` record. `counters`: those of its port, where the carrier shows some."""
        core, carrier = link.core, link.carrier
        level = self._links.log.level if link.level is None else link.level
        return {
            "name": link.name,
            "interface": link.interface_name,
            "created_at": link.created_at,
            "type": carrier.kind,
            "profile": carrier.ppp_profile,
            "user": link.shown_user,
            "up": link.up,
            "debug": _SYSLOG_LEVEL[level],
            "connect_delay": int(link.connect_delay * 1000),
            "state": state(link),
            "connect_seconds": self._duration(link),
            "mtu": core.mtu,
            "peer_mru": core.peer_mru,
            "mtu_limits": {"profile": link.profile.mtu, "carrier": carrier.mtu, "user": core.mtu_limit,
                           "peer": core.peer_mru},
            "run_count": core.run_count,
            "lcp": self._lcp(link),
            "ccp": None if core.ccp is None else automaton(link, core.ccp),
            "ipcp": None if core.ipcp is None else ncp(link, core.ipcp),
            "ipv6cp": None if core.ipv6cp is None else ncp(link, core.ipv6cp),
            "pap": _pap(link),
            "chap": _chap(link),
            "eap": _eap(link),
            "radius": _radius(link),
            "auth": _auth(link),
            **dict.fromkeys(LINK_KINDS),
            carrier.kind: carrier.record(self._links.clock.seconds(), counters),
            "ipv6": link.ipv6.record() if link.ipv6 is not None and link.ipv6.running else None,
            "network": network(link),
            "rate": self._rate(link),
        }

    def _rate(self, link: PPPLink) -> dict[str, Any] | None:
        """A `rate` record."""
        limit = self._rates.of(link) if self._rates is not None else None
        if limit is None or not any(limit.rates):
            return None
        return {"up": limit.rates[UP], "up_by": limit.by[UP], "down": limit.rates[DOWN], "down_by": limit.by[DOWN]}

    def _filters(self) -> dict[str, Any] | None:
        """A `filter-counts` record."""
        filters = self._links.filters
        if not filters.unknown and not filters.failures:
            return None
        return {"unknown": filters.unknown, "failures": filters.failures}

    def _rate_limits(self) -> dict[str, Any] | None:
        """A `rate-limits` record."""
        rates = self._rates
        if rates is None or not rates.abilities:
            return None
        return {"links": len(rates), "failures": rates.failures, "kernel": rates.abilities}

    def _lcp(self, link: PPPLink) -> dict[str, Any]:
        core = link.core
        at = core.lcp.echo_at
        return {
            "echo_interval": core.settings.lcp_echo_interval,
            "echo_failures": core.settings.lcp_echo_failures,
            "next_echo": 0 if at is None else round(max(0.0, at - self._links.clock.seconds()), 3),
            **automaton(link, core.lcp),
            "peer_identification": core.lcp.peer_identification,
            "proxied": core.proxied[0],
        }


def _radius(link: PPPLink) -> dict[str, Any] | None:
    session = link.accounting
    if not link.radius and session is None:
        return None
    return {"status": link.radius, "accounting_updates": session.updates if session is not None else 0}


def network(link: PPPLink) -> dict[str, Any] | None:
    """A `network` record."""
    authorization = link.authorization
    table, vrf = place(authorization, link.network)
    lease = link.lease
    record = {
        "pool": lease.pool.name if lease is not None and lease.pool is not None else "",
        "routes": [route_text(route) for route in authorization.behind],
        "filters": list(authorization.filters or link.profile.filter),
        "table": link.interface.table if vrf and link.interface is not None else table,
        "vrf": vrf,
    }
    more = any(value for name, value in record.items() if name != "pool")
    return record if more and (link.up or link.user) else None


def route_text(route: Route) -> str:
    """As ip(8) writes it."""
    via = f" via {route.gateway}" if route.gateway else ""
    return f"{route.prefix}{via}" + (f" metric {route.metric}" if route.metric is not None else "")


def pool_row(pool: Pool) -> dict[str, Any]:
    """A `pool-row` record."""
    kind, length = ("ipv6_pool", pool.length) if isinstance(pool, PrefixPool) else ("ip_pool", 32)
    return {
        "name": pool.name, "kind": kind, "length": length,
        "size": pool.size, "used": pool.used, "reserved": pool.reserved, "free": pool.free,
        "exhausted": pool.exhausted, "failures": pool.failures, "next": pool.next,
    }


def state(link: PPPLink) -> str:
    """The phase, RUNNING when a network protocol is up."""
    return "RUNNING" if link.up else link.core.phase.name


def automaton(link: PPPLink, machine: Automaton) -> dict[str, Any]:
    """What LCP and the network control protocols have in common."""
    settings = link.core.settings
    return {
        "want": list(machine.want), "got": list(machine.got), "allow": list(machine.allow), "his": list(machine.his),
        "state": machine.state.name.replace("_", ""),
        "timeout": settings.restart_interval,
        "max_configure": settings.max_configure, "max_terminate": settings.max_terminate,
        "retransmits": machine.retransmits, "naks": machine.naks, "naks_since_ack": machine.naks_since_ack,
    }


def ncp(link: PPPLink, machine: Any) -> dict[str, Any]:
    """An `ipcp` or `ipv6cp` record."""
    addresses = machine.addresses() if machine.announced else None
    local, peer = addresses or ("", "")
    record = {**automaton(link, machine), "local": local, "peer": peer}
    if machine is link.core.ipcp and link.network.proxy_arp:
        record["allow"].append("proxyarp")
    return record


def _pap(link: PPPLink) -> dict[str, Any]:
    settings, method = link.core.settings, link.core.pap
    return {"timeout": settings.pap_timeout, "restart": settings.pap_restart,
            "our_state": PAP_OURS[method.peer_state], "peer_state": PAP_PEERS[method.our_state]}


def _chap(link: PPPLink) -> dict[str, Any]:
    settings, method = link.core.settings, link.core.chap
    lower = ("lowerup",) if link.core.phase in _AUTHENTICATING else ()
    return {"timeout": settings.chap_restart, "rechallenge": settings.chap_interval,
            "local_state": [*lower, *CHAP_LOCAL[method.our_state]], "transmits": method.transmits,
            "peer_state": [*lower, *CHAP_PEER[method.peer_state]]}


EAP_LOCAL = {
    eap.OurState.CLOSED: "Closed", eap.OurState.IDENTITY: "Identify", eap.OurState.METHOD: "Method",
    eap.OurState.ASKED: "Asked", eap.OurState.CONFIRM: "Confirm", eap.OurState.REFUSED: "Refused",
    eap.OurState.OPEN: "Open", eap.OurState.BADAUTH: "BadAuth",
}
EAP_PEER = {
    eappeer.PeerState.CLOSED: "Closed", eappeer.PeerState.LISTEN: "Listen", eappeer.PeerState.ANSWERED: "Answered",
    eappeer.PeerState.DONE: "Done", eappeer.PeerState.OPEN: "Open", eappeer.PeerState.BADAUTH: "BadAuth",
}


def _eap(link: PPPLink) -> dict[str, Any]:
    settings, method = link.core.settings, link.core.eap
    local: dict[str, Any] = {"state": "Closed", "requests": 0, "responses": 0, "timeout": settings.eap_restart,
                             "max_requests": settings.eap_max_requests}
    peer: dict[str, Any] = {"state": "Closed", "requests": 0, "responses": 0, "timeout": settings.eap_timeout,
                            "max_requests": settings.eap_max_received}
    if method is not None:
        local.update(state=EAP_LOCAL[method.our_state], requests=method.requests, responses=method.responses)
        peer.update(state=EAP_PEER[method.peer_state], requests=method.requests_received,
                    responses=method.responses_sent)
    return {"local": local, "peer": peer}


def _auth(link: PPPLink) -> dict[str, Any]:
    core = link.core
    settings = core.settings
    local, peer = core.auth_done
    return {
        "remote_name": link.user,
        "config_local": list(settings.auth_methods) if settings.auth else [],
        "config_peer": list(settings.allow_methods) if settings.user else [],
        "done_local": [local] if local else [],
        "done_peer": [peer] if peer else [],
        "proxied": core.proxied[1],
    }


def _busy(link: PPPLink, rates: traffic.Rates) -> dict[str, Any]:
    """A `busy-link-row` record."""
    return {
        "name": link.name, "type": link.carrier.kind, "user": link.shown_user, "interface": link.interface_name,
        "address": link.lease.text if link.lease is not None else "", **rates.record(),
    }
