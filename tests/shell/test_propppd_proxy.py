"""Links that begin where an access concentrator has stopped, and the sessions of proacd beside those of prol2tpd."""

from __future__ import annotations

import random
from typing import Any

import pytest

from prol2tp.cli import links
from prol2tp.control.command import Invalid
from prol2tp.control.commands.propppd import RECORDS
from prol2tp.control.shapes import problems
from prol2tp.daemons.logs import Level
from prol2tp.daemons.propppd.attach import SETTLED
from prol2tp.daemons.propppd.radius import port_of
from prol2tp.daemons.propppd.rows import carrier_of, proxy_of
from prol2tp.daemons.propppd.status import ConfigCounts, Status
from prol2tp.ppp import outputs
from prol2tp.ppp.link import Link, Phase
from prol2tp.ppp.proxy import ProxyRecord, for_ethernet
from prol2tp.ppp.settings import LinkSettings
from prol2tp.radius.attributes import PPPOE_OVER_ETHERNET, PPPOE_OVER_QINQ
from tests.shell.propppd_world import CONFIG, Client, LinksWorld, Prol2tpd
from tests.shell.test_log_lines import heard
from tests.shell.test_propppd_radius import RadiusWorld

TEXT = CONFIG + """
profile "trusting" { auth true; local_ip 10.5.1.1; ip_pool "pool1"; proxy_lcp true; proxy_auth true }
profile "lcp" { auth true; local_ip 10.5.1.1; ip_pool "pool1"; proxy_lcp true }
"""
LINE = {"circuit_id": b"eth 1/2".hex(), "remote_id": b"\xff\x00".hex(),
        "numbers": {"129": 1_000_000, "130": 16_000_000, "200": 5}, "encapsulation": "010203"}
MAC = "02:00:00:00:00:0A"


@pytest.fixture
def world() -> LinksWorld:
    return LinksWorld(TEXT)


class Arrival:
    """A client that has gone through LCP and its first step of authentication with an access concentrator."""

    def __init__(self, world: LinksWorld, method: str = "chap", password: str = "pw1",
                 user: str = "u1@example.com", **lac: Any) -> None:
        self.near, self.far = world.session()
        self.client = Client(world, self.far, LinkSettings(user=user, password=password, mru=1492))
        settings = {"access": True, "auth": True, "auth_methods": (method,), "mru": 1492, "pcomp": False,
                    "accomp": False} | lac
        self._world = world
        self._core = Link(LinkSettings(**settings), world.random)
        self.record: ProxyRecord | None = None
        world.near.port_receiver(self.near, self._receive)
        self._core.open(world.clock.seconds())
        self._carry()
        self.client.open()
        world.settle()
        assert self.record is not None
        world.near.port_receiver(self.near, None)
        self.heard: list[bytes] = []
        receive = self.client.driver.core.receive

        def listen(frame: bytes) -> None:
            self.heard.append(frame)
            self.client.driver.call(receive, frame)

        world.far.port_receiver(self.far, listen)

    def _receive(self, frame: bytes) -> None:
        self._core.receive(frame, self._world.clock.seconds())
        self._carry()

    def _carry(self) -> None:
        for output in self._core.outputs():
            if isinstance(output, outputs.SendFrame):
                self._world.near.port_send(self.near, output.frame)
            elif isinstance(output, outputs.AskAuthentication):
                self.record = self._core.hand_over(self._world.clock.seconds())

    @property
    def lcp_heard(self) -> int:
        """Configure-Requests that the client got from the one that takes over."""
        return sum(1 for frame in self.heard if frame[:5] == b"\xff\x03\xc0\x21\x01")


def row_of(world: LinksWorld, arrival: Arrival, profile: str, **values: Any) -> dict[str, Any]:
    assert arrival.record is not None
    return world.row(arrival.near, profile, lns=True, proxy=arrival.record.to_record(), **values)


def access_row(world: LinksWorld, port: int, **values: Any) -> dict[str, Any]:
    return {"id": "7.1", "carrier": "pppoe", "port": port, "ppp_profile": "subscribers", "interface": "eth1",
            "vlans": [10, 20], "peer_mac": MAC, "session_id": 5, "service_name": "internet", "ac_name": "ac",
            "max_payload": 1500, "calling_number": "", "called_number": "", "line": LINE, "proxy": None,
            "user_name": "", "user_password": "", **values}


