"""What is said about a bad file: golden texts."""

from __future__ import annotations

import pytest

from prol2tp.config import prol2tpd, propppd
from prol2tp.config.problems import MOST_PROBLEMS, ConfigError


def said(text: str, load=prol2tpd.load) -> str:
    with pytest.raises(ConfigError) as caught:
        load(text, "x.conf")
    return str(caught.value)


GOLDEN = {
    "misspelt parameter": (
        'tunnel "one" {\n    peer 10.99.0.1\n    hello_timout 30\n}\n',
        """\
x.conf:3:5: unknown parameter hello_timout in tunnel "one"; did you mean hello_timeout?
    hello_timout 30
    ^""",
    ),
    "misspelt block": (
        'tunel "one" { peer 10.0.0.1 }',
        """\
x.conf:1:1: unknown block tunel; did you mean tunnel?
tunel "one" { peer 10.0.0.1 }
^""",
    ),
    "misspelt choice": (
        "system {\n\tlog_level notcie\n}",
        """\
x.conf:2:12: log_level: notcie is not known here; did you mean notice?
\tlog_level notcie
\t          ^""",
    ),
    "unknown profile": (
        'session profile "calls" { }\ntunnel profile "a" { session_profile "call" }',
        """\
x.conf:2:38: session_profile: there is no session profile "call"; did you mean calls?
tunnel profile "a" { session_profile "call" }
                                     ^""",
    ),
    "profile when there is none": (
        'tunnel "one" { peer h; tunnel_profile "p" }',
        """\
x.conf:1:39: tunnel_profile: there is no tunnel profile "p"; add: tunnel profile "p" { ... }
tunnel "one" { peer h; tunnel_profile "p" }
                                      ^""",
    ),
    "unclosed block": (
        'system {\n    hostname "a"\n',
        """\
x.conf:1:1: the block system opened on line 1 is not closed; add a }
system {
^""",
    ),
    "missing brace between blocks": (
        'tunnel profile "a" {\n    peer 10.0.0.1\ntunnel "one" { peer h }\n}',
        """\
x.conf:3:1: no block may stand in tunnel profile "a"; is a } missing? tunnel profile "a" was opened on line 1
tunnel "one" { peer h }
^""",
    ),
    "brace too many": (
        "system { }\n}\n",
        """\
x.conf:2:1: this } closes no block; remove it, or look for a missing { above
}
^""",
    ),
    "name without quotes": (
        "tunnel one {\n peer h\n}",
        """\
x.conf:1:1: the name of a block stands in quotes; write: tunnel "one" {
tunnel one {
^""",
    ),
    "no name": (
        "tunnel profile { }",
        """\
x.conf:1:1: this tunnel profile has no name; write: tunnel profile "name" {
tunnel profile { }
^""",
    ),
    "name too many": (
        'system "a" { }',
        """\
x.conf:1:1: system takes no name; write: system {
system "a" { }
^""",
    ),
    "missing value": (
        "system {\n    hostname\n}",
        """\
x.conf:2:5: hostname: a value is missing; write: hostname text
    hostname
    ^""",
    ),
    "value too many": (
        "system {\n    hostname my host\n}",
        """\
x.conf:2:17: hostname: takes one value, 2 are given; end it with ; or put a text with spaces in quotes
    hostname my host
                ^""",
    ),
    "no boolean": (
        "system { drain_tunnels yes }",
        """\
x.conf:1:24: drain_tunnels: yes is no boolean; write true or false
system { drain_tunnels yes }
                       ^""",
    ),
    "out of range": (
        "system { max_pending_tunnels 0 }",
        """\
x.conf:1:30: max_pending_tunnels: 0 is out of range; from 1 to 65535
system { max_pending_tunnels 0 }
                             ^""",
    ),
    "second value of a list": (
        "system { listen 10.0.0.1:1701 10.0.0.256 }",
        """\
x.conf:1:31: listen: 10.0.0.256 is not an address; for example 192.0.2.1:1701 or [2001:db8::1]:1701
system { listen 10.0.0.1:1701 10.0.0.256 }
                              ^""",
    ),
    "prefix with host bits": (
        'tunnel profile "a" { peer 10.99.0.1/24 }',
        """\
x.conf:1:27: peer: 10.99.0.1/24 has bits set behind its length; did you mean 10.99.0.0/24?
tunnel profile "a" { peer 10.99.0.1/24 }
                          ^""",
    ),
    "given twice": (
        "system {\n    log_level info\n    log_level debug\n}",
        """\
x.conf:3:5: log_level is given twice; first on line 2
    log_level debug
    ^""",
    ),
    "block twice": (
        'tunnel "a" { peer h }\ntunnel "a" { peer g }',
        """\
x.conf:2:1: tunnel "a" stands here twice; first on line 1
tunnel "a" { peer g }
^""",
    ),
    "required": (
        'tunnel "a" { }',
        """\
x.conf:1:1: tunnel "a" has no peer; add: peer address|name[:port]
tunnel "a" { }
^""",
    ),
    "unclosed string": (
        'system {\n    hostname "abc\n}',
        """\
x.conf:2:14: this string has no closing "; a string ends on the line on which it begins
    hostname "abc
             ^""",
    ),
    "escape": (
        r'system { hostname "a\qb" }',
        r"""x.conf:1:21: this escape is not known; known are \" \\ \n \t
system { hostname "a\qb" }
                    ^""",
    ),
    "quote in a word": (
        'system { hostname ab"c }',
        """\
x.conf:1:21: a quote inside a word; put the whole value in quotes, and write \\" for a quote in it
system { hostname ab"c }
                    ^""",
    ),
    "parameter outside of blocks": (
        'hostname "a"',
        """\
x.conf:1:1: unknown parameter hostname in the file; parameters stand inside blocks: system, pseudowire profile, \
session profile, tunnel profile, tunnel
hostname ***
^""",
    ),
    "block without braces": (
        'tunnel profile "a"\n',
        """\
x.conf:1:1: tunnel profile is a block; write: tunnel profile "name" {
tunnel profile "a"
^""",
    ),
    "parameter with braces": (
        "system { hostname { } }",
        """\
x.conf:1:10: hostname is a parameter, no block; remove the braces
system { hostname { } }
         ^""",
    ),
    "inner block outside": (
        'session "a" { }',
        """\
x.conf:1:1: session stands inside tunnel; move it there
session "a" { }
^""",
    ),
    "IP without L2TPv3": (
        'tunnel "a" { peer h; encap ip }',
        """\
x.conf:1:28: tunnel "a" has encap ip, which L2TPv2 does not have; add: version l2tpv3
tunnel "a" { peer h; encap ip }
                           ^""",
    ),
    "Ethernet without L2TPv3": (
        'tunnel "a" { peer h; session "b" { pseudowire_type eth } }',
        """\
x.conf:1:52: session "b" is of type eth, and its tunnel of version l2tpv2; \
give the tunnel: version l2tpv3
tunnel "a" { peer h; session "b" { pseudowire_type eth } }
                                                   ^""",
    ),
    "a circuit twice": (
        'session profile "a" { remote_end_id "x" }\nsession profile "b" { remote_end_id "x" }',
        """\
x.conf:2:37: session profile "a" has this Remote End ID too; a circuit has one profile
session profile "b" { remote_end_id "x" }
                                    ^""",
    ),
    "equal criteria": (
        'tunnel profile "a" {\n    peer 10.0.0.0/8 10.1.0.0/16\n}\ntunnel profile "b" {\n    peer 10.1.0.0/16\n}\n',
        """\
x.conf:5:10: tunnel profile "b" applies to the same peers as "a"; that one is on line 1; \
make one of them apply to fewer peers
    peer 10.1.0.0/16
         ^""",
    ),
    "challenge without secret": (
        'tunnel profile "a" { auth_mode challenge; hide_avps true }',
        """\
x.conf:1:32: tunnel profile "a" has auth_mode challenge but no secret; add: secret "text"
tunnel profile "a" { auth_mode challenge; hide_avps true }
                               ^
x.conf:1:53: tunnel profile "a" has hide_avps true but no secret; add: secret "text"
tunnel profile "a" { auth_mode challenge; hide_avps true }
                                                    ^""",
    ),
    "template": (
        'pseudowire profile "a" { interface_name "subscriber-%s" }',
        """\
x.conf:1:41: interface_name: this interface name can become 16 octets long; at most 15; %s, %t and %d count 5
pseudowire profile "a" { interface_name "subscriber-%s" }
                                        ^""",
    ),
}


