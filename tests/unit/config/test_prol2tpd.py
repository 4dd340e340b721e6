"""prol2tpd.conf: defaults, inheritance, matching of requests, commands, differences."""

from __future__ import annotations

import ipaddress
import random

import pytest

from prol2tp.config.diff import ADDED, CHANGED, REMOVED, Change, diff
from prol2tp.config.prol2tpd import (
    ConfigError,
    Prol2tpdConfig,
    create_session,
    create_tunnel,
    load,
    match_tunnel_profile,
    session_settings,
    tunnel_settings,
)
from prol2tp.l2tp.settings import SessionSettings, TunnelSettings
from tests.steps import steps


def conf(text: str) -> Prol2tpdConfig:
    return load(text, "x.conf")


def matched(config: Prol2tpdConfig, peer: str, host_name: str = "") -> str | None:
    profile = match_tunnel_profile(config, peer, host_name)
    return profile.name if profile is not None else None


# defaults


def test_an_empty_file_listens_on_both_families_and_serves_nobody() -> None:
    config = conf("")
    assert config.system.listen == (("0.0.0.0", 1701), ("::", 1701))
    assert matched(config, "10.0.0.1") is None
    assert (
        list(config.tunnel_profiles) == list(config.session_profiles) == list(config.pseudowire_profiles) == ["default"]
    )


def test_defaults_of_a_tunnel_are_those_of_the_protocol() -> None:
    config = conf('system { hostname "a" }\ntunnel "one" { peer h }')
    settings = TunnelSettings(**tunnel_settings(config, config.tunnels["one"]))
    assert settings == TunnelSettings(host_name="a", name="one", profile_name="default")


def test_defaults_of_a_session_are_those_of_the_protocol() -> None:
    config = conf('tunnel "one" { peer h; session "s" { } }')
    settings = SessionSettings(**session_settings(config.tunnels["one"].sessions["s"]))
    assert settings == SessionSettings(name="s", profile_name="default", pseudowire_profile_name="default")


def test_settings_take_what_the_file_gives() -> None:
    config = conf(
        'tunnel "one" { peer h; secret "k"; framing_caps async; bearer_caps none; vendor x }'.replace("vendor x", "")
        + 'tunnel profile "p" { peer any; secret hex:00ff; auth_mode none; hostname "b" }\n'
        + 'session profile "s" { call outgoing; connect_speed 10M:1M; priv_group_id "g"; use_sequence_numbers true }'
    )
    one = TunnelSettings(**tunnel_settings(config, config.tunnels["one"]))
    assert (one.secret, one.challenge, one.framing_caps, one.bearer_caps) == (b"k", True, 2, 0)
    profile = TunnelSettings(**tunnel_settings(config, config.tunnel_profiles["p"]))
    assert (profile.secret, profile.challenge, profile.host_name) == (b"\x00\xff", False, "b")
    assert (profile.profile_name, profile.name) == ("p", "")
    session = SessionSettings(**session_settings(config.session_profiles["s"]))
    assert (session.outgoing_call, session.tx_connect_speed, session.rx_connect_speed) == (True, 10**7, 10**6)
    assert (session.private_group_id, session.send_sequence, session.profile_name) == (b"g", True, "s")


# inheritance

CHAIN = """
system { hostname "sys"; log_level warning; tunnel_establish_timeout 30; session_establish_timeout 40 }
pseudowire profile "default" { ppp_profile "pd"; mtu 1100 }
pseudowire profile "pw" { ppp_profile "pp"; interface_name "pw%d" }
session profile "default" { called_number "1"; calling_number "1"; pseudowire_profile "pw" }
session profile "sp" { called_number "2"; sub_address "2" }
tunnel profile "default" { hello_timeout 11; max_retries 11; peer 192.0.2.0/24; secret "default" }
tunnel profile "tp" { hello_timeout 22; session_profile "sp"; peer 198.51.100.0/24; peer_hostname "peer" }
tunnel "one" {
    peer h
    tunnel_profile "tp"
    rx_window_size 33
    session "s" { called_number "3" }
    session "t" { session_profile "default"; mtu 1000; log_level debug }
}
tunnel "two" { peer g; hello_timeout 33 }
"""


