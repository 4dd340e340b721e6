"""Links of propppd: users come and go, and what fails costs one link."""

from __future__ import annotations

import errno

import pytest
from twisted.internet.defer import Deferred, fail, succeed

from prol2tp.daemons.propppd.aaa import EapRequest
from prol2tp.daemons.propppd.idle import LAST_ACTIVITY
from prol2tp.dataplane.interface import SYSTEM, DataPathError
from prol2tp.dataplane.network import refused
from prol2tp.ppp import outputs
from prol2tp.ppp.automaton import Event
from prol2tp.ppp.settings import Grant
from tests.shell.propppd_world import CONFIG, LinksWorld


@pytest.fixture
def world() -> LinksWorld:
    return LinksWorld()


@pytest.mark.parametrize("method", ["chap", "pap"])
def test_a_user_comes_online_with_an_address_of_the_pool(world, method):
    client, link = world.client(allow_methods=(method,), usepeerdns=True)
    assert client.networks["ip"].local == "10.5.1.100"
    assert client.networks["ip"].peer == "10.5.1.1"
    assert client.networks["ip"].dns == ("9.9.9.9", "149.112.112.112")
    assert client.networks["ipv6"].local.startswith("fe80::")
    assert link.up and link.user == "u1@example.com" and link.interface_name == "ppp0"
    ifindex = world.near.interfaces["ppp0"]
    local6, peer6 = client.networks["ipv6"].peer, client.networks["ipv6"].local
    assert {text for _, text in world.network.addresses} == {
        "10.5.1.1/32 10.5.1.100/32", f"{local6}/128 {peer6}/128"}
    assert world.network.links[ifindex] == {"mtu": 1500, "up": True}
    assert world.prol2tpd.rows == [{"id": link.carrier.id, "state": "up", "user": "u1@example.com", "interface": "ppp0",
                                    "cause": "", "message": "", "send_accm": 0xFFFFFFFF, "receive_accm": 0xFFFFFFFF}]
    assert world.events == [("link-created", "session-1"), ("link-up", "session-1")]


SERVER = 'radius { server "r1" { address 192.0.2.53; secret "s3cret" } }'
METHODS = ("pap", "chap", "mschapv1", "mschapv2", "eap")


@pytest.mark.parametrize("method", METHODS)
def test_a_local_user_comes_in_by_every_method(world, method):
    world.configure(CONFIG.replace("auth_methods chap pap", f"auth_methods {method}"))
    client, link = world.client(allow_methods=METHODS)
    assert client.networks["ip"].local == "10.5.1.100" and link.user == "u1@example.com"
    assert link.core.auth_done == (method, "") and client.core.auth_done == ("", method)
    client, link = world.client(allow_methods=METHODS, password="wrong")
    world.settle(5)
    assert client.networks == {} and link.cause == "Authentication Failed"


def test_a_server_of_eap_gets_the_packets_and_its_requests_go_to_the_peer(world):
    world.configure(CONFIG.replace("auth_methods chap pap", "auth_methods eap; use_radius true") + SERVER)
    asked = []

    class Server:
        def authenticate(self, question):
            asked.append(question.eap)
            identity = question.eap[4] == 1
            return succeed(EapRequest(b"\1\x21\0\x16\4\x10" + bytes(16)) if identity else Grant(user=question.user))

    world.links.authentication = Server()
    client, link = world.client(allow_methods=METHODS)
    assert link.up and client.networks["ip"].local == "10.5.1.100"
    assert [packet[:2] + packet[4:5] for packet in asked] == [asked[0][:2] + b"\1", b"\2\x21\4"]


def test_a_session_with_an_interface_of_its_own_costs_three_netlink_messages(world):
    world.client()
    assert world.network.requests == 3


def test_nothing_is_made_for_a_user_with_a_wrong_password(world):
    client, link = world.client(password="wrong")
    assert client.down is not None
    assert world.near.interfaces == {} and world.network.requests == 0
    assert world.links.addresses.leases == {}
    assert [row["state"] for row in world.prol2tpd.rows] == ["closed"]
    assert world.prol2tpd.rows[0]["cause"] == "Authentication Failed"
    assert len(world.links) == 0


@pytest.mark.parametrize("method", ["chap", "pap", "mschapv1", "mschapv2", "eap"])
def test_an_unknown_user_is_refused_like_one_with_a_wrong_password(world, method):
    world.configure(CONFIG.replace("auth_methods chap pap", f"auth_methods {method}"))
    heard = []
    for name, password in (("nobody", "pw1"), ("u1@example.com", "wrong")):
        client, link = world.client(user=name, password=password, allow_methods=(method,))
        world.settle(5)
        heard.append((client.core.peer_message, client.down, link.cause, link.message))
    assert heard[0] == heard[1] and heard[0][1] is not None
    assert len(world.links) == 0


