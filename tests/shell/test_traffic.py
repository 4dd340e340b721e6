"""Who moves how much, as prol2tpd and propppd measure it on a data path in memory."""

from __future__ import annotations

from typing import Any

from prol2tp.control.commands import prol2tpd, propppd
from prol2tp.control.shapes import problems
from prol2tp.daemons.propppd.status import ConfigCounts, Status
from tests.shell.propppd_world import LinksWorld
from tests.shell.test_prol2tpd import pair, world  # noqa: F401


def shapes(answer: dict[str, Any], records: Any, **lists: str) -> None:
    assert problems(answer["traffic"], records["traffic"], records) == []
    for name, record in lists.items():
        assert [text for row in answer[name] for text in problems(row, records[record], records)] == []


def test_sessions_and_their_tunnel_are_measured_while_somebody_asks(pair: Any) -> None:  # noqa: F811
    lns = pair.lns
    first, second = lns.ppp.up
    answer = lns.call("ShowTraffic", limit=None)
    assert answer["traffic"]["age"] is None and answer["sessions"] == []
    for _ in range(30):
        lns.path.deliver(first.port, b"\xff\x03\x00\x21" + bytes(996))
        lns.path.deliver(second.port, b"\xff\x03\x00\x21" + bytes(96))
        pair.run(0.1)
    answer = lns.call("ShowTraffic", limit=1)
    shapes(answer, prol2tpd.RECORDS, tunnels="busy-tunnel-row", sessions="busy-session-row")
    assert answer["traffic"]["measured"] == 2 and 60_000 < answer["traffic"]["rx_bits"] < 110_000
    (busiest,), (tunnel,) = answer["sessions"], answer["tunnels"]
    assert busiest["session_id"] == first.session_id and 8 < busiest["rx_packets"] < 12
    assert (tunnel["tunnel_id"], tunnel["sessions"]) == (first.tunnel.tunnel_id, 2)
    assert tunnel["rx_bits"] > busiest["rx_bits"] and tunnel["tx_bits"] == 0
    # what has ended since is not shown
    lns.call("DestroyTunnel", tunnel_id=first.tunnel.tunnel_id)
    pair.run(0.05)
    assert lns.call("ShowTraffic", limit=100)["sessions"] == []
    lns.plane.close()
    pair.run(60)


def test_links_are_measured_by_their_users() -> None:
    made = LinksWorld()
    _, link = made.client()
    made.later(5)
    assert link.up
    status = Status(made.links, ConfigCounts(), "t.conf", made.log)
    status.traffic(None)
    for _ in range(30):
        made.links.dataplane.deliver(link.port, b"\xff\x03\x00\x21" + bytes(996))
        made.settle(0.1)
    answer = status.traffic(None)
    shapes(answer, propppd.RECORDS, links="busy-link-row")
    (row,) = answer["links"]
    assert (row["name"], row["type"], row["user"]) == (link.name, "pppol2tp", link.shown_user)
    assert row["address"] == link.lease.text and row["rx_packets"] > 8
    made.links.stop()