def test_a_tunnel_takes_values_from_its_profile_then_from_default_then_from_the_table() -> None:
    tunnel = conf(CHAIN).tunnels["one"]
    assert (tunnel.rx_window_size, tunnel.hello_timeout, tunnel.max_retries, tunnel.tx_window_size) == (33, 22, 11, 10)
    assert (tunnel.secret, tunnel.auth_mode, tunnel.session_profile) == (b"default", "challenge", "sp")
    assert (tunnel.hostname, tunnel.log_level, tunnel.establish_timeout) == ("sys", "warning", 30)


def test_a_tunnel_without_profile_takes_values_from_default() -> None:
    tunnel = conf(CHAIN).tunnels["two"]
    assert (tunnel.hello_timeout, tunnel.max_retries, tunnel.tunnel_profile) == (33, 11, "default")


def test_criteria_are_not_inherited() -> None:
    config = conf(CHAIN + 'tunnel profile "other" { peer 203.0.113.0/24 }')
    assert config.tunnels["one"].peer == ("h", 1701)
    assert config.tunnel_profiles["other"].peer_hostname == ()
    assert matched(config, "203.0.113.1") == "other"
    assert config.tunnel_profiles["tp"].peer == (ipaddress.ip_network("198.51.100.0/24"),)


def test_a_session_takes_values_from_profile_pseudowire_tunnel_and_defaults_in_this_order() -> None:
    session = conf(CHAIN).tunnels["one"].sessions["s"]
    assert (session.called_number, session.sub_address, session.calling_number) == ("3", "2", "1")
    assert (session.pseudowire_profile, session.ppp_profile, session.interface_name) == ("pw", "pp", "pw%d")
    assert (session.session_profile, session.establish_timeout, session.log_level) == ("sp", 40, "warning")


@pytest.mark.parametrize(
    ("system", "tunnel_default", "tunnel_profile", "tunnel", "pseudowire", "session_default", "session", "mtu"),
    [
        ("", "", "", "", "", "", "", 1460),
        ("", "mtu 1", "", "", "", "", "", 1),
        ("", "mtu 1", "", "", "", "mtu 2", "", 2),
        ("", "mtu 1", "mtu 3", "", "", "mtu 2", "", 3),
        ("", "mtu 1", "mtu 3", "mtu 4", "", "mtu 2", "", 4),
        ("", "mtu 1", "mtu 3", "mtu 4", "mtu 5", "mtu 2", "", 5),
        ("", "mtu 1", "mtu 3", "mtu 4", "mtu 5", "mtu 2", "mtu 6", 6),
    ],
)
def test_order_of_inheritance(
    system, tunnel_default, tunnel_profile, tunnel, pseudowire, session_default, session, mtu
):
    config = conf(
        f"""
        tunnel profile "default" {{ {tunnel_default} }}
        tunnel profile "tp" {{ {tunnel_profile}; session_profile "sp" }}
        session profile "default" {{ {session_default} }}
        session profile "sp" {{ pseudowire_profile "pw" }}
        pseudowire profile "pw" {{ {pseudowire} }}
        tunnel "one" {{ peer h; tunnel_profile "tp"; {tunnel}; session "s" {{ {session} }} }}
        """.replace("mtu ", "mtu 100")
    )
    assert config.tunnels["one"].sessions["s"].mtu == (1460 if mtu == 1460 else 1000 + mtu)


def test_the_sessions_of_a_profile_have_the_values_of_its_session_profile() -> None:
    config = conf('session profile "sp" { ppp_profile "x"; log_level debug }\ntunnel profile "a" { peer any; mtu 1400;'
                  ' session_profile "sp" }')  # fmt: skip
    session = config.tunnel_profiles["a"].session
    assert (session.name, session.ppp_profile, session.mtu, session.log_level) == ("sp", "x", 1400, "debug")


# matching


