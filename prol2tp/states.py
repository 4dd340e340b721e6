"""docs/states.md, written from the tables of the state machines.

`python3 -m prol2tp.states docs/states.md` writes it; a test holds page and tables equal.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple

from prol2tp.common.fsm import Row
from prol2tp.daemons.proacd import route
from prol2tp.l2tp.incoming import LAIC, LNIC
from prol2tp.l2tp.outgoing import LAOC, LNOC
from prol2tp.l2tp.static import StaticTunnel
from prol2tp.l2tp.staticsession import StaticSession
from prol2tp.l2tp.tunnel import Tunnel
from prol2tp.ppp.automaton import Automaton
from prol2tp.pppoe.client import Host

Cells = Mapping[Any, Enum]


class Diagram(NamedTuple):
    """`cells`: (state, event) to the state after it."""

    title: str
    text: str
    source: str
    """The module that has the table."""
    cells: Cells


def _of(table: Mapping[tuple[Enum, Enum], Row]) -> Cells:
    return {cell: row.state for cell, row in table.items()}


_TUNNEL = "The control connection, at both ends, in both versions (RFC 2661 section 7.2, RFC 3931 section 3.3)."
_LAIC = "We ask with ICRQ (RFC 2661 section 7.4.1); sessions of L2TPv3 that we start go the same way."
_PPP = "The option negotiation automaton of LCP, CCP, IPCP and IPv6CP (RFC 1661 section 4)."
_HOST = "A PPPoE session that we ask for (RFC 2516). The access concentrator keeps no state before PADR."
DIAGRAMS = (
    Diagram("L2TP tunnel", _TUNNEL, "l2tp/tunnel.py", _of(Tunnel.TABLE)),
    Diagram("Incoming call at the LAC", _LAIC, "l2tp/incoming.py", _of(LAIC.TABLE)),
    Diagram("Incoming call at the LNS", "The peer sends ICRQ (section 7.4.2).", "l2tp/incoming.py", _of(LNIC.TABLE)),
    Diagram("Outgoing call at the LAC", "The peer sends OCRQ (section 7.5.1).", "l2tp/outgoing.py", _of(LAOC.TABLE)),
    Diagram("Outgoing call at the LNS", "We ask with OCRQ (section 7.5.2).", "l2tp/outgoing.py", _of(LNOC.TABLE)),
    Diagram("Static tunnel", "L2TPv3 without a control connection.", "l2tp/static.py", _of(StaticTunnel.TABLE)),
    Diagram("Static session", "A session in one.", "l2tp/staticsession.py", _of(StaticSession.TABLE)),
    Diagram("PPP", _PPP, "ppp/states.py", _of(Automaton.TABLE)),
    Diagram("PPPoE host", _HOST, "pppoe/client.py", _of(Host.TABLE)),
    Diagram("Route of proacd", "A source joined to a destination.", "daemons/proacd/route.py", route.TABLE),
)
HEAD = """\
# States

Written from the tables by `python3 -m prol2tp.states docs/states.md`: change the table, not this page. Events that
leave the state as it is are not drawn; they are in the table, as is what each event does.
"""


def drawn(cells: Cells) -> list[str]:
    """Lines of a Mermaid state diagram, in the order of the table: one arrow for each pair of states."""
    arrows: dict[tuple[Enum, Enum], list[str]] = {}
    for (old, event), new in cells.items():
        if new is not old:
            arrows.setdefault((old, new), []).append(str(event.value) if isinstance(event.value, str) else event.name)
    first = next(iter(cells))[0]
    lines = ["stateDiagram-v2", f"    [*] --> {first.name}"]
    return lines + [f"    {old.name} --> {new.name}: {', '.join(events)}" for (old, new), events in arrows.items()]


def page() -> str:
    """The whole page."""
    parts = [HEAD]
    for one in DIAGRAMS:
        where = f"[{one.source}](../prol2tp/{one.source})"
        parts.append(f"## {one.title}\n\n{one.text} Table: {where}.\n")
        parts.append("\n".join(["```mermaid", *drawn(one.cells), "```", ""]))
    return "\n".join(parts)


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), "utf-8")
