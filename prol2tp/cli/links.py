"""Layouts of propppd: the daemon, its servers and pools, PPP links. See `format.py`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator

from prol2tp.cli.format import JSON, Columns, clean, duration, number


def status(record: JSON) -> list[str]:
    """`propppctl status`."""
    ppp, radius, events, config = record["ppp"], record["radius"], record["events"], record["config"]
    return [
        f"ProPPP v{clean(record['version'])}",
        f"  support: {clean(record['support'])}",
        "License:",
        f"  {clean(record['license'])}",
        "PPP:",
        f"  ppp instance count: {ppp['instances']}",
        f"  create requests: {ppp['create_requests']}, failures: {ppp['create_failures']}",
        f"  destroy requests: {ppp['destroy_requests']}, failures: {ppp['destroy_failures']}",
        "RADIUS:",
        f"  access requests: {radius['access_requests']}, accepts: {radius['access_accepts']},"
        f" rejects: {radius['access_rejects']}, challenges: {radius['access_challenges']}",
        f"  accounting starts: {radius['accounting_starts']}, stops: {radius['accounting_stops']},"
        f" updates: {radius['accounting_updates']}, responses: {radius['accounting_responses']}",
        f"  disconnect requests: {radius['disconnect_requests']}, responses: {radius['disconnect_responses']}",
        f"  retransmits: {radius['retransmits']}, timeouts: {radius['timeouts']}",
        f"  auth requests in progress: {radius['auth_in_progress']},"
        f" accounting requests in progress: {radius['accounting_in_progress']}",
        "Events:",
        f"  created: {events['created']}, destroyed: {events['destroyed']}, up: {events['up']}, down: {events['down']}",
        "Config:",
        f"  config updates: {config['updates']}, failures: {config['failures']}",
        *_accounting_queue(record["accounting_queue"]),
        *_filters(record["filters"]),
        *_rate_limits(record["rate_limits"]),
    ]


def _server_cells(row: JSON) -> list[str]:
    counts = ("requests", "answers", "retransmits", "timeouts", "in_progress")
    return [
        clean(row["name"]),
        clean(row["kind"]),
        "UP" if row["alive"] else "DEAD",
        duration(row["state_seconds"]),
        *(str(row[name]) for name in counts),
        clean(row["address"]),
    ]


def servers(pages: Iterable[Iterable[JSON]]) -> Iterator[str]:
    """`propppctl servers`, from pages of `server-row` records."""
    table = Columns(
        ("Name", "<", 16), ("Kind", "<", 4), ("State", ">", 5), ("Time", ">", 10), ("Requests", ">", 9),
        ("Answers", ">", 9), ("Resent", ">", 8), ("Timeouts", ">", 8), ("Waiting", ">", 7), ("Address", "", 0),
    )  # fmt: skip
    return table.pages(map(_server_cells, page) for page in pages)


def _pool_cells(row: JSON) -> list[str]:
    counts = ("size", "used", "reserved", "free", "failures")
    return [
        clean(row["name"]),
        f"/{row['length']}",
        "USED UP" if row["exhausted"] else "OK",
        *(str(row[name]) for name in counts),
        clean(row["next"]) or "-",
    ]


def pools(pages: Iterable[Iterable[JSON]]) -> Iterator[str]:
    """`propppctl pools`, from pages of `pool-row` records."""
    table = Columns(
        ("Name", "<", 16), ("Gives", "<", 5), ("State", ">", 7), ("Size", ">", 12), ("Used", ">", 9),
        ("Reserved", ">", 9), ("Free", ">", 12), ("Failures", ">", 9), ("Next", "", 0),
    )  # fmt: skip
    return table.pages(map(_pool_cells, page) for page in pages)


def _accounting_queue(record: JSON | None) -> list[str]:
    """After the lines of the manual: nothing where there is nothing to account."""
    if record is None:
        return []
    trouble = [f"  trouble: {clean(record['trouble'])}"] if record["trouble"] else []
    return [
        "Accounting queue:",
        f"  records: {record['depth']}, oldest: {duration(record['oldest'])}, servers dead: {record['waiting']}",
        f"  unsaved: {record['unsaved']}, coalesced: {record['coalesced']}, refused: {record['refused']}",
        *trouble,
    ]


def _filters(record: JSON | None) -> list[str]:
    """After the lines of the manual: nothing where nothing is wrong."""
    if record is None:
        return []
    return ["Filters:", f"  unknown: {record['unknown']}, failures: {record['failures']}"]


def _rate_limits(record: JSON | None) -> list[str]:
    """After the lines of the manual: nothing where no link was ever limited."""
    if record is None:
        return []
    return [
        "Rate limits:",
        f"  links: {record['links']}, failures: {record['failures']}",
        f"  kernel: {clean(record['kernel'])}",
    ]


def _link_cells(row: JSON) -> list[str]:
    return [
        clean(row["name"]),
        clean(row["interface"] or "-"),
        duration(row["duration"]),
        "UP" if row["up"] else "DOWN",
        clean(row["user"] or "-"),
    ]


def links(pages: Iterable[Iterable[JSON]]) -> Iterator[str]:
    """`propppctl list`, from pages of `link-row` records."""
    table = Columns(
        ("Name", "<", 16), ("Interface", "<", 16), ("Duration", ">", 10), ("State", ">", 8), ("User", "", 0)
    )
    return table.pages(map(_link_cells, page) for page in pages)


def _automaton(record: JSON) -> list[str]:
    return [
        *(f"  {name}: {clean(' '.join(record[name]))}".rstrip() for name in ("want", "got", "allow", "his")),
        f"  state: {clean(record['state'])}",
        f"  timeout: {number(record['timeout'])}",
        f"  max confreqs: {record['max_configure']}, max termreqs: {record['max_terminate']}",
        f"  retransmits: {record['retransmits']}, naks: {record['naks']}",
        f"  naks since last ack: {record['naks_since_ack']}",
    ]


def _lcp(record: JSON) -> list[str]:
    return [
        f"  echo interval: {number(record['echo_interval'])}, max echo failures: {record['echo_failures']}",
        f"  next echo: {int(record['next_echo'])}",
        *_automaton(record),
        *([f"  peer identification: {clean(record['peer_identification'])}"] if record["peer_identification"] else []),
        *(["  proxied: as the access concentrator has negotiated it"] if record["proxied"] else []),
    ]


def _network(record: JSON) -> list[str]:
    return [
        *_automaton(record),
        f"  local ip: {clean(record['local'] or '-')}",
        f"  peer ip: {clean(record['peer'] or '-')}",
    ]


def _pap(record: JSON) -> list[str]:
    return [
        f"  auth timeout: {number(record['timeout'])}, retransmit interval: {number(record['restart'])}",
        f"  our state: {clean(record['our_state'])}, peer state: {clean(record['peer_state'])}",
    ]


def _words(words: Iterable[str]) -> str:
    return "".join(f" {clean(word)}" for word in words)


def _chap(record: JSON) -> list[str]:
    return [
        f"  timeout: {number(record['timeout'])}, rechallenge time: {number(record['rechallenge'])}",
        f"  local state: {_words(record['local_state'])}",
        f"  transmits: {record['transmits']}",
        f"  peer state: {_words(record['peer_state'])}",
    ]


def _eap(record: JSON) -> list[str]:
    lines = []
    for name in ("local", "peer"):
        side = record[name]
        lines += [
            f"  {name}:",
            f"  state: {clean(side['state'])}",
            f"   requests: {side['requests']}, responses: {side['responses']}",
            f"   timeout: {number(side['timeout'])}, max requests: {side['max_requests']}",
        ]
    return lines


def _radius(record: JSON) -> list[str]:
    return [f"  status: {clean(record['status'])}", f"  acct updates: {record['accounting_updates']}"]


def _auth(record: JSON) -> list[str]:
    return [
        f"  remote name: '{clean(record['remote_name'])}'",
        f"  config: local: {_words(record['config_local'])}, peer:{_words(record['config_peer'])}",
        f"  done: local: {_words(record['done_local'])}, peer:{_words(record['done_peer'])}",
        *(["  proxied: the proof was given to the access concentrator"] if record["proxied"] else []),
    ]


def _pppol2tp(record: JSON) -> list[str]:
    return [
        f"  protocol version: L2TPv{record['version']} ({'LNS' if record['lns'] else 'LAC'})",
        f"  id: {record['tunnel_id']}/{record['session_id']}",
        f"  peer id: {record['peer_tunnel_id']}/{record['peer_session_id']}",
    ]


def _pppoe(record: JSON) -> list[str]:
    vlan = f", vlan: {record['vlan']}" if record["vlan"] else ""
    return [
        f"  interface: {clean(record['interface'])}{vlan}",
        f"  service name: '{clean(record['service_name'])}', ac name: '{clean(record['ac_name'])}'",
        f"  state: {clean(record['state'])}",
        f"  session id: {record['session_id']}, peer mac: {clean(record['peer_mac'] or '-')}",
        f"  interface mtu: {record['interface_mtu']}, max payload: {record['max_payload']}",
        f"  failures: {record['failures']}, next try: {int(record['next_try'])}",
    ]


def _tty(record: JSON) -> list[str]:
    return [
        f"  device: {clean(record['device'])}, speed: {record['speed']}",
        f"  send asyncmap: {record['send_accm']:08x}, receive asyncmap: {record['receive_accm']:08x}",
        f"  bad frames: {record['bad_frames']}",
        f"  failures: {record['failures']}, next try: {int(record['next_try'])}",
    ]


def _ipv6(record: JSON) -> list[str]:
    return [
        *(f"  {name}: {clean(' '.join(record[name]) or '-')}" for name in ("prefixes", "addresses", "delegated")),
        f"  leased: {clean(' '.join(record['leased']) or '-')}",
        *(f"  {name}: {clean(' '.join(record[name]))}" for name in ("dns", "routes") if record[name]),
        f"  router advertisements: {record['advertisements']}, solicitations: {record['solicitations']}",
        f"  dhcpv6 received: {record['dhcpv6_received']}, sent: {record['dhcpv6_sent']}",
        f"  bad packets: {record['bad']}",
    ]


def _behind(record: JSON) -> list[str]:
    lines = [f"  pool: {clean(record['pool'])}"] if record["pool"] else []
    lines += [f"  route: {clean(route)}" for route in record["routes"]]
    if record["filters"]:
        lines.append(f"  filters:{_words(record['filters'])}")
    if record["vrf"]:
        lines.append(f"  vrf: {clean(record['vrf'])}")
    return lines + ([f"  table: {record['table']}"] if record["table"] else [])


def _rate(record: JSON) -> list[str]:
    return [
        f"  {way}: {bits(record[way])}, by {clean(record[f'{way}_by'])}" if record[way] else f"  {way}: no limit"
        for way in ("up", "down")
    ]


def _mtu(record: JSON) -> list[str]:
    """What lowers the MTU; nothing while it is the profile's."""
    limits = record["mtu_limits"]
    if record["mtu"] == limits["profile"]:
        return []
    carrier = limits["carrier"] or "-"
    return [
        " mtu:",
        f"  profile: {limits['profile']}, carrier: {carrier}, user: {limits['user']}, peer: {limits['peer']}",
    ]


