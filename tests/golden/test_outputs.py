"""The text outputs, byte for byte."""

from __future__ import annotations

from pathlib import Path

import pytest

from prol2tp.cli import access, links, reports, tunnels
from prol2tp.control.commands import proacd, prol2tpd, propppd, scriptd
from prol2tp.control.shapes import problems
from tests.golden import boards, records


def _texts(lines):
    return [text for _, text in lines]


OUTPUTS = {
    "show-system": lambda: tunnels.system(records.SYSTEM),
    "show-tunnels": lambda: tunnels.tunnels([[records.TUNNEL_ROW]]),
    "show-tunnel": lambda: tunnels.tunnel(records.TUNNEL),
    "show-sessions": lambda: tunnels.sessions([records.SESSION_ROWS]),
    "show-sessions-ethernet": lambda: tunnels.sessions([[records.ETHERNET_ROW]]),
    "show-session-stats": lambda: tunnels.session(records.SESSION),
    "show-history": lambda: reports.ends([records.END_ROWS]),
    "proac_info-history": lambda: reports.route_ends([records.ROUTE_END_ROWS]),
    "propppctl-history": lambda: reports.link_ends([records.LINK_END_ROWS]),
    "reload-dry-run": lambda: reports.preview(records.PREVIEW),
    "show-scripts": lambda: reports.scripts(records.SCRIPTS),
    "propppctl-status": lambda: links.status(records.STATUS),
    "propppctl-pools": lambda: links.pools([records.POOL_ROWS]),
    "propppctl-servers": lambda: links.servers([records.SERVER_ROWS]),
    "propppctl-status-accounting": lambda: links.status(records.ACCOUNTING_STATUS),
    "propppctl-status-filters": lambda: links.status(records.STATUS | {"filters": {"unknown": 3, "failures": 1}}),
    "propppctl-status-rates": lambda: links.status(records.RATES_STATUS),
    "propppctl-show-network": lambda: links.link(records.NETWORK_LINK),
    "propppctl-show-rate": lambda: links.link(records.RATE_LINK),
    "propppctl-show-rate-down": lambda: links.link(records.RATE_DOWN_LINK),
    "propppctl-list": lambda: links.links([records.link_rows(487)]),
    "propppctl-list-down": lambda: links.links([[]]),
    "propppctl-list-up": lambda: links.links([records.link_rows(501)]),
    "propppctl-show-mtu": lambda: links.link(records.MTU_LINK),
    "propppctl-show": lambda: links.link(records.LINK),
    "proac_info-s": lambda: access.status(records.ACCESS_STATUS),
    "proac_info-s-v": lambda: access.status(records.ACCESS_STATUS) + access.details(records.ACCESS_STATUS),
    "proac_info-r": lambda: access.routes([records.ROUTES[:1], records.ROUTES[1:]]),
    "proac_info-r-33975": lambda: access.route(records.ROUTES[1]),
    "proac_info-r-others": lambda: access.routes([records.OTHER_ROUTES]),
    "proac_info-r-v": lambda: access.routes([[records.ROUTES[0], *records.OTHER_ROUTES]], verbose=True),
    "proac_info-interfaces": lambda: access.interfaces([records.INTERFACE_ROWS]),
    "proac_info-destinations": lambda: access.destinations([records.DESTINATION_ROWS]),
    "proac_info-macs": lambda: access.macs([records.MAC_ROWS]),
    "top": lambda: _texts(boards.board().lines(120)),
    "top-50x24": lambda: _texts(boards.board().lines(50, 24)),
    "top-help": lambda: _texts(boards.helped().lines(80, 20)),
    "top-busiest-sessions": lambda: _texts(boards.viewing("busiest sessions").lines(80, 24)),
    "top-busiest-users": lambda: _texts(boards.viewing("busiest users").lines(80, 24)),
    "top-busiest-tunnels-50x24": lambda: _texts(boards.viewing("busiest tunnels").lines(50, 24)),
    "top-80x24": lambda: _texts(boards.board().lines(80, 24)),
    "top-gone": lambda: _texts(boards.gone().lines(80, 10)),
    "proac_info-trace": lambda: access.trace([records.TRACE_ROWS]),
}


@pytest.mark.parametrize("name", OUTPUTS)
def test_the_output_is_the_known_one_to_the_byte(name):
    expected = (Path(__file__).parent / f"{name}.txt").read_text("utf-8")
    assert "".join(f"{line}\n" for line in OUTPUTS[name]()) == expected


def test_every_golden_file_is_compared():
    assert {path.stem for path in Path(__file__).parent.glob("*.txt")} == set(OUTPUTS)


@pytest.mark.parametrize(
    ("value", "module", "name"),
    [
        (records.SYSTEM, prol2tpd, "system"),
        (records.TUNNEL_ROW, prol2tpd, "tunnel-row"),
        (records.TUNNEL, prol2tpd, "tunnel"),
        (records.SESSION_ROWS[0], prol2tpd, "session-row"),
        (records.ETHERNET_ROW, prol2tpd, "session-row"),
        (records.SESSION, prol2tpd, "session"),
        (records.SCRIPTS, scriptd, "scripts"),
        (records.END_ROWS[0], prol2tpd, "history-row"),
        (records.END_ROWS[1], prol2tpd, "history-row"),
        (records.TRAFFIC["traffic"], prol2tpd, "traffic"),
        *((row, prol2tpd, "busy-tunnel-row") for row in records.TRAFFIC["tunnels"]),
        *((row, prol2tpd, "busy-session-row") for row in records.TRAFFIC["sessions"]),
        (records.PPP_TRAFFIC["traffic"], propppd, "traffic"),
        *((row, propppd, "busy-link-row") for row in records.PPP_TRAFFIC["links"]),
        *((row, proacd, "history-row") for row in records.ROUTE_END_ROWS),
        (records.LINK_END_ROWS[0], propppd, "history-row"),
        (records.LINK_END_ROWS[1], propppd, "history-row"),
        (records.PREVIEW["changes"][0], prol2tpd, "change"),
        (records.STATUS, propppd, "status"),
        (records.POOL_ROWS[0], propppd, "pool-row"),
        (records.SERVER_ROWS[0], propppd, "server-row"),
        (records.ACCOUNTING_STATUS, propppd, "status"),
        (records.link_rows(1)[0], propppd, "link-row"),
        (records.LINK, propppd, "link"),
        (records.IPV6, propppd, "ipv6"),
        (records.RATE_LINK, propppd, "link"),
        (records.RATES_STATUS, propppd, "status"),
        (records.ACCESS_STATUS, proacd, "status"),
        *((row, proacd, "route") for row in (*records.ROUTES, *records.OTHER_ROUTES)),
        *((row, proacd, "interface-row") for row in records.INTERFACE_ROWS),
        *((row, proacd, "destination-row") for row in records.DESTINATION_ROWS),
        *((row, proacd, "mac-row") for row in records.MAC_ROWS),
        *((row, proacd, "trace-row") for row in records.TRACE_ROWS),
    ],
)
def test_the_records_have_the_documented_shape(value, module, name):
    assert problems(value, module.RECORDS[name], module.RECORDS) == []
