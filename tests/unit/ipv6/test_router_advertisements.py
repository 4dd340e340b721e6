"""When advertisements are sent and what they say (RFC 4861 section 6.2), in virtual time."""

from __future__ import annotations

import json
import random

import pytest

from prol2tp.ipv6 import icmpv6, packet
from prol2tp.ipv6.icmpv6 import RouterAdvertisement
from prol2tp.ipv6.ra import AdvertisedPrefix, Advertiser, AdvertiserSettings
from tests.ipv6_ends import ADVERTISED, OURS, THEIR_OCTETS, solicitation


def advertiser(settings: AdvertiserSettings = ADVERTISED) -> Advertiser:
    return Advertiser(settings, OURS, random.Random(1).randbytes)


def said(core: Advertiser) -> list[tuple[bytes, RouterAdvertisement]]:
    found = []
    for output in core.outputs():
        seen = packet.read(output.packet)
        kind, code, body = icmpv6.read_message(seen)
        assert (kind, seen.hop_limit) == (134, 255)
        found.append((seen.destination, icmpv6.read_advertisement(seen, code, body)))
    return found


def test_the_first_advertisement_goes_to_all_at_once_and_says_everything():
    core = advertiser()
    assert core.deadline() is None
    core.open(5.0)
    ((destination, heard),) = said(core)
    assert destination == packet.ALL_NODES
    assert (heard.managed, heard.other, heard.mtu, heard.router_lifetime) == (False, True, 1460, 1800)
    (prefix,) = heard.prefixes
    assert (prefix.length, prefix.on_link, prefix.autonomous) == (64, False, True)
    assert (prefix.valid_lifetime, prefix.preferred_lifetime) == (7200, 3600)
    assert heard.dns[0][0] == 1800 and heard.domains == ((1800, ("example.net",)),)


def test_three_initial_advertisements_within_16_seconds_each_then_random_intervals():
    core = advertiser()
    core.open(0.0)
    times = [0.0]
    for _ in range(200):
        times.append(core.deadline())
        core.timeout(times[-1])
        assert len(said(core)) in (1, 2)
    gaps = [later - earlier for earlier, later in zip(times, times[1:], strict=False)]
    assert gaps[:2] == [16.0, 16.0]
    assert all(200 <= gap <= 600 for gap in gaps[2:])
    assert len({round(gap) for gap in gaps[2:]}) > 100


def test_a_solicitation_is_answered_at_once_to_who_asks():
    core = advertiser()
    core.open(0.0)
    core.outputs()
    deadline = core.deadline()
    assert core.receive(solicitation(), 0.1)
    ((destination, _),) = said(core)
    assert destination == THEIR_OCTETS
    assert core.deadline() == deadline


def test_many_solicitations_are_answered_three_times_and_then_once_in_3_seconds():
    core = advertiser()
    core.open(0.0)
    core.outputs()
    answers = 0
    for step in range(1000):
        now = step * 0.015
        if (when := core.deadline()) is not None and when <= now:
            core.timeout(now)
        core.receive(solicitation(), now)
        answers += len([one for one in core.outputs()])
    assert 3 + 4 <= answers <= 3 + 6
    assert core.counters.solicitations == 1000


def test_the_last_of_too_many_solicitations_is_still_answered():
    core = advertiser()
    core.open(0.0)
    for _ in range(9):
        core.receive(solicitation(), 1.0)
    assert len(said(core)) == 1 + 3
    core.timeout(core.deadline())
    ((destination, _),) = said(core)
    assert destination == THEIR_OCTETS
    assert core.deadline() > 4.0


def test_a_solicitation_from_nobody_is_answered_to_all_but_not_within_3_seconds_of_the_last():
    core = advertiser()
    core.open(0.0)
    core.outputs()
    core.receive(solicitation(packet.UNSPECIFIED), 1.0)
    assert core.outputs() == []
    assert core.deadline() == 3.0
    core.timeout(3.0)
    ((destination, _),) = said(core)
    assert destination == packet.ALL_NODES


def test_a_change_is_said_soon_and_prefixes_that_went_are_withdrawn_three_times():
    core = advertiser()
    core.open(0.0)
    core.outputs()
    changed = AdvertiserSettings(prefixes=(AdvertisedPrefix("2001:db8:9:9::/64"),))
    core.update(changed, 100.0)
    for _ in range(3):
        ((_, heard),) = said(core)
        new, old = heard.prefixes
        assert new.valid_lifetime == 2592000
        assert (old.valid_lifetime, old.preferred_lifetime) == (0, 0)
        core.timeout(core.deadline())
    ((_, heard),) = said(core)
    assert len(heard.prefixes) == 1
    core.update(ADVERTISED, core.deadline() - 0.1)
    core.update(changed, core.deadline())
    lifetimes = [prefix.valid_lifetime for prefix in said(core)[-1][1].prefixes]
    assert lifetimes == [2592000, 0]


