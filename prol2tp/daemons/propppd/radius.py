"""RADIUS as a source of users: from a link's question to an Access-Request, from its answer to a grant."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from twisted.internet.defer import Deferred, fail
from zope.interface import implementer

from prol2tp.aaa.records import run_name
from prol2tp.daemons.logs import Level
from prol2tp.daemons.propppd.aaa import Denied, EapRequest, IAuthentication, NotMine, Question, Unanswered
from prol2tp.daemons.propppd.authorization import FROM_A_POOL, is_netmask, of_answer
from prol2tp.daemons.propppd.carriers import L2TPSession, PPPoEAccess, PPPoESession, TtyLine
from prol2tp.ppp import mppe
from prol2tp.ppp.mschap import AUTHENTICATION_FAILURE
from prol2tp.ppp.settings import Grant
from prol2tp.radius import avpairs, rates
from prol2tp.radius.access import AccessRequest
from prol2tp.radius.answer import Answer
from prol2tp.radius.attributes import (
    ASYNC,
    FRAMED,
    IPV4,
    IPV6,
    PPP,
    PPPOE_OVER_ETHERNET,
    PPPOE_OVER_QINQ,
    PPPOE_OVER_VLAN,
    Nas,
    Port,
    TunnelFacts,
)
from prol2tp.radius.outputs import Accepted, Challenged, NoAnswer, Rejected

METHODS = ("pap", "chap", "mschapv1", "mschapv2", "eap")
_EAP_REQUEST, _EAP_SUCCESS = 1, 3
"""Codes of EAP packets (RFC 3748 section 4)."""
_SUCCESS = re.compile(r"S=[0-9A-Fa-f]{40}")
"""What MS-CHAP2-Success begins with (RFC 2548 section 2.3.3)."""
_SMALLEST_MTU = 128
MOST_IGNORED = 10
"""Attributes in one line of the log."""
_ENCRYPTION_REQUIRED = 2
"""MS-MPPE-Encryption-Policy (RFC 2548 section 2.4.4)."""
_STRENGTHS = ((0x4, 128), (0x8, 56), (0x2, 40))
_NT_KEY_AT, _NT_KEY_END = 8, 24
"""Of MS-CHAP-MPPE-Keys: LM-Key(8) NT-Key(16), then zeros (RFC 2548 section 2.4.1)."""
_THIS_NETWORK = IPv4Network("0.0.0.0/8")
_MSCHAP_ERROR = re.compile(r"E=(\d{1,10})(?: R=(\d))?(?: C=[0-9A-Fa-f]*)?(?: V=\d{1,10})?(?: M=(.*))?", re.DOTALL)


@implementer(IAuthentication)
class RadiusUsers:
    """The users of profiles with `use_radius`.

    :param port: a `net.radius.RadiusPort`.
    :param wall: the time of day in seconds since 1970.
    :param random_bytes: for the name of this run.
    """

    def __init__(self, port: Any, wall: Callable[[], float],
                 random_bytes: Callable[[int], bytes] = os.urandom) -> None:
        self._port = port
        self.run = run_name(wall, random_bytes)
        """What Acct-Session-Ids begin with: no other run of the daemon has it."""

    @property
    def nas(self) -> Nas:
        """Who we are, in every request."""
        return self._port.core.nas  # type: ignore[no-any-return]

    def session_id(self, link: Any, login: bool = False) -> str:
        """Acct-Session-Id (RFC 2866 section 5.5) of the session on the link, or of the `login` that is under way: after
        a session that was online it begins another one."""
        session = link.accounting
        number = 0 if session is None else session.following if login else session.number
        return f"{self.run}{link.serial:08x}{f'-{number}' if number else ''}"

    def authenticate(self, question: Question) -> Deferred[Grant | EapRequest]:
        link = question.link
        if not link.profile.use_radius:
            raise NotMine
        if question.method not in METHODS:
            return fail(Denied(reason=f"RADIUS is not asked by {question.method}"))
        link.radius = f"AUTH_{question.method.upper()}_REQ"
        # the server of the Challenge before has the other half of the exchange
        before = question.before.server if question.before is not None else ""
        asked: Deferred[Any] = self._port.request(self._request(question), before)
        return asked.addCallback(_verdict, question)

    def _request(self, question: Question) -> AccessRequest:
        link, before = question.link, question.before
        port, name = port_of(link), question.name or question.user.encode()
        if question.method == "eap":
            name = name or port.calling_station_id.encode()  # RFC 3579 section 2.1
        return AccessRequest(
            name, question.method, question.identifier,  # type: ignore[arg-type]
            question.password, question.challenge, question.response, question.peer_challenge, question.flags,
            question.eap, before.state if before is not None else b"",
            acct_session_id=self.session_id(link, not question.renewal), nas=self.nas, port=port,
            framed_mtu=link.mtu,
        )


def port_of(link: Any) -> Port:
    """The link as servers see it: its number, and what carries it."""
    port = _PORTS[type(link.carrier)](link.carrier)
    port.nas_port = link.number & 0xFFFFFFFF
    return port


def _l2tp_port(carrier: L2TPSession) -> Port:
    return Port(nas_port_id=f"l2tp {carrier.tunnel_id}/{carrier.session_id}", calling_station_id=carrier.calling_number,
                called_station_id=carrier.called_number, connect_info=_connect_info(carrier),
                tunnel=tunnel_of(carrier), line=carrier.line)


def _connect_info(carrier: L2TPSession) -> str:
    """Connect-Info (RFC 2869 section 5.11): the speeds in bit/s, towards the subscriber first."""
    transmit, receive = carrier.tx_connect_speed, carrier.rx_connect_speed
    return f"{transmit}/{receive}" if transmit and receive not in (0, transmit) else str(transmit or receive or "")


def _pppoe_port(carrier: PPPoESession) -> Port:
    vlan = f".{carrier.vlan}" if carrier.vlan else ""
    return Port(nas_port_type=PPPOE_OVER_VLAN if carrier.vlan else PPPOE_OVER_ETHERNET,
                nas_port_id=f"pppoe {carrier.interface}{vlan}:{carrier.session_id}", calling_station_id=carrier.peer,
                called_station_id=carrier.service_name)


def _access_port(carrier: PPPoEAccess) -> Port:
    vlans = "".join(f".{vid}" for vid in carrier.vlans)
    kinds = (PPPOE_OVER_ETHERNET, PPPOE_OVER_VLAN, PPPOE_OVER_QINQ)
    return Port(nas_port_type=kinds[len(carrier.vlans)],
                nas_port_id=f"pppoe {carrier.interface}{vlans}:{carrier.session_id}",
                calling_station_id=carrier.calling_number or carrier.peer_mac,
                called_station_id=carrier.called_number or carrier.service_name, line=carrier.line)


def _tty_port(carrier: TtyLine) -> Port:
    return Port(nas_port_type=ASYNC, nas_port_id=carrier.device,
                connect_info=str(carrier.speed) if carrier.speed else "")


_PORTS: dict[type, Callable[[Any], Port]] = {
    L2TPSession: _l2tp_port, PPPoESession: _pppoe_port, PPPoEAccess: _access_port, TtyLine: _tty_port,
}


def tunnel_of(carrier: L2TPSession) -> TunnelFacts:
    """The tunnel (RFC 2868): the LAC is the client, the LNS the server."""
    ends = ((carrier.local_address, carrier.host_name), (carrier.peer_address, carrier.peer_host_name))
    server, client = ends if carrier.lns else ends[::-1]
    # RFC 2867 section 4.1 wants it unique for the tunnel and its two ends
    connection = str(carrier.call_serial_number) if carrier.call_serial_number else ""
    return TunnelFacts(medium=IPV6 if ":" in server[0] else IPV4, client_endpoint=client[0],
                       server_endpoint=server[0], connection=connection, assignment_id=carrier.tunnel_name,
                       client_auth_id=client[1], server_auth_id=server[1])


def _verdict(result: Any, question: Question) -> Grant | EapRequest:
    """What the client's result means for the link. Raises `Denied`."""
    status = f"AUTH_{question.method.upper()}_"
    question.link.radius = status + "NAK"
    if isinstance(result, NoAnswer):
        question.link.radius = status + "TIMEOUT"
        raise Unanswered(reason=f"no answer from RADIUS: {result.reason}")
    if isinstance(result, Rejected):
        raise _rejection(result)
    if not isinstance(result, Accepted):
        return _challenge(result, question)
    grant = grant_of(result.answer, question, result.server)
    _tell_ignored(question.link, result.answer, result.server)
    question.link.radius = status + "ACK"
    return grant