def bits(rate: int) -> str:
    """bit/s with a unit where that loses nothing, as in the configuration: `20M`."""
    for unit, size in (("G", 1_000_000_000), ("M", 1_000_000), ("k", 1000)):
        if rate and rate % size == 0:
            return f"{rate // size}{unit}"
    return str(rate)


_SECTIONS: tuple[tuple[str, Callable[[JSON], list[str]]], ...] = (
    ("lcp", _lcp),
    ("ccp", _automaton),
    ("ipcp", _network),
    ("ipv6cp", _network),
    ("pap", _pap),
    ("chap", _chap),
    ("eap", _eap),
    ("radius", _radius),
    ("auth", _auth),
    ("pppol2tp", _pppol2tp),
    ("pppoe", _pppoe),
    ("tty", _tty),
    ("ipv6", _ipv6),
    ("network", _behind),
    ("rate", _rate),
)
_TYPES = {"pppol2tp": "PPPoL2TP", "pppoe": "PPPoE"}


def link(record: JSON) -> list[str]:
    """`propppctl show`. A protocol that is not part of the link has no section."""
    lines = [
        f"  interface name: {clean(record['interface'] or '-')}",
        f"  created: {time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(record['created_at']))}",
        f"  type: {_TYPES.get(record['type'], clean(record['type']))}",
        f"  debug: {record['debug']}",
        f"  connect delay: {record['connect_delay']}",
        f"  state: {clean(record['state'])}",
        f"  connect time: {record['connect_seconds'] / 60:.1f} minutes",
        f"  link mtu: {record['mtu']}, peer mru: {record['peer_mru']}",
        f"  run count: {record['run_count']}",
    ]
    for name, section in _SECTIONS:
        if record[name] is not None:
            lines += [f" {name}:", *section(record[name])]
    return lines + _mtu(record)
