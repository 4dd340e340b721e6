"""Links whose users RADIUS knows: what is asked, and what comes of the answers."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from zope.interface.verify import verifyObject

from prol2tp.aaa.servers import RadiusServers
from prol2tp.config.propppd import load
from prol2tp.control.commands.propppd import RECORDS
from prol2tp.control.shapes import problems
from prol2tp.daemons.logs import Level
from prol2tp.daemons.propppd.aaa import Chain, IAuthentication
from prol2tp.daemons.propppd.radius import RadiusUsers
from prol2tp.daemons.propppd.status import ConfigCounts, Status
from prol2tp.ppp import mschap
from prol2tp.ppp.chap import verify_md5
from prol2tp.radius.access import AccessRequest
from prol2tp.radius.answer import Answer
from prol2tp.radius.attributes import IPV4
from prol2tp.radius.client import ClientSettings, RadiusClient
from prol2tp.radius.outputs import Accepted, AnswerDropped, Challenged, NoAnswer, Rejected, ServerAlive, ServerDead
from prol2tp.radius.servers import ServerSettings
from prol2tp.radius.values import Route
from tests.shell.propppd_world import CONFIG, LinksWorld
from tests.shell.test_log_lines import heard

TEXT = CONFIG.replace("auth true", "auth true; use_radius true", 1) + """
profile "local" { auth true; local_ip 10.5.1.1; ip_pool "pool1" }
ip_pool "gold" { range 10.7.0.1-10.7.0.9 }
radius {
    nas_identifier "lns7"
    server "r1" { address 192.0.2.53; secret "s3cret"; realms example.com }
}
"""
ROW = {"lns": True, "peer_address": "192.0.2.9", "local_address": "192.0.2.1", "calling_number": "0123",
       "called_number": "0800", "tunnel_name": "lac1", "host_name": "lns", "peer_host_name": "lac",
       "call_serial_number": 77, "tx_connect_speed": 50_000_000, "rx_connect_speed": 10_000_000}
ACCEPT = Answer(framed_ip_address="10.1.2.3")


class Server:
    """A `RadiusPort` whose answers a test gives."""

    def __init__(self, world: LinksWorld) -> None:
        self.core = RadiusClient((), world.random)
        self.driver = SimpleNamespace(now=world.clock.seconds)
        self.asked: list[tuple[AccessRequest, Deferred[Any]]] = []

    def carry_out(self) -> None:
        self.core.outputs()

    def request(self, record: AccessRequest, prefer: str = "") -> Deferred[Any]:
        assert record.problem() == ""
        self.preferred = prefer
        self.asked.append((record, Deferred()))
        return self.asked[-1][1]


class RadiusWorld(LinksWorld):
    def __init__(self) -> None:
        super().__init__(TEXT)
        self.server = Server(self)
        self.source = RadiusUsers(self.server, self.links.wall, lambda length: bytes([5]) * length)
        self.lookups: list[tuple[str, Deferred[list[str]]]] = []
        self.published: list[dict[str, Any]] = []
        self.servers = RadiusServers(self.server, self.clock, self.log, self.publish, self.resolve)
        self.servers.configure(self.config.radius)
        self.links.authentication = Chain([self.users, self.source])

    def publish(self, event: str, **data: Any) -> None:
        self.published.append({"event": event, **data})

    def resolve(self, host: str) -> Deferred[list[str]]:
        """Answered by the test."""
        self.lookups.append((host, Deferred()))
        return self.lookups[-1][1]

    def answer(self, output: Any) -> None:
        self.server.asked.pop()[1].callback(output)
        self.settle(1)

    def accept(self, **values: Any) -> None:
        self.answer(Accepted(1, Answer(**{"framed_ip_address": "10.1.2.3", **values}), "r1"))


@pytest.fixture
def world() -> RadiusWorld:
    return RadiusWorld()


def test_the_source_is_what_the_interface_says(world: RadiusWorld) -> None:
    verifyObject(IAuthentication, world.source)


def test_servers_of_the_configuration_are_those_of_the_client(world: RadiusWorld) -> None:
    settings = world.server.core.services["r1", "auth"].settings
    assert (settings.address, settings.secret, settings.realms) == ("192.0.2.53", b"s3cret", ("example.com",))
    assert world.server.core.nas.identifier == "lns7"


NAMED = TEXT.replace("address 192.0.2.53", "address aaa.example.net")


def use(world: RadiusWorld, text: str) -> dict[str, str]:
    """Configure the servers anew; the addresses that the client has for them."""
    world.servers.configure(load(text, "test.conf").radius)
    return addresses(world)


def addresses(world: RadiusWorld) -> dict[str, str]:
    return {name: service.host for (name, kind), service in world.server.core.services.items() if kind == "auth"}


def test_what_the_file_says_about_the_client_is_what_it_does(world: RadiusWorld) -> None:
    text = TEXT.replace('nas_identifier "lns7"', '''nas_ip_address 192.0.2.7; nas_ipv6_address 2001:db8::7
    request_timeout 9; max_requests 7; max_waiting 8''').replace("realms example.com", '''timeout 1; max_timeout 4
        retries 3; priority 2; weight 5; status_server false; status_interval 6; dead_time 7; sockets 3
        device "vrf1"; source 192.0.2.1''')
    use(world, text)
    core = world.server.core
    assert (core.nas.ip_address, core.nas.ipv6_address) == ("192.0.2.7", "2001:db8::7")
    assert core.settings == ClientSettings(9.0, 7, 8)
    assert core.services["r1", "acct"].settings == ServerSettings(
        "r1", "192.0.2.53", b"s3cret", priority=2, weight=5, timeout=1.0, max_timeout=4.0, retries=3,
        status_server=False, probe_interval=6.0, dead_time=7.0, lanes=3, source_address="192.0.2.1", device="vrf1")


def test_a_server_with_a_name_is_asked_once_it_is_resolved(world: RadiusWorld) -> None:
    assert use(world, NAMED) == {}
    ((host, looking),) = world.lookups
    looking.callback(["192.0.2.9", "192.0.2.10"])
    assert (host, addresses(world)) == ("aaa.example.net", {"r1": "192.0.2.9"})
    world.settle(299)
    assert len(world.lookups) == 1
    world.settle(1)
    world.lookups[1][1].callback(["192.0.2.10", "192.0.2.9"])
    assert addresses(world) == {"r1": "192.0.2.9"}, "what is in use stays"
    world.servers.changed(ServerDead("r1", "auth"))
    world.lookups[2][1].callback(["192.0.2.10"])
    assert addresses(world) == {"r1": "192.0.2.10"}
    assert use(world, TEXT) == {"r1": "192.0.2.53"}
    world.settle(3600)
    assert len(world.lookups) == 3


def test_a_name_without_an_address_is_told_once_and_tried_again(world: RadiusWorld) -> None:
    lines = heard(world.log)
    use(world, NAMED)
    for tries in (1, 2):
        world.lookups[-1][1].errback(OSError(-2, "Name or service not known"))
        world.settle(10)
        assert len(world.lookups) == tries + 1
    assert lines == ["server name aaa.example.net cannot be resolved (Name or service not known): its server is not"
                     " asked until it can be"]
    world.lookups[-1][1].callback(["192.0.2.9"])
    world.settle(300)
    world.lookups[-1][1].errback(OSError(-3, "Temporary failure in name resolution"))
    assert lines[1:] == ["server name aaa.example.net cannot be resolved (Temporary failure in name resolution): its"
                         " address stays 192.0.2.9"]
    assert addresses(world) == {"r1": "192.0.2.9"}


def test_what_becomes_of_a_server_is_logged_and_published(world: RadiusWorld) -> None:
    lines = heard(world.log)
    for change in (ServerDead("r1", "auth"), ServerAlive("r1", "auth"), AnswerDropped("r1", "acct", "it is wrong")):
        world.servers.changed(change)
    assert lines == ["server r1 does not answer (authentication)", "server r1 answers again (authentication)",
                     "answer of server r1 dropped (accounting): it is wrong"]
    assert world.published == [{"event": "server-dead", "server": "r1", "kind": "auth"},
                               {"event": "server-alive", "server": "r1", "kind": "auth"}]
    assert world.lookups == []


def test_a_name_gives_an_address_that_the_source_can_talk_to(world: RadiusWorld) -> None:
    use(world, NAMED.replace("realms", "source 2001:db8::7; realms"))
    world.lookups[0][1].callback(["192.0.2.9", "2001:db8::9"])
    assert addresses(world) == {"r1": "2001:db8::9"}


def test_nobody_waits_for_a_name_after_the_end(world: RadiusWorld) -> None:
    use(world, NAMED)
    world.servers.stop()
    assert world.lookups[0][1].called
    assert not [call for call in world.clock.getDelayedCalls() if call.active()]


def test_a_question_says_who_where_and_through_which_tunnel(world: RadiusWorld) -> None:
    _, link = world.client("r@example.com", "pw", row=ROW)
    record = world.server.asked[0][0]
    assert (record.user, record.method, record.framed_mtu) == (b"r@example.com", "chap", link.mtu)
    assert verify_md5(record.identifier, b"pw", record.challenge, record.response)
    assert (record.nas.identifier, record.acct_session_id) == ("lns7", f"{1_500_001_000:08x}050500000001")
    port = record.port
    assert (port.nas_port, port.nas_port_id) == (1, f"l2tp {link.carrier.id}")
    assert (port.calling_station_id, port.called_station_id) == ("0123", "0800")
    tunnel = port.tunnel
    assert tunnel is not None
    assert (tunnel.medium, tunnel.client_endpoint, tunnel.server_endpoint) == (IPV4, "192.0.2.9", "192.0.2.1")
    assert (tunnel.assignment_id, tunnel.client_auth_id, tunnel.server_auth_id) == ("lac1", "lac", "lns")
    assert (tunnel.connection, port.connect_info) == ("77", "50000000/10000000")


def test_a_pap_password_goes_to_the_server_and_not_into_the_log(world: RadiusWorld) -> None:
    lines = heard(world.log)
    world.client("r@example.com", "pw", allow_methods=("pap",))
    record = world.server.asked[0][0]
    assert (record.method, record.password) == ("pap", b"pw")
    world.answer(Rejected(1, Answer(), "r1"))
    assert lines == ["session-1: user r@example.com refused: rejected by RADIUS server r1 (pap), call 1/3 from "]


def test_an_accepted_user_gets_what_the_server_says(world: RadiusWorld) -> None:
    client, link = world.client("r@example.com", "pw")
    assert not link.up
    assert link.radius == "AUTH_CHAP_REQ"
    world.accept(user_name="alias", dns=("10.0.0.53", "10.0.0.54"), idle_timeout=600, session_timeout=50,
                 framed_mtu=1200, framed_routes=(Route("10.9.0.0/24", "", 1),), framed_interface_id=5)
    assert link.up
    assert link.user == "alias"
    assert client.networks["ip"].local == "10.1.2.3"
    assert (link.idle_timeout, link.authorization.routes[0].prefix, link.mtu) == (600, "10.9.0.0/24", 1200)
    assert world.links.addresses.holder("10.1.2.3") is link
    status = Status(world.links, ConfigCounts(), "t", world.log, world.server.core)
    assert status.link(link)["radius"] == {"status": "AUTH_CHAP_ACK", "accounting_updates": 0}
    world.later(60)
    assert (link.ended, link.cause) == (True, "Session Timeout")


@pytest.mark.parametrize("given", ["", "0.0.0.0", "255.255.255.254", "255.255.255.255"])
def test_without_an_address_it_comes_from_a_pool(world: RadiusWorld, given: str) -> None:
    client, _ = world.client("r@example.com", "pw")
    world.accept(framed_ip_address=given)
    assert client.networks["ip"].local == "10.5.1.100"
    client, _ = world.client("s@example.com", "pw")
    world.accept(framed_ip_address=given, framed_pool="gold")
    assert client.networks["ip"].local == "10.7.0.1"


def test_a_pool_that_is_not_there_gives_no_other_address(world: RadiusWorld) -> None:
    lines = heard(world.log)
    client, link = world.client("r@example.com", "pw")
    world.accept(framed_ip_address="", framed_pool="silver")
    assert not link.up and "ip" not in client.networks
    assert "there is no ip_pool 'silver'" in lines[0]


def test_a_rejected_user_reads_why(world: RadiusWorld) -> None:
    client, link = world.client("r@example.com", "pw")
    world.answer(Rejected(1, Answer(reply_message="Account suspended"), "r1"))
    assert not link.up and link.radius == "AUTH_CHAP_NAK"
    assert client.down is not None
    assert "Account suspended" in client.down.message


@pytest.mark.parametrize(("output", "reason"), [
    (NoAnswer(1, "no server answered in time"), "no answer from RADIUS: no server answered in time"),
    (Challenged(1, Answer(state=b"x"), "r1"), "RADIUS server r1 wants to ask once more"),
    (Accepted(1, Answer(service_type=1), "r1"), "RADIUS server r1 accepts the user for another service than PPP"),
    (Accepted(1, Answer(framed_protocol=2), "r1"), "RADIUS server r1 accepts the user for another service than PPP"),
    (Rejected(1, Answer(), "", "the user name is too long"), "not asked of RADIUS: the user name is too long"),
])
def test_whatever_is_no_clear_yes_is_a_no(world: RadiusWorld, output: Any, reason: str) -> None:
    lines = heard(world.log)
    client, link = world.client("r@example.com", "pw")
    world.answer(output)
    assert not link.up and not client.networks
    assert f"refused: {reason} (chap)" in lines[0]


def test_local_users_and_other_profiles_are_not_asked_about(world: RadiusWorld) -> None:
    _, link = world.client()
    assert link.up and not link.radius
    world.client(password="wrong")
    lines = heard(world.log)
    world.client("r@example.com", "pw", profile="local")
    assert "refused: unknown user" in lines[0]
    assert world.server.asked == []


def test_an_answer_for_a_link_that_is_over_changes_nothing(world: RadiusWorld) -> None:
    _, link = world.client("r@example.com", "pw")
    link.lost("Lost Carrier", "the tunnel is gone")
    world.accept()
    assert not link.user and len(world.links.online) == 0
    assert world.links.addresses.holder("10.1.2.3") is None


def test_mschapv2_hands_on_the_proof_of_the_server_and_its_error(world: RadiusWorld) -> None:
    world.configure(TEXT.replace("auth_methods chap pap", "auth_methods mschapv2", 1))
    names = {"allow_methods": ("mschapv2",)}
    client, link = world.client("r@example.com", "pw", **names)
    record = world.server.asked[0][0]
    parts = (record.response, record.peer_challenge, record.challenge, record.user)
    nt_hash = mschap.nt_password_hash("pw")
    assert mschap.verify_v2(nt_hash, *parts)
    world.accept(mschap2_success=mschap.authenticator_response(nt_hash, *parts))
    assert link.up and client.networks["ip"].local == "10.1.2.3"
    lines = heard(world.log)
    for output in (Accepted(1, ACCEPT, "r1"), Rejected(1, Answer(mschap_error="E=648 R=0 C= V=3 M=x"), "r1")):
        client, link = world.client("s@example.com", "pw", **names)
        world.answer(output)
        assert not link.up
    assert client.down is not None and "648" in client.down.message
    assert "does not prove that it knows the password" in lines[0]


def test_the_counters_of_the_daemon_are_those_of_the_client(world: RadiusWorld) -> None:
    core = world.server.core
    core.counters.access_requests, core.counters.retransmits, core.counters.timeouts = 3, 2, 1
    core.request(AccessRequest(b"u@example.com", "pap", password=b"x", nas=world.source.nas), 1000.0)
    record = Status(world.links, ConfigCounts(), "t", world.log, core).system()["radius"]
    assert (record["access_requests"], record["retransmits"], record["timeouts"]) == (4, 2, 1)
    assert (record["auth_in_progress"], record["accounting_in_progress"]) == (1, 0)
    assert record["disconnect_requests"] == 0


def test_the_servers_are_listed_with_what_they_did(world: RadiusWorld) -> None:
    use(world, TEXT.replace("address 192.0.2.53", "address 2001:db8::53; acct_port 0"))
    core = world.server.core
    core.services["r1", "auth"].requests = 7
    core._declare_dead(core.services["r1", "auth"], world.clock.seconds())
    world.settle(5)
    (row,) = world.servers.rows(None, None)["rows"]
    assert problems(row, RECORDS["server-row"], RECORDS) == []
    assert (row["name"], row["kind"], row["address"], row["alive"]) == ("r1", "auth", "[2001:db8::53]:1812", False)
    assert (row["state_seconds"], row["requests"], row["answers"]) == (5.0, 7, 0)
    use(world, NAMED)
    rows = world.servers.rows(None, None)["rows"]
    assert [(row["kind"], row["address"], row["alive"]) for row in rows] == [
        ("auth", "aaa.example.net:0", False), ("acct", "aaa.example.net:0", False)
    ]
    assert all(problems(row, RECORDS["server-row"], RECORDS) == [] for row in rows)


def test_what_an_accept_says_in_vain_is_in_the_log(world: RadiusWorld) -> None:
    lines = heard(world.log, Level.INFO)
    _, link = world.client("r@example.com", "pw")
    world.accept(ignored=("Framed-Route", "Unheard-Of"), framed_ip_netmask="255.0.255.0",
                 avpairs=("ip:inacl#1=deny ip any any", "ip:addr-pool=gold"))
    assert link.up
    said = [line for line in lines if "means nothing here" in line]
    assert said == ["session-1: RADIUS server r1 says what means nothing here: Framed-Route, Unheard-Of, "
                    "Framed-IP-Netmask 255.0.255.0, ip:inacl#1=deny ip any any"]


@pytest.mark.parametrize("address", ["127.0.0.1", "224.0.0.1", "0.1.2.3", "255.255.255.253", "240.0.0.1"])
def test_an_address_that_no_host_can_have_is_a_reject(world: RadiusWorld, address: str) -> None:
    lines = heard(world.log)
    _, link = world.client("r@example.com", "pw")
    world.accept(framed_ip_address=address)
    assert link.ended and any(f"gives the user {address}, which no host can have" in line for line in lines)


def test_pairs_of_cisco_say_what_attributes_can(world: RadiusWorld) -> None:
    client, link = world.client("r@example.com", "pw", usepeerdns=True)
    world.accept(framed_ip_address="", avpairs=("ip:addr-pool=gold", "ip:dns-servers=192.0.2.53 192.0.2.54",
                                                "ip:route=198.51.100.0 255.255.255.0", "ip:table-id=7"))
    assert client.networks["ip"].local == "10.7.0.1" and client.networks["ip"].dns == ("192.0.2.53", "192.0.2.54")
    assert {(prefix, table) for prefix, table, _ in world.network.routes} == {
        ("10.7.0.1/32", 7), ("198.51.100.0/24", 7)}
    assert ("ppp0", 7, False) in world.network.rules