def _tell_ignored(link: Any, answer: Answer, server: str) -> None:
    """What an Access-Accept says in vain: an operator who looks why a user has no route looks here."""
    said = list(answer.ignored)
    if answer.framed_ip_netmask and not is_netmask(answer.framed_ip_netmask):
        said.append(f"Framed-IP-Netmask {answer.framed_ip_netmask}")
    if answer.avpairs:
        said += avpairs.read(pair for pair in answer.avpairs if not rates.is_interface_config(pair)).ignored
    if said:
        link.say(Level.INFO, "RADIUS server {server} says what means nothing here: {what}", server=server,
                 what=", ".join(text[:80] for text in said[:MOST_IGNORED]))


def _challenge(result: Challenged, question: Question) -> EapRequest:
    answer, packet = result.answer, result.answer.eap_message
    if question.method != "eap" or packet[:1] != bytes((_EAP_REQUEST,)):
        # RFC 2865 section 4.4: who cannot ask the user again takes it for a Reject
        raise Denied(reason=f"RADIUS server {result.server} wants to ask once more")
    question.link.radius = "AUTH_EAP_CHALLENGE"
    # RFC 3579 section 2.3: Session-Timeout is for the retransmission of this Request
    return EapRequest(packet, result.server, answer.state, answer.session_timeout or None)


