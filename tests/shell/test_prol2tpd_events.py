"""What prol2tpd tells of tunnels and sessions: every life from created to deleted, each with its profile."""

from __future__ import annotations

import pytest

from prol2tp.control.commands import prol2tpd
from prol2tp.control.shapes import problems
from tests.shell.test_prol2tpd import LAC, LNS, pair, world  # noqa: F401

LIFE = ["created", "up", "down", "deleted"]


class Told:
    """Stands where the events of the control channel are."""

    def __init__(self, host):
        self.events = []
        host.plane.events = self

    def publish(self, event, **data):
        self.events.append((event, data))

    def lives(self, kind):
        """By id: the events of each, and their data."""
        found = {}
        for event, data in self.events:
            if event.startswith(f"{kind}-"):
                found.setdefault(data[f"{kind}_id"], []).append((event.removeprefix(f"{kind}-"), data))
        return found


@pytest.fixture
def told(world):  # noqa: F811
    world.lns, world.lac = world.host(LNS), world.host(LAC)
    world.told = {name: Told(host) for name, host in (("lns", world.lns), ("lac", world.lac))}
    world.lns.start()
    world.lac.start()
    world.run(2)
    return world


@pytest.mark.parametrize("name", ["lns", "lac"])
def test_every_tunnel_and_session_is_told_of_from_its_creation_to_its_end(told, name):
    row = told.lac.call("ListTunnels", cursor="", limit=10)["rows"][0]
    told.lac.call("DestroyTunnel", tunnel_id=row["tunnel_id"])
    told.run(60)
    found = told.told[name]
    for kind, count in (("tunnel", 1), ("session", 2)):
        lives = list(found.lives(kind).values())[:count]
        assert [[word for word, _ in life] for life in lives] == [LIFE] * count


def test_what_a_peer_asks_for_is_told_of_with_the_profile_that_serves_it(told):
    (tunnel,) = told.told["lns"].lives("tunnel").values()
    assert tunnel[0][0] == "created" and tunnel[0][1]["profile"] == tunnel[1][1]["profile"] == "lac1"
    for life in told.told["lns"].lives("session").values():
        assert life[0][0] == "created"
        assert (life[0][1]["profile"], life[0][1]["pseudowire_profile"]) == ("lac", "ppp")


def test_a_tunnel_that_is_refused_was_created_before_it_was_down(world):  # noqa: F811
    lns, lac = world.host(LNS), world.host(LAC.replace('"lac"', '"stranger"'))
    told = Told(lns)
    lns.start()
    lac.start()
    world.run(60)
    (life, *_) = told.lives("tunnel").values()
    assert [word for word, _ in life] == ["created", "down", "deleted"] and life[0][1]["profile"] == ""


def test_events_are_as_they_are_documented(told):
    for found in told.told.values():
        for event, data in found.events:
            kind = event.partition("-")[0]
            assert problems(data, prol2tpd.RECORDS[f"{kind}-event"], prol2tpd.RECORDS) == []


@pytest.mark.parametrize(("cause", "heard"), [
    ("Idle Timeout", "NAS Request"), ("Authentication To Peer Failed", "Lost Carrier"), ("Admin Reset", "Admin Reset")])
def test_the_cause_that_ppp_gave_is_the_one_that_is_told_whatever_the_peer_can_be_told(told, cause, heard):
    record = told.lac.ppp.up[0]
    told.lac.plane.ppp_closed(record, cause, "")
    told.run(1)
    ours = dict(told.told["lac"].lives("session")[record.session_id])["down"]
    assert (ours["cause"], ours["by_peer"]) == (cause, False)
    theirs = dict(told.told["lns"].lives("session")[record.core.peer_session_id])["down"]
    assert (theirs["cause"], theirs["by_peer"]) == (heard, True)
