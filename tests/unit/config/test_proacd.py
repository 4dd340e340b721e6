"""proacd.conf: what its routes, profiles and interfaces become, and what is said when they are wrong."""

from __future__ import annotations

import contextlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prol2tp.config.access import (
    DEBUG_CATEGORIES,
    UNTAGGED,
    Delay,
    ServiceName,
    VlanRange,
    VlanUnion,
    vlan_set,
)
from prol2tp.config.diff import describe, diff
from prol2tp.config.parameter import read_values
from prol2tp.config.proacd import ConfigError, load
from prol2tp.config.routes import (
    PROFILE_RADIUS,
    SERVER,
    SESSION_ROWS,
    TUNNEL_ROWS,
    L2tpDestination,
    L2tpPeer,
    PppDestination,
    PppoeSource,
    ProacdConfig,
    RadiusDestination,
)
from prol2tp.config.serving import RouteIndex
from prol2tp.config.tunnels import SESSION, TUNNEL
from prol2tp.config.types import Address
from prol2tp.config.written import written
from tests.steps import steps

MANUAL = """
system { debug route,pppoe,radius  log_file "/var/log/proacd.log"  ac_name "lac-1" }
profile radius "aaa" { server 127.0.0.1 secret "testing123" timeout 3 }
route "r1" { source pppoe { interface eth0 service "static" }
             destination l2tp { peer 192.0.2.10 secret "s3cret" } }
route "r2" { source pppoe { interface eth0 service "dynamic" }
             destination radius { profile "aaa" } }
"""
PPP = "destination ppp { ppp_profile users }"


def one(source: str, destination: str = PPP) -> str:
    return f'route "r" {{ {source} {destination} }}'


def routes(*sources: str) -> str:
    return "\n".join(f'route "r{number}" {{ {source} {PPP} }}' for number, source in enumerate(sources, 1))


def first_error(text: str) -> str:
    with pytest.raises(ConfigError) as refused:
        load(text, "proacd.conf")
    assert len(refused.value.problems) == 1, str(refused.value)
    return refused.value.first


def peers(config: ProacdConfig, name: str = "r") -> dict[str, L2tpPeer]:
    destination = config.routes[name].destination
    assert isinstance(destination, L2tpDestination)
    return {peer.name: peer for peer in destination.peers}


def test_example_of_the_manual() -> None:
    config = load(MANUAL, "proacd.conf")
    assert config.system.debug == ("route", "pppoe", "radius")
    assert (config.system.log_file, config.system.ac_name) == ("/var/log/proacd.log", "lac-1")
    assert config.radius["aaa"].servers["127.0.0.1"].address == "127.0.0.1"
    assert config.radius["aaa"].servers["127.0.0.1"].timeout == 3
    source = config.routes["r1"].source
    assert isinstance(source, PppoeSource)
    assert source.interface == ("eth0",) and source.service == (ServiceName("static"),)
    assert peers(config, "r1")["192.0.2.10"].tunnel == {"peer": "192.0.2.10:1701", "secret": "hex:733363726574"}
    assert config.routes["r2"].destination == RadiusDestination("aaa")


@pytest.mark.parametrize("blank", [" ", "\n", "\n\n\t", " ; ", " # a comment\n"])
def test_white_space_newlines_and_comments_mean_nothing(blank: str) -> None:
    words = re.findall(r'"[^"]*"|[^\s"]+', MANUAL)
    assert load(blank.join(words), "f") == load(MANUAL, "f")


def test_strings_need_quotes_only_when_they_hold_blanks() -> None:
    config = load("route r1 { source pppoe { interface eth0 service static } " + PPP + " }", "f")
    assert list(config.routes) == ["r1"]
    assert config.routes["r1"].destination == PppDestination("users")


