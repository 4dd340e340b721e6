"""Layouts of prol2tpd: the daemon, tunnels, sessions. See `format.py`."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Any

from prol2tp.cli.format import JSON, Columns, clean, clock, host

_FLAGS = {"net": "N", "config": "C", "local": "L", "proacd": "A"}


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
