"""Cisco-AVPair: what is understood, and that the rest costs nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prol2tp.radius import avpairs
from prol2tp.radius.avpairs import Pairs
from prol2tp.radius.values import Route


def test_pairs_of_networks() -> None:
    found = avpairs.read((
        "ip:vrf-id=red", "ip:addr-pool=gold", "ip:dns-servers=9.9.9.9 149.112.112.112",
        "ip:route#1=192.0.2.0 255.255.255.0 10.0.0.5 7", "ip:route#2=198.51.100.0/24", "ip:table-id=77",
        "ipv6:route#1=2001:db8::/32 fe80::1 5",
    ))  # fmt: skip
    assert found == Pairs(
        "red", 77, "gold", ("9.9.9.9", "149.112.112.112"),
        (Route("192.0.2.0/24", "10.0.0.5", 7), Route("198.51.100.0/24", "", None),
         Route("2001:db8::/32", "fe80::1", 5)),
    )  # fmt: skip


def test_the_older_words_for_a_vrf() -> None:
    assert avpairs.read(("lcp:interface-config#1=ip vrf forwarding red",)).vrf == "red"
    assert avpairs.read(("lcp:interface-config=vrf forwarding red",)).vrf == "red"


@pytest.mark.parametrize("text", [
    "ip:vrf-id", "ip:vrf-id=", "vrf-id=red", "ip:inacl#1=permit ip any any", "lcp:interface-config#1=mtu 1400", "",
    "ip:table-id=x", "ip:table-id=4294967296", "ip:dns-servers=a", "ip:dns-servers=2001:db8::1", "ip:route=x",
    "ip:route=10.0.0.0 255.0.255.0", "ip:route=2001:db8::/32", "ipv6:route=10.0.0.0/8", "ip:route=10.0.0.0/8 a",
])  # fmt: skip
def test_what_is_not_understood_is_ignored_alone(text: str) -> None:
    assert avpairs.read(("ip:addr-pool=a", text, "ip:vrf-id=red")) == Pairs("red", None, "a", ignored=[text])


@given(st.lists(st.text(max_size=40) | st.sampled_from(avpairs.KNOWN).flatmap(
    lambda known: st.text("0123456789./: ", max_size=30).map(lambda text: f"{known}={text}")), max_size=5))
def test_no_pair_raises(pairs: list[str]) -> None:
    assert len(avpairs.read(pairs).ignored) <= len(pairs)
