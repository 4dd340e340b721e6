"""FreeRADIUS 3.2 as the server of our RADIUS client: it checks our credentials and records, we read its answers."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from Cryptodome.Cipher import DES
from Cryptodome.Hash import MD4
from pytest_twisted import ensureDeferred
from twisted.internet import reactor
from twisted.internet.task import deferLater

from prol2tp.net.radius import DynamicAuthorizationPort, RadiusPort
from prol2tp.radius.access import AccessRequest
from prol2tp.radius.accounting import AccountingRequest
from prol2tp.radius.attributes import Addresses, Nas, Port, TunnelFacts
from prol2tp.radius.client import RadiusClient
from prol2tp.radius.dynauth import SESSION_CONTEXT_NOT_FOUND, DynamicAuthorization, DynamicClient
from prol2tp.radius.outputs import (
    Accepted,
    AccountingAcknowledged,
    Asked,
    Challenged,
    NoAnswer,
    Rejected,
    ServerAlive,
    ServerDead,
)
from prol2tp.radius.servers import ServerSettings
from prol2tp.radius.values import Route
from tests.netns import World
from tests.peers import RADIUS_SECRET, RADIUSD, SIGNED, FreeRADIUS

pytestmark = [pytest.mark.root, pytest.mark.interop("freeradius", "freeradius-utils")]

CONFIGURATION = (
    RADIUSD.replace("    chap {{ }}\n", "    chap {{ }}\n    mschap {{\n        use_mppe = yes\n    }}\n"
                    "    eap {{\n        default_eap_type = md5\n        timer_expire = 60\n"
                    "        max_sessions = 100\n        md5 {{\n        }}\n    }}\n")
    .replace("        chap\n        files\n", "        chap\n        mschap\n        eap\n        files\n")
    .replace("    authenticate {{\n", "    authenticate {{\n        Auth-Type MS-CHAP {{\n            mschap\n"
             "        }}\n        eap\n")
    .replace("    preacct {{", SIGNED + "    preacct {{")
)  # fmt: skip
USERS = """\
u1 Cleartext-Password := "pw1"
    Framed-IP-Address = 10.1.2.3,
    Framed-IP-Netmask = 255.255.255.255,
    Framed-Route = "10.9.0.0/24 0.0.0.0 1",
    Framed-Route += "10.8.0.0/24 10.1.2.4",
    Filter-Id = "gold",
    Session-Timeout = 3600,
    Idle-Timeout = 600,
    Acct-Interim-Interval = 60,
    Port-Limit = 1,
    Class = 0x3078313233,
    Framed-Pool = "four",
    Framed-IPv6-Pool = "six",
    Framed-IPv6-Prefix = 2001:db8:1::/64,
    Delegated-IPv6-Prefix = 2001:db8:2::/56,
    Framed-IPv6-Address = 2001:db8::9,
    Framed-Interface-Id = 0001:0002:0003:0004,
    Framed-IPv6-Route = "2001:db8:9::/48 :: 1",
    MS-Primary-DNS-Server = 10.0.0.53,
    MS-Secondary-DNS-Server = 10.0.0.54,
    WISPr-Bandwidth-Max-Down = 1000000,
    Reply-Message = "hello"

lac Cleartext-Password := "cisco"
    Tunnel-Type:1 = L2TP,
    Tunnel-Medium-Type:1 = IPv4,
    Tunnel-Server-Endpoint:1 = "192.0.2.1",
    Tunnel-Password:1 = "the first secret, a long one",
    Tunnel-Assignment-Id:1 = "isp",
    Tunnel-Preference:1 = 20,
    Tunnel-Type:2 = L2TP,
    Tunnel-Medium-Type:2 = IPv4,
    Tunnel-Server-Endpoint:2 = "192.0.2.2",
    Tunnel-Password:2 = "second",
    Tunnel-Client-Auth-Id:2 = "lac",
    Tunnel-Preference:2 = 10

suspended Auth-Type := Reject
    Reply-Message = "Account suspended"