MATCH = """
tunnel profile "host" { peer_hostname "lac" }
tunnel profile "net" { peer 10.0.0.0/8 2001:db8::/32 }
tunnel profile "net-host" { peer 10.0.0.0/8; peer_hostname "lac" "lac2" }
tunnel profile "small" { peer 10.1.0.0/16 }
tunnel profile "one" { peer 10.1.1.1; peer_hostname "x" }
tunnel profile "base" { secret "k" }
"""


@pytest.mark.parametrize(
    ("peer", "host_name", "profile"),
    [
        ("192.0.2.1", "lac", "host"),
        ("192.0.2.1", "LAC", None),
        ("192.0.2.1", "", None),
        ("10.2.0.1", "lac", "net-host"),
        ("10.2.0.1", "lac2", "net-host"),
        ("10.2.0.1", "other", "net"),
        ("10.1.0.1", "lac", "small"),
        ("10.1.1.1", "x", "one"),
        ("10.1.1.1", "lac", "small"),
        ("::ffff:10.1.1.1", "x", "one"),
        ("2001:db8::5", "lac", "net"),
        ("2001:db9::5", "lac", "host"),
        ("fe80::1%eth0", "lac", "host"),
    ],
)
def test_the_longest_prefix_wins_then_the_host_name(peer: str, host_name: str, profile: str | None) -> None:
    assert matched(conf(MATCH), peer, host_name) == profile


def test_a_profile_without_criteria_serves_nobody_and_any_serves_all() -> None:
    assert matched(conf('tunnel profile "base" { }'), "10.0.0.1") is None
    config = conf('tunnel profile "all" { peer any }')
    assert matched(config, "10.0.0.1") == matched(config, "2001:db8::1") == "all"


def test_the_default_profile_serves_requests_only_by_criteria_of_its_own() -> None:
    assert matched(conf('tunnel profile "default" { secret "k" }'), "10.0.0.1") is None
    assert matched(conf('tunnel profile "default" { peer any }'), "10.0.0.1") == "default"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("peer 10.0.0.0/8", "peer 10.0.0.0/8"),
        ("peer 10.0.0.1", "peer 192.0.2.1 10.0.0.1/32"),
        ('peer_hostname "a"', 'peer_hostname "b" "a"'),
        ("peer any", "peer ::/0"),
        ('peer 10.0.0.0/8; peer_hostname "a"', 'peer_hostname "a"; peer 10.0.0.0/8'),
        ('peer any; peer_hostname "a"', 'peer_hostname "a"'),
    ],
)
def test_equal_criteria_are_refused(one: str, other: str) -> None:
    with pytest.raises(ConfigError, match="applies to the same peers"):
        conf(f'tunnel profile "a" {{ {one} }}\ntunnel profile "b" {{ {other} }}')


def test_a_profile_may_name_a_network_twice() -> None:
    assert matched(conf('tunnel profile "a" { peer 10.0.0.0/8 10.0.0.0/8 }'), "10.0.0.1") == "a"


def test_matching_finds_what_a_search_through_all_profiles_finds() -> None:
    seeded = random.Random(1)
    profiles = {}
    for number in range(300):
        length = seeded.choice([0, 8, 9, 16, 20, 24, 31, 32])
        network = ipaddress.ip_network((seeded.getrandbits(4) << 28 | seeded.getrandbits(28), length), strict=False)
        host = seeded.choice([None, "a", "b"])
        profiles.setdefault((network, host), f"p{number}")
    text = "".join(
        f'tunnel profile "{name}" {{ peer {network}; {f"peer_hostname {host}" if host else ""} }}\n'
        for (network, host), name in profiles.items()
    )
    config = conf(text)
    for _ in range(2000):
        address, host = ipaddress.ip_address(seeded.getrandbits(32)), seeded.choice(["a", "b", "c"])
        fitting = [key for key in profiles if address in key[0] and key[1] in (None, host)]
        best = max(fitting, key=lambda key: (key[0].prefixlen, key[1] is not None), default=None)
        assert matched(config, str(address), host) == (profiles[best] if best else None)