def test_a_user_has_his_own_address_and_routes(world):
    client, link = world.client("u2@example.com", "pw2")
    assert client.networks["ip"].local == "10.5.1.150"
    assert world.network.routes == {("192.0.2.0/24", 0, 0): (world.near.interfaces["ppp0"], "")}


def test_who_logs_in_again_takes_over_his_own_address(world):
    first, old = world.client("u2@example.com", "pw2")
    second, new = world.client("u2@example.com", "pw2")
    world.settle()
    assert second.networks["ip"].local == "10.5.1.150"
    assert old.ended and old.cause == "Port Preempted" and not new.ended
    assert world.links.addresses.holder("10.5.1.150") is new


def test_one_session_per_user_refuses_the_second(world):
    world.configure(CONFIG.replace("auth true", "auth true\n one_session_per_user true"))
    _, link = world.client()
    second, refused = world.client()
    assert refused.ended and not link.ended and second.networks == {}


def test_an_exhausted_pool_refuses_the_next_user_until_an_address_is_free(world):
    users = [world.client(f"u{n}@example.com", f"pw{n}")[1] for n in (1, 3, 4)]
    client, refused = world.client()
    assert refused.ended and client.networks == {}
    users[1].close()
    world.settle()
    client, link = world.client()
    assert client.networks["ip"].local == "10.5.1.101"


def test_an_ncp_that_the_kernel_refuses_leaves_the_other_one(world):
    original = world.network.address_add

    def refusing(ifindex, local, peer=""):
        return fail(refused(errno.ENOSPC)) if "." in local else original(ifindex, local, peer)

    world.network.address_add = refusing
    client, link = world.client()
    assert set(client.networks) == {"ipv6"} and link.up
    assert world.near.ports[link.port].attachment.protocols == {"ipv6"}


def test_a_link_whose_interface_cannot_be_made_ends_alone(world):
    _, other = world.client()
    world.near.refuse["netif_attach"] = DataPathError(SYSTEM, "out of memory")
    client, link = world.client("u3@example.com", "pw3", ipv6=False)
    world.later(30)
    assert not other.ended and "ip" not in client.networks


def test_an_interface_name_that_somebody_has_gets_a_number(world):
    world.configure(CONFIG.replace("auth true", 'auth true\n interface_name "%u"'))
    world.near.interfaces["u1@example.com"] = 77
    _, first = world.client()
    _, second = world.client()
    assert first.interface_name == "u1@example.com1"
    assert second.interface_name == "u1@example.com2"


def test_destroy_terminates_lcp_and_takes_everything_away(world):
    client, link = world.client()
    link.close("Admin Reset")
    world.later(5)
    assert client.down is not None and client.down.by_peer
    assert world.near.interfaces == {}
    assert world.links.addresses.leases == {} and len(world.links.online) == 0
    assert world.prol2tpd.rows[-1]["state"] == "closed"
    assert world.events[-2:] == [("link-down", "session-1"), ("link-destroyed", "session-1")]


def test_a_peer_that_is_silent_after_destroy_does_not_keep_the_link(world):
    client, link = world.client()
    world.far.port_delete(client.port)
    link.close("Admin Reset")
    assert not link.ended
    world.later(10)
    assert link.ended and world.near.interfaces == {}


def test_the_client_hangs_up(world):
    client, link = world.client()
    client.driver.call(client.core.close)
    world.later(5)
    assert link.ended and link.cause == "Peer Request"
    assert world.near.interfaces == {}


def test_mtu_is_the_least_of_profile_tunnel_and_peer(world):
    _, link = world.client(row={"mtu": 1460})
    assert link.mtu == 1460
    _, link = world.client("u3@example.com", "pw3", row={"mtu": 1460}, mru=1400)
    ifindex = world.near.interfaces[link.interface_name]
    assert link.mtu == 1400 and world.network.links[ifindex]["mtu"] == 1400


def test_a_profile_without_authentication_gives_its_own_address(world):
    client, link = world.client(profile="open")
    assert client.networks["ip"].local == "10.5.1.2"
    assert link.up