def test_a_list_ends_at_the_next_keyword_and_a_keyword_in_quotes_is_a_value() -> None:
    text = "interface default { vlans any }" + one('source pppoe { interface eth0 eth1 service "vlan" "any" vlan 7 }')
    source = load(text, "f").routes["r"].source
    assert source == PppoeSource(("eth0", "eth1"), (ServiceName("vlan"), ServiceName("any")), (VlanRange(0, 7, 7),))


def test_keywords_of_a_server_are_not_those_of_its_profile() -> None:
    assert not set(SERVER.parameters) & set(PROFILE_RADIUS.parameters)


def test_debug_stands_alone_or_takes_a_number_or_words() -> None:
    assert load("system { debug }", "f").system.debug == DEBUG_CATEGORIES
    assert load("system { debug ac_name x }", "f").system.debug == DEBUG_CATEGORIES
    assert load("system { debug 0x5 }", "f").system.debug == ("route", "l2tp")
    assert load("system { debug 3 }", "f").system.debug == ("route", "pppoe")
    assert load("system { debug all }", "f").system.debug == DEBUG_CATEGORIES
    assert "pppoo is no category; did you mean pppoe?" in first_error("system { debug route,pppoo }")


def test_interfaces_have_values_of_their_own_of_default_and_of_the_table() -> None:
    config = load("interface default { padi_rate 50 vlans any } interface eth1 { vlans 10-12 200.5 untagged }"
                  + one("source pppoe { interface eth0 eth1 }"), "f")
    assert (config.interfaces["eth0"].padi_rate, config.interfaces["eth1"].padi_rate) == (50, 50)
    assert config.interfaces["eth0"].padi_burst == 2000
    assert vlan_set(config.interfaces["eth0"].vlans) is None
    assert vlan_set(config.interfaces["eth1"].vlans) == {(10,), (11,), (12,), (200, 5), ()}


def test_delays_by_load() -> None:
    config = load("system { pado_delay 0:0 1000:0.5 5000:none }", "f")
    assert config.system.pado_delay == (Delay(0, 0), Delay(1000, 0.5), Delay(5000, None))
    assert "do not ascend" in first_error("system { pado_delay 1000:0 10:1 }")


def test_a_peer_has_parameters_of_profile_destination_and_its_own() -> None:
    config = load('profile l2tp "x" { hello_timeout 30 secret a session { connect_speed 1M framing_type async } }'
                  + one("source pppoe { interface eth0 }",
                        "destination l2tp { profile x secret b session { framing_type sync } peer 192.0.2.1 "
                        "peer lns.example.net:1702 { preference 2 weight 3 secret hex:63 hello_timeout 1m } }"), "f")
    first, second = peers(config).values()
    assert first.tunnel == {"peer": "192.0.2.1:1701", "hello_timeout": "30", "secret": "hex:62"}
    assert second.tunnel == {"peer": "lns.example.net:1702", "hello_timeout": "60", "secret": "hex:63"}
    assert (second.address, second.preference, second.weight) == (Address("lns.example.net", 1702), 2, 3)
    assert first.session == second.session == {"connect_speed": "1000000", "framing_type": "sync"}


def test_parameters_of_tunnels_and_sessions_are_text_that_prol2tpd_reads() -> None:
    values = " ".join(f"{name} {row.default_text()}" for name, row in TUNNEL_ROWS.items() if row.default_text())
    inner = " ".join(f"{name} {row.default_text()}" for name, row in SESSION_ROWS.items() if row.default_text())
    config = load(one("source pppoe { interface eth0 }",
                      f'destination l2tp {{ peer 192.0.2.1 {values} hostname "a b" session {{ {inner} }} }}'), "f")
    peer = peers(config)["192.0.2.1"]
    tunnel = read_values(TUNNEL, peer.tunnel)
    assert tunnel["hostname"] == "a b" and tunnel["framing_caps"] == 3 and tunnel["mtu"] == 1460
    assert read_values(SESSION, peer.session)["connect_speed"].tx == 1_000_000_000


