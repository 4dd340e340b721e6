"""Traffic control requests as a second reader of them has it (pyroute2)."""

from __future__ import annotations

from typing import Any

import pytest
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.tcmsg import tcmsg

from prol2tp.net import tc

HEADER = 16


def decoded(kind: Any, payload: bytes, number: int = 0) -> Any:
    header = (HEADER + len(payload)).to_bytes(4, "little") + number.to_bytes(2, "little") + bytes(HEADER - 6)
    message = kind(header + payload)
    message.decode()
    return message


def options(payload: bytes) -> Any:
    return decoded(tcmsg, payload).get_attr("TCA_OPTIONS")


@pytest.mark.parametrize("rate", [64_000, 8_000_000, 1_000_000_000])
def test_a_class_has_rate_ceiling_and_the_burst_of_both(rate: int) -> None:
    message = decoded(tcmsg, tc.htb_class(7, rate))
    assert (message["index"], message["handle"], message["parent"]) == (7, 0x10001, 0x10000)
    assert message.get_attr("TCA_KIND") == "htb"
    parms = message.get_attr("TCA_OPTIONS").get_attr("TCA_HTB_PARMS")
    assert parms["rate"] == parms["ceil"] == rate // 8
    # 64 ns a tick
    octets = parms["buffer"] * 64e-9 * rate / 8
    assert abs(octets - tc.burst(rate)) <= rate / 8 * 64e-9 + 1
    assert parms["buffer"] == parms["cbuffer"]


def test_a_rate_beyond_four_gigabytes_a_second_has_64_bits() -> None:
    rate = 100_000_000_000
    data = options(tc.htb_class(7, rate))
    assert data.get_attr("TCA_HTB_PARMS")["rate"] == 0xFFFFFFFF
    payload = tc.htb_class(7, rate)
    assert payload.count((rate // 8).to_bytes(8, "little")) == 2


def test_the_root_gives_all_to_its_class() -> None:
    message = decoded(tcmsg, tc.htb(7))
    assert (message["handle"], message["parent"]) == (0x10000, 0xFFFFFFFF)
    init = message.get_attr("TCA_OPTIONS").get_attr("TCA_HTB_INIT")
    assert (init["version"], init["defcls"]) == (3, 1)


@pytest.mark.parametrize(("rate", "target"), [(100_000_000, 5000), (64_000, 281_250), (1_000_000, 18_000)])
def test_fair_queues_have_time_for_one_packet_and_are_few(rate: int, target: int) -> None:
    data = options(tc.fq_codel(7, rate, new=True))
    assert data.get_attr("TCA_FQ_CODEL_TARGET") == target
    assert data.get_attr("TCA_FQ_CODEL_INTERVAL") == max(100_000, 2 * target)
    assert data.get_attr("TCA_FQ_CODEL_FLOWS") == tc.FLOWS
    # their number cannot be changed
    changed = options(tc.fq_codel(7, rate, new=False))
    assert changed.get_attr("TCA_FQ_CODEL_TARGET") == target
    assert changed.get_attr("TCA_FQ_CODEL_FLOWS") is None


def test_a_queue_of_bytes_is_so_long_as_the_rate_empties_it_in_a_fifth_of_a_second() -> None:
    payload = tc.bfifo(7, 8_000_000)
    assert payload.endswith((200_000).to_bytes(4, "little"))
    assert tc.bfifo(7, 1000).endswith(tc.LEAST_QUEUE.to_bytes(4, "little"))


def test_all_that_comes_in_is_led_to_the_other_device() -> None:
    message = decoded(tcmsg, tc.redirect(7, 99))
    assert (message["parent"], message["info"]) == (0xFFFF0000, 0x10300)
    action = message.get_attr("TCA_OPTIONS").get_attr("TCA_U32_ACT").get_attr("TCA_ACT_PRIO_1")
    assert action.get_attr("TCA_ACT_KIND") == "mirred"
    parms = action.get_attr("TCA_ACT_OPTIONS").get_attr("TCA_MIRRED_PARMS")
    assert (parms["ifindex"], parms["eaction"], parms["action"]) == (99, 1, 4)


def test_devices_are_found_by_name_and_removed_by_group() -> None:
    made = decoded(ifinfmsg, tc.device("ifb", "pifb7", 0x50000002))
    assert (made.get_attr("IFLA_IFNAME"), made.get_attr("IFLA_GROUP")) == ("pifb7", 0x50000002)
    assert made.get_attr("IFLA_LINKINFO").get_attr("IFLA_INFO_KIND") == "ifb"
    assert decoded(ifinfmsg, tc.link_named("pifb7")).get_attr("IFLA_IFNAME") == "pifb7"
    assert decoded(ifinfmsg, tc.of_group(5)).get_attr("IFLA_GROUP") == 5
    moved = decoded(ifinfmsg, tc.to_group(7, 6))
    assert (moved["index"], moved.get_attr("IFLA_GROUP")) == (7, 6)
