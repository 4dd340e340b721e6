"""RADIUS as a source of users: from a link's question to an Access-Request, from its answer to a grant."""

from __future__ import annotations

import re
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from twisted.internet.defer import Deferred, fail
from zope.interface import implementer

from prol2tp.daemons.propppd.aaa import Denied, IAuthentication, NotMine, Question
from prol2tp.daemons.propppd.authorization import FROM_A_POOL, of_answer
from prol2tp.daemons.propppd.carriers import L2TPSession
from prol2tp.ppp.mschap import AUTHENTICATION_FAILURE
from prol2tp.ppp.settings import Grant
from prol2tp.radius import avpairs
from prol2tp.radius.access import AccessRequest
from prol2tp.radius.answer import Answer
from prol2tp.radius.attributes import FRAMED, IPV4, IPV6, PPP, Nas, Port, TunnelFacts
from prol2tp.radius.outputs import Accepted, NoAnswer, Rejected

METHODS = ("pap", "chap", "mschapv1", "mschapv2")
_SMALLEST_MTU = 128
_THIS_NETWORK = IPv4Network("0.0.0.0/8")
_MSCHAP_ERROR = re.compile(r"E=(\d{1,10})(?: R=(\d))?")


@implementer(IAuthentication)
class RadiusUsers:
    """The users of profiles with `use_radius`.

    :param port: a `net.radius.RadiusPort`.
    :param wall: the time of day in seconds since 1970.
    """

    def __init__(self, port: Any, wall: Callable[[], float]) -> None:
        self._port = port
        self._start = f"{int(wall()) & 0xFFFFFFFF:08x}"

    @property
    def nas(self) -> Nas:
        """Who we are, in every request."""
        return self._port.core.nas  # type: ignore[no-any-return]

    def session_id(self, link: Any) -> str:
        """Acct-Session-Id (RFC 2866 section 5.5): not used again by a later run of the daemon."""
        return f"{self._start}{link.number:08x}"

    def authenticate(self, question: Question) -> Deferred[Grant]:
        link = question.link
        if not link.profile.use_radius:
            return fail(NotMine())
        if question.method not in METHODS:
            return fail(Denied(reason=f"RADIUS is not asked by {question.method}"))
        link.radius = f"AUTH_{question.method.upper()}_REQ"
        asked: Deferred[Any] = self._port.request(self._request(question))
        return asked.addCallback(_verdict, question)

    def _request(self, question: Question) -> AccessRequest:
        link = question.link
        return AccessRequest(
            question.name or question.user.encode(), question.method, question.identifier,  # type: ignore[arg-type]
            question.password, question.challenge, question.response, question.peer_challenge, question.flags,
            acct_session_id=self.session_id(link), nas=self.nas, port=port_of(link), framed_mtu=link.mtu,
        )


def port_of(link: Any) -> Port:
    """The link as servers see it: its number, and what carries it."""
    port = _PORTS[link.carrier.kind](link.carrier)
    port.nas_port = link.number & 0xFFFFFFFF
    return port


def _l2tp_port(carrier: L2TPSession) -> Port:
    return Port(nas_port_id=f"l2tp {carrier.id}", calling_station_id=carrier.calling_number,
                called_station_id=carrier.called_number, tunnel=tunnel_of(carrier))


_PORTS: dict[str, Callable[[Any], Port]] = {L2TPSession.kind: _l2tp_port}


def tunnel_of(carrier: L2TPSession) -> TunnelFacts:
    """The tunnel (RFC 2868): the LAC is the client, the LNS the server."""
    ends = (carrier.local_address, carrier.peer_address)
    server, client = ends if carrier.lns else ends[::-1]
    return TunnelFacts(medium=IPV6 if ":" in server else IPV4, client_endpoint=client, server_endpoint=server,
                       assignment_id=carrier.tunnel_name)


def _verdict(result: Any, question: Question) -> Grant:
    """What the client's result means for the link. Raises `Denied`."""
    status = f"AUTH_{question.method.upper()}_"
    question.link.radius = status + "NAK"
    if isinstance(result, NoAnswer):
        question.link.radius = status + "TIMEOUT"
        raise Denied(reason=f"no answer from RADIUS: {result.reason}")
    if isinstance(result, Rejected):
        raise _rejection(result)
    if not isinstance(result, Accepted):
        # RFC 2865 section 4.4: who cannot ask the user again takes it for a Reject
        raise Denied(reason=f"RADIUS server {result.server} wants to ask once more")
    grant = grant_of(result.answer, question, result.server)
    question.link.radius = status + "ACK"
    return grant


def _rejection(result: Rejected) -> Denied:
    message = result.answer.reply_message or "Authentication failed"
    error, retry = AUTHENTICATION_FAILURE, False
    if found := _MSCHAP_ERROR.match(result.answer.mschap_error):
        error, retry = int(found[1]), found[2] == "1"
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
    if question.method == "mschapv2" and not answer.mschap2_success:
        raise Denied(reason=f"RADIUS server {server} does not prove that it knows the password")
    address = answer.framed_ip_address
    if address not in FROM_A_POOL and not may_have(address):
        raise Denied(reason=f"RADIUS server {server} gives the user {address}, which no host can have")
    mtu = answer.framed_mtu or 0
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
        authenticator_response=answer.mschap2_success,
        mppe_send_key=answer.mppe_send_key,
        mppe_receive_key=answer.mppe_recv_key,
        authorization=of_answer(answer, server),
    )
