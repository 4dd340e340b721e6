"""propppd.conf: defaults, inheritance, pools, users, differences."""

from __future__ import annotations

import dataclasses

import pytest

from prol2tp.config import links
from prol2tp.config.diff import ADDED, CHANGED, REMOVED, Change, diff
from prol2tp.config.propppd import ConfigError, PropppdConfig, link_settings, load, user_grant
from prol2tp.ppp.auth import PEER_METHODS
from prol2tp.ppp.eappacket import EAP_METHODS
from prol2tp.ppp.settings import Grant, LinkSettings


def conf(text: str) -> PropppdConfig:
    return load(text, "x.conf")


def ranges(config: PropppdConfig, pool: str) -> list[str]:
    return [str(one) for one in config.pools[pool].ranges]


def test_defaults_of_a_profile_are_those_of_the_link() -> None:
    assert LinkSettings(**link_settings(conf("").profiles["default"])) == LinkSettings()


def test_every_setting_of_a_link_can_be_configured() -> None:
    of_the_shell = {"extra", "eap_passthrough", "tls", "refuse", "access", "proxy_mru"}
    names = {one.name for one in dataclasses.fields(LinkSettings)} - of_the_shell
    assert set(link_settings(conf("").profiles["default"])) == names


def test_a_profile_takes_values_from_the_profile_default() -> None:
    config = conf(
        'system { hostname "lns" }\n'
        'profile "default" { mru 1400; dns 9.9.9.9; interface shared }\n'
        'profile "a" { mru 1300 }\nprofile "b" { interface own; name "b" }'
    )
    a, b = config.profiles["a"], config.profiles["b"]
    assert (a.mru, a.dns, a.interface, a.interface_name, a.name) == (1300, ("9.9.9.9",), "shared", "pppshared", "lns")
    assert (b.mru, b.interface, b.interface_name, b.name, b.profile_name) == (1400, "own", "ppp%d", "b", "b")


def test_log_categories_take_the_level_of_the_system() -> None:
    config = conf("system { log_level info; log_categories { radius debug } }")
    assert dataclasses.asdict(config.system.log_categories) == {
        "event": "info", "main": "info", "mgmt": "info", "ppp": "info", "radius": "debug",
    }  # fmt: skip
    assert conf("").system.log_categories.main == "notice"


def test_a_user_becomes_a_grant() -> None:
    config = conf(
        'user "u" { password "p"; ip 10.0.0.1; routes 10.1.0.0/16 2001:db8::/32; session_timeout 1h; mtu 1400 }'
    )
    grant = Grant(**user_grant(config.users["u"]))
    assert grant == Grant(
        user="u", peer_ip="10.0.0.1", session_timeout=3600.0, mtu=1400
    )
    assert Grant(**user_grant(conf('user "u" { password "p" }').users["u"])) == Grant(user="u")


def test_a_password_may_hold_any_character() -> None:
    assert conf(r'user "u" { password "a\"b;{}#\\ ü" }').users["u"].password == 'a"b;{}#\\ ü'
    assert conf('user "u" { password a#b }').users["u"].password == "a#b"


def test_a_pool_of_ranges_and_prefixes() -> None:
    config = conf(
        'ip_pool "a" { range 10.0.0.5-10.0.0.9 10.0.0.1; prefix 10.0.1.0/30; prefix 10.0.2.0/31 10.0.3.3/32 }'
    )
    assert ranges(config, "a") == [
        "10.0.0.1-10.0.0.1", "10.0.0.5-10.0.0.9", "10.0.1.1-10.0.1.2", "10.0.2.0-10.0.2.1", "10.0.3.3-10.0.3.3",
    ]  # fmt: skip
    assert config.pools["a"].size == 11


@pytest.mark.parametrize(
    "text",
    [
        'ip_pool "a" { range 10.0.0.1-10.0.0.9 }\nip_pool "b" { range 10.0.0.9-10.0.0.10 }',
        'ip_pool "a" { range 10.0.0.1-10.0.0.9 10.0.0.3 }',
        'ip_pool "a" { prefix 10.0.0.0/24 }\nip_pool "b" { range 10.0.0.200 }',
        'ip_pool "a" { prefix 10.0.0.0/16 }\nip_pool "b" { range 10.0.0.1 }\nip_pool "c" { range 10.0.200.1 }',
    ],
)
def test_an_address_in_two_places_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="an address is in one pool only"):
        conf(text)


