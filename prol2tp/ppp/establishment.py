"""How LCP takes part in the phases of a link (RFC 1661 sections 3.4 and 3.7): all above comes and goes with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prol2tp.ppp import authentication, compression, frame, proxy
from prol2tp.ppp.auth import PEER_FAILED
from prol2tp.ppp.lcp import ACFC
from prol2tp.ppp.limits import FAR
from prol2tp.ppp.lower import Signal
from prol2tp.ppp.outputs import LinkOpened
from prol2tp.ppp.phase import Phase
from prol2tp.ppp.states import State

if TYPE_CHECKING:
    from prol2tp.ppp.link import Link


def start(link: Link, record: proxy.ProxyRecord | None, now: float) -> None:
    """LCP starts; where the peer has negotiated it with a LAC, as that has left it."""
    lcp = link.lcp
    lcp.open(now)
    if record is None:
        lcp.lower_up(now)
        return
    link._proxy = record
    link.proxy_refused = proxy.misfit(record, link.settings)
    if not link.proxy_refused:
        lcp.proxied(*record.options(), now)
        return
    if link.trace is not None:
        link.trace("phase", f"LCP is negotiated anew: {link.proxy_refused}")
    lcp.restart(now)


def signal(link: Link, what: Signal, value: Any, now: float) -> None:
    if what is Signal.UP:
        _up(link, now)
    elif what is Signal.DOWN:
        _down(link, now)
    elif what is Signal.PROTOCOL_REJECTED:
        _protocol_rejected(link, value, now)
    else:
        _finished(link)


def _up(link: Link, now: float) -> None:
    lcp = link.lcp
    link._lower.accomp = ACFC in lcp.granted
    link._lower.peer_mru = link.peer_mru = lcp.peer_mru
    link.mtu = min(link._mtu_limit, lcp.peer_mru)
    link._demanded = lcp.demanded
    link._promised = lcp.promised
    record, link._proxy = link._proxy, None
    link.proxied = (record is not None and not link.proxy_refused, False)
    if link.settings.auth and link._demanded is None:
        link._terminate(PEER_FAILED, "LCP opened without the authentication that is demanded", False, now)
        return
    if why := compression.impossible(link.settings):
        link._terminate("Negotiation Failed", why, False, now)
        return
    link.auth_done = ("", "")
    link.user = ""
    link.mppe_keys = None
    link._refused = ""
    link._lower.queue.append(LinkOpened())
    lcp.start_echo(now)
    lcp.identify()
    link._enter(Phase.AUTHENTICATE)
    authentication.start(link, record if link.proxied[0] else None, now)
    link._network_phase(now)


def _down(link: Link, now: float) -> None:
    """The peer ends the link or negotiates anew; all above starts again."""
    lcp = link.lcp
    lcp.echo_at = None
    link._lower.accomp = False
    link._lower.peer_mru = frame.DEFAULT_MRU
    for method in link._proofs:
        method.stop()
    link._asking.forget()
    link._limits.idle_at = FAR
    for ncp in link._above:
        ncp.lower_down(now)
    if lcp.state is State.STOPPING:
        if link._refused and lcp.terminated is not None:
            link._ended(PEER_FAILED, link._refused, False)  # it does not try again
        elif lcp.terminated is not None:
            link._ended("Peer Request", lcp.terminated, True)
        else:
            link._ended("Negotiation Failed", lcp.failure, True)
    ending = lcp.state in (State.CLOSING, State.STOPPING)
    if ending:
        link._limits.none()
    link._enter(Phase.TERMINATE if ending else Phase.ESTABLISH)


def _finished(link: Link) -> None:
    lcp = link.lcp
    if link.settings.passive and link._cause is None and lcp.failed:
        link._limits.auth_at = FAR
        return  # RFC 1661 section 4.2, passive option: wait in Stopped for the peer
    if lcp.terminated is not None:
        link._ended("Peer Request", lcp.terminated, True)
    link._ended("Negotiation Failed", lcp.failure or "LCP ended", False)
    link._down()


def _protocol_rejected(link: Link, protocol: int, now: float) -> None:
    name = frame.protocol_name(protocol)
    if protocol == frame.LCP:
        link.lcp.give_up("the peer rejects LCP", now)
    elif protocol in (frame.PAP, frame.CHAP, frame.EAP):
        authentication.rejected(link, protocol, now)
    else:
        ncp = link._ncp(protocol | 0x8000)
        if ncp is not None:
            ncp.give_up(f"the peer rejects {name}", now)