def test_secrets_are_not_in_the_text_of_records() -> None:
    config = load(MANUAL, "f")
    for text in map(str, (*config.routes.values(), *config.radius.values(), *peers(config, "r1").values())):
        assert "s3cret" not in text and "733363726574" not in text and "testing123" not in text


# which route serves a host


def test_the_name_is_looked_at_first_then_the_vlan() -> None:
    config = load("interface eth0 { vlans any }" + routes(
        "source pppoe { interface eth0 service a }",
        "source pppoe { interface eth0 service a vlan 10-19 200.1-4094 }",
        "source pppoe { interface eth0 }",
        "source pppoe { interface eth0 vlan untagged }",
    ), "f")  # fmt: skip
    index = RouteIndex(config.routes.values())
    asked: list[tuple[tuple[int, ...], str]] = [
        ((), "a"), ((10,), "a"), ((19,), "a"), ((20,), "a"), ((200, 7), "a"), ((10, 10), "a"), ((), "b"), ((5,), "b"),
    ]  # fmt: skip
    found = [index.find("eth0", *one) for one in asked]
    assert [route and route.name for route in found] == ["r1", "r2", "r2", "r1", "r2", "r1", "r4", "r3"]
    assert index.find("eth1", (), "a") is None
    assert index.services("eth0") == ((ServiceName("a"),), True)


def test_services_of_an_interface_are_those_of_its_routes() -> None:
    config = load(routes("source pppoe { interface eth0 service a hidden b }",
                         "source pppoe { interface eth0 eth1 service c }",
                         "source l2tp { tunnel_profile lacs others }"), "f")
    index = RouteIndex(config.routes.values())
    assert index.interfaces == ["eth0", "eth1"]
    assert index.services("eth0") == ((ServiceName("a", False), ServiceName("b"), ServiceName("c")), False)
    assert index.find("eth0", (), "x") is None
    lacs = index.find_l2tp("lacs")
    assert lacs is not None and lacs.name == "r3" and index.tunnel_profiles == ["lacs", "others"]


@pytest.mark.parametrize(
    ("sources", "what"),
    [
        (("interface eth0", "interface eth1 eth0"), "any service on eth0, vlan any"),
        (("interface eth0 service a", "interface eth0 service b a"), 'service "a" on eth0, vlan any'),
        (("interface eth0 vlan 1-100", "interface eth0 vlan 50"), "any service on eth0, vlan 50"),
        (("interface eth0 vlan 7.5-9", "interface eth0 vlan 7.9"), "any service on eth0, vlan 7.9"),
    ],
)
def test_two_routes_that_serve_one_host_are_refused(sources: tuple[str, str], what: str) -> None:
    text = "interface eth0 { vlans any }\n" + routes(*(f"source pppoe {{ {source} }}" for source in sources))
    message = first_error(text)
    assert message.startswith("proacd.conf:3:")
    assert f'route "r2" and route "r1" both serve {what}; the other one is on line 2' in message


def test_two_routes_for_one_tunnel_profile_are_refused() -> None:
    text = routes("source l2tp { tunnel_profile a }", "source l2tp { tunnel_profile b a }")
    assert 'route "r2" and route "r1" both serve tunnel profile "a"' in first_error(text)


# what is wrong, where, and what would be right

