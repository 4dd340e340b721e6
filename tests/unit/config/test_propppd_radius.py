"""propppd.conf: the block radius."""

from __future__ import annotations

import pytest

from prol2tp.config.diff import ADDED, CHANGED, Change, diff
from prol2tp.config.propppd import ConfigError, load
from prol2tp.config.radius import RadiusServer

TEXT = """
system { hostname "lns" }
radius {
    server "r1" { address 192.0.2.1; secret "s3cret" }
    server "r2" {
        address 2001:db8::1; secret "0ther"; auth_port 1645; acct_port 0; timeout 3; retries 4; priority 2; weight 5
        realms example.com example.net; require_message_authenticator false; source 2001:db8::2
    }
}
"""


def test_servers_have_their_values_or_the_defaults() -> None:
    radius = load(TEXT, "x.conf").radius
    assert radius.nas_identifier == "lns"
    assert list(radius.servers.values()) == [
        RadiusServer("192.0.2.1", 1812, 1813, "s3cret", name="r1"),
        RadiusServer("2001:db8::1", 1645, 0, "0ther", 3.0, retries=4, priority=2, weight=5,
                     realms=("example.com", "example.net"), require_message_authenticator=False,
                     source="2001:db8::2", name="r2"),
    ]  # fmt: skip


def test_a_name_of_its_own_wins_over_that_of_the_system() -> None:
    text = 'system { hostname "lns" }\nradius { nas_identifier "other" }'
    assert load(text, "x.conf").radius.nas_identifier == "other"
    assert load("", "x.conf").radius.servers == {}


def test_no_secret_is_shown() -> None:
    shown = repr(load(TEXT, "x.conf"))
    assert "192.0.2.1" in shown
    assert "s3cret" not in shown and "0ther" not in shown


@pytest.mark.parametrize("text", ["secret \"s3cret\" x", "secert s3cret", "secret s3cret; secret s3cret"])
def test_no_message_shows_a_secret(text: str) -> None:
    with pytest.raises(ConfigError) as error:
        load(f'radius {{ server "r" {{ address 192.0.2.1; {text} }} }}', "x.conf")
    assert "s3cret" not in str(error.value)


def test_a_change_of_one_server_is_that_alone() -> None:
    old = load(TEXT, "x.conf")
    assert diff(old, load(TEXT.replace("s3cret", "new"), "x.conf")) == [
        Change("radius server", ("r1",), CHANGED, ("secret",))
    ]
    more = TEXT.replace('server "r1"', 'server "r0" { address 192.0.2.9; secret x }\n    server "r1"')
    assert diff(old, load(more, "x.conf")) == [Change("radius server", ("r0",), ADDED)]


@pytest.mark.parametrize(
    ("words", "wrong"),
    [
        ("address 192.0.2.300", "192.0.2.300 is no address and no host name"),
        ("address a..b", "a..b is no address and no host name"),
        ("address 192.0.2.1; source 2001:db8::1", "source and address are of two versions of IP"),
        ("address 192.0.2.1; timeout 4; max_timeout 3", "max_timeout is shorter than timeout"),
    ],
)
def test_what_cannot_be_is_told(words: str, wrong: str) -> None:
    with pytest.raises(ConfigError) as error:
        load(f'radius {{ server "r" {{ secret x; {words} }} }}', "x.conf")
    assert wrong in str(error.value)


def test_an_address_may_be_a_name_and_a_source_is_of_any_version_then() -> None:
    text = 'radius { server "r" { address aaa.example.net; secret x; source 2001:db8::1; timeout 20 } }'
    server = load(text, "x.conf").radius.servers["r"]
    assert (server.address, server.is_name, server.max_timeout) == ("aaa.example.net", True, 16.0)


DYNAMIC = """
radius { dynamic_authorization {
    address 192.0.2.1 2001:db8::1; port 1700; device vrf-aaa; window 60; several_sessions refuse
    client "one" { network 192.0.2.0/24; secret "s3cret"; require_event_timestamp true }
    client "two" { network 192.0.2.9; secret "0ther"; require_message_authenticator true }
} }
"""


def test_who_may_disconnect_and_change_links_is_nobody_or_the_clients() -> None:
    assert load("radius { }", "x.conf").radius.dynamic is None
    dynamic = load(DYNAMIC, "x.conf").radius.dynamic
    assert dynamic is not None
    assert (dynamic.address, dynamic.port, dynamic.device) == (("192.0.2.1", "2001:db8::1"), 1700, "vrf-aaa")
    assert (dynamic.window, dynamic.several_sessions) == (60.0, "refuse")
    one, two = dynamic.clients.values()
    assert (str(one.network), one.secret, one.require_event_timestamp) == ("192.0.2.0/24", "s3cret", True)
    assert (str(two.network), two.require_message_authenticator) == ("192.0.2.9/32", True)
    plain = load('radius { dynamic_authorization { client "a" { network ::1; secret x } } }', "x.conf").radius.dynamic
    assert plain is not None
    assert (plain.address, plain.port, plain.several_sessions) == (("0.0.0.0", "::"), 3799, "all")


def test_no_secret_of_a_client_is_shown() -> None:
    assert "s3cret" not in repr(load(DYNAMIC, "x.conf")) and "0ther" not in repr(load(DYNAMIC, "x.conf").radius.dynamic)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("", "dynamic_authorization has no client"),
        ('client "a" { secret s3cret }', 'client "a" has no network'),
        ('client "a" { network 192.0.2.1 }', 'client "a" has no secret'),
        ('client "a" { network 192.0.2.1/24; secret s3cret }', "has bits set behind its length"),
        ('client "a" { network ::1; secret s3cret }; client "b" { network ::1; secret x }',
         'client "a" has ::1/128 too'),
        ('address ::1 ::1; client "a" { network ::1; secret s3cret }', "address names one twice"),
        ('window 0; client "a" { network ::1; secret s3cret }', "window"),
        ('client { network ::1; secret s3cret }', "this client has no name"),
    ],
)
def test_what_is_wrong_with_dynamic_authorization_is_one_clear_line(text: str, wrong: str) -> None:
    with pytest.raises(ConfigError) as error:
        load(f"radius {{ dynamic_authorization {{ {text} }} }}", "x.conf")
    assert wrong in str(error.value)
    assert "s3cret" not in str(error.value)


def test_a_client_that_comes_goes_or_changes_is_that_alone() -> None:
    old = load(DYNAMIC, "x.conf")
    other = load(DYNAMIC.replace("0ther", "new"), "x.conf")
    assert diff(old, other) == [Change("client", ("two",), CHANGED, ("secret",))]
    more = DYNAMIC.replace("} }", 'client "three" { network ::1; secret x } } }', 1)
    assert diff(old, load(more, "x.conf")) == [Change("client", ("three",), ADDED)]
    assert diff(old, load(DYNAMIC.replace("1700", "1701"), "x.conf")) == [
        Change("dynamic_authorization", (), CHANGED, ("port",))
    ]