"""
NAS = Nas("127.0.0.1", "", "lns")
PORT = Port(nas_port=5, nas_port_id="l2tp 1/2", calling_station_id="0123", called_station_id="0800",
            tunnel=TunnelFacts(client_endpoint="192.0.2.9", server_endpoint="192.0.2.1", connection="77"))  # fmt: skip


@pytest.fixture
def world() -> Iterator[World]:
    with World() as made:
        made.namespace("aaa")
        yield made


def start(world: World, configuration: str = CONFIGURATION, **changes: Any) -> tuple[FreeRADIUS, RadiusPort, list]:
    host = world.namespaces["aaa"]
    peer = FreeRADIUS(host, USERS, configuration=configuration)
    return (peer, *client(world, **changes))


def client(world: World, **changes: Any) -> tuple[RadiusPort, list]:
    changed: list[ServerDead | ServerAlive] = []
    core = RadiusClient([ServerSettings("r1", "127.0.0.1", RADIUS_SECRET.encode(), **changes)], os.urandom, nas=NAS)
    make = world.namespaces["aaa"].socket
    return RadiusPort(reactor, core, make, changed.append), changed  # type: ignore[arg-type]


def pap(user: bytes = b"u1", password: bytes = b"pw1") -> AccessRequest:
    return AccessRequest(user, "pap", password=password, nas=NAS, port=PORT, acct_session_id="s1")


async def until(predicate: Callable[[], Any], seconds: float = 20) -> Any:
    for _ in range(int(seconds * 50)):
        if found := predicate():
            return found
        await deferLater(reactor, 0.02, lambda: None)  # type: ignore[arg-type]
    raise AssertionError("it did not come")


@ensureDeferred
async def test_pap_is_accepted_with_all_that_the_user_has(world: World) -> None:
    _, port, _ = start(world)
    try:
        result = await port.request(pap())
        assert isinstance(result, Accepted), result
        answer = result.answer
        assert (answer.framed_ip_address, answer.framed_ip_netmask) == ("10.1.2.3", "255.255.255.255")
        assert answer.framed_routes == (Route("10.9.0.0/24", "", 1), Route("10.8.0.0/24", "10.1.2.4", None))
        assert answer.framed_ipv6_routes == (Route("2001:db8:9::/48", "", 1),)
        assert (answer.filter_ids, answer.classes) == (("gold",), (b"0x123",))
        assert (answer.session_timeout, answer.idle_timeout, answer.acct_interim_interval) == (3600, 600, 60)
        assert (answer.port_limit, answer.framed_pool, answer.framed_ipv6_pool) == (1, "four", "six")
        assert answer.framed_ipv6_prefixes == ("2001:db8:1::/64",)
        assert answer.delegated_ipv6_prefixes == ("2001:db8:2::/56",)
        assert answer.framed_ipv6_addresses == ("2001:db8::9",)
        assert answer.framed_interface_id == 0x0001000200030004
        assert (answer.dns, answer.rate_down, answer.reply_message) == (("10.0.0.53", "10.0.0.54"), 1000000, "hello")
        assert answer.ignored == ()
        assert port.core.counters.retransmits == 0
    finally:
        port.stop()


@ensureDeferred
async def test_chap_is_accepted_and_a_wrong_response_rejected(world: World) -> None:
    _, port, _ = start(world)
    try:
        for secret, kind in ((b"pw1", Accepted), (b"wrong", Rejected)):
            response = hashlib.md5(b"\x07" + secret + b"c" * 20).digest()
            question = AccessRequest(b"u1", "chap", 7, challenge=b"c" * 20, response=response, nas=NAS)
            assert type(await port.request(question)) is kind
    finally:
        port.stop()


def spread_keys(password: str) -> list[bytes]:
    """The NT hash of a password as three DES keys, parity bits between (RFC 2759 section 8.5)."""
    key = MD4.new(password.encode("utf-16-le")).digest().ljust(21, b"\0")
    parts = (int.from_bytes(key[at : at + 7], "big") for at in (0, 7, 14))
    return [bytes((part >> (49 - 7 * n) & 0x7F) << 1 for n in range(8)) for part in parts]


def nt_response(user: bytes, password: str, challenge: bytes, peer_challenge: bytes) -> bytes:
    """RFC 2759 section 8.1."""
    hashed = hashlib.sha1(peer_challenge + challenge + user).digest()[:8]
    return b"".join(DES.new(one, DES.MODE_ECB).encrypt(hashed) for one in spread_keys(password))


@ensureDeferred
async def test_mschapv2_brings_success_text_and_mppe_keys_and_a_wrong_one_its_error(world: World) -> None:
    _, port, _ = start(world)
    try:
        for password, kind in (("pw1", Accepted), ("wrong", Rejected)):
            challenge, ours = os.urandom(16), os.urandom(16)
            response = nt_response(b"u1", password, challenge, ours)
            question = AccessRequest(
                b"u1", "mschapv2", 9, challenge=challenge, peer_challenge=ours, response=response, nas=NAS
            )
            result = await port.request(question)
            assert type(result) is kind
            if isinstance(result, Accepted):
                assert re.fullmatch("S=[0-9A-F]{40}", result.answer.mschap2_success)
                assert len(result.answer.mppe_send_key) == len(result.answer.mppe_recv_key) == 16
                assert result.answer.mppe_send_key != result.answer.mppe_recv_key
            elif isinstance(result, Rejected):
                assert result.answer.mschap_error.startswith("E=691 ")
    finally:
        port.stop()


@ensureDeferred
async def test_mschapv1_is_accepted_by_its_nt_response(world: World) -> None:
    _, port, _ = start(world)
    try:
        for password, kind in (("pw1", Accepted), ("wrong", Rejected)):
            challenge = os.urandom(8)
            response = b"".join(DES.new(one, DES.MODE_ECB).encrypt(challenge) for one in spread_keys(password))
            question = AccessRequest(b"u1", "mschapv1", 9, challenge=challenge, response=response, flags=1, nas=NAS)
            result = await port.request(question)
            assert type(result) is kind
            if isinstance(result, Accepted):
                nt_key = MD4.new(MD4.new(password.encode("utf-16-le")).digest()).digest()
                assert result.answer.mschap_mppe_keys[8:24] == nt_key
    finally:
        port.stop()


@ensureDeferred
async def test_eap_md5_passes_through(world: World) -> None:
    _, port, _ = start(world)
    try:
        identity = b"\x02\x01\x00\x07\x01u1"
        result = await port.request(AccessRequest(b"u1", "eap", eap_message=identity, nas=NAS, port=PORT))
        assert isinstance(result, Challenged), result
        challenge = result.answer.eap_message
        assert challenge[4] == 4
        value = challenge[6 : 6 + challenge[5]]
        digest = hashlib.md5(challenge[1:2] + b"pw1" + value).digest()
        answer = b"\x02" + challenge[1:2] + b"\x00\x16\x04\x10" + digest
        question = AccessRequest(b"u1", "eap", eap_message=answer, state=result.answer.state, nas=NAS, port=PORT)
        done = await port.request(question, prefer=result.server)
        assert isinstance(done, Accepted)
        assert done.answer.eap_message[0] == 3
    finally:
        port.stop()


@ensureDeferred
async def test_a_reject_says_why(world: World) -> None:
    _, port, _ = start(world)
    try:
        result = await port.request(pap(b"suspended"))
        assert isinstance(result, Rejected)
        assert (result.answer.reply_message, result.reason) == ("Account suspended", "")
        assert type(await port.request(pap(password=b"wrong"))) is Rejected
        assert port.core.counters.access_rejects == 2
    finally:
        port.stop()


@ensureDeferred
async def test_tunnels_come_with_their_passwords_best_first(world: World) -> None:
    _, port, _ = start(world)
    try:
        result = await port.request(pap(b"lac", b"cisco"))
        assert isinstance(result, Accepted)
        first, second = result.answer.tunnels
        assert (first.server_endpoint, first.password, first.preference) == ("192.0.2.2", b"second", 10)
        assert (first.type, first.medium, first.client_auth_id) == (3, 1, "lac")
        assert (second.server_endpoint, second.password) == ("192.0.2.1", b"the first secret, a long one")
        assert second.assignment_id == "isp"
    finally:
        port.stop()


def details(path: Path) -> list[dict[str, str]]:
    """The records of a detail file; a later attribute of one name wins."""
    if not path.exists():
        return []
    blocks = [block for block in path.read_text().split("\n\n") if block.strip()]
    rows = (re.findall(r"^\t(\S+) = \"?([^\"\n]*)\"?$", block, re.M) for block in blocks)
    return [dict(row) for row in rows]


@ensureDeferred
async def test_accounting_arrives_in_the_detail_file_with_its_counts(world: World) -> None:
    peer, port, _ = start(world)
    try:
        common: dict[str, Any] = {"user": "u1", "nas": NAS, "port": PORT, "classes": (b"0x123",),
                                  "addresses": Addresses("10.1.2.3", delegated_ipv6_prefixes=("2001:db8:2::/56",))}
        for record in (
            AccountingRequest("Accounting-On", "boot", 1_700_000_000, nas=NAS),
            AccountingRequest("Start", "s1", 1_700_000_001, **common),
            AccountingRequest("Interim-Update", "s1", 1_700_000_060, session_time=60, input_octets=1000, **common),
            AccountingRequest("Stop", "s1", 1_700_000_100, session_time=100, input_octets=(3 << 32) + 5,
                              output_octets=7, input_packets=8, output_packets=9, terminate_cause="Idle Timeout",
                              delay=12.5, **common),
        ):
            assert isinstance(await port.request(record), AccountingAcknowledged)
        on, begin, interim, end = details(peer.detail)
        assert on["Acct-Status-Type"] == "Accounting-On"
        assert (begin["Acct-Status-Type"], begin["Acct-Session-Id"], begin["User-Name"]) == ("Start", "s1", "u1")
        assert (begin["Acct-Delay-Time"], begin["Class"]) == ("0", "0x3078313233")
        assert (begin["Tunnel-Client-Endpoint:0"], begin["Acct-Tunnel-Connection"]) == ("192.0.2.9", "77")
        assert (interim["Acct-Status-Type"], interim["Acct-Input-Octets"]) == ("Interim-Update", "1000")
        expected = {
            "Acct-Status-Type": "Stop", "Acct-Session-Time": "100", "Acct-Input-Octets": "5",
            "Acct-Input-Gigawords": "3", "Acct-Output-Octets": "7", "Acct-Input-Packets": "8",
            "Acct-Output-Packets": "9", "Acct-Terminate-Cause": "Idle-Timeout", "Acct-Delay-Time": "12",
            "NAS-Identifier": "lns", "NAS-Port-Id": "l2tp 1/2", "Framed-IP-Address": "10.1.2.3",
            "Delegated-IPv6-Prefix": "2001:db8:2::/56",
        }  # fmt: skip
        assert {name: end.get(name) for name in expected} == expected
        counters = port.core.counters
        assert (counters.accounting_starts, counters.accounting_updates, counters.accounting_stops) == (1, 1, 1)
        assert counters.accounting_responses == 4
    finally:
        port.stop()


@ensureDeferred
async def test_a_server_that_comes_back_is_found_by_status_server(world: World) -> None:
    port, changed = client(world, timeout=0.2, probe_interval=0.3)
    try:
        waiting = [port.request(pap()), port.request(AccountingRequest("Start", "s1", 1, nas=NAS))]
        await until(lambda: len(changed) == 2)
        FreeRADIUS(world.namespaces["aaa"], USERS, configuration=CONFIGURATION)
        results = [await one for one in waiting]
        assert [type(result) for result in results] == [Accepted, AccountingAcknowledged]
        await until(lambda: len(changed) == 4)
        assert {(type(change), change.kind) for change in changed} == {
            (kind, port) for kind in (ServerDead, ServerAlive) for port in ("auth", "acct")
        }
        assert port.core.counters.status_requests > 0
    finally:
        port.stop()


@ensureDeferred
async def test_status_server_alone_revives_both_ports(world: World) -> None:
    _, port, changed = start(world, probe_interval=0.5)
    try:
        for service in list(port.core.services.values()):
            port.core._declare_dead(service, port.driver.now())
        port.carry_out()
        await until(lambda: len(changed) == 4)
        assert port.core.counters.status_answers == 2
        assert all(service.alive for service in port.core.services.values())
    finally:
        port.stop()


@ensureDeferred
async def test_unsigned_answers_are_taken_only_where_the_operator_says_so(world: World) -> None:
    unsigned = CONFIGURATION.replace(SIGNED, "")
    _, port, _ = start(world, unsigned, require_message_authenticator=False)
    strict, _ = client(world, timeout=0.1, max_timeout=0.2)
    try:
        assert isinstance(await port.request(pap()), Accepted)
        strict.core.settings.duration = 1.0
        assert isinstance(await strict.request(pap()), NoAnswer)
        assert strict.core.counters.bad_authenticator > 0
    finally:
        port.stop()
        strict.stop()


@ensureDeferred
async def test_radclient_disconnects_and_changes_sessions(world: World) -> None:
    host = world.namespaces["aaa"]
    asked: list[Asked] = []

    def answer(question: Asked) -> None:
        asked.append(question)
        if question.request.session.acct_session_id == "s1":
            port.acknowledge(question.handle)
        else:
            port.refuse(question.handle, SESSION_CONTEXT_NOT_FOUND)

    port = DynamicAuthorizationPort(
        reactor, DynamicAuthorization([DynamicClient("127.0.0.0/8", RADIUS_SECRET.encode())]),  # type: ignore[arg-type]
        lambda: 1_700_000_000.0, answer, host.socket,
    )  # fmt: skip
    assert port.listen([("127.0.0.1", 3799)]) == {}
    try:
        for kind, session, extra, reply in (
            ("disconnect", "s1", "", "Disconnect-ACK"),
            ("disconnect", "s2", ",Message-Authenticator=0x00", "Disconnect-NAK"),
            ("coa", "s1", ",Session-Timeout=60,Filter-Id=silver", "CoA-ACK"),
        ):
            query = world.file("query", f"Acct-Session-Id={session}{extra}\n")
            process = host.spawn("radclient", "-x", "-f", query, "127.0.0.1:3799", kind, RADIUS_SECRET)
            await until(lambda process=process: not process.running())  # type: ignore[misc]
            assert f"Received {reply}" in process.output, process.output
        assert "Session-Context-Not-Found" in world.report()
        assert [question.request.disconnect for question in asked] == [True, True, False]
        assert asked[2].request.changes.session_timeout == 60
        assert asked[2].request.changes.filter_ids == ("silver",)
    finally:
        port.stop()
