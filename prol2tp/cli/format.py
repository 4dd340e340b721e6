"""Records of the control channel as text: pure functions, the layouts that operators know.

Every function takes a record of `control/commands/*.py` and gives lines without line ends. Text that a peer chose
cannot break a line: control characters are shown as `\\xNN`. Missing text is `-` in lists and details.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

JSON = dict[str, Any]
_FLAGS = {"net": "N", "config": "C", "local": "L", "proacd": "A"}
_DIRECTION = (0x2028, 0x2029, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
"""What ends a line or turns the direction of writing."""
_CONTROL = {
    **{code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))},
    **{code: f"\\u{code:04x}" for code in _DIRECTION},
}
_CONTROL_JSON = {code: f"\\u{code:04x}" for code in (*range(127, 160), *_DIRECTION)}


def clean(text: Any) -> str:
    """Text in one line."""
    return str(text).translate(_CONTROL)


def clean_json(text: str) -> str:
    """JSON with what a terminal would obey written as escapes, which is the same JSON."""
    return text.translate(_CONTROL_JSON)


def clock(seconds: float) -> str:
    """`HH:MM:SS`, the hours as many digits as they need."""
    whole = max(0, int(seconds))
    return f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}"


def duration(seconds: float) -> str:
    """`H:MM:SS`."""
    whole = max(0, int(seconds))
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"


def host(address: str) -> str:
    """The address of `192.0.2.1:1701` or `[2001:db8::1]:1701`."""
    return clean(address.rpartition(":")[0].strip("[]") or "-")


def number(value: float) -> str:
    """A number of seconds: an integer where it is one."""
    return f"{value:g}"


class Columns:
    """A table that grows with its rows: widths only ever get larger, so pages can be printed as they come."""

    def __init__(self, *columns: tuple[str, str, int]) -> None:
        self._names = [name for name, _, _ in columns]
        self._aligns = [align for _, align, _ in columns]
        self._widths = [width for _, _, width in columns]

    def lines(self, rows: Iterable[Sequence[str]]) -> list[str]:
        """The lines of some rows; the last column is never padded."""
        rows = list(rows)
        if rows:
            self._widths = [
                max(width, *map(len, cells)) for width, cells in zip(self._widths, zip(*rows, strict=True), strict=True)
            ]
        *padded, _ = (f"{{:{align}{width}}}" for align, width in zip(self._aligns, self._widths, strict=True))
        line = " ".join([*padded, "{}"]).format
        return [line(*row) for row in rows]

    def pages(self, pages: Iterable[Iterable[Sequence[str]]]) -> Iterator[str]:
        """Heading and lines, page by page; the heading has the widths of the first page."""
        heading: list[Sequence[str]] = [self._names]
        for page in pages:
            yield from self.lines([*heading, *page])
            heading = []
        yield from self.lines(heading)


# prol2tp


def system(record: JSON) -> list[str]:
    """`prol2tp show system`."""
    lines = [f"ProL2TP V{clean(record['version'])}", f"  {clean(record['copyright'])}", "", "L2TP configuration:"]
    lines += [f"  listening on: {clean(address)}" for address in record["listen"]]
    lines.append(f"  hostname: {clean(record['hostname'])}")
    if record["router_id"] is not None:
        lines.append(f"  router id: {record['router_id']}")
    lines += [
        f"  log level: {clean(record['log_level']).upper()}",
        "L2TP service status:",
        f"  tunnels: {record['tunnels']}, sessions: {record['sessions']}",
        f"  data path: {clean(record['data_path'] or 'none')}",
    ]
    return lines + [f"    {clean(note)}" for note in record["data_path_notes"]]


def _up(row: JSON) -> str:
    return "UP" if row["state"] == "ESTABLISHED" else "DOWN"


def _tunnel_cells(row: JSON) -> list[str]:
    return [
        _FLAGS.get(row["origin"], "?"),
        str(row["tunnel_id"]),
        clean(row["name"] or "-"),
        _up(row),
        clock(row["state_seconds"]),
        host(row["peer"]),
    ]


def tunnels(pages: Iterable[Iterable[JSON]]) -> Iterator[str]:
    """`prol2tp show tunnels`, from pages of `tunnel-row` records."""
    table = Columns(
        (" ", "", 1), ("TunId", ">", 10), ("Name", ">", 4), ("State", ">", 5), ("Time", ">", 9), ("Peer", "", 0)
    )
    return table.pages(map(_tunnel_cells, page) for page in pages)


def _session_cells(row: JSON) -> list[str]:
    return [
        _FLAGS.get(row["origin"], "?"),
        str(row["tunnel_id"]),
        str(row["session_id"]),
        clean(row["tunnel_name"] or "-"),
        clean(row["name"] or "-"),
        clean(row["type"]).upper(),
        _up(row),
        clock(row["state_seconds"]),
        clean(row["identifier"] or "-"),
    ]


def sessions(pages: Iterable[Iterable[JSON]]) -> Iterator[str]:
    """`prol2tp show sessions`, from pages of `session-row` records."""
    table = Columns(
        (" ", "", 1),
        ("TunId", ">", 10),
        ("SessId", ">", 10),
        ("TunName", ">", 7),
        ("SessName", ">", 8),
        ("Type", ">", 6),
        ("State", ">", 5),
        ("Time", ">", 9),
        ("Identifier", "", 0),
    )
    return table.pages(map(_session_cells, page) for page in pages)


def _details(pairs: Iterable[tuple[str, Any]]) -> list[str]:
    return [f"  {label + ':':<28}{clean(value if value != '' else '-')}" for label, value in pairs]


def _created(seconds: float) -> str:
    # %d, not %e: the day has two digits
    return time.strftime("%b %d %H:%M:%S %Y", time.localtime(seconds))


def _named(label: str, name: str) -> list[tuple[str, str]]:
    """A line that is there only for what has a name."""
    return [(label, name)] if name else []


def tunnel(record: JSON) -> list[str]:
    """`prol2tp show tunnel`."""
    return [
        f"Tunnel {record['tunnel_id']} from {clean(record['local'])} to {clean(record['peer'])}",
        *_details(
            [
                *_named("tunnel name", record["name"]),
                ("created at", _created(record["created_at"])),
                ("origin", record["origin"]),
                ("tunnel mode", record["mode"]),
                ("version", f"L2TPv{record['version']}"),
                ("encapsulation", record["encapsulation"].upper()),
                ("state", record["state"]),
                ("time since state change", clock(record["state_seconds"])),
                ("number of sessions", record["sessions"]),
                ("log level", record["log_level"].upper()),
                ("local tunnel id", record["tunnel_id"]),
                ("transport ns", record["ns"]),
                ("transport nr", record["nr"]),
                ("transport cwnd", record["cwnd"]),
                ("transport ssthres", record["ssthresh"]),
                ("transport tx window", record["tx_window"]),
                ("tunnel profile name", record["profile"]),
                ("peer tunnel id", record["peer_tunnel_id"]),
                ("peer host name", record["peer_host_name"]),
                ("peer vendor name", record["peer_vendor_name"]),
            ]
        ),
    ]


def _circuit(record: JSON) -> list[tuple[str, Any]]:
    """Lines that version 2 does not have. The cookies themselves are nobody's business."""
    circuit = record.get("circuit")
    if circuit is None:
        return []
    words = {True: "up", False: "down"}
    sublayers = {True: "default", False: "none"}
    return [
        *_named("remote end id", circuit["remote_end_id"]),
        *_named("interface", record["interface"]),
        ("circuit status", f"{words[circuit['active']]}, peer {words[circuit['peer_active']]}"),
        ("cookie length", f"{circuit['cookie_length']}, peer {circuit['peer_cookie_length']}"),
        ("l2 sublayer", f"{sublayers[circuit['sublayer']]}, peer {sublayers[circuit['peer_sublayer']]}"),
        *([("interface mtu", circuit["mtu"])] if circuit["mtu"] else []),
    ]


