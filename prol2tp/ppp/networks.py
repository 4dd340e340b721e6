"""How the network control protocols take part in the phases of a link (RFC 1661 section 3.7): each comes and goes by
itself, and the link ends when none can come up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prol2tp.ppp.automaton import Automaton
from prol2tp.ppp.ipcp import IPCP
from prol2tp.ppp.ipv6cp import IPV6CP
from prol2tp.ppp.lower import Signal
from prol2tp.ppp.outputs import NetworkDown, NetworkUp
from prol2tp.ppp.phase import Phase
from prol2tp.ppp.states import State

if TYPE_CHECKING:
    from prol2tp.ppp.link import Link


def start(link: Link, now: float) -> None:
    """All that the link has."""
    for ncp in link._network:
        ncp.failed = False
        if ncp.state is State.INITIAL:
            ncp.open(now)
        ncp.lower_up(now)


def signal(link: Link, ncp: IPCP | IPV6CP, what: Signal, now: float) -> None:
    word = "ip" if ncp is link.ipcp else "ipv6"
    if what is Signal.UP:
        addresses = ncp.addresses()
        if addresses is None:
            close(link, ncp, ncp.failure, now)
        else:
            ncp.announced = True
            link._lower.queue.append(NetworkUp(word, *addresses, ncp.dns, ncp.nbns))
    elif what is Signal.DOWN:
        if ncp.announced:
            ncp.announced = False
            link._lower.queue.append(NetworkDown(word))
    else:
        _one_less(link, now)


def close(link: Link, ncp: Automaton, failure: str, now: float) -> None:
    """It cannot be used, and the peer is told why."""
    ncp.failure = failure
    ncp.reason = failure.encode()
    ncp.close(now)
    ncp.failed = True
    _one_less(link, now)


def _one_less(link: Link, now: float) -> None:
    """An NCP that was closed is no reason to end the link (RFC 1661 section 3.7); but when none can come up, it is of
    no use."""
    if link.phase is Phase.NETWORK and all(ncp.failed for ncp in link._network):
        failures = ", ".join(f"{ncp.NAME}: {ncp.failure or 'failed'}" for ncp in link._network)
        link._terminate("Negotiation Failed", failures, False, now)
