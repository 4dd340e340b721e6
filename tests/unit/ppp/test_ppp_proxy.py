"""Proxy records, and the links that give and take them."""

from __future__ import annotations

import pytest

from prol2tp.ppp import frame
from prol2tp.ppp.link import Link, Phase
from prol2tp.ppp.outputs import AskAuthentication, LinkDown
from prol2tp.ppp.proxy import ProxyRecord, for_ethernet, misfit, restricted
from prol2tp.ppp.settings import Grant, LinkSettings
from tests.ppp_ends import End, packets, random_source

MAGIC = b"\x05\x06\x01\x02\x03\x04"
CHAP = b"\x03\x05\xc2\x23\x05"


def lac(**settings: object) -> End:
    return End(**({"access": True, "magic": False, "pcomp": False, "accomp": False} | settings))


def test_a_record_crosses_the_control_channel_as_hex_text_without_what_is_not_known() -> None:
    record = ProxyRecord(b"\x01\x04\x05\xd4", b"", authen_type=3, authen_name=b"\xff", authen_id=0)
    plain = record.to_record()
    assert plain == {"initial_received_confreq": "010405d4", "last_sent_confreq": "", "authen_type": 3,
                     "authen_name": "ff", "authen_id": 0}
    assert ProxyRecord.from_record(plain | {"later": 1}) == record


@pytest.mark.parametrize("bad", (None, [], {"authen_type": "3"}, {"authen_type": True}, {"authen_id": -1},
                                 {"authen_id": 65536}, {"authen_name": "xy"}, {"authen_name": 3},
                                 {"last_sent_confreq": None}, {"authen_response": ["00"]}))
def test_what_is_no_record_is_refused(bad: object) -> None:
    with pytest.raises(ValueError):
        ProxyRecord.from_record(bad)


def test_secrets_are_not_in_the_text_of_a_record() -> None:
    assert "secret" not in repr(ProxyRecord(authen_challenge=b"secret", authen_response=b"secret"))


def test_the_first_and_the_last_requests_are_handed_over_as_the_peer_has_said_them() -> None:
    end = lac(auth=True, auth_methods=("chap",), mru=1492)
    end.hear(frame.LCP, 1, 1, b"\x11\x04\x05\xdc\x01\x04\x05\x00")
    end.hear(frame.LCP, 1, 2, b"\x01\x04\x05\x00")
    end.acknowledge(frame.LCP)
    challenge = packets(end.said)[-1]
    end.hear(frame.CHAP, 2, challenge[2], b"\x10" + bytes(range(16)) + b"user@isp")
    (ask,) = [output for output in end.said if isinstance(output, AskAuthentication)]
    record = end.link.hand_over(end.now)
    assert record == ProxyRecord(
        initial_received_confreq=b"\x11\x04\x05\xdc\x01\x04\x05\x00",
        last_sent_confreq=b"\x01\x04\x05\xd4" + CHAP,
        last_received_confreq=b"\x01\x04\x05\x00",
        authen_type=2, authen_name=b"user@isp", authen_challenge=ask.challenge, authen_id=challenge[2],
        authen_response=bytes(range(16)),
    )
    assert end.link.over and end.link.phase is Phase.DEAD and end.link.deadline() is None
    assert end.link.outputs() == []
    assert end.hear(frame.LCP, 9, 1, bytes(4)) == []


def test_lcp_is_handed_over_before_the_user_has_answered() -> None:
    end = lac(auth=True, auth_methods=("pap",))
    assert end.link.hand_over(end.now) is None
    end.open_lcp()
    record = end.link.hand_over(end.now)
    assert record is not None and record.authen_type is None and record.last_sent_confreq == b"\x03\x04\xc0\x23"


def test_an_access_concentrator_lets_nobody_in_and_brings_nothing_up() -> None:
    end = lac(auth=True, auth_methods=("pap",), local_ip="10.0.0.1")
    end.open_lcp()
    end.hear(frame.PAP, 1, 7, b"\x01u\x01p")
    with pytest.raises(ValueError, match="hand_over"):
        end.link.authenticated(Grant(), end.now)
    assert end.call("refused", "not you")[0] == (frame.PAP, 3, 7, b"\x07not you")
    end = lac()
    end.open_lcp()
    assert end.link.phase is Phase.AUTHENTICATE
    assert end.wait(300.0) == []


def test_a_user_who_gives_no_answer_is_not_waited_for_for_ever() -> None:
    end = lac(auth=True, auth_methods=("chap",), auth_deadline=20.0)
    end.open_lcp()
    end.wait(60.0)
    assert isinstance(end.down, LinkDown) and end.down.cause == "Authentication Failed"


def test_only_a_link_for_it_is_handed_over_and_it_proves_nothing_to_the_peer() -> None:
    with pytest.raises(ValueError, match="access"):
        End().link.hand_over(0.0)
    with pytest.raises(ValueError, match="access"):
        Link(LinkSettings(access=True, user="me"), random_source())