def shown(world: LinksWorld, link: Any) -> list[str]:
    record = Status(world.links, ConfigCounts(), "", world.log).link(link)
    assert problems(record, RECORDS["link"], RECORDS) == []
    return links.link(record)


@pytest.mark.parametrize("method", ("pap", "chap"))
def test_a_user_of_a_trusted_lac_is_online_without_a_second_negotiation(world: LinksWorld, method: str) -> None:
    arrival = Arrival(world, method)
    assert world.attach(row_of(world, arrival, "trusting")) == [None]
    world.settle()
    link = world.links.by_port[arrival.near]
    assert link.up and link.user == "u1@example.com" and arrival.client.networks["ip"].local == "10.5.1.100"
    assert link.core.proxied == (True, True) and arrival.lcp_heard == 0
    assert link.mtu == 1492
    assert any("proxied: as the access" in line for line in shown(world, link))
    assert any("proxied: the proof" in line for line in shown(world, link))
    assert link.proxy is None, "a password must not stay"


def test_the_mru_of_a_lac_may_be_more_than_the_tunnel_carries_in_one_piece(world: LinksWorld) -> None:
    arrival = Arrival(world)
    assert world.attach(row_of(world, arrival, "trusting", mtu=1460)) == [None]
    world.settle()
    link = world.links.by_port[arrival.near]
    assert link.core.proxied == (True, True) and (link.mtu, link.mru) == (1460, 1492)


def test_a_wrong_password_that_was_given_to_the_lac_is_refused(world: LinksWorld) -> None:
    arrival = Arrival(world, password="guess")
    assert world.attach(row_of(world, arrival, "trusting")) == [None]
    world.later(10)
    assert arrival.near not in world.links.by_port
    assert arrival.client.down is not None and not arrival.client.networks
    assert world.prol2tpd.rows[-1]["cause"] == "Authentication Failed"


def test_without_trust_the_user_is_negotiated_with_from_the_start(world: LinksWorld) -> None:
    arrival = Arrival(world)
    assert world.attach(row_of(world, arrival, "subscribers")) == [None]
    world.later(5)
    link = world.links.by_port[arrival.near]
    assert link.up and link.core.proxied == (False, False) and arrival.lcp_heard == 1
    assert not any("proxied" in line for line in shown(world, link))


def test_lcp_can_be_trusted_without_the_proof(world: LinksWorld) -> None:
    arrival = Arrival(world)
    assert world.attach(row_of(world, arrival, "lcp")) == [None]
    world.later(5)
    link = world.links.by_port[arrival.near]
    assert link.up and link.core.proxied == (True, False) and arrival.lcp_heard == 0


def test_a_record_of_this_host_is_taken_whatever_the_profile_says(world: LinksWorld) -> None:
    arrival = Arrival(world)
    assert arrival.record is not None
    owner = Prol2tpd()
    row = access_row(world, arrival.near, max_payload=1492, proxy=arrival.record.to_record())
    assert world.attachments.attach(owner, [row], "proacd") == {"results": [None]}
    world.settle()
    link = world.links.by_port[arrival.near]
    assert link.up and link.core.proxied == (True, True) and arrival.lcp_heard == 0
    assert [(one["id"], one["state"], one["user"]) for one in owner.rows] == [("7.1", "up", "u1@example.com")]


def test_what_a_lac_restricts_is_not_asked_for_and_not_granted(world: LinksWorld) -> None:
    near, far = world.session()
    restricted = for_ethernet(1492).to_record()
    row = world.row(near, lns=True, lcp_want=restricted["want_options"], lcp_allow=restricted["allow_options"])
    assert world.attach(row) == [None]
    link = world.links.by_port[near]
    assert link.mru == 1492 and link.core.settings.refuse == ("accomp", "asyncmap", "pcomp")
    client = Client(world, far, LinkSettings(user="u1@example.com", password="pw1", asyncmap=0)).open()
    world.later(5)
    assert link.up and link.core.lcp.his == ("magic",) and "ip" in client.networks


