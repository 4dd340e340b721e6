"""Screens of `prol2tp top` with made-up readings."""

from __future__ import annotations

import copy
from typing import Any

from prol2tp.cli.top import Board, Reading
from tests.golden import records

SETUP = {"bounds": [0.05, 0.1, 1.0, 10.0], "counts": [0, 0, 0, 0, 0], "sum": 0.0}


def row(number: int, sessions: int, **more: Any) -> dict[str, Any]:
    return {**records.TUNNEL_ROW, "tunnel_id": number, "name": f"lac{number}", "peer": f"192.0.2.{number}:1701",
            "sessions": sessions, **more}


def reading(now: float, new: int = 0, ended: int = 0, **more: Any) -> Reading:
    """`new` sessions of which one in ten took long, `ended` of them over."""
    system = copy.deepcopy(records.SYSTEM) | {
        "tunnels": 30, "tunnels_up": 29, "sessions": 50_000 + new - ended, "sessions_up": 49_990,
        "setup": {"tunnels": SETUP, "sessions": SETUP | {"counts": [new - new // 10, 0, new // 10, 0, 0]}},
        "ends": {"tunnels": {}, "sessions": {"Lost Carrier": ended}}}
    ppp = records.ACCOUNTING_STATUS | {
        "setup": SETUP | {"counts": [0, new, 0, 0, 0]}, "ends": {"2": ended},
        "radius": records.STATUS["radius"] | {"access_requests": 7 + new, "access_accepts": 6 + new}}
    found = Reading(now, records.moment("2026-11-23 12:00:00") + now, system, ppp, records.ACCESS_STATUS,
                    [{**records.END_ROWS[0], "ended_at": records.moment("2026-11-23 11:59:58")}, records.END_ROWS[1]])
    found.traffic, found.ppp_traffic = records.TRAFFIC, records.PPP_TRAFFIC
    found.servers = records.SERVER_ROWS
    for name, value in more.items():
        setattr(found, name, value)
    return found


def board() -> Board:
    """Three readings, and two walks through thirty tunnels."""
    made = Board(2.0)
    for grown in (0, 5):
        rows = [row(number, 100 * number + (grown if number % 2 else 0)) for number in range(1, 31)]
        made.walk.page(rows[:10], last=False)
        made.walk.page(rows[10:], last=True)
    made.add(reading(10.0))
    made.add(reading(30.0, new=400, ended=10))
    made.add(reading(32.0, new=440, ended=10))
    return made


def gone() -> Board:
    """A board whose prol2tpd has ended, and nothing else has ever run."""
    made = Board(2.0)
    nothing = {"ppp": None, "access": None, "traffic": None, "ppp_traffic": None, "servers": []}
    made.add(reading(10.0, **nothing))
    made.add(reading(12.0, system=None, drops=[], problem="no such\nsocket", **nothing))
    return made


def viewing(view: str) -> Board:
    """`board` with another list."""
    made = board()
    while made.view != view:
        made.next_view()
    return made


def helped() -> Board:
    """`board` with its page of help."""
    made = board()
    made.help = True
    return made