def test_options_that_the_peer_may_not_have_are_rejected() -> None:
    end = lac(refuse=("mru", "asyncmap"), accomp=True)
    said = end.hear(frame.LCP, 1, 1, b"\x01\x04\x05\x00\x02\x06\0\0\0\0\x08\x02")
    assert said == [(frame.LCP, 4, 1, b"\x01\x04\x05\x00\x02\x06\0\0\0\0")]
    assert end.link.lcp.allow == ("magic", "accomp")


def test_why_lcp_is_negotiated_anew_is_said() -> None:
    settings = LinkSettings(auth=True, auth_methods=("chap",), mru=1400, proxy_mru=1500)
    good = ProxyRecord(last_sent_confreq=CHAP + MAGIC, last_received_confreq=b"\x01\x04\x05\xd4")
    assert misfit(good, settings) == ""
    for last_sent, last_received, why in (
        (None, b"", "nobody has said"),
        (CHAP[:-1], b"", "length"),
        (CHAP + CHAP, b"", "twice"),
        (CHAP + b"\x11\x04\x05\xdc", b"", "option 17"),
        (CHAP, b"\x13\x03\x01", "option 19"),
        (CHAP, b"\x01\x03\x05", "wrong length"),
        (CHAP, b"\x01\x04\x00\x10", "too small"),
        (CHAP + MAGIC, MAGIC, "same magic"),
        (CHAP, CHAP, "not ours to give"),
        (b"\x03\x04\xc0\x23", b"", "not one of ours"),
        (b"", b"", "not asked"),
    ):
        record = ProxyRecord(last_sent_confreq=last_sent, last_received_confreq=last_received)
        assert why in misfit(record, settings), (last_sent, last_received)


def test_a_peer_that_has_asked_for_nothing_is_taken_over_though_its_avps_are_left_out() -> None:
    settings = LinkSettings(auth=True, auth_methods=("chap",))
    assert misfit(ProxyRecord(last_sent_confreq=CHAP), settings) == ""
    assert "nobody" in misfit(ProxyRecord(b"\x01\x04\x05\xd4", CHAP), settings)
    assert "nobody" in misfit(ProxyRecord(last_received_confreq=b""), settings)


def test_the_largest_mru_that_is_taken_over_may_be_more_than_is_asked_for() -> None:
    record = ProxyRecord(last_sent_confreq=b"\x01\x04\x05\xd4", last_received_confreq=b"")
    assert "larger" in misfit(record, LinkSettings(mru=1460))
    assert "larger" in misfit(record, LinkSettings(mru=1460, proxy_mru=1480))
    assert misfit(record, LinkSettings(mru=1460, proxy_mru=1492)) == ""


def test_a_lac_restricts_what_an_lns_negotiates() -> None:
    settings = LinkSettings()
    assert restricted(settings, ProxyRecord()) is settings
    assert restricted(settings, ProxyRecord(want_options=b"\x01", allow_options=b"\xff\x00")) is settings
    found = restricted(settings, for_ethernet(1492))
    assert (found.mru, found.pcomp, found.accomp, found.refuse) == (1492, False, False, ("accomp", "asyncmap", "pcomp"))
    assert restricted(LinkSettings(mru=1400), for_ethernet(1492)).mru == 1400
    assert restricted(settings, ProxyRecord(want_options=b"\x02\x06\0\x0a\0\0")).asyncmap == 0x000A0000


def test_a_link_keeps_over_a_restart_that_it_was_proxied() -> None:
    settings = LinkSettings(local_ip="10.0.0.1", peer_ip="10.0.0.2")
    link = Link(settings, random_source())
    link.open(5.0, ProxyRecord(last_sent_confreq=MAGIC, last_received_confreq=b"\x08\x02"))
    assert link.phase is Phase.NETWORK and link.proxied == (True, False)
    link.outputs()
    again = Link.from_record(link.to_record(6.0), settings, random_source(2), 6.0)
    assert again.proxied == (True, False)
    again.receive(b"\xff\x03\xc0\x21" + frame.packet(9, 1, bytes(4)), 7.0)
    assert packets(again.outputs()) == [(frame.LCP, 10, 1, MAGIC[2:])]


def test_the_peer_is_tried_as_often_as_ever_after_a_proxied_lcp() -> None:
    link = Link(LinkSettings(ipv6=False, max_configure=4), random_source())
    link.open(0.0, ProxyRecord(last_sent_confreq=b"", last_received_confreq=b""))
    link.outputs()
    link.receive(b"\xff\x03\xc0\x21" + frame.packet(1, 9), 1.0)
    sent = packets(link.outputs())
    while (when := link.deadline()) is not None:
        link.timeout(when)
        sent += packets(link.outputs())
    assert len([packet for packet in sent if packet[:2] == (frame.LCP, 1)]) == 4