@pytest.mark.parametrize("values", (
    {"proxy": "x"}, {"proxy": {"authen_id": "1"}}, {"proxy": {"authen_response": "zz"}}, {"proxy": [1]},
    {"lcp_want": "zz"}, {"lcp_allow": 5}, {"line": []}, {"line": 5}, {"carrier": "tty"}, {"carrier": 5}, {"mtu": "1"},
))
def test_a_bad_row_costs_its_own_session_and_no_other(world: LinksWorld, values: dict[str, Any]) -> None:
    bad, good = world.session()[0], world.session()[0]
    results = world.attach(world.row(bad, **values), world.row(good))
    assert results[0] and results[1] is None
    assert list(world.links.by_port) == [good]


def test_a_bad_pppoe_row_is_refused(world: LinksWorld) -> None:
    good = access_row(world, 1)
    assert carrier_of(good).mtu == 1500
    assert carrier_of(good | {"max_payload": 0}).mtu == 1492
    assert carrier_of(good | {"vlans": None}).kind == "pppoe"
    for wrong in ({"vlans": "10"}, {"vlans": [1, 2, 3]}, {"vlans": ["1"]}, {"max_payload": 64},
                  {"max_payload": 1 << 16}, {"max_payload": -1}, {"interface": None}, {"peer_mac": 5},
                  {"session_id": "5"}):
        with pytest.raises(ValueError):
            carrier_of(good | wrong)
    assert proxy_of(good) is None


def test_a_subscriber_of_our_own_access_concentrator(world: LinksWorld) -> None:
    near, far = world.session()
    assert world.attachments.attach(Prol2tpd(), [access_row(world, near)], "proacd") == {"results": [None]}
    client = Client(world, far, LinkSettings(user="u1@example.com", password="pw1", accomp=False, pcomp=False)).open()
    world.later(5)
    link = world.links.by_port[near]
    assert link.up and link.core.proxied == (False, False) and (link.mtu, link.mru) == (1500, 1500)
    assert link.core.lcp.his == ("magic",) and link.core.lcp.got == ("chap", "magic")
    lines = shown(world, link)
    assert "  type: PPPoE" in lines and "  interface: eth1, vlan: 20" in lines
    assert f"  session id: 5, peer mac: {MAC}" in lines and "  state: SESSION" in lines
    assert link.carrier.id == "proacd/7.1" and client.networks


def test_the_mtu_is_that_of_pppoe_unless_more_was_agreed_on(world: LinksWorld) -> None:
    near, _ = world.session()
    world.attachments.attach(Prol2tpd(), [access_row(world, near, max_payload=0)], "proacd")
    link = world.links.by_port[near]
    assert (link.mtu, link.mru) == (1492, 1492)


def test_radius_hears_of_the_line_and_of_where_the_subscriber_is(world: LinksWorld) -> None:
    near, _ = world.session()
    world.attachments.attach(Prol2tpd(), [access_row(world, near)], "proacd")
    port = port_of(world.links.by_port[near])
    assert (port.nas_port_type, port.nas_port_id) == (PPPOE_OVER_QINQ, "pppoe eth1.10.20:5")
    assert (port.calling_station_id, port.called_station_id) == (MAC, "internet")
    assert dict(port.line) == {(3561, 1): b"eth 1/2", (3561, 2): b"\xff\x00",
                               (3561, 129): (1_000_000).to_bytes(4, "big"),
                               (3561, 130): (16_000_000).to_bytes(4, "big"), (3561, 144): b"\1\2\3"}
    near, _ = world.session()
    row = access_row(world, near, id="8.1", vlans=[], line=None, calling_number="circuit 7", called_number="isp")
    world.attachments.attach(Prol2tpd(), [row], "proacd")
    port = port_of(world.links.by_port[near])
    assert (port.nas_port_type, port.nas_port_id) == (PPPOE_OVER_ETHERNET, "pppoe eth1:5")
    assert (port.calling_station_id, port.called_station_id, port.line) == ("circuit 7", "isp", ())
    near, _ = world.session()
    world.attach(world.row(near, lns=True, line=LINE))
    port = port_of(world.links.by_port[near])
    assert dict(port.line)[3561, 1] == b"eth 1/2" and port.tunnel is not None