WRONG = [
    (one("source pppoe { interface eth0 sevice a }"),
     "proacd.conf:1:43: unknown parameter sevice in source pppoe; did you mean service?"),
    (one("source pppoe { interface }"), "proacd.conf:1:28: interface: a value is missing; write: interface device"),
    (one("source pppoe { service a }"), "proacd.conf:1:13: source pppoe has no interface; add: interface device"),
    (one("source pppoe { interface eth0 service hidden }"), "hidden follows a service name"),
    (one("source pppoe { interface eth0 vlan 4095 }"), "4095 is no VLAN id; from 1 to 4094"),
    (one("source pppoe { interface eth0 vlan 10 }"),
     "interface eth0 does not serve vlan 10; add: interface eth0 { vlans 10 }"),
    (one("source ppoe { interface eth0 }"),
     "source is followed by ppoe, which is unknown here; known: source pppoe, source l2tp"),
    (one(""), 'route "r" has no source; add: source pppoe { ... } or source l2tp { ... }'),
    (one("source l2tp { tunnel_profile a }", ""), 'route "r" has no destination; add: destination l2tp { ... }'),
    (one("source l2tp { tunnel_profile a }", PPP + "destination radius { profile x }"), "there is no profile radius"),
    (one("source l2tp { tunnel_profile a }", "destination l2tp { }"),
     "destination l2tp says no LNS; add: peer address"),
    (one("source l2tp { tunnel_profile a }", "destination l2tp { peer 192.0.2.300 }"),
     "peer: 192.0.2.300 is not an address or a host name"),
    (one("source l2tp { tunnel_profile a }", "destination l2tp { peer 192.0.2.1 hide_avps true }"),
     'peer "192.0.2.1" has hide_avps but no secret; add: secret "text"'),
    (one("source l2tp { tunnel_profile a }", "destination l2tp { tunnel t mtu 1400 }"),
     "parameters of tunnels are given for a tunnel that prol2tpd.conf has"),
    (one("source l2tp { tunnel_profile a }", "destination l2tp { peer 192.0.2.1 weight 3 }"),
     'unknown parameter weight in destination l2tp; it stands in a block of its own: peer "name" { weight number }'),
    (one("source l2tp { tunnel_profile a }", "destination l2tp { peer 192.0.2.1 connect_speed 1M }"),
     "it stands in a block of its own: session { connect_speed tx[:rx] }"),
    ("profile radius aaa { server r1 secret x }" + routes("source pppoe { interface eth0 }"), ""),
    ("profile radius aaa { server 192.0.2.999 secret x }" + routes("source pppoe { interface eth0 }"),
     'server "192.0.2.999" has no address'),
    ("profile radius aaa { }" + routes("source pppoe { interface eth0 }"), "has no server for authentication"),
    ("profile radius aaa { server a secret x auth_methods eap }" + routes("source pppoe { interface eth0 }"),
     "eap cannot be handed to an LNS; use chap or pap"),
    ("profile radius aaa { server a secret x accounting off links }" + routes("source pppoe { interface eth0 }"),
     "off stands alone"),
    ("".join(f"profile radius {name} {{ server a secret x dynamic_authorization {{ client c {{ network 192.0.2.0/24 "
             "secret y } } }" for name in "ab") + routes("source pppoe { interface eth0 }"),
     'profile radius "a" listens at 0.0.0.0:3799 too; give one of them another port'),
    ("profile radius aaa { server a timeout 3 }" + routes("source pppoe { interface eth0 }"),
     'server "a" has no secret; add: secret password'),
    ("profile radus aaa { server a }" + routes("source pppoe { interface eth0 }"),
     "profile is followed by radus, which is unknown here; known: profile radius, profile l2tp"),
    ("interface eth1 { }" + routes("source pppoe { interface eth0 }"), 'interface "eth1" is in no route'),
    ("interface eth1 { mtu 1500 }", "there is interface, but no route"),
    ("system { ac_name a b }", "unknown parameter b in system"),
    ('system { ac_name "a" "b" }', "ac_name takes one value; put a text with spaces in quotes"),
    ("system { max_session 4 }", "unknown parameter max_session in system; did you mean max_sessions?"),
    ("system { max_sessions 70000 }", "max_sessions: 70000 is out of range; from 0 to 65535"),
    ("System { }", "unknown block System; did you mean system?"),
    ("system ", "system has no {; write: system {"),
    ("system {", "the block system opened on line 1 is not closed; add a }"),
    ("system { } }", "this } closes no block"),
    ('"system" { }', "a string where a keyword is expected"),
    ("rout r { source pppoe { interface eth0 } }", "unknown block rout r; did you mean"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), WRONG, ids=range(len(WRONG)))