@pytest.mark.parametrize("case", GOLDEN)
def test_message(case: str) -> None:
    text, expected = GOLDEN[case]
    assert said(text) == expected


PPP_GOLDEN = {
    "certificates that are missing": (
        'profile "a" { eap_methods tls md5; tls_ca /etc/ca.pem }',
        """\
x.conf:1:27: EAP-TLS needs tls_certificate; add: tls_certificate file
profile "a" { eap_methods tls md5; tls_ca /etc/ca.pem }
                          ^""",
    ),
    "file without a path": (
        'profile "a" { tls_ca ca.pem }',
        """\
x.conf:1:22: tls_ca: ca.pem is no name of a file; a path from the root, for example /etc/prol2tp/ca.pem
profile "a" { tls_ca ca.pem }
                     ^""",
    ),
    "user that could never come in": (
        'user "u" { ip 10.0.0.1 }',
        """\
x.conf:1:1: user "u" has no password; add: password or certificate
user "u" { ip 10.0.0.1 }
^""",
    ),
    "radius that nobody answers": (
        'profile "a" { auth true; use_radius true }\n'
        'radius { server "r1" { address 127.0.0.1; secret s; auth_port 0 } }',
        """\
x.conf:1:37: use_radius is set, but no RADIUS server does authentication; \
add: radius { server "name" { address ip; secret password } }
profile "a" { auth true; use_radius true }
                                    ^""",
    ),
    "accounting without a server": (
        'profile "a" { accounting true }\nradius { server "r1" { address 127.0.0.1; secret s; acct_port 0 } }',
        """\
x.conf:1:26: accounting is set, but no RADIUS server does accounting; \
add: radius { server "name" { address ip; secret password } }
profile "a" { accounting true }
                         ^""",
    ),
    "radius for nobody": (
        'profile "a" { use_radius true }\nradius { server "r1" { address 127.0.0.1; secret s } }',
        """\
x.conf:1:26: use_radius asks about users, but nobody has to authenticate himself; add: auth true
profile "a" { use_radius true }
                         ^""",
    ),
    "radius from the wrong address": (
        'radius { server "r1" { address 127.0.0.1; secret s; source ::1 } }',
        """\
x.conf:1:60: source and address are of two versions of IP; give both of one version
radius { server "r1" { address 127.0.0.1; secret ***; source ::1 } }
                                                             ^""",
    ),
    "pools that overlap": (
        'ip_pool "a" { range 10.0.0.1-10.0.0.9 }\nip_pool "b" { prefix 10.0.0.0/29 }',
        """\
x.conf:1:21: 10.0.0.1 of ip_pool "a" is in ip_pool "b" too; an address is in one pool only
ip_pool "a" { range 10.0.0.1-10.0.0.9 }
                    ^""",
    ),
    "pool without own address": (
        'ip_pool "a" { range 10.0.0.1-10.0.0.9 }\nprofile "p" { ip_pool "a" }',
        """\
x.conf:2:23: peers get addresses from ip_pool, but we have none ourselves; add: local_ip ipv4
profile "p" { ip_pool "a" }
                      ^""",
    ),
    "range backwards": (
        'ip_pool "a" { range 10.0.0.9-10.0.0.1 }',
        """\
x.conf:1:21: range: 10.0.0.9-10.0.0.1 ends before it begins; did you mean 10.0.0.1-10.0.0.9?
ip_pool "a" { range 10.0.0.9-10.0.0.1 }
                    ^""",
    ),
    "empty pool": (
        'ip_pool "a" { }',
        """\
x.conf:1:1: ip_pool "a" is empty; add: range first-last, or prefix network
ip_pool "a" { }
^""",
    ),
    "shared interface with placeholder": (
        'profile "a" { interface shared; interface_name "ppp%d" }',
        """\
x.conf:1:48: a shared interface has one name for all sessions; take the % out of interface_name
profile "a" { interface shared; interface_name "ppp%d" }
                                               ^""",
    ),
    "log category": (
        "system { log_categories { pp info } }",
        """\
x.conf:1:27: unknown parameter pp in log_categories; did you mean ppp?
system { log_categories { pp info } }
                          ^""",
    ),
}