def test_radius_is_asked_by_the_challenge_of_the_lac() -> None:
    world = RadiusWorld()
    arrival = Arrival(world, user="r1@example.com")
    record = arrival.record
    assert record is not None
    row = access_row(world, arrival.near, max_payload=1492, proxy=record.to_record())
    world.attachments.attach(Prol2tpd(), [row], "proacd")
    world.settle()
    (request, _), = world.server.asked
    assert (request.method, request.user, request.identifier) == ("chap", b"r1@example.com", record.authen_id)
    assert (request.challenge, request.response) == (record.authen_challenge, record.authen_response)
    world.accept()
    assert arrival.client.networks["ip"].local == "10.1.2.3"


def test_ids_of_two_owners_do_not_meet(world: LinksWorld) -> None:
    ours, theirs = world.session()[0], world.session()[0]
    proacd = Prol2tpd()
    assert world.attach(world.row(ours, id="1/1")) == [None]
    assert world.attachments.attach(proacd, [world.row(theirs, id="1/1")], "proacd") == {"results": [None]}
    assert set(world.links.by_port) == {ours, theirs}
    world.attachments.detach(proacd, [{"id": "1/1", "cause": "Lost Carrier"}], "proacd")
    world.settle()
    assert set(world.links.by_port) == {ours}
    assert [row["id"] for row in proacd.rows] == [] and world.prol2tpd.rows == []
    world.links.by_port[ours].close("Admin Reset")
    world.later(10)
    assert proacd.rows == [] and [row["id"] for row in world.prol2tpd.rows] == ["1/1"]


def test_each_owner_has_a_grace_time_of_its_own(world: LinksWorld) -> None:
    (ours, one), (theirs, other) = world.session(), world.session()
    proacd = Prol2tpd()
    world.attach(world.row(ours, "open"))
    for far in (one, other):
        Client(world, far, LinkSettings()).open()
    world.attachments.attach(proacd, [access_row(world, theirs, ppp_profile="open")], "proacd")
    proacd.lose()
    world.later(29)
    assert theirs in world.links.by_port
    world.later(10)
    assert theirs not in world.links.by_port and ours in world.links.by_port


def test_links_that_an_owner_has_no_more_when_it_is_there_again_do_not_wait_for_the_grace_time(
        world: LinksWorld) -> None:
    ours, theirs, kept = world.session()[0], world.session()[0], world.session()[0]
    proacd = Prol2tpd()
    world.attach(world.row(ours, "open"))
    rows = [access_row(world, port, id=id, ppp_profile="open") for id, port in (("7.1", theirs), ("8.1", kept))]
    world.attachments.attach(proacd, rows, "proacd")
    proacd.lose()
    world.later(2)
    again = Prol2tpd()
    assert world.attachments.attach(again, [], "proacd") == {"results": []}
    world.later(SETTLED - 5)
    assert theirs in world.links.by_port, "it may still be on its way"
    world.attachments.attach(again, rows[1:], "proacd")
    world.later(SETTLED - 2)
    assert theirs in world.links.by_port
    world.attachments.attach(again, [access_row(world, world.session()[0], id="9.1", ppp_profile="open")], "proacd")
    world.later(3)
    assert kept in world.links.by_port and theirs not in world.links.by_port and ours in world.links.by_port
    assert [(row["id"], row["cause"]) for row in again.rows] == [("7.1", "Lost Carrier")]


def test_a_link_that_is_attached_again_keeps_what_it_has(world: LinksWorld) -> None:
    arrival = Arrival(world)
    assert arrival.record is not None
    row = access_row(world, arrival.near, proxy=arrival.record.to_record())
    world.attachments.attach(Prol2tpd(), [row], "proacd")
    world.settle()
    link = world.links.by_port[arrival.near]
    again = Prol2tpd()
    world.attachments.attach(again, [row | {"proxy": None}], "proacd")
    world.later(60, 5)
    assert world.links.by_port[arrival.near] is link and link.core.phase is Phase.NETWORK
    assert [row["state"] for row in again.rows] == ["up"]