def test_a_mistake_is_said_in_one_line_with_what_would_be_right(text: str, message: str) -> None:
    if not message:
        load(text, "proacd.conf")
        return
    with pytest.raises(ConfigError) as refused:
        load(text, "proacd.conf")
    assert message in str(refused.value)
    assert refused.value.first.startswith("proacd.conf:1:")


def test_a_secret_is_not_shown_wherever_it_stands() -> None:
    text = one("source pppoe { interface eth0 }", "destination l2tp { peer 192.0.2.1 secret\n\"gehe im\" mtu x }")
    with pytest.raises(ConfigError) as refused:
        load(text, "f")
    assert "mtu: x is no number" in str(refused.value) and "gehe" not in str(refused.value)


# the configuration that results

WHOLE = """
system { debug route,pppoe pado_delay 0:0 10:0.5 100:none }
interface default { vlans any mtu 1508 } interface eth1 { allow_mac 00:11:22 deny_mac 00:11:22:33:44:55 }
profile radius aaa { server 127.0.0.1 secret s1 realms a b timeout 1.5 accounting off l2tp_profile x
    dynamic_authorization { port 3798 client c { network 192.0.2.0/24 secret s3 } } }
profile l2tp x { hostname "my lac" framing_caps sync async tunnel_profile "t" session { connect_speed 100M:10M } }
route r1 { source pppoe { interface eth0 eth1 service a hidden "b c" vlan 10-19 200.5 }
    destination l2tp { profile x secret s2 peer 192.0.2.1 peer lns.example.net:1702 { weight 2 secret hex:00 } } }
route r2 { max_sessions 7 source pppoe { interface eth1 } destination radius { profile aaa ppp_profile "p" } }
route r3 { source l2tp { tunnel_profile a "b c" } destination l2tp { tunnel t session { priv_group_id hex:0102 } } }
route r4 { source l2tp { tunnel_profile d } destination ppp { ppp_profile "u" } }
"""


def test_what_is_written_reads_back_as_the_same_without_secrets() -> None:
    config = load(WHOLE, "f")
    text = written(config)
    again = load(text, "f")
    assert written(again) == text
    assert (again.system, again.interfaces) == (config.system, config.interfaces)
    assert [route.source for route in again.routes.values()] == [route.source for route in config.routes.values()]
    for name in ("r2", "r3", "r4"):
        assert again.routes[name] == config.routes[name]
    hidden = {"secret": "hex:2a2a2a"}
    for name, peer in peers(config, "r1").items():
        assert peers(again, "r1")[name].tunnel == peer.tunnel | hidden
        assert peers(again, "r1")[name].session == peer.session
    radius = again.radius["aaa"]
    assert radius.accounting == () and radius.servers["127.0.0.1"].realms == ("a", "b")
    assert radius.servers["127.0.0.1"].secret == "***"
    assert radius.dynamic == config.radius["aaa"].dynamic and list(radius.dynamic.clients) == ["c"]


def test_what_is_written_has_defaults_and_no_secrets() -> None:
    text = written(load(WHOLE, "f"))
    assert "cookie_lifetime 30\n" in text and "padi_burst 2000\n" in text
    for secret in ("s1", "s2", "s3", "7332", "hex:00"):
        assert secret not in text


def test_a_service_is_served_on_the_vlans_of_its_routes() -> None:
    config = load("interface eth0 { vlans any }" + routes(
        "source pppoe { interface eth0 service a vlan 10-12 }",
        "source pppoe { interface eth0 service a vlan 20 untagged }",
        "source pppoe { interface eth0 service b }",
        "source pppoe { interface eth0 vlan 5.6 }",
    ), "f")  # fmt: skip
    index = RouteIndex(config.routes.values())
    assert index.vlans("eth0", "b") is None
    for service, served in (("a", {(10,), (11,), (12,), (20,), ()}), (None, {(5, 6)})):
        vlans = index.vlans("eth0", service)
        assert vlans is not None
        asked = [(), (0,), (5, 0), (1, 2, 3), *((one,) for one in range(1, 30)), *((5, one) for one in range(1, 9))]
        assert {one for one in asked if one in vlans} == served


