"""Calls of an access concentrator to foreign LNSs with all that it knows of the subscriber: l2tpns and xl2tpd pass over
what they do not use, and tshark reads the messages as they were meant.

Neither trusts what the LAC has negotiated: l2tpns starts LCP anew. xl2tpd takes the vendor's AVPs of the access line
for others of the same number and ends the tunnel, so that it is not told of the line.
"""

from __future__ import annotations

from hashlib import md5
from typing import Any

import pytest

from prol2tp.l2tp import compose
from prol2tp.l2tp.header import write_control
from prol2tp.l2tp.messages import CSUN, CSURQ, ConnectSpeed, encode
from prol2tp.l2tp.settings import AccessLine, SessionSettings
from tests.concentrator import Concentrator
from tests.daemons import Suite
from tests.interop.conftest import BAD, LNS
from tests.interop.test_l2tpns import foreign_lns
from tests.interop.test_tshark_l2tp import capture, dissect
from tests.netns import World, wait_until
from tests.peers import Xl2tpd

pytestmark = [pytest.mark.root, pytest.mark.interop("l2tpns", "freeradius", "xl2tpd", "tshark")]

LAC = 'system { hostname "lac"; log_level info }\n'
CHAP, PAP, NOTHING = 2, 3, 4
LCP_OF_LAC = {CHAP: "010405d40305c223050506a1b2c3d4", PAP: "010405d40304c0230506a1b2c3d4", NOTHING: "0506a1b2c3d4"}
LINE = {"circuit_id": b"dslam eth 1/2:35".hex(), "remote_id": b"cpe-17".hex(),
        "numbers": {"129": 1_000_000, "130": 16_000_000, "142": 8}, "encapsulation": "010000"}


def proxy(method: int, name: str, password: str) -> dict[str, Any]:
    """What our side has negotiated with the user, who has answered."""
    record: dict[str, Any] = {"initial_received_confreq": "010405d405061a2b3c4d",
                              "last_received_confreq": "010405d405061a2b3c4d",
                              "last_sent_confreq": LCP_OF_LAC[method], "authen_type": method}
    if method == NOTHING:
        return record
    record |= {"authen_name": name.encode().hex(), "authen_id": 5, "authen_response": password.encode().hex()}
    if method == CHAP:
        challenge = bytes(range(16))
        record["authen_challenge"] = challenge.hex()
        record["authen_response"] = md5(bytes((5,)) + password.encode() + challenge).hexdigest()
    return record


def row(id: str, secret: str = "s3cret", hide: bool = False, line: bool = True, **more: Any) -> dict[str, Any]:
    parameters = {"peer": LNS, "hide_avps": "true" if hide else "false", "idle_timeout": "1"}
    if secret:
        parameters["secret"] = secret
    session = {"calling_number": "02:00:00:00:00:01", "called_number": "internet", "connect_speed": "16000000:1000000",
               "access_line": "true" if line else "false"}
    return {"id": id, "tunnel": {"key": "lns", "parameters": parameters}, "session": {"parameters": session},
            "line": LINE, "lcp_want": "010405d4", "lcp_allow": "0206ffffffff", **more}


@pytest.mark.parametrize("hide", [False, True], ids=["clear", "hidden"])
def test_l2tpns_takes_calls_with_all_that_our_lac_says_and_starts_lcp(world: World, hide: bool) -> None:
    peer = foreign_lns(world, 1)
    lac = Suite(world.namespaces["lac"], LAC)
    with Concentrator(lac) as concentrator:
        methods = {"chap": CHAP, "pap": PAP, "none": NOTHING}
        rows = [row(name, hide=hide, proxy=proxy(method, "u1@example.com", "pw1")) for name, method in methods.items()]
        assert concentrator.open(*rows) == [None] * 3
        for name in methods:
            assert concentrator.wait(name, "up")["peer"].startswith(LNS)
        (tunnel,) = lac.tunnels()
        assert (tunnel["sessions"], tunnel["origin"], tunnel["name"]) == (3, "proacd", "lns")
        wait_until(lambda: peer.log_text().count("LCP: send ConfigReq") >= 3, 15, "LCP of l2tpns")
        assert peer.log_text().count("Received ICCN") == 3 and "Mandatory" not in peer.log_text()
        concentrator.end(*methods)
        lac.wait_gone()


@pytest.mark.parametrize("secret", ["", "s3cret"], ids=["open", "secret"])
def test_xl2tpd_minds_nothing_but_the_line(world: World, secret: str) -> None:
    Xl2tpd(world.namespaces["lns"], LNS, secret=secret, challenge=bool(secret))
    lac = Suite(world.namespaces["lac"], LAC)
    with Concentrator(lac) as concentrator:
        ids = [f"{number}.1" for number in range(10)]
        rows = [row(id, secret, line=False, proxy=proxy(CHAP, "u", "p")) for id in ids]
        assert concentrator.open(*rows) == [None] * 10
        for id in ids:
            concentrator.wait(id, "up", 30)
        assert len(lac.established()) == 10
        concentrator.end(*ids)
        lac.wait_gone()


def test_tshark_reads_what_a_lac_says_of_its_subscriber_as_it_was_meant(tmp_path: Any) -> None:
    settings = SessionSettings(
        speed_updates=True, initial_received_lcp_confreq=b"\x01\x04\x05\xdc", proxy_authen_type=3,
        last_sent_lcp_confreq=b"\x03\x04\xc0\x23", last_received_lcp_confreq=b"\x01\x04\x05\xdc",
        proxy_authen_name=b"u1@example.com", proxy_authen_response=b"secret", proxy_authen_id=5,
        proxy_authen_challenge=bytes(16), lcp_want_options=b"\x01\x04\x05\xd4",
        lcp_allow_options=b"\x02\x06\xff\xff\xff\xff", private_group_id=b"vpn1",
        line=AccessLine(b"eth 1/2", b"cpe", *range(1_000_001, 1_000_015), b"\x01\x02\x03", 1))
    speeds = (ConnectSpeed(42, 10_000_000, 1_000_000), ConnectSpeed(43, 1, 2))
    path = tmp_path / "subscriber.pcap"
    bodies = [encode(compose.icrq(settings, 7, 1)), encode(compose.iccn(settings)), encode(CSUN(speeds)),
              encode(CSURQ(speeds))]
    capture(path, [write_control(5, 6, number, 2, body) for number, body in enumerate(bodies)])
    assert dissect(path, "frame.number", "_ws.expert.message", only=BAD) == []
    icrq, iccn, csun, csurq = dissect(
        path, "l2tp.avp.message_type", "l2tp.broadband.agent_circuit_id", "l2tp.broadband.actual_dr_up",
        "l2tp.broadband.minimum_dr_down_low_power", "l2tp.broadband.actual_interleaving_delay_down",
        "l2tp.broadband.access_loop_encapsulation.enc2", "l2tp.broadband.iwf_session",
        "l2tp.avp.proxy_authen_name", "l2tp.avp.csu.remote_session_id", "l2tp.avp.csu.current_tx_speed")
    assert icrq[:5] == ["10", "eth 1/2", "1000001", "1000010", "1000014"]
    assert (int(icrq[5], 0), int(icrq[6], 0)) == (3, 1)
    assert iccn[0] == "12" and iccn[7] == "u1@example.com"
    assert (csun[0], csun[8], csun[9]) == ("28", "42,43", "10000000,1") and csurq[0] == "29"