def test_nobody_else_attaches_sessions(world: LinksWorld) -> None:
    with pytest.raises(Invalid, match="owner"):
        world.attachments.attach(Prol2tpd(), [], "somebody")
    with pytest.raises(Invalid, match="owner"):
        world.attachments.detach(Prol2tpd(), [], "somebody")


def test_secrets_of_a_record_are_in_no_log_and_no_status(world: LinksWorld) -> None:
    arrival = Arrival(world, "pap", password="pw1")
    lines = heard(world.log, Level.DEBUG)
    world.attach(row_of(world, arrival, "trusting"))
    world.settle()
    link = world.links.by_port[arrival.near]
    assert any("taken over" in line for line in lines)
    text = "\n".join([*shown(world, link), *lines, repr(link.carrier), repr(arrival.record)])
    assert "pw1" not in text and b"pw1".hex() not in text


def test_a_user_whose_link_has_lost_its_owner_comes_in_again_although_he_may_be_online_once(world: LinksWorld) -> None:
    world.configure(TEXT.replace("auth true", "auth true; one_session_per_user true", 1))
    (old, one), (new, other) = world.session(), world.session()
    user = LinkSettings(user="u1@example.com", password="pw1")
    proacd = Prol2tpd()
    world.attachments.attach(proacd, [access_row(world, old)], "proacd")
    Client(world, one, user).open()
    world.later(2)
    first = world.links.by_port[old]
    assert first.up
    proacd.lose()
    again = Prol2tpd()
    world.attachments.attach(again, [], "proacd")
    world.attachments.attach(again, [access_row(world, new, id="8.1")], "proacd")
    Client(world, other, user).open()
    world.later(2)
    assert world.links.by_port[new].up and first.ended and first.cause == "Port Preempted"
    third, far = world.session()
    world.attachments.attach(again, [access_row(world, third, id="9.1")], "proacd")
    late = Client(world, far, user).open()
    world.later(8)
    assert late.down is not None and world.links.by_port[new].up


def anything(choice: random.Random, depth: int = 0) -> Any:
    """A JSON value."""
    kinds: list[Any] = [None, True, -1, 0, 1 << 40, 1.5, "", "zz", "00" * choice.randrange(400), "pppoe", "l2tp"]
    if depth < 2:
        kinds += [[anything(choice, depth + 1) for _ in range(choice.randrange(3))],
                  {choice.choice(NAMES): anything(choice, depth + 1) for _ in range(choice.randrange(4))}]
    return choice.choice(kinds)


NAMES = ("last_sent_confreq", "last_received_confreq", "authen_type", "authen_name", "authen_id", "authen_response",
         "authen_challenge", "circuit_id", "numbers", "129", "want_options")


def test_no_row_costs_more_than_its_own_session(world: LinksWorld) -> None:
    choice = random.Random(7)
    owner = Prol2tpd()
    for round_ in range(400):
        arrival = Arrival(world) if round_ % 40 == 0 else None
        near = arrival.near if arrival is not None else world.session()[0]
        row = access_row(world, near, id=f"{round_}.1", ppp_profile="trusting")
        if choice.random() < 0.5:
            row = world.row(near, "trusting", lns=True, id=f"{round_}.1")
        row["proxy"] = arrival.record.to_record() if arrival is not None and arrival.record is not None else None
        for _ in range(choice.randint(1, 3)):
            row[choice.choice([*row, "proxy", "lcp_want", "lcp_allow", "options", "line"])] = anything(choice)
        good = world.session()[0]
        rows = [row, access_row(world, good, id=f"good-{round_}")]
        answer = world.attachments.attach(owner, rows, "proacd")["results"]
        assert len(answer) == 2 and answer[1] is None and (answer[0] is None or isinstance(answer[0], str))
        assert "internal error" not in (answer[0] or ""), (row, answer)
        world.settle()
        assert good in world.links.by_port
        world.attachments.detach(owner, [{"id": f"good-{round_}"}, {"id": row["id"]}, {"id": anything(choice)}],
                                 "proacd")
        world.settle()
        for link in list(world.links.by_number.values()):
            link.lost("Lost Carrier", "")
        world.settle()
    assert not world.links.by_number and not world.links.by_id and not world.links.by_port
