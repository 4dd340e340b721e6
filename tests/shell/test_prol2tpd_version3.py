"""prol2tpd's wiring for L2TPv3: circuits, their interfaces, protocol 115."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail

from prol2tp.config.prol2tpd import load
from prol2tp.control.command import Invalid
from prol2tp.daemons.prol2tpd import reload
from prol2tp.daemons.prol2tpd.ethernet import EthernetInterfaces, _Circuit
from prol2tp.dataplane.network import MemoryNetwork
from prol2tp.l2tp.settings import SessionSettings
from prol2tp.net.linkwatch import IFF_RUNNING, IFF_UP
from tests.shell.test_prol2tpd import Host, states, world  # noqa: F401
from tests.steps import steps

LNS = """
system { hostname "lns"; listen 10.99.0.1:1701 }
session profile "c1" { remote_end_id "c1"; pseudowire_type eth; %s }
tunnel profile "p" { peer 10.99.0.0/24; version l2tpv3 }
"""
LAC = """
system { hostname "lac" }
tunnel "t" { peer 10.99.0.1; version l2tpv3; session "c1" { remote_end_id "c1"; pseudowire_type eth; %s } }
"""


class FakeWatch:
    """Stands where the kernel's news of links are read."""

    made: list[FakeWatch] = []

    def __init__(self, reactor: Any, changed: Any, lost: Any) -> None:
        self.changed, self.lost, self.stopped = changed, lost, False
        self.made.append(self)

    def stop(self) -> None:
        self.stopped = True


@pytest.fixture
def flags(monkeypatch: pytest.MonkeyPatch) -> dict[int, int | None]:
    """Of interfaces, by index; what is not in it is up."""
    known: dict[int, int | None] = {}
    FakeWatch.made.clear()
    monkeypatch.setattr("prol2tp.daemons.prol2tpd.ethernet.LinkWatch", FakeWatch)
    monkeypatch.setattr("prol2tp.daemons.prol2tpd.ethernet.flags_of",
                        lambda ifindex: known.get(ifindex, IFF_UP | IFF_RUNNING))
    return known


def host(world: Any, text: str) -> Host:  # noqa: F811
    made: Host = world.host(text)
    made.plane.ethernet._network = MemoryNetwork()
    made.start()
    return made


def wire(one: Host) -> Any:
    (tunnel,) = one.plane.endpoint.tunnels.values()
    (session,) = tunnel.sessions.values()
    return session.pseudowire


def carriers(one: Host) -> list[bool | None]:
    return [link.get("carrier") for link in one.plane.ethernet._network.links.values()]


def test_both_ends_that_want_a_circuit_of_each_other_end_with_one_session(world: Any) -> None:  # noqa: F811
    def end(name: str, ours: str, peer: str) -> str:
        return (f'system {{ hostname "{name}"; listen {ours}:1701 }}\ntunnel profile "p" {{ peer {peer}; '
                f'version l2tpv3 }}\ntunnel "t" {{ peer {peer}; local {ours}; version l2tpv3; '
                f'session "c" {{ remote_end_id "c" }} }}\n')
    one = world.host(end("one", "10.99.0.1", "10.99.0.2"))
    two = world.host(end("another", "10.99.0.2", "10.99.0.1"))
    one.start()
    two.start()
    world.run(300)
    for each in (one, two):
        assert states(each)[1] == ["ESTABLISHED"]
        assert each.plane.endpoint.counters.sessions_created <= 4


def test_two_tunnels_over_ip_share_the_socket_of_their_address(world: Any) -> None:  # noqa: F811
    both = "".join(f'tunnel "{name}" {{ peer 10.99.0.{number}; encap ip; version l2tpv3; persist false }}\n'
                   for name, number in (("a", 1), ("b", 3)))
    lac = world.host(f'system {{ hostname "lac" }}\n{both}')
    answers: list[Any] = []
    listen = lac.path.listen

    def later(*arguments: Any) -> Any:
        done: Any = Deferred()
        answers.append((done, arguments))
        return done
    lac.path.listen = later
    lac.start()
    world.run(0.1)
    for done, arguments in answers:
        listen(*arguments).chainDeferred(done)
    world.run(1)
    assert len(answers) == 1
    assert states(lac)[0] == ["WAITCTLREPLY"] * 2


def test_a_socket_that_cannot_be_had_fails_all_that_wait_and_is_asked_for_again(world: Any) -> None:  # noqa: F811
    lac = world.host('system { hostname "lac" }\n')
    listen, lac.path.listen = lac.path.listen, lambda *_: fail(OSError("no"))
    failed: list[Any] = []
    lac.plane.ip_port("10.99.0.2").addErrback(failed.append)
    assert len(failed) == 1
    lac.path.listen = listen
    got: list[Any] = []
    lac.plane.ip_port("10.99.0.2").addCallback(got.append)
    assert got and got[0] is lac.plane.ports.find(("10.99.0.2", 0))


