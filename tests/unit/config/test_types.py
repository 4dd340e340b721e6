"""Types of values: what they read, what they refuse, and that what is written reads back."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prol2tp.config import links, tunnels
from prol2tp.config.ipv6 import DomainName
from prol2tp.config.network import (
    Device,
    Netmask,
    NftSet,
    NftSetOf,
    RateLimit,
    RateLimitOf,
    RouteOf,
    RouteTo,
)
from prol2tp.config.parameter import BlockType, Parameter, read_file
from prol2tp.config.problems import Problems, Wrong
from prol2tp.config.template import LONGEST, Template, interface_name
from prol2tp.config.types import (
    Address,
    AddressRange,
    Boolean,
    Choice,
    DsField,
    Endpoint,
    File,
    Flags,
    Hexadecimal,
    Host,
    InterfaceId,
    Ip,
    Mac,
    Number,
    Octets,
    Password,
    Peers,
    Prefix,
    Rate,
    Reference,
    Seconds,
    Speed,
    SpeedOf,
    Text,
    Type,
)

GOOD = [
    (Boolean(), "true", True),
    (Boolean(), "false", False),
    (Number(0, 65535), "65535", 65535),
    (Number(0, 65535), "007", 7),
    (Seconds(0, 86400), "90", 90.0),
    (Seconds(0, 86400), "1.5", 1.5),
    (Seconds(0, 86400), "1.5m", 90.0),
    (Seconds(0, 86400), "1d", 86400.0),
    (Text(), "lns", "lns"),
    (Octets(), "hex:00ff", b"\x00\xff"),
    (Octets(), "héx", "héx".encode()),
    (Mac(), "11:22:ef:01:a3:B9", bytes.fromhex("1122ef01a3b9")),
    (Ip(), "2001:DB8:0::1", "2001:db8::1"),
    (Ip(4), "10.0.0.1", "10.0.0.1"),
    (Endpoint(1701, True), "10.5.0.1:9000", ("10.5.0.1", 9000)),
    (Endpoint(1701, True), "10.5.0.1", ("10.5.0.1", 1701)),
    (Endpoint(1701, True), "[2001:db8::1]:9000", ("2001:db8::1", 9000)),
    (Endpoint(1701, True), "[2001:db8::1]", ("2001:db8::1", 1701)),
    (Endpoint(1701, True), "2001:db8::1", ("2001:db8::1", 1701)),
    (Endpoint(1701, True), "lns.example.net:1702", ("lns.example.net", 1702)),
    (Endpoint(1701, True), "lns", ("lns", 1701)),
    (Endpoint(0, False), "[fe80::1%eth0]:1701", ("fe80::1%eth0", 1701)),
    (Prefix(), "10.99.0.0/24", ipaddress.ip_network("10.99.0.0/24")),
    (Prefix(), "10.99.0.1", ipaddress.ip_network("10.99.0.1/32")),
    (Prefix(), "2001:db8::/32", ipaddress.ip_network("2001:db8::/32")),
    (Rate(), "0", 0),
    (Rate(), "64k", 64_000),
    (SpeedOf(), "100M:10M", (100_000_000, 10_000_000)),
    (SpeedOf(), "1G", (1_000_000_000, 0)),
    (Hexadecimal(), "0x000a0000", 0xA0000),
    (InterfaceId(), "::1", 1),
    (InterfaceId(), "0200:5eff:fe00:1", 0x02005EFFFE000001),
    (DsField(), "copy", -1),
    (DsField(), "184", 184),
    (Choice({"sync": 1, "async": 2}), "async", 2),
    (Template(), "ppp%d", "ppp%d"),
    (Template(), "s%s-%u", "s%s-%u"),
]


@pytest.mark.parametrize(("type", "text", "value"), GOOD, ids=[f"{type(t).__name__} {x}" for t, x, _ in GOOD])
def test_good_value(type: Type, text: str, value: object) -> None:
    read = type.read(text, False)
    assert read == value
    assert type.read(type.write(read).strip('"'), False) == value


BAD = [
    (Boolean(), ["yes", "True", "1", ""]),
    (Number(1, 9), ["0", "10", "-1", "+1", "1_0", "٣", "0x1", "1.0", "9" * 5000, ""]),
    (Seconds(1, 60), ["0", "61", "2m", "1.2345", "1w", "-1", "1e3", "nan", "inf", ".5", ""]),
    (Text(3), ["abcd", "éé", ""]),
    (Octets(2), ["hex:0", "hex:zz", "hex:", "hex:001122", ""]),
    (Mac(), ["11:22:ef:01:a3", "11-22-ef-01-a3-b9", "11:22:ef:01:a3:bg"]),
    (Ip(), ["10.0.0", "10.0.0.256", "010.0.0.1", "host", "10.0.0.1/32", "1", ""]),
    (Ip(4), ["::1"]),
    (Endpoint(1701, True), ["10.0.0.256", "10.0.0.1:", "10.0.0.1:0", "10.0.0.1:65536", "10.0.0.1:x", "[10.0.0.1]:1",
                            "[::1", "[::1]x", "[::1]:", "a..b", "-a", "a_b.c:", "a b", "a/b", "[a]", ":1", ""]),
    (Endpoint(1701, False), ["lns"]),
    (Prefix(), ["10.99.0.1/24", "10.0.0.0/33", "10.0.0/8", "a/8", "", "fe80::%1/64", "fe80::1%eth0"]),
    (Prefix(4), ["::/0"]),
    (Netmask(), ["255.0.255.0", "24", "255.255.255.1", ""]),
    (RateLimitOf(), ["1", "999", "1K", "1m", "1001G", "/", "1M/", "/1M", "1M/1M/1M", "-1", "1.2345M", "9" * 400, ""]),
    (Device(), ["", ".", "..", "a/b", "a b", "a:b", "a" * 16]),
    (NftSetOf(), ["gold", "fw gold", "inet fw", "inet fw gold x", "netdev fw gold", "inet 1 gold", "inet fw go;ld"]),
    (AddressRange(), ["10.0.0.2-10.0.0.1", "10.0.0.1-", "-", "10.0.0.1-5", "::1-::2", ""]),
    (Rate(), ["64K", "-1", "5G", ""]),
    (SpeedOf(), ["1:", ":1", "1:2:3", "0", "1:0", "4294967296", ""]),
    (Hexadecimal(), ["0x", "0x1ffffffff", "zz", "4294967296", ""]),
    (InterfaceId(), ["::", "0", "2001:db8::1", "x", ""]),
    (DsField(), ["256", "Copy", "-1"]),
    (Choice(["a", "b"]), ["A", "c", ""]),
    (Template(), ["ppp%", "ppp%x", "%d%d", "a/b", "a:b", "a b", "", ".", "..", "abcdefghijk%d", "a" * 16, "é"]),
]  # fmt: skip


@pytest.mark.parametrize(("type", "text"), [(t, x) for t, texts in BAD for x in texts],
                         ids=lambda value: repr(value) if isinstance(value, str) else type(value).__name__)
def test_bad_value(type: Type, text: str) -> None:
    with pytest.raises(Wrong):
        type.read(text, False)


@given(st.text("0123456789.", max_size=16) | st.ip_addresses(v=4).map(str))
def test_addresses_are_those_of_the_standard_library(text: str) -> None:
    try:
        expected = str(ipaddress.IPv4Address(text))
    except ValueError:
        with pytest.raises(Wrong):
            Ip(4).read(text, False)
    else:
        assert Ip(4).read(text, False) == expected == text


@pytest.mark.parametrize("line", ["10.0.0.1/24", "10.0.0.0/24 via", "10.0.0.0/24 via 2001:db8::1", "10.0.0.0/24 5",
                                  "10.0.0.0/24 metric x", "10.0.0.0/24 metric 4294967296", "10.0.0.0/24 via a",
                                  "10.0.0.0/24 metric 1 metric 2", "10.0.0.0/24 metric"])
def test_bad_route(line: str) -> None:
    with pytest.raises(Wrong):
        RouteOf().read_all([(word, False) for word in line.split()])


def test_rate_limits_are_up_and_down_or_one_for_both() -> None:
    assert RateLimitOf().read("20M/100M", False) == RateLimit(20_000_000, 100_000_000)
    assert RateLimitOf().read("1.5M", False) == RateLimit(1_500_000, 1_500_000)
    assert RateLimitOf().read("0/512k", False) == RateLimit(0, 512_000)


def test_a_quoted_secret_is_never_hexadecimal() -> None:
    assert Octets(secret=True).read("hex:00", True) == b"hex:00"


def test_any_stands_for_all_peers_and_stands_alone() -> None:
    assert [str(network) for network in Peers().read_all([("any", False)])] == ["0.0.0.0/0", "::/0"]
    with pytest.raises(Wrong):
        Peers().read_all([("any", False), ("10.0.0.1", False)])


def test_flags_add_up_and_none_stands_alone() -> None:
    flags = Flags({"sync": 1, "async": 2, "none": 0})
    assert flags.read_all([("sync", False), ("async", False)]) == 3
    assert flags.read_all([("none", False)]) == 0
    with pytest.raises(Wrong):
        flags.read_all([("none", False), ("sync", False)])


def test_an_address_is_text_and_port_and_knows_whether_it_is_a_name() -> None:
    assert Address("10.0.0.1", 1701) == ("10.0.0.1", 1701)
    assert not Address("2001:db8::1", 1).is_name and Address("lns", 1).is_name
    assert str(Address("2001:db8::1", 1701)) == "[2001:db8::1]:1701"


IPV4, IPV6 = st.ip_addresses(v=4), st.ip_addresses(v=6)
BY_TYPE = {
    Boolean: lambda t: st.booleans(),
    Number: lambda t: st.integers(t.low, t.high),
    DsField: lambda t: st.integers(-1, 255),
    Hexadecimal: lambda t: st.integers(0, 2**32 - 1),
    InterfaceId: lambda t: st.integers(1, 2**64 - 1),
    Seconds: lambda t: st.integers(int(t.low * 1000), int(t.high * 1000)).map(lambda n: n / 1000),
    Text: lambda t: st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=t.most),
    Reference: lambda t: st.just("default"),
    File: lambda t: st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=60).map("/".__add__),
    Password: lambda t: st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=60),
    Octets: lambda t: st.binary(min_size=1, max_size=t.most),
    Choice: lambda t: st.sampled_from(list(t.choices.values())),
    Flags: lambda t: st.integers(0, 3),
    Host: lambda t: st.one_of(st.ip_addresses().map(str), st.sampled_from(["aaa", "aaa.example.net", "a-1.b"])),
    Ip: lambda t: (IPV6 if t.version == 6 else IPV4).map(str),
    Netmask: lambda t: st.integers(0, 32).map(lambda n: str(ipaddress.ip_network(f"0.0.0.0/{n}").netmask)),
    RouteOf: lambda t: st.builds(RouteTo, IPV4.map(lambda a: f"{a}/32"), st.just("") | IPV4.map(str),
                                 st.none() | st.integers(0, 2**32 - 1)).map(lambda route: (route,)),
    RateLimitOf: lambda t: st.builds(RateLimit, *[st.just(0) | st.integers(1000, 10**12)] * 2),
    DomainName: lambda t: st.sampled_from(["example.net", "a", "x-1.corp_2.example"]),
    Device: lambda t: st.sampled_from(["vrf-red", "eth0.7"]),
    NftSetOf: lambda t: st.builds(NftSet, st.sampled_from(["ip", "ip6", "inet"]), st.just("fw"), st.just("gold_1")),
    Endpoint: lambda t: st.builds(Address, st.ip_addresses().map(str), st.integers(1, 65535)),
    Prefix: lambda t: (IPV6 if t.version == 6 else IPV4).map(ipaddress.ip_network),
    Peers: lambda t: st.lists(st.ip_addresses().map(ipaddress.ip_network), min_size=1, max_size=4).map(tuple),
    AddressRange: lambda t: IPV4.map(lambda a: AddressRange().read(str(a), False)),
    SpeedOf: lambda t: st.builds(Speed, st.integers(1, 2**32 - 1), st.integers(0, 2**32 - 1)),
    Rate: lambda t: st.integers(0, 2**32 - 1),
    Template: lambda t: st.sampled_from(["ppp%d", "wan", "s%s", "%u"]),
}
ROWS = [(kind, row) for file in (tunnels.FILE, links.FILE) for kind in file.walk() for row in kind.parameters.values()]


def read_back(kind: BlockType, line: str) -> dict:
    """Values of one block with one parameter, through lexer, parser and checker."""
    name = ' "x"' if kind.named else ""
    text = f"{kind.words}{name} {{ {line} }}"
    problems = Problems(text, "x")
    file = BlockType("", None, "", named=False, blocks=[kind])
    given_ = next(iter(read_file(text, problems, file).blocks[kind.words].values()))
    if all(not row.required or row.name in given_.values for row in kind.parameters.values()):
        problems.refuse()
    return given_.values


@pytest.mark.parametrize(("kind", "row"), ROWS, ids=lambda v: getattr(v, "name", getattr(v, "words", "")))
def test_every_parameter_reads_what_it_writes(kind: BlockType, row: Parameter) -> None:
    values = BY_TYPE[type(row.type)](row.type)
    if row.many and not row.type.whole:
        values = st.lists(values, min_size=1, max_size=min(row.most, 3)).map(tuple)

    @given(value=values)
    @settings(max_examples=5, deadline=None, database=None)
    def check(value: object) -> None:
        assert read_back(kind, f"{row.name} {row.write(value)}") == {row.name: value}

    check()


def test_secrets_are_shown_as_stars_and_other_values_as_they_are_written() -> None:
    rows = tunnels.TUNNEL.parameters
    assert rows["secret"].show(b"abc") == "***"
    assert rows["hostname"].show("abc") == '"abc"'
    for name in ("secret", "password", "user_password"):
        assert all(row.secret for _, row in ROWS if row.name == name)


def test_interface_names_from_templates() -> None:
    assert interface_name("ppp%d") == "ppp%d"
    # ids of 32 bits: whole where they fit, else what tells them best from others
    assert interface_name("eth%s", "", 5, 4294967295) == "eth4294967295"
    assert interface_name("l2-%t-%s", "", 2008991623, 762631622) == "l2-91623-31622"
    assert interface_name("%t%s%d", "", 2008991623, 762631622) == "9162331622%d"
    assert interface_name("%u-%s", "somebody", 5, 4294967295) == "some-4294967295"
    assert interface_name("wan0", "u1") == "wan0"
    assert interface_name("%u", "u1@example.com") == "u1@example.com"
    assert interface_name("%u", "somebody@example.com") == "somebody@exampl"
    assert interface_name("%u", "a/b c:d%d") == "a_b_c_d_d"
    assert interface_name("s%s-%u", "somebody@example.com", 7, 65535) == "s65535-somebody"
    assert interface_name("t%t.%s", "", 12, 34) == "t12.34"
    assert interface_name("%u", "") == "user"
    for name in ("..", "all", "default"):
        assert interface_name("%u", name) == "user"


@given(
    template=st.lists(st.sampled_from(["%u", "%s", "%t", "%d", "p", "-", "abc"]), min_size=1, max_size=5).map("".join),
    user=st.text(max_size=40),
    tunnel_id=st.integers(1, 65535),
    session_id=st.integers(1, 65535),
)
def test_names_fit_an_interface(template: str, user: str, tunnel_id: int, session_id: int) -> None:
    try:
        Template().read(template, True)
    except Wrong:
        return
    name = interface_name(template, user, tunnel_id, session_id)
    assert name.count("%d") == template.count("%d")
    full = name.replace("%d", "99999")
    assert 0 < len(full.encode()) <= LONGEST and "%" not in full and not set(full) & set("/: \t\n")