def _rejection(result: Rejected) -> Denied:
    message = result.answer.reply_message
    error, retry = AUTHENTICATION_FAILURE, False
    if found := _MSCHAP_ERROR.match(result.answer.mschap_error):
        error, retry = int(found[1]), found[2] == "1"
        message = message or found[3] or ""
    message = message or "Authentication failed"
    reason = f"rejected by RADIUS server {result.server}" if result.server else "not asked of RADIUS"
    return Denied(message, f"{reason}: {result.reason}" if result.reason else reason, error, retry)


def may_have(address: str) -> bool:
    """Whether it is the address of a host."""
    value = IPv4Address(address)
    return not (value.is_multicast or value.is_loopback or value.is_reserved or value in _THIS_NETWORK)


def grant_of(answer: Answer, question: Question, server: str) -> Grant:
    """What an Access-Accept gives. Raises `Denied` for what cannot be served here, which is a Reject (RFC 2865
    section 5.6)."""
    if answer.service_type not in (None, FRAMED) or answer.framed_protocol not in (None, PPP):
        raise Denied(reason=f"RADIUS server {server} accepts the user for another service than PPP")
    proof = _SUCCESS.match(answer.mschap2_success)
    if question.method == "mschapv2" and not proof:
        raise Denied(reason=f"RADIUS server {server} does not prove that it knows the password")
    if answer.eap_message and answer.eap_message[0] != _EAP_SUCCESS:
        # RFC 3579 section 2.6.3: the peer would believe the packet, we the answer around it
        raise Denied(reason=f"RADIUS server {server} accepts the user without an EAP Success")
    send_key, receive_key = _keys(answer, question)
    address = answer.framed_ip_address
    if address not in FROM_A_POOL and not may_have(address):
        raise Denied(reason=f"RADIUS server {server} gives the user {address}, which no host can have")
    mtu = answer.framed_mtu or 0
    authorization = of_answer(answer, server)
    if not answer.user_name and question.name != question.user.encode():
        authorization.user_name = question.name
    return Grant(
        user=answer.user_name or question.user,
        peer_ip=None if address in FROM_A_POOL else address,
        dns=(answer.dns or avpairs.read(answer.avpairs).dns)[:2] or None,
        nbns=answer.nbns[:2] or None,
        peer_interface_id=answer.framed_interface_id or None,
        idle_timeout=answer.idle_timeout,
        session_timeout=answer.session_timeout,
        mtu=mtu if mtu >= _SMALLEST_MTU else None,
        message=answer.reply_message,
        authenticator_response=proof[0] if proof else "",
        mppe_send_key=send_key,
        mppe_receive_key=receive_key,
        mppe_required=answer.mppe_policy == _ENCRYPTION_REQUIRED,
        mppe_strengths=_strengths(answer),
        authorization=authorization,
    )


def _keys(answer: Answer, question: Question) -> tuple[bytes, bytes]:
    """MPPE start keys: to the user, and from him. MS-CHAPv1 has one for both, made of what the server gives."""
    if question.method == "mschapv1" and len(answer.mschap_mppe_keys) >= _NT_KEY_END:
        nt_key = answer.mschap_mppe_keys[_NT_KEY_AT:_NT_KEY_END]
        key = mppe.start_key_v1_of_server(nt_key, question.challenge) if any(nt_key) else b""
        return key, key
    return answer.mppe_send_key, answer.mppe_recv_key


def _strengths(answer: Answer) -> tuple[int, ...] | None:
    """MS-MPPE-Encryption-Types (RFC 2548 section 2.4.5) in bits of the keys."""
    types = answer.mppe_types
    if types is None:
        return None
    return tuple(bits for bit, bits in _STRENGTHS if types & bit)