def session(record: JSON) -> list[str]:
    """`prol2tp show session`; with counters where the record has them."""
    lines = [
        f"Session {record['session_id']} on tunnel {record['tunnel_id']}:",
        *_details(
            [
                *_named("tunnel name", record["tunnel_name"]),
                *_named("session name", record["name"]),
                ("created at", _created(record["created_at"])),
                ("state", record["state"]),
                ("origin", record["origin"]),
                ("time since state change", clock(record["state_seconds"])),
                ("pseudowire type", record["type"].upper()),
                ("log level", record["log_level"].upper()),
                ("tunnel id", record["tunnel_id"]),
                ("session id", record["session_id"]),
                ("peer session id", record["peer_session_id"]),
                ("session profile name", record["profile"]),
                ("pseudowire profile name", record["pseudowire_profile"]),
                *_circuit(record),
            ]
        ),
    ]
    stats = record["stats"]
    if stats is not None:
        lines += _details(
            [
                (
                    f"data {way} pkts/bytes/errors",
                    f"{stats[way + '_packets']} / {stats[way + '_octets']} / {stats[way + '_errors']}",
                )
                for way in ("tx", "rx")
            ]
        )
        lines += _details([("data rx oos pkts/discards", f"{stats['rx_out_of_sequence']} / {stats['rx_discards']}")])
    return lines


# propppctl


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


def event(record: JSON) -> str:
    """A line of `propppctl events`: time, name, and what is known as `key=value`, without what is empty."""
    at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record["time"]))
    words = [f"{clean(key)}={_word(value)}" for key, value in record["data"].items() if value not in ("", None)]
    return " ".join([at, clean(record["event"]), *words])


def _word(value: Any) -> str:
    """In quotes where it would not be one word."""
    text = clean(value)
    return f'"{text}"' if " " in text else text


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