@pytest.mark.usefixtures("flags")
def test_the_peers_circuit_that_is_down_from_the_start_takes_our_cable(world: Any, flags: Any) -> None:  # noqa: F811
    lns = host(world, LNS % 'circuit "eth1"')
    flags.update(dict.fromkeys(range(1000), IFF_UP))  # no cable in it
    lac = host(world, LAC % "")
    world.run(2)
    assert states(lns)[1] == states(lac)[1] == ["ESTABLISHED"]
    assert not wire(lns).active and not wire(lac).peer_active
    assert carriers(lac) == [False]
    FakeWatch.made[0].changed(next(iter(lns.plane.ethernet._by_index)), IFF_UP | IFF_RUNNING)
    world.run(1)
    assert carriers(lac) == [True]


def test_news_that_the_kernel_could_not_tell_are_asked_for(world: Any, flags: Any) -> None:  # noqa: F811
    lns, lac = host(world, LNS % ""), host(world, LAC % "")
    world.run(2)
    assert wire(lac).active
    (ifindex,) = lac.plane.ethernet._by_index
    flags[ifindex] = None
    FakeWatch.made[1].lost()
    world.run(1)
    assert not wire(lac).active and not wire(lns).peer_active


def test_the_end_of_a_session_costs_the_same_among_many(flags: Any) -> None:
    few, many = (EthernetInterfaces(None, None, None, None, None) for _ in range(2))  # type: ignore[arg-type]
    for interfaces, count in ((few, 2), (many, 500)):
        for number in range(1, count + 1):
            interfaces._by_port[number] = _Circuit(None, number, False)  # type: ignore[arg-type]
            interfaces._by_index[number] = {number: None}
    assert steps(many.forget, 500) == steps(few.forget, 2)
    assert many.find(500) is None and many.find(499) is None and 500 not in many._by_index


def test_any_number_of_circuits_may_be_asked_for(world: Any) -> None:  # noqa: F811
    ends = "\n".join(f'session "s{n}" {{ remote_end_id "e{n}"; persist false }}' for n in range(20))
    lns = world.host(LNS % "")
    lns.start()
    lac = world.host(f'system {{ hostname "lac" }}\ntunnel "t" {{ peer 10.99.0.1; version l2tpv3; {ends} }}')
    lac.start()
    world.run(3)
    assert states(lns)[1] == ["ESTABLISHED"] * 20
    (record,) = lns.plane.tunnels.values()
    assert record.circuits is None


def test_a_reloaded_profile_serves_the_next_request_for_its_circuit(world: Any) -> None:  # noqa: F811
    """In a tunnel of ours too, which a reload leaves alone."""
    profile = 'session profile "c" { remote_end_id "c"; calling_number "1" }\n'
    lns = world.host('system { hostname "lns"; listen 10.99.0.1:1701 }\ntunnel profile "p" { peer 10.99.0.0/24; '
                     'version l2tpv3 }')
    own = 'tunnel "t" { peer 10.99.0.1; version l2tpv3 }'
    lac = world.host(f'system {{ hostname "lac" }}\n{profile}{own}')
    lns.start()
    lac.start()
    world.run(2)
    (tunnel_id,) = lns.plane.endpoint.tunnels
    for number in ("1", "2"):
        reload.apply(lac.plane, load(f'system {{ hostname "lac" }}\n{profile.replace("1", number)}{own}', "x.conf"))
        lns.plane.driver.call(lns.plane.endpoint.open_session, tunnel_id, SessionSettings(remote_end_id="c"))
        world.run(1)
    assert [record.profile.calling_number for record in lac.ppp.up] == ["1", "2"]


@pytest.mark.parametrize(("tunnel", "session", "message"), [
    ({"static": "true"}, {}, "the tunnel is static and lacks tunnel_id, peer_tunnel_id, local"),
    ({"static": "true", "tunnel_id": "1", "peer_tunnel_id": "2", "local": "10.99.0.2"}, {}, "lacks local"),
    ({"static": "true", "tunnel_id": "1", "peer_tunnel_id": "2", "local": "10.99.0.2:5000"},
     {"session_id": "5"}, "the session is static and lacks an id"),
    ({"static": "true", "tunnel_id": "1", "peer_tunnel_id": "2", "local": "10.99.0.2:5000"},
     {"session_id": "5", "peer_session_id": "6", "cookie": "hex:0102"}, "has a cookie of 2 octets"),
    ({}, {"pseudowire_type": "eth"}, "its tunnel of version l2tpv2; give the tunnel: version l2tpv3"),
])
def test_a_command_that_cannot_work_is_refused_in_one_line(world: Any, tunnel: dict[str, str],  # noqa: F811
                                                         session: dict[str, str], message: str) -> None:
    lac = world.host('system { hostname "lac" }\n')

    def create() -> None:
        lac.commands["CreateTunnel"](None, parameters={"name": "t", "peer": "10.99.0.1", **tunnel})
        lac.call("CreateSession", tunnel_name="t", parameters={"name": "s", **session})
    with pytest.raises(Invalid, match=message):
        create()
    assert len(lac.plane.instances) == bool(session) and "\n" not in message