def test_matching_costs_the_same_with_thousands_of_profiles() -> None:
    config = conf("".join(f'tunnel profile "t{i}" {{ peer 10.{i >> 8}.{i & 255}.0/24 }}\n' for i in range(5000)))
    few = conf("".join(f'tunnel profile "t{i}" {{ peer 10.1.{i}.0/24 }}\n' for i in range(10)))
    for number in range(1000):
        assert matched(config, f"10.1.{number & 255}.9", "host") == f"t{256 + (number & 255)}"
    cost = steps(matched, config, "10.1.5.9", "host")
    assert cost == steps(matched, few, "10.1.5.9", "host")


# commands


def test_a_tunnel_by_command_inherits_like_one_in_the_file() -> None:
    config = conf(CHAIN)
    tunnel = create_tunnel(config, "three", {"peer": "[2001:db8::1]:1702", "tunnel_profile": "tp", "mtu": "1400"})
    assert (tunnel.name, tunnel.peer, tunnel.hello_timeout, tunnel.mtu) == ("three", ("2001:db8::1", 1702), 22, 1400)
    session = create_session(config, tunnel, "s", {"user_name": "u@x", "user_password": "p w"})
    assert (session.user_name, session.user_password, session.mtu, session.called_number) == ("u@x", "p w", 1400, "2")


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ({}, "peer is missing; give peer and an address or a name"),
        ({"peer": "10.0.0.256"}, "peer: 10.0.0.256 is not an address or a host name; for example 192.0.2.1:1701 or"
                                 " [2001:db8::1]:1701"),
        ({"peer": "h", "hello_timout": "3"}, "unknown parameter hello_timout; did you mean hello_timeout?"),
        ({"peer": "h", "tunnel_profile": "tpp"}, 'there is no tunnel profile "tpp"; did you mean tp?'),
        ({"peer": "h", "mtu": "x"}, "mtu: x is no number; a number from 68 to 65535"),
    ],
)  # fmt: skip
def test_a_bad_command_is_refused_in_one_line(texts: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        create_tunnel(conf(CHAIN), "x", texts)
    assert str(caught.value) == message


def test_a_tunnel_by_command_needs_a_secret_for_a_challenge() -> None:
    with pytest.raises(ConfigError, match="no secret"):
        create_tunnel(conf(""), "x", {"peer": "h", "auth_mode": "challenge"})


# differences


def test_the_same_text_makes_no_difference() -> None:
    assert diff(conf(CHAIN), conf(CHAIN + "\n# more")) == []


def test_a_change_of_a_profile_shows_at_all_who_inherit() -> None:
    changes = diff(conf(CHAIN), conf(CHAIN.replace("max_retries 11", "max_retries 12")))
    assert changes == [
        Change("tunnel profile", ("default",), CHANGED, ("max_retries",)),
        Change("tunnel profile", ("tp",), CHANGED, ("max_retries",)),
        Change("tunnel", ("one",), CHANGED, ("max_retries",)),
        Change("tunnel", ("two",), CHANGED, ("max_retries",)),
    ]


def test_a_change_of_a_session_leaves_its_tunnel_alone() -> None:
    changes = diff(conf(CHAIN), conf(CHAIN.replace('called_number "3"', 'called_number "4"; user_name "u"')))
    assert changes == [Change("session", ("one", "s"), CHANGED, ("user_name", "called_number"))]


def test_blocks_that_come_and_go() -> None:
    old = conf('tunnel "a" { peer h; session "s" { } }\ntunnel "b" { peer h; session "s" { } }')
    new = conf('tunnel "b" { peer h; session "t" { } }\ntunnel "c" { peer h; session "s" { } }')
    assert diff(old, new) == [
        Change("session", ("b", "s"), REMOVED),
        Change("session", ("a", "s"), REMOVED),
        Change("tunnel", ("a",), REMOVED),
        Change("session", ("b", "t"), ADDED),
        Change("tunnel", ("c",), ADDED),
        Change("session", ("c", "s"), ADDED),
    ]


def test_a_change_of_the_system() -> None:
    changes = diff(conf("system { log_level info }"), conf("system { log_level info; max_tunnels 5 }"))
    assert changes == [Change("system", (), CHANGED, ("max_tunnels",))]
