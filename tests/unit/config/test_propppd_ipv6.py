"""IPv6 of propppd.conf: what fits together, and what is said when it does not."""

from __future__ import annotations

from ipaddress import IPv6Network

import pytest

from prol2tp.config.ipv6 import for_peers
from prol2tp.config.propppd import ConfigError, load

POOLS = """
ipv6_pool "links" { prefix 2001:db8:1000::/44 2001:db8:2000::/44 }
ipv6_pool "addresses" { prefix 2001:db8:0:1::/64; length 128 }
ipv6_pool "delegated" { prefix 2001:db8:8000::/34; length 56 }
"""


def problem(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(text, "x")
    (only,) = caught.value.problems
    return str(only).partition("\n")[0]


def test_pools_and_what_profiles_say() -> None:
    profile = 'profile "p" { ipv6_pool "links"; delegated_pool "delegated"; ipv6_domain example.net. }'
    config = load(POOLS + profile, "x")
    assert config.ipv6_pools["links"].length == 64
    assert config.ipv6_pools["delegated"].prefix == (IPv6Network("2001:db8:8000::/34"),)
    one = config.profiles["p"]
    assert (one.ipv6_pool, one.delegated_pool, one.ipv6_domain) == (("links",), ("delegated",), ("example.net",))
    assert (one.ipv6_valid_lifetime, one.ipv6_preferred_lifetime) == (7200, 3600)
    assert (one.ra, one.dhcpv6, one.ra_interval, one.ra_lifetime) == (True, True, 600, 1800)


@pytest.mark.parametrize(("text", "wrong", "right"), [
    ('ipv6_pool "p" { prefix 2001:db8::/65 }', "2001:db8::/65 is too small for prefixes of length 64", "length 64"),
    ('ipv6_pool "p" { length 56 }', 'ipv6_pool "p" has no prefix', "add: prefix"),
    ('ipv6_pool "p" { prefix fe80::/16 }', "fe80::/16 has no addresses for peers", "2001:db8::/40"),
    ('ipv6_pool "p" { prefix ff00::/16 }', "ff00::/16 has no addresses for peers", "2001:db8::/40"),
    ('ipv6_pool "p" { prefix ::/16; length 48 }', "::/16 has no addresses for peers", "2001:db8::/40"),
    ('ipv6_pool "p" { prefix 10.0.0.0/8 }', "is no IPv6 prefix", ""),
    ('ipv6_pool "p" { prefix 2001:db8::/48; prefix 2001:db8:0:1::/64 }', "2001:db8:0:1::/64 is in 2001:db8::/48",
     "one pool only"),
    (POOLS + 'ipv6_pool "p" { prefix 2001:db8:1001::/48 }',
     '2001:db8:1001::/48 is in 2001:db8:1000::/44 of ipv6_pool "links" already', "one pool only"),
    (POOLS + 'profile "p" { ipv6_pool "delegated" }', 'ipv6_pool "delegated" gives out prefixes of length 56',
     "length 64"),
    (POOLS + 'profile "p" { ipv6_address_pool "links" }', 'ipv6_pool "links" gives out prefixes of length 64',
     "length 128"),
    (POOLS + 'user "u" { password "p"; delegated_pool "addresses" }', "prefixes of length 128", "64 or less"),
    (POOLS + 'ipv6_pool "p" { prefix 2001:db8:5000::/44; next "delegated" }', "next: ipv6_pool", "one of length 64"),
    ('ipv6_pool "p" { prefix 2001:db8::/44; next "p" }', "lead back to it", "remove next"),
    ('ipv6_pool "p" { prefix 2001:db8::/44; next "q" }', 'there is no ipv6_pool "q"', ""),
    ('user "u" { password "p"; ipv6_pool "links" }', 'there is no ipv6_pool "links"', ""),
    ('profile "p" { delegated_pool "homes" }', 'there is no ipv6_pool "homes"', ""),
    (POOLS + 'profile "p" { ipv6 false; ipv6_pool "links" }', "IPv6 is turned off", "remove: ipv6 false"),
    ('profile "p" { ipv6_preferred_lifetime 3h }', "longer than ipv6_valid_lifetime", "preferred while it is valid"),
    ('profile "p" { ra_interval 1000; ra_lifetime 999 }', "ra_lifetime is shorter than ra_interval", "0, or"),
    ('profile "p" { ipv6_preferred_lifetime 5m }', "shorter than ra_interval", "twice"),
    ('profile "p" { ipv6_domain "-a.example" }', "is no domain name", "example.net"),
    ('profile "p" { ipv6_domain ' + " ".join(letter * 50 + ".example" for letter in "abcde") + " }",
     "too long together", "256 octets"),
])
def test_what_does_not_fit_is_said_in_one_line(text: str, wrong: str, right: str) -> None:
    said = problem(text)
    assert wrong in said and right in said, said


@pytest.mark.parametrize(("text", "may"), [
    ("2001:db8::/64", True), ("fd00::/48", True), ("2000::/3", False), ("::/0", False), ("fe80::/64", False),
    ("ff02::1/128", False), ("::1/128", False), ("64:ff9b::/96", False), ("2001::/16", True),
])
def test_peers_have_global_and_unique_local_addresses(text: str, may: bool) -> None:
    assert for_peers(IPv6Network(text)) is may