def test_idle_links_end_and_busy_ones_stay(world):
    world.configure(CONFIG.replace("auth true", "auth true\n idle_timeout 60"))
    client, idle = world.client()
    _, busy = world.client("u3@example.com", "pw3")
    packet = bytes.fromhex("4500001c000000004011000000000000000000000000000000080000")
    for _ in range(20):
        world.later(5, 5)
        world.near.inject(busy.port, packet)
    assert idle.ended and idle.cause == "Idle Timeout"
    assert not busy.ended


def test_a_fault_with_one_of_many_keeps_nobody_waiting(world):
    seen = []

    def act(number):
        if number % 7 == 0:
            raise RuntimeError("a fault of ours")
        seen.append(number)

    done = world.links.for_all(range(250), act)
    world.settle()
    assert done.called and len(seen) == 250 - 36


def test_a_link_that_goes_down_while_its_counters_are_read_is_not_idle(world, monkeypatch):
    world.configure(CONFIG.replace("auth true", "auth true\n idle_timeout 60"))
    client, link = world.client()
    asked = []
    monkeypatch.setattr(world.near, "counters", lambda ports: asked.append(Deferred()) or asked[-1])
    world.later(62, 1)
    client.driver.call(client.core.lcp.fire, Event.DOWN)
    client.driver.call(client.core.lcp.fire, Event.UP)
    monkeypatch.setattr(world.users, "authenticate", lambda question: Deferred())
    world.settle()
    assert not link.up and len(asked) == 1
    asked[0].callback({link.port: (*(0,) * LAST_ACTIVITY, -1.0)})
    assert not link.cause and len(world.links.idle._due) == 0


def test_links_that_share_an_interface_cost_the_kernel_nothing_each(world):
    world.configure(CONFIG.replace("auth true", "auth true\n interface shared\n interface_name users"))
    client, link = world.client(ipv6=False)
    assert list(world.near.interfaces) == ["users"] and link.interface_name == "users"
    routes = {prefix for prefix, _, _ in world.network.routes}
    assert routes == {"10.5.1.100/31", "10.5.1.102/32"}
    before = world.network.requests
    _, second = world.client("u3@example.com", "pw3", ipv6=False)
    assert second.up and world.network.requests == before
    _, third = world.client("u2@example.com", "pw2", ipv6=False)
    assert ("10.5.1.150/32", 0, 0) in world.network.routes
    third.close()
    world.settle()
    assert ("10.5.1.150/32", 0, 0) not in world.network.routes
    world.near.inject_shared("users", bytes(16) + bytes([10, 5, 1, 100]))
    for one in (link, second):
        one.close()
    world.settle()
    assert world.near.interfaces == {} and world.links.interfaces.shared == {}


def test_a_thousand_links_come_and_go_and_leave_nothing(world):
    world.configure(CONFIG.replace("10.5.1.100-10.5.1.102", "10.6.0.0-10.6.255.255"))
    links = []
    for _ in range(1000):
        client, link = world.client()
        assert link.up
        links.append((client, link))
        client.driver.stop()
    assert len(world.links) == len(world.near.interfaces) == 1000
    for _, link in links:
        link.close()
    world.settle()
    for client, _ in links:
        client.driver.call(client.core.lower_down)
        client.driver.stop()
    assert len(world.links) == 0 and not world.links._closing
    assert world.near.interfaces == {} and world.links.addresses.leases == {} and len(world.links.online) == 0
    assert len(world.links.deadlines) == 0
    assert world.links.by_id == {} and world.links.by_port == {} and len(world.links.roll) == 0
    assert world.links.interfaces.names == set()
    world.links.stop()
    world.near._moving.clear()


def test_a_fault_in_the_core_costs_its_link(world):
    _, other = world.client()
    client, link = world.client("u3@example.com", "pw3")

    def broken(frame, now):
        raise RuntimeError("a fault")

    class Core:
        def __getattr__(self, name):
            return getattr(real, name)

        receive = staticmethod(broken)

    real = link.core
    link.core = Core()
    client.driver.call(client.core.close)
    world.settle()
    assert link.ended and not other.ended


@pytest.mark.parametrize("name", ["DOMAIN\\user", "jürgen"])
def test_users_may_have_any_name_that_a_person_can_type(world, name):
    world.configure(CONFIG + 'user "{}" {{ password "pw" }}\n'.format(name.replace("\\", "\\\\")))
    _, link = world.client(name, "pw")
    assert link.up and link.user == name


def test_a_user_keeps_his_address_when_lcp_is_negotiated_anew(world):
    client, link = world.client()
    address = link.lease.text
    client.driver.call(client.core.lcp.fire, Event.DOWN)
    client.driver.call(client.core.lcp.fire, Event.UP)
    world.later(10)
    assert link.up and link.core.lcp.retransmits == 0 and link.lease.text == address
    assert link.seconds_up < 10 and client.networks["ip"].local == address