RANGES = st.lists(st.builds(lambda outer, first, more: VlanRange(outer, first, min(first + more, 40)),
                            st.integers(0, 2), st.integers(1, 40), st.integers(0, 9)) | st.just(UNTAGGED))


@given(RANGES, RANGES)
def test_a_union_of_vlans_has_the_vlans_of_all_its_ranges(ranges: list[VlanRange], others: list[VlanRange]) -> None:
    union, expected = VlanUnion(ranges), vlan_set(ranges)
    assert expected is not None
    asked = [(), *((one,) for one in range(45)), *((outer, one) for outer in range(3) for one in range(45))]
    assert {one for one in asked if one in union} == {one for one in asked if one in expected and 0 not in one}
    if vlan_set(others) != expected:
        assert VlanUnion(others) != union


# any text, and large files


SOUP = ["system", "interface", "profile", "radius", "l2tp", "route", "source", "pppoe", "destination", "ppp", "peer",
        "server", "session", "service", "hidden", "any", "vlan", "vlans", "secret", "{", "}", ";", "#", "\n", '"',
        '"a b"', "eth0", "10", "10-20", "0", "true", "x", "192.0.2.1", "default", "debug", "tunnel", "hex:00", "mtu",
        "\\"]


@given(st.lists(st.sampled_from(SOUP), max_size=60))
def test_any_text_is_read_or_refused_with_the_place(words: list[str]) -> None:
    try:
        load(" ".join(words), "f")
    except ConfigError as error:
        assert error.problems and all(problem.line and problem.column and problem.text for problem in error.problems)


@given(st.text(max_size=200))
def test_any_characters_are_read_or_refused(text: str) -> None:
    with contextlib.suppress(ConfigError):
        load(text, "f")


def many(count: int) -> str:
    macs = " ".join(f"02:00:00:00:{number >> 8:02x}:{number & 255:02x}" for number in range(count))
    return f"interface default {{ vlans any deny_mac {macs} }}\n" + routes(
        *(f"source pppoe {{ interface eth0 eth1 service s{number} vlan {number % 4000 + 1} 7.1-4094 }}"
          for number in range(count)))


def test_the_work_of_reading_a_file_grows_with_its_length() -> None:
    small, large = many(200), many(800)
    assert steps(load, large, "f") < 5 * steps(load, small, "f")


def test_the_work_of_finding_a_route_does_not_grow_with_their_number() -> None:
    costs = []
    for count in (50, 800):
        index = RouteIndex(load(many(count), "f").routes.values())
        costs.append(steps(index.find, "eth1", (7, 99), f"s{count - 1}"))
    assert costs[1] <= costs[0] + 20


def test_differences_name_the_block_that_differs() -> None:
    def changes(old: str, new: str) -> list[str]:
        return [describe(change) for change in diff(load(WHOLE, "f"), load(WHOLE.replace(old, new, 1), "f"))]

    assert changes("secret s3", "secret other") == ['client "aaa" "c" changed (secret)']
    assert changes("port 3798", "port 3797") == ['dynamic_authorization "aaa" changed (port)']
    assert changes("secret s1", "secret other") == ['server "aaa" "127.0.0.1" changed (secret)']
    assert changes("hostname \"my lac\"", "hostname lac") == [
        'profile l2tp "x" changed (tunnel)', 'route "r1" changed (destination)']
    assert changes("secret s2", "secret other") == ['route "r1" changed (destination)']
    assert changes("mtu 1508", "mtu 1504") == [
        f'interface "{name}" changed (mtu)' for name in ("default", "eth1", "eth0")]