@pytest.mark.parametrize("case", PPP_GOLDEN)
def test_message_of_propppd(case: str) -> None:
    text, expected = PPP_GOLDEN[case]
    assert said(text, propppd.load) == expected


def test_all_faults_are_reported_in_the_order_of_the_file() -> None:
    text = 'tunnel "a" { peer h; session_profile "x"; mtu 1 }\nsystem { hostnam a }\n}'
    with pytest.raises(ConfigError) as caught:
        prol2tpd.load(text, "x.conf")
    assert [(problem.line, problem.column) for problem in caught.value.problems] == [
        (1, 38),
        (1, 47),
        (2, 10),
        (3, 1),
    ]


def test_no_more_than_twenty_faults_are_shown_and_the_rest_counted() -> None:
    with pytest.raises(ConfigError) as caught:
        prol2tpd.load("system {\n" + "bad 1\n" * 100 + "}", "x.conf")
    assert len(caught.value.problems) == MOST_PROBLEMS
    assert str(caught.value).endswith("\nand 80 more")


SECRETS = [
    'tunnel "a" { peer h; secret "hunter2 }',
    'tunnel "a" { peer h; secret hunter2 hunter2 }',
    'tunnel "a" { peer h; secret hun"hunter2" }',
    'tunnel "a" { peer h; sceret "hunter2" }',
    'tunnel "a" { peer h; psk "hunter2" }',
    'tunnel "a" { peer h; secret "hunter2"; mtu 0 }',
    'tunnel "a" { peer h; secret "x\\qhunter2" }',
    'tunnel "a" { peer h; secret "hunter2"x }',
    'tunnel "a" { peer h; session "s" { user_password "hunter2"; mtu 0 } }',
    'tunnel "a" { peer h; session "s" { user_pasword "hunter2"; mtu 0 } }',
    'tunnel "a" { peer h; secret "hunter2\x01" }',
    'secret "hunter2"',
    'tunnel "a" { peer h; secret hex:hunter2 }',
    'tunnel "a" { peer h; secret "' + "hunter2" * 50 + '" }',
    'tunnel "a" { peer h; mtu "x"; secret "a\\"hunter2" }',
]


