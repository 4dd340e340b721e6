"""Rate limits in attributes of vendors."""

from __future__ import annotations

import pytest
from pyrad.packet import AccessAccept, AuthPacket

from prol2tp.common.wire import WireError
from prol2tp.radius import packets, rates
from prol2tp.radius.answer import Malformed, read
from prol2tp.radius.dictionary import DICTIONARY


def limits(**named: object) -> tuple[int | None, int | None]:
    packet = AuthPacket(AccessAccept, 1, b"secret", dict=DICTIONARY, authenticator=bytes(16))
    for name, value in named.items():
        packet.AddAttribute(name.replace("_", "-"), value)
    answer = read(packets.decode(packet.ReplyPacket(), b"secret"))
    return answer.rate_up, answer.rate_down


@pytest.mark.parametrize(
    ("text", "up", "down"),
    [("64k/2M", 64_000, 2_000_000), ("10M", 10_000_000, 10_000_000), ("1G/0", 1_000_000_000, 0),
     ("512000/1024000 1M/2M 512k/1M 8/8 8 256k/512k", 512_000, 1_024_000), ("128K/128K", 128_000, 128_000)],
)  # fmt: skip
def test_mikrotik_names_the_way_from_the_subscriber_first(text: str, up: int, down: int) -> None:
    assert rates.mikrotik(text) == (up, down)
    assert limits(Mikrotik_Rate_Limit=text) == (up, down)


@pytest.mark.parametrize("text", ["", "fast", "1M/", "/1M", "1M/2M/3M", "-1", "1.5M", "1T", "99999G"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(WireError):
        rates.mikrotik(text)


def test_an_answer_with_a_rate_that_is_none_is_malformed() -> None:
    with pytest.raises(Malformed, match="Mikrotik-Rate-Limit"):
        limits(Mikrotik_Rate_Limit="fast")


def test_cisco_interface_configuration_limits_input_and_output() -> None:
    pairs = ("ip:addr-pool=gold", "lcp:interface-config#1=rate-limit output 2048000 256000 512000 conform-action"
             " transmit exceed-action drop", "lcp:interface-config=rate-limit input access-group 101 512000 8000 8000")
    assert rates.cisco(pairs) == (512_000, 2_048_000)
    assert [rates.is_interface_config(pair) for pair in pairs] == [False, True, True]
    assert not rates.is_interface_config("lcp:interface-config=ip vrf forwarding red")
    assert limits(Cisco_AVPair=list(pairs[1:])) == (512_000, 2_048_000)


def test_one_direction_alone_leaves_the_other_open() -> None:
    assert limits(WISPr_Bandwidth_Max_Down=5) == (None, 5)
    assert limits(Ascend_Data_Rate=7) == (7, None)
    assert limits() == (None, None)


def test_where_several_speak_the_first_of_the_list_counts() -> None:
    assert limits(Mikrotik_Rate_Limit="1M/2M", WISPr_Bandwidth_Max_Up=3, Ascend_Xmit_Rate=4) == (3, 4)
    assert limits(Mikrotik_Rate_Limit="1M/2M", Ascend_Data_Rate=0) == (0, 2_000_000)