def test_a_user_without_an_address_gets_none_of_one_who_was_on_the_link_before(world):
    world.configure(CONFIG.replace('ip_pool "pool1"\n', ""))
    client, link = world.client("u2@example.com", "pw2")
    assert link.lease.text == "10.5.1.150"
    client.core.settings.user, client.core.settings.password = "u1@example.com", "pw1"
    client.driver.call(client.core.lcp.fire, Event.DOWN)
    client.driver.call(client.core.lcp.fire, Event.UP)
    world.later(10)
    assert link.user == "u1@example.com" and link.lease is None
    assert "ip" not in client.networks and "10.5.1.150" not in str(world.network.addresses)


def test_a_user_who_comes_again_while_his_old_interface_is_being_removed_gets_his_address(world):
    _, old = world.client("u2@example.com", "pw2")
    kept: list[Deferred[None]] = []
    detach = world.near.netif_detach
    world.near.netif_detach = lambda port: kept.append(Deferred().addCallback(lambda _: detach(port))) or kept[-1]
    old.lost("Lost Carrier", "")
    assert kept and world.links.addresses.leases
    client, link = world.client("u2@example.com", "pw2")
    assert link.up and client.networks["ip"].local == "10.5.1.150"
    kept[0].callback(None)
    world.settle()
    assert world.links.addresses.holder("10.5.1.150") is link


def test_a_slow_answer_to_a_login_before_lcp_was_negotiated_anew_lets_nobody_in(world):
    slow: list[Deferred[None]] = []
    answer = world.links.authentication.authenticate

    def authenticate(question):
        slow.append(Deferred().addCallback(lambda _: answer(question)))
        return slow[-1]

    world.links.authentication.authenticate = authenticate
    client, link = world.client()
    client.core.settings.password = "wrong"
    client.driver.call(client.core.lcp.fire, Event.DOWN)
    client.driver.call(client.core.lcp.fire, Event.UP)
    world.settle(5)
    slow[0].callback(None)
    assert link.user == "" and len(world.links.online) == 0 and world.links.addresses.leases == {}
    world.settle()
    slow[1].callback(None)
    world.later(10)
    assert link.ended and link.cause == "Authentication Failed"


def test_another_user_cannot_answer_the_challenge_to_one_who_is_online(world):
    world.configure(CONFIG.replace("auth true", "auth true\n chap_interval 60"))
    client, link = world.client(ipv6=False)
    client.core.settings.user, client.core.settings.password = "u3@example.com", "pw3"
    world.later(70, 1)
    assert link.ended and link.cause == "Authentication Failed"
    assert len(world.links.online) == 0


def test_after_a_fault_in_the_middle_of_its_outputs_a_link_begins_nothing(world):
    _, link = world.client()
    made = len(world.near.interfaces)
    link.core._lower.queue += [None, outputs.NetworkUp("ip", "10.5.1.1", "10.9.9.9")]
    link.drain()
    world.settle()
    assert link.ended and made == 1 and world.near.interfaces == {}
    assert world.links.addresses.leases == {}


def test_who_hears_that_a_link_is_down_hears_why(world):
    causes = []
    world.links.event = lambda name, link: causes.append((name, link.cause, link.message))
    client, link = world.client()
    link.close("Admin Reset", "maintenance")
    world.settle()
    client, link = world.client()
    client.driver.call(client.core.close)
    world.later(5)
    client, link = world.client()
    client.driver.call(client.core.lcp.fire, Event.DOWN)
    client.driver.call(client.core.lcp.fire, Event.UP)
    world.settle()
    downs = [(cause, message) for name, cause, message in causes if name == "link-down"]
    assert downs[0] == ("Admin Reset", "maintenance")
    assert downs[1][0] == "Peer Request"
    assert downs[2] == ("", ""), "it only negotiates anew"


def test_no_packet_passes_while_the_peer_has_not_proved_itself_again(world):
    client, link = world.client()
    attachment = world.near.ports[link.port].attachment
    assert attachment.protocols == {"ip", "ipv6"}
    client.core.settings.password = "wrong"
    client.driver.call(client.core.lcp.fire, Event.DOWN)
    client.driver.call(client.core.lcp.fire, Event.UP)
    world.settle()
    assert not link.up and attachment.protocols == set()
    world.far.port_send(client.port, b"\xff\x03\x00\x21" + bytes(20))
    world.later(10)
    assert link.ended and attachment.protocols == set() and world.near.interfaces == {}