@pytest.mark.parametrize("text", SECRETS)
def test_secrets_are_not_shown(text: str) -> None:
    assert "hunter2" not in said(text)


def test_secrets_are_not_in_the_repr_of_records() -> None:
    text = 'tunnel profile "p" { peer any; secret "hunter2" }\n'
    text += 'tunnel "a" { peer h; tunnel_profile "p"; session "s" { user_password "hunter2" } }'
    config = prol2tpd.load(text, "x")
    session = config.tunnels["a"].sessions["s"]
    assert session.user_password == "hunter2"
    assert config.tunnels["a"].secret == b"hunter2"
    assert "hunter2" not in repr([config, session, config.tunnels["a"], config.tunnel_profiles["p"]])
    ppp = propppd.load('profile "p" { password "hunter2" }\nuser "u" { password "hunter2" }', "x")
    assert ppp.users["u"].password == "hunter2"
    assert "hunter2" not in repr([ppp, ppp.users["u"], ppp.profiles["p"]])


def test_the_caret_stands_right_behind_a_hidden_secret() -> None:
    lines = said('tunnel "a" { peer h; secret "hunter2hunter2"; mtu 0 }').split("\n")
    assert lines[1] == 'tunnel "a" { peer h; secret ***; mtu 0 }'
    assert lines[2].index("^") == lines[1].index("0 }")


def test_long_lines_and_control_characters_do_not_reach_the_terminal() -> None:
    lines = said("system { " + "hostname x; " * 50 + " \x1b[31m }").split("\n")
    assert all(len(line) < 200 and "\x1b" not in line for line in lines)


def test_a_type_of_a_block_that_is_no_word_stays_short() -> None:
    with pytest.raises(ConfigError) as refused:
        prol2tpd.load("x" * 70_000 + ' "n" {\n', "f.conf")
    assert refused.value.first.startswith("f.conf:1:1: the block xxx") and len(refused.value.first) < 200