def test_pools_are_chained_in_the_order_given() -> None:
    text = 'ip_pool "a" { range 10.0.0.1 }\nip_pool "b" { range 10.0.0.2 }\n'
    config = conf(text + 'profile "p" { local_ip 10.9.0.1; ip_pool "b" "a" }')
    assert config.profiles["p"].ip_pool == ("b", "a")


@pytest.mark.parametrize("parameter", ["auth_methods", "allow_methods", "eap_methods", "eap_allow_methods"])
def test_a_method_named_twice_is_refused(parameter: str) -> None:
    with pytest.raises(ConfigError, match=f"{parameter} names a method twice"):
        conf(f'profile "p" {{ {parameter} mschapv2 mschapv2 }}')


def test_the_core_has_all_methods_that_a_profile_may_name() -> None:
    assert set(links.AUTH_METHODS.choices) == set(PEER_METHODS)
    assert set(links.EAP_METHODS.choices) == set(EAP_METHODS)


def test_a_profile_may_be_named_default_and_inherit_a_pool() -> None:
    config = conf(
        'profile "default" { ip_pool "a" }\nprofile "p" { local_ip 10.9.0.1 }\nip_pool "a" { range 10.0.0.1 }'
    )
    assert config.profiles["p"].ip_pool == ("a",)


def test_differences_of_users_pools_and_profiles() -> None:
    old = conf(
        'user "a" { password "1" }\nuser "b" { password "1" }\nip_pool "p" { prefix 10.0.0.0/24 }\nprofile "x" { }'
    )
    new = conf(
        'user "b" { password "2"; ip 10.0.0.5 }\nuser "c" { password "1" }\nip_pool "p" { prefix 10.0.0.0/23 }\n'
        'profile "x" { mru 1400 }\nsystem { log_categories { ppp debug } }'
    )
    assert diff(old, new) == [
        Change("user", ("a",), REMOVED),
        Change("system", (), CHANGED, ("log_categories",)),
        Change("ip_pool", ("p",), CHANGED, ("prefix",)),
        Change("profile", ("x",), CHANGED, ("mru",)),
        Change("user", ("b",), CHANGED, ("password", "ip")),
        Change("user", ("c",), ADDED),
    ]


@pytest.mark.parametrize(("text", "wrong"), [
    ('user "u" { password "p"; netmask 255.255.255.0 }', "a netmask without an address"),
    ('user "u" { password "p"; table 7; vrf "red" }', "table and vrf together"),
    ('profile "p" { table 7; vrf "red" }', "table and vrf together"),
    ('profile "p" { one_session_per_user true; second_login preempt }', "refuses a second login"),
    ('profile "p" { local_ip 10.0.0.1; peer_ip 10.0.0.1 }', "local_ip and peer_ip are both 10.0.0.1"),
    ('profile "a" { interface shared }\nprofile "b" { interface shared; table 7 }', "table differs from that of"),
    ('user "u" { password "p"; filter "gold" }', 'there is no filter "gold"'),
    ('ip_pool "a" { prefix 10.0.0.0/24; next "b" }\nip_pool "b" { prefix 10.0.1.0/24; next "a" }', "lead back to it"),
    ('ip_pool "a" { prefix 10.0.0.0/24; next "a" }', "lead back to it"),
])
def test_what_cannot_be_with_networks(text: str, wrong: str) -> None:
    with pytest.raises(ConfigError) as error:
        conf(text)
    assert wrong in str(error.value)


def test_filters_and_pools_that_follow_each_other() -> None:
    config = conf('filter "gold" { rate_limit 20M/100M; nft_set "inet fw gold" "ip fw users" }\n'
                  'ip_pool "a" { prefix 10.0.0.0/24; next "b" }\nip_pool "b" { prefix 10.0.1.0/24 }\n'
                  'user "u" { password "p"; filter "gold"; route 192.0.2.0/24 via 10.5.1.150 metric 5\n'
                  "route 192.0.3.0/24 }")
    assert config.filters["gold"].rate_limit == (20_000_000, 100_000_000)
    assert [str(one) for one in config.filters["gold"].nft_set] == ["inet fw gold", "ip fw users"]
    assert config.pools["a"].next == "b"
    assert config.users["u"].route == (("192.0.2.0/24", "10.5.1.150", 5), ("192.0.3.0/24", "", None))
    other = conf('filter "gold" { rate_limit 10M }')
    assert [(one.kind, one.action) for one in diff(conf('filter "gold" { rate_limit 20M }'), other)] == [
        ("filter", CHANGED)]
