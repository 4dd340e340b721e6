"""Layouts of who moves how much, for `prol2tp top`. Rates are per second; in is from the peer, out to the peer."""

from __future__ import annotations

from prol2tp.cli.fitting import Column, table
from prol2tp.cli.format import JSON, clean, host

_RATES = (Column("In bit", ">", 7), Column("Out bit", ">", 7), Column("In pkt", ">", 7, 3),
          Column("Out pkt", ">", 7, 3))


def scaled(value: float, between: str = "") -> str:
    """A number of three digits and the letter of its size: `12.3M`."""
    for letter, size in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        # from where it would have four digits in the size below
        if value >= 0.9995 * size:
            return f"{value / size:#.3g}".removesuffix(".") + between + letter
    return f"{value:.0f}{between}"


def total(name: str, record: JSON) -> str:
    """What all of them move."""
    if record["age"] is None:
        return f"Traffic   {name} is being measured"
    ways = [f"{way} {scaled(record[f'{which}_bits'], ' ')}bit/s {scaled(record[f'{which}_packets'])} pkt/s"
            for way, which in (("in", "rx"), ("out", "tx"))]
    slow = f" over {record['took']:.0f} s" if record["took"] >= 5 else ""
    return f"Traffic   {name} {', '.join(ways)}{slow}"


def _rates(row: JSON) -> list[str]:
    return [scaled(row[name]) for name in ("rx_bits", "tx_bits", "rx_packets", "tx_packets")]


def tunnels(rows: list[JSON], width: int | None) -> list[str]:
    """The busiest tunnels."""
    columns = (Column("TunId", ">", 10), Column("Name", "<", 12, 2), *_RATES, Column("Sessions", ">", 8, 4),
               Column("Peer"))
    return table(columns, [[str(row["tunnel_id"]), clean(row["name"] or "-"), *_rates(row), str(row["sessions"]),
                            host(row["peer"])] for row in rows], width)


def sessions(rows: list[JSON], width: int | None) -> list[str]:
    """The busiest sessions."""
    columns = (Column("Ids", "<", 11), *_RATES, Column("Interface", "<", 9, 4), Column("Peer", "<", 15, 2),
               Column("Identifier"))
    return table(columns, [[f"{row['tunnel_id']}/{row['session_id']}", *_rates(row), clean(row["interface"] or "-"),
                            host(row["peer"]), clean(row["identifier"] or "-")] for row in rows], width)


def users(rows: list[JSON], width: int | None) -> list[str]:
    """The busiest links, by their users."""
    columns = (Column("Link", "<", 11, 1), *_RATES, Column("Interface", "<", 9, 4), Column("Address", "<", 15, 2),
               Column("User"))
    return table(columns, [[clean(row["name"]), *_rates(row), clean(row["interface"] or "-"),
                            clean(row["address"] or "-"), clean(row["user"] or "-")] for row in rows], width)