def test_closing_says_that_there_is_no_router_any_more_once():
    core = advertiser()
    core.open(0.0)
    core.outputs()
    core.close(1.0)
    core.close(1.0)
    ((_, heard),) = said(core)
    assert heard.router_lifetime == 0
    assert core.deadline() is None
    assert core.receive(solicitation(), 2.0)
    assert core.outputs() == []


def test_bad_and_foreign_packets_are_counted_and_others_left_alone():
    core = advertiser()
    core.open(0.0)
    core.outputs()
    body = bytes(4)
    for data in (b"", packet.udp(THEIR_OCTETS, THEIR_OCTETS, 1, 2, b""),
                 icmpv6.message(THEIR_OCTETS, THEIR_OCTETS, 135, body)):
        assert not core.receive(data, 1.0)
    wrong_code = icmpv6.message(THEIR_OCTETS, packet.ALL_ROUTERS, 133, body, code=1)
    routed = bytearray(solicitation())
    routed[7] = 64
    damaged = bytearray(solicitation())
    damaged[-1] ^= 1
    empty_option = icmpv6.message(THEIR_OCTETS, packet.ALL_ROUTERS, 133, body + bytes(8))
    address_of_nobody = icmpv6.message(packet.UNSPECIFIED, packet.ALL_ROUTERS, 133, body + b"\1\1" + bytes(6))
    for number, data in enumerate((wrong_code, routed, damaged, empty_option, address_of_nobody), 1):
        assert core.receive(bytes(data), 1.0)
        assert core.counters.bad == number
    assert core.outputs() == []
    advertisement = icmpv6.encode_advertisement(RouterAdvertisement())
    assert core.receive(icmpv6.message(THEIR_OCTETS, packet.ALL_NODES, 134, advertisement), 1.0)
    assert core.counters.foreign == 1


def test_a_record_goes_on_with_the_interval():
    core = advertiser()
    core.open(0.0)
    core.update(AdvertiserSettings(), 50.0)
    record = json.loads(json.dumps(core.to_record(60.0)))
    again = Advertiser.from_record(record, AdvertiserSettings(), OURS, bytes, 1000.0)
    assert again.deadline() == 1000.0 + core.deadline() - 60.0
    assert again.outputs() == []
    again.timeout(again.deadline())
    assert said(again)[0][1].prefixes[0].valid_lifetime == 0
    with pytest.raises(ValueError):
        Advertiser.from_record({**record, "version": 9}, AdvertiserSettings(), OURS, bytes, 0.0)


@pytest.mark.parametrize("wrong", [
    {"max_interval": 3.0}, {"max_interval": 1801.0}, {"min_interval": 2.0}, {"min_interval": 500.0},
    {"router_lifetime": 10}, {"router_lifetime": 9001}, {"mtu": 1279}, {"dns": ("192.0.2.1",)},
    {"domains": ("no good",)}, {"prefixes": (AdvertisedPrefix("2001:db8::/64", 1, 2),)},
    {"prefixes": (AdvertisedPrefix("2001:db8::1/64"),)},
])
def test_settings_that_the_rfc_forbids_are_refused(wrong: dict[str, object]):
    with pytest.raises(ValueError):
        advertiser(AdvertiserSettings(**wrong))  # type: ignore[arg-type]


def test_more_specific_routes_are_said_as_long_as_the_router_is_there():
    core = advertiser(AdvertiserSettings(routes=("2001:db8:9::/48", "::/0"), router_lifetime=0))
    core.open(0.0)
    ((_, heard),) = said(core)
    assert [(one.length, one.prefix[:6].hex(), one.lifetime) for one in heard.routes] == [
        (48, "20010db80009", 1800), (0, "000000000000", 1800)]
    core.close(1.0)
    ((_, heard),) = said(core)
    assert [one.lifetime for one in heard.routes] == [0, 0]


@pytest.mark.parametrize("value", ["40100000000a20010db800000000", "401000000000", "81000000000a" + "00" * 16])
def test_a_route_information_option_that_must_be_ignored_is(value):
    octets = bytes.fromhex(value)
    assert icmpv6._route_information(octets) is None


def test_advertisements_of_many_links_that_came_at_once_spread():
    links = [Advertiser(ADVERTISED, OURS, random.Random(number).randbytes) for number in range(300)]
    sent: dict[int, int] = {}
    for core in links:
        core.open(0.0)
        while (when := core.deadline()) < 7200:
            core.timeout(when)
            sent[int(when) // 60] = sent.get(int(when) // 60, 0) + 1
    hour = [sent[minute] for minute in range(60, 120)]
    # one in 400 s from each
    assert min(hour) > 20 and max(hour) < 80
